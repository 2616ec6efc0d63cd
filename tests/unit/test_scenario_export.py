"""Scenarios for Selenium IDE and back: what a `.side` can hold comes back, everything else is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from replay.scenario import load_scenario
from replay.scenario_cli import main
from replay.scenario_export import to_side
from replay.scenario_import.files import Wishes, import_file
from replay.scenario_shape import Scenario, ScenarioError, Step
from tests.support.replay_fakes import scenario

SITE = "https://xnat.example.org/xnat"


def there_and_back(tmp_path: Path, played: Scenario) -> list[dict[str, Any]]:
    """The steps after an export and an import; waits that stand for expectations are left out."""
    file = tmp_path / "there.side"
    file.write_text(json.dumps(to_side(played, site=SITE).project))
    (found,) = import_file(file, Wishes(think_s=0)).values()
    return [step for step in found.raw["steps"] if not (step["step"] == "wait" and "expect" in step)]


def held(step: Step) -> dict[str, Any]:
    """What a `.side` holds of a step."""
    found: dict[str, Any] = {"step": step.kind, "name": step.name, "text": step.text, "action": step.action, "part": step.part}
    found["targets"] = [str(locator) for locator in step.targets]
    found["onto"] = [str(locator) for locator in step.onto]
    found["think"] = step.think.seconds if step.think else None
    found |= {name: list(value) if isinstance(value, tuple) else value for name, value in step.options.items()}
    return found


def came_back(step: dict[str, Any]) -> dict[str, Any]:
    """The same of a step that was imported."""
    own = {"text", "path", "keys", "file"} if step["step"] != "tab" else set()
    found: dict[str, Any] = {"step": step["step"], "name": step.get("name", step["step"]), "targets": [], "onto": []}
    found |= {name: value for name, value in step.items() if name not in {*own, "expect", "refuse", "timeout_s", "think"}}
    found["text"] = next((step[name] for name in own if name in step), "")
    found["action"], found["part"] = step.get("action"), step.get("part", "whole")
    found["think"] = step["think"]["seconds"] if "think" in step else None
    return found


@pytest.mark.parametrize("name", ["researcher", "radiologist"])
def test_shipped_scenarios_come_back_with_all_that_the_format_holds(tmp_path: Path, name: str) -> None:
    played = load_scenario(name)
    back = there_and_back(tmp_path, played)
    wanted = [held(step) for step in played.steps if step.kind != "scroll"]
    pauses = [step.think.seconds for step in played.steps if step.think and step.kind == "scroll"]
    if pauses:  # the pause of the step that cannot be held comes before the next one
        after = next(number for number, step in enumerate(wanted) if step["name"] == "back to the home page")
        wanted[after]["think"] += sum(pauses)
    assert [came_back(step) for step in back] == wanted
    parameters = json.loads(json.dumps(dict(played.parameters)))
    (again,) = import_file(tmp_path / "there.side", Wishes(think_s=0)).values()
    assert again.raw["parameters"] == {key: str(value) if key != "pace" else value for key, value in parameters.items()}
    assert again.raw["window"] == list(played.window)


EVERY: list[dict[str, Any]] = [
    {"step": "open", "path": "/app/template/Index.vm"},
    {"step": "press", "targets": ["id=a"], "keys": "x{{{CTRL+A}{PAGE_DOWN}"},
    {"step": "click", "targets": ["id=a", "css=.a"], "at": [3, 4]},
    {"step": "double_click", "targets": ["linkText=a"]},
    {"step": "hover", "targets": ["xpath=//a"]},
    {"step": "drag", "targets": ["id=a"], "onto": ["id=b"]},
    {"step": "drag", "targets": ["id=a"], "at": [1, 2], "by": [30, -4]},
    {"step": "select", "targets": ["id=a"], "option": "label=CT"},
    {"step": "select", "targets": ["id=a"], "option": "value=1", "mode": "add"},
    {"step": "select", "targets": ["id=a"], "option": "index=0", "mode": "remove"},
    {"step": "check", "targets": ["id=a"]},
    {"step": "uncheck", "targets": ["id=a"]},
    {"step": "resize", "size": [700, 600]},
    {"step": "enter_frame", "targets": ["id=f"]},
    {"step": "leave_frame", "up_to": "parent"},
    {"step": "click", "targets": ["id=new"]},
    {"step": "tab", "which": "newest"},
    {"step": "tab", "which": "first"},
    {"step": "tab", "which": "newest"},
    {"step": "close_tab"},
    {"step": "store", "parameter": "kept", "what": "text", "targets": ["id=a"]},
    {"step": "store", "parameter": "kept", "what": "attribute", "targets": ["id=a"], "attribute": "href"},
    {"step": "store", "parameter": "kept", "what": "count", "targets": ["css=a"]},
    {"step": "store", "parameter": "kept", "what": "title"},
    {"step": "type", "targets": ["id=a"], "text": "${kept}"},
    {"step": "wait", "seconds": 1.5},
]


def test_every_step_that_the_format_holds_comes_back(tmp_path: Path) -> None:
    played = scenario(*EVERY, parameters={"kept": ""})
    assert not [str(remark) for remark in to_side(played, site=SITE).remarks if remark.lost]
    back = there_and_back(tmp_path, played)
    plain = [held(step) | {"action": None} for step in played.steps]
    assert [came_back(step) | {"action": None} for step in back] == plain


def test_conditions_come_back_as_steps_that_wait(tmp_path: Path) -> None:
    conditions = [
        {"kind": "shown", "targets": ["id=a"]}, {"kind": "gone", "targets": ["id=a"]}, {"kind": "present", "targets": ["id=a"]},
        {"kind": "absent", "targets": ["id=a"]}, {"kind": "text", "targets": ["id=a"], "is": "x"},
        {"kind": "title", "is_not": "x"}, {"kind": "value", "targets": ["id=a"], "is": "x"},
        {"kind": "checked", "targets": ["id=a"], "state": False}, {"kind": "editable", "targets": ["id=a"], "state": True},
        {"kind": "selected", "targets": ["id=a"], "is_not": "x"},
    ]  # fmt: skip
    file = tmp_path / "there.side"
    file.write_text(json.dumps(to_side(scenario({"step": "click", "targets": ["id=a"], "expect": conditions})).project))
    (found,) = import_file(file, Wishes(think_s=0)).values()
    assert [step["expect"][0] for step in found.raw["steps"][1:]] == conditions


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ({"step": "wheel", "notches": 3}, "a .side cannot hold wheel: a step that stands there switched off"),
        ({"step": "click", "targets": ["id=a"], "button": "right"}, "cannot hold button right"),
        ({"step": "click", "targets": ["aria=Go"]}, "cannot hold the locator aria=Go"),
        ({"step": "press", "keys": "{ENTER}"}, "cannot hold keys without an element"),
        ({"step": "tab", "path": "/x"}, "cannot hold a tab by its path"),
    ],
)
def test_what_the_format_cannot_hold_is_named(step: dict[str, Any], words: str) -> None:
    exported = to_side(scenario({**step, "name": "odd"}))
    (lost,) = [remark for remark in exported.remarks if remark.lost]
    assert str(lost) == f"step 1 (odd): {lost.what}"
    assert words in lost.what


def test_no_credential_goes_into_a_project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "researcher.side"
    assert main(["export", "researcher", "--to", str(file), "--site", SITE]) == 0
    assert "${env:" not in file.read_text()
    assert "password comes from the environment" in capsys.readouterr().err
    project = json.loads(file.read_text())
    assert project["url"] == "https://xnat.example.org"
    assert [one["target"] for one in project["tests"][0]["commands"] if one["command"] == "open"] == [
        "/xnat/app/template/Login.vm"
    ]


@pytest.mark.parametrize(
    ("parameters", "step"),
    [
        ({"password": "hunter2"}, {"step": "wait"}),
        ({"apiToken": "hunter2"}, {"step": "wait"}),
        ({}, {"step": "type", "targets": ["id=password"], "text": "hunter2"}),
        ({}, {"step": "type", "targets": ["id=a"], "text": "hunter2", "secret": True}),
        ({}, {"step": "type", "targets": ["id=a"], "text": "x${env:A}hunter2", "secret": True}),
        ({"word": "hunter2"}, {"step": "type", "targets": ["id=a"], "text": "${word}", "secret": True}),
        ({}, {"step": "press", "targets": ["css=[name=passwd]"], "keys": "hunter2"}),
    ],
)
def test_a_literal_credential_is_refused_with_the_remedy(parameters: dict[str, Any], step: dict[str, Any]) -> None:
    with pytest.raises(ScenarioError, match="env:XNAT_PASSWORD") as refused:
        scenario(step, parameters=parameters)
    assert "hunter2" not in str(refused.value)
