"""A sidecar that is away for longer than anything is kept, and one whose clock is not this computer's: in real browsers.

A week does not pass here: what waits is made older (or larger) where the browser keeps it, and the background is ended and
started again, as browsers do with every one that has nothing to do.
"""

from __future__ import annotations

import os
import re
import sqlite3
import statistics
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.by import By

from tests.support.extension import BROWSERS, Tagged, build_for_test, carry, markers_in, tagged
from tests.support.extension_site import Site
from tests.support.far_clock import FarClock, jittery
from tests.support.sidecar import SidecarProcess, running_sidecar
from tests.support.waiting import wait_until

pytestmark = pytest.mark.browser

WEEK_AND_A_DAY_MS = 8 * 24 * 3600_000
#: two of them are more than the outbox may hold
LARGE_BYTES = 9 * 1024 * 1024
#: of what waits, `old` are made older than the bound, and the `large` behind them larger
SPOIL = """
const [old, large, older_ms, bytes, done] = arguments;
const request = indexedDB.open("tracemark");
request.onerror = () => done(String(request.error));
request.onsuccess = () => {
  const change = request.result.transaction("entries", "readwrite", {durability: "strict"});
  let place = 0;
  change.objectStore("entries").openCursor().onsuccess = ({target: {result: cursor}}) => {
    if (cursor === null || place >= old + large) return;
    const entry = cursor.value;
    cursor.update(place < old ? {...entry, put_ms: entry.put_ms - older_ms} : {...entry, bytes});
    place += 1;
    cursor.continue();
  };
  change.onabort = () => done(String(change.error));
  change.oncomplete = () => { request.result.close(); done(true); };
};"""
#: the sitting is one of yesterday: the next background begins another
END_SITTING = """
const [done] = arguments, {session} = (globalThis.browser ?? globalThis.chrome).storage;
session.remove("session").then(() => done(true), (error) => done(String(error)));"""


@pytest.fixture
def site() -> Iterator[Site]:
    with Site().serving() as served:
        yield served


class Away:
    """A browser in which a page of the site and the popup are open."""

    def __init__(self, browser: Tagged, site: Site) -> None:
        self.browser = browser
        self.driver = browser.driver
        browser.go(f"{site.url}/app")
        self.page = self.driver.current_window_handle
        browser.own_page("popup.html")
        self.popup = self.driver.current_window_handle

    def act(self, times: int) -> None:
        """So many actions in the page; then the popup again."""
        self.driver.switch_to.window(self.page)
        self.browser.wait_recording(True)
        for _ in range(times):
            self.browser.click("scroll")
        self.driver.switch_to.window(self.popup)

    def unsent(self) -> dict[str, Any]:
        found: dict[str, Any] = self.browser.ask({"type": "overview"})["unsent"]
        return found

    def waits(self, count: int) -> None:
        wait_until(lambda: self.unsent()["count"] == count, f"{count} markers to wait, not {self.unsent()}")

    def change(self, script: str, *values: int) -> None:
        """Do this to what the extension keeps, and let another background find it so."""
        assert self.driver.execute_async_script(script, *values) is True
        self.browser.kill_background()


def lost(sidecar: SidecarProcess) -> int:
    """How many items the sidecar was told to be lost, since it runs."""
    with urllib.request.urlopen(f"http://{sidecar.http}/metrics", timeout=60) as answer:
        text = answer.read().decode()
    found = re.search(r'^tracemark_items_lost_by_clients\{part="markers"\} (\d+)$', text, re.MULTILINE)
    assert found is not None, text
    return int(found[1])


@pytest.mark.parametrize("kind", BROWSERS)
def test_what_a_long_absence_costs_is_bounded_counted_and_told(kind: str, tmp_path: Path, site: Site) -> None:
    with running_sidecar(tmp_path) as sidecar:
        sidecar.kill()
        built = build_for_test(tmp_path / "extension", sites=(site.url,), sidecar_url=f"ws://{sidecar.markers}/markers")
        carry(built, consent="given")
        with tagged(kind, built, tmp_path / "browser") as browser:
            away = Away(browser, site)
            away.act(3)
            away.waits(6)
            away.change(SPOIL, 2, 2, WEEK_AND_A_DAY_MS, LARGE_BYTES)
            away.waits(4)
            assert away.unsent()["dropped_by"] == {"age": 2, "bytes": 0, "count": 0, "full": 0}
            away.act(1)
            wait_until(lambda: away.unsent()["dropped_by"]["bytes"] == 1, f"room to be made, not {away.unsent()}")
            away.waits(5)
            told = browser.driver.find_element(By.ID, "dropped")
            wait_until(lambda: told.text.startswith("3 markers were dropped"), "the popup to say so")

            sidecar.start()
            browser.driver.find_element(By.ID, "again").click()
            away.waits(0)
            assert [seq for _, seq, *_ in markers_in(sidecar.journal)] == [4, 5, 6, 7, 8]
            assert lost(sidecar) == 3

            # nothing is left of a sitting but the numbers of what was lost
            sidecar.kill()
            away.act(1)
            away.waits(2)
            away.change(SPOIL, 2, 0, WEEK_AND_A_DAY_MS, 0)
            away.change(END_SITTING)
            away.act(1)
            away.waits(2)
            sidecar.start()
            browser.driver.find_element(By.ID, "again").click()
            away.waits(0)
            stored = markers_in(sidecar.journal)
            assert [seq for _, seq, *_ in stored] == [4, 5, 6, 7, 8, 1, 2]
            assert len({session for session, *_ in stored}) == 2
            assert lost(sidecar) == 2


#: by how much this computer's clock is ahead of the page's timeline, at an edge of its milliseconds
LEAD = """
const since = Date.now();
let now = since;
while (now === since) now = Date.now();
return now - (performance.timeOrigin + performance.now());"""


def begins_in(journal: Path) -> list[tuple[int, int, int]]:
    """(wall_ns, offset_ns, offset_error_ns) of each action's begin, in the order of storing."""
    with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as opened:
        return opened.execute(
            "SELECT wall_ns, offset_ns, offset_error_ns FROM markers"
            " WHERE (SELECT name FROM names WHERE no = phase) = 'begin' ORDER BY position"
        ).fetchall()


@pytest.mark.parametrize(("kind", "ahead_ms"), [("chromium", 5000), ("firefox", -5000)])
def test_times_are_the_sidecars_although_the_clocks_are_apart(
    kind: str, ahead_ms: int, tmp_path: Path, site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    """5 s apart, 100 ppm of drift, 100 ms of jitter each way. TRACEMARK_CLOCK_ACTIONS measures with so many actions (12)."""
    measured = os.environ.get("TRACEMARK_CLOCK_ACTIONS")
    actions = int(measured or "12")
    clock = FarClock(ahead_ms, 100)
    leads_ms: list[float] = []
    with running_sidecar(tmp_path, clock.settings(tmp_path / "clock")) as sidecar, jittery(sidecar.markers, 100, 1) as way:
        built = build_for_test(tmp_path / "extension", sites=(site.url,), sidecar_url=f"ws://{way}/markers")
        carry(built, consent="given")
        with tagged(kind, built, tmp_path / "browser") as browser:
            browser.go(f"{site.url}/app")
            for count in range(1, actions + 1):
                browser.click("scroll")
                leads_ms.append(min((browser.driver.execute_script(LEAD) for _ in range(3)), key=abs))
                wait_until(lambda: len(markers_in(sidecar.journal)) >= 2 * count, f"{count} actions")  # noqa: B023
    found = begins_in(sidecar.journal)
    errors_ms = [
        (offset_ns - clock.ahead_ns(wall_ns)) / 1e6 - lead_ms
        for (wall_ns, offset_ns, _), lead_ms in zip(found, leads_ms, strict=True)
    ]
    sizes = sorted(map(abs, errors_ms))
    median, p99 = statistics.median(sizes), sizes[round(0.99 * (len(sizes) - 1))]
    with capsys.disabled():
        print(f"\n{kind}, {ahead_ms} ms apart, {len(sizes)} actions: median {median:.1f} ms, 99th percentile {p99:.1f} ms")
    assert len(found) == actions
    for error_ms, (_, _, bound_ns) in zip(errors_ms, found, strict=True):
        assert abs(error_ms) <= bound_ns / 1e6, "the bound that travels with each time holds"
    assert p99 < 50
    if measured:  # the first seconds know less than what is aimed at over a session
        assert median < 10
