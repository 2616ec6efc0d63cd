"""Minutes from the journal to the store: which are due, behind cursors; `rollup_points` says what is in one."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from sidecar.clock import Clock
from sidecar.errors import InvalidRecordError, JournalError, ShipLaterError
from sidecar.model.outbox import Refused
from sidecar.model.points import Point, PointContext, to_line
from sidecar.model.records import Record, Request, Sample, SampleSource
from sidecar.ship.batch import ShippedJournal
from sidecar.ship.rollup_points import MINUTE_NS, RequestMinute, minute_of, minute_points
from sidecar.ship.shipper import Delivery, Health, Store

R = TypeVar("R", bound=Record)
_log = logging.getLogger(__name__)
SAMPLES_NOTE = "rollup/sample"
REQUESTS_NOTE = "rollup/request"
_PAGE = 2000
#: container minutes (or minutes of requests) in one batch: about half a second of catching up at ten samples a second
_MOST = 40
#: and so many records are looked at for it
_MOST_RECORDS = 50_000
#: between two batches of a backlog, so that sampling keeps its time
_BREATH_S = 0.25
_LONGEST_PAUSE_S = 60.0
#: requests are read in slices of the minute, so that a busy one is never in memory as a whole
_SLICE_NS = 1_000_000_000

#: what one minute is made of: a container and source, or (None) all requests
Series = tuple[str, SampleSource] | None


class Minutes(Protocol):
    """The journal by time."""

    def sample_rows(self, container: str, source: SampleSource, from_ns: int, to_ns: int) -> list[Sample]:
        """Samples in [from_ns, to_ns], with the last one before and the first one after, in the order of time."""

    def requests(self, from_ns: int, to_ns: int) -> list[Request]:
        """Requests that start in [from_ns, to_ns)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Due:
    """Minutes to write, the cursors to commit when they are written, and how long to wait before the next look."""

    keys: Sequence[tuple[Series, int]]
    cursors: Mapping[str, str]
    too_old: int
    pause_s: float


class Rollup:
    """Writes the `*_1m` measurements, one point per series and minute.

    New records, in the order of their commits, tell which minutes changed. A minute is closed `settle_s` seconds after its end
    and then read by time as a whole, so a record that comes later (a download's line in the access log is written when it ends)
    writes its minute again. Nothing is remembered but two cursors in the journal's notes: after a crash or an outage the same
    minutes are written again, which changes nothing. Records that are about to leave the journal (`keep_s`) are passed over and
    counted: their minute may be there in part only.
    """

    def __init__(
        self,
        journal: ShippedJournal,
        minutes: Minutes,
        store: Store,
        clock: Clock,
        context: PointContext,
        *,
        settle_s: float = 15.0,
        keep_s: float = 7 * 86_400.0,
    ) -> None:
        self._journal = journal
        self._minutes = minutes
        self._store = store
        self._clock = clock
        self._context = context
        self._settle_ns = round(settle_s * 1e9)
        self._keep_ns = round(keep_s * 1e9)
        self._written = self._points = self._refused = self._too_old = self._failures = self._failures_in_row = 0
        self._last_minute_ns = 0
        self._last_error = ""

    def run(self, stop: threading.Event) -> None:
        """Write minutes as they close, until `stop` is set; waits longer and longer while the store is away."""
        while not stop.is_set():
            self._clock.wait(stop, self.step())

    def step(self) -> float:
        """Write what is due, at most one batch of it; returns how many seconds to wait before the next."""
        try:
            now_ns = self._clock.wall_ns()
            due = self._due(now_ns)
            lines, unsayable = self._lines(due, now_ns)
            refused = Delivery(self._store, self._clock).write(lines) if lines else []
            if due.cursors:
                self._journal.set_aside([*unsayable, *refused], due.cursors)
        except ShipLaterError as error:
            return self._failed(str(error), error.after_s)
        except JournalError as error:
            if not error.retry:
                raise
            return self._failed(str(error), None)
        self._failures_in_row = 0
        self._written += len(due.keys)
        self._points += len(lines) - len(refused)
        self._refused += len(unsayable) + len(refused)
        self._too_old += due.too_old
        self._last_minute_ns = max((self._last_minute_ns, *(minute for _, minute in due.keys if minute <= now_ns)))
        return due.pause_s

    def health(self) -> Health:
        """Counters; `behind_s` is the time since the end of the newest minute that is written, 0 before the first."""
        newest = self._last_minute_ns
        return {
            "written_minutes": self._written,
            "written_points": self._points,
            "refused_points": self._refused,
            "too_old_records": self._too_old,
            "failed_calls": self._failures,
            "behind_s": max(0.0, (self._clock.wall_ns() - newest - MINUTE_NS) / 1e9) if newest else 0.0,
            "reachable": int(self._failures_in_row == 0),
            "last_error": self._last_error,
        }

    def _due(self, now_ns: int) -> _Due:
        keys: dict[tuple[Series, int], None] = {}
        cursors: dict[str, str] = {}
        too_old = 0
        pauses = []
        for note, records in ((SAMPLES_NOTE, self._samples), (REQUESTS_NOTE, self._requests)):
            found: dict[tuple[Series, int], None] = {}
            pause_s = _LONGEST_PAUSE_S / 2
            for looked_at, (position, series, time_ns) in enumerate(records(note)):
                minute = minute_of(time_ns)
                if looked_at >= _MOST_RECORDS or (len(found) >= _MOST and (series, minute) not in found):
                    pause_s = _BREATH_S
                    break
                if time_ns < now_ns - self._keep_ns:
                    too_old += 1
                elif minute <= now_ns < (closes := minute + MINUTE_NS + self._settle_ns):
                    # Everything behind it waits, too; a time of the future (a log in another zone) would wait too long.
                    pause_s = min(pause_s, (closes - now_ns) / 1e9)
                    break
                else:
                    found[series, minute] = None
                cursors[note] = str(position)
            keys |= found
            pauses.append(pause_s)
        return _Due(keys=list(keys), cursors=cursors, too_old=too_old, pause_s=min(pauses))

    def _lines(self, due: _Due, now_ns: int) -> tuple[list[str], list[Refused]]:
        lines, unsayable = [], []
        for point in (point for series, minute in due.keys for point in self._minute(series, minute)):
            try:
                lines.append(to_line(point))
            except InvalidRecordError as error:
                unsayable.append(Refused(time_ns=now_ns, line=repr(point), reason=str(error)))
        return lines, unsayable

    def _samples(self, note: str) -> Iterator[tuple[int, Series, int]]:
        for position, sample in self._behind(note, lambda after: self._journal.read(Sample, after, _PAGE)):
            yield position, (sample.container, sample.source), sample.time_ns

    def _requests(self, note: str) -> Iterator[tuple[int, Series, int]]:
        for position, request in self._behind(note, lambda after: self._journal.read(Request, after, _PAGE)):
            yield position, None, request.start_ns

    def _behind(self, note: str, page: Callable[[int], list[tuple[int, R]]]) -> Iterator[tuple[int, R]]:
        after = int(self._journal.note(note) or 0)
        while found := page(after):
            yield from found
            after = found[-1][0]

    def _minute(self, series: Series, minute_ns: int) -> list[Point]:
        if series is not None:
            rows = self._minutes.sample_rows(*series, minute_ns, minute_ns + MINUTE_NS - 1)
            return minute_points(rows, minute_ns, self._context)
        made = RequestMinute(minute_ns, self._context)
        for start in range(minute_ns, minute_ns + MINUTE_NS, _SLICE_NS):
            made.add(self._minutes.requests(start, start + _SLICE_NS))
        return made.points()

    def _failed(self, error: str, after_s: float | None) -> float:
        if error != self._last_error or not self._failures_in_row:
            _log.warning("roll-ups wait: %s", error)
        self._last_error = error
        self._failures += 1
        self._failures_in_row += 1
        return max(min(_LONGEST_PAUSE_S, 2.0 ** min(self._failures_in_row - 1, 10)), min(after_s or 0.0, 15 * 60.0))
