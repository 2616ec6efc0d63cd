"""The supervisor: a part that dies is started again, leaves a gap and takes nobody down."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence

import pytest

from sidecar.clock import ManualClock
from sidecar.errors import EngineGoneError
from sidecar.model.records import Gap, Record
from sidecar.supervise import Supervised
from tests.support.waiting import wait_until


class Kept:
    """A sink that keeps what it gets."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def put(self, records: Sequence[Record], notes: Mapping[str, str] | None = None) -> bool:
        self.records += records
        return True


class Failing:
    """A part that fails as told, one entry a run, and then works."""

    def __init__(self, errors: Sequence[Exception | None]) -> None:
        self.errors = list(errors)
        self.runs = 0
        self.works = threading.Event()

    def run(self, stop: threading.Event) -> None:
        self.runs += 1
        if self.errors:
            error = self.errors.pop(0)
            if error is not None:
                raise error
            return
        self.works.set()
        stop.wait()

    def health(self) -> Mapping[str, int | float | str]:
        return {}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def let_pass(clock: ManualClock, supervised: Supervised, part: Failing, runs: int) -> None:
    """Let time pass until the part has been started so many times."""

    def reached() -> bool:
        if part.runs < runs:
            clock.advance(1)
        return part.runs >= runs

    wait_until(reached, f"run {runs} of {supervised.name}")


def test_what_dies_is_started_again_after_growing_pauses_and_leaves_gaps(
    clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    gone = EngineGoneError("the engine does not answer", "start it")
    part = Failing([gone, gone, ZeroDivisionError("our mistake"), None])
    sink, stop = Kept(), threading.Event()
    supervised = Supervised("docker", part, sink, clock, stop)
    began_ns = clock.mono_ns()
    with caplog.at_level(logging.ERROR):
        supervised.start()
        let_pass(clock, supervised, part, 5)
        part.works.wait(60)
    assert clock.mono_ns() - began_ns >= (1 + 2 + 4 + 8) * 10**9
    assert supervised.deaths == 4
    assert supervised.trouble == ""
    gaps = [record for record in sink.records if isinstance(record, Gap)]
    assert len(gaps) == 4
    assert all(gap.part == "docker" and gap.end_ns is not None and gap.end_ns > gap.start_ns for gap in gaps)
    said = [record.getMessage() for record in caplog.records]
    assert said.count("the engine does not answer: start it") == 1, "the same trouble is said once"
    assert any("ZeroDivisionError" in text for text in said)
    stop.set()
    assert supervised.join(60)


def test_a_stop_ends_a_pause(clock: ManualClock) -> None:
    part = Failing([EngineGoneError("away", "start it")])
    stop = threading.Event()
    supervised = Supervised("docker", part, Kept(), clock, stop)
    supervised.start()
    wait_until(lambda: supervised.deaths, "its death")
    assert supervised.trouble == "away: start it"
    stop.set()
    assert supervised.join(60)
    assert part.runs == 1
