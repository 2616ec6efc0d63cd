"""A session, recorded by the extension from native input in each browser, is a scenario that the replayer plays as it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.common.actions.wheel_input import ScrollOrigin
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from replay.scenario import load_scenario
from tests.support.extension import BROWSERS, Tagged, build_whole, tagged
from tests.support.replay_site import CONTEXT_PATH, Site, site
from tests.support.waiting import wait_until

pytestmark = pytest.mark.browser

CANARY = "canary-zx81"
#: words wherever a page has some
PLANT = """
document.title = arguments[0];
for (const one of document.querySelectorAll("a, button, input, form, div")) {
  for (const name of ["aria-label", "title", "data-label", "placeholder"]) one.setAttribute(name, arguments[0]);
}
for (const one of document.querySelectorAll("a, button")) one.append(arguments[0]);
"""
#: a pause that is long enough to be told from what the driver takes
LOOKING_MS = 600
ACTIONS = ["login", "filter_search", "page_load", "open_viewer", "scroll", "change_scan", "play", "page_load", "logout"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """The saved file, and what the options showed of it."""

    file: Path
    told: str
    notes: list[str]
    overview: dict[str, Any]

    @property
    def text(self) -> str:
        return self.file.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("recorder-lab")) as running:
        yield running


class Person:
    """Somebody with a browser who uses the practice system."""

    def __init__(self, browser: Tagged, lab: Site) -> None:
        self.browser = browser
        self.lab = lab

    def see(self, selector: str, place: int = 0) -> WebElement:
        """The first (or a later) element that is shown, as soon as there is one."""

        def look() -> WebElement | None:
            with suppress(StaleElementReferenceException):
                shown = [one for one in self.browser.driver.find_elements(By.CSS_SELECTOR, selector) if one.is_displayed()]
                return shown[place] if len(shown) > place else None
            return None

        found = wait_until(look, selector, 40)
        assert found is not None
        return found

    def click(self, selector: str, place: int = 0) -> None:
        self.see(selector, place).click()

    def images(self, count: int) -> None:
        """Wait until the scan that is shown is there to its last slice."""
        script = "return [...document.querySelectorAll('.overlay-element')].map((one) => one.textContent).join(' ')"
        wait_until(lambda: f"/{count}" in self.browser.driver.execute_script(script).replace(" ", ""), f"{count} slices", 60)

    def wheel(self, notches: int) -> None:
        chain = ActionChains(self.browser.driver, duration=0)
        origin = ScrollOrigin.from_element(self.see(".viewport-element"))
        for _ in range(abs(notches)):
            chain.scroll_from_origin(origin, 0, 100 if notches > 0 else -100)
        chain.perform()

    def looks(self, milliseconds: float = LOOKING_MS) -> None:
        """Let the page's time pass, as a person does between two gestures."""
        since = self.browser.driver.execute_script("return performance.now()")
        wait_until(lambda: self.browser.driver.execute_script("return performance.now()") - since > milliseconds, "a while")

    def reads_an_exam(self) -> None:
        """Log in, search, open the viewer, scroll, change the scan, play, log out."""
        driver = self.browser.driver
        self.see("#username").send_keys("radiologist")
        self.see("#password").send_keys(self.lab.lab.users["radiologist"])
        self.click("#loginButton")
        self.see("#searchValue").send_keys("COVID_000", Keys.ENTER)
        self.click("tr[data-id=XNAT_E00001] a")
        self.click("#ohifViewer")
        self.see("[data-cy=thumbnail-list]", 1)
        self.images(60)
        self.looks()
        self.wheel(5)
        self.looks()
        self.click("[data-cy=thumbnail-list]", 1)
        self.images(80)
        self.looks()
        self.click("[data-cy=cine]")
        self.click(".CineDialog button[title='Play / Stop']")
        wait_until(lambda: driver.find_elements(By.CSS_SELECTOR, ".CineDialog svg[name=stop]"), "it to play")
        self.looks()
        self.click(".CineDialog button[title='Play / Stop']")
        self.looks()
        driver.get(f"{self.lab.url}/app/template/Index.vm?{CANARY}={CANARY}#{CANARY}")
        self.see("#searchValue").send_keys(CANARY)
        driver.execute_script(PLANT, CANARY)
        self.click("#logout_user")
        self.see("#login_form")


def record(kind: str, lab: Site, folder: Path) -> Recorded:
    """What the options of a browser save of one person's exam."""
    settings = {"consent": "given", "recorder": True}
    built = build_whole(
        folder / "built", settings, sites=(lab.lab.url,), context_path=CONTEXT_PATH, sidecar_url="ws://127.0.0.1:9/markers"
    )
    with tagged(kind, built, folder) as browser:
        driver = browser.driver
        person = Person(browser, lab)
        page = driver.current_window_handle
        browser.own_page("options.html")
        options = driver.current_window_handle
        person.see("#scenario-start")
        driver.switch_to.window(page)
        driver.get(lab.url + "/app/template/Login.vm")
        driver.switch_to.window(options)
        person.click("#scenario-start")
        wait_until(lambda: browser.ask({"type": "overview"})["scenario"].get("on"), "the recording")
        assert browser.ask({"type": "overview"})["badge"]["text"] == "rec"
        driver.switch_to.window(page)
        person.reads_an_exam()
        driver.switch_to.window(options)
        so_far = browser.ask({"type": "overview"})["scenario"]
        wait_until(lambda: browser.ask({"type": "overview"})["scenario"]["actions"] >= len(ACTIONS), f"all actions, not {so_far}")
        person.click("#scenario-stop")
        person.click("#scenario-save")
        told, notes = person.see("#scenario-told").text, driver.find_elements(By.CSS_SELECTOR, "#scenario-notes li")
        files = wait_until(lambda: list((folder / "downloads").glob("*.json")), "the file")
        overview = browser.ask({"type": "overview"})
        return Recorded(file=files[0], told=told, notes=[one.text for one in notes], overview=overview)


@pytest.fixture(scope="module")
def recordings(lab: Site, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Recorded]:
    """The same exam as each kind of browser recorded it, once."""
    return cache(lambda kind: record(kind, lab, tmp_path_factory.mktemp(f"recorder-{kind}")))


def played(recorded: Recorded) -> list[dict[str, Any]]:
    """The steps of a file but for how long each took."""
    steps: list[dict[str, Any]] = json.loads(recorded.text)["steps"]
    return [{name: value for name, value in step.items() if name not in ("think", "notches_per_s")} for step in steps]


@pytest.mark.parametrize("kind", BROWSERS)
def test_a_recorded_session_is_a_scenario_of_the_same_actions(kind: str, recordings: Callable[[str], Recorded]) -> None:
    recorded = recordings(kind)
    scenario = load_scenario(str(recorded.file))
    assert [step.action for step in scenario.steps if step.begins] == ACTIONS
    assert recorded.notes == []
    assert all(len(step.targets) >= 2 for step in scenario.steps if step.kind in ("click", "type", "wheel"))
    pauses = {f"{step.action} {step.part}": step.think.seconds if step.think else 0 for step in scenario.steps if step.action}
    looked = ["change_scan whole", "play end"]  # after something that was over with the gesture itself
    assert all(LOOKING_MS / 1000 <= pauses[one] < 30 for one in looked), pauses
    assert scenario.parameters == {
        "user": "${env:XNAT_USER}",
        "password": "${env:XNAT_PASSWORD}",
        "text1": "${env:TEXT1}",
        "text2": "${env:TEXT2}",
        "pace": 1,
    }


@pytest.mark.parametrize("kind", BROWSERS)
def test_nothing_that_was_typed_or_is_read_is_in_the_file(kind: str, recordings: Callable[[str], Recorded], lab: Site) -> None:
    recorded = recordings(kind)
    for typed in (CANARY, "COVID_000", lab.lab.users["radiologist"]):
        assert typed not in recorded.text
        assert typed not in json.dumps(recorded.overview)


def test_both_browsers_record_the_same_steps(recordings: Callable[[str], Recorded]) -> None:
    """So that what is played below, of the one, is also the other's."""
    assert played(recordings("firefox")) == played(recordings("chromium"))


def test_the_replayer_plays_it_as_it_is_with_the_same_actions(
    recordings: Callable[[str], Recorded], lab: Site, tmp_path: Path
) -> None:
    recorded = recordings("firefox")
    command = [sys.executable, "-m", "sidecar", "replay", str(recorded.file), "--url", lab.url, "--setup", "lan"]
    command += ["--markers", "none", "--out", str(tmp_path), "--set", "pace=40"]
    environment = lab.environment("radiologist") | {"TEXT1": "COVID_000", "TEXT2": "nothing"}
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    (file,) = tmp_path.glob("*/repetition-*/result.json")  # what a machine spoilt meanwhile and was played again stands elsewhere
    result = json.loads(file.read_text(encoding="utf-8"))
    assert [(one["action"], one["outcome"]) for one in result["actions"]] == [(one, "completed") for one in ACTIONS]
    steps = load_scenario(str(recorded.file)).steps
    assert [step["number"] for step in result["steps"]] == [step.number for step in steps], "all of them"
    assert [(step["name"], step["locator"]) for step in result["steps"] if step["rank"]] == []
