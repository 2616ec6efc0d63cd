"""The journal's file of older and newer versions."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from sidecar.errors import (
    JournalError,
    JournalNewerError,
)
from sidecar.journal.queries import Reader
from sidecar.journal.schema import APPLICATION_ID, MIGRATIONS, VERSION, _statements
from sidecar.journal.sqlite import SqliteJournal
from sidecar.model.records import Request, Transfer
from tests.support import journal as make
from tests.support.journal import T0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


_OLD_TRANSFER: Any = {"duration_ns": 1, "down_bytes": 2, "up_bytes": 3, "packets": 4, "retransmitted": 5, "method": "capture"}


def journal_of_version(path: Path, version: int) -> None:
    with sqlite3.connect(path) as db:
        for step in MIGRATIONS[:version]:
            for statement in _statements(step):
                db.execute(statement)
        db.execute(f"PRAGMA user_version = {version}")
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute("INSERT INTO notes VALUES ('key', 'from the old one')")
        db.execute("INSERT INTO names VALUES (1, 'nginx'), (2, 'GET')")
        db.execute(
            "INSERT INTO requests (position, server, start_ns, method) VALUES (41, 1, ?, 2)",
            (T0,),
        )
        db.execute(
            "INSERT INTO transfers (position, session, start_ns, duration_ns, down_bytes, up_bytes, packets, retransmitted) "
            "VALUES (40, 'session-1', ?, 1, 2, 3, 4, 5)",
            (T0,),
        )
    db.close()


@pytest.mark.parametrize("version", range(1, VERSION + 1))
def test_a_journal_of_an_older_version_is_brought_forward(path: Path, version: int) -> None:
    journal_of_version(path, version)
    with SqliteJournal(path) as journal:
        assert journal.note("key") == "from the old one"
        ((position, found),) = journal.read(Request)
        assert (position, found.server, found.method, found.start_ns) == (41, "nginx", "GET", T0)
        assert journal.read(Transfer) == [
            (40, Transfer(session="session-1", action_id=None, start_ns=T0, **_OLD_TRANSFER)),
        ]
        journal.append([make.request(), told_by_browser := make.transfer(method="browser", packets=None, retransmitted=None)])
        assert journal.read(Request)[-1][0] == 42
        assert journal.read(Transfer)[-1][1] == told_by_browser
        journal.set_aside([], {"moved": "yes"})
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (VERSION,)
    db.close()


def test_a_step_that_fails_leaves_the_older_version_whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal_of_version(path, 1)
    broken = (MIGRATIONS[0], "CREATE TABLE half (a INTEGER);\nCREATE TABLE names (no INTEGER);\n")
    monkeypatch.setattr("sidecar.journal.schema.MIGRATIONS", broken)
    with pytest.raises(JournalError):
        SqliteJournal(path)
    monkeypatch.undo()
    with SqliteJournal(path) as journal:
        assert journal.note("key") == "from the old one"


def test_a_newer_journal_is_refused_and_left_alone(path: Path) -> None:
    SqliteJournal(path).close()
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {VERSION + 1}")
    db.close()
    before = path.read_bytes()
    with pytest.raises(JournalNewerError, match=rf"version {VERSION + 1}.*update Tracemark"):
        SqliteJournal(path)
    with pytest.raises(JournalNewerError):
        Reader(path).counts()
    assert path.read_bytes() == before
