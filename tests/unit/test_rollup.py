"""Minutes from the journal to the store: when they are closed, late records, restarts, outages."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from sidecar.clock import ManualClock
from sidecar.errors import JournalFullError, ShipLaterError, ShipRefusedError
from sidecar.journal.queries import Reader
from sidecar.journal.sqlite import SqliteJournal
from sidecar.model.points import PointContext
from sidecar.model.records import Record
from sidecar.ship.memory import MemoryStore
from sidecar.ship.rollup import REQUESTS_NOTE, SAMPLES_NOTE, Rollup
from sidecar.ship.rollup_points import MINUTE_NS, minute_of
from tests.support import journal as make
from tests.support.journal import SECOND
from tests.support.waiting import wait_until

CONTEXT = PointContext(site="lab", engine_host="host")
M0 = minute_of(make.T0)
CPU, REQUESTS = "docker_container_cpu_1m", "http_request_1m"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(M0)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def rollup(journal: SqliteJournal, reader: Reader, store: MemoryStore, clock: ManualClock) -> Rollup:
    return Rollup(journal, reader, store, clock, CONTEXT)


def samples(first: int, last: int, container: str = "xnat-web", **more: Any) -> list[Record]:
    """Frames of these seconds after M0 that use half a core."""
    return [
        make.sample(M0 + n * SECOND, container=container, cpu_total_ns=(n + 100) * SECOND // 2, **more)
        for n in range(first, last)
    ]


def minutes(store: MemoryStore, measurement: str) -> list[int]:
    return [(point.time_ns - M0) // MINUTE_NS for point in store.of(measurement)]


def drain(rollup: Rollup) -> float:
    for _ in range(1000):
        if (pause := rollup.step()) > 1:
            return pause
    raise AssertionError("the roll-up does not end")


def test_a_minute_is_written_when_it_is_closed(
    journal: SqliteJournal, store: MemoryStore, clock: ManualClock, rollup: Rollup
) -> None:
    journal.append([*samples(0, 59), make.request(M0 + SECOND)])
    clock.advance(59)
    assert rollup.step() == 16  # it closes 15 s after its end: for a look then nobody must be woken before
    clock.advance(15.9)
    rollup.step()
    assert store.points == {}
    journal.append(samples(59, 70))
    clock.advance(0.1)
    rollup.step()
    assert minutes(store, CPU) == minutes(store, REQUESTS) == [0]
    (point,) = store.of(CPU)
    assert point.fields["cpu_seconds"] == pytest.approx(30)
    assert point.fields["covered_s"] == 60
    assert rollup.health()["written_minutes"] == 2


def test_a_minute_without_samples_has_no_point(
    journal: SqliteJournal, store: MemoryStore, clock: ManualClock, rollup: Rollup
) -> None:
    journal.append([*samples(0, 60), *samples(180, 240)])
    clock.advance(600)
    drain(rollup)
    assert minutes(store, CPU) == [0, 3]


def test_containers_and_sources_are_kept_apart(
    journal: SqliteJournal, store: MemoryStore, clock: ManualClock, rollup: Rollup
) -> None:
    journal.append([*samples(0, 60), *samples(0, 60, "xnat-db"), *samples(0, 60, source="docker")])
    clock.advance(600)
    drain(rollup)
    told = {(dict(point.tags)["container_name"], dict(point.tags)["source"]): point.fields["samples"] for point in store.of(CPU)}
    assert told == {("xnat-web", "cgroup"): 60, ("xnat-db", "cgroup"): 60, ("xnat-web", "docker"): 60}


def test_late_records_write_their_minute_again_as_a_whole(
    journal: SqliteJournal, store: MemoryStore, clock: ManualClock, rollup: Rollup
) -> None:
    journal.append([*samples(0, 30), make.request(M0 + SECOND), *samples(60, 70)])
    clock.advance(90)
    drain(rollup)
    assert store.of(CPU)[0].fields["samples"] == 30
    # A download of five minutes is in the log when it is over.
    clock.advance(300)
    journal.append([*samples(30, 60), make.request(M0 + 2 * SECOND, duration_ns=300 * SECOND)])
    drain(rollup)
    first = store.of(CPU)[0].fields
    assert (first["samples"], first["covered_s"]) == (60, 60)
    (requests,) = store.of(REQUESTS)
    assert requests.fields["requests"] == 2
    assert requests.fields["duration_ms_max"] == 300_000


def test_what_is_written_twice_is_the_same(
    journal: SqliteJournal, reader: Reader, store: MemoryStore, clock: ManualClock, rollup: Rollup
) -> None:
    journal.append([*samples(0, 200), *(make.request(M0 + n * SECOND) for n in range(200))])
    clock.advance(600)
    drain(rollup)
    before = {identity: dict(fields) for identity, fields in store.points.items()}
    assert len(before) == 8
    journal.append([], {SAMPLES_NOTE: "0", REQUESTS_NOTE: "0"})
    drain(Rollup(journal, reader, store, clock, CONTEXT))
    assert store.points == before


def test_a_restart_goes_on_where_the_last_run_was(
    journal: SqliteJournal, reader: Reader, store: MemoryStore, clock: ManualClock, rollup: Rollup
) -> None:
    journal.append(samples(0, 100))
    clock.advance(100)
    drain(rollup)
    assert minutes(store, CPU) == [0]
    journal.append(samples(100, 200))
    clock.advance(100)
    again = Rollup(journal, reader, store, clock, CONTEXT)
    drain(again)
    assert minutes(store, CPU) == [0, 1, 2]
    assert again.health()["written_minutes"] == 2
    assert store.of(CPU)[1].fields["covered_s"] == 60


def test_a_log_of_the_future_holds_nothing_up(
    journal: SqliteJournal, store: MemoryStore, clock: ManualClock, rollup: Rollup
) -> None:
    """A log that does not say its zone may be hours ahead."""
    journal.append([make.request(M0 + 7200 * SECOND), make.request(M0 + SECOND)])
    clock.advance(100)
    drain(rollup)
    assert minutes(store, REQUESTS) == [0, 120]
    assert rollup.health()["behind_s"] == 40


def test_records_that_are_about_to_leave_the_journal_are_passed_over(
    journal: SqliteJournal, reader: Reader, store: MemoryStore, clock: ManualClock
) -> None:
    journal.append([*samples(0, 60), *samples(3600, 3660)])
    clock.advance(3700)
    rollup = Rollup(journal, reader, store, clock, CONTEXT, keep_s=600)
    drain(rollup)
    assert minutes(store, CPU) == [60]
    assert rollup.health()["too_old_records"] == 60


def test_a_backlog_is_worked_off_in_batches_with_pauses_in_between(
    journal: SqliteJournal, store: MemoryStore, clock: ManualClock, rollup: Rollup
) -> None:
    journal.append([make.request(M0 + n * MINUTE_NS) for n in range(500)])
    clock.advance(500 * 60 + 100)
    pauses = [rollup.step() for _ in range(13)]
    assert pauses[:12] == [0.25] * 12
    assert pauses[12] > 1
    assert store.calls == [40] * 12 + [20]
    assert minutes(store, REQUESTS) == list(range(500))


def test_an_outage_makes_the_cursors_wait(journal: SqliteJournal, store: MemoryStore, clock: ManualClock, rollup: Rollup) -> None:
    journal.append(samples(0, 60))
    clock.advance(100)
    store.faults = [ShipLaterError("away", "start it")] * 3
    assert [rollup.step() for _ in range(3)] == [1, 2, 4]
    assert rollup.health()["reachable"] == 0
    assert rollup.health()["last_error"] == "away: start it"
    assert journal.note(SAMPLES_NOTE) is None
    store.faults = [ShipLaterError("busy", "wait", 30.0)]
    assert rollup.step() == 30
    drain(rollup)
    assert minutes(store, CPU) == [0]
    assert rollup.health()["reachable"] == 1


def test_a_refused_point_is_set_aside_and_the_others_are_written(
    journal: SqliteJournal, reader: Reader, store: MemoryStore, clock: ManualClock, rollup: Rollup
) -> None:
    journal.append([*samples(0, 60), *samples(0, 60, "xnat-db")])
    clock.advance(100)
    store.refuses = lambda point: dict(point.tags)["container_name"] == "xnat-db"
    drain(rollup)
    assert [dict(point.tags)["container_name"] for point in store.of(CPU)] == ["xnat-web"]
    assert rollup.health()["refused_points"] == 1
    (kept,) = reader.refused()
    assert kept.line.startswith(CPU)
    assert "unable to parse" in kept.reason


def test_a_point_that_cannot_be_said_is_set_aside(
    journal: SqliteJournal, reader: Reader, store: MemoryStore, clock: ManualClock, rollup: Rollup
) -> None:
    journal.append([make.request(M0, route="# no route"), make.request(M0)])
    clock.advance(100)
    drain(rollup)
    assert len(store.of(REQUESTS)) == 1
    assert rollup.health()["refused_points"] == rollup.health()["written_points"] == 1
    assert "cannot be a name or tag" in reader.refused()[0].reason


def test_a_full_disk_writes_the_same_minutes_again(
    journal: SqliteJournal, store: MemoryStore, clock: ManualClock, rollup: Rollup, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.append(samples(0, 60))
    clock.advance(100)

    def full(*_: object) -> None:
        raise JournalFullError("no space is left", "free some")

    with monkeypatch.context() as patched:
        patched.setattr(journal, "set_aside", full)
        assert rollup.step() == 1
    drain(rollup)
    assert minutes(store, CPU) == [0]
    assert store.calls == [1, 1]


def test_everything_refused_is_a_setting_and_nothing_is_set_aside(
    journal: SqliteJournal, reader: Reader, store: MemoryStore, clock: ManualClock, rollup: Rollup
) -> None:
    journal.append([record for n in range(10) for record in samples(0, 60, f"xnat-{n}")])
    clock.advance(100)
    store.faults = [ShipRefusedError("the store refuses points (400: wrong organisation)", "look")] * 100
    assert rollup.step() == 60
    assert "every point is refused" in str(rollup.health()["last_error"])
    assert reader.refused() == []


def test_it_runs_until_it_is_stopped(journal: SqliteJournal, store: MemoryStore, clock: ManualClock, rollup: Rollup) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=rollup.run, args=(stop,))
    thread.start()
    try:
        journal.append(samples(0, 70))

        def written() -> bool:
            clock.advance(10)
            return bool(store.points)

        wait_until(written, "the minute to be written")
    finally:
        stop.set()
        thread.join(60)
    assert not thread.is_alive()
    assert minutes(store, CPU)[0] == 0
