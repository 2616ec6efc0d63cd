"""`schedule.jsonl` beside the runs: a line for whatever a schedule did, or did not do, and why."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from replay.failures import disk_fault

FILE = "schedule.jsonl"
Event = Literal["begun", "resumed", "finished", "failed", "stopped", "skipped", "missed"]
#: seconds of a year that every calendar knows
_LAST_S = 200 * 10**9
_ENDS = ("finished", "failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line. `due_s` is the time on the schedule's grid (epoch seconds), `run` the run's name, `reason` words for people."""

    schedule: str
    event: Event
    time_ns: int
    due_s: int
    run: str
    reason: str = ""


class ScheduleLog:
    """The lines of one schedule; several schedules may share a file."""

    def __init__(self, folder: Path, schedule: str) -> None:
        self._file = folder / FILE
        self._schedule = schedule

    def write(self, event: Event, *, time_ns: int, due_s: int, run: str, reason: str = "") -> Entry:
        """Append a line and force it to the disk; raises DiskError."""
        entry = Entry(schedule=self._schedule, event=event, time_ns=time_ns, due_s=due_s, run=run, reason=reason)
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("ab") as file:
                file.write((json.dumps(asdict(entry), ensure_ascii=False) + "\n").encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise disk_fault(error) from error
        return entry

    def last(self) -> Entry | None:
        """The newest line of this schedule; a line that a crash left half written is passed over."""
        found = self._entries()
        return found[-1] if found else None

    def unfinished(self) -> Entry | None:
        """The line of the run that was begun last, unless it has ended."""
        played = [entry for entry in self._entries() if entry.event in ("begun", "resumed", "stopped", *_ENDS)]
        return played[-1] if played and played[-1].event not in _ENDS else None

    def _entries(self) -> list[Entry]:
        try:
            lines = self._file.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise disk_fault(error) from error
        return [entry for entry in map(_read, lines) if entry is not None and entry.schedule == self._schedule]


def _read(line: bytes) -> Entry | None:
    try:
        raw: dict[str, Any] = json.loads(line)
        entry = Entry(**raw)
    except (ValueError, TypeError, RecursionError):
        return None
    numbers, texts = (entry.time_ns, entry.due_s), (entry.schedule, entry.event, entry.run, entry.reason)
    good = all(type(one) is int for one in numbers) and all(isinstance(one, str) for one in texts)
    return entry if good and abs(entry.due_s) < _LAST_S else None
