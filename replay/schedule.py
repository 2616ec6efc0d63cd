"""When runs are due: a grid of wall-clock times without quiet hours. Pure: the time comes in, a time goes out.

The grid is in local time and does not depend on when the schedule was started, so a restart changes nothing and a time that was
missed stays missed. Where clocks are changed, a period of more than an hour keeps to the clock on the wall: a time that is
skipped is due right after the change by as much later, one that comes twice is due the first time. A period of up to an hour
keeps to the time that passes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

from sidecar.model.faults import UsageFault

_LENGTH = re.compile(r"(\d{1,5})(m|min|h|d)")
_SECONDS = {"m": 60, "min": 60, "h": 3600, "d": 86400}
_TIME = re.compile(r"([01]?\d|2[0-4]):([0-5]\d)")
_EPOCH = datetime(1970, 1, 1)
_LONGEST_S = 30 * 86400
_HOUR_S = 3600
#: clocks are changed by no more than this
_CHANGE_S = 2 * _HOUR_S
#: no later than this a time outside the quiet hours must come
_HORIZON_S = 400 * 86400


@dataclass(frozen=True, slots=True)
class Hours:
    """Daily hours in minutes since local midnight, the end excluded; over midnight where the end is not after the begin."""

    begin: int
    end: int

    @classmethod
    def parse(cls, text: str) -> Hours:
        """From `22:00-05:00`; raises UsageFault."""
        ends = [_minutes(part) for part in text.replace(" ", "").split("-")]
        if len(ends) != 2 or None in ends or ends[0] == ends[1] or ends[0] == 1440:
            raise UsageFault(f"{text!r} is no stretch of a day", "write for example 22:00-05:00")
        begin, end = ends
        assert begin is not None  # noqa: S101 (seen above)
        assert end is not None  # noqa: S101
        return cls(begin, end)

    def __contains__(self, local: time) -> bool:
        minute = local.hour * 60 + local.minute
        if self.begin < self.end:
            return self.begin <= minute < self.end
        return minute >= self.begin or minute < self.end

    def __str__(self) -> str:
        return f"{self.begin // 60:02d}:{self.begin % 60:02d}-{self.end // 60:02d}:{self.end % 60:02d}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Every `every_s` seconds from `at` (minutes after local midnight) on, but never in quiet hours. Times are epoch seconds."""

    every_s: int
    zone: tzinfo
    quiet: tuple[Hours, ...] = ()
    at: int = 0

    def next_after(self, now_s: float) -> int:
        """The first time that is later than now; raises UsageFault where all are in quiet hours."""
        best: int | None = None
        for first, times in self._grid(now_s):
            if best is not None and first > best + _CHANGE_S:
                break
            if first > now_s + _HORIZON_S:
                break
            for due in times:
                if due > now_s and (best is None or due < best) and not self.is_quiet(due):
                    best = due
        if best is None:
            hours = ", ".join(map(str, self.quiet))
            raise UsageFault(f"every time of the schedule lies in the quiet hours {hours}", "move the times with --at")
        return best

    def is_quiet(self, at_s: float) -> bool:
        """Whether that is in the quiet hours."""
        local = datetime.fromtimestamp(at_s, self.zone).time()
        return any(local in hours for hours in self.quiet)

    def missed(self, from_s: float, now_s: float, most: int = 1000) -> int:
        """How many times there were after `from_s` and up to now; counts no further than `most`."""
        count, at_s = 0, self.next_after(from_s)
        while at_s <= now_s and count < most:
            count, at_s = count + 1, self.next_after(at_s)
        return count

    def _grid(self, now_s: float) -> Iterator[tuple[int, list[int]]]:
        """From a little before now on, for each time on the wall clock: its instant, and the instants at which it is due."""
        local = datetime.fromtimestamp(now_s, self.zone).replace(tzinfo=None)
        anchor_s = self.at * 60
        step = int(((local - _EPOCH).total_seconds() - anchor_s) // self.every_s) - 1 - _CHANGE_S // self.every_s
        while True:
            naive = _EPOCH + timedelta(seconds=anchor_s + step * self.every_s)
            first, second = (int(naive.replace(tzinfo=self.zone, fold=fold).timestamp()) for fold in (0, 1))
            step += 1
            if first == second or self.every_s > _HOUR_S:
                yield first, [first]
            elif first < second:  # it comes twice
                yield first, [first, second]
            else:  # it does not come
                yield first, []


def every(text: str) -> int:
    """Seconds of a period such as `30m`, `6h` or `1d`; raises UsageFault."""
    found = _LENGTH.fullmatch(text)
    seconds = int(found[1]) * _SECONDS[found[2]] if found else 0
    if not 60 <= seconds <= _LONGEST_S:
        raise UsageFault(f"--every {text!r} is no period", "write for example 30m, 6h or 1d, at most 30d")
    return seconds


def clock_time(text: str) -> int:
    """Minutes since midnight of `02:30`; raises UsageFault."""
    minutes = _minutes(text)
    if minutes is None or minutes == 1440:
        raise UsageFault(f"--at {text!r} is no time of day", "write for example 02:30")
    return minutes


def zone(name: str | None, environment: Mapping[str, str], localtime: Path = Path("/etc/localtime")) -> tzinfo:
    """The zone of this name, else that of TZ, else the machine's; raises UsageFault for a name that is not known."""
    wanted = name or environment.get("TZ", "").removeprefix(":")
    if wanted:
        try:
            return ZoneInfo(wanted)
        except (KeyError, OSError, ValueError) as error:
            raise UsageFault(f"{wanted[:80]!r} is no time zone", "write for example Europe/Rome, and install tzdata") from error
    if localtime.exists():
        with localtime.open("rb") as file:
            return ZoneInfo.from_file(file, key="local time")
    return UTC


def _minutes(text: str) -> int | None:
    found = _TIME.fullmatch(text)
    minutes = int(found[1]) * 60 + int(found[2]) if found else None
    return minutes if minutes is None or minutes <= 1440 else None
