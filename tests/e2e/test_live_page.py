"""The live page in a real browser, over a journal of made-up records that keeps growing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from sidecar.clock import SystemClock
from sidecar.model.records import Gap, Marker
from tests.support.waiting import wait_until
from tests.support.web import Lab, S, Site, served, site

pytestmark = pytest.mark.browser
STEP_NS = S // 5


class Page:
    """The open page and the site behind it."""

    def __init__(self, driver: webdriver.Chrome, url: str, made: Site, lab: Lab, now_ns: int) -> None:
        self.driver = driver
        self.url = url
        self.site = made
        self.lab = lab
        self.now_ns = now_ns

    def open(self, width: int = 1280, height: int = 1500, theme: str = "light") -> None:
        features = [{"name": "prefers-color-scheme", "value": theme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        self.driver.set_window_size(width, height)
        self.driver.get(self.url)
        wait_until(lambda: self.js("return document.querySelectorAll('.usage tbody').length"), "the usage table")

    def js(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def find(self, selector: str) -> Any:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        return str(self.js("return document.querySelector(arguments[0]).textContent", selector))

    def point(self, container: str, share: float) -> None:
        """Move the pointer over a chart, `share` of its width from the left."""
        over = self.find(f".plot[data-container={container}] .u-over")
        ActionChains(self.driver).move_to_element_with_offset(over, round(over.size["width"] * (share - 0.5)), 0).perform()

    def share_of(self, time_ns: int) -> float:
        """Where a time lies on the charts now, from 0 (left) to 1."""
        low, high = self.range()
        return (time_ns / 1e6 - low) / (high - low)

    def range(self) -> tuple[float, float]:
        """What the page shows, in milliseconds, as it tells it: day and times are local, so read it from a chart instead."""
        found = self.js("const x = document.querySelector('.plot').dataset; return [Number(x.from), Number(x.to)]")
        return float(found[0]), float(found[1])

    def grow(self, seconds: float = 1.0) -> None:
        """Let the containers give more samples, up to `seconds` later than the last ones."""
        until = self.now_ns + round(seconds * S)
        self.site.journal.append(self.lab.samples(self.now_ns, until, STEP_NS))
        self.now_ns = until

    def errors(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]  # type: ignore[no-untyped-call]


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--force-device-scale-factor=1"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots go, to be looked at."""
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def page(browser: webdriver.Chrome, folder: Path) -> Iterator[Page]:
    """Fourteen minutes of three users, a gap, and the web server's memory; the clock is the real one."""
    now_ns = time.time_ns()
    with site(folder, SystemClock()) as made:
        lab = Lab(now_ns - 840 * S, now_ns + 3600 * S)
        for number in range(5):
            lab.sit("radiologist" if number % 2 == 0 else "researcher", 20 + 150 * number)
        lab.actions = [action for action in lab.actions if action.end_ns < now_ns]
        lab.gaps.append(
            Gap(
                part="cgroup",
                subject="xnat-db",
                start_ns=lab.start_ns + 300 * S,
                end_ns=lab.start_ns + 345 * S,
                reason="container restarted",
            )
        )
        lab.fill(made.journal, lab.samples(lab.start_ns, now_ns, STEP_NS))
        with served(made) as url:
            yield Page(browser, url, made, lab, now_ns)


def mine(page: Page, name: str) -> Any:
    return next(action for action in page.lab.actions if action.action == name)


def test_regions_are_drawn_in_the_actions_colour_and_named_on_hover(page: Page) -> None:
    page.open()
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


def test_pause_stops_the_page_and_back_to_live_moves_it_again(page: Page) -> None:
    page.open()
    page.find("#pause").click()
    assert page.text("#pause") == "Back to live"
    assert page.text("#live-text").startswith("paused at ")
    still = page.range()
    asked = page.js("return performance.getEntriesByType('resource').filter((one) => one.name.includes('/samples')).length")
    page.grow()
    # health is asked every five seconds while paused: when two of its answers are in, the curves had time to move
    script = "return performance.getEntriesByType('resource').filter((one) => one.name.includes('/health')).length"
    seen = page.js(script)
    wait_until(lambda: page.js(script) >= seen + 1, "time to pass")
    assert page.range() == still
    again = page.js("return performance.getEntriesByType('resource').filter((one) => one.name.includes('/samples')).length")
    assert again <= asked + 3  # what was under way when the button was pressed
    page.find("#pause").click()
    wait_until(lambda: page.range()[1] > still[1], "the page to move")
    assert page.text("#pause") == "Pause"


def test_dragging_zooms_and_escape_goes_back_to_live(page: Page) -> None:
    page.open()
    low, high = page.range()
    over = page.find(".plot[data-container=xnat-web] .u-over")
    width = over.size["width"]
    chain = ActionChains(page.driver).move_to_element_with_offset(over, round(width * -0.2), 0).click_and_hold()
    chain.move_by_offset(round(width * 0.1), 0).release().perform()
    wait_until(lambda: page.range()[1] - page.range()[0] < (high - low) * 0.2, "the zoom")
    near, far = page.range()
    assert near == pytest.approx(low + 0.3 * (high - low), abs=5000)
    assert far == pytest.approx(low + 0.4 * (high - low), abs=5000)
    wait_until(lambda: "looking back" in page.text("#live-text"), "the state")
    page.find(".plot[data-container=xnat-web]").send_keys(Keys.ESCAPE)
    wait_until(lambda: page.range()[1] - page.range()[0] == pytest.approx(900e3), "the whole range")


def test_ranges_are_picked_and_the_usage_table_follows(page: Page) -> None:
    page.open()
    page.find("[data-range='300']").click()
    wait_until(lambda: page.range()[1] - page.range()[0] == pytest.approx(300e3), "five minutes")
    assert page.find("[data-range='300']").get_attribute("aria-pressed") == "true"
    page.find("[data-range='900']").click()
    wait_until(lambda: page.js("return document.querySelectorAll('.usage tbody').length") >= 8, "the table of fifteen minutes")


def test_a_range_of_ones_own_is_given_in_local_time(page: Page) -> None:
    page.open()
    low, _ = page.range()
    page.find("#custom").click()
    wait_until(lambda: page.find("#range-dialog").is_displayed(), "the dialog")
    page.js("document.querySelector('#range-to').value = document.querySelector('#range-from').value")
    page.find("#range-form .main").click()
    assert page.text("#range-wrong") == "From must be earlier than To."
    local = "new Date(arguments[0] - 60000 * new Date(arguments[0]).getTimezoneOffset()).toISOString().slice(0, 19)"
    page.js(f"document.querySelector('#range-to').value = {local}", low + 60_000)
    page.find("#range-form .main").click()
    wait_until(lambda: page.range()[1] - page.range()[0] < 62_000, "the minute")
    assert page.range()[0] == pytest.approx(low, abs=2500)
    assert not page.find("#range-dialog").is_displayed()


def test_the_theme_can_be_chosen_against_the_systems_and_is_kept(page: Page) -> None:
    page.open(theme="dark")
    background = "return getComputedStyle(document.body).backgroundColor"
    dark = page.js(background)
    page.find("#theme").click()
    light = page.js(background)
    assert light != dark
    page.open(theme="dark")
    assert page.js(background) == light
    page.js("localStorage.clear()")
    page.open(theme="dark")
    assert page.js(background) == dark


def test_the_usage_table_can_be_a_roles_as_in_the_study(page: Page) -> None:
    page.open()
    assert "DOWNLOAD & LOGOUT" not in page.text("#usage-body")
    page.find("[data-table=researcher]").click()
    wait_until(lambda: "DOWNLOAD & LOGOUT" in page.text("#usage-body"), "the sum")
    assert "OPEN VIEWER" not in page.text("#usage-body")
    page.find("[data-table=radiologist]").click()
    wait_until(lambda: "OPEN VIEWER" in page.text("#usage-body"), "the radiologist's table")
    assert "DOWNLOAD" not in page.text("#usage-body")


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


def test_everything_can_be_done_with_the_keyboard(page: Page) -> None:
    page.open()
    chart = page.find(".plot[data-container=xnat-web]")
    page.js("arguments[0].focus()", chart)
    chart.send_keys(Keys.HOME)
    for _ in range(3):
        chart.send_keys(Keys.SHIFT, Keys.ARROW_RIGHT)
    wait_until(lambda: "xnat-web" in page.text("#spoken"), "the value, told to a screen reader")
    before = page.range()
    chart.send_keys("+")
    wait_until(lambda: page.range()[1] - page.range()[0] < (before[1] - before[0]) * 0.6, "the zoom by key")
    page.js("arguments[0].focus()", chart)
    chart.send_keys(Keys.ESCAPE)
    lanes = page.find("#lanes")
    wait_until(lambda: page.js("return Number(document.querySelector('#lanes').dataset.bars)") > 10, "the lanes")
    page.js("arguments[0].focus()", lanes)
    lanes.send_keys(Keys.ARROW_RIGHT)
    wait_until(lambda: "LOGIN" in page.text("#spoken"), "the first action's name")
    lanes.send_keys(Keys.ARROW_RIGHT)
    wait_until(lambda: "PAGE LOAD" in page.text("#spoken"), "the next one's")
    assert "CPU-s" in page.text("#tip")


def test_filters_take_away_what_is_not_wanted(page: Page) -> None:
    page.open()
    bars = "return Number(document.querySelector('#lanes').dataset.bars)"
    whole = int(page.js(bars))
    session = page.lab.sessions[1].session
    Select(page.find("#session")).select_by_value(session)
    alone = wait_until(lambda: (found := int(page.js(bars))) < whole and found, "one session")
    assert alone == sum(action.session == session for action in page.lab.actions)
    Select(page.find("#session")).select_by_value("")
    wait_until(lambda: int(page.js(bars)) == whole, "all sessions")
    page.driver.find_element(By.XPATH, "//button[contains(@class,'chip')][contains(.,'OPEN VIEWER')]").click()
    viewers = sum(action.action == "open_viewer" for action in page.lab.actions)
    wait_until(lambda: int(page.js(bars)) == whole - viewers, "OPEN VIEWER gone")
    wait_until(lambda: "OPEN VIEWER" not in page.text("#usage-body"), "its rows gone")
    Select(page.find("#source")).select_by_value("access-log")
    wait_until(lambda: int(page.js(bars)) == 0, "no action of the access log")
    assert "tracemark replay" in page.text("#lanes-empty")


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
    page.point("xnat-nginx", page.share_of(gap.start_ns + 15 * S))
    wait_until(lambda: reason in page.text("#tip"), "the reason as text")
    wait_until(lambda: reason in page.text("#health"), "the part's line as text")
    assert page.driver.title == "Tracemark · lab"
    page.site.ready["docker"] = (True, "")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 1920])
def test_it_reads_well_in_light_and_dark_at_both_widths(page: Page, folder: Path, theme: str, width: int) -> None:
    page.open(width, 1500, theme)
    page.point("xnat-web", page.share_of(mine(page, "download").start_ns + 5 * S))
    wait_until(lambda: "DOWNLOAD" in page.text("#tip"), "the tip")
    page.driver.save_screenshot(str(folder / f"page-{theme}-{width}.png"))
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


def test_an_empty_journal_says_what_to_do_next(browser: webdriver.Chrome, tmp_path: Path, folder: Path) -> None:
    with site(tmp_path, SystemClock()) as made, served(made) as url:
        browser.get(url)
        page = Page(browser, url, made, Lab(0, 0), 0)
        wait_until(lambda: page.find("#empty").is_displayed(), "the empty state")
        assert "tracemark check" in page.text("#empty")
        assert not page.find("#older").is_displayed()
        browser.save_screenshot(str(folder / "page-empty.png"))


def test_a_sidecar_that_went_away_is_said(browser: webdriver.Chrome, tmp_path: Path) -> None:
    with site(tmp_path, SystemClock()) as made:
        with served(made) as url:
            page = Page(browser, url, made, Lab(0, 0), 0)
            browser.get(url)
            wait_until(lambda: page.text("#live-text").startswith("live"), "life")
        wait_until(lambda: page.find("#problem").is_displayed(), "the problem")
        assert "has not answered since" in page.text("#problem")
        assert page.text("#live-text") == "not connected"
