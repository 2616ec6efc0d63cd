"""Baselines by schedule: when runs are due, what is left out and why, and what a restart makes of it. All by a manual clock."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.schedule import Hours, Schedule, clock_time, every, zone
from replay.schedule_cli import busy
from replay.schedule_log import FILE, Event, ScheduleLog
from replay.schedule_run import Between, Desk, Scheduler, StoppedError
from replay.sidecar_api import Activity, Sidecar, SidecarAwayError
from sidecar.model.faults import Fault, UsageFault
from tests.support.campaign_fakes import Notes

ROME = ZoneInfo("Europe/Rome")
H = 3600


def at(text: str, where: ZoneInfo = ROME, fold: int = 0) -> int:
    """Epoch seconds of a local time."""
    return int(datetime.fromisoformat(text).replace(tzinfo=where, fold=fold).timestamp())


def shown(schedule: Schedule, begin: int, count: int) -> list[str]:
    """The next times, as a clock on the wall (with its zone) shows them."""
    times = []
    for _ in range(count):
        begin = schedule.next_after(begin)
        times.append(f"{datetime.fromtimestamp(begin, schedule.zone):%d %H:%M %Z}")
    return times


def schedule(period: str, *quiet: str, start: str = "00:00", where: ZoneInfo = ROME) -> Schedule:
    return Schedule(every_s=every(period), zone=where, quiet=tuple(map(Hours.parse, quiet)), at=clock_time(start))


def test_times_lie_on_the_wall_clock_whenever_it_is_started() -> None:
    six = schedule("6h")
    assert shown(six, at("2026-06-10T05:59"), 3) == ["10 06:00 CEST", "10 12:00 CEST", "10 18:00 CEST"]
    assert shown(six, at("2026-06-10T06:00"), 1) == ["10 12:00 CEST"], "a time is not later than itself"
    assert shown(schedule("6h", start="02:30"), at("2026-06-10T03:00"), 2) == ["10 08:30 CEST", "10 14:30 CEST"]
    assert shown(schedule("1d", start="03:15"), at("2026-06-10T12:00"), 2) == ["11 03:15 CEST", "12 03:15 CEST"]


@pytest.mark.parametrize(
    ("quiet", "times"),
    [
        (["22:00-05:00"], ["10 06:00 CEST", "10 12:00 CEST", "10 18:00 CEST", "11 06:00 CEST"]),
        (["07:00-18:00"], ["10 00:00 CEST", "10 06:00 CEST", "10 18:00 CEST", "11 00:00 CEST"]),
        (["23:00-00:00", "06:00-06:01"], ["10 00:00 CEST", "10 12:00 CEST", "10 18:00 CEST", "11 00:00 CEST"]),
        (["17:00-24:00"], ["10 00:00 CEST", "10 06:00 CEST", "10 12:00 CEST", "11 00:00 CEST"]),
    ],
)
def test_quiet_hours_are_left_out_also_over_midnight(quiet: list[str], times: list[str]) -> None:
    assert shown(schedule("6h", *quiet), at("2026-06-09T23:30"), 4) == times


def test_a_schedule_that_is_always_quiet_is_refused() -> None:
    with pytest.raises(UsageFault, match=r"quiet hours 22:00-05:00: move the times with --at"):
        schedule("1d", "22:00-05:00").next_after(at("2026-06-10T12:00"))


def test_when_clocks_go_forward_the_wall_clock_is_kept() -> None:
    # 29 March 2026, 02:00 CET is 03:00 CEST
    assert shown(schedule("6h"), at("2026-03-28T23:00"), 3) == ["29 00:00 CET", "29 06:00 CEST", "29 12:00 CEST"]
    assert shown(schedule("1d", start="02:30"), at("2026-03-28T12:00"), 2) == ["29 03:30 CEST", "30 02:30 CEST"]
    assert shown(schedule("30m"), at("2026-03-29T01:10"), 3) == ["29 01:30 CET", "29 03:00 CEST", "29 03:30 CEST"]


def test_when_clocks_go_back_nothing_is_played_twice_but_what_keeps_to_the_time_that_passes() -> None:
    # 25 October 2026, 03:00 CEST is 02:00 CET
    assert shown(schedule("1d", start="02:30"), at("2026-10-24T12:00"), 2) == ["25 02:30 CEST", "26 02:30 CET"]
    assert shown(schedule("2h"), at("2026-10-25T01:00"), 2) == ["25 02:00 CEST", "25 04:00 CET"]
    assert shown(schedule("30m"), at("2026-10-25T01:40"), 5) == [
        "25 02:00 CEST", "25 02:30 CEST", "25 02:00 CET", "25 02:30 CET", "25 03:00 CET",
    ]  # fmt: skip


@given(
    st.integers(at("2026-01-01T00:00"), at("2027-01-01T00:00")),
    st.sampled_from(["1m", "7m", "30m", "1h", "5h", "6h", "1d", "3d"]),
    st.sampled_from([ROME, ZoneInfo("Asia/Kolkata"), ZoneInfo("America/New_York"), ZoneInfo("Australia/Lord_Howe")]),
)
def test_the_next_time_is_near_and_does_not_depend_on_when_one_asks(now: int, period: str, where: ZoneInfo) -> None:
    one = schedule(period, where=where)
    due = one.next_after(now)
    assert now < due <= now + every(period) + 2 * H
    assert one.next_after((now + due) // 2) == due
    assert one.missed(now, due) == 1
    assert one.missed(now, due - 1) == 0


@pytest.mark.parametrize("wrong", ["6", "0h", "h", "-6h", "40d", "6 h", "99999d"])
def test_a_period_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(UsageFault, match="no period"):
        every(wrong)


@pytest.mark.parametrize("wrong", ["22-05", "22:00", "25:00-05:00", "24:00-05:00", "05:00-05:00", "22:60-05:00", "a-b", ""])
def test_hours_that_are_none_are_refused(wrong: str) -> None:
    with pytest.raises(UsageFault, match="no stretch of a day"):
        Hours.parse(wrong)


def test_the_zone_comes_from_the_option_then_TZ_then_the_machine(tmp_path: Path) -> None:  # noqa: N802
    nowhere = tmp_path / "localtime"
    assert zone("Europe/Rome", {"TZ": "Asia/Tokyo"}, nowhere) == ROME
    assert zone(None, {"TZ": ":Asia/Tokyo"}, nowhere) == ZoneInfo("Asia/Tokyo")
    assert zone(None, {}, nowhere) == UTC
    for wrong in ("Europe/Nowhere", "../etc/passwd"):
        with pytest.raises(UsageFault, match="no time zone"):
            zone(wrong, {}, nowhere)


class ManualTime:
    """Time that passes while somebody waits; at `deeds` something happens, and at `end_s` it ends."""

    def __init__(self, now_s: float, end_s: float) -> None:
        self.now_s = now_s
        self.end_s = end_s
        self.ended = False
        self.sleeps_s = 0.0

    def wall_ns(self) -> int:
        return round(self.now_s * 1e9)

    def is_set(self) -> bool:
        return self.ended

    def wait(self, timeout: float) -> bool:
        self.now_s += timeout + self.sleeps_s
        self.sleeps_s = 0.0
        self.ended = self.ended or self.now_s >= self.end_s
        return self.ended


class Room:
    """A schedule's surroundings: what it plays, what it says, and where it writes."""

    def __init__(self, folder: Path, begin: str, end: str) -> None:
        self.folder = folder
        self.time = ManualTime(at(begin), at(end))
        self.played: list[str] = []
        self.said: list[str] = []
        self.told: list[tuple[str, str]] = []
        self.reasons: list[str | None] = []
        self.deed: Callable[[str], object] = lambda _run: None

    def play(self, run: str) -> None:
        self.played.append(run)
        self.deed(run)

    def run(self, period: str = "6h", *quiet: str) -> list[tuple[str, str]]:
        """Run the schedule until the end; (event, run) of every line that it wrote."""
        desk = Desk(
            play=self.play,
            busy=lambda: self.reasons.pop(0) if self.reasons else None,
            tell=lambda run, reason: self.told.append((run, reason)),
            wall_ns=self.time.wall_ns,
            stop=self.time,
            say=self.said.append,
        )
        Scheduler("base", schedule(period, *quiet), ScheduleLog(self.folder, "base"), desk).run()
        return self.lines()

    def lines(self) -> list[tuple[str, str]]:
        file = self.folder / FILE
        read = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        return [(line["event"], line["run"]) for line in read]


def test_runs_are_played_at_their_times_and_named_by_them(tmp_path: Path) -> None:
    room = Room(tmp_path, "2026-06-10T05:00", "2026-06-10T19:00")
    lines = room.run("6h", "11:00-13:00")
    assert room.played == ["base-20260610T040000Z", "base-20260610T160000Z"]
    assert lines == [
        ("begun", room.played[0]),
        ("finished", room.played[0]),
        ("begun", room.played[1]),
        ("finished", room.played[1]),
    ]
    assert "next run base-20260610T040000Z at 2026-06-10 06:00 CEST" in room.said


def test_a_run_is_skipped_and_says_so_when_real_users_are_active(tmp_path: Path) -> None:
    room = Room(tmp_path, "2026-06-10T05:00", "2026-06-10T13:00")
    room.reasons = ["7 real users active, more than 0", None]
    assert [event for event, _ in room.run()] == ["skipped", "begun", "finished"]
    assert room.told == [("base-20260610T040000Z", "7 real users active, more than 0")]
    assert "base-20260610T040000Z skipped: 7 real users active, more than 0" in room.said
    assert room.played == ["base-20260610T100000Z"]


def test_a_run_that_takes_longer_than_the_period_is_not_made_up_for(tmp_path: Path) -> None:
    room = Room(tmp_path, "2026-06-10T05:00", "2026-06-11T01:00")

    def long(_run: str) -> None:
        room.time.now_s += 7 * H

    room.deed = long
    lines = room.run()
    assert room.played == ["base-20260610T040000Z", "base-20260610T160000Z"], "that of 12:00 is not played at 13:00"
    assert [event for event, _ in lines] == ["begun", "finished", "missed", "begun", "finished", "missed"]
    assert lines[2] == ("missed", "base-20260610T100000Z")
    assert "missed: 1 time while base-20260610T040000Z was played; not made up for" in room.said[1]


def test_a_failed_run_is_written_down_and_the_next_one_is_played(tmp_path: Path) -> None:
    room = Room(tmp_path, "2026-06-10T05:00", "2026-06-10T13:00")
    faults = [Fault("repetition 1 failed", "look at the site")]

    def fail_once(_run: str) -> None:
        if faults:
            raise faults.pop()

    room.deed = fail_once
    assert [event for event, _ in room.run()] == ["begun", "failed", "begun", "finished"]
    assert "base-20260610T040000Z failed: repetition 1 failed: look at the site" in room.said


def test_a_machine_that_slept_leaves_out_what_is_long_over(tmp_path: Path) -> None:
    room = Room(tmp_path, "2026-06-10T05:00", "2026-06-11T01:00")
    room.time.sleeps_s = 9 * H  # until 14:00 and a little
    lines = room.run()
    assert lines[0] == ("missed", "base-20260610T040000Z")
    assert room.played == ["base-20260610T160000Z", "base-20260610T220000Z"], "nothing in a bunch"


def left(folder: Path, event: Event, due: str) -> ScheduleLog:
    log = ScheduleLog(folder, "base")
    log.write("begun", time_ns=at(due) * 10**9, due_s=at(due), run="base-left")
    if event != "begun":
        log.write(event, time_ns=at(due) * 10**9 + 1, due_s=at(due), run="base-left")
    return log


@pytest.mark.parametrize("event", ["begun", "stopped"])
def test_a_restart_goes_on_with_the_run_whose_time_it_still_is(tmp_path: Path, event: Event) -> None:
    left(tmp_path, event, "2026-06-10T06:00")
    room = Room(tmp_path, "2026-06-10T08:00", "2026-06-10T12:30")
    lines = room.run()
    assert room.played == ["base-left", "base-20260610T100000Z"]
    assert ("resumed", "base-left") in lines
    assert ("finished", "base-left") in lines
    again = Room(tmp_path, "2026-06-10T13:00", "2026-06-10T13:30")
    again.run()
    assert again.played == [], "what is finished is not played again"


def test_a_restart_after_its_time_says_what_was_missed_and_plays_nothing_twice(tmp_path: Path) -> None:
    left(tmp_path, "begun", "2026-06-10T06:00")
    room = Room(tmp_path, "2026-06-11T07:00", "2026-06-11T12:30")
    lines = room.run()
    assert room.played == ["base-20260611T100000Z"]
    assert [event for event, _ in lines].count("missed") == 1
    assert any("4 times while no schedule was running" in line for line in room.said)
    assert "base-left stays unfinished: its time is over" in room.said


def test_a_restart_in_quiet_hours_or_among_users_resumes_nothing(tmp_path: Path) -> None:
    left(tmp_path, "stopped", "2026-06-10T06:00")
    room = Room(tmp_path, "2026-06-10T08:00", "2026-06-10T09:00")
    assert room.run("6h", "07:00-18:00")[-1][0] == "stopped"
    room = Room(tmp_path, "2026-06-10T08:00", "2026-06-10T09:00")
    room.reasons = ["7 real users active"]
    room.run()
    assert room.played == []
    assert room.told == [("base-20260610T040000Z", "7 real users active")]


def test_the_stop_comes_between_two_repetitions(tmp_path: Path) -> None:
    room = Room(tmp_path, "2026-06-10T05:00", "2026-06-10T13:00")
    notes = Notes()

    def stopped(_run: str) -> None:
        progress = Between(notes, room.time)
        progress.begin(1, 1, [])
        progress.step(1, "log in")
        room.time.ended = True
        progress.step(2, "search")
        progress.begin(2, 1, [])

    room.deed = stopped
    assert [event for event, _ in room.run()] == ["begun", "stopped"]
    assert notes.begun == [(1, 1)]
    assert notes.steps == ["log in", "search"], "a repetition that has begun is played to its end"
    with pytest.raises(StoppedError, match="between two repetitions"):
        Between(notes, room.time).begin(2, 1, [])


def test_the_log_passes_over_half_lines_and_other_schedules(tmp_path: Path) -> None:
    left(tmp_path, "begun", "2026-06-10T06:00")
    ScheduleLog(tmp_path, "other").write("finished", time_ns=1, due_s=1, run="other-1")
    with (tmp_path / FILE).open("ab") as file:
        for wrong in ('"due_s": "6:00"', '"due_s": 6e99', '"due_s": 1000000000000', '"due_s": 6, "reason": 5'):
            file.write(f'{{"schedule": "base", "event": "finished", "run": "wrong", "time_ns": 1, {wrong}}}\n'.encode())
        file.write(b'{"schedule": "base", "event": "fini')
    log = ScheduleLog(tmp_path, "base")
    found = log.unfinished()
    assert found is not None
    assert found.run == "base-left"


class Told(Sidecar):
    """Says who is active, or does not answer."""

    def __init__(self, told: Activity | None) -> None:
        super().__init__("http://sidecar.test:8050")
        self.told = told

    def activity(self) -> Activity:
        if self.told is None:
            raise SidecarAwayError("the sidecar does not answer", "start it")
        return self.told


@pytest.mark.parametrize(
    ("people", "unnamed", "most", "said"),
    [
        (None, 0, 0, None),
        (7, 0, 7, None),
        (7, 0, 6, "7 real users active, more than 6"),
        (None, 1, 0, "fewer than 5 real users active, 1 at once by the access log, more than 0"),
        (None, 2, 2, None),
    ],
)
def test_a_run_may_begin_up_to_so_many_users(people: int | None, unnamed: int, most: int, said: str | None) -> None:
    assert busy(Told(Activity(people=people, fewer_than=5, unnamed=unnamed, window_s=300)), most) == said


def test_where_nobody_knows_no_run_begins_unless_nobody_is_to_be_asked() -> None:
    told = busy(Told(None), 3)
    assert told is not None
    assert "nobody knows whether real users are active" in told
    assert "--sidecar none" in told
    assert busy(None, 0) is None
