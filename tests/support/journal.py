"""Records for tests of the journal and of shipping, made short to write, and strategies for any record."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from sidecar.model.records import Action, ActionUsage, Gap, Marker, Rating, Record, Request, Sample, Session, Transfer

T0 = 1_700_000_000_000_000_000
SECOND = 1_000_000_000


@contextmanager
def small_disk(parent: Path) -> Iterator[Path]:
    """A file system of one megabyte; skips the test where none can be mounted."""
    folder = parent / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no small file system can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def sample(time_ns: int = T0, **changes: Any) -> Sample:
    given: dict[str, Any] = {"container": "xnat-web", "container_id": "c0ffee", "source": "cgroup", "cpu_total_ns": 5}
    return Sample(**(given | changes), time_ns=time_ns)


def request(start_ns: int = T0, **changes: Any) -> Request:
    given: dict[str, Any] = {
        "server": "nginx",
        "duration_ns": 12_000_000,
        "method": "GET",
        "route": "/data/projects/{}",
        "status": 200,
        "sent_bytes": 512,
    }
    return Request(**(given | changes), start_ns=start_ns)


def session(name: str = "session-1", **changes: Any) -> Session:
    given: dict[str, Any] = {"source": "extension", "client": "firefox", "started_ns": T0}
    return Session(**(given | changes), session=name)


def marker(seq: int = 1, **changes: Any) -> Marker:
    given: dict[str, Any] = {
        "session": "session-1",
        "action_id": "action-01",
        "action": "login",
        "phase": "begin",
        "wall_ns": T0,
        "mono_ns": 7,
        "offset_ns": None,
        "offset_error_ns": None,
        "received_ns": T0 + 1,
    }
    return Marker(**(given | changes), seq=seq)


def action(name: str = "action-01", start_ns: int = T0, duration_ns: int = 2 * SECOND, **changes: Any) -> Action:
    given: dict[str, Any] = {"action": "login", "session": "session-1", "source": "extension", "outcome": "completed"}
    return Action(**(given | changes), action_id=name, start_ns=start_ns, duration_ns=duration_ns)


def usage(name: str = "action-01", container: str = "xnat-web", **changes: Any) -> ActionUsage:
    given: dict[str, Any] = {
        "cpu_seconds": 0.5,
        "cpu_percent_mean": 25.0,
        "cpu_percent_peak": 80.0,
        "peak_duration_s": 0.25,
        "memory_bytes_peak": 1 << 30,
        "memory_rise_bytes": 1 << 20,
        "rx_bytes": 1,
        "tx_bytes": 2,
        "throttled_seconds": 0.0,
        "samples": 20,
        "hz": 10.0,
        "sample_source": "cgroup",
        "overlapped": 0,
        "requests": 3,
        "sent_bytes": 4096,
    }
    return ActionUsage(**(given | changes), action_id=name, container=container)


def transfer(start_ns: int = T0, **changes: Any) -> Transfer:
    given: dict[str, Any] = {
        "session": "session-1",
        "action_id": "action-01",
        "duration_ns": SECOND,
        "down_bytes": 10,
        "up_bytes": 5,
        "packets": 4,
        "retransmitted": 0,
    }
    return Transfer(**(given | changes), start_ns=start_ns)


def rating(time_ns: int = T0, **changes: Any) -> Rating:
    given: dict[str, Any] = {"session": "session-1", "action_id": "action-01", "score": 4}
    return Rating(**(given | changes), time_ns=time_ns)


def gap(start_ns: int = T0, end_ns: int | None = None, **changes: Any) -> Gap:
    given: dict[str, Any] = {"part": "docker", "subject": "xnat-web", "reason": "the engine is gone"}
    return Gap(**(given | changes), start_ns=start_ns, end_ns=end_ns)


# Few identities, so that records meet each other; values from all of their range.
_times = st.integers(0, 3).map(lambda n: T0 + n * SECOND) | st.integers(0, 2**63 - 1)
_counters = st.integers(0, 2**63 - 1)
_maybe = st.none() | _counters
_floats = st.none() | st.floats(0, 1e12)
_ids = st.sampled_from(["session-1", "session-2", "0" * 32])
_action_ids = st.sampled_from(["action-01", "action-02", "action-03"])
_containers = st.sampled_from(["xnat-web", "xnat-db"])
_text = st.text(st.characters(codec="utf-8"), max_size=20)
_attributes = st.dictionaries(st.sampled_from(["bytes", "images", "ticks"]), _counters, max_size=2)

samples = st.builds(
    Sample,
    container=_containers,
    container_id=st.sampled_from(["c0ffee", "decaf"]),
    source=st.sampled_from(["docker", "cgroup", "proc"]),
    time_ns=_times,
    cpu_total_ns=_counters,
    system_cpu_ns=_maybe,
    cpu_percent=_floats,
    memory_bytes=_maybe,
    rx_bytes=_maybe,
    tx_bytes=_maybe,
    block_read_bytes=_maybe,
    throttled_ns=_maybe,
)
requests = st.builds(
    Request,
    server=st.sampled_from(["nginx", "tomcat", "xnat"]),
    start_ns=_times,
    duration_ns=_maybe,
    method=st.none() | st.sampled_from(["GET", "PUT"]),
    route=st.none() | _text,
    status=st.none() | st.integers(100, 599),
    sent_bytes=_maybe,
    content_type=st.none() | _text,
    session=st.none() | _ids,
    action_id=st.none() | _action_ids,
)
sessions = st.builds(
    Session,
    session=_ids,
    source=st.sampled_from(["extension", "replay"]),
    client=st.just("firefox"),
    started_ns=_times,
    role=st.none() | st.just("reader"),
    run=st.none() | st.just("run-1"),
    repetition=st.none() | st.integers(1, 3),
)
markers = st.builds(
    Marker,
    session=_ids,
    seq=st.integers(1, 5),
    action_id=_action_ids,
    action=st.sampled_from(["login", "scroll"]),
    phase=st.sampled_from(["begin", "end", "cancel"]),
    wall_ns=_times,
    mono_ns=_times,
    offset_ns=st.none() | st.integers(-(2**40), 2**40),
    offset_error_ns=_maybe,
    received_ns=_times,
    attributes=_attributes,
)
gaps = st.builds(
    lambda start, length, **rest: Gap(start_ns=start, end_ns=None if length is None else start + length, **rest),
    start=st.integers(0, 2).map(lambda n: T0 + n),
    length=st.none() | st.integers(0, 3),
    part=st.sampled_from(["docker", "journal"]),
    subject=st.sampled_from(["", "xnat-web"]),
    reason=_text,
)
actions = st.builds(
    Action,
    action_id=_action_ids,
    action=st.sampled_from(["login", "scroll"]),
    session=st.none() | _ids,
    source=st.sampled_from(["extension", "replay", "access-log"]),
    start_ns=st.integers(0, 2).map(lambda n: T0 + n),
    duration_ns=st.integers(0, 3),
    outcome=st.sampled_from(["completed", "cancelled", "unfinished"]),
    attributes=_attributes,
)
usages = st.builds(
    usage,
    name=_action_ids,
    container=_containers,
    cpu_seconds=_floats,
    memory_bytes_peak=_maybe,
    hz=_floats,
    overlapped=st.integers(0, 2),
)
transfers = st.builds(
    transfer,
    start_ns=_times,
    session=_ids,
    action_id=st.none() | _action_ids,
    down_bytes=_counters,
    out_of_order=st.none() | _counters,
    lost=st.none() | _counters,
) | st.builds(transfer, start_ns=_times, session=_ids, packets=st.none(), retransmitted=st.none(), method=st.just("browser"))
ratings = st.builds(Rating, session=_ids, action_id=st.none() | _action_ids, time_ns=_times, score=st.integers(1, 5))
records: st.SearchStrategy[Record] = st.one_of(samples, requests, sessions, markers, gaps, actions, usages, transfers, ratings)
