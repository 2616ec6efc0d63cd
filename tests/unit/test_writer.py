"""The writer: groups, answers, a full disk, bad records, the end."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from sidecar.clock import ManualClock
from sidecar.errors import Fault, InvalidRecordError, JournalFullError
from sidecar.journal.memory import MemoryJournal
from sidecar.journal.sqlite import SqliteJournal
from sidecar.journal.writer import Writer
from sidecar.model.records import Gap, Marker, Record, Request, Sample
from tests.support import journal as make
from tests.support.journal import T0
from tests.support.waiting import wait_until


class SlowJournal(MemoryJournal):
    """Holds each commit until it is let through, and remembers what each had."""

    def __init__(self) -> None:
        super().__init__()
        self.may_commit = threading.Semaphore(0)
        self.entered = threading.Semaphore(0)
        self.sizes: list[int] = []
        self.poison: object = None

    def append(self, records: Sequence[Record], notes: Mapping[str, str] | None = None) -> int:
        self.entered.release()
        assert self.may_commit.acquire(timeout=60)
        self.sizes.append(len(records))
        if any(record is self.poison for record in records):
            raise InvalidRecordError("a record does not fit", "mend it")
        return super().append(records, notes)

    def open_gate(self) -> None:
        for _ in range(10_000):
            self.may_commit.release()


class Answers:
    """Collects what `done` is called with."""

    def __init__(self) -> None:
        self.faults: list[Fault | None] = []
        self._come = threading.Semaphore(0)

    def __call__(self, fault: Fault | None) -> None:
        self.faults.append(fault)
        self._come.release()

    def wait(self) -> Fault | None:
        assert self._come.acquire(timeout=60), "no answer"
        return self.faults[-1]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def journal() -> MemoryJournal:
    return MemoryJournal()


@pytest.fixture
def writer(journal: MemoryJournal, clock: ManualClock) -> Iterator[Writer]:
    writer = Writer(journal, clock, capacity=100, retry_s=5)
    writer.start()
    yield writer
    journal.full = False
    clock.advance(10)
    writer.stop()


def test_done_is_told_after_the_commit(writer: Writer, journal: MemoryJournal) -> None:
    answers = Answers()
    seen: list[int] = []
    writer.submit([make.marker()], {"ack/session-1": "1"}, lambda _: seen.append(len(journal.read(Marker))))
    writer.submit([], None, answers)
    assert answers.wait() is None
    assert seen == [1]
    assert journal.note("ack/session-1") == "1"


def test_what_is_put_is_committed_with_its_notes(writer: Writer, journal: MemoryJournal) -> None:
    assert writer.put([make.request(), make.sample()], {"log/nginx/1": "5"})
    wait_until(lambda: journal.note("log/nginx/1") == "5", "the commit")
    assert len(journal.read(Request)) == len(journal.read(Sample)) == 1


def test_one_commit_serves_all_that_wait(clock: ManualClock) -> None:
    journal = SlowJournal()
    writer = Writer(journal, clock, batch=50)
    writer.start()
    writer.put([make.sample()])
    assert journal.entered.acquire(timeout=60)
    answers = Answers()
    for n in range(1, 21):
        writer.submit([make.marker(n)], None, answers)
    writer.put([make.sample(T0 + n) for n in range(1, 41)])
    journal.open_gate()
    assert writer.stop()
    # 20 markers would fit with 30 samples, but a call is never split.
    assert journal.sizes == [1, 20, 40]
    assert answers.faults == [None] * 20
    assert writer.health()["commits"] == 3


def test_a_full_queue_refuses_without_waiting_and_counts(clock: ManualClock) -> None:
    journal = SlowJournal()
    writer = Writer(journal, clock, capacity=3)
    writer.start()
    writer.put([make.sample()])
    assert journal.entered.acquire(timeout=60)
    # The one being committed still takes its place.
    assert writer.put([make.request(), make.request()])
    assert not writer.put([make.request()])
    answers = Answers()
    writer.submit([make.marker()], None, answers)
    fault = answers.wait()
    assert isinstance(fault, JournalFullError)
    assert fault.retry
    assert writer.health()["refused"] == 2
    assert writer.health()["depth"] == 3
    journal.open_gate()
    assert writer.stop()
    assert journal.sizes == [1, 2]


def test_a_call_larger_than_the_queue_is_taken_when_it_is_empty(writer: Writer, journal: MemoryJournal) -> None:
    assert writer.put([make.request() for _ in range(500)])
    wait_until(lambda: len(journal.read(Request)) == 500, "the commit")


def test_on_a_full_disk_markers_are_not_acknowledged_samples_dropped_and_the_gap_recorded(
    writer: Writer, journal: MemoryJournal, clock: ManualClock
) -> None:
    journal.full = True
    began = clock.wall_ns()
    assert writer.put([make.sample(began), make.request()], {"log/nginx/1": "7"})
    wait_until(lambda: clock.waits == 1, "the pause after the failure")
    assert writer.health()["writable"] == 0
    answers = Answers()
    writer.submit([make.marker()], None, answers)
    assert isinstance(answers.wait(), JournalFullError)
    assert writer.health()["dropped"] == 1
    # Collecting goes on.
    clock.advance(3)
    assert writer.put([make.sample(began + 1)])
    clock.advance(2.5)
    wait_until(lambda: clock.waits == 2, "the pause after the second try")
    assert writer.health()["failed_commits"] == 2
    journal.full = False
    assert writer.put([make.sample(began + 2)])
    clock.advance(5.5)
    wait_until(lambda: writer.health()["writable"] == 1, "the recovery")
    assert [record.time_ns for _, record in journal.read(Sample)] == [began + 2]
    assert len(journal.read(Request)) == 1
    assert journal.note("log/nginx/1") == "7"
    ((_, gap),) = journal.read(Gap)
    assert (gap.part, gap.subject, gap.start_ns) == ("journal", "", began)
    assert gap.end_ns == clock.wall_ns()
    assert "no space" in gap.reason
    assert writer.health()["dropped"] == 2
    assert journal.read(Marker) == []
    writer.submit([make.marker()], None, answers)
    assert answers.wait() is None
    assert len(journal.read(Gap)) == 1


def test_what_waits_on_a_full_disk_keeps_its_order(journal: MemoryJournal, clock: ManualClock) -> None:
    journal.full = True
    writer = Writer(journal, clock, batch=2)
    for n in range(5):
        assert writer.put([make.request(T0 + n)], {"log/nginx/1": str(n)})
    writer.start()
    wait_until(lambda: clock.waits == 1, "the pause after the failure")
    journal.full = False
    clock.advance(6)
    wait_until(lambda: len(journal.read(Request)) == 5, "the recovery")
    assert [record.start_ns - T0 for _, record in journal.read(Request)] == [0, 1, 2, 3, 4]
    assert journal.note("log/nginx/1") == "4"
    assert writer.stop()


class PoisonedThenFull(MemoryJournal):
    """Refuses a record of route /bad, and is full once after that."""

    def append(self, records: Sequence[Record], notes: Mapping[str, str] | None = None) -> int:
        if any(isinstance(record, Request) and record.route == "/bad" for record in records):
            self.full = len(records) == 1
            raise InvalidRecordError("a record does not fit", "mend it")
        try:
            return super().append(records, notes)
        finally:
            self.full = False


def test_a_disk_that_fills_up_while_a_bad_record_is_looked_for_loses_nothing(clock: ManualClock) -> None:
    journal = PoisonedThenFull()
    writer = Writer(journal, clock)
    for n, route in enumerate(("/good", "/bad", "/waits", "/waits too")):
        assert writer.put([make.request(T0 + n, route=route)])
    writer.start()
    wait_until(lambda: clock.waits == 1, "the pause after the full disk")
    clock.advance(6)
    wait_until(lambda: writer.health()["writable"], "the recovery")
    assert writer.stop()
    assert [record.route for _, record in journal.read(Request)] == ["/good", "/waits", "/waits too"]
    assert writer.health()["dropped"] == 1


def test_the_queue_stays_bounded_on_a_full_disk(writer: Writer, journal: MemoryJournal) -> None:
    journal.full = True
    taken = sum(writer.put([make.request(T0 + n)]) for n in range(300))
    assert taken == 100
    assert writer.health()["depth"] == 100


def test_a_bad_record_spoils_only_its_own_call(clock: ManualClock) -> None:
    journal = SlowJournal()
    journal.poison = bad = make.marker(7)
    writer = Writer(journal, clock)
    writer.start()
    writer.put([make.sample()])
    assert journal.entered.acquire(timeout=60)
    good, refused, also_good = Answers(), Answers(), Answers()
    writer.submit([make.marker(6)], None, good)
    writer.submit([bad], None, refused)
    writer.submit([make.marker(8)], None, also_good)
    journal.open_gate()
    assert good.wait() is None
    assert isinstance(refused.wait(), InvalidRecordError)
    assert also_good.wait() is None
    assert writer.stop()
    assert [record.seq for _, record in journal.read(Marker)] == [6, 8]
    assert writer.health()["dropped"] == 1


def test_stop_commits_everything_and_refuses_what_comes_after(clock: ManualClock) -> None:
    journal = SlowJournal()
    writer = Writer(journal, clock, batch=10)
    writer.start()
    for n in range(100):
        writer.put([make.request(T0 + n)])
    journal.open_gate()
    assert writer.stop()
    assert len(journal.read(Request)) == 100
    assert not writer.put([make.request()])


def test_stop_on_a_full_disk_says_that_not_all_is_stored(journal: MemoryJournal, clock: ManualClock) -> None:
    journal.full = True
    writer = Writer(journal, clock)
    writer.start()
    writer.put([make.request()])
    wait_until(lambda: writer.health()["writable"] == 0, "the failure to be noticed")
    assert not writer.stop()
    assert writer.health()["dropped"] == 1


def test_stop_keeps_its_deadline(clock: ManualClock) -> None:
    journal = SlowJournal()
    writer = Writer(journal, clock)
    writer.start()
    writer.put([make.request()])
    assert journal.entered.acquire(timeout=60)
    assert not writer.stop(timeout_s=0.01)
    journal.open_gate()
    assert writer.stop()


def test_an_asker_whose_loop_is_closed_disturbs_nobody(writer: Writer) -> None:
    def gone(_: Fault | None) -> None:
        raise RuntimeError("Event loop is closed")

    answers = Answers()
    writer.submit([make.marker(1)], None, gone)
    writer.submit([make.marker(2)], None, answers)
    assert answers.wait() is None
    assert writer.health()["unheard_answers"] == 1


def test_on_a_real_full_disk_collecting_goes_on_and_the_gap_is_recorded(tmp_path: Path, clock: ManualClock) -> None:
    with make.small_disk(tmp_path) as folder:
        ballast = folder / "ballast"
        ballast.write_bytes(b"\0" * 300_000)
        with SqliteJournal(folder / "journal.sqlite") as journal:
            writer = Writer(journal, clock)
            writer.start()
            answers = Answers()
            while writer.health()["writable"]:
                writer.submit([make.request(T0 + n, route=f"/{n}" * 20) for n in range(200)], None, answers)
                answers.wait()
            # More than may be left in what the journal has already taken of the disk.
            assert writer.put([make.sample(clock.wall_ns() + n) for n in range(5000)])
            writer.submit([make.marker()], None, answers)
            assert isinstance(answers.wait(), JournalFullError)
            wait_until(lambda: clock.waits == 1, "the pause after the failure")
            clock.advance(6)
            wait_until(lambda: clock.waits == 2, "the pause after the second try")
            assert writer.health()["dropped"] == 5000
            ballast.unlink()
            clock.advance(6)
            wait_until(lambda: writer.health()["writable"], "the recovery")
            ((_, gap),) = journal.read(Gap)
            assert gap.part == "journal"
            assert "no space is left" in gap.reason
            writer.submit([make.marker()], None, answers)
            assert answers.wait() is None
            assert writer.stop()
