"""`tracemark replay … --every 6h`: the options of a schedule, its signals, and whom it asks before a run."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Protocol

from replay.schedule import Hours, Schedule, clock_time, every, zone
from replay.schedule_log import ScheduleLog
from replay.schedule_run import Desk, Scheduler, Stop
from replay.sidecar_api import VARIABLE, Sidecar, SidecarAnswerError, SidecarAwayError, beside
from sidecar.model.faults import UsageFault

_MIDNIGHT = "00:00"


class Once(Protocol):
    """Plays one campaign: `replay.cli.once`."""

    def __call__(self, arguments: argparse.Namespace, token: str, *, stop: Stop | None = None, check: bool = False) -> int:
        """With `check` only look whether it could be played; with `stop` end between two repetitions when that is set."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of a schedule, and of what is asked of the sidecar."""
    add = parser.add_argument_group("baselines by schedule").add_argument
    add("--every", metavar="PERIOD", help="play a run again and again, at times such as every 6h, 30m or 1d; ends with SIGTERM")
    add("--at", metavar="HH:MM", default=_MIDNIGHT, help="one of those times, on the wall clock (default: %(default)s)")
    add(
        "--quiet",
        "--not",
        dest="quiet",
        action="append",
        default=[],
        metavar="HH:MM-HH:MM",
        help="quiet hours: no run begins in them; repeatable",
    )
    add("--zone", metavar="ZONE", help="time zone of these times, such as Europe/Rome (default: TZ, or the machine's)")
    add(
        "--most-users", type=int, default=0, metavar="N", help="skip a run when more real users are active (default: %(default)s)"
    )
    parser.add_argument(
        "--sidecar", metavar="URL", help=f"the sidecar's HTTP API, or none (default: {VARIABLE}, or port 8050 beside --markers)"
    )


def sidecar_of(given: str | None, environment: Mapping[str, str], markers: str) -> Sidecar | None:
    """The sidecar to ask; None where nobody named one and none can stand beside the marker channel. Raises UsageFault."""
    url = given or environment.get(VARIABLE) or beside(markers)
    return None if url is None or url == "none" else Sidecar(url)


def scheduled(
    arguments: argparse.Namespace,
    once: Once,
    sidecar: Sidecar | None,
    token: str,
    *,
    wall_ns: Callable[[], int],
    stop: Stop | None = None,
    say: Callable[[str], object] | None = None,
) -> int:
    """Play by schedule until SIGTERM; 0 then. Raises UsageFault at once for what could never be played."""
    schedule = schedule_of(arguments, os.environ)
    name = arguments.run_id or f"{arguments.scenario}-{arguments.setup}".rpartition("/")[2].replace(".", "-")
    if arguments.dry_run:
        once(_with_run(arguments, name), token)
        print(f"times     {', '.join(_coming(schedule, wall_ns() / 1e9))}", flush=True)
        return 0
    once(_with_run(arguments, name), token, check=True)
    with _sigterm(stop) as ended:

        def told(line: str) -> None:
            print(f"replay: {line}", file=sys.stderr, flush=True)

        desk = Desk(
            play=lambda run: once(_with_run(arguments, run), token, stop=ended),
            busy=lambda: busy(sidecar, arguments.most_users),
            tell=lambda run, reason: tell(sidecar, run, reason, token),
            wall_ns=wall_ns,
            stop=ended,
            say=say or told,
        )
        Scheduler(name, schedule, ScheduleLog(arguments.out, name), desk).run()
    return 0


def check_schedule_options(arguments: argparse.Namespace) -> None:
    """Raise UsageFault for what belongs to a schedule where there is none: who names quiet hours expects them to be kept."""
    if arguments.every is not None:
        return
    given = {
        "--quiet": arguments.quiet,
        "--at": arguments.at != _MIDNIGHT,
        "--zone": arguments.zone,
        "--most-users": arguments.most_users,
    }
    for option, told in given.items():
        if told:
            raise UsageFault(f"{option} is for a schedule, and there is none", "say how often to play with --every")


def schedule_of(arguments: argparse.Namespace, environment: Mapping[str, str]) -> Schedule:
    """The schedule that the options describe; raises UsageFault."""
    if arguments.most_users < 0:
        raise UsageFault(f"--most-users {arguments.most_users} is too few", "write at least 0")
    return Schedule(
        every_s=every(arguments.every),
        at=clock_time(arguments.at),
        quiet=tuple(map(Hours.parse, arguments.quiet)),
        zone=zone(arguments.zone, environment),
    )


def busy(sidecar: Sidecar | None, most: int) -> str | None:
    """Why no run may begin now; None when one may. Where a sidecar does not answer, nobody knows, and none may."""
    if sidecar is None:
        return None
    try:
        activity = sidecar.activity()
    except (SidecarAwayError, SidecarAnswerError) as error:
        return f"nobody knows whether real users are active: {error} (or say --sidecar none)"
    return f"{activity}, more than {most}" if activity.above(most) else None


def tell(sidecar: Sidecar | None, run: str, reason: str, token: str) -> bool:
    """Bring a skipped run to the sidecar, where there is one and it answers; whether it was."""
    if sidecar is None:
        return False
    try:
        sidecar.skipped(run, reason, token)
    except (SidecarAwayError, SidecarAnswerError):
        return False  # schedule.jsonl has it
    return True


def _coming(schedule: Schedule, now_s: float) -> Iterator[str]:
    for _ in range(4):
        now_s = schedule.next_after(now_s)
        yield f"{datetime.fromtimestamp(now_s, schedule.zone):%Y-%m-%d %H:%M %Z}"


def _with_run(arguments: argparse.Namespace, run: str) -> argparse.Namespace:
    return argparse.Namespace(**{**vars(arguments), "run_id": run, "every": None})


@contextmanager
def _sigterm(given: Stop | None) -> Iterator[Stop]:
    """Set by the first SIGTERM; the second one interrupts at once, as Ctrl-C does."""
    if given is not None:
        yield given
        return
    stop = threading.Event()

    def told(*_: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    earlier = signal.signal(signal.SIGTERM, told)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, earlier)
