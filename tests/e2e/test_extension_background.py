"""The extension's background in real browsers, with a real sidecar: every marker arrives once, whoever is killed meanwhile."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from selenium.webdriver.common.by import By

from sidecar.web.tickets import is_same_origin
from tests.support.extension import BROWSERS, GECKO_ID, Tagged, build_for_test, carry, load_package, markers_in, tagged
from tests.support.extension_site import Site
from tests.support.sidecar import SidecarProcess, running_sidecar
from tests.support.waiting import wait_until

pytestmark = pytest.mark.browser


@pytest.fixture
def site() -> Iterator[Site]:
    with Site().serving() as served:
        yield served


@pytest.fixture
def sidecar(tmp_path: Path) -> Iterator[SidecarProcess]:
    with running_sidecar(tmp_path) as running:
        yield running


@pytest.fixture(params=BROWSERS)
def browser(request: pytest.FixtureRequest, tmp_path: Path, site: Site, sidecar: SidecarProcess) -> Iterator[Tagged]:
    """A browser whose package knows the site and the sidecar; the person has agreed."""
    built = build_for_test(tmp_path / "extension", sites=(site.url,), sidecar_url=f"ws://{sidecar.markers}/markers")
    with tagged(request.param, built, tmp_path / "browser") as opened:
        agree(opened)
        yield opened


def agree(browser: Tagged) -> None:
    browser.own_page("consent.html")
    button = wait_until(
        lambda: browser.driver.find_elements(By.CSS_SELECTOR, "#choice button[value=given]:enabled"), "the question"
    )
    button[0].click()
    wait_until(lambda: browser.ask({"type": "overview"})["consent"]["decision"] == "given", "the decision to be kept")
    browser.close_tab()


def phases(sidecar: SidecarProcess) -> list[tuple[int, str, str]]:
    return [(seq, action, phase) for _, seq, _, action, phase in markers_in(sidecar.journal)]


def wait_for_markers(sidecar: SidecarProcess, count: int) -> None:
    wait_until(lambda: len(markers_in(sidecar.journal)) >= count, f"{count} markers, not {phases(sidecar)}")
    stored = markers_in(sidecar.journal)
    assert len(stored) == count
    assert len({(action_id, phase) for _, _, action_id, _, phase in stored}) == count, "one copy of each"


def test_a_click_on_a_strict_page_becomes_a_marker_with_the_sidecars_time(
    browser: Tagged, site: Site, sidecar: SidecarProcess
) -> None:
    browser.go(f"{site.url}/strict")
    browser.click("scroll")
    wait_for_markers(sidecar, 2)
    assert phases(sidecar) == [(1, "scroll", "begin"), (2, "scroll", "end")]
    assert site.paths == ["/strict"], "no request of its own to the site"
    browser.own_page("popup.html")
    wait_until(lambda: browser.ask({"type": "overview"})["unsent"]["count"] == 0, "the acknowledgement")
    overview = browser.ask({"type": "overview"})
    assert (overview["state"], overview["badge"]["text"]) == ("recording", "on")
    # the same machine: the clocks are the same but for the origin of the browser's timeline, which Firefox counts in whole
    # milliseconds, and the bound must hold that; where the first pings were slow, later ones are not
    clock = wait_until(lambda: (now := browser.ask({"type": "overview"})["clock"])["error_ms"] < 20 and now, "a narrow bound")
    assert abs(clock["offset_ms"]) <= clock["error_ms"] + 1
    assert "secret" not in str(overview["recent"])


def test_nothing_is_lost_or_doubled_when_worker_and_sidecar_are_killed_in_turn(
    browser: Tagged, site: Site, sidecar: SidecarProcess
) -> None:
    browser.go(f"{site.url}/app")
    browser.click("scroll")
    wait_for_markers(sidecar, 2)
    sidecar.kill()
    browser.click("scroll")
    browser.kill_background()
    browser.click("scroll")
    browser.click("scroll")
    sidecar.start()
    wait_for_markers(sidecar, 8)
    browser.kill_background()
    browser.click("scroll")
    wait_for_markers(sidecar, 10)
    assert [seq for seq, _, _ in phases(sidecar)] == list(range(1, 11))


def test_a_pause_stops_the_page_and_a_resume_starts_it(browser: Tagged, site: Site, sidecar: SidecarProcess) -> None:
    browser.go(f"{site.url}/app")
    page = browser.driver.current_window_handle
    browser.own_page("popup.html")
    wait_until(lambda: browser.driver.find_element(By.CSS_SELECTOR, "#pause button[value=resume]").is_displayed(), "the buttons")
    browser.driver.find_element(By.CSS_SELECTOR, "#pause button[value=resume]").click()
    wait_until(lambda: browser.ask({"type": "overview"})["state"] == "paused", "the pause")
    popup = browser.driver.current_window_handle
    browser.driver.switch_to.window(page)
    browser.wait_recording(False)
    browser.click("scroll")
    browser.driver.switch_to.window(popup)
    browser.driver.find_element(By.ID, "resume").click()
    browser.driver.switch_to.window(page)
    browser.wait_recording(True)
    browser.click("scroll")
    wait_for_markers(sidecar, 2)


def test_an_update_while_a_tab_is_open_goes_on_in_that_tab(browser: Tagged, site: Site, sidecar: SidecarProcess) -> None:
    browser.go(f"{site.url}/app")
    page = browser.driver.current_window_handle
    browser.click("scroll")
    wait_for_markers(sidecar, 2)
    browser.driver.execute_script("document.documentElement.dataset.recording = 'before the update'")
    browser.own_page("popup.html")
    browser.driver.execute_script("setTimeout(() => (globalThis.browser ?? globalThis.chrome).runtime.reload(), 100)")
    wait_until(lambda: len(browser.driver.window_handles) == 1, "the update to close the extension's own page")
    browser.driver.switch_to.window(page)
    browser.wait_recording(True)
    browser.click("scroll")
    wait_for_markers(sidecar, 4)


def test_what_was_not_sent_outlives_the_browser(tmp_path: Path, site: Site, sidecar: SidecarProcess) -> None:
    """In Chromium: a temporary add-on of Firefox goes with the browser, and its storage with it."""
    built = build_for_test(tmp_path / "extension", sites=(site.url,), sidecar_url=f"ws://{sidecar.markers}/markers")
    sidecar.kill()
    with tagged("chromium", built, tmp_path / "browser") as first:
        agree(first)
        first.go(f"{site.url}/app")
        first.click("scroll")
        first.own_page("popup.html")
        wait_until(lambda: first.ask({"type": "overview"})["unsent"]["count"] == 2, "the outbox to keep two markers")
        wait_until(lambda: first.ask({"type": "overview"})["state"] == "not_connected", "the first try to fail")
    sidecar.start()
    with tagged("chromium", built, tmp_path / "browser") as second:
        wait_for_markers(sidecar, 2)
        second.go(f"{site.url}/app")
        second.click("scroll")
        wait_for_markers(sidecar, 4)
    sessions = [session for session, *_ in markers_in(sidecar.journal)]
    assert sessions[0] == sessions[1] != sessions[2] == sessions[3], "a new browser start is a new session"


@pytest.mark.parametrize("kind", BROWSERS)
def test_the_sites_cookie_gets_a_ticket_and_stays_with_the_site(
    kind: str, tmp_path: Path, site: Site, sidecar: SidecarProcess
) -> None:
    built = build_for_test(tmp_path / "extension", sites=(site.url,), sidecar_url=f"ws://{sidecar.markers}/markers")
    with tagged(kind, built, tmp_path / "browser") as browser:
        agree(browser)
        browser.own_page("popup.html")
        browser.ask({"type": "save", "settings": {"auth": "ticket"}})
        browser.close_tab()
        browser.go(f"{site.url}/app")
        wait_until(lambda: site.ticket_cookies, "the question for a ticket")
        assert all(site.ticket_cookies), "the browser adds the cookie by itself"
        host = urlsplit(site.url).netloc
        assert all(is_same_origin(fetch_site, origin, host) for fetch_site, origin in site.ticket_origins), site.ticket_origins
        browser.own_page("popup.html")
        wait_until(lambda: "not signed in" in browser.ask({"type": "overview"})["headline"], "the state to be told")


@pytest.mark.parametrize("kind", BROWSERS)
def test_the_browser_itself_tells_when_a_download_is_complete(
    kind: str, tmp_path: Path, site: Site, sidecar: SidecarProcess
) -> None:
    built = build_for_test(
        tmp_path / "extension", permissions=("downloads",), sites=(site.url,), sidecar_url=f"ws://{sidecar.markers}/markers"
    )
    with tagged(kind, built, tmp_path / "browser") as browser:
        agree(browser)
        browser.go(f"{site.url}/app")
        browser.click("download")
        wait_for_markers(sidecar, 2)
        assert phases(sidecar) == [(1, "download", "begin"), (2, "download", "end")]
        browser.own_page("popup.html")
        assert browser.ask({"type": "overview"})["recent"][-1]["attrs"] == {"bytes": 2000, "evidence": "download"}


@pytest.mark.parametrize("kind", BROWSERS)
def test_a_policy_installs_sets_and_decides_everything(kind: str, tmp_path: Path, site: Site, sidecar: SidecarProcess) -> None:
    """As an IT department does it: a self-hosted package, no click of anybody."""
    key = tmp_path / "key.pem"
    subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
    package = load_package()
    update_urls = {"chromium": f"{site.url}/updates.xml"}
    built = build_for_test(tmp_path / "extension", key=key, sites=(site.url,), update_urls=update_urls)
    site.files = {f"/{name}": (built / name).read_bytes() for name in ("updates.xml", "tracemark-0.1.0.crx")}
    settings = {"sites": [site.url], "sidecar_url": f"ws://{sidecar.markers}/markers", "consent": "given"}
    policies = tmp_path / "policies"
    if kind == "chromium":
        name = package.extension_id(package.public_key(key))
        install = {"installation_mode": "force_installed", "update_url": f"{site.url}/updates.xml"}
        policy = {"ExtensionSettings": {name: install}, "3rdparty": {"extensions": {name: settings}}}
        (policies / "managed").mkdir(parents=True)
        (policies / "managed" / "tracemark.json").write_text(json.dumps(policy), encoding="utf-8")
    else:
        install = {"installation_mode": "force_installed", "install_url": (built / "tracemark-0.1.0.xpi").as_uri()}
        policies.mkdir()
        policy = {"ExtensionSettings": {GECKO_ID: install}, "3rdparty": {"Extensions": {GECKO_ID: settings}}}
        (policies / "policies.json").write_text(json.dumps({"policies": policy}), encoding="utf-8")
    with tagged(kind, None, tmp_path / "browser", policies) as browser:
        browser.driver.get(f"{site.url}/app")
        wait_until(lambda: browser.recording() == "true", "the page, open before the extension was there, to be recorded")
        browser.click("scroll")
        wait_for_markers(sidecar, 2)


def test_a_sidecar_with_another_token_is_a_visible_state(tmp_path: Path, site: Site) -> None:
    (tmp_path / "sidecar").mkdir()
    with running_sidecar(tmp_path / "sidecar", {"TRACEMARK_TOKEN": "right-token-of-the-sidecar"}) as sidecar:
        built = build_for_test(tmp_path / "extension", sites=(site.url,), sidecar_url=f"ws://{sidecar.markers}/markers")
        with tagged("chromium", built, tmp_path / "browser") as browser:
            agree(browser)
            browser.go(f"{site.url}/app")
            browser.click("scroll")
            page = browser.driver.current_window_handle
            browser.own_page("options.html")
            wait_until(lambda: browser.ask({"type": "overview"})["state"] == "refused", "the refusal to be told")
            browser.driver.find_element(By.ID, "token").send_keys("right-token-of-the-sidecar")
            browser.driver.find_element(By.ID, "save").click()
            wait_for_markers(sidecar, 2)
            browser.driver.switch_to.window(page)


THROWS = b"""<!doctype html><title>t</title><link rel="icon" href="data:,">
<button id="scroll" data-action="scroll">scroll</button>
<script>
for (const kind of ["click", "pointerdown"]) addEventListener(kind, () => { throw new Error("the page's own"); }, true);
window.onerror = () => { document.title = "the page's own fault"; return true; };
</script>"""
#: as if the question how it felt had last been asked so many milliseconds ago
EARLIER = """
const [ms, done] = arguments, {session} = (globalThis.browser ?? globalThis.chrome).storage;
session.get("recorder").then(({recorder}) => {
  recorder.rating.asked_ms -= ms;
  return session.set({recorder});
}).then(() => done(true), (error) => done(String(error)));"""
TAKE_AWAY = """
const [origin, done] = arguments, {permissions} = globalThis.browser ?? globalThis.chrome;
permissions.remove({origins: [origin]}).then(done, (error) => done(String(error)));"""


def state_is(browser: Tagged, state: str, badge: str, words: str) -> None:
    """The popup (which is open) and the badge say this."""
    wait_until(lambda: browser.ask({"type": "overview"}).get("state") == state, f"the state {state}")
    overview = browser.ask({"type": "overview"})
    assert overview["badge"]["text"] == badge
    wait_until(lambda: words in browser.driver.find_element(By.ID, "state").text, f"the popup to say {words!r}")


def ratings(sidecar: SidecarProcess) -> list[int]:
    with closing(sqlite3.connect(f"file:{sidecar.journal}?mode=ro", uri=True)) as opened:
        return [score for (score,) in opened.execute("SELECT score FROM ratings")]


@pytest.mark.parametrize("kind", BROWSERS)
def test_what_goes_wrong_has_a_state_and_a_remedy_and_the_page_never_notices(
    kind: str, tmp_path: Path, site: Site, sidecar: SidecarProcess
) -> None:
    """A page that throws and a sidecar that is not there; in Chromium then the question how it felt, in Firefox a malformed
    setting and an access that is taken away (Chromium keeps what a package requires)."""
    built = build_for_test(tmp_path / "extension", sites=(site.url,), sidecar_url=f"ws://{sidecar.markers}/markers")
    carry(built, consent="given", rating=True, **({"sampling": "often"} if kind == "firefox" else {}))
    site.pages["/throws"] = THROWS
    with tagged(kind, built, tmp_path / "browser") as browser:
        page = browser.driver.current_window_handle
        browser.own_page("popup.html")
        popup = browser.driver.current_window_handle
        browser.driver.switch_to.window(page)
        browser.go(f"{site.url}/throws")
        browser.click("scroll")
        wait_for_markers(sidecar, 2)
        assert browser.driver.title == "the page's own fault", "the page hears of its own faults as ever"
        browser.driver.switch_to.window(popup)
        sidecar.kill()
        state_is(browser, "not_connected", "!", "tried again by itself")
        sidecar.start()
        browser.driver.find_element(By.ID, "again").click()
        if kind == "firefox":
            state_is(browser, "flawed", "on!", "sampling in this package must be a number from 0 to 1")
            assert browser.driver.execute_async_script(TAKE_AWAY, "http://127.0.0.1/*") is True
            state_is(browser, "no_permission", "!", "Open the options and allow access")
            browser.driver.switch_to.window(page)
            browser.wait_recording(False)
            return
        state_is(browser, "recording", "on", "Recording on")
        assert browser.driver.execute_async_script(EARLIER, 21 * 60_000) is True
        browser.kill_background()
        state_is(browser, "rating", "1–5", "How did it feel")
        browser.driver.find_element(By.CSS_SELECTOR, "#score button[value='4']").click()
        wait_until(lambda: ratings(sidecar) == [4], "the rating to arrive")
        state_is(browser, "recording", "on", "Recording on")
