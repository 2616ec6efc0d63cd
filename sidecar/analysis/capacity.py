"""How many users fit until the first limit, with an interval: the answer made of the model, resampling and its known error. Pure.

Utilisation alone would promise too much by a quarter and more: bursts queue long before a server is full. How far off the model
was on simulated systems is in ERROR and so in the interval.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import stdev
from typing import Any

from sidecar.analysis.capacity_demand import Work, memory_line
from sidecar.analysis.capacity_model import FULL, LEAST, LONE, MOST_USERS, Limit, Machine, Point, System
from sidecar.analysis.summary import Estimate

__all__ = ["LEAST", "Capacity", "Headroom", "Limit", "Machine", "Point", "capacity", "headroom", "present"]

#: mean and standard deviation of log(true users / answer): on thirteen simulated systems (bursts of six threads, long streams,
#: limits, a slow link, other work, garbage collection, hyper-threads) answers were off by -23 to +20 %, twelve of them by at
#: most 20 %, and the first limit was named right in all
ERROR = (0.06, 0.13)
#: the same where a resource is full before any target is passed: the curve is flat there, against exact analysis it is late
ERROR_FULL = (-0.15, 0.12)
#: for the p95 of a target so many of it are wanted
WANTED = 300
_RESAMPLES = 30
#: how the 90 % interval is made of a standard deviation
_Z = 1.645


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """The answer: `users` until the first limit (90 % interval), None with the reason in `notes` when too little is known."""

    users: Estimate | None
    limiting: Limit | None
    limits: tuple[Limit, ...] = ()
    curve: tuple[Point, ...] = ()
    mix: Mapping[str, float] = field(default_factory=dict)
    actions: int = 0
    people_seen: int = 0
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The public form."""
        return {
            "users": {"estimate": None, "low": None, "high": None} if self.users is None else asdict(self.users),
            "limiting": None if self.limiting is None else asdict(self.limiting),
            "curve": [asdict(point) for point in self.curve],
            "limits": [asdict(limit) for limit in self.limits],
            "mix": dict(self.mix),
            "actions": self.actions,
            "people_seen": self.people_seen,
            "method": "mean value analysis",
            "notes": list(self.notes),
        }


def capacity(
    found: Sequence[Work],
    machine: Machine,
    targets: Mapping[str, float],
    *,
    mix: Mapping[str, float] | None = None,
    seed: int = 1,
    resamples: int = _RESAMPLES,
) -> Capacity:
    """Users until the first limit; `targets` are seconds that 95 of 100 actions of a class may take, `mix` shares of roles.

    Without `mix` the roles are there in proportion to the time that their sessions took.
    """
    people = max((work.people for work in found), default=0)
    if len(found) < LEAST or all(work.thought_s is None for work in found):
        why = f"too little is known: {len(found)} actions of sessions, {LEAST} are the least"
        return Capacity(users=None, limiting=None, actions=len(found), people_seen=people, notes=(why,))
    if mix is not None and (missing := sorted(name for name, share in mix.items() if share > 0 and not _has(found, name))):
        why = f"nobody was seen in the role {missing[0]}: roles seen are {', '.join(sorted({work.role for work in found}))}"
        return Capacity(users=None, limiting=None, actions=len(found), people_seen=people, notes=(why,))
    shares = _normal(mix) if mix else present(found)
    system = System(found, machine, shares, targets)
    notes = list(_notes(found, system))
    limits = sorted((*system.limits(), *_memory(found, machine, notes)), key=lambda limit: limit.users)
    if not limits:
        notes.append("no load was measured: nothing would ever be full")
        return Capacity(users=None, limiting=None, mix=shares, actions=len(found), people_seen=people, notes=tuple(notes))
    first = limits[0]
    chosen = random.Random(seed)  # noqa: S311  (a bootstrap, nothing secret)
    again = [_resampled(found, machine, shares, targets, chosen) for _ in range(resamples)]
    logs = [math.log(max(users, 0.1)) for users in again if users is not None]
    mean, error = ERROR if first.action else ERROR_FULL
    half = _Z * math.hypot(error, stdev(logs) if len(logs) > 1 else 1.0)
    low, high = min(1.0, math.exp(mean - half)), max(1.0, math.exp(mean + half))
    if people and first.users > people:
        notes.append(f"extrapolated {first.users / people:.1f} times: at most {people} sessions were seen at once")
    return Capacity(
        users=Estimate(first.users, low * first.users, high * first.users),
        limiting=first,
        limits=tuple(limits),
        curve=system.curve(first),
        mix=shares,
        actions=len(found),
        people_seen=people,
        notes=tuple(notes),
    )


def present(found: Sequence[Work]) -> Mapping[str, float]:
    """Shares of roles, by the time that their sessions were at it."""
    return _normal(
        {role: sum(work.duration_s + (work.thought_s or 0.0) for work in found if work.role == role) for role in _roles(found)}
    )


def _roles(found: Sequence[Work]) -> list[str]:
    return sorted({work.role for work in found})


def _has(found: Sequence[Work], role: str) -> bool:
    return any(work.role == role for work in found)


def _normal(shares: Mapping[str, float]) -> dict[str, float]:
    whole = sum(shares.values())
    return {name: share / whole for name, share in shares.items() if share > 0} if whole > 0 else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Headroom:
    """Users that still fit beside those that are there now; `spare` is None where capacity is not known.

    `users_now` is None where so few real persons are there that telling would point at them: `reason` says so then, and `spare`
    is what is left beside as many as may not be told.
    """

    users_now: int | None
    spare: Estimate | None
    reason: str | None = None


def headroom(known: Capacity, users_now: int, *, late: bool) -> Headroom:
    """What is left of a capacity; nothing is, when a target is passed now (`late`) and the interval allows it."""
    if known.users is None:
        return Headroom(users_now=users_now, spare=None)
    users = known.users
    low, high = (max(0.0, (end or 0.0) - users_now) for end in (users.low, users.high))
    passed = late and low == 0
    return Headroom(users_now=users_now, spare=Estimate(0.0 if passed else max(0.0, users.estimate - users_now), low, high))


def _resampled(
    found: Sequence[Work], machine: Machine, mix: Mapping[str, float], targets: Mapping[str, float], chosen: random.Random
) -> float | None:
    """The answer for other actions that might as well have been seen, and a CPU split that is wrong by a tenth.

    A limit that is never reached counts as the most users, so that the interval widens; None where no pause was drawn.
    """
    again: list[Work] = []
    for role in mix:
        mine = [work for work in found if work.role == role]
        again += chosen.choices(mine, k=len(mine))
    if all(work.thought_s is None for work in again):
        return None
    found_users = System(again, machine, mix, targets, math.exp(chosen.gauss(0, 0.1))).first_users()
    return min([found_users or MOST_USERS, *(limit.users for limit in _memory(again, machine, []))])


def _memory(found: Sequence[Work], machine: Machine, notes: list[str]) -> list[Limit]:
    made = []
    unknown = []
    for container, limit in sorted(machine.memory_limits.items()):
        line = memory_line(found, container)
        if line is None:
            unknown.append(container)
        else:
            base, per_user = line
            users = max(0.0, (FULL * limit - base) / per_user)
            made.append(Limit(users=users, container=container, resource="memory", busy=FULL))
    if unknown:
        notes.append(f"memory is not foretold for {', '.join(unknown)}: it was not seen to grow with the number of sessions")
    return [limit for limit in made if limit.users <= MOST_USERS]


def _notes(found: Sequence[Work], system: System) -> list[str]:
    notes = []
    for action, target in system.hopeless.items():
        notes.append(
            f"{action}: p95 is over its target of {target:g} s already with the few users that were seen; the target is left out"
        )
    for action in system.targets:
        number = len(system.records[action])
        if number < WANTED:
            notes.append(f"{action}: {number} seen, {WANTED} are wanted for a good p95: the interval is wide")
    few = sorted(
        action for action in {work.action for work in found} if sum(work.alone for work in found if work.action == action) < LONE
    )
    if few:
        notes.append(f"fewer than {LONE} ran alone of: {', '.join(few)}")
    return notes
