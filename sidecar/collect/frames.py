"""Docker frames: one raw JSON message of the stats stream becomes one Sample. Pure.

The formulas are the Docker CLI's (`docker/cli:cli/command/container/stats_helpers.go`), so that a sample shows what
`docker stats` shows for the same frame. cgroup v1 and v2 are told apart by the fields that are there, never by a version.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sidecar.model.records import Sample

#: a limit of a pebibyte or more limits nothing: the kernel writes 2^63 rounded down to a page, or 2^64 - 1, for "none"
NO_LIMIT_BYTES = 2**50
#: Windows counts CPU in units of 100 ns, Linux in ns; only Windows frames have a number of processes
_WINDOWS_UNIT = 100

Json = Mapping[str, Any]


def parse_frame(raw: Json, container: str, container_id: str | None = None) -> Sample | None:
    """The sample that a frame holds, or None for a frame that holds none: the container was not running, or no time is known.

    `container` is the name to file it under; `container_id` overrides the frame's own id. `cpu_percent` is None where the frame
    has nothing to take a difference from. Raises InvalidRecordError when the container's name is not a name.
    """
    time_ns = parse_time(raw.get("read"))
    cpu, precpu, memory = _part(raw, "cpu_stats"), _part(raw, "precpu_stats"), _part(raw, "memory_stats")
    usage = _part(cpu, "cpu_usage")
    total = _count(usage, "total_usage")
    if time_ns is None or total is None:
        return None
    unit = _WINDOWS_UNIT if raw.get("num_procs") else 1
    user, system = _count(usage, "usage_in_usermode"), _count(usage, "usage_in_kernelmode")
    throttling = _part(cpu, "throttling_data")
    networks = _networks(raw)
    block = _part(raw, "blkio_stats").get("io_service_bytes_recursive")
    return Sample(
        container=container,
        container_id=container_id if container_id is not None else str(raw.get("id") or ""),
        source="docker",
        time_ns=time_ns,
        cpu_total_ns=total * unit,
        cpu_user_ns=None if user is None else user * unit,
        cpu_system_ns=None if system is None else system * unit,
        system_cpu_ns=_count(cpu, "system_cpu_usage"),
        online_cpus=_online(cpu) or None,
        cpu_percent=cpu_percent(cpu, precpu),
        throttled_periods=_count(throttling, "throttled_periods"),
        throttled_ns=_count(throttling, "throttled_time"),
        memory_bytes=memory_used(memory),
        memory_usage_bytes=_memory_usage(memory),
        memory_limit_bytes=memory_limit(_count(memory, "limit")),
        rx_bytes=_sum(networks, "rx_bytes"),
        tx_bytes=_sum(networks, "tx_bytes"),
        rx_packets=_sum(networks, "rx_packets"),
        tx_packets=_sum(networks, "tx_packets"),
        block_read_bytes=_block(block, "r"),
        block_write_bytes=_block(block, "w"),
        pids=_count(_part(raw, "pids_stats"), "current"),
    )


def cpu_percent(cpu: Json, precpu: Json) -> float | None:
    """Percent of one core between two readings: `docker stats` CPU %; 0 when a difference is not positive.

    None when either side has no system counter: the first frame of a stream (the formula would give an average over the
    container's life), a container that did not run, or Windows, where the formula does not hold.
    """
    system, system_before = _count(cpu, "system_cpu_usage"), _count(precpu, "system_cpu_usage")
    total, total_before = (_count(_part(side, "cpu_usage"), "total_usage") for side in (cpu, precpu))
    if not system or not system_before or total is None or total_before is None:
        return None
    if total <= total_before or system <= system_before:
        return 0.0
    return (total - total_before) / (system - system_before) * _online(cpu) * 100.0


def memory_used(memory: Json) -> int | None:
    """Bytes in use without the inactive file cache: `docker stats` MEM USAGE.

    cgroup v1 has `total_inactive_file`, v2 `inactive_file`; either counts only when smaller than the usage. Windows frames give
    their private working set.
    """
    if "privateworkingset" in memory:
        return _count(memory, "privateworkingset")
    usage = _memory_usage(memory)
    return None if usage is None else without_cache(usage, _part(memory, "stats"))


def without_cache(usage: int, stats: Json) -> int:
    """Usage minus the inactive file cache by the CLI's rule, from a frame's or a cgroup's memory statistics."""
    for name in ("total_inactive_file", "inactive_file"):
        inactive = _count(stats, name)
        if inactive is not None and inactive < usage:
            return usage - inactive
    return usage


def memory_limit(limit: int | None) -> int | None:
    """A limit in bytes, or None when there is none: absent, 0, or more than any machine has."""
    return limit if limit and limit < NO_LIMIT_BYTES else None


def is_first(raw: Json) -> bool:
    """Whether the frame has no reading before it, as the first of every stream."""
    return not _count(_part(raw, "precpu_stats"), "system_cpu_usage")


def is_stopped(raw: Json) -> bool:
    """Whether the frame says that its container is not running: no time of reading, or the year 1."""
    read = raw.get("read")
    return not isinstance(read, str) or read.startswith("0001-")


def parse_time(text: object) -> int | None:
    """Nanoseconds since the epoch of an RFC 3339 time with up to nine decimals; None for what is no time after 1970.

    The year 1 is how Go writes "no time".
    """
    if not isinstance(text, str) or text.startswith("0001-"):
        return None
    zone_at = max(text.rfind("Z"), text.rfind("+"), text.rfind("-", 19))
    if zone_at < 19:
        return None
    fraction = text[20:zone_at][:9]
    try:
        seconds = int(datetime.fromisoformat(text[:19] + text[zone_at:]).timestamp())
        time_ns = seconds * 10**9 + int(fraction.ljust(9, "0"))
    except ValueError:
        return None
    return time_ns if 0 <= time_ns < 2**63 else None


def _part(of: Json, name: str) -> Json:
    value = of.get(name)
    return value if isinstance(value, dict) else {}


def _count(of: Json, name: str) -> int | None:
    value = of.get(name)
    return value if type(value) is int and value >= 0 else None


def _online(cpu: Json) -> int:
    # percpu_usage has an entry for every possible CPU, also for those that are off: online_cpus is right where both are there.
    percpu = _part(cpu, "cpu_usage").get("percpu_usage")
    return _count(cpu, "online_cpus") or (len(percpu) if isinstance(percpu, list) else 0)


def _memory_usage(memory: Json) -> int | None:
    # Go leaves a usage of zero out; without any field the engine had nothing to tell.
    return _count(memory, "usage") if "usage" in memory else (0 if "limit" in memory else None)


def _networks(raw: Json) -> list[Json]:
    networks = raw.get("networks")
    if isinstance(networks, dict):
        return [part for part in networks.values() if isinstance(part, dict)]
    single = raw.get("network")  # the shape of API 1.20 and before
    return [single] if isinstance(single, dict) else []


def _sum(parts: list[Json], name: str) -> int | None:
    values = [value for part in parts if (value := _count(part, name)) is not None]
    return sum(values) if values else None


def _block(entries: object, initial: str) -> int | None:
    if not isinstance(entries, list) or not entries:
        return None  # this kernel does not account block I/O: unknown, not zero
    return sum(
        _count(entry, "value") or 0
        for entry in entries
        if isinstance(entry, dict) and str(entry.get("op"))[:1].lower() == initial
    )
