"""The one thread that writes the journal: whatever waits is committed together, and whoever asks is told when it is durable."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sidecar.clock import Clock
from sidecar.errors import Fault, InvalidRecordError, JournalError, JournalFullError
from sidecar.journal.base import Journal
from sidecar.model.records import Gap, Record, Sample

Done = Callable[[Fault | None], None]
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Item:
    """One call of `put` or `submit`, committed as a whole; weighs at least one record so that notes alone are bounded too."""

    records: Sequence[Record]
    notes: Mapping[str, str]
    done: Done | None

    @property
    def weight(self) -> int:
        return max(1, len(self.records))


class Writer:
    """Queues records in memory for at most one commit and writes them; a `Sink`.

    `capacity` bounds the queue in records, `batch` one commit. While the journal cannot be written (a full disk), the writer
    tries every `retry_s` seconds: what was submitted is refused with the fault at once, so that markers are not acknowledged;
    samples are dropped and counted; everything else that was put waits, for its notes say that it is stored. When writing works
    again, one Gap of the part "journal" tells what is missing.
    """

    def __init__(
        self, journal: Journal, clock: Clock, capacity: int = 100_000, *, batch: int = 5_000, retry_s: float = 5.0
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._capacity = capacity
        self._batch = batch
        self._retry_s = retry_s
        self._waiting: deque[_Item] = deque()
        self._depth = 0
        self._work = threading.Condition()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        # Since when, and why, the journal cannot be written; None while it can.
        self._failing_since_ns = 0
        self._fault: Fault | None = None
        self._written = self._commits = self._dropped = self._refused = self._failed_commits = self._deaf = 0
        self._last_error = ""
        self._took_ms: deque[float] = deque(maxlen=512)

    def start(self) -> None:
        """Start the thread."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="journal-writer", daemon=True)
            self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> bool:
        """Commit everything queued and end the thread; whether that was done in time. Later calls are refused."""
        with self._work:
            self._stopping.set()
            self._work.notify_all()
        if self._thread is None:
            return not self._depth
        self._thread.join(timeout_s)
        return not self._thread.is_alive() and not self._depth

    def put(self, records: Sequence[Record], notes: Mapping[str, str] | None = None) -> bool:
        """Queue for the next commit; never blocks; False when the queue is full and nothing was taken."""
        taken = self._enqueue(_Item(records, notes or {}, None))
        return taken is None

    def submit(self, records: Sequence[Record], notes: Mapping[str, str] | None, done: Done) -> None:
        """Queue, and call `done(None)` after the commit, or `done(fault)` when these records are not stored.

        `done` is called on the writer's thread, or on the caller's when they are refused at once; it must return quickly.
        """
        fault = self._enqueue(_Item(records, notes or {}, done))
        if fault is not None:
            done(fault)

    def health(self) -> Mapping[str, int | float | str]:
        """Counters about the writer; `commit_ms_*` over the last 512 commits."""
        with self._work:
            took = sorted(self._took_ms)
            return {
                "depth": self._depth,
                "capacity": self._capacity,
                "written": self._written,
                "commits": self._commits,
                "failed_commits": self._failed_commits,
                "dropped": self._dropped,
                "refused": self._refused,
                "unheard_answers": self._deaf,
                "commit_ms_p50": took[len(took) // 2] if took else 0.0,
                "commit_ms_p99": took[len(took) * 99 // 100] if took else 0.0,
                "writable": int(self._fault is None),
                "last_error": self._last_error,
            }

    def _enqueue(self, item: _Item) -> Fault | None:
        with self._work:
            if self._fault is not None and item.done is not None:
                self._refused += len(item.records)
                return self._fault
            if self._stopping.is_set() or self._depth + item.weight > max(self._capacity, item.weight):
                self._refused += len(item.records)
                return JournalFullError("the journal's queue is full or closing", "send the same records again later")
            self._waiting.append(item)
            self._depth += item.weight
            self._work.notify()
            return None

    def _run(self) -> None:
        while True:
            if self._fault is not None:
                self._clock.wait(self._stopping, self._retry_s)
            items = self._take(wait=self._fault is None)
            if not items and self._fault is None:
                return
            recovered = self._write(items)
            if self._stopping.is_set() and not recovered:
                # No room and no time left: say so to those who asked, and leave the rest to their sources to read again.
                self._give_up()
                return

    def _take(self, *, wait: bool) -> list[_Item]:
        """The next batch, at least one item; empty when the writer stops (or, without `wait`, when there is nothing)."""
        with self._work:
            while wait and not self._waiting and not self._stopping.is_set():
                self._work.wait()
            items: list[_Item] = []
            size = 0
            while self._waiting and (not items or size + self._waiting[0].weight <= self._batch):
                items.append(self._waiting.popleft())
                size += items[-1].weight
            return items

    def _write(self, items: Sequence[_Item]) -> bool:
        """Commit items, all or, when one of them is bad, each by itself; whether the journal could be written."""
        try:
            self._commit(items)
        except InvalidRecordError:
            for index, item in enumerate(items):
                try:
                    self._commit([item])
                except InvalidRecordError as fault:
                    self._refuse(item, fault)
                except JournalError as fault:
                    self._keep(items[index:], fault)
                    return False
        except JournalError as fault:
            self._keep(items, fault)
            return False
        return True

    def _commit(self, items: Sequence[_Item]) -> None:
        records: list[Record] = [record for item in items for record in item.records]
        notes = {key: value for item in items for key, value in item.notes.items()}
        started = self._clock.mono_ns()
        if self._fault is not None:
            now = self._clock.wall_ns()
            since = min(self._failing_since_ns, now)
            records.append(Gap(part="journal", subject="", start_ns=since, end_ns=now, reason=self._fault.what))
        self._journal.append(records, notes)
        with self._work:
            self._commits += 1
            self._written += len(records)
            self._took_ms.append((self._clock.mono_ns() - started) / 1e6)
            self._depth -= sum(item.weight for item in items)
            self._fault = None
        for item in items:
            self._tell(item, None)

    def _refuse(self, item: _Item, fault: Fault) -> None:
        _log.warning("records refused: %s", fault)
        with self._work:
            self._depth -= item.weight
            self._dropped += len(item.records)
            self._last_error = str(fault)
        self._tell(item, fault)

    def _keep(self, items: Sequence[_Item], fault: Fault) -> None:
        kept: list[_Item] = []
        dropped: list[Sample] = []
        for item in items:
            if item.done is None:
                rest = [record for record in item.records if not isinstance(record, Sample)]
                dropped.extend(record for record in item.records if isinstance(record, Sample))
                if rest or item.notes:
                    kept.append(_Item(rest, item.notes, None))
        since = min([self._clock.wall_ns(), *(sample.time_ns for sample in dropped)])
        with self._work:
            if self._fault is None:
                _log.error("the journal cannot be written, collecting goes on: %s", fault)
                self._failing_since_ns = since
            self._failing_since_ns = min(self._failing_since_ns, since)
            self._fault = fault
            self._last_error = str(fault)
            self._failed_commits += 1
            self._dropped += len(dropped)
            self._waiting.extendleft(reversed(kept))
            self._depth += sum(item.weight for item in kept) - sum(item.weight for item in items)
            told = [item for item in self._waiting if item.done is not None]
            self._waiting = deque(item for item in self._waiting if item.done is None)
            self._depth -= sum(item.weight for item in told)
        for item in (*items, *told):
            self._tell(item, fault)

    def _give_up(self) -> None:
        with self._work:
            self._dropped += sum(len(item.records) for item in self._waiting)
            left, self._waiting = self._waiting, deque()
        for item in left:
            self._tell(item, self._fault)

    def _tell(self, item: _Item, fault: Fault | None) -> None:
        if item.done is None:
            return
        try:
            item.done(fault)
        except RuntimeError as error:
            # The asker's event loop is closed: it will ask again when it is back.
            self._deaf += 1
            _log.info("nobody heard that a commit was done: %s", error)
