"""What a policy or a disk can do to the extension, in real browsers: each has a badge, and a line that says what to do.

One browser goes through it all; in Chromium the policy is the real one, changed under it (Firefox reads its once). The page below
works on as ever.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.by import By

from tests.support.extension import Tagged, build_for_test, carry, markers_in, tagged
from tests.support.extension_site import Site
from tests.support.sidecar import running_sidecar
from tests.support.waiting import wait_until

pytestmark = pytest.mark.browser

TOKEN = "right-token-of-the-sidecar"
PAGE = b"""<!doctype html><title>0</title><link rel="icon" href="data:,"><button id="scroll" data-action="scroll">scroll</button>
<script>document.getElementById("scroll").onclick = () => { document.title = Number(document.title) + 1; };</script>"""


class Policy:
    """The organisation's policy for one extension, which Chromium reads anew within seconds."""

    def __init__(self, folder: Path, extension: str, **always: Any) -> None:
        self.folder = folder
        self._extension = extension
        self._always = always
        (folder / "managed").mkdir(parents=True)

    def say(self, **values: Any) -> None:
        """From now on these settings."""
        policy = {"3rdparty": {"extensions": {self._extension: {**self._always, **values}}}}
        written = self.folder / "tracemark.json"
        written.write_text(json.dumps(policy), encoding="utf-8")
        os.replace(written, self.folder / "managed" / "tracemark.json")


def shown(browser: Tagged, state: str, badge: str, *words: str) -> None:
    """The popup (which is open) and the badge come to say this."""
    wait_until(lambda: browser.ask({"type": "overview"})["state"] == state, f"the state {state}", 60)
    assert browser.ask({"type": "overview"})["badge"]["text"] == badge
    for said in words:
        wait_until(lambda: said in browser.driver.find_element(By.ID, "state").text, f"the popup to say {said!r}", 40)  # noqa: B023


def test_each_bad_input_has_a_state_and_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "sidecar").mkdir()
    with Site().serving() as site, running_sidecar(tmp_path / "sidecar", {"TRACEMARK_TOKEN": TOKEN}) as sidecar:
        site.pages["/app"] = PAGE
        built = build_for_test(tmp_path / "extension", sites=(site.url,))
        origin = Tagged.base_in("chromium").rstrip("/")
        policy = Policy(tmp_path / "policies", origin.rpartition("/")[2], consent="given")
        policy.say(sidecar_url="https://sidecar.example.org")
        with tagged("chromium", built, tmp_path / "browser", policy.folder) as browser:
            driver = browser.driver
            page = driver.current_window_handle
            browser.own_page("popup.html")
            popup = driver.current_window_handle

            def act() -> None:
                driver.switch_to.window(page)
                browser.click("scroll")
                driver.switch_to.window(popup)

            # malformed
            shown(browser, "not_configured", "?", "Correct what is named below", "sidecar_url in your organisation's")
            driver.switch_to.window(page)
            browser.go(f"{site.url}/app", recording=False)
            act()
            # well-formed, and nobody is there
            policy.say(sidecar_url="ws://127.0.0.1:9/markers", token="an old token")
            shown(browser, "not_connected", "!", "The sidecar cannot be reached", "it is tried again by itself")
            act()
            # the right place, and the wrong word; rules that cannot be read wait behind the worse trouble
            policy.say(sidecar_url=f"ws://{sidecar.markers}/markers", token="an old token", rules="{no json")
            shown(browser, "refused", "!", "The sidecar refuses the token", "Correct the token", "rules in your")
            policy.say(sidecar_url=f"ws://{sidecar.markers}/markers", token=TOKEN, rules="{no json")
            shown(browser, "flawed", "on!", "Tell whoever set up Tracemark", "rules in your organisation's policy is no JSON")
            # a full disk
            with browser.full_disk(tmp_path / "browser" / "profile-chromium"):
                act()
                shown(browser, "storage_full", "!", "There is no room to keep markers", "Free some disk space")
            act()
            shown(browser, "flawed", "on!", "Recording, but a setting is not right")
            assert "dropped" in driver.find_element(By.ID, "dropped").text, "what was lost is said"
            driver.switch_to.window(page)
            assert driver.title == "4", "the page below never noticed"


def test_firefox_says_so_when_the_token_is_refused_or_the_disk_is_full(tmp_path: Path) -> None:
    (tmp_path / "sidecar").mkdir()
    (tmp_path / "policies").mkdir()  # none; but with them the profile has a disk of its own
    with Site().serving() as site, running_sidecar(tmp_path / "sidecar", {"TRACEMARK_TOKEN": TOKEN}) as sidecar:
        site.pages["/app"] = PAGE
        built = build_for_test(tmp_path / "extension", sites=(site.url,), sidecar_url=f"ws://{sidecar.markers}/markers")
        carry(built, consent="given")
        with tagged("firefox", built, tmp_path / "browser", tmp_path / "policies") as browser:
            driver = browser.driver
            page = driver.current_window_handle
            browser.go(f"{site.url}/app")
            browser.click("scroll")
            browser.own_page("popup.html")
            popup = driver.current_window_handle
            shown(browser, "refused", "!", "The sidecar refuses the token", "Correct the token")
            browser.ask({"type": "save", "settings": {"token": TOKEN}})
            shown(browser, "recording", "on", "Recording on")
            wait_until(lambda: len(markers_in(sidecar.journal)) == 2, "what was kept meanwhile")
            with browser.full_disk(tmp_path / "browser" / "profile-firefox"):
                driver.switch_to.window(page)
                browser.click("scroll")
                driver.switch_to.window(popup)
                shown(browser, "storage_full", "!", "There is no room to keep markers", "Free some disk space")
            driver.switch_to.window(page)
            browser.click("scroll")
            assert driver.title == "3", "the page below never noticed"
            driver.switch_to.window(popup)
            shown(browser, "recording", "on", "Recording on")
            assert "2 markers were dropped" in driver.find_element(By.ID, "dropped").text
            wait_until(lambda: [seq for _, seq, *_ in markers_in(sidecar.journal)] == [1, 2, 5, 6], "the next, behind a hole")
