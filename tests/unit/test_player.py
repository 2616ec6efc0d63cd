"""One repetition: markers, labels of requests, results, and what happens when a step fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from replay.player import Player, StepError, traceparent
from replay.results import Repetition
from replay.values import Values
from tests.support.replay_fakes import ENVIRONMENT, FakeBrowser, FakeTime, RecordingMarkers, click, scenario, viewer

SESSION = "0af7651916cd43dd8448eb211c80319c"


class Stand:
    """A player with everything it needs, in memory."""

    def __init__(self, folder: Path, *steps: dict[str, Any], time: FakeTime | None = None, **parameters: Any) -> None:
        self.folder = folder
        downloads = folder / "downloads"
        downloads.mkdir()
        self.browser = FakeBrowser(downloads)
        self.markers = RecordingMarkers()
        self.time = time or FakeTime()
        self.scenario = scenario(*steps, parameters={"password": "${env:XNAT_PASSWORD}", **parameters})
        self.said: list[str] = []
        self.result = Repetition(
            run="r1", setup="lan", scenario="test", role="tester", repetition=1, session=SESSION, seed=7, started_ns=1,
            versions={},
        )  # fmt: skip

    def play(self) -> None:
        player = Player(site="http://site/", out=self.folder, clock=self.time.clock(), say=self.said.append)
        player.play(self.scenario, Values(self.scenario, {}, ENVIRONMENT), self.browser, self.markers, self.result)


def test_the_header_is_w3c_trace_context() -> None:
    assert traceparent(SESSION) == f"00-{SESSION}-0000000000000001-01"


def test_an_action_begins_right_before_its_input_and_ends_when_its_effect_is_there(tmp_path: Path) -> None:
    stand = Stand(tmp_path, click(action="login", expect=[{"kind": "page"}]))
    stand.time = FakeTime((2.0, lambda: stand.browser.show("/home")))
    stand.play()
    assert stand.markers.told == [("begin", "login", {}), ("end", "login", {"evidence": "navigation"})]
    no_action, login = "label 0000000000000001", "label 0000000000000002"
    assert stand.browser.did == [no_action, "aim go", login, "click", no_action]
    (action,) = stand.result.actions
    assert action.duration_ns == pytest.approx(2e9, rel=0.02)
    assert (action.action, action.outcome, stand.said) == ("login", "completed", ["login 2.00 s"])


def test_a_step_without_an_action_marks_nothing(tmp_path: Path) -> None:
    stand = Stand(tmp_path, click())
    stand.play()
    assert stand.markers.told == []
    assert [step.locator for step in stand.result.steps] == ["css=#go"]


def test_an_action_over_several_steps_is_one_action(tmp_path: Path) -> None:
    stand = Stand(
        tmp_path,
        click(action="play", part="begin"),
        click(action="play", part="inside"),
        click(action="play", part="end", expect=[{"kind": "icon", "targets": ["css=#go"], "name": "play"}]),
    )
    stand.browser.viewer, stand.browser.icon = viewer(images=4), "play"
    clicks: list[str] = []

    def paint(what: str) -> None:
        if what == "click" and stand.browser.viewer is not None:
            clicks.append(what)
            stand.browser.viewer["images"] += 10

    stand.browser.on_input = paint
    stand.play()
    assert stand.markers.told == [("begin", "play", {}), ("end", "play", {"evidence": "state", "images": 30})]
    assert len(clicks) == 3


def test_the_first_image_is_told_from_the_begin_of_the_action(tmp_path: Path) -> None:
    stand = Stand(tmp_path, click(action="open_viewer", expect=[{"kind": "slices"}]))
    first_ms = 1_700_000_000_000 + 1500.0
    shown = viewer(count=60, origin_ms=2.0, first_image_ms=first_ms)
    stand.time = FakeTime((3.0, lambda: setattr(stand.browser, "viewer", shown)))
    stand.play()
    _, (phase, _, attributes) = stand.markers.told
    assert phase == "end"
    assert attributes == {"images": 60, "evidence": "requests", "first_image_ns": 1_500_000_000}


def test_notches_are_told_with_the_scroll(tmp_path: Path) -> None:
    step = {
        "step": "scroll",
        "targets": ["css=#go"],
        "pace": [{}],
        "action": "scroll",
        "expect": [{"kind": "slice", "at": "last"}],
    }
    stand = Stand(tmp_path, step)
    stand.browser.viewer = viewer(count=4)

    def turn(what: str) -> None:
        if what.startswith("wheel") and stand.browser.viewer is not None:
            stand.browser.viewer["index"] += 1
            stand.browser.viewer["images"] += 1

    stand.browser.on_input = turn
    stand.play()
    assert stand.markers.told[-1] == ("end", "scroll", {"evidence": "rendered", "images": 3, "ticks": 3})


def test_thinking_is_a_varied_pause_that_the_seed_repeats_and_the_pace_shortens(tmp_path: Path) -> None:
    pauses = {}
    for name, pace in (("a", 1), ("b", 1), ("c", 4)):
        folder = tmp_path / name
        folder.mkdir()
        stand = Stand(folder, click(think={"seconds": 8, "variation": 0.5}), pace=pace)
        stand.play()
        pauses[name] = stand.time.now_s
    assert 4 <= pauses["a"] <= 12
    assert pauses["a"] == pauses["b"] == pytest.approx(4 * pauses["c"])


def test_a_failing_step_cancels_its_action_leaves_a_picture_and_says_all(tmp_path: Path) -> None:
    stand = Stand(
        tmp_path, click(name="go home", action="login", expect=[{"kind": "page", "path": "Index"}], timeout_s=1), click()
    )
    with pytest.raises(StepError) as failed:
        stand.play()
    words = str(failed.value)
    assert "test.json: step 1 (go home): after 1 s: still the page / (complete)" in words
    assert stand.markers.told == [("begin", "login", {}), ("cancel", "login", {})]
    assert stand.result.actions[0].outcome == "cancelled"
    assert stand.result.screenshot == "r1-test-lan-001-step1.png"
    assert (tmp_path / stand.result.screenshot).read_bytes() == b"picture"
    assert str(tmp_path / stand.result.screenshot) in words
    assert len([what for what in stand.browser.did if what == "click"]) == 1


def test_an_interruption_cancels_the_open_action(tmp_path: Path) -> None:
    stand = Stand(tmp_path, click(action="login"))

    def interrupt(what: str) -> None:
        if what == "click":
            raise KeyboardInterrupt

    stand.browser.on_input = interrupt
    with pytest.raises(KeyboardInterrupt):
        stand.play()
    assert [phase for phase, _, _ in stand.markers.told] == ["begin", "cancel"]


def test_a_result_holds_times_and_versions_but_nothing_that_was_typed(tmp_path: Path) -> None:
    typed = {"step": "type", "targets": ["css=#go"], "text": "${password}", "secret": True, "name": "password"}
    stand = Stand(tmp_path, typed, click(action="login"))
    stand.play()
    assert "keys secret-word" in stand.browser.did
    text = stand.result.save(tmp_path).read_text()
    saved = json.loads(text)
    assert "secret-word" not in text
    assert (saved["format"], saved["seed"], saved["error"]) == (1, 7, None)
    assert [step["name"] for step in saved["steps"]] == ["password", "go"]
    assert saved["actions"][0]["begin_ns"] <= saved["steps"][1]["input_ns"] <= saved["steps"][1]["settled_ns"]
