"""What a scenario is made of: shapes and the tables of what each kind of step and expectation may say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from replay.locate import Locator
from sidecar.model.faults import UsageFault

FORMAT = 1

Part = Literal["whole", "begin", "inside", "end"]
Scalar = str | int | float


class ScenarioError(UsageFault):
    """A scenario file, or a value given for it, that cannot be played."""


class Fields(NamedTuple):
    """Which fields an entry must have and may have, beside those that every entry may have."""

    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()


#: every kind of step and its own fields; `replay.steps.STEPS` plays them
STEP_FIELDS: Mapping[str, Fields] = {
    "open": Fields(("path",)),
    "type": Fields(("targets", "text"), ("secret",)),
    "press": Fields(("keys",), ("targets",)),
    "click": Fields(("targets",), ("at", "button", "hold")),
    "double_click": Fields(("targets",), ("at",)),
    "hover": Fields(("targets",), ("at",)),
    "drag": Fields(("targets",), ("at", "onto", "by", "button")),
    "select": Fields(("targets", "option"), ("mode",)),
    "check": Fields(("targets",)),
    "uncheck": Fields(("targets",)),
    "choose_file": Fields(("targets", "file")),
    "scroll": Fields(("targets", "pace")),
    "wheel": Fields(("notches",), ("targets", "notches_per_s")),
    "scroll_to": Fields(("y",), ("x", "targets")),
    "resize": Fields(("size",)),
    "enter_frame": Fields(("targets",)),
    "leave_frame": Fields((), ("up_to",)),
    "tab": Fields((), ("which", "path")),
    "close_tab": Fields(),
    "store": Fields(("parameter", "what"), ("targets", "attribute")),
    "wait": Fields((), ("seconds",)),
    "unsupported": Fields(("command", "because")),
}
#: every way to know that a step's effect is there; `replay.expectations.EXPECTATIONS` look for them
EXPECT_FIELDS: Mapping[str, Fields] = {
    "page": Fields((), ("path",)),
    "shown": Fields(("targets",)),
    "gone": Fields(("targets",)),
    "present": Fields(("targets",)),
    "absent": Fields(("targets",)),
    "text": Fields(("targets",), ("is", "is_not", "contains")),
    "title": Fields((), ("is", "is_not", "contains")),
    "value": Fields(("targets",), ("is", "is_not", "contains")),
    "selected": Fields(("targets",), ("is", "is_not", "contains")),
    "checked": Fields(("targets",), ("state",)),
    "editable": Fields(("targets",), ("state",)),
    "rows": Fields(("targets",), ("at_least", "request")),
    "download": Fields((), ("name",)),
    "slices": Fields(),
    "series": Fields(),
    "slice": Fields(("at",)),
    "moving": Fields((), ("images",)),
    "icon": Fields(("targets", "name")),
}
STEP_COMMON = ("step", "name", "action", "part", "think", "expect", "refuse", "timeout_s")
HEAD_REQUIRED = ("format", "scenario", "role", "steps")
HEAD_OPTIONAL = ("$schema", "description", "parameters", "window", "hosts", "timeout_s")

#: what each field of a step holds; `replay.scenario_fields` reads these kinds and `replay.scenario_schema` describes them
STEP_FIELD_KINDS: Mapping[str, str] = {
    "action": "action",
    "at": "point",
    "attribute": "text",
    "because": "text",
    "button": "button",
    "by": "point",
    "command": "text",
    "expect": "expectations",
    "file": "text",
    "hold": "hold",
    "keys": "text",
    "mode": "mode",
    "name": "label",
    "notches": "notches",
    "notches_per_s": "number",
    "onto": "locators",
    "option": "option",
    "pace": "paces",
    "parameter": "identifier",
    "part": "part",
    "path": "text",
    "refuse": "refusals",
    "seconds": "number",
    "secret": "flag",
    "size": "size",
    "targets": "locators",
    "text": "text",
    "think": "think",
    "timeout_s": "number",
    "up_to": "up_to",
    "what": "what",
    "which": "which",
    "x": "position",
    "y": "position",
}
EXPECT_FIELD_KINDS: Mapping[str, str] = {
    "at": "scalar",
    "at_least": "scalar",
    "because": "label",
    "contains": "text",
    "images": "scalar",
    "is": "text",
    "is_not": "text",
    "name": "text",
    "path": "pattern",
    "request": "pattern",
    "state": "flag",
    "targets": "locators",
}
#: kinds of fields that hold one of a few words
CHOICES: Mapping[str, tuple[str, ...]] = {
    "button": ("left", "middle", "right"),
    "hold": ("CTRL", "SHIFT", "ALT", "META"),
    "mode": ("only", "add", "remove"),
    "part": ("whole", "begin", "inside", "end"),
    "up_to": ("top", "parent"),
    "what": ("text", "value", "title", "count", "attribute"),
    "which": ("first", "newest", "previous"),
}
#: texts that name a credential: a parameter of such a name, or a field that such a locator finds, never holds a literal
SECRET_WORDS = ("passw", "pwd", "passphrase", "secret", "token", "credential", "apikey", "api_key")
IDENTIFIER = r"[A-Za-z_][A-Za-z0-9_]*"
NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"
FROM_ENVIRONMENT = r"\$\{env:" + IDENTIFIER + r"\}"
REFERENCE = r"\$\{(?:env:)?" + IDENTIFIER + r"\}"
#: keys without letters: what may be pressed in a password field
NAMED_KEYS = r"(?:\{[A-Z0-9_+]+\})+"
#: one option of a list: by its label, its value or its place from 0
OPTION = r"(?:label|value|index)=[\s\S]*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Think:
    """A pause before a step: `seconds` on average, drawn evenly from `seconds` x (1 - variation) to x (1 + variation)."""

    seconds: float
    variation: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """One condition that tells that a step's effect is there, or (with `because`) that the site refused it."""

    kind: str
    targets: tuple[Locator, ...] = ()
    options: Mapping[str, Scalar] = field(default_factory=dict)
    because: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """A stretch of scrolling: `share` of the way, at so many notches a second, `burst` of them at once, varied like a pause."""

    share: float
    notches_per_s: float
    variation: float
    burst: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One gesture. `number` counts from 1; `part` says which edges of its action the step carries.

    `text` is what is typed, pressed, opened or chosen; `options` holds the fields that only this kind of step has.
    """

    number: int
    name: str
    kind: str
    action: str | None
    part: Part
    think: Think | None
    targets: tuple[Locator, ...]
    text: str
    pace: tuple[Pace, ...]
    options: Mapping[str, Any]
    onto: tuple[Locator, ...]
    expect: tuple[Expectation, ...]
    refuse: tuple[Expectation, ...]
    timeout_s: float

    @property
    def begins(self) -> bool:
        """Whether its action begins with this step's input."""
        return self.action is not None and self.part in ("whole", "begin")

    @property
    def ends(self) -> bool:
        """Whether its action ends when this step's expectations are met."""
        return self.action is not None and self.part in ("whole", "end")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A whole session; `hosts` are those that the browser may reach beside the site's own."""

    file: str
    name: str
    role: str
    description: str
    parameters: Mapping[str, Scalar]
    window: tuple[int, int]
    hosts: tuple[str, ...]
    steps: tuple[Step, ...]

    def actions(self) -> tuple[str, ...]:
        """The names of the actions that it plays, in the order in which they begin; each once."""
        return tuple(dict.fromkeys(step.action for step in self.steps if step.begins and step.action is not None))
