"""The law: whatever is appended, the file and the fake in memory tell the same, at any moment, reopened or not."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from sidecar.errors import (
    InvalidRecordError,
)
from sidecar.journal.memory import MemoryJournal
from sidecar.journal.rows import TABLES
from sidecar.journal.sqlite import SqliteJournal
from sidecar.model.records import Sample
from tests.support import journal as make


class JournalsAgree(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "journal.sqlite"
        self.file = SqliteJournal(self.path)
        self.memory = MemoryJournal()
        self.crashes = 0

    @rule(records=st.lists(make.records, max_size=6), value=st.none() | st.text(st.characters(codec="utf-8"), max_size=5))
    def append(self, records: list[object], value: str | None) -> None:
        notes = None if value is None else {"key": value}
        assert self.file.append(records, notes) == self.memory.append(records, notes)  # type: ignore[arg-type]

    @rule(bad=st.sampled_from([make.sample(cpu_total_ns=2**63), make.request(route="\ud800")]), records=st.lists(make.records))
    def append_what_does_not_fit(self, bad: Sample, records: list[object]) -> None:
        with pytest.raises(InvalidRecordError):
            self.file.append([*records, bad], {"key": "lost"})  # type: ignore[list-item]

    @rule()
    def reopen(self) -> None:
        self.file.close()
        self.file = SqliteJournal(self.path)

    @rule()
    def crash(self) -> None:
        """What is on the disk is opened elsewhere, as after a power cut: the old process never closed it."""
        self.crashes += 1
        folder = Path(self.folder.name) / str(self.crashes)
        folder.mkdir()
        for suffix in ("", "-wal"):
            if (old := Path(f"{self.path}{suffix}")).exists():
                shutil.copy(old, folder / old.name)
        self.file.close()
        self.path = folder / self.path.name
        self.file = SqliteJournal(self.path)

    @invariant()
    def agree(self) -> None:
        if not hasattr(self, "file"):
            return
        for table in TABLES:
            ours = self.file.read(table.kind)
            assert [record for _, record in ours] == [record for _, record in self.memory.read(table.kind)]
            assert [position for position, _ in ours] == sorted(position for position, _ in ours)
        assert self.file.note("key") == self.memory.note("key")
        for before in (0, 2**63 - 1):
            ours_ended = [row for _, row in self.file.ended_actions(0, 100, before)]
            assert ours_ended == [row for _, row in self.memory.ended_actions(0, 100, before)]

    def teardown(self) -> None:
        if hasattr(self, "file"):
            self.file.close()
            self.folder.cleanup()


JournalsAgree.TestCase.settings = settings(max_examples=25, stateful_step_count=12, deadline=None)
test_journals_agree = JournalsAgree.TestCase
