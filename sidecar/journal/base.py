"""What the rest of the sidecar may ask of a journal: the port that SQLite and the in-memory fake both fulfil."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

from sidecar.model.records import Record

R = TypeVar("R", bound=Record)


class Journal(Protocol):
    """Durable, ordered store of records; safe to call from any thread."""

    def append(self, records: Sequence[Record], notes: Mapping[str, str] | None = None) -> int:
        """Commit records and notes together, all or nothing; returns how many records were new.

        A record that is already there is left as it is: a Marker by (session, seq), a Sample by (container, source, time).
        A Session, Action or ActionUsage replaces the one with the same identity, and a Gap the open gap with the same part,
        subject and start.
        Notes are small facts that must be true exactly when the records are: a log's offset, a cursor, the last acknowledged seq.

        Raises JournalFullError when nothing could be written (nothing was then changed).
        """

    def read(self, kind: type[R], after: int = 0, limit: int = 1000) -> list[tuple[int, R]]:
        """Records of one kind with their positions, in the order in which they were committed or last replaced."""

    def note(self, key: str) -> str | None:
        """The last committed note of that key."""
