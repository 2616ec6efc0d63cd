"""The extension's own pages ask for the truth again and again: whoever reads them, or works them by keyboard, is left alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Keys
from selenium.webdriver.common.by import By

from tests.support.extension import BROWSERS, Tagged, build_for_test, carry, tagged
from tests.support.extension_site import Site
from tests.support.sidecar import running_sidecar
from tests.support.waiting import wait_until

pytestmark = pytest.mark.browser

#: counts what changes in the page's texts; where it stands can be read from any script's world
WATCH = """
const seen = document.documentElement.dataset;
seen.changes = 0;
const texts = new MutationObserver((list) => (seen.changes = Number(seen.changes) + list.length));
texts.observe(document.body, {childList: true, characterData: true, subtree: true});
return performance.now();"""
#: the options ask every 2 s
TWICE_MS = 4500


@pytest.fixture
def site() -> Iterator[Site]:
    with Site().serving() as served:
        yield served


def changes(browser: Tagged) -> int:
    """How much changes in the page while it asks twice and is told the same."""
    since = browser.driver.execute_script(WATCH)
    wait_until(lambda: browser.driver.execute_script("return performance.now()") - since > TWICE_MS, "the page to ask twice")
    return int(browser.driver.execute_script("return document.documentElement.dataset.changes"))


def focused(browser: Tagged) -> str:
    """What the keyboard is at, as it reads."""
    text: str = browser.driver.execute_script("return document.activeElement?.textContent.trim() ?? ''")
    return text


@pytest.mark.parametrize("kind", BROWSERS)
def test_what_is_read_or_has_the_focus_stays_while_nothing_changes(kind: str, tmp_path: Path, site: Site) -> None:
    with running_sidecar(tmp_path) as sidecar:
        built = build_for_test(tmp_path / "extension", sites=(site.url,), sidecar_url=f"ws://{sidecar.markers}/markers")
        carry(built, consent="given", sites=[site.url, "https://not-yet-allowed.example.org"])
        with tagged(kind, built, tmp_path / "browser") as browser:
            driver = browser.driver
            browser.go(f"{site.url}/app")
            page = driver.current_window_handle
            browser.click("scroll")

            browser.own_page("options.html")
            allow = wait_until(lambda: driver.find_elements(By.CSS_SELECTOR, "#access button"), "the button to allow access")[0]
            driver.execute_script("arguments[0].focus()", allow)
            assert changes(browser) == 0, "nothing is read out again"
            assert driver.execute_script("return document.activeElement === arguments[0]", allow)
            token = driver.find_element(By.ID, "token")
            assert "Not needed" in driver.execute_script(
                "return document.getElementById(arguments[0].getAttribute('aria-describedby')).textContent", token
            )

            browser.own_page("popup.html")
            popup = driver.current_window_handle
            driver.find_element(By.CSS_SELECTOR, "#sent > summary").click()
            summaries = "#recent summary"
            wait_until(lambda: len(driver.find_elements(By.CSS_SELECTOR, summaries)) == 2, "the two markers")
            newest = driver.find_element(By.CSS_SELECTOR, summaries)
            newest.send_keys(Keys.ENTER)
            driver.switch_to.window(page)
            browser.click("scroll")
            driver.switch_to.window(popup)
            wait_until(lambda: len(driver.find_elements(By.CSS_SELECTOR, "#recent > li")) == 4, "two more")
            kept = "return document.activeElement === arguments[0] && arguments[0].parentElement.open"
            assert driver.execute_script(kept, newest), "what is open stays open"
            seqs = driver.execute_script(
                "return [...document.querySelectorAll('#recent pre')].map((one) => JSON.parse(one.textContent).seq)"
            )
            assert seqs == [4, 3, 2, 1], "the newest first"

            driver.find_element(By.CSS_SELECTOR, "#pause button[value=minutes]").send_keys(Keys.ENTER)
            wait_until(lambda: focused(browser) == "Resume recording", "the focus to go on to the button that is there now")
            driver.switch_to.active_element.send_keys(Keys.ENTER)
            wait_until(lambda: focused(browser) == "15 min", "and back")
