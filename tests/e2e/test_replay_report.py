"""`tracemark report` on folders of runs: what it prints, and its page in a real browser, narrow and wide, light and dark."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from replay.chromium import BrowserPaths
from replay.report.runs import USAGE
from sidecar.__main__ import main
from tests.support.replay_runs import ACTIONS, READING, manifest, usage_answer, write_run

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of two scenarios in three setups, one of the runs half."""
    out = tmp_path_factory.mktemp("runs")
    for scenario, actions in (("researcher", ACTIONS), ("radiologist", READING)):
        for setup in ("lan", "vpn", "wan"):
            known = manifest(f"{scenario}-{setup}", setup=setup, scenario=scenario, repetitions=8)
            path = write_run(out, known, actions=actions, played=2 if (scenario, setup) == ("radiologist", "vpn") else None)
            (path / USAGE).write_text(json.dumps(usage_answer(list(actions), 8)))
    assert main(["report", str(out), "--out", str(out / "page.html")]) == 0
    return out / "page.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    paths = BrowserPaths.find(os.environ, None, None)
    options = webdriver.ChromeOptions()
    options.binary_location = paths.browser
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(paths.driver))
    try:
        yield driver
    finally:
        driver.quit()


def shown(browser: webdriver.Chrome, page: Path, mode: str, wide: int) -> None:
    media = {"features": [{"name": "prefers-color-scheme", "value": mode}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    screen = {"width": wide, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    browser.get(page.as_uri())


#: the text of everything that is cut off or lies outside the screen, tables in their scrolling frames aside
CUT = """
const out = [];
for (const one of document.querySelectorAll("h1,h2,figcaption,.group,.row b,.row span,.row svg,p,li")) {
  if (one.closest(".wide")) continue;
  const at = one.getBoundingClientRect();
  if (at.width && (at.right > document.documentElement.clientWidth + 1 || at.left < -1)) out.push(one.textContent.slice(0, 60));
}
return out;
"""
#: numbers at an axis that stand on each other
CROWDED = """
return [...document.querySelectorAll(".axis svg")].flatMap(axis => {
  const at = [...axis.querySelectorAll("text")].map(text => text.getBoundingClientRect());
  return at.slice(1).filter((one, index) => one.left < at[index].right + 2).map(() => axis.textContent);
});
"""
#: what a box looks like: where it is in its drawing (0 to 1), and its fill
BOXES = """
return [...document.querySelectorAll(".row svg .box")].map(box => {
  const frame = box.closest("svg").getBoundingClientRect(), at = box.getBoundingClientRect();
  return [(at.left - frame.left) / frame.width, (at.right - frame.left) / frame.width, getComputedStyle(box).fill];
});
"""


@pytest.mark.parametrize("wide", [1280, 400])
@pytest.mark.parametrize("mode", ["light", "dark"])
def test_the_page_fits_the_screen_in_both_modes(browser: webdriver.Chrome, page: Path, mode: str, wide: int) -> None:
    shown(browser, page, mode, wide)
    assert browser.execute_script(CUT) == []
    assert browser.execute_script(CROWDED) == []
    assert browser.execute_script("return document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    back, ink = browser.execute_script(
        "const s = getComputedStyle(document.body); return [s.backgroundColor, s.color].map(c => c.match(/\\d+/g).map(Number));"
    )
    assert (sum(back) < sum(ink)) == (mode == "dark")
    said: Any = browser.get_log("browser")  # type: ignore[no-untyped-call]
    assert said == []


def test_boxes_are_drawn_where_their_numbers_say(browser: webdriver.Chrome, page: Path) -> None:
    shown(browser, page, "light", 1280)
    boxes: list[tuple[float, float, str]] = browser.execute_script(BOXES)
    # five finished runs in each direction, and their actions; the half run has too few values for boxes
    assert len(boxes) == 2 * 5 + 3 * len(ACTIONS) + 2 * len(READING)
    assert all(-0.01 <= left < right <= 1.01 for left, right, _ in boxes)
    assert "rgb(0, 158, 115)" in {fill for _, _, fill in boxes}, "OPEN VIEWER has its colour of the catalogue"
    dots = browser.execute_script("return document.querySelectorAll('.row svg circle').length")
    assert dots >= 2 * (2 + len(READING)), "each value of the half run is drawn"


def test_the_same_folders_are_a_table_on_the_terminal(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(page.parent)]) == 0
    told = capsys.readouterr().out
    assert told.index("radiologist-lan:") < told.index("radiologist-wan:") < told.index("researcher-lan:")
    assert "researcher: throughput down" in told
    assert "radiologist-vpn is unfinished: 2 of 8 repetitions." in told
    assert main(["report", str(page.parent), "--format", "json"]) == 0
    read: dict[str, Any] = json.loads(capsys.readouterr().out)
    down = {run["run"]: run["down_bytes_per_s"]["median"] for run in read["runs"]}
    up = {run["run"]: run["up_bytes_per_s"]["median"] for run in read["runs"]}
    assert down["researcher-lan"] > down["researcher-wan"] > down["researcher-vpn"], "as the made-up networks are"
    assert all(down[run] > 10 * up[run] for run in down)
