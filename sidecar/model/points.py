"""Records to points; with `measurements` (the schema) and `lines` (line protocol) all that InfluxDB has to know.

(measurement, tags, time) identifies a point; writing it twice changes nothing. Where two different records could share the three
(two people press the same key in the same microsecond; a log that only knows milliseconds), the digits below the resolution of
the source are taken from `tie`, a number that the journal gave the record and never changes: see `_untied`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sidecar.model.lines import INT64, Point, Tags, Value, from_line, to_line
from sidecar.model.measurements import SCHEMA, USAGE_FIELDS, Measurement
from sidecar.model.records import Action, ActionUsage, Gap, Marker, Rating, Record, Request, Sample, Session, Transfer

__all__ = [
    "SCHEMA",
    "Measurement",
    "Point",
    "PointContext",
    "Related",
    "from_line",
    "headroom_point",
    "self_point",
    "tags_of",
    "to_line",
    "to_points",
    "verdict_point",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class PointContext:
    """The tags that every point of this sidecar carries."""

    site: str
    engine_host: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Related:
    """What a point tells beside its record: whose it is, which action, what that used, and the peak that a sample stands for."""

    session: Session | None = None
    action: str | None = None
    usage: Mapping[str, ActionUsage] | None = None
    usage_percent_max: float | None = None


ALONE = Related()


def to_points(record: Record, context: PointContext, tie: int = 0, related: Related = ALONE) -> list[Point]:
    """Points of one record, empty for kinds that InfluxDB does not hold (sessions and usage go with their action).

    `tie` tells records apart that would else be one point.
    """
    make = _MAKERS.get(type(record))
    return make(record, context, tie, related) if make else []


def self_point(part: str, health: Mapping[str, int | float | str], context: PointContext, time_ns: int) -> Point:
    """A part's own counters, as they are now."""
    fields = {name: value if isinstance(value, str) else float(value) for name, value in health.items()}
    return Point("tracemark_self", tags_of(context, part=part), _known(fields), time_ns)


def headroom_point(context: PointContext, time_ns: int, fields: Mapping[str, Value | None]) -> Point:
    """How many users fit, how many are there, and what ends first."""
    return Point("headroom", tags_of(context), _known(fields), time_ns)


def verdict_point(context: PointContext, time_ns: int, *, action: str, metric: str, fields: Mapping[str, Value | None]) -> Point:
    """How one action of the newest experiment compares with the baseline's."""
    return Point("verdict", tags_of(context, action=action, metric=metric), _known(fields), time_ns)


def _known(fields: Mapping[str, Value | None]) -> dict[str, Value]:
    """Fields without those that are unknown: absent is not zero."""
    return {name: value for name, value in fields.items() if value is not None}


def tags_of(context: PointContext, **tags: str | None) -> Tags:
    """Tags of a point as line protocol can say them, sorted; those that are unknown are left out."""
    return _series(context, tuple(tags.items()))


@lru_cache(maxsize=4096)
def _series(context: PointContext, tags: tuple[tuple[str, str | None], ...]) -> Tags:
    given = (("site", context.site), ("engine_host", context.engine_host), *tags)
    return tuple(sorted((name, clean) for name, value in given if value and (clean := _clean(value))))


def _clean(value: str) -> str:
    # Line protocol cannot say a line break or a backslash at the end of a tag's value.
    return " ".join(value.splitlines()).rstrip("\\")


def _milliseconds(time_ns: int | None) -> float | None:
    return None if time_ns is None else time_ns / 1e6


def _untied(time_ns: int, tie: int, resolution_ns: int = 1000) -> int:
    """The time with the digits below the source's resolution replaced by the tie's: less than that resolution away."""
    return min(time_ns - time_ns % resolution_ns + tie % resolution_ns, INT64 - 1)


def _who(session: Session | None) -> dict[str, str | None]:
    if session is None:
        return {}
    # Only a replayed session's run is a tag: it makes new series, and of those no person's browser may make any number.
    run = session.run if session.source == "replay" else None
    return {"source": session.source, "role": session.role, "setup": session.setup, "run": run}


def _sample(sample: Sample, context: PointContext, _tie: int, related: Related) -> list[Point]:
    def tags(**more: str) -> Tags:
        return tags_of(context, container_name=sample.container, source=sample.source, **more)

    cpu = {
        "usage_percent": sample.cpu_percent,
        "usage_percent_max": related.usage_percent_max,
        "usage_total": sample.cpu_total_ns,
        "usage_in_usermode": sample.cpu_user_ns,
        "usage_in_kernelmode": sample.cpu_system_ns,
        "usage_system": sample.system_cpu_ns,
        "online_cpus": sample.online_cpus,
        "throttling_throttled_periods": sample.throttled_periods,
        "throttling_throttled_time": sample.throttled_ns,
    }
    used, limit = sample.memory_bytes, sample.memory_limit_bytes
    memory = {
        "usage": used,
        "usage_with_cache": sample.memory_usage_bytes,
        "usage_percent": 100.0 * used / limit if used is not None and limit else None,
        "limit": limit,
    }
    net = {
        "rx_bytes": sample.rx_bytes,
        "tx_bytes": sample.tx_bytes,
        "rx_packets": sample.rx_packets,
        "tx_packets": sample.tx_packets,
    }
    blocks = {
        "io_service_bytes_recursive_read": sample.block_read_bytes,
        "io_service_bytes_recursive_write": sample.block_write_bytes,
    }
    points = []
    for measurement, more, fields in (
        ("docker_container_cpu", {"cpu": "cpu-total"}, cpu),
        ("docker_container_mem", {}, memory),
        ("docker_container_net", {"network": "total"}, net),
        ("docker_container_blkio", {"device": "total"}, blocks),
    ):
        known = _known(fields)
        if known:
            known["container_id"] = sample.container_id
            points.append(Point(measurement, tags(**more), known, sample.time_ns))
    return points


def _request(request: Request, context: PointContext, tie: int, _related: Related) -> list[Point]:
    tags = tags_of(
        context,
        server=request.server,
        method=request.method,
        route=request.route,
        status_class=None if request.status is None else f"{request.status // 100}xx",
    )
    fields = {
        "requests": 1,
        "duration_ms": _milliseconds(request.duration_ns),
        "status": request.status,
        "sent_bytes": request.sent_bytes,
        "received_bytes": request.received_bytes,
        "upstream_ms": _milliseconds(request.upstream_ns),
        "upstream_header_ms": _milliseconds(request.upstream_header_ns),
        "content_type": request.content_type,
        "session": request.session,
        "action_id": request.action_id,
    }
    # Most logs tell milliseconds at best, and many requests share one.
    resolution_ns = 1_000_000 if request.start_ns % 1_000_000 == 0 else 1000
    return [Point("http_request", tags, _known(fields), _untied(request.start_ns, tie, resolution_ns))]


def _action(action: Action, context: PointContext, tie: int, related: Related) -> list[Point]:
    session, usage = related.session, related.usage or {}
    who = _who(session) | {"source": action.source}
    start_ms = action.start_ns // 1_000_000
    attributes = dict(action.attributes)
    first_image = attributes.pop("first_image_ns", None)
    label, took = action.action.replace("_", " ").upper(), f"{action.duration_ns / 1e9:.2f} s ({action.outcome})"
    words = [action.action, action.source, *(value for value in (who.get("role"), who.get("setup")) if value)]
    fields: dict[str, Value | None] = {
        "time_end": max(action.end_ns // 1_000_000, start_ms + 1),
        "duration_ms": _milliseconds(action.duration_ns),
        "text": f"{label} {took}",
        "linked": _linked(action, label, took),
        "tags": ",".join(words),
        "outcome": action.outcome,
        "action_id": action.action_id,
        "session": action.session,
        "repetition": session.repetition if session else None,
        "clock_offset_ms": _milliseconds(action.clock_offset_ns),
        "clock_error_ms": _milliseconds(action.clock_error_ns),
        "first_image_ms": first_image / 1e6 if isinstance(first_image, int) else None,
        **attributes,
    }
    if usage:
        fields |= _totals(usage)
        for container, used in usage.items():
            fields |= {f"{name}_{container}": _typed(kind, getattr(used, name)) for name, kind in USAGE_FIELDS.items()}
    return [Point("action", tags_of(context, action=action.action, **who), _known(fields), _untied(action.start_ns, tie))]


def _linked(action: Action, label: str, took: str) -> str:
    """The text of a region with links, relative to the board that it is on: what such actions cost, the curves of its time."""
    around_ms = 5000
    start_ms, end_ms = action.start_ns // 1_000_000 - around_ms, action.end_ns // 1_000_000 + around_ms
    cost = f'<a href="../tracemark-costs?var-action={action.action}">{label}</a>'
    return f'{cost} {took} <a href="../tracemark-resources?from={max(0, start_ms)}&to={end_ms}">curves</a>'


def _totals(usage: Mapping[str, ActionUsage]) -> dict[str, Value | None]:
    totals: dict[str, Value | None] = {}
    for name, kind in USAGE_FIELDS.items():
        known = [value for used in usage.values() if (value := getattr(used, name)) is not None]
        highest = name.endswith("_peak") or name == "peak_duration_s"
        totals[name] = _typed(kind, max(known) if highest else sum(known)) if known else None
    return totals | {
        "overlapped": max(used.overlapped for used in usage.values()),
        "samples": sum(used.samples for used in usage.values()),
        "requests": max(used.requests for used in usage.values()),
        "sent_bytes": max(used.sent_bytes for used in usage.values()),
    }


def _typed(kind: type, value: Any) -> Value | None:
    if value is None:
        return None
    return float(value) if kind is float else int(value)


def _marker(marker: Marker, context: PointContext, tie: int, related: Related) -> list[Point]:
    who = _who(related.session)
    corrected = max(0, marker.wall_ns + (marker.offset_ns or 0))
    fields: dict[str, Value | None] = {
        "session": marker.session,
        "seq": marker.seq,
        "wall_ns": marker.wall_ns,
        "mono_ns": marker.mono_ns,
        "offset_ns": marker.offset_ns,
        "offset_error_ns": marker.offset_error_ns,
        "received_ns": marker.received_ns,
    }
    tags = {"phase": marker.phase, "source": who.get("source")}
    if who.get("source") == "replay":
        # Of a real person it says that somebody is there, for counting; what was done comes with `action`, in company only.
        fields |= {"setup": who.get("setup"), "run": who.get("run"), "action_id": marker.action_id}
        tags |= {"action": marker.action, "role": who.get("role")}
    return [Point("action_event", tags_of(context, **tags), _known(fields), _untied(corrected, tie))]


def _transfer(transfer: Transfer, context: PointContext, tie: int, related: Related) -> list[Point]:
    bits = 8 * (transfer.down_bytes + transfer.up_bytes)
    fields: dict[str, Value | None] = {
        "repetition": related.session.repetition if related.session else None,
        "duration_ms": _milliseconds(transfer.duration_ns),
        "down_bytes": transfer.down_bytes,
        "up_bytes": transfer.up_bytes,
        "packets": transfer.packets,
        "retransmitted": transfer.retransmitted,
        "out_of_order": transfer.out_of_order,
        "lost": transfer.lost,
        "throughput_bits_per_s": bits / (transfer.duration_ns / 1e9) if transfer.duration_ns > 0 else None,
        "session": transfer.session,
        "action_id": transfer.action_id,
    }
    scope = "action" if transfer.action_id else "repetition"
    tags = tags_of(context, action=related.action, scope=scope, method=transfer.method, **_who(related.session))
    return [Point("transfer", tags, _known(fields), _untied(transfer.start_ns, tie))]


def _rating(rating: Rating, context: PointContext, tie: int, related: Related) -> list[Point]:
    who = _who(related.session)
    who.pop("run", None)
    fields: dict[str, Value] = {"ratings": 1, "score": rating.score}
    return [Point("rating", tags_of(context, action=related.action, **who), fields, _untied(rating.time_ns, tie))]


def _gap(gap: Gap, context: PointContext, _tie: int, _related: Related) -> list[Point]:
    fields: dict[str, Value | None] = {
        "reason": gap.reason,
        "text": f"{gap.part} {gap.subject}".strip() + f": {gap.reason}",
        "lasting": gap.end_ns is None,
        "time_end": None if gap.end_ns is None else max(gap.end_ns // 1_000_000, gap.start_ns // 1_000_000 + 1),
        "duration_ms": None if gap.end_ns is None else _milliseconds(gap.end_ns - gap.start_ns),
    }
    return [Point("gap", tags_of(context, part=gap.part, subject=gap.subject), _known(fields), gap.start_ns)]


_MAKERS: Mapping[type[Any], Callable[[Any, PointContext, int, Related], list[Point]]] = {
    Sample: _sample,
    Request: _request,
    Action: _action,
    Marker: _marker,
    Transfer: _transfer,
    Rating: _rating,
    Gap: _gap,
}
