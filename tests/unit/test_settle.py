"""Settling: markers become actions, and an ended action waits for its samples and its log lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from sidecar.clock import ManualClock
from sidecar.journal.queries import ActionFilter, Reader
from sidecar.journal.sqlite import SqliteJournal
from sidecar.model.records import Record
from sidecar.settle import CURSOR, GRACE_NS, VANISHED_NS, Settler
from tests.support.records import SECOND, T0, action, marker, request, sample, session


class Bench:
    """A journal with a settler, a clock, and what the settler asks about."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "journal.sqlite"
        self.journal = SqliteJournal(self.path)
        self.reader = Reader(self.path)
        self.clock = ManualClock(wall_ns=T0)
        self.connected: set[str] = {"session-1", "session-2"}
        self.behind = False
        self.takes = True
        self.settler = self.fresh()

    def fresh(self) -> Settler:
        """A settler as after a restart."""
        return Settler(self.journal, self.reader, self, self.clock, connected=lambda: self.connected, behind=lambda: self.behind)

    def put(self, records: Sequence[Record], notes: Mapping[str, str] | None = None) -> bool:
        if self.takes:
            self.journal.append(records, notes)
        return self.takes

    def at(self, second: float) -> None:
        self.clock.advance(second - (self.clock.wall_ns() - T0) / SECOND)

    def busy(self, container: str, until_s: float, *, from_s: float = 0.0) -> None:
        """Samples at 10 Hz of a container that uses half a core."""
        ticks = range(round(from_s * 10), round(until_s * 10) + 1)
        self.journal.append([sample(container, tick / 10, tick / 20) for tick in ticks])


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.reader.close()
    made.journal.close()


def test_an_ended_action_is_joined_when_its_samples_and_log_lines_are_in(bench: Bench) -> None:
    bench.journal.append([session(), marker("a" * 16, "begin", 1, 1), marker("a" * 16, "end", 5, 2)])
    bench.journal.append([request(1.5, action_id="a" * 16, sent=700)])
    bench.busy("xnat-web", 4)
    bench.at(5.5)
    bench.settler.step()
    bench.at(7.5)
    bench.settler.step()
    (row,) = bench.reader.actions(ActionFilter())
    assert row.action.duration_ns == 4 * SECOND
    assert row.usage == {}, "its last second has no samples yet"
    bench.busy("xnat-web", 6, from_s=4.1)
    bench.settler.step()
    (row,) = bench.reader.actions(ActionFilter())
    assert row.usage["xnat-web"].cpu_seconds == pytest.approx(2.0)
    assert row.usage["xnat-web"].sent_bytes == 700
    assert bench.settler.health()["actions_settled"] == 1


def test_a_log_that_is_behind_is_waited_for(bench: Bench) -> None:
    bench.journal.append([marker("a" * 16, "begin", 1, 1), marker("a" * 16, "end", 2, 2)])
    bench.busy("xnat-web", 6)
    bench.behind = True
    bench.at(30)
    bench.settler.step()
    bench.settler.step()
    assert bench.reader.actions(ActionFilter())[0].usage == {}
    bench.behind = False
    bench.settler.step()
    assert "xnat-web" in bench.reader.actions(ActionFilter())[0].usage


def test_samples_that_never_come_are_not_waited_for_for_ever(bench: Bench) -> None:
    bench.journal.append([marker("a" * 16, "begin", 1, 1), marker("a" * 16, "end", 3, 2)])
    bench.busy("xnat-web", 2)
    bench.at(3 + GRACE_NS / SECOND - 1)
    bench.settler.step()
    bench.settler.step()
    assert bench.reader.actions(ActionFilter())[0].usage == {}
    bench.at(3 + GRACE_NS / SECOND + 1)
    bench.settler.step()
    (row,) = bench.reader.actions(ActionFilter())
    assert row.usage["xnat-web"].cpu_seconds is None, "absent is not zero"


def test_an_action_without_any_container_is_settled_once_and_left_alone(bench: Bench) -> None:
    bench.journal.append([marker("a" * 16, "begin", 1, 1), marker("a" * 16, "end", 3, 2)])
    bench.at(60)
    for _ in range(3):
        bench.settler.step()
    assert bench.settler.health()["actions_without_samples"] == 1
    assert bench.reader.unsettled(bench.clock.wall_ns()) == []


def test_overlapping_actions_are_counted_and_inferred_ones_are_not_counted_with_marked_ones(bench: Bench) -> None:
    bench.journal.append([marker("a" * 16, "begin", 1, 1), marker("a" * 16, "end", 5, 2)])
    bench.journal.append(
        [marker("b" * 16, "begin", 2, 1, session="session-2"), marker("b" * 16, "end", 3, 2, session="session-2")]
    )
    bench.journal.append([marker("c" * 16, "begin", 4, 3, session="session-2")])  # still open
    bench.journal.append([action("d" * 16, 1, 4, of=None, source="access-log")])
    bench.busy("xnat-web", 9)
    bench.at(12)
    bench.settler.step()
    bench.settler.step()
    overlapped = {row.action.action_id[0]: row.usage["xnat-web"].overlapped for row in bench.reader.actions(ActionFilter())}
    assert overlapped == {"a": 2, "b": 1, "d": 0}


def test_a_session_that_vanished_ends_its_open_action(bench: Bench) -> None:
    bench.journal.append(
        [session(), marker("a" * 16, "begin", 1, 1), marker("b" * 16, "begin", 4, 2), marker("b" * 16, "end", 6, 3)]
    )
    bench.at(10)
    bench.settler.step()
    assert bench.settler.health()["actions_open"] == 1
    bench.at(20 + VANISHED_NS / SECOND)
    bench.settler.step()
    assert len(bench.reader.actions(ActionFilter())) == 1, "it is still connected"
    bench.connected.clear()
    bench.at(40 + VANISHED_NS / SECOND)
    bench.settler.step()
    rows = {row.action.action_id[0]: row.action for row in bench.reader.actions(ActionFilter())}
    assert rows["a"].outcome == "unfinished"
    assert rows["a"].end_ns == T0 + 6 * SECOND, "it ends with the last that was heard"
    assert rows["b"].outcome == "completed"


def test_a_late_end_after_vanishing_makes_the_action_whole(bench: Bench) -> None:
    bench.journal.append([session(), marker("a" * 16, "begin", 1, 1)])
    bench.connected.clear()
    bench.at(20 + VANISHED_NS / SECOND)
    bench.settler.step()
    assert bench.reader.actions(ActionFilter())[0].action.outcome == "unfinished"
    bench.journal.append([marker("a" * 16, "end", 400, 2)])
    bench.settler.step()
    (row,) = bench.reader.actions(ActionFilter())
    assert (row.action.outcome, row.action.duration_ns) == ("completed", 399 * SECOND)


def test_nothing_is_paired_twice_and_nothing_is_lost_when_the_queue_is_full_or_the_sidecar_restarts(bench: Bench) -> None:
    bench.journal.append([marker("a" * 16, "begin", 1, 1), marker("a" * 16, "end", 2, 2)])
    bench.takes = False
    bench.settler.step()
    assert bench.journal.note(CURSOR) is None
    bench.takes = True
    bench.settler.step()
    assert len(bench.reader.actions(ActionFilter())) == 1
    restarted = bench.fresh()
    restarted.step()
    bench.journal.append([marker("b" * 16, "begin", 3, 3), marker("b" * 16, "end", 4, 4)])
    restarted.step()
    assert [row.action.action_id[0] for row in bench.reader.actions(ActionFilter())] == ["a", "b"]
