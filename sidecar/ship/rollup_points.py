"""One minute as points: mean, peak and sum of what the journal holds of it. Pure.

What a counter did is shared out by time: a step between two samples that crosses the edge of a minute belongs to both minutes in
proportion, so that the sums of all minutes are the counter's difference. A step across a restart (another container id, a counter
that falls) or across more than HOLE_NS says nothing and is left out: a gap stays one and no rate is negative.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from sidecar.model.lines import INT64, Value
from sidecar.model.points import Point, PointContext, tags_of
from sidecar.model.records import Request, Sample

MINUTE_NS: Final = 60_000_000_000
#: past this between two samples it is unknown what was used in between
HOLE_NS: Final = 15_000_000_000
#: the kernel counts CPU time in steps of some milliseconds: a rate over less than this is noise
_SHORTEST_NS: Final = 50_000_000


def minute_of(time_ns: int) -> int:
    """Start of the minute that an instant is in."""
    return time_ns - time_ns % MINUTE_NS


def minute_points(samples: Sequence[Sample], minute_ns: int, context: PointContext) -> list[Point]:
    """Points of one container and source for the minute that starts at `minute_ns`; none when no sample is in it.

    `samples` are in the order of time: those of the minute, the last one before it and the first one after it.
    """
    inside = [sample for sample in samples if minute_of(sample.time_ns) == minute_ns]
    if not inside:
        return []
    steps = [step for before, after in pairwise(samples) if (step := _step(before, after, minute_ns)) is not None]
    points = []
    for measurement, more, fields in (
        ("docker_container_cpu_1m", {"cpu": "cpu-total"}, _cpu(steps)),
        ("docker_container_mem_1m", {}, _memory(inside)),
        ("docker_container_net_1m", {"network": "total"}, _net(steps)),
    ):
        known: dict[str, Value] = {name: value for name, value in fields.items() if value is not None}
        if known:
            known["samples"] = len(inside)
            tags = tags_of(context, container_name=inside[0].container, source=inside[0].source, **more)
            points.append(Point(measurement, tags, known, minute_ns))
    return points


@dataclass(frozen=True, slots=True)
class _Step:
    """Two samples that follow each other, and how much of the time between them is in the minute."""

    before: Sample
    after: Sample
    took_ns: int
    inside_ns: int


def _step(before: Sample, after: Sample, minute_ns: int) -> _Step | None:
    took = after.time_ns - before.time_ns
    inside = min(after.time_ns, minute_ns + MINUTE_NS) - max(before.time_ns, minute_ns)
    restarted = before.container_id != after.container_id or after.cpu_total_ns < before.cpu_total_ns
    return None if restarted or inside <= 0 or not 0 < took <= HOLE_NS else _Step(before, after, took, inside)


@dataclass(frozen=True, slots=True)
class _Rate:
    """What a counter did in the minute: its sum, and per second the mean and the highest of the known seconds."""

    sum: float
    mean: float
    max: float
    covered_s: float


def _rate(steps: Iterable[_Step], counter: Callable[[Sample], int | None]) -> _Rate | None:
    total, covered_ns, highest = 0.0, 0, 0.0
    for step in steps:
        before, after = counter(step.before), counter(step.after)
        if before is None or after is None or after < before:
            continue
        total += (after - before) * (step.inside_ns / step.took_ns)
        covered_ns += step.inside_ns
        if step.took_ns >= _SHORTEST_NS:
            highest = max(highest, (after - before) / (step.took_ns / 1e9))
    if not covered_ns:
        return None
    mean = total / (covered_ns / 1e9)
    return _Rate(total, mean, max(highest, mean), covered_ns / 1e9)


def _cpu(steps: Sequence[_Step]) -> Mapping[str, int | float | None]:
    used = _rate(steps, lambda sample: sample.cpu_total_ns)
    throttled = _rate(steps, lambda sample: sample.throttled_ns)
    if used is None:
        return {}
    return {
        # nanoseconds per second: 10 000 000 are one percent of a core
        "usage_percent_mean": used.mean / 1e7,
        "usage_percent_max": used.max / 1e7,
        "cpu_seconds": used.sum / 1e9,
        "throttled_seconds": throttled.sum / 1e9 if throttled else None,
        "covered_s": used.covered_s,
    }


def _memory(inside: Sequence[Sample]) -> Mapping[str, int | float | None]:
    used = [sample.memory_bytes for sample in inside if sample.memory_bytes is not None]
    if not used:
        return {}
    percent = [
        100.0 * sample.memory_bytes / sample.memory_limit_bytes
        for sample in inside
        if sample.memory_bytes is not None and sample.memory_limit_bytes
    ]
    return {
        # in whole numbers: a float could be rounded up past what InfluxDB takes
        "usage_mean": sum(used) // len(used),
        "usage_max": max(used),
        "usage_percent_mean": sum(percent) / len(percent) if percent else None,
        "usage_percent_max": max(percent, default=None),
        "limit": next((s.memory_limit_bytes for s in reversed(inside) if s.memory_limit_bytes is not None), None),
    }


def _net(steps: Sequence[_Step]) -> Mapping[str, int | float | None]:
    fields: dict[str, int | float | None] = {}
    counters: tuple[tuple[str, Callable[[Sample], int | None]], ...] = (
        ("rx_bytes", lambda sample: sample.rx_bytes),
        ("tx_bytes", lambda sample: sample.tx_bytes),
    )
    for name, counter in counters:
        rate = _rate(steps, counter)
        if rate is not None:
            fields |= {
                f"{name}_sum": min(round(rate.sum), INT64 - 1),
                f"{name}_per_s_mean": rate.mean,
                f"{name}_per_s_max": rate.max,
            }
            fields["covered_s"] = rate.covered_s
    return fields


@dataclass(slots=True)
class _Requests:
    count: int = 0
    sent: int | None = None
    durations_ms: list[float] = field(default_factory=list)
    upstream_ms: list[float] = field(default_factory=list)


class RequestMinute:
    """Takes the requests that start in one minute, some at a time, and keeps of them only numbers."""

    def __init__(self, minute_ns: int, context: PointContext) -> None:
        self._minute_ns = minute_ns
        self._context = context
        self._by_series: dict[tuple[str, str | None, str | None], _Requests] = {}

    def add(self, requests: Iterable[Request]) -> None:
        """Count more requests of the minute."""
        for request in requests:
            status_class = None if request.status is None else f"{request.status // 100}xx"
            found = self._by_series.setdefault((request.server, request.route, status_class), _Requests())
            found.count += 1
            if request.sent_bytes is not None:
                found.sent = (found.sent or 0) + request.sent_bytes
            if request.duration_ns is not None:
                found.durations_ms.append(request.duration_ns / 1e6)
            if request.upstream_ns is not None:
                found.upstream_ms.append(request.upstream_ns / 1e6)

    def points(self) -> list[Point]:
        """One point per server, route and class of status."""
        return [
            Point(
                "http_request_1m",
                tags_of(self._context, server=server, route=route, status_class=status_class),
                {name: value for name, value in _summary(found).items() if value is not None},
                self._minute_ns,
            )
            for (server, route, status_class), found in self._by_series.items()
        ]


def _summary(found: _Requests) -> Mapping[str, int | float | None]:
    durations = sorted(found.durations_ms)
    upstream = found.upstream_ms
    return {
        "requests": found.count,
        "duration_ms_mean": sum(durations) / len(durations) if durations else None,
        "duration_ms_max": durations[-1] if durations else None,
        # nearest rank: the smallest duration that at least 95 of 100 requests do not exceed
        "duration_ms_p95": durations[-(-95 * len(durations) // 100) - 1] if durations else None,
        "upstream_ms_mean": sum(upstream) / len(upstream) if upstream else None,
        "upstream_ms_max": max(upstream, default=None),
        "sent_bytes_sum": found.sent,
    }
