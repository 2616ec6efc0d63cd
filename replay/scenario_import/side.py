"""Selenium IDE's projects (`.side`, versions 1 to 3): every command becomes steps, or is named as what cannot be played."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from replay.scenario_import.draft import Draft, RecordingError
from replay.scenario_import.side_commands import Commands
from replay.scenario_import.side_tables import ASSERTIONS, HARMLESS, REFUSED
from replay.scenario_text import read_json

_OPENERS = ("if", "while", "times", "forEach", "do")
_CLOSERS = {"end", "repeatIf"}
_MOST_TURNS = 100
_MOST_DEPTH = 10


def read_side(text: str, file: str) -> Mapping[str, Any]:
    """The project of a file; RecordingError when it is none."""
    try:
        project = read_json(text)
    except (ValueError, RecursionError) as error:
        raise RecordingError(f"{file} is no Selenium IDE project", f"it is not JSON ({error})") from error
    if not isinstance(project, dict) or not isinstance(project.get("tests"), list):
        raise RecordingError(f"{file} is no Selenium IDE project", "save it in the IDE again: it has no tests")
    for number, test in enumerate(project["tests"], 1):
        commands = test.get("commands", []) if isinstance(test, dict) else None
        if not isinstance(commands, list):
            raise RecordingError(f"{file}: test {number} has no commands", "save it in the IDE again")
        for place, command in enumerate(commands, 1):
            if wrong := _wrong(command):
                raise RecordingError(f"{file}: test {number}, command {place}: {wrong}", "save it in the IDE again")
    return project


def _wrong(command: object) -> str | None:
    """What is not as the IDE writes it."""
    if not isinstance(command, dict):
        return "it is no object"
    if not isinstance(command.get("command", ""), str):
        return "command is no text"
    for field in ("target", "value", "comment", "windowHandleName"):
        if isinstance(command.get(field), list | dict):
            return f"{field} is no text"
    for field in ("targets", "fallbackTargets"):
        pairs = command.get(field) or []
        if not isinstance(pairs, list) or not all(isinstance(pair, list) for pair in pairs):
            return f"{field} is no list of locators"
    return None


def test_names(project: Mapping[str, Any]) -> list[str]:
    """Its tests; a name that stands there twice is followed by its number."""
    names: list[str] = []
    for number, test in enumerate(project["tests"], 1):
        name = str(test.get("name") or f"test {number}")
        while name in names:
            name = f"{name} {number}"
        names.append(name)
    return names


def import_test(project: Mapping[str, Any], name: str, *, keep_lost: bool = True, site: str = "") -> Draft:
    """The draft of one test, with the tests that it runs."""
    draft = Draft(name, site=site or str(project.get("url") or ""), keep_lost=keep_lost)
    tests = dict(zip(test_names(project), project["tests"], strict=True))
    _Importer(draft, tests).play(tests[name].get("commands") or [], 0)
    return draft


class _Importer(Commands):
    """Plays the commands of a test in their order: blocks, and tests that run others."""

    def __init__(self, draft: Draft, tests: Mapping[str, Mapping[str, Any]]) -> None:
        super().__init__(draft)
        self._tests = tests

    def play(self, commands: Sequence[Mapping[str, Any]], depth: int) -> None:
        """Import these commands in order."""
        at = 0
        while at < len(commands):
            command = str(commands[at].get("command", ""))
            if command in _OPENERS:
                end = _end_of(commands, at)
                self._block(commands, at, end, depth)
                at = end + 1
                continue
            self._number += 1
            self._one(command, commands[at], depth)
            at += 1

    def _one(self, command: str, entry: Mapping[str, Any], depth: int) -> None:
        if command.startswith("//") or entry.get("skip"):
            self._draft.note(self._number, command or "nothing", "is switched off in the recording")
        elif not command:
            self._draft.note(self._number, "nothing", str(entry.get("comment") or "is an empty line"))
        elif command == "run":
            self._run(command, entry, depth)
        elif command in self._handlers:
            self._handlers[command](command, entry)
        elif command in ASSERTIONS:
            self._expect(command, entry)
        elif command in HARMLESS:
            self._draft.note(self._number, command, HARMLESS[command])
        else:
            because = REFUSED.get(command, "it is no command of Selenium IDE itself; record what a person does instead")
            self._draft.lose(self._number, command, because)

    def _block(self, commands: Sequence[Mapping[str, Any]], start: int, end: int, depth: int) -> None:
        """Control flow: only what is known before the play can be unrolled."""
        entry, command = commands[start], str(commands[start]["command"])
        self._number += 1
        condition = _judged(self._known(str(entry.get("target") or "")))
        body = commands[start + 1 : end]
        if command == "times" and condition is not None and condition.isdigit() and int(condition) <= _MOST_TURNS:
            first = self._number
            for _ in range(int(condition)):
                self._number = first
                self.play(body, depth)
            self._number = first + len(body) + 1
            return
        branches = _branches(body)
        if command == "if" and condition in ("true", "false") and len(branches) <= 2:
            taken = branches[0] if condition == "true" else branches[1] if len(branches) == 2 else []
            self._draft.note(
                self._number, command, f"{condition} is known: {'one branch is' if taken else 'nothing is'} left of it"
            )
            after = self._number + len(body) + 1
            self.play(taken, depth)
            self._number = after
            return
        because = "a scenario always does the same: write a scenario for each case"
        self._draft.lose(self._number, command, because)
        for inner in commands[start + 1 : end + 1]:
            self._number += 1
            self._draft.lose(self._number, str(inner.get("command", "")), f"it belongs to the {command} before it", step=False)

    def _run(self, command: str, entry: Mapping[str, Any], depth: int) -> None:
        name = str(entry.get("target") or "")
        if name not in self._tests or depth >= _MOST_DEPTH:
            what = "it runs itself" if name in self._tests else f"there is no test {name!r} in the file"
            self._draft.lose(self._number, command, what)
            return
        number = self._number
        self.play(self._tests[name].get("commands") or [], depth + 1)
        self._number = number


def _judged(condition: str | None) -> str | None:
    """`"1" !== "1"` is false: a comparison of two texts that are known; anything else as it is."""
    match = re.fullmatch(r"([\"']?)(.*?)\1\s*(===?|!==?)\s*([\"'])(.*?)\4", condition or "")
    if match is None:
        return condition
    return str((match.group(2) == match.group(5)) == match.group(3).startswith("=")).lower()


def _end_of(commands: Sequence[Mapping[str, Any]], start: int) -> int:
    """The place of the command that closes the block; the last one where it is missing."""
    depth = 0
    for at in range(start, len(commands)):
        command = commands[at].get("command")
        depth += command in _OPENERS
        depth -= command in _CLOSERS
        if depth == 0:
            return at
    return len(commands) - 1


def _branches(body: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """The branches of an if, in order."""
    branches: list[list[Mapping[str, Any]]] = [[]]
    depth = 0
    for entry in body:
        command = entry.get("command")
        if depth == 0 and command in ("else", "elseIf"):
            branches.append([])
            if command == "elseIf":
                branches += [[], []]  # its condition is not known: more than two branches are never taken apart
            continue
        depth += command in _OPENERS
        depth -= command in _CLOSERS
        branches[-1].append(entry)
    return branches
