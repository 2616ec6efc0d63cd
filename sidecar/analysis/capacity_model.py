"""The model behind capacity: stations, roles and targets, solved by operational laws and mean value analysis. Pure.

Classes are roles; stations are the machine's cores, each container's CPU limit, and the link. Arrivals see the station with one
user less (Schweitzer); a station of m cores stretches work as Sakasegawa's approximation of M/M/m says, where an action that
keeps p cores busy at once meets m/p servers. The p95 of an action at n users is the 95th percentile over its records of measured
duration + TAIL * modelled extra time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean

from sidecar.analysis.capacity_demand import Work
from sidecar.analysis.summary import percentile

#: how much longer than the mean a slow action gets
TAIL = 2.0
#: part of a resource that may be busy on average
FULL = 0.95
#: fewer actions of a class say nothing about its p95
LEAST = 20
#: actions of a class that ran alone, from which on nobody else's work is in its durations
LONE = 10
MOST_USERS = 10_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What there is: cores; by container idle use in cores, CPU limits in cores, memory limits in bytes; the link in MB/s."""

    cores: float
    idle: Mapping[str, float] = field(default_factory=dict)
    cpu_limits: Mapping[str, float] = field(default_factory=dict)
    memory_limits: Mapping[str, int] = field(default_factory=dict)
    link_mb_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """Users at which one thing ends: `container` is None for the whole machine, `resource` cpu, cpu limit, memory or network.

    `action` and `target_s` are set where a target is passed; the resource is then the one whose doubling would help most.
    """

    users: float
    container: str | None
    resource: str
    action: str | None = None
    target_s: float | None = None
    busy: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """The server with that many users: how busy the busiest resource is, and the p95 in seconds of the action that limits."""

    users: float
    utilisation: float
    response_s: float | None


@dataclass(frozen=True, slots=True)
class Station:
    """One thing that work queues for: `servers` may be a fraction."""

    container: str | None
    resource: str
    servers: float
    demand: Callable[[Work], float]
    at_once: float = 1.0  # servers that one action takes

    @property
    def alone(self) -> float:
        """How much longer work takes here than its CPU-seconds, with nobody else there."""
        return max(1.0, 1 / self.servers)

    def stretch(self, busy: float) -> float:
        """The same where arrivals find it so busy (0 to 1): Sakasegawa's formula; exact for one server."""
        many = max(1.0, self.servers / self.at_once)
        busy = min(busy, 0.999)
        waits = math.pow(busy, math.sqrt(2 * (many + 1)) - 1) / (many * (1 - busy))
        return self.alone * (1 + waits)


@dataclass(frozen=True, slots=True)
class _Role:
    share: float
    pause_s: float  # thought, and what of an action is no queueing
    demands: tuple[float, ...]  # CPU-seconds or seconds on the link per action, by station
    waits: tuple[float, ...]  # of them what the action waits for, since it keeps several cores busy at once


class System:
    """Stations, roles and targets of one set of actions."""

    def __init__(
        self, found: Sequence[Work], machine: Machine, mix: Mapping[str, float], targets: Mapping[str, float], factor: float = 1.0
    ) -> None:
        self.machine, self._mix, self._found = machine, mix, found
        self._stations = [
            replace(station, at_once=_at_once(station, found))
            for station in stations_of(machine, factor)
            if any(station.demand(work) for work in found if work.role in mix)
        ]
        self._roles = [self._role(role, share) for role, share in mix.items()]
        self.records = {action: _records(found, action) for action in targets}
        self.targets: dict[str, float] = {}
        self.hopeless: dict[str, float] = {}
        for action, target in targets.items():
            if len(self.records[action]) >= LEAST:
                alone = percentile([work.duration_s for work in self.records[action]], 0.95)
                (self.targets if alone <= target else self.hopeless)[action] = target

    def _role(self, role: str, share: float) -> _Role:
        mine = [work for work in self._found if work.role == role]
        thoughts = [work.thought_s for work in mine if work.thought_s is not None]
        every = [work.thought_s for work in self._found if work.thought_s is not None]
        return _Role(
            share,
            fmean(thoughts or every) + fmean(work.duration_s for work in mine),
            tuple(fmean(station.demand(work) for work in mine) for station in self._stations),
            tuple(fmean(_wait(station, work) for work in mine) for station in self._stations),
        )

    def stretches(self, users: float) -> tuple[list[float], list[float]]:
        """By station: how much longer work takes there than alone, and how busy it is (0 to 1)."""
        alone = [station.alone for station in self._stations]
        s = list(alone)
        others = max(0.0, users - 1) / users
        busy = [0.0] * len(s)
        # Near saturation a stretch overshoots: each station's step shrinks when its direction turns.
        pace, last = [0.5] * len(s), [0.0] * len(s)
        for _ in range(500):
            rates = [
                users * role.share / (role.pause_s + sum(w * (now - a) for w, now, a in zip(role.waits, s, alone, strict=True)))
                for role in self._roles
            ]
            moved = 0.0
            for at, station in enumerate(self._stations):
                work = sum(rate * role.demands[at] for rate, role in zip(rates, self._roles, strict=True))
                busy[at] = work / station.servers
                off = station.stretch(others * busy[at]) - s[at]
                pace[at] = max(1e-4, 0.4 * pace[at]) if off * last[at] < 0 else min(0.5, 1.2 * pace[at])
                last[at] = off
                s[at] += pace[at] * off
                moved = max(moved, abs(pace[at] * off) / s[at])
            if moved < 1e-6:
                break
        return [now - a for now, a in zip(s, alone, strict=True)], busy

    def p95(self, action: str, extra: Sequence[float]) -> float:
        """Seconds that 95 of 100 of these actions take where work takes so much longer at each station."""
        every = [
            work.duration_s + TAIL * sum(_wait(station, work) * more for station, more in zip(self._stations, extra, strict=True))
            for work in self.records[action]
        ]
        return percentile(every, 0.95)

    def limits(self) -> list[Limit]:
        """Where each station is full and where each target is passed; what never happens is left out."""
        made = []
        for at, station in enumerate(self._stations):
            users = _first(lambda n, at=at: self.stretches(n)[1][at] >= FULL)  # type: ignore[misc]
            if users is not None:
                made.append(Limit(users=users, container=station.container, resource=station.resource, busy=FULL))
        for action, target in self.targets.items():
            users = _first(lambda n, a=action, t=target: self.p95(a, self.stretches(n)[0]) > t)  # type: ignore[misc]
            if users is not None and (culprit := self._culprit(action, users)) is not None:
                station, busy = culprit
                made.append(
                    Limit(
                        users=users,
                        container=station.container,
                        resource=station.resource,
                        action=action,
                        target_s=target,
                        busy=busy,
                    )
                )
        return made

    def first_users(self) -> float | None:
        """Users until the first of these limits."""

        def passed(users: float) -> bool:
            extra, busy = self.stretches(users)
            return max(busy, default=0.0) >= FULL or any(self.p95(action, extra) > t for action, t in self.targets.items())

        return _first(passed)

    def curve(self, first: Limit) -> tuple[Point, ...]:
        """From one user to a little past the first limit."""
        made = []
        last = max(2.0, 1.2 * first.users)
        for step in range(12):
            users = 1 + (last - 1) * step / 11
            extra, busy = self.stretches(users)
            slow = self.p95(first.action, extra) if first.action else None
            made.append(Point(users=users, utilisation=max(busy, default=0.0), response_s=slow))
        return tuple(made)

    def _culprit(self, action: str, users: float) -> tuple[Station, float] | None:
        """The station whose doubling lowers the p95 most."""
        _, busy = self.stretches(users)
        best: tuple[float, Station, float] | None = None
        for at, station in enumerate(self._stations):
            kept = self._stations
            self._stations = [replace(one, servers=one.servers * (2 if number == at else 1)) for number, one in enumerate(kept)]
            eased = self.p95(action, self.stretches(users)[0])
            self._stations = kept
            if best is None or eased < best[0]:
                best = (eased, station, busy[at])
        return None if best is None else best[1:]


def stations_of(machine: Machine, factor: float) -> list[Station]:
    """`factor` is a guess of how much of the CPU was counted for the wrong action."""
    idle = sum(machine.idle.values())
    made = [Station(None, "cpu", max(0.05, machine.cores - idle), lambda work: factor * sum(work.cpu.values()))]
    for name, cores in machine.cpu_limits.items():
        left = max(0.05, cores - machine.idle.get(name, 0.0))
        made.append(Station(name, "cpu limit", left, lambda work, name=name: factor * work.cpu.get(name, 0.0)))  # type: ignore[misc]
    if machine.link_mb_s:
        rate = machine.link_mb_s
        made.append(Station(None, "network", 1.0, lambda work: work.megabytes / rate))
    return made


def _wait(station: Station, work: Work) -> float:
    demand = station.demand(work)
    # On the link nothing runs beside itself; seconds that were not lived cannot have been waited for.
    return demand if station.resource == "network" else min(demand / work.parallel, work.duration_s * station.servers)


def _at_once(station: Station, found: Sequence[Work]) -> float:
    """How many servers an action takes, the mean over its work."""
    if station.resource == "network":
        return 1.0
    every = sum(station.demand(work) for work in found)
    return sum(station.demand(work) * work.parallel for work in found) / every if every else 1.0


def _records(found: Sequence[Work], action: str) -> list[Work]:
    """Completed actions of a class, those that ran alone if there are enough of them."""
    every = [work for work in found if work.action == action and work.completed]
    alone = [work for work in every if work.alone]
    return alone if len(alone) >= max(LONE, LEAST) else every


def _first(passed: Callable[[float], bool]) -> float | None:
    """The number of users (with a fraction) at which a condition begins to hold; None when it never does."""
    low, high = 0.0, 1.0
    while not passed(high):
        low, high = high, 2 * high
        if high > MOST_USERS:
            return None
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (low, middle) if passed(middle) else (middle, high)
    return (low + high) / 2
