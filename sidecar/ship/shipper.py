"""Delivers the journal to a store behind cursors: an outage only makes the cursors wait."""

from __future__ import annotations

import logging
import random
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from sidecar.clock import Clock
from sidecar.errors import JournalError, ShipLaterError, ShipRefusedError
from sidecar.model.outbox import Refused
from sidecar.model.points import Point, PointContext, self_point, to_line
from sidecar.ship.batch import Batch, Batcher, ShippedJournal

Health = Mapping[str, int | float | str]
_log = logging.getLogger(__name__)
_LONGEST_PAUSE_S = 60.0
#: a server that asks for more patience than this is asked again all the same
_LONGEST_AFTER_S = 900.0
_DROPPED = re.compile(r"dropped[= ](\d+)")
#: words of a refusal that is about the points themselves
_OF_POINTS = re.compile(r"pars|partial|conflict|dropped|retention|type|large|timestamp", re.IGNORECASE)


class Store(Protocol):
    """Where points go."""

    def write(self, lines: Sequence[str]) -> None:
        """Store all lines; raises ShipLaterError (send them again) or ShipRefusedError (one of them at least is refused)."""


class Delivery:
    """Writes one batch; finds the lines that are refused by halving."""

    #: so many single lines refused, and none accepted: then it may not be the lines
    _SUSPICIOUS = 8

    def __init__(self, store: Store, clock: Clock) -> None:
        self.calls = 0
        self._store = store
        self._clock = clock
        self._accepted = False
        self._refused: list[Refused] = []

    def write(self, lines: Sequence[str]) -> list[Refused]:
        """Write lines; what is refused is written again by halves, and what is refused alone is returned."""
        try:
            self.calls += 1
            self._store.write(lines)
            self._accepted = True
        except ShipRefusedError as error:
            dropped = _DROPPED.search(error.what)
            if len(lines) == 1 or (dropped and int(dropped[1]) == len(lines)):
                self._refuse(lines, error)
            else:
                middle = len(lines) // 2
                self.write(lines[:middle])
                self.write(lines[middle:])
        return self._refused

    def _refuse(self, lines: Sequence[str], error: ShipRefusedError) -> None:
        now = self._clock.wall_ns()
        self._refused.extend(Refused(time_ns=now, line=line, reason=error.what) for line in lines)
        if not self._accepted and len(self._refused) >= self._SUSPICIOUS and not _OF_POINTS.search(error.what):
            # A wrong organisation is answered with 400 as well: nothing may be set aside for that.
            raise ShipLaterError(f"every point is refused: {error.what}", "check the settings TRACEMARK_INFLUX_…", 60.0)


class Shipper:
    """Ships what the journal has behind its cursors, and every `self_every_s` seconds what `own_health` and `own_points` say.

    A batch is kept until it is written; its cursors are committed to the journal afterwards: a crash sends it again, which
    changes nothing. A point that the store refuses is found by halving the batch, set aside in the journal with the reason, and
    counted. The sidecar's own health and what it foretells are not in the journal: they are of now or of no use. Real people's
    actions and ratings wait until `min_group` people stand behind them: see `crowd`.
    """

    def __init__(
        self,
        journal: ShippedJournal,
        store: Store,
        clock: Clock,
        context: PointContext,
        *,
        grace_s: float = 60.0,
        idle_s: float = 1.0,
        own_health: Callable[[], Mapping[str, Health]] | None = None,
        own_points: Callable[[], Sequence[Point]] = tuple,
        self_every_s: float = 10.0,
        min_group: int = 1,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._journal = journal
        self._store = store
        self._clock = clock
        self._context = context
        self._batcher = Batcher(journal, context, round(grace_s * 1e9), min_group)
        self._idle_s = idle_s
        self._own_health = own_health
        self._own_points = own_points
        self._self_every_ns = round(self_every_s * 1e9)
        self._next_self_ns = 0
        self._told: tuple[Point, ...] = ()
        self._jitter = jitter
        self._pending: Batch | None = None
        self._failures_in_row = 0
        self._shipped = self._calls = self._failures = self._refused = self._own_refused = 0
        self._behind_s = 0.0
        self._last_error = ""
        self._waits_since_ns: int | None = None
        self._held = 0

    def run(self, stop: threading.Event) -> None:
        """Ship until `stop` is set; waits longer and longer while the store is away, and as long as it asks for."""
        while not stop.is_set():
            pause = self.step()
            if pause:
                self._clock.wait(stop, pause)

    def step(self) -> float:
        """Ship one batch; returns how many seconds to wait before the next, 0 when more is ready."""
        try:
            batch = self._pending or self._batcher.next(self._clock.wall_ns())
            self._pending = batch
            refused = self._deliver(batch)
            if refused or batch.cursors:
                self._journal.set_aside(refused, batch.cursors)
        except ShipLaterError as error:
            return self._failed(str(error), error.after_s)
        except JournalError as error:
            # The cursors cannot be committed (a full disk): the same batch is sent again later, which changes nothing.
            return self._failed(str(error), None)
        self._pending = None
        self._failures_in_row = 0
        self._refused += len(refused)
        self._shipped += (shipped := len(batch.lines) + len(batch.unsayable) - len(refused))
        self._behind_s = max(0.0, (self._clock.wall_ns() - batch.oldest_ns) / 1e9) if batch.full and batch.oldest_ns else 0.0
        for item in refused[:3]:
            _log.warning("point set aside: %s: %s", item.line, item.reason)
        self._tell_of_the_end(shipped, more=batch.full)
        return 0.0 if batch.full else self._idle_s

    def health(self) -> Health:
        """Counters; `behind_s` is the age of the oldest point of the last batch while a backlog is being worked off or waits."""
        waits = self._pending
        behind = self._behind_s
        if waits is not None and waits.oldest_ns is not None:
            behind = max(0.0, (self._clock.wall_ns() - waits.oldest_ns) / 1e9)
        return {
            "shipped_points": self._shipped,
            "calls": self._calls,
            "failed_calls": self._failures,
            "refused_points": self._refused,
            "refused_own_points": self._own_refused,
            "held_groups": self._batcher.held_groups,
            "waiting_points": len(waits.lines) if waits else 0,
            "behind_s": behind,
            "reachable": int(self._failures_in_row == 0),
            "last_error": self._last_error,
        }

    def _deliver(self, batch: Batch) -> list[Refused]:
        own = self._own_lines()
        if own:
            # By themselves, so that one of them that is refused cannot spoil the journal's.
            self._own_refused += len(Delivery(self._store, self._clock).write(own))
        delivery = Delivery(self._store, self._clock)
        try:
            return [*batch.unsayable, *(delivery.write(batch.lines) if batch.lines else ())]
        finally:
            self._calls += delivery.calls

    def _own_lines(self) -> list[str]:
        now = self._clock.wall_ns()
        if self._own_health is None or self._clock.mono_ns() < self._next_self_ns:
            return []
        self._next_self_ns = self._clock.mono_ns() + self._self_every_ns
        points = [self_point(part, health, self._context, now) for part, health in self._own_health().items()]
        told = tuple(self._own_points())
        if told != self._told:
            points += told
            self._told = told
        return [line for point in points if (line := to_line(point))]

    def _tell_of_the_end(self, shipped: int, *, more: bool) -> None:
        """Say that an outage is over, once what it held back is delivered; one that comes back in between is the same one."""
        if self._waits_since_ns is None:
            return
        self._held += shipped
        if not more:
            lasted_s = (self._clock.mono_ns() - self._waits_since_ns) / 1e9
            _log.warning("shipping goes on: it waited for %.0f s, %d points that were held are delivered", lasted_s, self._held)
            self._waits_since_ns, self._held = None, 0

    def _failed(self, error: str, after_s: float | None) -> float:
        if error != self._last_error or not self._failures_in_row:
            _log.warning("shipping waits: %s", error)
        if self._waits_since_ns is None:
            self._waits_since_ns = self._clock.mono_ns()
        self._last_error = error
        self._failures += 1
        self._failures_in_row += 1
        backing_off = min(_LONGEST_PAUSE_S, 2.0 ** min(self._failures_in_row - 1, 10)) * (0.75 + 0.5 * self._jitter())
        return max(backing_off, min(after_s or 0.0, _LONGEST_AFTER_S))
