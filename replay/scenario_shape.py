"""What a scenario is made of: shapes and the tables of what each kind of step and expectation may say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

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
    "press": Fields(("keys",)),
    "click": Fields(("targets",)),
    "scroll": Fields(("targets", "pace")),
    "wait": Fields(),
}
#: every way to know that a step's effect is there; `replay.expectations.EXPECTATIONS` look for them
EXPECT_FIELDS: Mapping[str, Fields] = {
    "page": Fields((), ("path",)),
    "shown": Fields(("targets",)),
    "gone": Fields(("targets",)),
    "rows": Fields(("targets",), ("at_least", "request")),
    "download": Fields((), ("name",)),
    "slices": Fields(),
    "series": Fields(),
    "slice": Fields(("at",)),
    "moving": Fields((), ("images",)),
    "icon": Fields(("targets", "name")),
}
STEP_COMMON = ("step", "name", "action", "part", "think", "expect", "refuse", "timeout_s")


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
    """One gesture. `number` counts from 1; `part` says which edges of its action the step carries."""

    number: int
    name: str
    kind: str
    action: str | None
    part: Part
    think: Think | None
    targets: tuple[Locator, ...]
    text: str
    pace: tuple[Pace, ...]
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
    parameters: Mapping[str, Scalar]
    window: tuple[int, int]
    hosts: tuple[str, ...]
    steps: tuple[Step, ...]

    def actions(self) -> tuple[str, ...]:
        """The names of the actions that it plays, in the order in which they begin; each once."""
        return tuple(dict.fromkeys(step.action for step in self.steps if step.begins and step.action is not None))
