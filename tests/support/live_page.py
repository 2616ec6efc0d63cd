"""The live page in a real browser, over a journal of made-up records that keeps growing."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By

from sidecar.clock import SystemClock
from sidecar.model.records import Gap
from tests.support.waiting import wait_until
from tests.support.web import Lab, S, Site, served, site

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

    def hold(self) -> None:
        """Keep it from moving on, as a person who points at something would on a slow machine."""
        self.find("#pause").click()
        wait_until(lambda: self.text("#pause") == "Back to live", "the page to stand still")

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


@contextmanager
def headless() -> Iterator[webdriver.Chrome]:
    """A browser that keeps what it logs."""
    options = webdriver.ChromeOptions()
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--force-device-scale-factor=1"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver") or ""))
    try:
        yield driver
    finally:
        driver.quit()


@contextmanager
def living_page(browser: webdriver.Chrome, folder: Path) -> Iterator[Page]:
    """Twelve minutes of five sessions and a gap; the clock is the real one.

    The page shows fifteen minutes: the first of these actions leaves it when it is three minutes old, after the last test.
    """
    now_ns = time.time_ns()
    with site(folder, SystemClock()) as made:
        lab = Lab(now_ns - 740 * S, now_ns + 3600 * S)
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
