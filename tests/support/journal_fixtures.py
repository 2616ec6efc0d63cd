"""Fixtures for tests that need a journal in a file; `conftest.py` of a folder of tests names them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.journal.queries import Reader
from sidecar.journal.sqlite import SqliteJournal


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[SqliteJournal]:
    """An empty journal."""
    with SqliteJournal(tmp_path / "journal.sqlite") as journal:
        yield journal


@pytest.fixture
def reader(journal: SqliteJournal) -> Iterator[Reader]:
    """Reads that journal."""
    reader = Reader(journal.path)
    yield reader
    reader.close()
