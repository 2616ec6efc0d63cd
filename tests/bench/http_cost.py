"""What an action costs a server: CPU time of its processes from the begin of an action to the begin of the next one.

An action's aftermath (a page's icon, what a page asks for after it is shown) belongs to it. For that both engines make the same
pause before every action, long enough for the server to come to rest; what it uses at rest anyway is taken off.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from replay.campaign_markers import NoMarkers
from replay.scenario_shape import Scenario, Think

#: the kernel's CPU clock of a process (clock_getcpuclockid(3))
_CPU_CLOCK = 2
#: a server that uses more than this share of a core while an action is about to begin has not come to rest
_REST_S, _REST_SHARE = 0.05, 0.02


def cpu_ns(pid: int) -> int:
    """CPU time of a process and its living children, in nanoseconds."""
    return sum(time.clock_gettime_ns((~one << 3) | _CPU_CLOCK) for one in family(pid))


def family(pid: int) -> list[int]:
    """A process and its living children, and theirs."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += family(int(child))
    return found


def spaced(scenario: Scenario, pause_s: float, pace: float) -> Scenario:
    """The scenario with this pause before each of its actions when it is played at this pace, always the same one."""
    pause = Think(seconds=pause_s * pace, variation=0.0)
    return replace(scenario, steps=tuple(replace(step, think=pause) if step.begins else step for step in scenario.steps))


class Server:
    """The processes whose CPU time counts, by name, and what they use at rest (nanoseconds a second)."""

    def __init__(self, pids: Mapping[str, int], rest_s: float) -> None:
        self._pids = pids
        before = self.used()
        time.sleep(rest_s)
        self.at_rest = {name: (value - before[name]) / rest_s for name, value in self.used().items()}

    def used(self) -> dict[str, int]:
        """Nanoseconds so far."""
        return {name: cpu_ns(pid) for name, pid in self._pids.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Milliseconds of CPU that an action cost, by process: with its aftermath, and until its end alone."""

    action: str
    whole: Mapping[str, float]
    inside: Mapping[str, float]


class CostMarkers(NoMarkers):
    """Told of the actions of one session; `restless` counts those that began before the server had come to rest."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._names: dict[str, str] = {}
        self._began: tuple[str, float, dict[str, int]] | None = None
        self._inside: dict[str, float] = {}
        self._first = time.monotonic(), server.used()
        self.cost: list[Cost] = []
        self.restless = 0

    def begin(self, action: str) -> str:
        now_s, used = time.monotonic(), self._server.used()
        self._close(now_s, used)
        time.sleep(_REST_S)
        later_s, later = time.monotonic(), self._server.used()
        self.restless += sum(self._between(now_s, used, later_s, later).values()) > (later_s - now_s) * 1e3 * _REST_SHARE
        action_id = super().begin(action)
        self._names[action_id] = f"{len(self._names) + 1} {action}"
        self._began = self._names[action_id], later_s, later
        return action_id

    def end(self, action_id: str, **attributes: int | str) -> None:
        assert self._began is not None
        self._inside = self._between(*self._began[1:], time.monotonic(), self._server.used())

    def done(self) -> dict[str, float]:
        """Close the last action; the whole session's cost."""
        now_s, used = time.monotonic(), self._server.used()
        self._close(now_s, used)
        return self._between(*self._first, now_s, used)

    def name(self, action_id: str | None) -> str:
        """An action by its id."""
        return self._names.get(action_id or "", "between")

    def _close(self, now_s: float, used: dict[str, int]) -> None:
        if self._began is not None:
            name, began_s, before = self._began
            self.cost.append(Cost(action=name, whole=self._between(began_s, before, now_s, used), inside=self._inside))
        self._began = None

    def _between(self, from_s: float, before: Mapping[str, int], to_s: float, after: Mapping[str, int]) -> dict[str, float]:
        rest = self._server.at_rest
        return {name: max(0.0, after[name] - before[name] - rest[name] * (to_s - from_s)) / 1e6 for name in after}


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The median of some numbers and the interval in which that of all such numbers lies with at least this probability."""

    median: float
    low: float
    high: float
    probability: float

    @classmethod
    def of(cls, numbers: Sequence[float], wanted: float = 0.95) -> Spread:
        """By order statistics, whatever their distribution; too few numbers give the whole range at what it is worth."""
        ranked, count = sorted(numbers), len(numbers)
        cut, probability = 0, 1 - 2 * 0.5**count
        while 2 * (cut + 1) < count:
            narrower = 1 - 2 * sum(math.comb(count, k) for k in range(cut + 2)) * 0.5**count
            if narrower < wanted:
                break
            cut, probability = cut + 1, narrower
        return cls(median=statistics.median(ranked), low=ranked[cut], high=ranked[count - 1 - cut], probability=probability)

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f})"
