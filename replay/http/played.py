"""What playing a session needs from outside, and what it comes to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from replay.failures import Failure
from replay.results import ActionResult
from replay.transfers import Exchange
from sidecar.model.faults import Fault

_AWAY = (502, 503, 504)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """Clocks and the pause, passed in."""

    wall_ns: Callable[[], int]
    mono_ns: Callable[[], int]
    sleep: Callable[[float], Awaitable[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """How far the size of an answer may be from the recorded one: by a share of it, and by bytes (the larger of the two)."""

    share: float = 0.5
    plus: int = 16_384

    def accepts(self, expected: int, found: int) -> bool:
        """Whether a size is as expected."""
        return abs(found - expected) <= max(self.plus, self.share * expected)


@dataclass(slots=True, kw_only=True)
class Played:
    """What a session came to. `phases` are the actions that ended: number, action, begin and end by the wall clock.

    `late_ns` is by how much each request was begun later than its recording says: a sign of a busy client.
    """

    actions: list[ActionResult] = field(default_factory=list)
    phases: list[tuple[int, str, int, int]] = field(default_factory=list)
    exchanges: list[Exchange] = field(default_factory=list)
    late_ns: list[int] = field(default_factory=list)
    requests: int = 0
    down_bytes: int = 0

    def lateness(self) -> dict[str, float]:
        """How many requests were begun, and by how many milliseconds too late: the median, and what 5 % and 1 % are above."""
        ranked = sorted(self.late_ns)
        named = (("p50_ms", 0.5), ("p95_ms", 0.95), ("p99_ms", 0.99))
        late = {name: round(ranked[int(len(ranked) * share)] / 1e6, 3) for name, share in named} if ranked else {}
        return {"requests": len(ranked), **late}


class SessionFailedError(Fault):
    """A session that could not be played to its end; `failure` says what stopped it, `played` what came before."""

    def __init__(self, failure: Failure, played: Played) -> None:
        super().__init__(failure.what, failure.remedy)
        self.failure = failure
        self.played = played


class UnexpectedAnswerError(Fault):
    """An answer that is not what the browser got; `status` is its own."""

    def __init__(self, what: str, remedy: str, status: int, *, login: bool = False) -> None:
        super().__init__(what, remedy)
        self.kind = "account" if login else "connection" if status in _AWAY else "site"


class ActionWatcher(Protocol):
    """Is told of the phases of a session."""

    def step(self, number: int, name: str) -> None:
        """This phase begins now."""

    def action(self, ended: ActionResult) -> None:
        """This action came to its end."""
