"""Reading the journal: charts, neighbours, actions, pages."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from typing import Any

import pytest

from sidecar.errors import UsageFault
from sidecar.journal.charts import RAW_ROWS
from sidecar.journal.queries import ActionFilter, Reader
from sidecar.journal.sqlite import SqliteJournal
from sidecar.model.outbox import Refused
from sidecar.model.records import Action, Rating, Session
from tests.support import journal as make
from tests.support.journal import SECOND, T0

FOREVER = 2**62


def chart(reader: Reader, *arguments: Any, container: str = "xnat-web", **named: Any) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(reader.samples(container, *arguments, **named))
    return answer


def column(answer: dict[str, Any], name: str) -> list[Any]:
    return [row[name] for row in answer["rows"]]


# samples


def test_every_sample_is_a_row_with_its_cpu_percent(journal: SqliteJournal, reader: Reader) -> None:
    cpu = [0, 50, 200, 200]
    journal.append([make.sample(T0 + n * SECOND // 10, cpu_total_ns=c * 10**6, memory_bytes=n) for n, c in enumerate(cpu)])
    answer = chart(reader, T0, T0 + SECOND)
    assert (answer["container"], answer["source"], answer["step_ns"]) == ("xnat-web", "cgroup", None)
    assert column(answer, "time_ns") == [T0 + n * SECOND // 10 for n in range(4)]
    assert column(answer, "cpu_percent") == [None, 50.0, 150.0, 0.0]
    assert column(answer, "cpu_seconds_total") == [0, 0.05, 0.2, 0.2]
    assert column(answer, "memory_bytes") == [0, 1, 2, 3]
    assert column(answer, "rx_bytes") == [None] * 4


def test_the_first_row_uses_the_sample_before_the_window(journal: SqliteJournal, reader: Reader) -> None:
    journal.append([make.sample(T0 + n * SECOND, cpu_total_ns=n * SECOND // 4) for n in range(5)])
    answer = chart(reader, T0 + 2 * SECOND, T0 + 4 * SECOND)
    assert column(answer, "time_ns") == [T0 + 2 * SECOND, T0 + 3 * SECOND]
    assert column(answer, "cpu_percent") == [25.0, 25.0]


def test_steps_give_mean_and_max(journal: SqliteJournal, reader: Reader) -> None:
    cpu = 0
    for n in range(40):
        # One tenth of a second in each second at full speed.
        cpu += SECOND // 10 if n % 10 == 0 else 0
        journal.append([make.sample(T0 + n * SECOND // 10, cpu_total_ns=cpu, memory_bytes=1000 * (n % 10), rx_bytes=n)])
    answer = chart(reader, T0 + SECOND, T0 + 4 * SECOND, SECOND)
    assert answer["step_ns"] == SECOND
    assert column(answer, "time_ns") == [T0 + n * SECOND for n in (1, 2, 3)]
    assert column(answer, "cpu_percent") == pytest.approx([10.0, 10.0, 10.0])
    assert column(answer, "cpu_percent_max") == pytest.approx([100.0, 100.0, 100.0])
    assert column(answer, "memory_bytes") == [4500] * 3
    assert column(answer, "memory_bytes_max") == [9000] * 3
    assert column(answer, "rx_bytes") == [19, 29, 39]
    assert column(answer, "samples") == [10] * 3


def test_cpu_is_unknown_across_a_restart_and_a_hole(journal: SqliteJournal, reader: Reader) -> None:
    journal.append(
        [
            make.sample(T0, cpu_total_ns=900),
            make.sample(T0 + SECOND, cpu_total_ns=100),
            make.sample(T0 + 2 * SECOND, cpu_total_ns=200, container_id="decaf"),
            make.sample(T0 + 60 * SECOND, cpu_total_ns=300, container_id="decaf"),
            make.sample(T0 + 61 * SECOND, cpu_total_ns=300, container_id="decaf"),
        ]
    )
    assert column(chart(reader, T0, FOREVER), "cpu_percent") == [None, None, None, None, 0.0]


def test_a_stretch_without_samples_has_no_rows(journal: SqliteJournal, reader: Reader) -> None:
    journal.append([make.sample(T0), make.sample(T0 + 5 * SECOND)])
    assert column(chart(reader, T0, FOREVER, SECOND), "time_ns") == [T0, T0 + 5 * SECOND]
    assert chart(reader, T0 + SECOND, T0 + 2 * SECOND)["rows"] == []


def test_frames_tell_their_own_percentage(journal: SqliteJournal, reader: Reader) -> None:
    journal.append(
        [
            make.sample(T0, source="docker", cpu_percent=3.5),
            make.sample(T0 + SECOND, source="docker", cpu_percent=4.5, cpu_total_ns=SECOND),
        ]
    )
    answer = chart(reader, T0, FOREVER)
    assert answer["source"] == "docker"
    assert column(answer, "cpu_percent") == [3.5, 4.5]


def test_the_most_exact_source_is_taken_unless_one_is_named(journal: SqliteJournal, reader: Reader) -> None:
    journal.append([make.sample(source="docker", cpu_percent=1.0), make.sample(source="cgroup")])
    assert reader.sources("xnat-web", T0, T0 + 1) == ("cgroup", "docker")
    assert reader.sources("xnat-web", T0 + 1, FOREVER) == ()
    assert chart(reader, T0, FOREVER)["source"] == "cgroup"
    assert chart(reader, T0, FOREVER, source="docker")["source"] == "docker"


def test_a_long_window_is_down_sampled_by_itself(journal: SqliteJournal, reader: Reader) -> None:
    journal.append([make.sample(T0 + n * SECOND) for n in range(RAW_ROWS + 1)])
    answer = chart(reader, T0, FOREVER)
    assert answer["step_ns"] == 2 * SECOND
    assert len(answer["rows"]) <= RAW_ROWS
    assert sum(column(answer, "samples")) == RAW_ROWS + 1
    assert len(chart(reader, T0 + SECOND, FOREVER)["rows"]) == RAW_ROWS


def test_an_unknown_container_has_no_rows(reader: Reader) -> None:
    answer = chart(reader, T0, FOREVER, container='no "such"')
    assert answer == {"container": 'no "such"', "source": None, "step_ns": None, "rows": []}


def test_samples_come_with_their_neighbours(journal: SqliteJournal, reader: Reader) -> None:
    journal.append([make.sample(T0 + n) for n in range(10)])
    journal.append([make.sample(T0 + n, container="xnat-db") for n in range(10)])

    def times(*window: int) -> list[int]:
        return [sample.time_ns - T0 for sample in reader.sample_rows("xnat-web", "cgroup", T0 + window[0], T0 + window[1])]

    assert times(3, 5) == [2, 3, 4, 5, 6]
    assert times(0, 9) == list(range(10))
    assert times(-5, -3) == [0]
    assert times(20, 30) == [9]
    assert reader.sample_rows("xnat-web", "docker", T0, T0 + 9) == []


def test_containers(journal: SqliteJournal, reader: Reader) -> None:
    assert reader.containers() == []
    journal.append(
        [
            make.sample(container="xnat-db", container_id="d1", memory_bytes=5),
            make.sample(T0 + 60 * SECOND, container="xnat-web", container_id="w2", source="docker", memory_limit_bytes=9),
            make.sample(T0, container="xnat-web", container_id="w1", source="cgroup"),
            make.request(route="/xnat"),
        ]
    )
    found = reader.containers()
    assert [(row["name"], row["id"], row["sources"]) for row in found] == [
        ("xnat-db", "d1", ["cgroup"]),
        # The cgroup reader fell silent a minute ago.
        ("xnat-web", "w2", ["cgroup", "docker"]),
    ]
    assert found[0]["last_sample"]["memory_bytes"] == 5
    assert found[1]["last_sample"]["time_ns"] == T0 + 60 * SECOND


# actions


def ids(reader: Reader, **terms: Any) -> list[str]:
    return [row.action.action_id for row in reader.actions(ActionFilter(**terms))]


def test_actions_come_with_session_and_usage(journal: SqliteJournal, reader: Reader) -> None:
    journal.append([make.session(run="run-1"), make.action(), make.usage(), make.action("action-02", session=None)])
    first, second = reader.actions(ActionFilter())
    assert (first.action, first.session, first.usage) == (make.action(), make.session(run="run-1"), {"xnat-web": make.usage()})
    assert (second.session, second.usage) == (None, {})


def test_filters(journal: SqliteJournal, reader: Reader) -> None:
    journal.append(
        [
            make.session("session-1", run="run-1"),
            make.session("session-2", source="replay", run="run-2"),
            make.action("action-01", T0),
            make.action("action-02", T0 + SECOND, session="session-2", source="replay", action="scroll"),
            make.action("action-03", T0 + 2 * SECOND, session=None, source="access-log"),
        ]
    )
    assert ids(reader) == ["action-01", "action-02", "action-03"]
    assert ids(reader, newest_first=True) == ["action-03", "action-02", "action-01"]
    assert ids(reader, action="scroll") == ["action-02"]
    assert ids(reader, session="session-1") == ["action-01"]
    assert ids(reader, source="real") == ["action-01", "action-03"]
    assert ids(reader, source="replay") == ["action-02"]
    assert ids(reader, source="access-log") == ["action-03"]
    assert ids(reader, run="run-2") == ["action-02"]
    assert ids(reader, from_ns=T0 + 1, to_ns=T0 + 2 * SECOND) == ["action-02"]
    assert ids(reader, from_ns=T0 + 1, to_ns=T0 + 2 * SECOND, overlapping=True) == ["action-01", "action-02"]


@pytest.mark.parametrize("newest_first", [False, True])
def test_pages_join_without_loss_or_repetition(journal: SqliteJournal, reader: Reader, newest_first: bool) -> None:
    # Many start at the same instant.
    journal.append([make.action(f"action-{n:02}", T0 + n // 5) for n in range(17)])
    seen: list[str] = []
    cursor = None
    while rows := reader.actions(ActionFilter(limit=4, cursor=cursor, newest_first=newest_first)):
        seen += [row.action.action_id for row in rows]
        cursor = rows[-1].cursor
    assert seen == sorted((f"action-{n:02}" for n in range(17)), reverse=newest_first)


@pytest.mark.parametrize("cursor", ["", "1", "a-b", "1-2-3", "-1-2", "9" * 40 + "-1", "1_0-1"])
def test_a_cursor_that_is_not_one_is_refused(journal: SqliteJournal, reader: Reader, cursor: str) -> None:
    with pytest.raises(UsageFault, match="cursor"):
        reader.actions(ActionFilter(cursor=cursor))
    with pytest.raises(UsageFault, match="cursor"):
        reader.requests_page(0, FOREVER, cursor=cursor)


def test_unsettled(journal: SqliteJournal, reader: Reader) -> None:
    journal.append([make.action("action-01"), make.action("action-02", T0 + SECOND), make.action("action-03")])
    end = make.action().end_ns
    assert [action.action_id for action in reader.unsettled(end)] == []
    assert [action.action_id for action in reader.unsettled(end + 1)] == ["action-01", "action-03"]
    assert [action.action_id for action in reader.unsettled(FOREVER, limit=1)] == ["action-01"]
    journal.append([make.usage("action-01")], {"settled/action-03": str(end)})
    assert [action.action_id for action in reader.unsettled(FOREVER)] == ["action-02"]
    journal.append([make.action("action-01", duration_ns=1)])
    assert [action.action_id for action in reader.unsettled(FOREVER)] == ["action-01", "action-02"]


# the rest


def test_requests_in_a_window_and_of_actions(journal: SqliteJournal, reader: Reader) -> None:
    records = [make.request(T0 + n, action_id=f"action-{n:02}" if n % 2 else None) for n in range(6)]
    journal.append(list(reversed(records)))
    assert reader.requests(T0 + 1, T0 + 4) == records[1:4]
    assert reader.requests_of(["action-03", "action-05"]) == [records[3], records[5]]


def test_pages_of_requests(journal: SqliteJournal, reader: Reader) -> None:
    records = [make.request(T0 + n // 3, route=f"/{n}", session="0" * 32) for n in range(10)]
    journal.append(records)
    rows: list[dict[str, Any]] = []
    cursor = None
    for _ in range(4):
        page = json.loads(reader.requests_page(T0, FOREVER, limit=3, cursor=cursor))
        rows += page["rows"]
        cursor = page["cursor"]
    assert cursor is None
    assert [row["route"] for row in rows] == [f"/{n}" for n in range(10)]
    assert rows[0] == {
        "server": "nginx",
        "start_ns": T0,
        "duration_ns": 12_000_000,
        "method": "GET",
        "route": "/0",
        "status": 200,
        "sent_bytes": 512,
        "received_bytes": None,
        "upstream_ns": None,
        "upstream_header_ns": None,
        "content_type": None,
        "action_id": None,
    }
    assert json.loads(reader.requests_page(0, T0)) == {"rows": [], "cursor": None}


def test_gaps_that_touch_a_window(journal: SqliteJournal, reader: Reader) -> None:
    before, inside, lasting = make.gap(T0, T0 + 5), make.gap(T0 + 20, T0 + 25), make.gap(T0 + 10)
    journal.append([inside, before, lasting])
    assert reader.gaps(T0 + 6, T0 + 15) == [lasting]
    assert reader.gaps(T0, T0 + 30) == [before, lasting, inside]
    assert reader.open_gaps() == [lasting]


def test_transfers_of_replayed_sessions_are_paged(journal: SqliteJournal, reader: Reader) -> None:
    journal.append([make.session(run="run-1"), make.transfer()])
    told_by_browser = make.transfer(T0 + 1, action_id=None, method="browser", packets=None, retransmitted=None)
    replayed = make.session("session-3", source="replay", run="run-3")
    journal.append([replayed, *(replace(one, session="session-3") for one in (make.transfer(), told_by_browser))])
    found, cursor = reader.replayed_transfers(0, T0 + 2, limit=1)
    assert [transfer.session for transfer in found] == ["session-3"]
    found, cursor = reader.replayed_transfers(0, T0 + 2, run="run-3", limit=2, cursor=cursor)
    assert ([(transfer.start_ns, transfer.method) for transfer in found], cursor) == ([(T0 + 1, "browser")], None)
    assert reader.replayed_transfers(0, T0 + 2, run="run-1") == ([], None)
    assert reader.replayed_transfers(0, T0) == ([], None)


def test_what_belongs_to_actions_and_sessions(journal: SqliteJournal, reader: Reader) -> None:
    rating = Rating(session="session-1", action_id=None, time_ns=T0, score=2)
    markers = [make.marker(2), make.marker(1, action_id="action-02"), make.marker(1, session="session-2")]
    journal.append([*markers, make.session(run="run-1"), make.session("session-2", started_ns=T0 + 5), make.transfer(), rating])
    assert reader.markers_of(["action-01"]) == [markers[0], markers[2]]
    assert reader.markers_of_sessions(["session-1"]) == [markers[1], markers[0]]
    assert reader.transfers_of(["session-1"]) == [make.transfer()]
    assert reader.ratings_of(["session-1", "session-2"]) == [rating]
    assert [session.session for session in reader.sessions()] == ["session-1", "session-2"]
    assert [session.session for session in reader.sessions(T0 + 1)] == ["session-2"]
    assert [session.session for session in reader.sessions(run="run-1")] == ["session-1"]
    assert reader.find(Session, ["session-2"]).keys() == {"session-2"}
    assert reader.find(Action, ["action-01"]) == {}


def test_many_ids_at_once(journal: SqliteJournal, reader: Reader) -> None:
    journal.append([make.action(f"action-{n}") for n in range(3000)])
    assert len(reader.find(Action, [f"action-{n}" for n in range(3000)])) == 3000


def test_refused_points_can_be_looked_at(journal: SqliteJournal, reader: Reader) -> None:
    refused = [Refused(time_ns=T0 + n, line=f"m f={n}", reason="why") for n in range(3)]
    journal.set_aside(refused, {})
    assert reader.refused(2) == [refused[2], refused[1]]


def test_counts(journal: SqliteJournal, reader: Reader) -> None:
    journal.append([make.sample(), make.sample(T0 + 1), make.gap()])
    assert {name: count for name, count in reader.counts().items() if count} == {"samples": 2, "gaps": 1}


def test_each_thread_reads_and_sees_new_commits(journal: SqliteJournal, reader: Reader) -> None:
    seen: list[int] = []
    for n in range(3):
        journal.append([make.sample(T0 + n)])
        thread = threading.Thread(target=lambda: seen.append(reader.counts()["samples"]))
        thread.start()
        thread.join()
    assert seen == [1, 2, 3]
    assert reader.counts()["samples"] == 3
