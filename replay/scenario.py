"""A recorded session made replayable: read from JSON or YAML and checked before anything runs.

A scenario never holds a credential: `${env:NAME}` refers to an environment variable, `${name}` to one of its own parameters.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from replay.locate import Locator
from replay.scenario_fields import Reader
from replay.scenario_shape import (
    FORMAT,
    FROM_ENVIRONMENT,
    HEAD_OPTIONAL,
    HEAD_REQUIRED,
    NAME,
    NAMED_KEYS,
    REFERENCE,
    SECRET_WORDS,
    STEP_COMMON,
    STEP_FIELD_KINDS,
    STEP_FIELDS,
    Part,
    Scalar,
    Scenario,
    ScenarioError,
    Step,
)
from replay.scenario_text import SUFFIXES, read_text
from sidecar.model.catalogue import load_catalogue

FOLDER = Path(__file__).parent / "scenarios"

_PARTS: tuple[Part, ...] = get_args(Part)
_REMEDY = 'write "${password}" or "${env:XNAT_PASSWORD}" and set that variable'
#: fields that are no option of their own: they have a place in Step
_PLACED = {*STEP_COMMON, "targets", "text", "path", "keys", "file", "pace", "onto"}


def names() -> list[str]:
    """The scenarios that come with Tracemark."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def scenario_file(name_or_file: str) -> Path:
    """Where the scenario of this name, or in this file, is; ScenarioError when it is nowhere."""
    shipped = FOLDER / f"{name_or_file}.json"
    path = shipped if re.fullmatch(NAME, name_or_file) and shipped.is_file() else Path(name_or_file)
    if not path.is_file() and name_or_file == "upload":
        raise ScenarioError("upload has no steps to show", "it has options of its own: see `tracemark replay upload --help`")
    if not path.is_file():
        raise ScenarioError(f"there is no scenario {name_or_file!r}", f"use {', '.join(names())} or the path of a file")
    return path


def load_raw(name_or_file: str) -> object:
    """What the file of a scenario holds, unchecked."""
    path = scenario_file(name_or_file)
    try:
        return read_text(path.read_text(encoding="utf-8"), path.suffix, path.name)
    except OSError as error:
        raise ScenarioError(f"{path} cannot be read ({error.strerror})", "look at its permissions") from error
    except UnicodeDecodeError as error:
        raise ScenarioError(f"{path} is not UTF-8", f"save it as UTF-8; scenarios end in {', '.join(SUFFIXES)}") from error


def load_scenario(name_or_file: str) -> Scenario:
    """Read a scenario by its name or its file, JSON or YAML."""
    return parse(load_raw(name_or_file), scenario_file(name_or_file).name)


def parse(raw: object, file: str) -> Scenario:
    """Check a scenario and give it its shape; every error names the file, the step and what is allowed."""
    return _Parser(file).scenario(raw)


def names_a_secret(text: str) -> bool:
    """Whether a name, or a locator, tells of a credential."""
    lowered = text.lower()
    return any(word in lowered for word in SECRET_WORDS)


class _Parser:
    def __init__(self, file: str) -> None:
        self._file = file
        self._read = Reader(file, load_catalogue().names)
        self._parameters: Mapping[str, Scalar] = {}

    def scenario(self, raw: object) -> Scenario:
        read = self._read
        entry = read.mapping(raw, "the file")
        if entry.get("format") != FORMAT or isinstance(entry.get("format"), bool):
            raise read.error(f"format {entry.get('format')!r} is unknown", f"this version plays format {FORMAT}")
        read.only(entry, (*HEAD_REQUIRED, *HEAD_OPTIONAL))
        read.field("text", "$schema", entry.get("$schema", ""))
        self._parameters = self._checked(read.mapping(entry.get("parameters", {}), "parameters"))
        timeout_s = read.number(entry, "timeout_s", 60.0)
        steps = entry.get("steps")
        if not isinstance(steps, list) or not steps:
            raise read.error("there are no steps", "list at least one under steps")
        hosts = [read.field("label", "a host", host) for host in read.listed("hosts", entry.get("hosts", []))]
        scenario = Scenario(
            file=self._file,
            name=self._word(entry, "scenario"),
            role=self._word(entry, "role"),
            description=read.field("text", "description", entry.get("description", "")),
            parameters=self._parameters,
            window=read.field("size", "window", entry.get("window", [1280, 800])),
            hosts=tuple(hosts),
            steps=tuple(self._step(number, step, timeout_s) for number, step in enumerate(steps, 1)),
        )
        self._check_edges(scenario.steps)
        return scenario

    def _checked(self, parameters: Mapping[str, Any]) -> Mapping[str, Scalar]:
        for name, value in parameters.items():
            self._read.field("identifier", "a parameter", name)
            if (
                isinstance(value, bool)
                or not isinstance(value, str | int | float)
                or (not isinstance(value, str) and not math.isfinite(value))
            ):
                raise self._read.error(f"parameter {name} is not a text or a number", "write one")
            if names_a_secret(name) and not re.fullmatch(FROM_ENVIRONMENT, str(value)):
                raise self._read.error(
                    f"parameter {name} holds a credential", 'write "${env:XNAT_PASSWORD}" and set that variable'
                )
        return parameters

    def _step(self, number: int, raw: object, timeout_s: float) -> Step:
        read = self._read
        read.where = f"{self._file}: step {number}"
        entry = read.mapping(raw, "the step")
        kind = entry.get("step")
        if not isinstance(kind, str) or kind not in STEP_FIELDS:
            raise read.error(f"unknown step {kind!r}", f"use one of {', '.join(STEP_FIELDS)}")
        name = read.field("label", "name", entry.get("name", kind))
        read.where = f"{self._file}: step {number} ({name})"
        own = STEP_FIELDS[kind]
        read.only(entry, (*STEP_COMMON, *own.required, *own.optional), own.required)
        if "part" in entry and "action" not in entry:
            raise read.error(f"part {entry['part']!r} does not fit", f"give an action, and a part of {', '.join(_PARTS)}")
        held = {name: read.field(STEP_FIELD_KINDS[name], name, value) for name, value in entry.items() if name != "step"}
        step = Step(
            number=number,
            name=name,
            kind=kind,
            action=held.get("action"),
            part=held.get("part", "whole"),
            think=held.get("think"),
            targets=held.get("targets", ()),
            text=next((held[one] for one in ("text", "path", "keys", "file") if one in held), ""),
            pace=held.get("pace", ()),
            options={name: value for name, value in held.items() if name not in _PLACED or (name == "path" and kind == "tab")},
            onto=held.get("onto", ()),
            expect=held.get("expect", ()),
            refuse=held.get("refuse", ()),
            timeout_s=held.get("timeout_s", timeout_s),
        )
        self._check_step(step, entry)
        return step

    def _check_step(self, step: Step, entry: Mapping[str, Any]) -> None:
        """What one field means for another."""
        if step.kind in ("type", "press"):
            self._check_secret(step)
        if step.kind == "drag" and ("onto" in entry) == ("by" in entry):
            raise self._read.error("a drag needs one place to go", "give either onto (locators) or by ([x, y])")
        if step.kind == "tab" and ("which" in entry) == ("path" in entry):
            raise self._read.error("a tab is named in one way", "give either which or path")
        if step.kind == "store":
            needs = {"title": set(), "attribute": {"targets", "attribute"}}.get(step.options["what"], {"targets"})
            given = {"targets", "attribute"} & set(entry)
            if needs != given:
                raise self._read.error(
                    f"to store {step.options['what']} needs {' and '.join(sorted(needs)) or 'no element'}", "give just that"
                )
            if step.options["parameter"] not in self._parameters:
                raise self._read.error(f"{step.options['parameter']} is not a parameter", 'declare it under parameters, as ""')
        if step.kind == "tab" and "path" in entry:
            self._read.field("pattern", "path", entry["path"])

    def _check_secret(self, step: Step) -> None:
        """A credential is only ever a reference, and one that ends in the environment."""
        found_by: Sequence[Locator] = step.targets
        if not step.options.get("secret") and not any(names_a_secret(str(locator)) for locator in found_by):
            return
        if step.kind == "press" and re.fullmatch(NAMED_KEYS, step.text):
            return
        if not re.fullmatch(REFERENCE, step.text):
            raise self._read.error("a secret is written into the scenario", _REMEDY)
        name = step.text[2:-1]
        if ":" not in name and not re.fullmatch(FROM_ENVIRONMENT, str(self._parameters.get(name, "${env:LATER}"))):
            raise self._read.error(f"a secret is written into the scenario, as parameter {name}", _REMEDY)

    def _check_edges(self, steps: Sequence[Step]) -> None:
        """One action is open at a time: what begins ends, in order."""
        open_action: str | None = None
        for step in steps:
            self._read.where = f"{self._file}: step {step.number} ({step.name})"
            if step.action is None:
                continue
            if step.begins:
                if open_action is not None:
                    raise self._read.error(f"{step.action} begins while {open_action} is open", f"end {open_action} first")
                open_action = step.action
            elif step.action != open_action:
                raise self._read.error(f"{step.action} is not open here", 'let an earlier step carry "part": "begin"')
            if step.ends:
                open_action = None
        if open_action is not None:
            raise self._read.error(f"{open_action} never ends", 'let a later step carry "part": "end"')

    def _word(self, entry: Mapping[str, Any], name: str) -> str:
        value = entry.get(name)
        if not isinstance(value, str) or not re.fullmatch(NAME, value):
            raise self._read.error(f"{name} {value!r} is no name", "use letters, digits, '_', '.', '-'")
        return value
