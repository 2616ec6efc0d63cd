"""The extension's page side alone in headless Chromium on the practice system: what the tests of the whole do not go through."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver import Keys
from selenium.webdriver.common.actions.wheel_input import ScrollOrigin
from selenium.webdriver.common.by import By

from tests.support.extension_page import Collector, Person, browsing
from tests.support.extension_page_ohif3 import Ohif3Site, ohif3
from tests.support.extension_page_score import END_MS, START_MS, Step, check, since
from tests.support.extension_page_sites import FixtureSite
from tests.support.extension_page_steps import Visit
from tests.support.replay_site import Site, site
from tests.support.waiting import wait_until

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("extension-page-lab")) as running:
        yield running


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    with browsing(tmp_path_factory.mktemp("extension-page")) as running:
        yield running


@pytest.fixture(scope="module")
def fixtures() -> Iterator[FixtureSite]:
    running = FixtureSite()
    yield running
    running.close()


@pytest.fixture
def visit(person: Person, lab: Site) -> Visit:
    """A person who is logged in."""
    seen = Visit(person, lab.lab)
    person.driver.get(seen.url + "/app/template/Index.vm")
    if person.driver.find_elements(By.ID, "login_form"):
        seen.log_in()
    return seen


def test_pages_and_searches(visit: Visit) -> None:
    person = visit.person
    check(person, visit.project())
    steps: list[Step] = [
        visit.tab, visit.sort, lambda: visit.filter("COVID_000"), visit.clear_filter, lambda: visit.rows(20),
        lambda: visit.page("next"), lambda: visit.page("prev"), visit.reload,
        visit.quick_search, lambda: visit.quick_search(way="enter"), lambda: visit.quick_search("COVID_0001_CT1"),
    ]  # fmt: skip
    for step in steps:
        check(person, step())
    check(person, visit.home())


def test_back_and_forward(visit: Visit) -> None:
    visit.project()
    check(visit.person, visit.home())
    check(visit.person, visit.back())


def test_a_viewer_from_its_opening_to_its_last_slice(visit: Visit) -> None:
    person = visit.person
    visit.open_session()
    truth = visit.open_viewer()
    told = check(person, truth)
    first = person.until("cornerstoneimagerendered", truth.begin_ms)
    assert abs(told.attrs["first_image_ns"] / 1e6 - (first - truth.begin_ms)) < START_MS
    assert told.attrs["images"] == 60
    assert check(person, visit.scroll_by_wheel(20)).attrs["ticks"] == 20
    assert check(person, visit.scroll_by_keys(7)).attrs["ticks"] == 7
    assert check(person, visit.scroll_by_slider()).attrs["ticks"] > 1
    changes: list[Step] = [
        lambda: visit.change_by_click(1), lambda: visit.change_by_click(0, times=2), lambda: visit.change_by_drag(1),
        lambda: visit.change_by_key(Keys.PAGE_DOWN), lambda: visit.change_by_key(Keys.PAGE_UP),
    ]  # fmt: skip
    for change in changes:
        assert check(person, change()).attrs["first_image_ns"] > 0
    check(person, visit.play())
    check(person, visit.measure())


def test_what_changes_nothing_is_nothing(visit: Visit) -> None:
    """The shown scan again, the key at the last scan, a script's clicks and wheels, a wheel beside the image."""
    person = visit.person
    visit.open_session()
    visit.open_viewer()
    begin = person.now()
    person.driver.find_elements(By.CSS_SELECTOR, "[data-cy=thumbnail-list]")[0].click()
    person.act().send_keys(Keys.PAGE_DOWN).perform()
    person.run("""
      const pane = document.querySelector(".viewport-element canvas");
      for (let n = 0; n < 5; n += 1) pane.dispatchEvent(new WheelEvent("wheel", {deltaY: 100, bubbles: true}));
      document.querySelector("[data-cy=cine]").click();
    """)
    wait_until(lambda: person.now() - begin > 4500, "the time in which something might be told")
    assert since(person, begin) == []


def test_play_ends_with_a_scan_change_and_with_the_page(visit: Visit) -> None:
    person = visit.person
    visit.open_session()
    visit.open_viewer()
    stops: list[Callable[[], float]] = [lambda: visit.change_by_click(1).begin_ms, visit.home_by_address]
    for stop in stops:
        if not person.driver.find_elements(By.CSS_SELECTOR, ".CineDialog"):
            person.click("[data-cy=cine]")
        begin = person.now()
        person.click(".CineDialog button[title='Play / Stop']")
        visit.while_passing(1200)
        stopped = stop()
        told = person.told("play", begin)
        assert told.end_ms is not None
        assert abs(told.end_ms - stopped) < END_MS


def test_gestures_without_a_pause_are_all_told(visit: Visit) -> None:
    """Scroll, another scan, scroll, play and stop at once on a slow line: no image of the new scan has come by then."""
    person = visit.person
    visit.open_session()
    visit.open_viewer()
    person.click("[data-cy=cine]")
    player = person.find(".CineDialog button[title='Play / Stop']")
    assert isinstance(person.driver, webdriver.Chrome)
    person.driver.set_network_conditions(latency=1500, download_throughput=-1, upload_throughput=-1, offline=False)
    try:
        begin = person.now()
        person.wheel(3)
        person.driver.find_elements(By.CSS_SELECTOR, "[data-cy=thumbnail-list]")[1].click()
        person.wheel(2)
        player.click()
        wait_until(lambda: person.driver.find_elements(By.CSS_SELECTOR, ".CineDialog svg[name=stop]"), "it to play")
        player.click()
    finally:
        person.driver.delete_network_conditions()
    person.told("change_scan", begin)
    assert person.told("play", begin).attrs["evidence"] == "state"
    wait_until(lambda: sorted(since(person, begin)) == ["change_scan", "play", "scroll", "scroll"], f"{since(person, begin)}")
    assert [one.attrs["ticks"] for one in person.collector.actions() if one.action == "scroll" and one.begin_ms >= begin] == [
        3,
        2,
    ]


def test_a_viewer_in_a_new_tab_is_one_action_and_tabs_do_not_mix(visit: Visit) -> None:
    person = visit.person
    visit.open_session()
    begin = person.now()
    first = person.driver.current_window_handle
    person.act().context_click(person.find("#ohifViewer")).perform()
    wait_until(lambda: len(person.driver.window_handles) == 2, "the new tab")
    person.driver.switch_to.window(first)
    home = visit.home()
    check(person, home)
    (other,) = set(person.driver.window_handles) - {first}
    person.driver.switch_to.window(other)  # a hidden tab paints nothing: it is over when it is looked at
    told = person.told("open_viewer", begin)
    assert told.attrs["images"] == 60
    assert since(person, begin).count("open_viewer") == 1
    person.driver.close()
    person.driver.switch_to.window(first)


def test_a_viewer_that_is_left_before_its_first_image_is_cancelled(visit: Visit) -> None:
    person = visit.person
    visit.open_session()
    begin = person.now()
    person.click("#ohifViewer")
    wait_until(lambda: "/VIEWER" in person.driver.current_url, "the viewer's document")
    person.driver.get(visit.url + "/app/template/Index.vm")
    assert person.told("open_viewer", begin, "cancel").attrs == {"evidence": "navigation"}


def test_a_slow_line_cuts_nothing_off(visit: Visit) -> None:
    """Every request takes 1.5 s more: quiet for three times as long as ends a burst, and yet the listing is awaited."""
    person = visit.person
    visit.project()
    visit.tab()
    assert isinstance(person.driver, webdriver.Chrome)
    person.driver.set_network_conditions(latency=1500, download_throughput=-1, upload_throughput=-1, offline=False)
    try:
        told = check(person, visit.filter("COVID_000"))
        assert told.end_ms is not None
        assert told.end_ms - told.begin_ms > 3000
        visit.home()
        told = check(person, visit.project())
        assert told.end_ms is not None
        assert told.end_ms - told.begin_ms > 4500
    finally:
        person.driver.delete_network_conditions()


def test_a_site_in_a_frame(visit: Visit) -> None:
    """A page that is none of the site's shows one in a frame: its pages and its viewer count, and the page around it does not."""
    person = visit.person
    begin = person.now()
    person.driver.get(visit.lab.url + "/portal")
    person.run("""
      const frame = Object.assign(document.createElement("iframe"), {src: arguments[0], width: 1200, height: 800});
      document.body.replaceChildren(frame);
    """, visit.url + "/data/experiments/XNAT_E00001")  # fmt: skip
    assert person.told("page_load", begin).action == "page_load"
    person.driver.switch_to.frame(0)
    person.click("#ohifViewer")
    assert person.told("open_viewer", begin).attrs["images"] == 60
    person.wheel(5)
    assert person.told("scroll", begin).attrs["ticks"] == 5
    person.driver.switch_to.default_content()
    assert sorted(set(since(person, begin))) == ["open_viewer", "page_load", "scroll"]


def test_xnats_fork_by_its_own_selectors(visit: Visit, fixtures: FixtureSite) -> None:
    """A page that is made of the fork's elements and behaves as its source says."""
    person = visit.person
    begin = person.now()
    person.driver.get(fixtures.url + "/xnat/VIEWER?projectId=P")
    assert person.told("open_viewer", begin).attrs["images"] == 40
    person.driver.find_element(By.ID, "scan-b").click()
    told = person.told("change_scan", begin)
    assert (told.attrs["images"], told.attrs["evidence"]) == (40, "requests")
    person.wheel(6)
    assert person.told("scroll", begin).attrs["ticks"] == 6
    person.click("#play")
    wait_until(lambda: person.run("return window.shown") > 10, "moving images")
    person.click("#play")
    assert person.told("play", begin).attrs["evidence"] == "state"


def test_nothing_while_not_recording_and_nothing_of_the_pause_afterwards(visit: Visit) -> None:
    person = visit.person
    visit.project()
    visit.tab()
    person.switch(recording=False)
    begin = person.now()
    visit.sort()
    person.switch(recording=True)
    wait_until(lambda: person.now() - begin > 2500, "the time in which something might be told")
    assert since(person, begin) == []
    check(person, visit.sort(way="up"))


def test_an_extension_that_is_reloaded_leaves_the_page_alone(lab: Site, tmp_path: Path) -> None:
    with browsing(tmp_path) as person:
        visit = Visit(person, lab.lab)
        visit.log_in()
        visit.project()
        visit.tab()
        person.switch(reload=True)
        visit.sort()
        visit.sort(way="up")
        assert [line for line in person.complaints() if "content.js" in line or "lib/" in line] == []


def test_ohif_v3(tmp_path: Path) -> None:
    """The published viewer: opening, a double click that changes the scan and a single one that does not, wheel, keys, cine."""
    running = Ohif3Site(ohif3(tmp_path))
    try:
        with browsing(tmp_path) as person:
            person.driver.get(running.url + "/app-config.js")
            person.run("""localStorage.setItem("shownTours", '["basicViewerTour"]')""")
            begin = person.now()
            person.driver.get(running.viewer)
            assert person.told("open_viewer", begin).attrs["images"] == 24
            scans = person.driver.find_elements(By.CSS_SELECTOR, "[data-cy=study-browser-thumbnail]")
            begin = person.now()
            person.act().click(scans[1]).perform()
            wait_until(lambda: person.now() - begin > 3500, "the time in which something might be told")
            assert since(person, begin) == []
            person.act().double_click(scans[1]).perform()
            assert person.told("change_scan", begin).attrs["images"] == 24
            chain, origin = person.act(), ScrollOrigin.from_element(person.find("[data-cy=viewport-pane]"))
            for _ in range(6):
                chain.scroll_from_origin(origin, 0, 100)
            chain.perform()
            assert person.told("scroll", begin).attrs["ticks"] == 6
            person.act().send_keys("c").perform()
            begin = person.now()
            person.click("[data-cy=cine-player-play-pause]")
            wait_until(lambda: person.now() - begin > 2000, "some images")
            person.click("[data-cy=cine-player-play-pause]")
            assert person.told("play", begin).attrs["images"] > 5
    finally:
        running.close()


CANARY = "XCANARYX"


def test_nothing_that_is_typed_or_shown_leaves_the_page(visit: Visit) -> None:
    person = visit.person
    visit.project()
    visit.tab()
    visit.filter(CANARY)
    visit.clear_filter()
    person.driver.get(visit.url + f"/data/projects/COVID19_CT?{CANARY}=1#{CANARY}")
    visit.quick_search(CANARY)
    visit.quick_search()
    visit.session()
    wait_until(lambda: person.collector.actions()[-1].phase == "end", "the last end")
    assert isinstance(person.collector, Collector)
    told = str(person.collector.messages)
    for word in (CANARY, "COVID", "XNAT_E", "XNAT_S", "researcher", "http", "/data", "XNAT_CSRF"):
        assert word not in told.replace("evidence", ""), word
    for item in person.collector.items():
        assert set(item) == {"action_id", "action", "phase", "wall_ms", "mono_ms", "attrs"}
        assert set(item["attrs"]) <= {"bytes", "images", "ticks", "first_image_ns", "evidence"}
