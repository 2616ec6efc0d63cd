"""A scenario in the making: steps, parameters and remarks about what a recording holds and a scenario cannot."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from replay.address import taken_apart
from replay.locate import Locator, LocatorError
from replay.scenario import names_a_secret
from replay.scenario_shape import CHOICES, FORMAT, IDENTIFIER, REFERENCE, SECRET_WORDS
from sidecar.model.catalogue import load_catalogue
from sidecar.model.faults import UsageFault

#: paths that an XNAT has below its context path: what stands before one of them is the context path
_XNAT_ROOTS = frozenset({"app", "data", "REST", "xapi", "VIEWER", "viewer", "login", "images", "scripts"})
_USER_NAME = re.compile(r"(?i)(?:j_)?(?:user_?name|user|login|uname)")
_USER_FIELD = re.compile(r"(?i)(?:^|[#=\"'\[\s/])(?:j_)?(?:user_?name|user|login|uname)(?:$|[\"'\]\s])")
_LEAST_SECRET = 4
_LONGEST_REMARK = 300
#: what is typed only where somebody tries things out: it is on every page, and hides nothing
_WORDS = frozenset({*SECRET_WORDS, "password", "passwd"})
#: fields that hold words of the format, and fields for people
_CLOSED = frozenset({"step", "kind", "action", "parameter", *CHOICES})
_SHOWN = frozenset({"name", "because", "command"})
_IN_TEXT = re.compile(f"({REFERENCE})")
_MARKED = re.compile(r"(.*?)\s*\[([a-z_]+)(?: (begin|inside|end))?\]\s*", re.DOTALL)
#: steps before which a person thinks
_INPUT = frozenset(
    {"open", "type", "press", "click", "double_click", "drag", "select", "check", "uncheck", "choose_file", "wheel", "scroll_to"}
)


class RecordingError(UsageFault):
    """A file that is no recording, or one that no scenario can be made of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """What became of one command of a recording. `lost` says that it cannot be played; otherwise nothing is missing."""

    number: int
    command: str
    what: str
    lost: bool

    def __str__(self) -> str:
        return f"step {self.number} ({self.command}): {self.what}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """A scenario as its file will hold it, and the remarks of the import."""

    raw: Mapping[str, Any]
    remarks: Sequence[Remark]

    @property
    def lost(self) -> list[Remark]:
        """What cannot be played."""
        return [remark for remark in self.remarks if remark.lost]


class Draft:
    """Collects the steps of one recording. `site` is the recorded address of the site, up to its context path."""

    def __init__(self, name: str, *, site: str = "", keep_lost: bool = True) -> None:
        self.name = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-._")[:64] or "recording"
        self.site = site.rstrip("/") if taken_apart(site, "http", "https") is not None else ""
        self.parameters: dict[str, Any] = {}
        self.window: list[int] | None = None
        self.hosts: list[str] = []
        self.steps: list[dict[str, Any]] = []
        self.remarks: list[Remark] = []
        self._keep_lost = keep_lost
        self._pause_s = 0.0
        self._secrets: dict[str, str] = {}
        self._actions = load_catalogue().names

    def add(self, kind: str, *, name: str = "", **fields: Any) -> dict[str, Any]:
        """One more step, after the pause that was met before it; a name may end in its action: `log in [login]`."""
        step: dict[str, Any] = {"step": kind}
        marked = _MARKED.fullmatch(name)
        if marked and marked.group(2) in self._actions:
            name = marked.group(1)
            fields = {**fields, "action": marked.group(2), "part": marked.group(3)}
        if name.strip():
            step["name"] = " ".join(name.split())[:80]
        if self._pause_s > 0:
            step["think"] = {"seconds": max(0.001, round(self._pause_s, 3)), "variation": 0}
            self._pause_s = 0.0
        step.update({field: value for field, value in fields.items() if value is not None})
        self.steps.append(step)
        return step

    def pause(self, seconds: float) -> None:
        """A pause that the next step begins with."""
        self._pause_s += max(0.0, seconds)

    def note(self, number: int, command: str, what: str) -> None:
        """Something to know; nothing is missing for it."""
        self.remarks.append(Remark(number=number, command=_line(command), what=_line(what), lost=False))

    def lose(self, number: int, command: str, because: str, *, step: bool = True) -> None:
        """A command that cannot be played: a step stands for it, at which the play stops (unless it is to be left out)."""
        self.remarks.append(Remark(number=number, command=_line(command), what=f"cannot be played: {_line(because)}", lost=True))
        if step and self._keep_lost:
            self.add("unsupported", name=command, command=_line(command), because=_line(because))

    def typed(self, number: int, command: str, targets: Sequence[str], text: str, *, name: str = "") -> None:
        """Typing into a field: credentials become references, other text a parameter."""
        secret = any(names_a_secret(target) for target in targets)
        if secret:
            text = self.secret(number, command, text, _first_identifier(targets, "password"))
        elif any(_USER_FIELD.search(target) for target in targets) and not re.fullmatch(REFERENCE, text):
            self._reference(text, "user")
            self.parameters.setdefault("user", "${env:XNAT_USER}")
            text = "${user}"
        elif text and "${" not in text:
            text = f"${{{self.parameter(_first_identifier(targets, 'text'), text)}}}"
        self.add("type", name=name, targets=list(targets), text=text, secret=True if secret else None)

    def secret(self, number: int, command: str, literal: str, wanted: str = "password") -> str:
        """The reference that stands for a credential; the literal itself goes nowhere."""
        if re.fullmatch(REFERENCE, literal) and names_a_secret(literal):
            self.parameters.setdefault(literal[2:-1], _environment(literal[2:-1]))
            return literal
        name = wanted if names_a_secret(wanted) else "password"
        self.parameters.setdefault(name, _environment(name))
        self._reference(literal, name)
        self.note(number, command, f"what was typed is left out: set {_environment(name)[6:-1]}")
        return f"${{{name}}}"

    def _reference(self, literal: str, name: str) -> None:
        word = literal.lower()
        if len(literal) >= _LEAST_SECRET and "${" not in literal and word not in _WORDS and not _USER_NAME.fullmatch(word):
            self._secrets[literal] = f"${{{name}}}"

    def parameter(self, wanted: str, value: str | float) -> str:
        """A parameter of this value, called as wanted or with a number behind it; a user's name comes from the environment."""
        if _USER_NAME.fullmatch(wanted):
            self._reference(str(value), wanted)
            value = "${env:XNAT_USER}"
        name, number = wanted, 2
        while name in self.parameters and self.parameters[name] != value:
            name, number = f"{wanted}_{number}", number + 1
        self.parameters[name] = value
        return name

    def path_of(self, number: int, command: str, url: str) -> str | None:
        """The path below the site of an address, with its query; None (and a remark) for another site's."""
        try:
            parts = urlsplit(url)
        except ValueError:
            self.lose(number, command, f"{url[:80]!r} is no address")
            return None
        if parts.netloc and parts.scheme not in ("http", "https"):
            self.lose(number, command, f"{parts.scheme}: is no page of the site")
            return None
        origin = f"{parts.scheme}://{parts.netloc}" if parts.netloc else ""
        if not self.site and origin:
            self.site = origin
        site = urlsplit(self.site)
        if origin and origin != f"{site.scheme}://{site.netloc}":
            self.lose(number, command, f"it is on {parts.netloc}: a scenario plays on one site, {site.netloc}; record it apart")
            return None
        query = urlencode([(name, value) for name, value in parse_qsl(parts.query) if not _private(name)])
        return below_context(parts.path or "/", site.path) + (f"?{query}" if query else "")

    def finish(self, *, role: str, think_s: float, description: str) -> Imported:
        """The scenario; `think_s` is the pause before every step that has none (0: no pause)."""
        if self._pause_s > 0:
            seconds, self._pause_s = self._pause_s, 0.0
            self.add("wait", seconds=max(0.001, round(seconds, 3)))
        if not self.steps:
            found = "; ".join(map(str, self.remarks[:20])) or "it has no commands"
            raise RecordingError(
                f"{self.name} holds no step that can be played ({found})", "record again, or choose another test"
            )
        if think_s > 0:
            for step in self.steps[1:]:
                if step["step"] in _INPUT:
                    step.setdefault("think", {"seconds": think_s, "variation": 0.4})
        raw: dict[str, Any] = {
            "format": FORMAT,
            "scenario": self._hidden(self.name, "").strip("-._") or "recording",
            "role": role,
        }
        if description:
            raw["description"] = description
        raw["parameters"] = {**{name: self._scrub(value) for name, value in self.parameters.items()}, "pace": 1}
        if self.window:
            raw["window"] = self.window
        if self.hosts:
            raw["hosts"] = self.hosts
        raw["steps"] = [self._scrub(_ordered(step)) for step in self.steps]
        remarks = tuple(replace(remark, what=self._hidden(remark.what, "***")) for remark in self.remarks)
        return Imported(raw=raw, remarks=remarks)

    def _scrub(self, value: Any, field: str = "") -> Any:
        """The same without any literal that was typed as a credential; words of our own format stay, whatever was typed."""
        if isinstance(value, dict):
            return {name: held if name in _CLOSED else self._scrub(held, name) for name, held in value.items()}
        if isinstance(value, list):
            kept = [held for held in value if not (field in ("targets", "onto") and self._holds(held))] or value
            return [self._scrub(held, field) for held in kept]
        return self._hidden(value, "***", field) if isinstance(value, str) else value

    def _hidden(self, text: str, mask: str, field: str | None = None) -> str:
        """The text with a mask, or where the play reads the field the reference, in place of every such literal."""
        for literal, reference in sorted(self._secrets.items(), key=lambda pair: -len(pair[0])):
            read = field in ("text", "keys") or (field is not None and field not in _SHOWN and not names_a_secret(reference))
            parts = _IN_TEXT.split(text)  # every second one is a reference: a name that somebody chose, not what was typed
            parts[::2] = [part.replace(literal, reference if read else mask) for part in parts[::2]]
            text = "".join(parts)
        return text

    def unset(self, number: int, name: str) -> None:
        """A parameter that nothing in the recording sets."""
        if _USER_NAME.fullmatch(name):
            self.parameter(name, "")
            return
        self.parameters[name] = ""
        self.note(number, "variable", f"nothing sets {name}: give it with --set {name}=…")

    def _holds(self, text: str) -> bool:
        return any(literal in text for literal in self._secrets)


def below_context(path: str, context: str = "") -> str:
    """A path without the context path, which is known or told by XNAT's own folders."""
    if context.strip("/") and (path + "/").startswith(context.rstrip("/") + "/"):
        return path[len(context.rstrip("/")) :] or "/"
    segments = path.split("/")
    if len(segments) > 2 and segments[1] not in _XNAT_ROOTS and segments[2] in _XNAT_ROOTS:
        return "/" + "/".join(segments[2:])
    return path


def good_locators(texts: Iterable[str]) -> list[str]:
    """Those that can be read, each once, best first; `link=`, `//…` and `class=` in our words."""
    found: list[str] = []
    for text in texts:
        given = text.strip()
        if given.startswith(("//", "(//")):
            given = f"xpath={given}"
        elif given.startswith("link="):
            given = f"linkText={given[5:]}"
        elif given.startswith("class="):
            given = f"css=.{given[6:]}"
        elif given.startswith("identifier="):
            given = f"id={given[11:]}"
        try:
            one = str(Locator.parse(given))
        except LocatorError:
            continue
        if one not in found:
            found.append(one)
    return found


def _line(text: str) -> str:
    """The text as a part of one line that can be read."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_REMARK else line[: _LONGEST_REMARK - 1] + "…"


def _first_identifier(targets: Sequence[str], otherwise: str) -> str:
    for target in targets:
        match = re.fullmatch(rf"(?:id=|name=|css=#)({IDENTIFIER})", target)
        if match:
            return match.group(1)
    return otherwise


def _environment(name: str) -> str:
    word = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).upper()
    return "${env:" + ("XNAT_PASSWORD" if word == "PASSWORD" else "XNAT_USER" if word in ("USER", "USERNAME") else word) + "}"


def _private(name: str) -> bool:
    return names_a_secret(name) or name.lower() in ("jsessionid", "xnat_csrf")


def _ordered(step: Mapping[str, Any]) -> dict[str, Any]:
    first = ("step", "name", "think", "targets", "text", "path", "action", "part")
    return {**{name: step[name] for name in first if name in step}, **step}
