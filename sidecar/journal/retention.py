"""What leaves the journal: by age, and the oldest samples and requests when the file grows past its size."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sidecar.clock import Clock
from sidecar.errors import JournalError
from sidecar.journal.sqlite import SqliteJournal

_DAY_NS = 86_400 * 10**9
#: actions with their usage are small and are the results: they stay so many times longer than what they were computed from
KEPT_LONGER = 10
#: a file past its size is brought down to this part of it, so that it is not done again at once
_DOWN_TO = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    """Rows of a table whose time is before the cut; `longer` ones are cut KEPT_LONGER times later."""

    table: str
    key: str
    where: str
    longer: bool = False
    kind: str = ""


# Usages, sessions and notes follow the actions that they belong to.
_RULES = (
    _Rule(table="requests", key="position", where="start_ns < :cut", kind="request"),
    _Rule(table="markers", key="position", where="received_ns < :cut", kind="marker"),
    _Rule(table="transfers", key="position", where="start_ns < :cut", longer=True, kind="transfer"),
    _Rule(table="ratings", key="position", where="time_ns < :cut", longer=True),
    _Rule(table="gaps", key="position", where="end_ns < :cut", longer=True, kind="gap"),
    _Rule(table="actions", key="number", where="end_ns < :cut", longer=True, kind="action"),
    _Rule(
        table="usages",
        key="position",
        where="NOT EXISTS (SELECT 1 FROM actions a WHERE a.action_id = usages.action_id)",
        longer=True,
    ),
    _Rule(
        table="sessions",
        key="position",
        where="started_ns < :cut AND NOT EXISTS (SELECT 1 FROM actions a WHERE a.session = sessions.session)",
        longer=True,
    ),
    _Rule(
        table="notes",
        key="key",
        where="(key LIKE 'ack/%' AND NOT EXISTS (SELECT 1 FROM sessions WHERE session = substr(key, 5))) "
        "OR (key LIKE 'settled/%' AND NOT EXISTS (SELECT 1 FROM actions WHERE action_id = substr(key, 9)))",
        longer=True,
    ),
)


_ENDS_OF_SERIES = """
SELECT
    (SELECT min(time_ns) FROM samples WHERE container = ?1 AND source = ?2),
    (SELECT max(time_ns) FROM samples WHERE container = ?1 AND source = ?2)
"""


class Retention:
    """Deletes in small slices, so that the writer never waits long; a collector by its shape (`run`, `health`).

    Samples, requests and markers leave after `days`; actions, usage, sessions, transfers, ratings and gaps after ten times that.
    When the journal holds more than `max_mb` megabytes, the oldest samples and requests leave until it holds a tenth less.
    """

    def __init__(
        self,
        journal: SqliteJournal,
        clock: Clock,
        days: float,
        max_mb: float,
        *,
        every_s: float = 600.0,
        slice_rows: int = 2000,
        pause_s: float = 0.02,
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._keep_ns = round(days * _DAY_NS)
        self._max_bytes = round(max_mb * 1e6)
        self._every_s = every_s
        self._slice_rows = slice_rows
        self._pause_s = pause_s
        self._deleted = self._unshipped = self._sweeps = 0
        self._last_error = ""

    def run(self, stop: threading.Event) -> None:
        """Sweep now and every `every_s` seconds until `stop` is set."""
        while not stop.is_set():
            try:
                self.sweep(stop)
            except JournalError as error:
                if not error.retry:
                    raise
                # Deleting needs some space itself; the next sweep may find it.
                self._last_error = str(error)
            self._clock.wait(stop, self._every_s)

    def health(self) -> Mapping[str, int | float | str]:
        """Counters; `deleted_unshipped` are rows that left before they were delivered to InfluxDB."""
        return {
            "sweeps": self._sweeps,
            "deleted_rows": self._deleted,
            "deleted_unshipped": self._unshipped,
            "used_bytes": self._journal.used_bytes(),
            "last_error": self._last_error,
        }

    def sweep(self, stop: threading.Event | None = None) -> int:
        """Delete what is too old or too much; returns the number of rows deleted."""
        stop = stop or threading.Event()
        before = self._deleted
        now = self._clock.wall_ns()
        self._cut_samples(now - self._keep_ns, stop)
        for rule in _RULES:
            self._cut(rule, now - self._keep_ns * (KEPT_LONGER if rule.longer else 1), stop)
        self._shrink(stop)
        if self._deleted > before:
            while self._journal.compact() and not stop.is_set():
                self._breathe(stop)
        self._sweeps += 1
        return self._deleted - before

    def _shrink(self, stop: threading.Event) -> None:
        used = self._journal.used_bytes()
        if used <= self._max_bytes:
            return
        target = self._max_bytes * _DOWN_TO
        while used > target and not stop.is_set():
            oldest, newest = self._extent()
            if oldest is None or newest is None:
                return
            # As if rows were spread evenly over time: measured again after each cut, and never less than a fiftieth of the time.
            part = min(1.0, max(0.02, (used - target) / used))
            cut = oldest + round((newest - oldest) * part) + 1
            self._cut_samples(cut, stop)
            self._cut(_RULES[0], cut, stop)
            used = self._journal.used_bytes()

    def _extent(self) -> tuple[int | None, int | None]:
        ends: list[int | None] = []
        for sql, values in (
            *((_ENDS_OF_SERIES, series) for series in self._series()),
            ("SELECT (SELECT min(start_ns) FROM requests), (SELECT max(start_ns) FROM requests)", ()),
        ):
            ends += self._journal.fetch(sql, values)[0]
        known = [time_ns for time_ns in ends if time_ns is not None]
        return min(known, default=None), max(known, default=None)

    def _series(self) -> Sequence[tuple[int, int]]:
        # One look-up per container and source instead of a walk over the table.
        return self._journal.fetch(
            "SELECT c.no, s.no FROM names c, names s WHERE s.name IN ('docker', 'cgroup', 'proc') "
            "AND EXISTS (SELECT 1 FROM samples WHERE container = c.no AND source = s.no)",
            (),
        )

    def _cut_samples(self, cut: int, stop: threading.Event) -> None:
        for container, source in self._series():
            rule = _Rule(
                table="samples",
                key="position",
                where=f"container = {container:d} AND source = {source:d} AND time_ns < :cut",
                kind="sample",
            )
            self._cut(rule, cut, stop)

    def _cut(self, rule: _Rule, cut: int, stop: threading.Event) -> None:
        while not stop.is_set():
            with self._journal.transaction() as connection:
                cursor = connection.execute("SELECT value FROM notes WHERE key = ?", (f"ship/{rule.kind}",)).fetchone()
                keys = [
                    row[0]
                    for row in connection.execute(
                        f"SELECT {rule.key} FROM {rule.table} WHERE {rule.where} LIMIT :limit",  # noqa: S608
                        {"cut": cut, "limit": self._slice_rows},
                    )
                ]
                if keys:
                    self._journal.keep_position(connection)
                connection.executemany(
                    f"DELETE FROM {rule.table} WHERE {rule.key} = ?",  # noqa: S608
                    [(key,) for key in keys],
                )
            self._deleted += len(keys)
            if cursor and rule.kind not in ("", "action"):
                self._unshipped += sum(key > int(cursor[0]) for key in keys)
            if len(keys) < self._slice_rows:
                return
            self._breathe(stop)

    def _breathe(self, stop: threading.Event) -> None:
        """Let the writer have its turn."""
        if self._pause_s:
            self._clock.wait(stop, self._pause_s)
