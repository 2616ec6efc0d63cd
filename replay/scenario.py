"""A recorded session made replayable: read from JSON and checked before anything runs.

A scenario never holds a credential: `${env:NAME}` refers to an environment variable, `${name}` to one of its own parameters.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from replay.locate import Locator, LocatorError
from replay.scenario_shape import (
    EXPECT_FIELDS,
    FORMAT,
    STEP_COMMON,
    STEP_FIELDS,
    Expectation,
    Fields,
    Pace,
    Part,
    Scenario,
    ScenarioError,
    Step,
    Think,
)
from sidecar.model.catalogue import load_catalogue

FOLDER = Path(__file__).parent / "scenarios"

_PARTS: tuple[Part, ...] = get_args(Part)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def names() -> list[str]:
    """The scenarios that come with Tracemark."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def load_scenario(name_or_file: str) -> Scenario:
    """Read a scenario by its name or its file."""
    path = FOLDER / f"{name_or_file}.json" if _NAME.fullmatch(name_or_file) else Path(name_or_file)
    if not path.is_file():
        path = Path(name_or_file)
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ScenarioError(
            f"there is no scenario {name_or_file!r}", f"use {', '.join(names())} or the path of a file ({error.strerror})"
        ) from error
    except ValueError as error:
        raise ScenarioError(f"{path} is not JSON", str(error)) from error
    return parse(raw, path.name)


def parse(raw: object, file: str) -> Scenario:
    """Check a scenario and give it its shape; every error names the file, the step and what is allowed."""
    return _Parser(file).scenario(raw)


class _Parser:
    def __init__(self, file: str) -> None:
        self._where = file
        self._file = file
        self._actions = load_catalogue().names

    def scenario(self, raw: object) -> Scenario:
        entry = self._mapping(raw, "the file")
        known = ("format", "scenario", "role", "description", "parameters", "window", "hosts", "timeout_s", "steps")
        self._only(entry, known)
        if entry.get("format") != FORMAT:
            raise self._error(f"format {entry.get('format')!r} is unknown", f"this version plays format {FORMAT}")
        parameters = self._mapping(entry.get("parameters", {}), "parameters")
        for name, value in parameters.items():
            if not isinstance(value, str | int | float) or isinstance(value, bool):
                raise self._error(f"parameter {name} is not a text or a number", "write one")
            if "password" in name.lower() and not re.fullmatch(r"\$\{env:\w+\}", str(value)):
                raise self._error(f"parameter {name} holds a credential", 'write "${env:XNAT_PASSWORD}" and set that variable')
        timeout_s = self._number(entry, "timeout_s", 60.0)
        steps = entry.get("steps")
        if not isinstance(steps, list) or not steps:
            raise self._error("there are no steps", "list at least one under steps")
        scenario = Scenario(
            file=self._file,
            name=self._word(entry, "scenario"),
            role=self._word(entry, "role"),
            parameters=parameters,
            window=self._window(entry.get("window", [1280, 800])),
            hosts=tuple(str(host) for host in entry.get("hosts", [])),
            steps=tuple(self._step(number, step, timeout_s) for number, step in enumerate(steps, 1)),
        )
        self._check_edges(scenario.steps)
        return scenario

    def _step(self, number: int, raw: object, timeout_s: float) -> Step:
        self._where = f"{self._file}: step {number}"
        entry = self._mapping(raw, "the step")
        kind = entry.get("step")
        if not isinstance(kind, str) or kind not in STEP_FIELDS:
            raise self._error(f"unknown step {kind!r}", f"use one of {', '.join(STEP_FIELDS)}")
        name = str(entry.get("name", kind))
        self._where = f"{self._file}: step {number} ({name})"
        fields = STEP_FIELDS[kind]
        self._only(entry, (*STEP_COMMON, *fields.required, *fields.optional))
        self._need(entry, fields)
        action, part = entry.get("action"), entry.get("part", "whole")
        if action is not None and action not in self._actions:
            raise self._error(f"unknown action {action!r}", f"use one of {', '.join(self._actions)}")
        if part not in _PARTS or ("part" in entry and action is None):
            raise self._error(f"part {part!r} does not fit", f"give an action, and a part of {', '.join(_PARTS)}")
        text = str(entry.get("text", entry.get("path", entry.get("keys", ""))))
        if entry.get("secret") and "${" not in text:
            raise self._error("a secret is written into the scenario", 'write "${password}" or "${env:XNAT_PASSWORD}"')
        return Step(
            number=number,
            name=name,
            kind=kind,
            action=action,
            part=part,
            think=self._think(entry),
            targets=self._targets(entry),
            text=text,
            pace=tuple(self._pace(stretch) for stretch in self._list(entry, "pace")),
            expect=tuple(self._expectation(item, refused=False) for item in self._list(entry, "expect")),
            refuse=tuple(self._expectation(item, refused=True) for item in self._list(entry, "refuse")),
            timeout_s=self._number(entry, "timeout_s", timeout_s),
        )

    def _expectation(self, raw: object, *, refused: bool) -> Expectation:
        entry = self._mapping(raw, "an expectation")
        kind = entry.get("kind")
        if not isinstance(kind, str) or kind not in EXPECT_FIELDS:
            raise self._error(f"unknown expectation {kind!r}", f"use one of {', '.join(EXPECT_FIELDS)}")
        fields = EXPECT_FIELDS[kind]
        self._only(entry, ("kind", *(("because",) if refused else ()), *fields.required, *fields.optional))
        self._need(entry, fields)
        if refused and not entry.get("because"):
            raise self._error("a refusal without a reason", "say under because what the person should do")
        options = {name: value for name, value in entry.items() if name not in ("kind", "targets", "because")}
        return Expectation(kind=kind, targets=self._targets(entry), options=options, because=entry.get("because"))

    def _check_edges(self, steps: Sequence[Step]) -> None:
        """One action is open at a time: what begins ends, in order."""
        open_action: str | None = None
        for step in steps:
            self._where = f"{self._file}: step {step.number} ({step.name})"
            if step.action is None:
                continue
            if step.begins:
                if open_action is not None:
                    raise self._error(f"{step.action} begins while {open_action} is open", f"end {open_action} first")
                open_action = step.action
            elif step.action != open_action:
                raise self._error(f"{step.action} is not open here", 'let an earlier step carry "part": "begin"')
            if step.ends:
                open_action = None
        if open_action is not None:
            raise self._error(f"{open_action} never ends", 'let a later step carry "part": "end"')

    def _think(self, entry: Mapping[str, Any]) -> Think | None:
        raw = entry.get("think")
        if raw is None:
            return None
        pause = self._mapping(raw, "think")
        self._only(pause, ("seconds", "variation"))
        return Think(seconds=self._number(pause, "seconds", 1.0), variation=self._share(pause, "variation", 0.3))

    def _pace(self, raw: object) -> Pace:
        entry = self._mapping(raw, "a pace")
        self._only(entry, ("share", "notches_per_s", "variation", "burst"))
        return Pace(
            share=self._share(entry, "share", 1.0),
            notches_per_s=self._number(entry, "notches_per_s", 5.0),
            variation=self._share(entry, "variation", 0.3),
            burst=max(1, round(self._number(entry, "burst", 1))),
        )

    def _targets(self, entry: Mapping[str, Any]) -> tuple[Locator, ...]:
        found = []
        for text in self._list(entry, "targets"):
            try:
                found.append(Locator.parse(str(text)))
            except LocatorError as error:
                raise self._error(error.what, error.remedy) from error
        if "targets" in entry and not found:
            raise self._error("there are no targets", "give at least one locator, best first")
        return tuple(found)

    def _window(self, raw: object) -> tuple[int, int]:
        if isinstance(raw, list) and len(raw) == 2 and all(isinstance(side, int) and side >= 300 for side in raw):
            return raw[0], raw[1]
        raise self._error(f"window {raw!r} is no size", "write [width, height] in pixels, at least 300 each")

    def _word(self, entry: Mapping[str, Any], name: str) -> str:
        value = entry.get(name)
        if not isinstance(value, str) or not _NAME.fullmatch(value):
            raise self._error(f"{name} {value!r} is no name", "use letters, digits, '_', '.', '-'")
        return value

    def _number(self, entry: Mapping[str, Any], name: str, otherwise: float) -> float:
        value = entry.get(name, otherwise)
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < 1e6:
            raise self._error(f"{name} is {value!r}", "write a number above 0")
        return float(value)

    def _share(self, entry: Mapping[str, Any], name: str, otherwise: float) -> float:
        value = entry.get(name, otherwise)
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
            raise self._error(f"{name} is {value!r}", "write a number from 0 to 1")
        return float(value)

    def _list(self, entry: Mapping[str, Any], name: str) -> list[Any]:
        value = entry.get(name, [])
        if not isinstance(value, list):
            raise self._error(f"{name} is not a list", "write [ ... ]")
        return value

    def _mapping(self, raw: object, what: str) -> Mapping[str, Any]:
        if not isinstance(raw, dict):
            raise self._error(f"{what} is not an object", "write { ... }")
        return raw

    def _need(self, entry: Mapping[str, Any], fields: Fields) -> None:
        for name in fields.required:
            if name not in entry:
                raise self._error(f"{name} is missing", f"it needs {', '.join(fields.required)}")

    def _only(self, entry: Mapping[str, Any], known: Sequence[str]) -> None:
        for name in entry:
            if name not in known:
                raise self._error(f"unknown field {name!r}", f"use {', '.join(known)}")

    def _error(self, what: str, remedy: str) -> ScenarioError:
        return ScenarioError(f"{self._where}: {what}", remedy)
