"""The journal on disk: one SQLite file in WAL mode, one writing connection, one for reading beside it."""

# ruff: noqa: S608  (every name in these statements is a constant of this package)
from __future__ import annotations

import json
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from sidecar.errors import InvalidRecordError
from sidecar.journal.connection import faults, open_for_reading, open_for_writing
from sidecar.journal.rows import TABLE, TABLES, Table
from sidecar.journal.selects import actions_by, rows_by_id
from sidecar.model.outbox import KEPT_ASIDE, ActionRow, Refused
from sidecar.model.records import ActionUsage, Record

R = TypeVar("R", bound=Record)
#: note that keeps the highest position when the rows that bore it may be gone
POSITION_NOTE = "journal/position"
_MANY_NAMES = 50_000


class SqliteJournal:
    """The journal in one SQLite file; implements `Journal` and `Outbox`.

    A commit is durable when `append` returns (`synchronous=FULL`). Positions are one sequence over all kinds. `check` looks
    through the file for damage, which takes about a second per gigabyte.

    Raises JournalCorruptError, JournalNewerError, JournalFullError or JournalError when the file cannot be used.
    """

    def __init__(self, path: Path | str, *, check: bool = True) -> None:
        self.path = Path(path)
        self._writing = threading.Lock()
        self._reading = threading.Lock()
        self._write = open_for_writing(self.path, check)
        try:
            self._read = open_for_reading(self.path)
        except BaseException:
            self._write.close()
            raise
        self._names: dict[str | None, int | None] = {None: None}
        self._seen_version = -1
        self._position = 0

    def __enter__(self) -> SqliteJournal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; committed records stay."""
        with self._reading:
            self._read.close()
        with self._writing:
            self._write.close()

    def append(self, records: Sequence[Record], notes: Mapping[str, str] | None = None) -> int:
        groups: dict[type[Record], list[Record]] = defaultdict(list)
        for record in records:
            groups[type(record)].append(record)
        if unknown := groups.keys() - TABLE.keys():
            raise InvalidRecordError(f"the journal has no table for {unknown.pop().__name__}", "append records of the model only")
        new = 0
        with self.transaction() as connection:
            for table in TABLES:
                if group := groups.get(table.kind):
                    self._number(connection, table.words(group))
                    new += self._replace(connection, table, group) if table.replaces else self._add(connection, table, group)
            if notes:
                put_notes(connection, notes)
        return new

    def read(self, kind: type[R], after: int = 0, limit: int = 1000) -> list[tuple[int, R]]:
        table = TABLE[kind]
        sql = table.select(("t.position",)) + "WHERE t.position > ? ORDER BY t.position LIMIT ?"
        make = table.reader()
        return [(row[-1], make(row)) for row in self.fetch(sql, (after, limit))]

    def note(self, key: str) -> str | None:
        rows = self.fetch("SELECT value FROM notes WHERE key = ?", (key,))
        return rows[0][0] if rows else None

    def ended_actions(self, after: int, limit: int, unsettled_before_ns: int) -> list[tuple[int, ActionRow]]:
        with self._reading, faults(self.path):
            rows = actions_by(self._read, "WHERE t.changed > ? ORDER BY t.changed LIMIT ?", (after, limit))
        ready: list[tuple[int, ActionRow]] = []
        for changed, settled, row in rows:
            if not settled and row.action.end_ns > unsettled_before_ns:
                break
            ready.append((changed, row))
        return ready

    def find(self, kind: type[R], ids: Iterable[str]) -> dict[str, R]:
        with self._reading, faults(self.path):
            return rows_by_id(self._read, kind, ids)

    def set_aside(self, refused: Sequence[Refused], notes: Mapping[str, str]) -> None:
        with self.transaction() as connection:
            connection.executemany(
                "INSERT INTO set_aside (time_ns, line, reason) VALUES (?, ?, ?)",
                [(item.time_ns, item.line, item.reason) for item in refused],
            )
            connection.execute(
                "DELETE FROM set_aside WHERE number <= (SELECT max(number) FROM set_aside) - ?",
                (KEPT_ASIDE,),
            )
            put_notes(connection, notes)

    def erase(self, sessions: Iterable[str]) -> int:
        """Delete everything that belongs to these sessions, and overwrite it in the file; returns the number of rows deleted."""
        chosen = (json.dumps(list(sessions)),)
        among = "session IN (SELECT value FROM json_each(?))"
        deleted = 0
        with self.transaction() as connection:
            connection.execute("PRAGMA secure_delete = ON").fetchall()
            self.keep_position(connection)
            statements = (
                f"DELETE FROM usages WHERE action_id IN (SELECT action_id FROM actions WHERE {among})",
                f"DELETE FROM notes WHERE key IN (SELECT 'settled/' || action_id FROM actions WHERE {among})",
                "DELETE FROM notes WHERE key IN (SELECT 'ack/' || value FROM json_each(?))",
                *(
                    f"DELETE FROM {name} WHERE {among}"
                    for name in ("actions", "markers", "transfers", "ratings", "requests", "sessions")
                ),
            )
            for statement in statements:
                deleted += connection.execute(statement, chosen).rowcount
            connection.execute("PRAGMA secure_delete = OFF").fetchall()
        while self.compact():
            pass
        return deleted

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """The writing connection inside a transaction: committed at the end of the block, rolled back when it raises."""
        with self._writing, faults(self.path):
            self._write.execute("BEGIN IMMEDIATE")
            self._catch_up()
            try:
                yield self._write
                self._write.execute("COMMIT")
            except BaseException:
                # SQLite has itself rolled back after some errors, a full disk among them.
                if self._write.in_transaction:
                    self._write.execute("ROLLBACK")
                # Names that were numbered in this transaction have no number now; positions that were taken are left out.
                self._names = {None: None}
                raise

    def keep_position(self, connection: sqlite3.Connection) -> None:
        """Call in a transaction that deletes rows: positions are not given out twice, even when all rows are gone."""
        put_notes(connection, {POSITION_NOTE: str(self._position)})

    def compact(self, pages: int = 2000) -> bool:
        """Give up to so many free pages back to the file system and empty the write-ahead log; whether more are left."""
        with self._writing, faults(self.path):
            self._write.execute(f"PRAGMA incremental_vacuum({pages:d})").fetchall()
            self._write.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            left: int = self._write.execute("PRAGMA freelist_count").fetchone()[0]
        return left > 0

    def used_bytes(self) -> int:
        """Size of what the file holds, without pages that are free to be used again."""
        pages, free, size = self.fetch(
            "SELECT page_count, freelist_count, page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size", ()
        )[0]
        return int((pages - free) * size)

    def fetch(self, sql: str, parameters: Sequence[Any]) -> list[Any]:
        """Rows of a query, beside the writing connection: sees what is committed."""
        with self._reading, faults(self.path):
            return self._read.execute(sql, parameters).fetchall()

    def _catch_up(self) -> None:
        # Another program (`tracemark forget`) may have written since: its rows have positions, and its names numbers.
        version: int = self._write.execute("PRAGMA data_version").fetchone()[0]
        if version != self._seen_version:
            highest = " UNION ALL ".join(f"SELECT max(position) FROM {table.name}" for table in TABLES)
            kept = f"SELECT CAST(value AS INTEGER) FROM notes WHERE key = '{POSITION_NOTE}'"
            rows = self._write.execute(f"SELECT max(changed) FROM actions UNION ALL {highest} UNION ALL {kept}").fetchall()
            self._position = max((row[0] or 0 for row in rows), default=0)
            self._names = {None: None}
            self._seen_version = version

    def _take(self, count: int) -> int:
        first = self._position + 1
        self._position += count
        return first

    def _number(self, connection: sqlite3.Connection, words: set[str | None]) -> None:
        unknown = words - self._names.keys()
        if not unknown:
            return
        if len(self._names) > _MANY_NAMES:
            self._names = {None: None}
            unknown = words - {None}
        for word in unknown:
            connection.execute("INSERT INTO names (name) VALUES (?) ON CONFLICT DO NOTHING", (word,))
            self._names[word] = connection.execute("SELECT no FROM names WHERE name = ?", (word,)).fetchone()[0]

    def _add(self, connection: sqlite3.Connection, table: Table, records: Sequence[Record]) -> int:
        rows = table.rows(records, self._names, self._take(len(records)))
        return connection.executemany(table.insert, rows).rowcount

    def _replace(self, connection: sqlite3.Connection, table: Table, records: Sequence[Record]) -> int:
        new = 0
        insert, update = table.insert, table.update
        for record, row in zip(records, table.rows(records, self._names, self._take(len(records))), strict=True):
            is_new = connection.execute(insert, row).rowcount == 1
            changed = is_new or connection.execute(update, row).rowcount == 1
            new += is_new
            if isinstance(record, ActionUsage):
                connection.execute(
                    "UPDATE actions SET settled = 1, changed = ?1 WHERE action_id = ?2 AND (?3 OR NOT settled)",
                    (row[-1], record.action_id, changed),
                )
        return new


def put_notes(connection: sqlite3.Connection, notes: Mapping[str, str]) -> None:
    """Write notes in the caller's transaction."""
    connection.executemany(
        "INSERT INTO notes (key, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", notes.items()
    )
