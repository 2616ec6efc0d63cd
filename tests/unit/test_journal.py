"""The journal's contract: one suite for the file and for the fake in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from sidecar.errors import InvalidRecordError
from sidecar.journal.memory import MemoryJournal
from sidecar.journal.rows import TABLES
from sidecar.journal.sqlite import SqliteJournal
from sidecar.model.outbox import KEPT_ASIDE, Refused, settled_note
from sidecar.model.records import Action, ActionUsage, Gap, Marker, Rating, Record, Request, Sample, Session
from tests.support import journal as make
from tests.support.journal import SECOND, T0

AnyJournal = SqliteJournal | MemoryJournal


@pytest.fixture(params=["file", "memory"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AnyJournal]:
    if request.param == "memory":
        yield MemoryJournal()
        return
    with SqliteJournal(tmp_path / "journal.sqlite") as file:
        yield file


EXAMPLES: tuple[Record, ...] = (
    make.sample(cpu_percent=12.5, memory_bytes=3, rx_bytes=2**63 - 1),
    make.request(session="0" * 32, action_id="a" * 16, content_type="application/json"),
    make.session(run="run-1", repetition=2, role="reader", setup="lan"),
    make.marker(attributes={"images": 3, "evidence": "rendered"}),
    make.transfer(),
    Rating(session="session-1", action_id=None, time_ns=T0, score=4),
    make.gap(),
    make.action(attributes={"bytes": 12}, clock_offset_ns=-5),
    make.usage(cpu_seconds=None, sample_source=None),
)


def test_there_is_an_example_of_every_kind() -> None:
    assert {type(record) for record in EXAMPLES} == {table.kind for table in TABLES}


@pytest.mark.parametrize("record", EXAMPLES, ids=lambda record: type(record).__name__)
def test_what_is_appended_is_read_back(journal: AnyJournal, record: Record) -> None:
    assert journal.append([record]) == 1
    ((position, read),) = journal.read(type(record))
    assert read == record
    assert journal.read(type(record), after=position) == []


def test_reading_pages_through_in_the_order_of_commits(journal: AnyJournal) -> None:
    records = [make.request(T0 - n) for n in range(7)]
    journal.append(records[:4])
    journal.append(records[4:])
    seen: list[Request] = []
    after = 0
    while page := journal.read(Request, after, limit=3):
        assert len(page) <= 3
        after = page[-1][0]
        seen += [record for _, record in page]
    assert seen == records


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (make.marker(1), make.marker(1, phase="end", action_id="action-02")),
        (make.sample(), make.sample(cpu_total_ns=99, container_id="decaf")),
        (make.gap(T0, T0 + 5), make.gap(T0, T0 + 9)),
    ],
)
def test_a_record_that_is_there_is_left_as_it_is(journal: AnyJournal, first: Record, again: Record) -> None:
    assert journal.append([first]) == 1
    before = journal.read(type(first))
    assert journal.append([again]) == 0
    assert journal.read(type(first)) == before


@pytest.mark.parametrize(
    ("first", "other", "again"),
    [
        (make.session(), make.session("session-2"), make.session(run="run-1")),
        (make.gap(), make.gap(subject="xnat-db"), make.gap(end_ns=T0 + 5)),
        (make.action(), make.action("action-02"), make.action(duration_ns=9)),
        (make.usage(), make.usage(container="xnat-db"), make.usage(cpu_seconds=None)),
    ],
)
def test_a_newer_one_takes_the_place_and_moves_to_the_end(
    journal: AnyJournal, first: Record, other: Record, again: Record
) -> None:
    journal.append([first, other])
    (_, (seen, _)) = journal.read(type(first))
    assert journal.append([again]) == 0
    assert [record for _, record in journal.read(type(first))] == [other, again]
    assert [record for _, record in journal.read(type(first), after=seen)] == [again]


@pytest.mark.parametrize("record", [make.session(), make.gap(), make.action(), make.usage()])
def test_an_equal_one_changes_nothing(journal: AnyJournal, record: Record) -> None:
    journal.append([record])
    before = journal.read(type(record))
    assert journal.append([record]) == 0
    assert journal.read(type(record)) == before


def test_requests_have_no_identity(journal: AnyJournal) -> None:
    assert journal.append([make.request(), make.request()]) == 2
    assert len(journal.read(Request)) == 2


def test_samples_of_two_sources_at_one_instant_are_both_kept(journal: AnyJournal) -> None:
    assert journal.append([make.sample(), make.sample(source="docker"), make.sample(container="xnat-db")]) == 3


def test_notes_are_committed_with_the_records(journal: AnyJournal) -> None:
    assert journal.note("log/nginx/1") is None
    journal.append([make.request()], {"log/nginx/1": "10"})
    journal.append([], {"log/nginx/1": "20", "other": "ä"})
    assert (journal.note("log/nginx/1"), journal.note("other")) == ("20", "ä")


def test_all_or_nothing(journal: AnyJournal) -> None:
    class Foreign:
        pass

    bad: Any = Foreign()
    with pytest.raises(InvalidRecordError):
        journal.append([make.sample(), bad], {"key": "value"})
    assert journal.read(Sample) == []
    assert journal.note("key") is None


@given(record=make.records)
@settings(max_examples=50, deadline=None)
def test_any_record_survives_the_file(tmp_path_factory: pytest.TempPathFactory, record: Record) -> None:
    with SqliteJournal(tmp_path_factory.mktemp("any") / "journal.sqlite") as journal:
        journal.append([record])
        assert [found for _, found in journal.read(type(record))] == [record]


# ended actions: what shipping reads


def ended(journal: AnyJournal, after: int = 0, unsettled_before_ns: int = 0) -> list[str]:
    return [row.action.action_id for _, row in journal.ended_actions(after, 100, unsettled_before_ns)]


def test_an_action_waits_for_its_usage(journal: AnyJournal) -> None:
    journal.append([make.session(), make.action()])
    assert ended(journal) == []
    journal.append([make.usage(), make.usage(container="xnat-db")])
    ((position, row),) = journal.ended_actions(0, 100, 0)
    assert (row.action, row.session) == (make.action(), make.session())
    assert dict(row.usage) == {"xnat-db": make.usage(container="xnat-db"), "xnat-web": make.usage()}
    assert journal.ended_actions(position, 100, 0) == []


def test_an_action_that_waited_too_long_is_given_without_usage(journal: AnyJournal) -> None:
    journal.append([make.action()])
    end_ns = make.action().end_ns
    assert ended(journal, unsettled_before_ns=end_ns - 1) == []
    ((position, row),) = journal.ended_actions(0, 100, end_ns)
    assert row.usage == {}
    journal.append([make.usage()])
    assert ended(journal, after=position) == ["action-01"]


def test_later_actions_wait_behind_one_that_is_not_settled(journal: AnyJournal) -> None:
    journal.append([make.action("action-01"), make.action("action-02")])
    journal.append([make.usage("action-02")])
    assert ended(journal) == []
    journal.append([make.usage("action-01")])
    assert ended(journal) == ["action-02", "action-01"]


def test_a_changed_action_is_given_again_once_it_is_settled_again(journal: AnyJournal) -> None:
    journal.append([make.action(), make.usage()])
    ((position, row),) = journal.ended_actions(0, 100, 0)
    journal.append([make.action(duration_ns=3 * SECOND)])
    assert ended(journal, position) == []
    # The same usage as before: settled again all the same.
    journal.append([make.usage()])
    ((_, again),) = journal.ended_actions(position, 100, 0)
    assert again.action.duration_ns == 3 * SECOND
    assert again.number == row.number


def test_an_action_without_any_container_is_settled_by_a_note(journal: AnyJournal) -> None:
    journal.append([make.action()], {settled_note("action-01"): str(make.action().end_ns)})
    assert ended(journal) == ["action-01"]
    journal.append([make.action(duration_ns=3 * SECOND)])
    assert ended(journal) == []


def test_numbers_of_actions_count_up_and_stay(journal: AnyJournal) -> None:
    journal.append([make.action("action-02"), make.action("action-01")])
    journal.append([make.action("action-02", duration_ns=1), make.usage("action-01"), make.usage("action-02")])
    assert {row.action.action_id: row.number for _, row in journal.ended_actions(0, 9, 0)} == {"action-02": 1, "action-01": 2}


def test_find(journal: AnyJournal) -> None:
    journal.append([make.session(), make.session("session-2"), make.action()])
    assert journal.find(Session, ["session-2", "unknown-1"]) == {"session-2": make.session("session-2")}
    assert journal.find(Action, ["action-01"]) == {"action-01": make.action()}


def test_refused_points_are_kept_with_their_reason_and_bounded(journal: AnyJournal) -> None:
    kept: Callable[[], list[tuple[str, str]]]
    if isinstance(journal, MemoryJournal):
        memory = journal
        kept = lambda: [(item.line, item.reason) for item in memory.refused]  # noqa: E731
    else:
        file = journal
        kept = lambda: file.fetch("SELECT line, reason FROM set_aside ORDER BY number", ())  # noqa: E731
    journal.set_aside([Refused(time_ns=T0, line="a b=1 2", reason="why")], {"ship/sample": "4"})
    assert kept() == [("a b=1 2", "why")]
    assert journal.note("ship/sample") == "4"
    journal.set_aside([Refused(time_ns=T0, line=str(n), reason="") for n in range(KEPT_ASIDE)], {})
    assert len(kept()) == KEPT_ASIDE
    assert kept()[-1] == (str(KEPT_ASIDE - 1), "")


def test_positions_are_one_sequence_over_all_kinds(journal: AnyJournal) -> None:
    journal.append(list(EXAMPLES))
    positions = [position for table in TABLES for position, _ in journal.read(table.kind)]
    assert len(set(positions)) == len(EXAMPLES)


def test_unused_kinds_are_empty(journal: AnyJournal) -> None:
    for kind in (Marker, Gap, ActionUsage):
        assert journal.read(kind) == []
