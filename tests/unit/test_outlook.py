"""What is foretold, from a journal: commands, API, points; and the runs that are compared."""

from __future__ import annotations

import csv
import io
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask

from sidecar.__main__ import main
from sidecar.analysis.capacity import Capacity
from sidecar.analysis.compare import Repetition
from sidecar.analysis.summary import Estimate
from sidecar.clock import ManualClock
from sidecar.errors import UsageFault
from sidecar.journal.queries import Reader
from sidecar.journal.sqlite import SqliteJournal
from sidecar.model.measurements import SCHEMA
from sidecar.model.points import PointContext
from sidecar.model.records import Action, Record, Sample, Session
from sidecar.web.gather_capacity import Wanted, gather_capacity, gather_headroom, idle, machine_of
from sidecar.web.gather_runs import experiment_of, newest_experiment, repetitions
from sidecar.web.outlook import Outlook, capacity_path
from tests.support import journal as make
from tests.support.journal import SECOND, T0, sample
from tests.support.queueing import T0 as QUEUE_T0
from tests.support.queueing import rows, serve
from tests.support.replays import recorded, replays
from tests.unit.test_capacity import radiologist

CONTEXT = PointContext(site="lab", engine_host="host")
HOUR = 3600 * SECOND
#: while the observed people are still there
NOW = QUEUE_T0 + HOUR // 2


def observed(source: str, users: int = 3, hours: float = 0.5, prefix: str = "") -> list[Record]:
    """Sessions, actions and usage of people on a two-core server."""
    made: list[Record] = []
    known = set()
    for row in rows(serve(users, 2, hours, radiologist, 1), idle=0.1):
        session = f"{prefix or source}-{row.action.session}"
        if session not in known:
            known.add(session)
            made.append(
                Session(session=session, source=source, client="lab", started_ns=QUEUE_T0, role="radiologist")  # type: ignore[arg-type]
            )
        action_id = f"{prefix or source[:3]}-{row.action.action_id}"
        made.append(replace(row.action, session=session, source=source, action_id=action_id))  # type: ignore[arg-type]
        made += [replace(used, action_id=action_id) for used in row.usage.values()]
    return made


def samples(cores: float = 0.1, hours: float = 1.0) -> list[Sample]:
    """A container that uses so many cores all the time, with its machine's cores and its memory limit."""
    return [
        sample(
            QUEUE_T0 + n * 60 * SECOND,
            source="docker",
            cpu_total_ns=round(n * 60 * SECOND * cores),
            online_cpus=2,
            memory_limit_bytes=4 << 30,
        )
        for n in range(round(hours * 60))
    ]


def wanted(**more: object) -> Wanted:
    return Wanted(**({"targets": {"open_viewer": 9.0}} | more))  # type: ignore[arg-type]


def told(journal: SqliteJournal, **more: object) -> object:
    reader = Reader(journal.path)
    try:
        return gather_capacity(reader, wanted(**more), QUEUE_T0 + 2 * HOUR)
    finally:
        reader.close()


def test_the_machine_is_what_frames_and_settings_tell(journal: SqliteJournal) -> None:
    journal.append(samples())
    reader = Reader(journal.path)
    machine = machine_of(reader, wanted(cpu_limits={"xnat-web": 1.5}, link_mbit=80.0), QUEUE_T0 + HOUR)
    assert (machine.cores, machine.cpu_limits, machine.link_mb_s) == (2.0, {"xnat-web": 1.5}, 10.0)
    assert machine.memory_limits == {"xnat-web": 4 << 30}
    assert machine.idle["xnat-web"] == pytest.approx(0.1, rel=0.05)
    assert machine_of(reader, wanted(cpu_limits={"machine": 8.0}), QUEUE_T0 + HOUR).cores == 8.0
    reader.close()


def test_idle_use_is_what_is_used_while_nobody_acts(journal: SqliteJournal) -> None:
    """A container uses 0.1 cores, and 1.1 while an action is open."""
    begin = T0 + 600 * SECOND
    used, at = 0, []
    for second in range(1200):
        at.append(sample(T0 + second * SECOND, cpu_total_ns=used))
        used += round((1.1 if 600 <= second < 900 else 0.1) * SECOND)
    busy = Action(
        action_id="busy-0001", action="download", session="session-1", source="replay",
        start_ns=begin, duration_ns=300 * SECOND, outcome="completed",
    )  # fmt: skip
    journal.append([*at, busy])
    reader = Reader(journal.path)
    assert idle(reader, ["xnat-web", "xnat-none"], T0 + 1200 * SECOND) == {"xnat-web": pytest.approx(0.1, rel=0.02)}
    reader.close()


def test_real_people_count_only_as_a_group(journal: SqliteJournal) -> None:
    journal.append([*observed("extension"), *samples()])
    alone = told(journal, min_group=5)
    assert alone.actions == 0  # type: ignore[attr-defined]
    assert alone.users is None  # type: ignore[attr-defined]
    together = told(journal, min_group=3)
    assert together.actions > 200  # type: ignore[attr-defined]
    assert together.users is not None  # type: ignore[attr-defined]
    journal.append(observed("replay", prefix="rep"))
    assert told(journal, min_group=5).actions == together.actions  # type: ignore[attr-defined]  # the replayed ones alone


def test_what_the_access_log_tells_again_is_not_counted_twice(journal: SqliteJournal) -> None:
    journal.append([*observed("replay"), *samples()])
    before = told(journal)
    shadows = [
        replace(record, action_id=f"log-{record.action_id}", session=None, source="access-log")
        for record in observed("replay")
        if isinstance(record, Action)
    ]
    journal.append(shadows)
    assert told(journal) == before


@pytest.fixture
def outlook(journal: SqliteJournal) -> Iterator[Outlook]:
    journal.append([*observed("replay"), *samples()])
    baseline, candidate = replays(3, {(0, "action_4"): 0.4})
    journal.append(recorded(baseline, candidate, QUEUE_T0 - 3 * HOUR))
    reader = Reader(journal.path)
    clock = ManualClock(NOW)
    yield Outlook(lambda: reader, clock, CONTEXT, wanted(), baseline="before", least=1000)
    reader.close()


def test_points_are_of_the_schema_few_and_name_nobody(outlook: Outlook) -> None:
    assert outlook.points() == []
    outlook.step()
    points = outlook.points()
    assert {point.measurement for point in points} == {"headroom", "verdict"}
    for point in points:
        known = SCHEMA[point.measurement]
        assert {name for name, _ in point.tags} <= set(known.tags)
        assert all(type(value) is known.type_of(name) for name, value in point.fields.items()), point
    series = {(point.measurement, point.tags) for point in points}
    assert len(series) == len(points) <= 1 + 2 * 11
    (headroom,) = (point for point in points if point.measurement == "headroom")
    assert headroom.fields["short"] == pytest.approx(1000 - float(headroom.fields["spare"]))
    assert headroom.fields["users_now"] == 3
    outlook.step()
    assert {(point.measurement, point.tags) for point in outlook.points()} == series


def test_work_is_done_again_only_when_something_came(outlook: Outlook, journal: SqliteJournal) -> None:
    outlook.step()
    outlook.step()
    health = outlook.health()
    assert (health["rounds"], health["capacities"], health["comparisons"]) == (2, 1, 1)
    journal.append(recorded(*replays(4), QUEUE_T0 + HOUR, ("before", "later")))
    outlook.step()
    assert outlook.health()["comparisons"] == 2
    assert outlook.health()["compared"] == "before later"


def test_limits_of_the_engine_are_used_and_settings_win(journal: SqliteJournal) -> None:
    journal.append([*observed("replay"), *samples()])

    def limiting(**given: object) -> dict[str, object]:
        reader = Reader(journal.path)
        one = Outlook(lambda: reader, ManualClock(NOW), CONTEXT, wanted(**given), cpu_limits=lambda: {"xnat-web": 1.0})
        one.step()
        reader.close()
        told: dict[str, object] = one.as_json()["limiting"]
        return told

    assert (limiting()["container"], limiting()["resource"]) == ("xnat-web", "cpu limit")
    assert limiting(cpu_limits={"xnat-web": 8.0})["resource"] == "cpu"


def test_a_baseline_that_is_not_there_is_no_fault(journal: SqliteJournal) -> None:
    reader = Reader(journal.path)
    empty = Outlook(lambda: reader, ManualClock(T0), CONTEXT, wanted(), baseline="never")
    empty.step()
    (only,) = empty.points()
    assert only.measurement == "headroom"
    assert only.fields["known"] == 0
    assert str(only.fields["text"]).startswith("too little is known")
    journal.append(recorded(*replays(4, blocks=1), T0))
    empty.step()
    assert [point.measurement for point in empty.points()] == ["headroom"]
    reader.close()


def test_it_runs_until_it_is_stopped(outlook: Outlook) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=outlook.run, args=(stop,))
    thread.start()
    stop.set()
    thread.join(60)
    assert not thread.is_alive()


def test_the_api_tells_what_was_worked_out_last(outlook: Outlook) -> None:
    app = Flask("test")
    app.register_blueprint(capacity_path(lambda: outlook))
    client = app.test_client()
    first = client.get("/api/v1/capacity").get_json()
    assert first["users"] == {"estimate": None, "low": None, "high": None}
    assert first["notes"] == ["not worked out yet: ask again in a minute"]
    outlook.step()
    then = client.get("/api/v1/capacity").get_json()
    assert then["users"]["low"] <= then["users"]["estimate"] <= then["users"]["high"]
    assert {"container", "resource"} <= then["limiting"].keys()
    assert {"users", "utilisation", "response_s"} == then["curve"][0].keys()
    assert then["headroom"]["users_now"] == 3
    assert then["time_ns"] == NOW


@pytest.mark.parametrize(("outcome", "spare"), [("completed", 0.0), ("unfinished", 2.0)])
def test_only_what_was_completed_tells_that_a_target_is_passed(tmp_path: Path, outcome: str, spare: float) -> None:
    """An action whose end nobody told is not slow: it is closed after an hour by its age."""
    known = Capacity(users=Estimate(3.0, 1.0, 9.0), limiting=None)
    with SqliteJournal(tmp_path / "journal.sqlite") as journal:
        journal.append([Session(session="session-1", source="replay", client="lab", started_ns=T0)])
        slow = [make.action(f"action-{n:02}", T0 + n, HOUR, source="replay") for n in range(30)]
        journal.append([replace(one, outcome=outcome) for one in slow])  # type: ignore[arg-type]
        reader = Reader(journal.path)
        left = gather_headroom(reader, known, Wanted(targets={slow[0].action: 5.0}), T0 + 60 * SECOND)
        reader.close()
    assert left.spare is not None
    assert (left.users_now, left.spare.estimate) == (1, spare)


@pytest.mark.parametrize(
    ("real", "replayed", "users_now", "spare", "late"),
    [
        (0, 2, 2, 18.0, False),
        (1, 2, None, 14.0, False),
        (4, 0, None, 16.0, False),
        (5, 2, 7, 13.0, False),
        (4, 0, None, 16.0, True),
    ],
)
def test_few_real_persons_are_not_counted_and_nothing_else_tells_their_number(
    tmp_path: Path, real: int, replayed: int, users_now: int | None, spare: float, late: bool
) -> None:
    """Their slowness is theirs, too: with the targets passed by four persons alone, nothing is said to be late."""
    known = Capacity(users=Estimate(20.0, 0.0, 30.0), limiting=None)
    with SqliteJournal(tmp_path / "journal.sqlite") as journal:
        for number in range(real + replayed):
            source = "extension" if number < real else "replay"
            acted = [
                make.action(f"action-{number}-{n}", T0 + n, HOUR if late else SECOND, source=source, session=f"session-{number}")
                for n in range(30)
            ]
            journal.append([make.session(f"session-{number}", source=source), *acted])
        reader = Reader(journal.path)
        left = gather_headroom(reader, known, Wanted(targets={"login": 5.0}), T0 + 60 * SECOND)
        reader.close()
    assert left.spare is not None
    assert (left.users_now, left.spare.estimate) == (users_now, spare)
    assert left.reason == (None if users_now is not None else "fewer than 5 real persons")


# runs


def test_runs_are_experiments_in_blocks(journal: SqliteJournal) -> None:
    assert [experiment_of(run) for run in ("nightly", "nightly.block2", "v1.8.1", "a.blockade")] == [
        "nightly",
        "nightly",
        "v1.8.1",
        "a.blockade",
    ]
    baseline, candidate = replays(1)
    journal.append(recorded(baseline, candidate, T0))
    reader = Reader(journal.path)
    found = repetitions(reader, "after")
    assert sorted({one.block for one in found}) == [0, 1, 2, 3, 4]
    assert len(found) == len(candidate)

    def values(side: list[Repetition]) -> list[float]:
        return sorted(seconds for one in side for _, seconds in one.values.values())

    assert values(found) == pytest.approx(values(candidate), rel=1e-6)
    assert newest_experiment(reader, "before") == "after"
    assert newest_experiment(reader, "after") == "before"
    with pytest.raises(UsageFault, match="there is no replayed run 'never': name one of: after, before"):
        repetitions(reader, "never")
    reader.close()


def test_a_restart_inside_a_run_begins_a_block(journal: SqliteJournal) -> None:
    made = recorded(*replays(1, blocks=1, each=8), T0)
    one_run = [replace(record, run="before") if isinstance(record, Session) else record for record in made]
    journal.append(one_run)
    reader = Reader(journal.path)
    whole = repetitions(reader, "before")
    assert {one.block for one in whole} == {0}
    middle = whole[5].start_ns
    end = whole[-1].end_ns
    journal.append(
        [
            sample(at, cpu_total_ns=at - T0, container_id="old" if at < middle else "new")
            for at in range(T0, end, 200 * SECOND // 1000)
        ]
    )
    assert [one.block for one in repetitions(reader, "before")] == [0] * 5 + [1] * (len(whole) - 5)
    reader.close()


# commands


@pytest.fixture
def file(journal: SqliteJournal) -> str:
    now_ns = time.time_ns()
    moved = now_ns - 2 * HOUR - QUEUE_T0
    made: list[Record] = []
    for record in [*observed("replay"), *samples()]:
        if isinstance(record, Action):
            record = replace(record, start_ns=record.start_ns + moved)
        elif isinstance(record, Sample):
            record = replace(record, time_ns=record.time_ns + moved)
        made.append(record)
    journal.append(made)
    journal.append(recorded(*replays(3, {(0, "action_4"): 0.4}), QUEUE_T0))
    return str(journal.path)


def test_capacity_says_how_many_and_what_ends_first(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["capacity", "--journal", file, "--target", "open_viewer p95 < 9s"]) == 0
    text = capsys.readouterr().out
    assert " users (90 %: " in text
    assert "until open_viewer p95 passes 9 s; first: the machine, cpu, " in text
    assert main(["capacity", "--journal", file, "--target", "open_viewer p95 < 9000 ms", "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["limiting"]["action"] == "open_viewer"
    assert told["users"]["low"] < told["users"]["estimate"] < told["users"]["high"]
    assert main(["capacity", "--journal", file, "--format", "csv"]) == 0
    assert len(list(csv.DictReader(io.StringIO(capsys.readouterr().out)))) == 12


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--target", "viewer < 5s"], "'viewer < 5s' is not a target"),
        (["--target", "viewer p95 < 5s"], "there is no action 'viewer'"),
        (["--target", "login p95 < 1.2.3s"], "is not a target"),
        (["--mix", "/nowhere.json"], "/nowhere.json is not a mix (No such file or directory)"),
        (["--since=-x"], "--since '-x' is not a time span"),
    ],
)
def test_wrong_use_of_capacity_is_said(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["capacity", *arguments]) == 2
    assert says in capsys.readouterr().err


def test_a_mix_is_taken_from_a_file(file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mix = tmp_path / "mix.json"
    mix.write_text('{"radiologist": 3, "researcher": 1}')
    assert main(["capacity", "--journal", file, "--mix", str(mix), "--since", "3650d", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["mix"] == {"radiologist": 0.75, "researcher": 0.25}
    for text in ('{"radiologist": -1}', "[]", "{}", '{"a": true}', "{", '{"a": 1e999}', '{"a": 1e308, "b": 1e308}'):
        mix.write_text(text)
        assert main(["capacity", "--journal", file, "--mix", str(mix)]) == 2


def test_compare_ends_with_1_only_for_a_proven_regression(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "before", "after", "--journal", file]) == 1
    text = capsys.readouterr().out
    assert "verdict: worse" in text
    (line,) = (line for line in text.splitlines() if line.startswith("OPEN VIEWER") and "CPU" in line)
    assert ", worse; 25 repetitions in 5 restarts, noise " in line
    assert main(["compare", "after", "before", "--journal", file, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "better"
    assert main(["compare", "before", "before", "--journal", file, "--format", "csv"]) == 0
    told = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {row["verdict"] for row in told} == {"same"}
    assert main(["compare", "before", "never", "--journal", file]) == 2
    assert "there is no replayed run 'never'" in capsys.readouterr().err
