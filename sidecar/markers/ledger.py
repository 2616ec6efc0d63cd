"""What of one session's numbered sequence is durable, under way or waiting: the arithmetic of acknowledging.

One submission per session is under way at a time; what arrives meanwhile waits and goes with the next. So the number that is
committed beside the records is exactly the number that may be acknowledged when the commit is done.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

from sidecar.model.records import Record

#: seqs remembered beyond the first hole of a session; more are forgotten, and the client sends them again
MAX_AHEAD = 4096


@dataclass(frozen=True, slots=True)
class Flight:
    """One submission: its records, and the `last_seq` that will be true once they are committed."""

    records: tuple[Record, ...]
    seqs: frozenset[int]
    unnumbered: int
    last_seq: int


class Ledger:
    """The sequence of one session. `last_seq`: everything up to it is durable, was refused by name, or is gone at the client."""

    def __init__(self, last_seq: int) -> None:
        self.last_seq = last_seq
        self._ahead: set[int] = set()
        self._under_way: set[int] = set()
        self._waiting: list[tuple[int | None, Record | None]] = []
        self._flight: Flight | None = None

    @property
    def busy(self) -> bool:
        """Whether a submission is under way."""
        return self._flight is not None

    @property
    def waiting(self) -> int:
        """How many items wait for the next submission."""
        return len(self._waiting)

    def knows(self, seq: int) -> bool:
        """Whether this seq is durable, refused or under way."""
        return seq <= self.last_seq or seq in self._ahead or seq in self._under_way

    def resume(self, resume_seq: int) -> int:
        """The client has nothing below `resume_seq` any more; returns how many of those were never seen here."""
        missing = sum(1 for seq in range(self.last_seq + 1, min(resume_seq, self.last_seq + MAX_AHEAD)) if not self.knows(seq))
        missing += max(0, resume_seq - self.last_seq - MAX_AHEAD)
        self.last_seq = self._reach(max(self.last_seq, resume_seq - 1), self._ahead)
        self._forget()
        return missing

    def offer(self, seq: int | None, record: Record | None) -> bool:
        """Take an item for the next submission; a refused one has no record. False: this seq is durable or under way already."""
        if seq is not None:
            if self.knows(seq):
                return False
            self._under_way.add(seq)
        self._waiting.append((seq, record))
        return True

    def take(self) -> Flight:
        """Everything that waits, as one submission; call only when none is under way."""
        seqs = frozenset(seq for seq, _ in self._waiting if seq is not None)
        self._flight = Flight(
            records=tuple(record for _, record in self._waiting if record is not None),
            seqs=seqs,
            unnumbered=sum(1 for seq, _ in self._waiting if seq is None),
            last_seq=self._reach(self.last_seq, self._ahead | seqs if self._ahead else seqs),
        )
        self._waiting = []
        return self._flight

    def landed(self) -> Flight:
        """The submission is committed."""
        flight = self._end_flight()
        self._ahead |= flight.seqs
        self._under_way -= flight.seqs
        self.last_seq = self._reach(max(self.last_seq, flight.last_seq), self._ahead)
        self._forget()
        return flight

    def failed(self) -> None:
        """Nothing was committed: what was under way or waits is the client's again."""
        self._end_flight()
        self._under_way.clear()
        self._waiting = []

    def _end_flight(self) -> Flight:
        if self._flight is None:
            raise AssertionError("no submission is under way")
        flight, self._flight = self._flight, None
        return flight

    @staticmethod
    def _reach(last_seq: int, done: Set[int]) -> int:

        while last_seq + 1 in done:
            last_seq += 1
        return last_seq

    def _forget(self) -> None:
        self._ahead = {seq for seq in self._ahead if seq > self.last_seq}
        if len(self._ahead) > MAX_AHEAD:
            self._ahead = set(sorted(self._ahead)[:MAX_AHEAD])
