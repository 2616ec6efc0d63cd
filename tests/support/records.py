"""Small ready-made records: a test names only what it is about."""

from __future__ import annotations

from sidecar.model.records import Action, Marker, Outcome, Phase, Request, Sample, SampleSource, Session, Source

SECOND = 10**9
#: where time begins in tests that tell a story
T0 = 1_700_000_000 * SECOND


def sample(container: str, at_s: float, cpu_s: float, *, memory: int | None = 10**8, source: SampleSource = "cgroup") -> Sample:
    """Counters of a container `at_s` seconds after T0."""
    return Sample(
        container=container,
        container_id="c" * 64,
        source=source,
        time_ns=T0 + round(at_s * SECOND),
        cpu_total_ns=round(cpu_s * SECOND),
        memory_bytes=memory,
    )


def marker(
    action_id: str, phase: Phase, at_s: float, seq: int, *, action: str = "download", session: str = "session-1"
) -> Marker:
    """A marker `at_s` seconds after T0 by both clocks of its client."""
    at_ns = T0 + round(at_s * SECOND)
    return Marker(
        session=session,
        seq=seq,
        action_id=action_id,
        action=action,
        phase=phase,
        wall_ns=at_ns,
        mono_ns=round(at_s * SECOND),
        offset_ns=0,
        offset_error_ns=0,
        received_ns=at_ns,
    )


def session(
    name: str = "session-1", *, source: Source = "replay", role: str | None = "researcher", run: str | None = None
) -> Session:
    """A session that began at T0."""
    return Session(session=name, source=source, client="test", started_ns=T0, role=role, run=run, setup="lan", scenario=role)


def action(
    action_id: str,
    start_s: float,
    duration_s: float,
    *,
    name: str = "download",
    of: str | None = "session-1",
    source: Source = "replay",
    outcome: Outcome = "completed",
) -> Action:
    """An ended action."""
    return Action(
        action_id=action_id,
        action=name,
        session=of,
        source=source,
        start_ns=T0 + round(start_s * SECOND),
        duration_ns=round(duration_s * SECOND),
        outcome=outcome,
    )


def request(start_s: float, duration_s: float = 0.1, *, action_id: str | None = None, sent: int = 1000) -> Request:
    """A request in nginx's log."""
    return Request(
        server="nginx",
        start_ns=T0 + round(start_s * SECOND),
        duration_ns=round(duration_s * SECOND),
        method="GET",
        route="/data/projects/{}",
        status=200,
        sent_bytes=sent,
        session=None,
        action_id=action_id,
    )
