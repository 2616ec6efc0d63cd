"""Adds up rows: of the whole capture, per connection, per window of time, and over time."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import numpy as np

from replay.packets.files import NO_TIME, Ints
from replay.packets.model import Connection, Metrics, Throughput, Window
from replay.packets.rows import NO_CONNECTION, ConnectionFacts, Rows
from replay.packets.tcp import LOST, OUT_OF_ORDER, RETRANSMITTED, ZERO_WINDOW

#: the columns of a tally, for each direction
_COUNTED = ("packets", "bytes", "payload", "retransmitted", "out_of_order", "lost", "zero_windows")
_STEPS = 100_000
_NEVER = np.iinfo(np.int64).max


class Tally:
    """Counters of numbered things, both directions, and when the first and last packet of each was."""

    def __init__(self, size: int = 0) -> None:
        self._counts = np.zeros((size, 2, len(_COUNTED)), np.int64)
        self._first = np.full(size, _NEVER)
        self._last = np.full(size, NO_TIME)

    def add(self, things: Ints, rows: Rows) -> None:
        """Count each row for its thing; new numbers are welcome."""
        if not len(things):
            return
        size = max(len(self._first), int(things.max()) + 1)
        grown = size - len(self._first)
        if grown:
            self._counts = np.concatenate((self._counts, np.zeros((grown, 2, len(_COUNTED)), np.int64)))
            self._first = np.concatenate((self._first, np.full(grown, _NEVER)))
            self._last = np.concatenate((self._last, np.full(grown, NO_TIME)))
        low = int(things.min())
        slot = (things - low) * 2 + rows.down
        span = (int(things.max()) - low + 1) * 2
        flat = self._counts[low : low + span // 2].reshape(span, len(_COUNTED))
        flat[:, 0] += np.bincount(slot, minlength=span)
        for column, values in ((1, rows.size), (2, rows.payload)):
            flat[:, column] += np.bincount(slot, values, span).astype(np.int64)
        marked = np.flatnonzero(rows.marks)
        if len(marked):
            marks, slots = rows.marks[marked], slot[marked]
            for column, mark in ((3, RETRANSMITTED), (4, OUT_OF_ORDER), (5, LOST), (6, ZERO_WINDOW)):
                flat[:, column] += np.bincount(slots[(marks & mark) != 0], minlength=span)
        timed = rows.time_ns != NO_TIME
        np.minimum.at(self._first, things[timed], rows.time_ns[timed])
        np.maximum.at(self._last, things[timed], rows.time_ns[timed])

    def metrics(self, thing: int, facts: Sequence[ConnectionFacts]) -> Metrics:
        """Of one thing, whose connections were `facts`."""
        if thing >= len(self._first):
            return Metrics()
        up, down = self._counts[thing].tolist()
        times = [one.rtt_ns for one in facts if one.rtt_ns]
        timed = int(self._first[thing]) != _NEVER
        counted = {f"down_{name}": value for name, value in zip(_COUNTED, down, strict=True)}
        counted |= {f"up_{name}": value for name, value in zip(_COUNTED, up, strict=True)}
        return Metrics(
            **counted,
            first_ns=int(self._first[thing]) if timed else None,
            last_ns=int(self._last[thing]) if timed else None,
            connections=len(facts),
            handshake_rtt_ns=int(statistics.median(times)) if times else None,
            tls_versions=tuple(sorted({one.tls for one in facts if one.tls})),
        )


class Curve:
    """Bytes per step of time, from the first packet on."""

    def __init__(self, step_ns: int) -> None:
        self._step_ns = step_ns
        self._start_ns: int | None = None
        self._steps: dict[int, list[int]] = {}

    def add(self, rows: Rows) -> None:
        """Count the bytes of each row in its step; the steps get longer when there are too many."""
        timed = rows.time_ns != NO_TIME
        time_ns, slot, size = rows.time_ns[timed], rows.down[timed].astype(np.int64), rows.size[timed]
        if not len(time_ns):
            return
        if self._start_ns is None:
            self._start_ns = int(time_ns[0])
        since = time_ns - self._start_ns
        self._fit(int(since.min()), int(since.max()))
        steps, place = np.unique(since // self._step_ns, return_inverse=True)
        sums = np.bincount(place * 2 + slot, size, 2 * len(steps)).astype(np.int64).reshape(-1, 2)
        for step, (up, down) in zip(steps.tolist(), sums.tolist(), strict=True):
            entry = self._steps.setdefault(step, [0, 0])
            entry[0] += up
            entry[1] += down

    def _fit(self, low_ns: int, high_ns: int) -> None:
        while True:
            low = min(low_ns // self._step_ns, min(self._steps, default=0))
            high = max(high_ns // self._step_ns, max(self._steps, default=0))
            if high - low < _STEPS:
                return
            doubled: dict[int, list[int]] = {}
            for step, (up, down) in self._steps.items():
                entry = doubled.setdefault(step // 2, [0, 0])
                entry[0] += up
                entry[1] += down
            self._steps, self._step_ns = doubled, self._step_ns * 2

    def throughput(self) -> Throughput:
        """The curve so far."""
        if self._start_ns is None:
            return Throughput(None, self._step_ns, (), ())
        low, high = min(self._steps), max(self._steps)
        both = [self._steps.get(step, (0, 0)) for step in range(low, high + 1)]
        return Throughput(
            self._start_ns + low * self._step_ns, self._step_ns, tuple(down for _, down in both), tuple(up for up, _ in both)
        )


class Totals:
    """Everything that is added up while a capture is read."""

    def __init__(self, windows: Sequence[Window], step_ns: int) -> None:
        self._windows = windows
        self._whole = Tally(1)
        self._per_connection = Tally()
        self._per_window = Tally(len(windows))
        self._in_window: list[set[int]] = [set() for _ in windows]
        self._curve = Curve(step_ns)

    def add(self, rows: Rows) -> None:
        """Count packets."""
        if not len(rows.time_ns):
            return
        self._whole.add(np.zeros(len(rows.time_ns), np.int64), rows)
        _add_some(self._per_connection, rows.connection, rows, rows.connection != NO_CONNECTION)
        self._curve.add(rows)
        if self._windows:
            low, high = int(rows.time_ns.min()), int(rows.time_ns.max())
            for number, window in enumerate(self._windows):
                if window.start_ns <= high and window.end_ns > low:
                    inside = (rows.time_ns >= window.start_ns) & (rows.time_ns < window.end_ns)
                    _add_some(self._per_window, np.full(len(rows.time_ns), number), rows, inside)
                    self._in_window[number].update(np.unique(rows.connection[inside]).tolist())

    def whole(self, facts: Sequence[ConnectionFacts]) -> Metrics:
        """Of the whole capture."""
        return self._whole.metrics(0, facts)

    def connections(self, facts: Sequence[ConnectionFacts]) -> tuple[Connection, ...]:
        """Of each connection."""
        return tuple(
            Connection(number, one.client_port, one.server_port, self._per_connection.metrics(number, [one]))
            for number, one in enumerate(facts)
        )

    def windows(self, facts: Sequence[ConnectionFacts]) -> dict[str, Metrics]:
        """Of each window, by its key."""
        return {
            window.key: self._per_window.metrics(number, [facts[one] for one in sorted(seen) if one != NO_CONNECTION])
            for number, (window, seen) in enumerate(zip(self._windows, self._in_window, strict=True))
        }

    def throughput(self) -> Throughput:
        """Of the whole capture."""
        return self._curve.throughput()


def _add_some(tally: Tally, things: Ints, rows: Rows, chosen: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> None:
    if chosen.all():
        tally.add(things, rows)
    elif chosen.any():
        some = Rows(*(getattr(rows, name)[chosen] for name in ("time_ns", "down", "size", "payload", "connection", "marks")))
        tally.add(things[chosen], some)
