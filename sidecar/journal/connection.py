"""Opening the journal's file, and what SQLite's errors mean to a person."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sidecar.errors import (
    Fault,
    InvalidRecordError,
    JournalBusyError,
    JournalCorruptError,
    JournalError,
    JournalFullError,
    JournalNewerError,
)
from sidecar.journal.schema import APPLICATION_ID, VERSION, migrate

#: how long to wait for another program that is writing
BUSY_MS = 10_000
_ROOM = 1 << 20


def open_for_writing(path: Path, check: bool = True) -> sqlite3.Connection:
    """Open or make the journal, bring it to our version and, with `check`, look through it for damage.

    Raises JournalCorruptError, JournalNewerError, JournalFullError, or JournalError when it is no journal or may not be opened.
    Never deletes or moves anything.
    """
    with faults(path):
        try:
            # Readable for the sidecar's own user alone: it holds what people did and when.
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        except OSError as error:
            raise JournalError(
                f"the journal {path} cannot be opened ({error.strerror})", "name a file in a folder that may be written"
            ) from error
        connection = _connect(f"{path.absolute().as_uri()}?mode=rw")
        try:
            version = _version(connection, path)
            if check and version:
                _look_for_damage(connection, path)
            if not version:
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA journal_size_limit = 67108864")
            migrate(connection, version)
        except BaseException:
            connection.close()
            raise
    return connection


def open_for_reading(path: Path) -> sqlite3.Connection:
    """Open a journal that another connection or process may be writing; this one cannot change it."""
    with faults(path):
        if not path.is_file():
            raise JournalError(f"there is no journal {path}", "start the sidecar first, or name its file with TRACEMARK_JOURNAL")
        connection = _connect(f"{path.absolute().as_uri()}?mode=ro")
        try:
            if _version(connection, path) < VERSION:
                raise JournalError(
                    f"the journal {path} is of an older version", "start the sidecar once: it brings the file forward"
                )
        except BaseException:
            connection.close()
            raise
    return connection


def _connect(uri: str) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
    connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
    return connection


def _version(connection: sqlite3.Connection, path: Path) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    application: int = connection.execute("PRAGMA application_id").fetchone()[0]
    empty = not connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if not empty and application != APPLICATION_ID:
        raise JournalError(f"{path} is a database, but not a journal of Tracemark", "name another file with TRACEMARK_JOURNAL")
    if version > VERSION:
        raise JournalNewerError(
            f"the journal {path} has version {version}, this Tracemark knows up to {VERSION}",
            "update Tracemark, or name another file with TRACEMARK_JOURNAL",
        )
    return 0 if empty else version


def _look_for_damage(connection: sqlite3.Connection, path: Path) -> None:
    found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise _damaged(path, str(found).splitlines()[-1])


def _damaged(path: Path, detail: str) -> JournalCorruptError:
    return JournalCorruptError(
        f"the journal {path} is damaged ({detail})",
        f"stop the sidecar, move {path} with its companions {path.name}-wal and {path.name}-shm to another folder and start "
        f"again; `sqlite3 {path.name} .recover` there may save what is in it",
    )


@contextmanager
def faults(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into the journal's, which say what to do."""
    try:
        yield
    except (sqlite3.Error, OverflowError, UnicodeEncodeError) as error:
        raise _fault(error, path) from error


def _fault(error: Exception, path: Path) -> Fault:
    code = getattr(error, "sqlite_errorcode", None)
    primary = code & 0xFF if code is not None else None
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return _damaged(path, str(error))
    if primary == sqlite3.SQLITE_FULL or (primary in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN) and _no_room(path)):
        return JournalFullError(
            f"no space is left for the journal {path}",
            f"free some space in {path.absolute().parent} or lower TRACEMARK_JOURNAL_MAX_MB",
        )
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return JournalBusyError(f"another program holds the journal {path}", "let it finish; run one sidecar per journal")
    if isinstance(error, OverflowError | UnicodeEncodeError) or primary in (sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH):
        return InvalidRecordError(
            f"a record does not fit the journal ({error})", "send counters below 2^63 and text that is valid Unicode"
        )
    return JournalError(f"the journal {path} cannot be used ({error})", "check the disk and the permissions of the file")


def _no_room(path: Path) -> bool:
    try:
        return shutil.disk_usage(path.absolute().parent).free < _ROOM
    except OSError:
        return False
