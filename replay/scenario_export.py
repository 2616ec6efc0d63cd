"""Scenarios for Selenium IDE: what a `.side` project can hold, and a remark for everything that it cannot.

A command's comment is the step's name, with its action in brackets (`log in [login]`, `play [play begin]`): the import reads it.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from replay.locate import Locator
from replay.scenario_import.draft import Remark
from replay.scenario_import.side_tables import ASSERTIONS, KEYS
from replay.scenario_shape import Expectation, Scenario, Step

_STRATEGIES = frozenset({"css", "id", "name", "linkText", "partialLinkText", "xpath"})
_FINDERS: Mapping[str, str] = {"css": "css:finder", "xpath": "xpath:idRelative"}
#: expectation (kind, option, state) -> a command that waits, or else one that looks once
_COMMANDS: Mapping[tuple[str, str | None, bool | None], str] = {
    meaning: name for prefix in ("verify", "assert", "waitFor") for name, meaning in ASSERTIONS.items() if name.startswith(prefix)
}
_OUR_KEYS: Mapping[str, str] = {ours: theirs for theirs, ours in reversed(list(KEYS.items()))}
_POLICY = uuid.UUID("6f0f2f4e-0f5a-5d0e-9d6b-7a3c1c5d9b10")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A project as its file will hold it, and what it cannot hold."""

    project: Mapping[str, Any]
    remarks: Sequence[Remark]


def to_side(scenario: Scenario, *, site: str = "http://localhost") -> Exported:
    """The project of one scenario for a site, which is an address with the context path if there is one."""
    return _Exporter(scenario, site).export()


class _Exporter:
    def __init__(self, scenario: Scenario, site: str) -> None:
        self._scenario = scenario
        parts = urlsplit(site)
        self._origin, self._context = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
        self._commands: list[dict[str, Any]] = []
        self._remarks: list[Remark] = []
        self._step = scenario.steps[0]
        self._windows = 0
        self._kinds: Mapping[str, Callable[[Step], object]] = {
            "open": self._open, "type": self._type, "press": self._press, "click": self._click, "double_click": self._double,
            "hover": lambda step: self._command("mouseOver", step.targets), "drag": self._drag, "select": self._select,
            "check": lambda step: self._command("check", step.targets),
            "uncheck": lambda step: self._command("uncheck", step.targets),
            "choose_file": lambda step: self._command("type", step.targets, step.text), "resize": self._resize,
            "enter_frame": lambda step: self._command("selectFrame", step.targets), "leave_frame": self._leave, "tab": self._tab,
            "close_tab": lambda _step: self._command("close"), "store": self._store, "wait": self._wait,
        }  # fmt: skip

    def export(self) -> Exported:
        """All steps, in order."""
        for name, value in self._scenario.parameters.items():
            if "${env:" in str(value):
                self._remark(
                    0, "parameters", f"{name} comes from the environment: the IDE has to be told otherwise, never in the file"
                )
            elif name != "pace":
                self._command("store", value=name, target=str(value))
        if any(step.kind == "tab" for step in self._scenario.steps):
            self._command("storeWindowHandle", target="root")
        sized = False
        for step in self._scenario.steps:
            self._step = step
            if step.think is not None:
                self._command("pause", target=str(round(step.think.seconds * 1000)))
                if step.think.variation:
                    self._note("the variation of its pause")
            if step.kind in self._kinds:
                self._kinds[step.kind](step)
            else:
                self._lost(f"{step.kind}: a step that stands there switched off")
                self._command(f"//{step.kind}", step.targets, comment=True)
            if step.kind == "open" and not sized:
                sized = True
                self._command("setWindowSize", target="x".join(map(str, self._scenario.window)))
            if step.kind != "wait":
                self._expect(step)
        return Exported(project=self._project(), remarks=tuple(self._remarks))

    def _project(self) -> dict[str, Any]:
        test = {"id": self._id("test"), "name": self._scenario.name, "commands": self._commands}
        suite = {
            "id": self._id("suite"), "name": self._scenario.role, "persistSession": False, "parallel": False, "timeout": 300,
            "tests": [test["id"]],
        }  # fmt: skip
        return {
            "id": self._id("project"), "version": "2.0", "name": self._scenario.name, "url": self._origin, "tests": [test],
            "suites": [suite], "urls": [f"{self._origin}/"], "plugins": [],
        }  # fmt: skip

    # one kind each

    def _open(self, step: Step) -> None:
        self._command("open", target=self._context + step.text, comment=True)

    def _type(self, step: Step) -> None:
        self._command("type", step.targets, step.text)

    def _press(self, step: Step) -> None:
        if not step.targets:
            self._lost("keys without an element: they are switched off")
        self._command("sendKeys" if step.targets else "//sendKeys", step.targets, _side_keys(step.text), comment=True)

    def _click(self, step: Step) -> None:
        for option in ("button", "hold"):
            if option in step.options:
                self._lost(f"{option} {step.options[option]}")
        at = step.options.get("at")
        command = self._command("clickAt" if at else "click", step.targets, _pair(at) if at else "")
        following = self._scenario.steps[step.number : step.number + 1]
        if any(one.kind == "tab" and one.options.get("which") == "newest" for one in following):
            self._windows += 1
            command.update(opensWindow=True, windowHandleName=f"win{self._windows}", windowTimeout=round(step.timeout_s * 1000))

    def _double(self, step: Step) -> None:
        at = step.options.get("at")
        self._command("doubleClickAt" if at else "doubleClick", step.targets, _pair(at) if at else "")

    def _drag(self, step: Step) -> None:
        at = step.options.get("at")
        if "button" in step.options:
            self._lost(f"button {step.options['button']}")
        if step.onto:
            if at:
                self._lost("the point at which it is held")
            self._command("dragAndDropToObject", step.targets, str(step.onto[0]))
            if len(step.onto) > 1:
                self._lost("the alternatives of where it goes")
            return
        if not at:
            self._lost("that it is held in the middle: it is held at 5,5")
        x, y = at or (5.0, 5.0)
        dx, dy = step.options["by"]
        self._command("mouseDownAt", step.targets, _pair((x, y)))
        self._command("mouseMoveAt", step.targets, _pair((x + dx, y + dy)), comment=False)
        self._command("mouseUpAt", step.targets, _pair((x + dx, y + dy)))

    def _select(self, step: Step) -> None:
        command = {"add": "addSelection", "remove": "removeSelection"}.get(step.options.get("mode", "only"), "select")
        self._command(command, step.targets, step.options["option"])

    def _resize(self, step: Step) -> None:
        self._command("setWindowSize", target="x".join(map(str, step.options["size"])), comment=True)

    def _leave(self, step: Step) -> None:
        self._command("selectFrame", target=f"relative={step.options.get('up_to', 'top')}", comment=True)

    def _tab(self, step: Step) -> None:
        which = step.options.get("which")
        handle = "root" if which == "first" else f"win{self._windows}" if which == "newest" and self._windows else None
        if handle is None:
            self._lost(f"a tab by {which or 'its path'}: it is switched off")
        self._command(
            "selectWindow" if handle else "//selectWindow", target=f"handle=${{{handle}}}" if handle else "", comment=True
        )

    def _store(self, step: Step) -> None:
        name, what = step.options["parameter"], step.options["what"]
        if what == "attribute":
            self._command("storeAttribute", target=f"{step.targets[0]}@{step.options['attribute']}", value=name, comment=True)
        elif what == "title":
            self._command("storeTitle", value=name, comment=True)
        else:
            self._command({"count": "storeElementCount"}.get(what, f"store{what.title()}"), step.targets, name)

    def _wait(self, step: Step) -> None:
        if "seconds" in step.options:
            self._command("pause", target=str(round(step.options["seconds"] * 1000)))
        self._expect(step, comment=True)

    def _expect(self, step: Step, *, comment: bool = False) -> None:
        for expectation in step.expect:
            for target, command, value in self._expected(step, expectation):
                if isinstance(target, str):
                    self._command(command, target=target, value=value, comment=comment)
                else:
                    self._command(command, target, value, comment=comment)
        if step.refuse:
            self._note("what tells that the site said no")

    def _expected(self, step: Step, expectation: Expectation) -> Iterator[tuple[str | Sequence[Locator], str, str]]:
        option = next((one for one in ("is", "is_not") if one in expectation.options), None)
        state = expectation.options.get("state", True if expectation.kind in ("checked", "editable") else None)
        command = _COMMANDS.get((expectation.kind, option, state if isinstance(state, bool) else None))
        if command is None or "contains" in expectation.options:
            self._note(f"the expectation {expectation.kind}")
            return
        text = str(expectation.options.get(option, "")) if option else ""
        if expectation.kind == "title":
            yield text, command, ""
        elif command.startswith("waitFor") and not option:
            yield expectation.targets, command, str(round(step.timeout_s * 1000))
        else:
            yield expectation.targets, command.replace("waitForText", "assertText"), text

    # commands

    def _command(
        self,
        command: str,
        targets: Sequence[Locator] = (),
        value: str = "",
        *,
        target: str = "",
        comment: bool | None = None,
    ) -> dict[str, Any]:
        known = [str(one) for one in targets if one.strategy in _STRATEGIES]
        for lost in (one for one in targets if one.strategy not in _STRATEGIES):
            self._lost(f"the locator {lost}")
        if targets and not known and not command.startswith("//"):
            command = f"//{command}"
        spoken = comment if comment is not None else bool(targets)
        entry = {
            "id": self._id(f"command {len(self._commands)}"),
            "comment": self._name() if spoken else "",
            "command": command,
            "target": known[0] if known else target,
            "targets": [[one, _FINDERS.get(one.partition("=")[0], one.partition("=")[0])] for one in known],
            "value": value,
        }
        self._commands.append(entry)
        return entry

    def _name(self) -> str:
        step = self._step
        name = "" if step.name == step.kind else step.name
        if step.action is None:
            return name
        return f"{name} [{step.action}{'' if step.part == 'whole' else f' {step.part}'}]".strip()

    def _lost(self, what: str) -> None:
        self._remark(self._step.number, self._step.name, f"a .side cannot hold {what}", lost=True)

    def _note(self, what: str) -> None:
        self._remark(self._step.number, self._step.name, f"a .side cannot hold {what}")

    def _remark(self, number: int, command: str, what: str, *, lost: bool = False) -> None:
        self._remarks.append(Remark(number=number, command=command, what=what, lost=lost))

    def _id(self, what: str) -> str:
        return str(uuid.uuid5(_POLICY, f"{self._scenario.name}/{what}"))


def _pair(at: Sequence[float]) -> str:
    return ",".join(f"{one:g}" for one in at)


def _side_keys(text: str) -> str:
    """Our keys as the IDE writes them."""

    def key(match: re.Match[str]) -> str:
        if match.group(0) == "{{":
            return "{"
        *held, last = match.group(1).split("+")
        names = [f"${{KEY_{_OUR_KEYS.get(name, name)}}}" for name in held]
        return "".join(names) + (last.lower() if len(last) == 1 else f"${{KEY_{_OUR_KEYS.get(last, last)}}}")

    return re.sub(r"\{\{|(?<!\$)\{([A-Z0-9_+]+)\}", key, text)
