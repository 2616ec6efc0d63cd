"""The live page in a real browser: what it draws and says, by itself and over time."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver

from sidecar.clock import SystemClock
from sidecar.model.records import Gap, Marker
from tests.support.live_page import Page
from tests.support.waiting import wait_until
from tests.support.web import Lab, S, served, site

pytestmark = pytest.mark.browser


def mine(page: Page, name: str) -> Any:
    return next(action for action in page.lab.actions if action.action == name)


def test_regions_are_drawn_in_the_actions_colour_and_named_on_hover(page: Page) -> None:
    page.open()
    page.hold()
    viewer = mine(page, "open_viewer")
    share = page.share_of(viewer.start_ns + viewer.duration_ns // 2)
    # the pixel near the top of the chart, above the curves: green (OPEN VIEWER) on the panel's grey
    red, green, blue, _ = page.js(
        """const plot = document.querySelector('.plot[data-container=xnat-web]');
        const canvas = plot.querySelector('canvas'), over = plot.querySelector('.u-over');
        const box = over.getBoundingClientRect(), own = canvas.getBoundingClientRect();
        const x = (box.left - own.left + box.width * arguments[0]) * canvas.width / own.width;
        const y = (box.top - own.top + 3) * canvas.height / own.height;
        return [...canvas.getContext('2d').getImageData(Math.round(x), Math.round(y), 1, 1).data]""",
        share,
    )
    assert green > red + 25
    assert green > blue + 8
    page.point("xnat-web", share)
    wait_until(lambda: "OPEN VIEWER" in page.text("#tip"), "the action's name")
    tip = page.text("#tip")
    assert "CPU" in tip
    assert "of one core" in tip
    assert "GiB" in tip
    assert f"radiologist {viewer.session[-4:]}" in tip


def test_a_gap_is_hatched_broken_and_gives_its_reason(page: Page) -> None:
    page.open()
    page.hold()
    gap = page.lab.gaps[0]
    page.point("xnat-db", page.share_of((gap.start_ns + (gap.end_ns or 0)) // 2))
    wait_until(lambda: "gap: container restarted" in page.text("#tip"), "the gap's reason")
    assert "no sample" in page.text("#tip")
    page.point("xnat-web", page.share_of((gap.start_ns + (gap.end_ns or 0)) // 2))
    wait_until(lambda: "xnat-web" in page.text("#tip"), "the other chart")
    assert "gap" not in page.text("#tip")


def test_the_crosshair_is_shared(page: Page) -> None:
    page.open()
    page.point("xnat-web", 0.4)
    script = "return [...document.querySelectorAll('.u-cursor-x')].map((line) => line.getBoundingClientRect().left)"
    lefts = wait_until(lambda: (found := page.js(script)) and found[0] > 0 and found, "crosshairs")
    assert len(lefts) == 3
    assert max(lefts) - min(lefts) < 1.5


def test_new_samples_and_actions_arrive_without_asking(page: Page) -> None:
    page.open()
    before = float(page.js("return Number(document.querySelector('.plot[data-container=xnat-web]').dataset.last)"))
    page.grow(max(1.0, (time.time_ns() - page.now_ns) / S))
    script = "return Number(document.querySelector('.plot[data-container=xnat-web]').dataset.last)"
    wait_until(lambda: float(page.js(script)) > before, "a sample that is newer")
    bars = int(page.js("return Number(document.querySelector('#lanes').dataset.bars)"))
    action = page.lab.act("upload", page.now_ns - 3 * S, 2 * S, page.lab.sessions[-1])
    page.site.journal.append([action])
    wait_until(lambda: page.js("return Number(document.querySelector('#lanes').dataset.bars)") == bars + 1, "the new action")
    page.lab.actions.remove(action)


def test_an_action_that_has_not_ended_is_drawn_up_to_now(page: Page) -> None:
    page.open()
    page.grow(max(1.0, (time.time_ns() - page.now_ns) / S))
    script = "return Number(document.querySelector('#lanes').dataset.bars)"
    bars = int(wait_until(lambda: page.js(script), "the lanes"))
    session = page.lab.sessions[-1].session
    page.site.open_actions.append(
        Marker(
            session=session,
            seq=1,
            action_id="feedfeedfeedfeed",
            action="download",
            phase="begin",
            wall_ns=page.now_ns - 5 * S,
            mono_ns=0,
            offset_ns=0,
            offset_error_ns=0,
            received_ns=page.now_ns - 5 * S,
        )
    )
    wait_until(lambda: page.js(script) == bars + 1, "the open action")
    page.site.open_actions.clear()
    wait_until(lambda: page.js(script) == bars, "its end")


def test_overlapping_actions_share_the_height_and_curves_end_where_samples_stay_away(page: Page) -> None:
    page.open()
    found = page.driver.execute_async_script(
        """const done = arguments[0];
        Promise.all([import('/static/js/regions.js'), import('/static/js/series.js')]).then(([regions, { Series, stepFor }]) => {
          const act = (name, start, end) => ({ name, start, end });
          const actions = [act('b', 10, 30), act('a', 20, 40), act('a', 25, 45), act('b', 90, 200)];
          const series = new Series(1000);
          const row = (time, cpu) => ({ time_ns: time * 1e6, cpu_percent: cpu, memory_bytes: 1 });
          series.extend([row(1000, 1), row(2000, 2), row(3000, 3)]);
          series.extend([row(3000, 4), row(4000, 5), row(60000, 6)]);
          done({
            segments: regions.segments(actions, 0, 100, ['a', 'b']),
            gathered: regions.gather(regions.segments(actions, 0, 100, ['a', 'b']), 20),
            rows: regions.rows(actions, 2).map((one) => one.row),
            plain: series.columns([])[1],
            gapped: series.columns([{ from: 1500, to: 1600 }])[1],
            steps: [stepFor(300e3), stepFor(900e3), stepFor(86400e3)],
          });
        });"""
    )
    names = [(one["from"], one["to"], one["names"], one["begins"]) for one in found["segments"]]
    assert names == [
        (10, 20, ["b"], ["b"]),
        (20, 30, ["a", "b"], ["a"]),
        (30, 45, ["a"], []),
        (90, 100, ["b"], ["b"]),
    ]
    assert found["gathered"]["wide"] == []
    columns = [(one["from"], one["share"], one["names"]) for one in found["gathered"]["columns"]]
    assert columns == [
        (0, 0.5, [["b", 1]]),
        (20, 1, [["a", pytest.approx(0.8)], ["b", pytest.approx(0.2)]]),
        (80, 0.5, [["b", 1]]),
    ]
    assert found["rows"] == [0, 1, 1, 0]
    assert found["plain"] == [1, 2, 4, 5, None, 6]
    assert found["gapped"] == [1, None, 2, 4, 5, None, 6]
    assert found["steps"] == [500, 1000, 120000]


def test_a_hidden_page_asks_nothing(page: Page) -> None:
    page.open()
    page.js("Object.defineProperty(document, 'hidden', {get: () => window.pretend, configurable: true}); window.pretend = true")
    count = "return performance.getEntriesByType('resource').filter((one) => one.name.includes('/api/')).length"
    quiet: list[int] = []

    def settled() -> bool:
        quiet.append(int(page.js(count)))
        return len(quiet) > 80 and quiet[-1] == quiet[-60]

    wait_until(settled, "the questions to end")
    page.js("window.pretend = false; document.dispatchEvent(new Event('visibilitychange'))")
    wait_until(lambda: int(page.js(count)) > quiet[-1], "the questions to begin again")


def test_nothing_is_asked_of_another_machine_and_nothing_fails(page: Page) -> None:
    page.errors()
    page.open()
    page.point("xnat-web", 0.5)
    names = page.js("return performance.getEntriesByType('resource').map((one) => one.name)")
    assert len(names) > 10
    assert [name for name in names if not name.startswith(page.url)] == []
    assert page.errors() == []


def test_what_others_wrote_is_shown_as_text(page: Page) -> None:
    reason = "<img src=x onerror=document.title='owned'>"
    gap = Gap(
        part="cgroup",
        subject="xnat-nginx",
        start_ns=page.lab.start_ns + 400 * S,
        end_ns=page.lab.start_ns + 430 * S,
        reason=reason,
    )
    page.site.journal.append([gap])
    page.site.ready["docker"] = (False, reason)
    page.open()
    page.hold()
    page.point("xnat-nginx", page.share_of(gap.start_ns + 15 * S))
    wait_until(lambda: reason in page.text("#tip"), "the reason as text")
    wait_until(lambda: reason in page.text("#health"), "the part's line as text")
    assert page.driver.title == "Tracemark · lab"
    page.site.ready["docker"] = (True, "")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 1920])
def test_it_reads_well_in_light_and_dark_at_both_widths(page: Page, page_folder: Path, theme: str, width: int) -> None:
    page.open(width, 1500, theme)
    page.hold()
    page.point("xnat-web", page.share_of(mine(page, "download").start_ns + 5 * S))
    wait_until(lambda: "DOWNLOAD" in page.text("#tip"), "the tip")
    page.driver.save_screenshot(str(page_folder / f"page-{theme}-{width}.png"))
    assert page.js("return document.documentElement.scrollWidth <= innerWidth"), "the page scrolls sideways"
    low = page.js(CONTRAST)
    assert low == [], "text below WCAG AA's 4.5 to 1"


#: texts whose colour is too near to the background behind them
CONTRAST = """
const parse = (text) => (text.match(/[\\d.]+/g) ?? []).map(Number);
const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
  .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
  .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
const behind = (one) => {
  for (let at = one; at; at = at.parentElement) {
    const colour = parse(getComputedStyle(at).backgroundColor);
    if (colour.length === 3 || colour[3] === 1) return colour;
  }
  return [255, 255, 255];
};
const low = [];
for (const one of document.querySelectorAll('body *')) {
  const own = [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
  if (!own || !one.checkVisibility() || one.closest('.skip, .spoken')) continue;
  const [a, b] = [light(parse(getComputedStyle(one).color)), light(behind(one))].sort((x, y) => y - x);
  const ratio = (a + 0.05) / (b + 0.05);
  if (ratio < 4.5) low.push(`${one.textContent.trim().slice(0, 30)}: ${ratio.toFixed(2)}`);
}
return low;
"""


def test_an_empty_journal_says_what_to_do_next(page_browser: webdriver.Chrome, tmp_path: Path, page_folder: Path) -> None:
    with site(tmp_path, SystemClock()) as made, served(made) as url:
        page_browser.get(url)
        page = Page(page_browser, url, made, Lab(0, 0), 0)
        wait_until(lambda: page.find("#empty").is_displayed(), "the empty state")
        assert "tracemark check" in page.text("#empty")
        assert not page.find("#older").is_displayed()
        page_browser.save_screenshot(str(page_folder / "page-empty.png"))


def test_a_sidecar_that_went_away_is_said(page_browser: webdriver.Chrome, tmp_path: Path) -> None:
    with site(tmp_path, SystemClock()) as made:
        with served(made) as url:
            page = Page(page_browser, url, made, Lab(0, 0), 0)
            page_browser.get(url)
            wait_until(lambda: page.text("#live-text").startswith("live"), "life")
        wait_until(lambda: page.find("#problem").is_displayed(), "the problem")
        assert "has not answered since" in page.text("#problem")
        assert page.text("#live-text") == "not connected"
