"""Reading the journal for the API, the page, the tables and the settling of usage."""

# ruff: noqa: S608  (every name in these statements is a constant of this package)
from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from sidecar.errors import UsageFault
from sidecar.journal.charts import chart
from sidecar.journal.connection import faults, open_for_reading
from sidecar.journal.rows import TABLE, TABLES
from sidecar.journal.selects import SETTLED, actions_by, rows_by_id
from sidecar.model.outbox import ActionRow, Refused
from sidecar.model.records import Action, Gap, Marker, Rating, Record, Request, Sample, SampleSource, Session, Transfer

R = TypeVar("R", bound=Record)
#: sources of samples, the most exact first
PREFERENCE: tuple[SampleSource, ...] = ("cgroup", "proc", "docker")
_FOREVER_NS = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionFilter:
    """Which actions: those that start in [from_ns, to_ns), or with `overlapping` those open at some time in it.

    `source` "real" is everything but replay. `cursor` is that of the last row of the page before.
    """

    from_ns: int = 0
    to_ns: int = _FOREVER_NS
    action: str | None = None
    session: str | None = None
    source: Literal["real", "replay", "extension", "access-log"] | None = None
    run: str | None = None
    limit: int = 1000
    cursor: str | None = None
    overlapping: bool = False
    newest_first: bool = False


class Reader:
    """Reads one journal file over a read-only connection per thread; safe to share between threads.

    Raises JournalError when there is no journal or it cannot be read, UsageFault for a cursor that is not one.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._local = threading.local()
        self._all: list[sqlite3.Connection] = []
        self._guard = threading.Lock()

    def close(self) -> None:
        """Close the connections of all threads."""
        with self._guard:
            for connection in self._all:
                connection.close()
            self._all.clear()
            self._local = threading.local()

    def containers(self) -> list[dict[str, Any]]:
        """Containers that have samples: name, id, sources, and the last sample of the best source that is still written."""
        found = []
        for name in self.container_names():
            last = [sample for source in PREFERENCE for sample in self._last(name, source)]
            newest = max(sample.time_ns for sample in last)
            # A source that fell silent long ago (an engine that is gone) does not speak for the present.
            best = next(sample for sample in last if newest - sample.time_ns < 10_000_000_000)
            found.append(
                {
                    "name": name,
                    "id": best.container_id,
                    "sources": [sample.source for sample in last],
                    "last_sample": {
                        "time_ns": best.time_ns,
                        "source": best.source,
                        "cpu_seconds_total": best.cpu_total_ns / 1e9,
                        "memory_bytes": best.memory_bytes,
                        "memory_limit_bytes": next((s.memory_limit_bytes for s in last if s.memory_limit_bytes), None),
                    },
                }
            )
        return found

    def container_names(self) -> list[str]:
        """Names of all containers that have samples, sorted."""
        rows = self._fetch(
            "WITH RECURSIVE c (no) AS (SELECT min(container) FROM samples "
            "UNION ALL SELECT (SELECT min(container) FROM samples WHERE container > c.no) FROM c WHERE c.no IS NOT NULL) "
            "SELECT name FROM c JOIN names USING (no) ORDER BY name",
            (),
        )
        return [row[0] for row in rows]

    def sources(self, container: str, from_ns: int, to_ns: int) -> tuple[SampleSource, ...]:
        """Sources that have samples of the container in [from_ns, to_ns), the most exact first."""
        return tuple(source for source in PREFERENCE if self._samples(container, source, from_ns, to_ns - 1, "LIMIT 1"))

    def samples(
        self, container: str, from_ns: int, to_ns: int, step_ns: int | None = None, source: SampleSource | None = None
    ) -> str:
        """JSON text `{"container", "source", "step_ns", "rows": [...]}` for [from_ns, to_ns): see `charts.chart`.

        Without `source` the most exact one that is there; without `step_ns` every sample, or at most `charts.RAW_ROWS` rows.
        """
        if source is None:
            source = next(iter(self.sources(container, from_ns, to_ns)), None)
        with faults(self.path):
            return chart(self._connection(), container, source, from_ns, to_ns, step_ns)

    def sample_rows(self, container: str, source: SampleSource, from_ns: int, to_ns: int) -> list[Sample]:
        """Samples in [from_ns, to_ns], with the last one before and the first one after, in the order of time."""
        before = self._samples(container, source, 0, from_ns - 1, "DESC LIMIT 1")
        after = self._samples(container, source, to_ns + 1, _FOREVER_NS, "LIMIT 1")
        return [*before, *self._samples(container, source, from_ns, to_ns, ""), *after]

    def actions(self, filter: ActionFilter) -> list[ActionRow]:  # noqa: A002
        """Ended actions with session and usage, by start; at most `limit`, the next page begins at the last row's `cursor`."""
        # A plus sign keeps SQLite off the index of the starts: of a recent window only the ends are few.
        start = "+t.start_ns" if filter.overlapping else "t.start_ns"
        terms = [f"{start} < ?", "t.end_ns >= ?" if filter.overlapping else "t.start_ns >= ?"]
        values: list[Any] = [filter.to_ns, filter.from_ns]
        if filter.action is not None:
            terms.append("t.action = ?")
            values.append(filter.action)
        if filter.session is not None:
            terms.append("t.session = ?")
            values.append(filter.session)
        if filter.source == "real":
            terms.append("t.source <> 'replay'")
        elif filter.source is not None:
            terms.append("t.source = ?")
            values.append(filter.source)
        if filter.run is not None:
            terms.append("t.session IN (SELECT session FROM sessions WHERE run = ?)")
            values.append(filter.run)
        if filter.cursor is not None:
            terms.append(f"({start}, t.number) {'<' if filter.newest_first else '>'} (?, ?)")
            values.extend(_parse_cursor(filter.cursor))
        order = f"{start} DESC, t.number DESC" if filter.newest_first else f"{start}, t.number"
        with faults(self.path):
            rows = actions_by(
                self._connection(), f"WHERE {' AND '.join(terms)} ORDER BY {order} LIMIT ?", (*values, filter.limit)
            )
        return [row for _, _, row in rows]

    def unsettled(self, before_ns: int, limit: int = 1000) -> list[Action]:
        """Actions that ended before `before_ns` and whose usage is not computed, or was computed before they changed."""
        return self._records(
            Action, f"WHERE t.settled = 0 AND t.end_ns < ? AND NOT {SETTLED} ORDER BY t.end_ns LIMIT ?", (before_ns, limit)
        )

    def overlapping(self, from_ns: int, to_ns: int) -> list[Action]:
        """Actions that were open at some time in [from_ns, to_ns], by start; quick for windows that are recent."""
        return self._records(Action, "WHERE +t.start_ns <= ? AND t.end_ns >= ? ORDER BY +t.start_ns, t.number", (to_ns, from_ns))

    def requests(self, from_ns: int, to_ns: int, limit: int = 1_000_000) -> list[Request]:
        """Requests that start in [from_ns, to_ns), by start."""
        return self._records(
            Request, "WHERE t.start_ns >= ? AND t.start_ns < ? ORDER BY t.start_ns, t.position LIMIT ?", (from_ns, to_ns, limit)
        )

    def requests_of(self, action_ids: Iterable[str]) -> list[Request]:
        """Requests that carry one of these action ids."""
        return self._records_in(Request, "action_id", action_ids, "start_ns")

    def requests_page(
        self, from_ns: int, to_ns: int, *, action_id: str | None = None, limit: int = 1000, cursor: str | None = None
    ) -> str:
        """JSON text `{"rows": [...], "cursor": text or null}` of requests that start in [from_ns, to_ns), by start."""
        start, position = _parse_cursor(cursor) if cursor is not None else (-1, -1)
        attributes = [name for name in TABLE[Request].attributes if name != "session"]
        sql = TABLE[Request].select(("t.position",)) + (
            "WHERE t.start_ns >= ?1 AND t.start_ns < ?2 AND (?3 IS NULL OR t.action_id = ?3) "
            "AND (t.start_ns, t.position) > (?4, ?5) ORDER BY t.start_ns, t.position LIMIT ?6"
        )
        # SQLite names the columns of the sub-select after their expressions: give them the attributes' names.
        columns = ", ".join((*TABLE[Request].attributes, "position"))
        pairs = ", ".join(f"'{name}', {name}" for name in attributes)
        rows, count, last = self._fetch(
            f"WITH page ({columns}) AS ({sql}) SELECT json_group_array(json_object({pairs})), count(*), "
            "(SELECT start_ns || '-' || position FROM page ORDER BY start_ns DESC, position DESC LIMIT 1) FROM page",
            (from_ns, to_ns, action_id, start, position, limit),
        )[0]
        return f'{{"rows":{rows},"cursor":{json.dumps(last if count == limit else None)}}}'

    def gaps(self, from_ns: int, to_ns: int) -> list[Gap]:
        """Gaps that touch [from_ns, to_ns), by start."""
        return self._records(
            Gap, "WHERE t.start_ns < ? AND coalesce(t.end_ns, ?) >= ? ORDER BY t.start_ns", (to_ns, _FOREVER_NS, from_ns)
        )

    def open_gaps(self) -> list[Gap]:
        """Gaps that last."""
        return self._records(Gap, "WHERE t.end_ns IS NULL ORDER BY t.start_ns", ())

    def markers_of(self, action_ids: Iterable[str]) -> list[Marker]:
        """Markers of these actions, in the order in which they were committed."""
        return self._records_in(Marker, "action_id", action_ids, "position")

    def markers_of_sessions(self, sessions: Iterable[str]) -> list[Marker]:
        """Markers of these sessions, by session and sequence number."""
        return self._records_in(Marker, "session", sessions, "session, t.seq")

    def transfers_of(self, sessions: Iterable[str]) -> list[Transfer]:
        """Transfers of these sessions, by start."""
        return self._records_in(Transfer, "session", sessions, "start_ns")

    def replayed_transfers(
        self, from_ns: int, to_ns: int, *, run: str | None = None, limit: int = 1000, cursor: str | None = None
    ) -> tuple[list[Transfer], str | None]:
        """Transfers of replayed sessions that start in [from_ns, to_ns), by start; and the next page's cursor, if any."""
        start, position = _parse_cursor(cursor) if cursor is not None else (-1, -1)
        rows = self._fetch(
            TABLE[Transfer].select(("t.position",))
            + "WHERE t.start_ns >= ?1 AND t.start_ns < ?2 AND (t.start_ns, t.position) > (?3, ?4) AND t.session IN "
            "(SELECT session FROM sessions WHERE source = 'replay' AND (?5 IS NULL OR run = ?5)) "
            "ORDER BY t.start_ns, t.position LIMIT ?6",
            (from_ns, to_ns, start, position, run, limit),
        )
        make = TABLE[Transfer].reader()
        found: list[Transfer] = [make(row) for row in rows]
        return found, f"{found[-1].start_ns}-{rows[-1][-1]}" if len(rows) == limit else None

    def ratings_of(self, sessions: Iterable[str]) -> list[Rating]:
        """Ratings of these sessions, by time."""
        return self._records_in(Rating, "session", sessions, "time_ns")

    def sessions(self, from_ns: int = 0, to_ns: int = _FOREVER_NS, run: str | None = None) -> list[Session]:
        """Sessions that started in [from_ns, to_ns), of one run if given."""
        return self._records(
            Session,
            "WHERE t.started_ns >= ?1 AND t.started_ns < ?2 AND (?3 IS NULL OR t.run = ?3) ORDER BY t.started_ns, t.session",
            (from_ns, to_ns, run),
        )

    def find(self, kind: type[R], ids: Iterable[str]) -> dict[str, R]:
        """Sessions or actions by their ids."""
        with faults(self.path):
            return rows_by_id(self._connection(), kind, ids)

    def refused(self, limit: int = 100) -> list[Refused]:
        """The newest points that the store refused, with its reasons."""
        rows = self._fetch("SELECT time_ns, line, reason FROM set_aside ORDER BY number DESC LIMIT ?", (limit,))
        return [Refused(time_ns=row[0], line=row[1], reason=row[2]) for row in rows]

    def counts(self) -> dict[str, int]:
        """Records by table, and points set aside; counting takes about a second per ten million rows."""
        names = (*(table.name for table in TABLES), "set_aside")
        return {name: self._fetch(f"SELECT count(*) FROM {name}", ())[0][0] for name in names}

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = open_for_reading(self.path)
            with self._guard:
                self._all.append(connection)
            self._local.connection = connection
        return connection

    def _fetch(self, sql: str, parameters: Sequence[Any]) -> list[Any]:
        with faults(self.path):
            return self._connection().execute(sql, parameters).fetchall()

    def _records(self, kind: type[R], where: str, parameters: Sequence[Any]) -> list[R]:
        table = TABLE[kind]
        make = table.reader()
        return [make(row) for row in self._fetch(table.select() + where, parameters)]

    def _records_in(self, kind: type[R], column: str, values: Iterable[str], order: str) -> list[R]:
        return self._records(
            kind, f"WHERE t.{column} IN (SELECT value FROM json_each(?)) ORDER BY t.{order}", (json.dumps(list(values)),)
        )

    def _samples(self, container: str, source: SampleSource, from_ns: int, to_ns: int, tail: str) -> list[Sample]:
        return self._records(
            Sample,
            "WHERE t.container = (SELECT no FROM names WHERE name = ?) AND t.source = (SELECT no FROM names WHERE name = ?) "
            f"AND t.time_ns BETWEEN ? AND ? ORDER BY t.time_ns {tail}",
            (container, source, from_ns, to_ns),
        )

    def _last(self, container: str, source: SampleSource) -> list[Sample]:
        return self._samples(container, source, 0, _FOREVER_NS, "DESC LIMIT 1")


def _parse_cursor(cursor: str) -> tuple[int, int]:
    start, _, number = cursor.partition("-")
    if not (start.isdecimal() and number.isdecimal()) or max(int(start), int(number)) > _FOREVER_NS:
        raise UsageFault(f"cursor {cursor[:40]!r} is not one", "send back the cursor of the page before, unchanged")
    return int(start), int(number)
