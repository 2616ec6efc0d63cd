"""What leaves the journal and what stays."""

from __future__ import annotations

from sidecar.clock import ManualClock
from sidecar.journal.queries import Reader
from sidecar.journal.retention import Retention
from sidecar.journal.sqlite import SqliteJournal
from sidecar.model.outbox import settled_note
from sidecar.model.records import Action, Marker, Request, Sample
from tests.support import journal as make
from tests.support.journal import SECOND, T0

DAY = 86_400 * SECOND


def sweep(journal: SqliteJournal, age_ns: int, days: float = 7, max_mb: float = 1000, slice_rows: int = 10) -> Retention:
    retention = Retention(journal, ManualClock(T0 + age_ns), days, max_mb, slice_rows=slice_rows, pause_s=0)
    retention.sweep()
    return retention


def counts(journal: SqliteJournal) -> dict[str, int]:
    return {name: count for name, count in Reader(journal.path).counts().items() if count}


def test_what_is_old_leaves_and_results_stay_longer(journal: SqliteJournal) -> None:
    journal.append(
        [
            *(make.sample(T0 + n, container=f"xnat-{n % 3}") for n in range(25)),
            *(make.request(T0 + n) for n in range(25)),
            make.marker(1),
            make.session(),
            make.action(),
            make.usage(),
            make.gap(T0, T0 + 5),
            make.gap(T0, None, subject="lasting"),
        ],
        {"ack/session-1": "1", settled_note("action-01"): "0", "log/nginx/1": "9"},
    )
    everything = counts(journal)
    sweep(journal, 6 * DAY)
    assert counts(journal) == everything
    young = make.sample(T0 + 6 * DAY)
    journal.append([young])
    retention = sweep(journal, 8 * DAY)
    assert counts(journal) == {"samples": 1, "sessions": 1, "actions": 1, "usages": 1, "gaps": 2}
    assert [record for _, record in journal.read(Sample)] == [young]
    assert retention.health()["deleted_rows"] == 51
    assert journal.note("ack/session-1") == "1"
    sweep(journal, 71 * DAY)
    assert counts(journal) == {"gaps": 1}
    assert (journal.note("ack/session-1"), journal.note(settled_note("action-01"))) == (None, None)
    assert journal.note("log/nginx/1") == "9"


def test_positions_go_on_after_everything_left(journal: SqliteJournal) -> None:
    journal.append([make.sample(T0 + n) for n in range(5)])
    last = journal.read(Sample)[-1][0]
    sweep(journal, 100 * DAY)
    path = journal.path
    journal.close()
    with SqliteJournal(path) as reopened:
        reopened.append([make.sample(T0 + 100 * DAY)])
        assert reopened.read(Sample)[0][0] > last


def test_rows_that_leave_before_they_were_shipped_are_counted(journal: SqliteJournal) -> None:
    journal.append([make.request(T0 + n) for n in range(10)])
    position = journal.read(Request)[3][0]
    journal.append([], {"ship/request": str(position)})
    assert sweep(journal, 8 * DAY).health()["deleted_unshipped"] == 6


def test_nothing_counts_as_unshipped_where_nothing_is_shipped(journal: SqliteJournal) -> None:
    journal.append([make.request(T0 + n) for n in range(10)])
    assert sweep(journal, 8 * DAY).health()["deleted_unshipped"] == 0


def test_past_its_size_the_oldest_samples_and_requests_leave(journal: SqliteJournal) -> None:
    for n in range(0, 4000, 500):
        journal.append(
            [
                *(make.sample(T0 + m * SECOND, container=f"xnat-{m % 2}") for m in range(n, n + 500)),
                *(make.request(T0 + m * SECOND, content_type=f"type-{m}") for m in range(n, n + 500)),
            ]
        )
    journal.append([make.action(), make.usage(), make.marker()])
    journal.compact()
    used = journal.used_bytes()
    size = journal.path.stat().st_size
    sweep(journal, 4000 * SECOND, max_mb=used / 2e6, slice_rows=500)
    assert used / 5 < journal.used_bytes() <= used * 0.45
    assert journal.path.stat().st_size < size
    samples, requests = journal.read(Sample, limit=10**5), journal.read(Request, limit=10**5)
    for records in ([record.time_ns for _, record in samples], [record.start_ns for _, record in requests]):
        # The newest are there, without a hole.
        assert sorted(records) == list(range(min(records), T0 + 4000 * SECOND, SECOND))
    assert len(journal.read(Action)) == len(journal.read(Marker)) == 1


def test_a_journal_too_small_for_anything_ends(journal: SqliteJournal) -> None:
    journal.append([make.sample(T0 + n) for n in range(100)])
    sweep(journal, SECOND, max_mb=0.001)
    assert journal.read(Sample) == []
