"""What is foretold: capacity, headroom and the verdict on the newest experiment, worked out beside the requests, not in them.

Once a minute it looks who is there; capacity is worked out anew when actions came and the last time is a while ago, the verdict
when the experiment has more repetitions. The page and the API get what was worked out last; InfluxDB gets it as points of now.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from flask import Blueprint, Response, request

from sidecar.analysis.capacity import Capacity, Headroom
from sidecar.analysis.compare import CODES, Comparison
from sidecar.analysis.summary import Estimate
from sidecar.clock import Clock
from sidecar.errors import UsageFault
from sidecar.journal.queries import Reader
from sidecar.model.points import Point, PointContext, headroom_point, verdict_point
from sidecar.web.gather_capacity import Wanted, gather_capacity, gather_headroom
from sidecar.web.gather_runs import gather_comparison, newest_experiment, repetitions_seen
from sidecar.web.parameters import Parameters

_EVERY_S = 60.0
#: capacity changes with the mix and the library, not with the minute
_CAPACITY_EVERY_NS = 10 * 60 * 10**9


@dataclass(frozen=True, slots=True)
class _Judged:
    baseline: str
    candidate: str
    seen: tuple[int, int]
    told: Comparison


class Outlook:
    """A part of the sidecar with `run` and `health`; `points` are what it knows now, none before the first round.

    `baseline` is an experiment that the newest one is compared with, empty for none; `least` the headroom that is wanted;
    `cpu_limits` tells the engine's CPU limits by container.
    """

    def __init__(
        self,
        reader: Callable[[], Reader],
        clock: Clock,
        context: PointContext,
        wanted: Wanted,
        *,
        baseline: str = "",
        least: int = 0,
        cpu_limits: Callable[[], Mapping[str, float]] = dict,
    ) -> None:
        self._reader = reader
        self._clock = clock
        self._context = context
        self._wanted = wanted
        self._baseline = baseline
        self._least = least
        self._cpu_limits = cpu_limits
        self._capacity: Capacity | None = None
        self._capacity_ns = 0
        self._actions = -1
        self._headroom: Headroom | None = None
        self._judged: _Judged | None = None
        self._at_ns = 0
        self._rounds = self._capacities = self._comparisons = 0
        self._took_s = 0.0

    def run(self, stop: threading.Event) -> None:
        """Work it out once a minute until `stop` is set."""
        while not stop.is_set():
            self.step()
            self._clock.wait(stop, _EVERY_S)

    def step(self) -> None:
        """One round."""
        began_ns = self._clock.mono_ns()
        reader, now_ns = self._reader(), self._clock.wall_ns()
        due = self._capacity is None or began_ns - self._capacity_ns >= _CAPACITY_EVERY_NS
        if due or self._capacity is None:
            known = replace(self._wanted, cpu_limits={**self._cpu_limits(), **self._wanted.cpu_limits})
            self._capacity = gather_capacity(reader, known, now_ns)
            self._capacity_ns = began_ns
            self._capacities += 1
        self._headroom = gather_headroom(reader, self._capacity, self._wanted, now_ns)
        self._judge(reader)
        self._at_ns = now_ns
        self._rounds += 1
        self._took_s = (self._clock.mono_ns() - began_ns) / 1e9

    def health(self) -> Mapping[str, int | float | str]:
        """Counters, how long the last round took, and which experiments were compared."""
        judged = self._judged
        return {
            "rounds": self._rounds,
            "capacities": self._capacities,
            "comparisons": self._comparisons,
            "took_s": self._took_s,
            "compared": f"{judged.baseline} {judged.candidate}" if judged else "",
        }

    def points(self) -> list[Point]:
        """The last round as points: users that fit, users that are there, and a verdict for each action and metric."""
        if not self._at_ns or self._capacity is None or self._headroom is None:
            return []
        made = [headroom_point(self._context, self._at_ns, _headroom_fields(self._capacity, self._headroom, self._least))]
        judged = self._judged
        if judged is not None:
            for change in judged.told.changes:
                fields = {
                    "verdict": change.verdict,
                    "code": CODES[change.verdict],
                    "change": change.change,
                    "low": change.low,
                    "high": change.high,
                    "repetitions": change.repetitions,
                    "blocks": change.blocks,
                    "baseline": judged.baseline,
                    "candidate": judged.candidate,
                }
                made.append(verdict_point(self._context, self._at_ns, action=change.action, metric=change.metric, fields=fields))
        return made

    def as_json(self) -> dict[str, Any]:
        """The answer of `/api/v1/capacity`."""
        known, left = self._capacity, self._headroom
        if known is None or left is None:
            waiting = Capacity(users=None, limiting=None, notes=("not worked out yet: ask again in a minute",))
            return waiting.as_json() | {"time_ns": None, "headroom": None}
        return known.as_json() | {"time_ns": self._at_ns, "headroom": asdict(left)}

    def _judge(self, reader: Reader) -> None:
        candidate = newest_experiment(reader, self._baseline) if self._baseline else None
        if candidate is None:
            self._judged = None
            return
        seen = repetitions_seen(reader, self._baseline), repetitions_seen(reader, candidate)
        before = self._judged
        if before is not None and (before.candidate, before.seen) == (candidate, seen):
            return
        try:
            told = gather_comparison(reader, self._baseline, candidate)
        except UsageFault:
            # The baseline is not recorded yet, or has left the journal: no verdict is no fault of the sidecar.
            self._judged = None
            return
        self._judged = _Judged(self._baseline, candidate, seen, told)
        self._comparisons += 1


def capacity_path(outlook: Callable[[], Outlook]) -> Blueprint:
    """`GET /api/v1/capacity`: what was worked out last."""
    paths = Blueprint("capacity", __name__, url_prefix="/api/v1")

    @paths.get("/capacity")
    def capacity() -> Response:
        Parameters(request.args, (), 0)  # it has none: other mixes and targets are asked of `tracemark capacity`
        return Response(json.dumps(outlook().as_json(), separators=(",", ":")), mimetype="application/json")

    return paths


def _headroom_fields(known: Capacity, left: Headroom, least: int) -> Mapping[str, int | float | str | None]:
    first = known.limiting
    spare = left.spare

    def ends(name: str, one: Estimate | None) -> dict[str, float | None]:
        return {} if one is None else {name: one.estimate, f"{name}_low": one.low, f"{name}_high": one.high}

    return {
        "users_now": left.users_now,
        **ends("users", known.users),
        **ends("spare", spare),
        "short": None if spare is None else max(0.0, least - spare.estimate),
        "container": None if first is None else first.container or "the machine",
        "resource": None if first is None else first.resource,
        "action": None if first is None else first.action,
        "actions": known.actions,
        "known": int(known.users is not None),
        "text": _text(known, left),
    }


def _text(known: Capacity, left: Headroom) -> str:
    first = known.limiting
    if known.users is None or first is None or left.spare is None:
        return known.notes[0] if known.notes else "unknown"
    where = f"{first.container or 'the machine'}, {first.resource}"
    until = f"{first.action} passes {first.target_s:g} s" if first.action else "it is full"
    return f"{where}: {until}"
