"""The measurements in InfluxDB: names, tags and types of fields; dashboards and points are checked against this list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """Names of tags, types of fields; a field whose name begins with one of `per_container` and ends in a container's name."""

    tags: tuple[str, ...]
    fields: Mapping[str, type]
    per_container: Mapping[str, type]

    def type_of(self, field: str) -> type | None:
        """Type of a field, None if there is no such field."""
        if field in self.fields:
            return self.fields[field]
        return next((kind for prefix, kind in self.per_container.items() if field.startswith(prefix) and field != prefix), None)


def _measurement(
    tags: tuple[str, ...], fields: Mapping[str, type], per_container: Mapping[str, type] | None = None
) -> Measurement:
    return Measurement(tags=("site", "engine_host", *tags), fields=fields, per_container=per_container or {})


_WHO = ("source", "role", "setup", "run")
#: of one container in one action, as in ActionUsage
USAGE_FIELDS: Mapping[str, type] = {
    "cpu_seconds": float,
    "cpu_percent_mean": float,
    "cpu_percent_peak": float,
    "peak_duration_s": float,
    "memory_bytes_peak": int,
    "memory_rise_bytes": int,
    "rx_bytes": int,
    "tx_bytes": int,
    "throttled_seconds": float,
}

#: every measurement with its tags and fields; `docker_container_*` as Telegraf's docker input names them
SCHEMA: Mapping[str, Measurement] = {
    # usage_percent is the Docker CLI's number for a frame; for other sources the mean since the point before, and
    # usage_percent_max the highest between two samples since then.
    "docker_container_cpu": _measurement(
        ("container_name", "cpu", "source"),
        {
            "usage_percent": float,
            "usage_percent_max": float,
            "usage_total": int,
            "usage_in_usermode": int,
            "usage_in_kernelmode": int,
            "usage_system": int,
            "online_cpus": int,
            "throttling_throttled_periods": int,
            "throttling_throttled_time": int,
            "container_id": str,
        },
    ),
    "docker_container_mem": _measurement(
        ("container_name", "source"),
        {"usage": int, "usage_with_cache": int, "usage_percent": float, "limit": int, "container_id": str},
    ),
    "docker_container_net": _measurement(
        ("container_name", "network", "source"),
        {"rx_bytes": int, "tx_bytes": int, "rx_packets": int, "tx_packets": int, "container_id": str},
    ),
    "docker_container_blkio": _measurement(
        ("container_name", "device", "source"),
        {"io_service_bytes_recursive_read": int, "io_service_bytes_recursive_write": int, "container_id": str},
    ),
    "http_request": _measurement(
        ("server", "method", "route", "status_class"),
        {
            "requests": int,  # always 1: sum it
            "duration_ms": float,
            "status": int,
            "sent_bytes": int,
            "received_bytes": int,
            "upstream_ms": float,
            "upstream_header_ms": float,
            "content_type": str,
            "session": str,
            "action_id": str,
        },
    ),
    # One point per ended action at its start. The USAGE_FIELDS are sums over all containers (peaks: the highest of one);
    # the same per container have its name behind them: cpu_seconds_xnat-web. InfluxQL has no joins, so all is in one point.
    "action": _measurement(
        ("action", *_WHO),
        {
            "time_end": int,  # milliseconds: what Grafana's region annotations read, at least one past the start
            "duration_ms": float,
            "text": str,
            "linked": str,  # the same with links to other boards, for regions
            "tags": str,
            "outcome": str,
            "action_id": str,
            "session": str,
            "repetition": int,
            "clock_offset_ms": float,
            "clock_error_ms": float,
            "overlapped": int,
            "samples": int,
            "requests": int,
            "sent_bytes": int,
            "bytes": int,
            "images": int,
            "ticks": int,
            "first_image_ms": float,
            "evidence": str,
            **USAGE_FIELDS,
        },
        {f"{name}_": kind for name, kind in USAGE_FIELDS.items()},
    ),
    # Setup and run are fields here: as tags they would make three series of each of the action's.
    "action_event": _measurement(
        ("action", "phase", "source", "role"),
        {
            "setup": str,
            "run": str,
            "session": str,
            "action_id": str,
            "seq": int,
            "wall_ns": int,
            "mono_ns": int,
            "offset_ns": int,
            "offset_error_ns": int,
            "received_ns": int,
        },
    ),
    # Of one action or of one whole repetition (`scope`); from a capture, or without packets from the browser (`method`).
    "transfer": _measurement(
        ("action", *_WHO, "scope", "method"),
        {
            "repetition": int,
            "duration_ms": float,
            "down_bytes": int,
            "up_bytes": int,
            "packets": int,
            "retransmitted": int,
            "out_of_order": int,
            "lost": int,
            "throughput_bits_per_s": float,
            "session": str,
            "action_id": str,
        },
    ),
    "gap": _measurement(
        ("part", "subject"),
        {"reason": str, "text": str, "lasting": bool, "time_end": int, "duration_ms": float},
    ),
    # Of a group of real persons that is too small none comes: ship/crowd.py. Nobody's session is in it.
    "rating": _measurement(("action", "source", "role", "setup"), {"ratings": int, "score": int}),
    # Once a minute, of now: how many users fit, how many are there, and what ends first (web/outlook.py).
    "headroom": _measurement(
        (),
        {
            "users_now": int,
            "users": float,
            "users_low": float,
            "users_high": float,
            "spare": float,
            "spare_low": float,
            "spare_high": float,
            "short": float,  # how many users the headroom is below what is wanted
            "container": str,
            "resource": str,
            "action": str,
            "actions": int,
            "known": int,
            "text": str,
        },
    ),
    # The newest experiment against the baseline, per action ("all": what all share) and metric; changes are fractions.
    "verdict": _measurement(
        ("action", "metric"),
        {
            "verdict": str,
            "code": int,  # -1 better, 0 same, 1 worse, 2 not enough data
            "change": float,
            "low": float,
            "high": float,
            "repetitions": int,
            "blocks": int,
            "baseline": str,
            "candidate": str,
        },
    ),
    # One point per minute at its start, made from all samples and requests of it: ship/rollup_points.py. `covered_s` are the
    # seconds of the minute that are known: less than 60 beside a gap or a restart.
    "docker_container_cpu_1m": _measurement(
        ("container_name", "cpu", "source"),
        {
            "usage_percent_mean": float,
            "usage_percent_max": float,
            "cpu_seconds": float,
            "throttled_seconds": float,
            "samples": int,
            "covered_s": float,
        },
    ),
    "docker_container_mem_1m": _measurement(
        ("container_name", "source"),
        {
            "usage_mean": int,
            "usage_max": int,
            "usage_percent_mean": float,
            "usage_percent_max": float,
            "limit": int,
            "samples": int,
        },
    ),
    "docker_container_net_1m": _measurement(
        ("container_name", "network", "source"),
        {
            "rx_bytes_sum": int,
            "tx_bytes_sum": int,
            "rx_bytes_per_s_mean": float,
            "rx_bytes_per_s_max": float,
            "tx_bytes_per_s_mean": float,
            "tx_bytes_per_s_max": float,
            "samples": int,
            "covered_s": float,
        },
    ),
    "http_request_1m": _measurement(
        ("server", "route", "status_class"),
        {
            "requests": int,
            "duration_ms_mean": float,
            "duration_ms_max": float,
            "duration_ms_p95": float,
            "upstream_ms_mean": float,
            "upstream_ms_max": float,
            "sent_bytes_sum": int,
        },
    ),
    # The fields are those of the parts' health(): names with a unit, all of them numbers as floats, or words.
    "tracemark_self": _measurement(("part",), {}),
}
