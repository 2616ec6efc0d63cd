"""The records that flow through Tracemark, in the order in which the picture of the design names them.

Frozen, slotted, keyword-only; construction validates; nothing has a default for time. Times are integer nanoseconds since the
epoch, UTC. `None` means unknown: absent is not zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from sidecar.model.checks import check_attributes, check_counter, check_name, check_opaque, check_time
from sidecar.model.faults import InvalidRecordError

SampleSource = Literal["docker", "cgroup", "proc"]
Server = Literal["nginx", "tomcat", "xnat"]
Source = Literal["extension", "replay", "access-log"]
Phase = Literal["begin", "end", "cancel"]
Outcome = Literal["completed", "cancelled", "unfinished"]
Setup = Literal["lan", "vpn", "wan"]
TransferMethod = Literal["capture", "browser"]
AttemptOutcome = Literal["finished", "failed"]

_MAX_SEQ = 2**53 - 1
_PHASES = frozenset(("begin", "end", "cancel"))
_TRANSFER_METHODS = frozenset(("capture", "browser"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One container's counters at one instant.

    CPU and throttling in nanoseconds since the container started; `memory_bytes` is usage minus inactive file cache (the number
    that `docker stats` shows), `memory_usage_bytes` the kernel's raw usage; network and block counters are sums over interfaces
    and devices. `cpu_percent` is the Docker CLI's number for the same frame and is there for frames only: 100 % is one core.
    """

    container: str
    container_id: str
    source: SampleSource
    time_ns: int
    cpu_total_ns: int
    cpu_user_ns: int | None = None
    cpu_system_ns: int | None = None
    system_cpu_ns: int | None = None
    online_cpus: int | None = None
    cpu_percent: float | None = None
    throttled_periods: int | None = None
    throttled_ns: int | None = None
    memory_bytes: int | None = None
    memory_usage_bytes: int | None = None
    memory_limit_bytes: int | None = None
    rx_bytes: int | None = None
    tx_bytes: int | None = None
    rx_packets: int | None = None
    tx_packets: int | None = None
    block_read_bytes: int | None = None
    block_write_bytes: int | None = None
    pids: int | None = None

    def __post_init__(self) -> None:
        check_name(self.container, "container")
        check_time(self.time_ns, "time_ns")
        check_counter(self.cpu_total_ns, "cpu_total_ns")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One access-log line: its path has become a route without ids, and nothing in it names a person.

    `duration_ns` is None where the log has none; `upstream_ns` and `upstream_header_ns` are the time until the upstream's last
    and first byte. `session` and `action_id` come from the request's `traceparent` (trace id, parent id) and from nowhere else.
    """

    server: Server
    start_ns: int
    duration_ns: int | None
    method: str | None
    route: str | None
    status: int | None
    sent_bytes: int | None
    received_bytes: int | None = None
    upstream_ns: int | None = None
    upstream_header_ns: int | None = None
    content_type: str | None = None
    session: str | None = None
    action_id: str | None = None

    def __post_init__(self) -> None:
        check_time(self.start_ns, "start_ns")
        check_counter(self.duration_ns, "duration_ns")
        check_counter(self.sent_bytes, "sent_bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One person's or virtual user's sitting on the marker channel, and the experiment that it belongs to, if any.

    `attempt` names the attempt at the repetition that the session is part of, `series` counts from 1 how often the run began
    anew, and `outcome` is what became of the attempt, told by any session that names it: see `analysis/attempts.py`.
    """

    session: str
    source: Source
    client: str
    started_ns: int
    role: str | None = None
    setup: Setup | None = None
    run: str | None = None
    repetition: int | None = None
    scenario: str | None = None
    attempt: str | None = None
    series: int | None = None
    outcome: AttemptOutcome | None = None

    def __post_init__(self) -> None:
        check_opaque(self.session, "session")
        if self.attempt is not None:
            check_opaque(self.attempt, "attempt")
        check_time(self.started_ns, "started_ns")
        for name in ("client", "role", "run", "scenario"):
            check_name(getattr(self, name), name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """One instant told by a source: an action begins, ends or is cancelled.

    `wall_ns` is the client's own clock, `mono_ns` its monotonic clock; `offset_ns` is what to add to the client's clock to get
    the sidecar's, `offset_error_ns` the bound of its error (both None before the first ping). `received_ns` is the sidecar's time
    of arrival.
    """

    session: str
    seq: int
    action_id: str
    action: str
    phase: Phase
    wall_ns: int
    mono_ns: int
    offset_ns: int | None
    offset_error_ns: int | None
    received_ns: int
    attributes: Mapping[str, int | str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_opaque(self.session, "session")
        check_opaque(self.action_id, "action_id")
        if not 1 <= self.seq <= _MAX_SEQ:
            raise InvalidRecordError("seq is out of range", "count from 1")
        if self.phase not in _PHASES:
            raise InvalidRecordError(f"phase {self.phase!r} is unknown", "use begin, end or cancel")
        check_time(self.wall_ns, "wall_ns")
        check_time(self.mono_ns, "mono_ns")
        check_time(self.received_ns, "received_ns")
        if self.attributes:
            check_attributes(self.attributes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """Bytes, packets and retransmissions of one action (or, with `action_id` None, of one repetition).

    `method` says who saw them: a `capture` (all bytes at the IP layer, first to last packet) or, where none is allowed, the
    `browser` (bytes of its requests and answers; it knows no packets). `retransmitted`, `out_of_order` and `lost` are TCP
    segments of both directions, as the client's side saw them.
    """

    session: str
    action_id: str | None
    start_ns: int
    duration_ns: int
    down_bytes: int
    up_bytes: int
    packets: int | None
    retransmitted: int | None
    method: TransferMethod = "capture"
    out_of_order: int | None = None
    lost: int | None = None

    def __post_init__(self) -> None:
        check_opaque(self.session, "session")
        check_time(self.start_ns, "start_ns")
        if self.method not in _TRANSFER_METHODS:
            raise InvalidRecordError("a transfer's method is unknown", "send capture or browser")
        if self.method == "capture" and (self.packets is None or self.retransmitted is None):
            raise InvalidRecordError("a captured transfer has no packets", "send packets, retransmitted; or say browser")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating:
    """How it felt, 1 (bad) to 5 (good), given by the person after an action."""

    session: str
    action_id: str | None
    time_ns: int
    score: int

    def __post_init__(self) -> None:
        check_opaque(self.session, "session")
        if not 1 <= self.score <= 5:
            raise InvalidRecordError(f"score {self.score} is out of range", "send 1 to 5")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A known absence with a reason: nothing may be concluded about `subject` in this stretch of time.

    `part` is who could not see (docker, cgroup, access-log, journal, markers, sidecar), `subject` a container, a log's short name
    or "". `end_ns` None means that it lasts.
    """

    part: str
    subject: str
    start_ns: int
    end_ns: int | None
    reason: str

    def __post_init__(self) -> None:
        check_time(self.start_ns, "start_ns")
        if self.end_ns is not None and self.end_ns < self.start_ns:
            raise InvalidRecordError(f"a gap of {self.part} ends before it starts", "check the clock")


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """The interval between the markers of one id, in the sidecar's clock; or one inferred from the access log.

    `duration_ns` comes from the client's monotonic clock where both markers have it. An unfinished action ends with its session.
    """

    action_id: str
    action: str
    session: str | None
    source: Source
    start_ns: int
    duration_ns: int
    outcome: Outcome
    clock_offset_ns: int | None = None
    clock_error_ns: int | None = None
    attributes: Mapping[str, int | str] = field(default_factory=dict)

    @property
    def end_ns(self) -> int:
        return self.start_ns + self.duration_ns

    def __post_init__(self) -> None:
        check_time(self.start_ns, "start_ns")
        check_counter(self.duration_ns, "duration_ns")


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionUsage:
    """What one container used while one action was open: the action joined with its samples and requests.

    `cpu_seconds` is the difference of the CPU counter at the action's edges; `cpu_percent_mean` and `_peak` are percent of one
    core, the peak over the shortest interval that the samples allow; `peak_duration_s` the time spent above half the way from
    mean to peak; `memory_rise_bytes` the peak minus the memory at the begin. `hz` is the median rate of the samples used and
    `sample_source` where they came from. `overlapped` is how many other actions were open at some time during this one: then the
    window's sum counts their work too.
    """

    action_id: str
    container: str
    cpu_seconds: float | None
    cpu_percent_mean: float | None
    cpu_percent_peak: float | None
    peak_duration_s: float | None
    memory_bytes_peak: int | None
    memory_rise_bytes: int | None
    rx_bytes: int | None
    tx_bytes: int | None
    throttled_seconds: float | None
    samples: int
    hz: float | None
    sample_source: SampleSource | None
    overlapped: int
    requests: int
    sent_bytes: int


Record = Sample | Request | Session | Marker | Transfer | Rating | Gap | Action | ActionUsage
