"""The journal's file: reopening, damage, a full disk, other programs and threads."""

from __future__ import annotations

import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import fields
from pathlib import Path

import pytest

from sidecar.errors import (
    InvalidRecordError,
    JournalBusyError,
    JournalCorruptError,
    JournalError,
    JournalFullError,
)
from sidecar.journal import connection as opening
from sidecar.journal.queries import Reader
from sidecar.journal.rows import TABLES
from sidecar.journal.sqlite import SqliteJournal
from sidecar.model.records import Action, Request, Sample
from tests.conftest import ROOT
from tests.support import journal as make
from tests.support.journal import T0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


def test_everything_is_there_after_reopening(path: Path) -> None:
    with SqliteJournal(path) as journal:
        journal.append([make.sample(), make.action()], {"key": "value"})
        before = [journal.read(table.kind) for table in TABLES]
    with SqliteJournal(path) as journal:
        assert [journal.read(table.kind) for table in TABLES] == before
        assert journal.note("key") == "value"


def test_a_commit_survives_a_process_that_is_killed(path: Path) -> None:
    code = (
        "import os, signal, sys; from sidecar.journal.sqlite import SqliteJournal; from tests.support import journal as make\n"
        "j = SqliteJournal(sys.argv[1]); j.append([make.sample()], {'key': 'value'}); os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    with SqliteJournal(path) as journal:
        assert [record for _, record in journal.read(Sample)] == [make.sample()]
        assert journal.note("key") == "value"


def test_the_file_is_for_its_owner_alone(path: Path) -> None:
    with SqliteJournal(path) as journal:
        journal.append([make.sample()])
        for name in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
            assert stat.S_IMODE(name.stat().st_mode) == 0o600


def test_commits_are_synchronous_in_wal_mode(path: Path) -> None:
    with SqliteJournal(path) as journal:
        assert journal._write.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert journal._write.execute("PRAGMA synchronous").fetchone() == (2,)


def test_tables_have_a_column_for_every_attribute(path: Path) -> None:
    SqliteJournal(path).close()
    with sqlite3.connect(path) as db:
        for table in TABLES:
            columns = {row[1] for row in db.execute(f"PRAGMA table_info({table.name})")}
            assert {field.name for field in fields(table.kind)} <= columns, table.name


# what is not a journal, or no longer


def test_another_programs_database_is_refused(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE precious (a INTEGER)")
    db.close()
    before = path.read_bytes()
    with pytest.raises(JournalError, match="not a journal of Tracemark"):
        SqliteJournal(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("damage", ["header", "pages", "text"])
def test_damage_is_named_with_the_remedy_and_nothing_is_deleted(path: Path, damage: str) -> None:
    with SqliteJournal(path) as journal:
        for n in range(20):
            journal.append([make.request(T0 + n * 1000 + m, route=f"/{n}/{m}") for m in range(100)])
        journal.compact()
    content = bytearray(path.read_bytes())
    if damage == "header":
        content[:100] = b"\xff" * 100
    elif damage == "pages":
        content[4096 * 3 :] = b"\x5a" * (len(content) - 4096 * 3)
    else:
        content = bytearray(b"this is not a database, but somebody's text\n" * 100)
    path.write_bytes(content)
    with pytest.raises(JournalCorruptError) as caught:
        SqliteJournal(path)
    assert str(path) in caught.value.what
    assert f"move {path}" in caught.value.remedy
    assert not caught.value.retry
    assert path.read_bytes() == bytes(content)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="cannot be opened"):
        SqliteJournal(tmp_path / "absent" / "journal.sqlite")


def test_a_reader_without_a_journal_says_what_to_do(path: Path) -> None:
    with pytest.raises(JournalError, match="start the sidecar first"):
        Reader(path).counts()
    assert not path.exists()


def test_a_counter_too_large_names_the_limit_and_changes_nothing(path: Path) -> None:
    with SqliteJournal(path) as journal:
        with pytest.raises(InvalidRecordError, match="below 2\\^63"):
            journal.append([make.sample(), make.sample(T0 + 1, cpu_total_ns=2**63)])
        with pytest.raises(InvalidRecordError, match="valid Unicode"):
            journal.append([make.request(route="/\udcff")])
        assert journal.read(Sample) == []
        # The name that was rolled back is not remembered.
        assert journal.append([make.sample()]) == 1
        assert [record for _, record in journal.read(Sample)] == [make.sample()]


# a full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with make.small_disk(tmp_path) as folder:
        yield folder


def fill(journal: SqliteJournal) -> int:
    """Append until nothing fits; returns how many requests are in."""
    for count in range(0, 100_000, 50):
        records = [make.request(T0 + count + n, route=f"/{count + n}") for n in range(50)]
        try:
            journal.append(records, {"count": str(count + 50)})
        except JournalFullError:
            return count
    raise AssertionError("100 000 requests fit in one megabyte")


def test_a_full_disk_is_said_and_reading_goes_on_and_writing_comes_back(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"\0" * 300_000)
    with SqliteJournal(small_disk / "journal.sqlite") as journal:
        count = fill(journal)
        for _ in range(3):
            with pytest.raises(JournalFullError, match="free some space") as caught:
                journal.append([make.request() for _ in range(1000)], {"count": "lost"})
            assert caught.value.retry
        assert journal.note("count") == str(count)
        assert len(journal.read(Request, limit=10**6)) == count
        assert Reader(journal.path).counts()["requests"] == count
        ballast.unlink()
        assert journal.append([make.request(route="/after")], {"count": "back"}) == 1
        assert len(journal.read(Request, limit=10**6)) == count + 1
    with SqliteJournal(small_disk / "journal.sqlite") as journal:
        assert journal.note("count") == "back"


def test_a_disk_that_is_full_at_the_start_is_said(small_disk: Path) -> None:
    with (small_disk / "ballast").open("wb", buffering=0) as ballast, suppress(OSError):
        while True:
            ballast.write(b"\0" * 4096)
    with pytest.raises(JournalFullError):
        SqliteJournal(small_disk / "journal.sqlite")


def test_a_full_file_without_mounting(path: Path) -> None:
    with SqliteJournal(path) as journal:
        pages = journal._write.execute("PRAGMA page_count").fetchone()[0]
        journal._write.execute(f"PRAGMA max_page_count = {pages + 20}")
        count = fill(journal)
        assert journal.note("count") in (str(count), None)
        journal._write.execute("PRAGMA max_page_count = 1000000")
        assert journal.append([make.request()]) == 1


# other programs and threads


def test_a_program_that_holds_the_journal_too_long_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "BUSY_MS", 0)
    with SqliteJournal(path) as journal:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalBusyError) as caught:
            journal.append([make.sample()])
        assert caught.value.retry
        other.execute("ROLLBACK")
        assert journal.append([make.sample()]) == 1
        other.close()


def test_two_journals_on_one_file_share_positions_and_names(path: Path) -> None:
    with SqliteJournal(path) as one, SqliteJournal(path) as two:
        one.append([make.request(route="/one")])
        two.append([make.request(route="/two"), make.request(route="/three")])
        one.append([make.request(route="/four"), make.request(route="/two")])
        found = one.read(Request)
        assert [record.route for _, record in found] == ["/one", "/two", "/three", "/four", "/two"]
        assert [position for position, _ in found] == sorted({position for position, _ in found})


def test_reading_does_not_wait_for_a_write(path: Path) -> None:
    with SqliteJournal(path) as journal:
        journal.append([make.sample()])
        with journal.transaction() as connection:
            connection.execute("DELETE FROM samples")
            assert len(journal.read(Sample)) == 1
        assert journal.read(Sample) == []


def test_many_threads_append(path: Path) -> None:
    with SqliteJournal(path) as journal:

        def append(thread: int) -> None:
            for n in range(20):
                journal.append([make.action(f"action-{thread}-{n}"), make.sample(T0 + thread * 100 + n)])

        threads = [threading.Thread(target=append, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len({position for position, _ in journal.read(Action)} | {p for p, _ in journal.read(Sample)}) == 160


def test_what_belongs_to_a_person_is_erased_even_from_the_file(path: Path) -> None:
    mine, other = "session-of-mine-1", "session-of-another"
    with SqliteJournal(path) as journal:
        for number, name in enumerate((mine, other)):
            action_id = f"action-{name}"
            journal.append(
                [
                    make.session(name),
                    make.marker(1, session=name, action_id=action_id),
                    make.action(action_id, session=name),
                    make.usage(action_id),
                    make.transfer(session=name),
                    make.request(T0 + number, session=name, action_id=action_id),
                ],
                {f"ack/{name}": "1"},
            )
        assert journal.erase([mine]) == 7
        left = [table.name for table in TABLES if len(journal.read(table.kind)) == 1]
        assert left == ["requests", "sessions", "markers", "transfers", "actions", "usages"]
        assert (journal.note(f"ack/{mine}"), journal.note(f"ack/{other}")) == (None, "1")
    content = path.read_bytes()
    assert mine.encode() not in content
    assert other.encode() in content
