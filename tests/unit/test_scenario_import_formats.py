"""Recordings of the DevTools Recorder and markers become scenarios."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from replay.scenario_import.draft import RecordingError
from replay.scenario_import.files import Wishes
from tests.support.recordings import imported, scenario_of, steps


def recording(*held: dict[str, Any], title: str = "main") -> dict[str, Any]:
    return {"title": title, "steps": list(held)}


def test_steps_of_the_devtools_recorder_become_steps(tmp_path: Path) -> None:
    found = imported(tmp_path, recording(
        {"type": "navigate", "url": "http://xnat.example.org/xnat/app/template/Index.vm"},
        {"type": "click", "selectors": [["aria/Go[role=\"button\"]"], ["#go"], ["#host", ".in"], ["xpath///p"], ["pierce/.in"]]},
        {"type": "click", "selectors": ["canvas.viewport"], "offsetX": 3, "offsetY": 4, "button": "secondary"},
        {"type": "keyDown", "key": "Control"}, {"type": "click", "selectors": ["#a"]}, {"type": "keyDown", "key": "a"},
        {"type": "keyUp", "key": "a"}, {"type": "keyUp", "key": "Control"}, {"type": "keyDown", "key": "PageDown"},
        {"type": "change", "selectors": ["#file"], "value": "C:\\fakepath\\a.dcm"},
        {"type": "scroll", "x": 0, "y": 250, "frame": [1, 0]},
        {"type": "hover", "selectors": ["#b"], "target": "http://xnat.example.org/xnat/VIEWER?a=1"},
        {"type": "close"},
        {"type": "waitForElement", "selectors": ["tr"], "count": 3, "timeout": 9000},
        {"type": "waitForElement", "selectors": ["#x"], "operator": "==", "count": 0},
    ), ".json")  # fmt: skip
    assert steps(found)[1:] == [
        {"step": "click", "name": "click Go", "targets": ["id=go", "aria=Go", "shadow=#host >>> .in", "xpath=//p", "shadow=.in"]},
        {"step": "click", "targets": ["css=canvas.viewport"], "at": [3, 4], "button": "right"},
        {"step": "click", "targets": ["id=a"], "hold": "CTRL"},
        {"step": "press", "keys": "{CTRL+A}"},
        {"step": "press", "keys": "{PAGE_DOWN}"},
        {"step": "choose_file", "targets": ["id=file"], "file": "${file}"},
        {"step": "enter_frame", "targets": ["xpath=(//iframe | //frame)[2]"]},
        {"step": "enter_frame", "targets": ["xpath=(//iframe | //frame)[1]"]},
        {"step": "scroll_to", "y": 250},
        {"step": "tab", "path": "/VIEWER$"},
        {"step": "hover", "targets": ["id=b"]},
        {"step": "close_tab"},
        {"step": "tab", "which": "first"},
        {"step": "wait", "timeout_s": 9.0, "expect": [{"kind": "rows", "targets": ["css=tr"], "at_least": 3}]},
        {"step": "wait", "expect": [{"kind": "absent", "targets": ["id=x"]}]},
    ]


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (
            {"type": "waitForExpression", "expression": "1"},
            "step 1 (waitForExpression): cannot be played: a script is not evaluated",
        ),
        ({"type": "customStep", "name": "x"}, "step 1 (customStep): cannot be played: it belongs to a program of its own"),
        (
            {"type": "click", "selectors": [["aria/a", "#b"]]},
            "step 1 (click): cannot be played: it has no selector that can be played",
        ),
        ({"type": "keyDown", "key": "AudioVolumeUp"}, "there is no key 'AudioVolumeUp'"),
        ({"type": "dance"}, "it is no step of the Recorder"),
    ],
)
def test_what_the_recorder_has_and_cannot_be_played_is_named(tmp_path: Path, step: dict[str, Any], words: str) -> None:
    (lost,) = imported(tmp_path, recording(step), ".json").lost
    assert words in str(lost)


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ({"type": "setViewport", "width": "wide", "height": 800}, "step 1 (setViewport): width is no number"),
        ({"type": "setViewport", "width": 1e400, "height": 800}, "step 1 (setViewport): width is no number"),
        ({"type": "scroll", "x": 0, "y": [3]}, "step 1 (scroll): y is no number"),
        ({"type": "click", "selectors": 5}, "step 1 (click): selectors is no list"),
        ({"type": "click", "selectors": ["#a"], "frame": 1}, "step 1 (click): frame is no list"),
        ({"type": "click", "selectors": ["#a"], "target": "http://["}, "step 1 (click): 'http://[' is no address"),
        ({"type": "navigate", "url": "http://["}, "step 1 (navigate): 'http://[' is no address"),
        (
            {"type": "navigate", "url": "/", "assertedEvents": [{"type": "navigation", "url": 5}]},
            "step 1 (navigate): 5 is no address",
        ),
    ],
)
def test_a_recording_that_is_damaged_is_named_by_step(tmp_path: Path, step: dict[str, Any], words: str) -> None:
    with pytest.raises(RecordingError) as refused:
        imported(tmp_path, json.dumps(recording(step)).replace("Infinity", "1e400"), ".json")
    assert words in str(refused.value)


def test_letters_pressed_in_a_password_field_are_left_out(tmp_path: Path) -> None:
    found = imported(tmp_path, recording(
        {"type": "click", "selectors": ["#password"]}, *({"type": "keyDown", "key": letter} for letter in "pQ7"),
        {"type": "keyDown", "key": "Enter"},
    ), ".json")  # fmt: skip
    assert [step.get("keys") for step in steps(found)] == [None, "{ENTER}"]
    assert len([one for one in found.remarks if "a letter of a credential is left out" in str(one)]) == 3


@pytest.mark.parametrize("time", ["1e999", "NaN", "1" + "0" * 400, '"\\ud800"', "[]", "null"])
def test_a_marker_without_a_time_is_named_by_its_line(tmp_path: Path, time: str) -> None:
    good = json.dumps(marker("login", "a", "begin", 1))
    wrong = f'{{"action": "login", "action_id": "b", "phase": "begin", "wall_ns": {time}}}'
    with pytest.raises(RecordingError, match=r"main\.jsonl: line 2 holds no marker"):
        imported(tmp_path, f"{good}\n{wrong}\n", ".jsonl")


def marker(action: str, action_id: str, phase: str, seconds: float, **attrs: int) -> dict[str, Any]:
    ns = round(seconds * 1e9)
    return {"action": action, "action_id": action_id, "phase": phase, "wall_ns": 10**18 + ns, "mono_ns": ns, "attrs": attrs}


def lines(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_markers_become_the_shipped_steps_with_their_gaps_as_pauses(tmp_path: Path) -> None:
    text = lines(
        {"type": "hello", "session": "s1-session"},
        {"type": "markers", "items": [marker("page_load", "a", "begin", 1), marker("page_load", "a", "end", 2)]},
        {"type": "markers", "items": [marker("login", "b", "begin", 8), marker("login", "b", "end", 9)]},
        marker("filter_search", "c", "begin", 10), marker("filter_search", "c", "cancel", 11),
        marker("scroll", "d", "begin", 19), marker("scroll", "d", "end", 21, ticks=40), marker("annotate", "e", "begin", 30),
        marker("annotate", "e", "end", 31),
    )  # fmt: skip
    found = imported(tmp_path, text, ".jsonl")
    played = steps(found)
    assert [step["step"] for step in played] == ["open", "type", "type", "click", "wheel", "unsupported"]
    assert [step.get("action") for step in played] == ["page_load", None, None, "login", "scroll", None]
    assert [step["think"]["seconds"] for step in played[1:]] == [2.0, 2.0, 2.0, 10.0, 9.0]
    assert (played[4]["notches"], played[4]["notches_per_s"]) == (40, 20.0)
    assert found.raw["parameters"] == {"user": "${env:XNAT_USER}", "password": "${env:XNAT_PASSWORD}", "pace": 1}
    said = "\n".join(map(str, found.remarks))
    assert "the way that each was turned is not known" in said
    assert "step 4 (annotate): cannot be played: no shipped scenario plays it" in said


def test_rows_of_actions_are_markers_too_and_a_session_is_chosen(tmp_path: Path) -> None:
    row = {"action": "login", "action_id": "a", "start_ns": 5, "duration_ns": 10**9, "outcome": "completed", "session": "one"}
    rows = lines(row, {**row, "session": "two"}, {**row, "action_id": "b", "outcome": "cancelled", "session": "two"})
    with pytest.raises(RecordingError, match="holds 2 sessions: choose one with --session: one, two"):
        imported(tmp_path, rows, ".jsonl")
    found = imported(tmp_path, rows, ".jsonl", Wishes(session="two"))
    assert scenario_of(found).actions() == ("login",)
