"""Plays the runs of a schedule: waits, asks whether real people are at work, plays or skips, and writes down which."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from replay.campaign import Progress
from replay.results import ActionResult
from replay.schedule import Schedule
from replay.schedule_log import Event, ScheduleLog
from sidecar.model.faults import Fault

#: the wall clock is looked at again after so long: it may be set, and a machine may sleep
_LOOK_S = 30.0
#: times that came while a run was played are counted no further
_MOST_COUNTED = 1000
#: a run that could not begin for longer than this is left out
LATE_S = 600


class StoppedError(Fault):
    """The schedule was told to end; raised between two attempts, the run can be finished later."""


class Stop(Protocol):
    """Told from outside that the schedule shall end, as `threading.Event` is."""

    def is_set(self) -> bool:
        """Whether it shall end."""

    def wait(self, timeout: float) -> bool:
        """Wait, at most so many seconds; whether it shall end."""


class Between:
    """A campaign's progress that ends the campaign before its next attempt, once it is told to."""

    def __init__(self, progress: Progress, stop: Stop) -> None:
        self._progress = progress
        self._stop = stop

    def begin(self, number: int, attempt: int, finished_ns: list[int]) -> None:
        """The next attempt would begin: raises StoppedError when it shall not."""
        if self._stop.is_set():
            raise StoppedError(
                "the run was stopped between two repetitions", "the schedule goes on with it when it is started again"
            )
        self._progress.begin(number, attempt, finished_ns)

    def step(self, number: int, name: str) -> None:
        """As the campaign tells it."""
        self._progress.step(number, name)

    def action(self, ended: ActionResult) -> None:
        """As the campaign tells it."""
        self._progress.action(ended)

    def say(self, text: str) -> None:
        """As the campaign tells it."""
        self._progress.say(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What a schedule works with.

    `play` plays, or goes on with, the run of this name and raises Fault for what stopped it. `busy` says why a run must not begin
    now, or None. `tell` brings a skipped run to the sidecar, where that can be.
    """

    play: Callable[[str], object]
    busy: Callable[[], str | None]
    tell: Callable[[str, str], object]
    wall_ns: Callable[[], int]
    stop: Stop
    say: Callable[[str], object]


class Scheduler:
    """Runs are named `NAME-20261122T180000Z` by the time at which they are due."""

    def __init__(self, name: str, schedule: Schedule, log: ScheduleLog, desk: Desk) -> None:
        self._name = name
        self._schedule = schedule
        self._log = log
        self._desk = desk

    def run(self) -> None:
        """Until `stop`; raises DiskError, and UsageFault for a schedule without a time."""
        after_s = self._now_s()
        self._schedule.next_after(after_s)
        self._look_back()
        while not self._desk.stop.is_set():
            due_s = self._schedule.next_after(max(after_s, self._now_s()))
            self._desk.say(f"next run {self._named(due_s)} at {self._local(due_s)}")
            if not self._waited(due_s):
                return
            after_s = due_s
            if self._now_s() - due_s > LATE_S:
                self._leave_out("missed", due_s, "the machine slept, or its clock was set")
            elif (reason := self._desk.busy()) is not None:
                self._leave_out("skipped", due_s, reason)
            else:
                self._play(self._named(due_s), due_s, "begun")

    def _look_back(self) -> None:
        """What was left when the schedule was ended: go on with a run whose time it still is; say what was missed."""
        now_s = self._now_s()
        left, last = self._log.unfinished(), self._log.last()
        if last is not None and (missed := self._schedule.missed(last.due_s, now_s)):
            self._leave_out("missed", last.due_s, f"{missed} times while no schedule was running; they are not made up for")
        if left is None:
            return
        if self._schedule.next_after(left.due_s) <= now_s or self._schedule.is_quiet(now_s):
            self._desk.say(f"{left.run} stays unfinished: its time is over")
        elif (reason := self._desk.busy()) is not None:
            self._leave_out("skipped", left.due_s, reason)
        else:
            self._play(left.run, left.due_s, "resumed")

    def _play(self, run: str, due_s: int, event: Event) -> None:
        self._note(event, due_s, run, "")
        try:
            self._desk.play(run)
        except StoppedError as stopped:
            self._note("stopped", due_s, run, stopped.what)
            return
        except Fault as fault:
            self._note("failed", due_s, run, str(fault))
            self._desk.say(f"{run} failed: {fault}")
        else:
            self._note("finished", due_s, run, "")
        self._overrun(due_s, run)

    def _overrun(self, due_s: int, run: str) -> None:
        """Say which times came while a run was played: they are not made up for."""
        passed, last_s, next_s = 0, due_s, self._schedule.next_after(due_s)
        while next_s <= self._now_s() and passed < _MOST_COUNTED:
            passed, last_s, next_s = passed + 1, next_s, self._schedule.next_after(next_s)
        if passed:
            times = "time" if passed == 1 else "times"
            self._leave_out("missed", last_s, f"{passed} {times} while {run} was played; not made up for")

    def _leave_out(self, event: Event, due_s: int, reason: str) -> None:
        run = self._named(due_s)
        self._note(event, due_s, run, reason)
        self._desk.say(f"{run} {event}: {reason}")
        if event == "skipped":
            self._desk.tell(run, reason)

    def _note(self, event: Event, due_s: int, run: str, reason: str) -> None:
        self._log.write(event, time_ns=self._desk.wall_ns(), due_s=due_s, run=run, reason=reason)

    def _waited(self, due_s: int) -> bool:
        while (left_s := due_s - self._now_s()) > 0:
            if self._desk.stop.wait(min(_LOOK_S, left_s)):
                return False
        return not self._desk.stop.is_set()

    def _now_s(self) -> float:
        return self._desk.wall_ns() / 1e9

    def _named(self, due_s: int) -> str:
        return f"{self._name}-{datetime.fromtimestamp(due_s, UTC):%Y%m%dT%H%M%SZ}"

    def _local(self, due_s: int) -> str:
        return f"{datetime.fromtimestamp(due_s, self._schedule.zone):%Y-%m-%d %H:%M %Z}"
