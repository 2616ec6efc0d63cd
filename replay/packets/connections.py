"""The TCP connections of a capture: which segment belongs to which, each judged, handshake time and TLS version noted."""

from __future__ import annotations

import numpy as np

from replay.packets.files import Ints
from replay.packets.headers import Bools, Longs, Packets
from replay.packets.rows import NO_CONNECTION, ConnectionFacts
from replay.packets.tcp import Judge, Segments
from replay.packets.tls import version_of

#: connections that are followed; the packets of further ones only count in bytes (a capture of a session has some tens)
LIMIT = 20_000
#: fewer segments than this are judged one by one; that costs less than looking at them together
_FEW = 48
#: looked at together at a time, so that a disturbance costs no more than that
_BLOCK = 8192
#: after a disturbance so many are judged one by one before looking again; doubled while disturbances go on
_PATIENCE = 64
_HELLO = 512


class _Followed:
    """One connection while it is read."""

    __slots__ = ("facts", "judge", "number", "server_spoke")

    def __init__(self, number: int, facts: ConnectionFacts) -> None:
        self.number = number
        self.facts = facts
        self.judge = Judge()
        self.server_spoke = False


class Connections:
    """All connections so far, in order of appearance."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._newest: dict[tuple[int, ...], _Followed] = {}
        self._all: list[_Followed] = []
        self.unfollowed = 0

    def facts(self) -> list[ConnectionFacts]:
        """Of each, by number."""
        for one in self._all:
            one.facts.rtt_ns = one.judge.rtt_ns
        return [one.facts for one in self._all]

    def follow(self, packets: Packets, rows: Ints, down: Bools, data: bytes) -> tuple[Ints, Ints]:
        """Connection number and marks of the segments in `rows` of `packets`; `down` belongs to `rows`."""
        number, marks = np.full(len(rows), NO_CONNECTION), np.zeros(len(rows), np.int64)
        if not len(rows):
            return number, marks
        source, target = (half[rows] for half in packets.source), (half[rows] for half in packets.target)
        ends = [
            *(np.where(down, theirs, mine) for mine, theirs in zip(source, target, strict=True)),
            np.where(down, packets.target_port[rows], packets.source_port[rows]).astype(np.uint64),
            np.where(down, packets.source_port[rows], packets.target_port[rows]).astype(np.uint64),
        ]
        servers = [np.where(down, packets.source[half][rows], packets.target[half][rows]) for half in (0, 1)]
        columns = [*ends, *servers]
        segments = Segments(
            packets.time_ns[rows],
            down,
            packets.sequence[rows].astype(np.uint32),
            packets.acknowledged[rows].astype(np.uint32),
            packets.payload[rows],
            packets.flags[rows],
            packets.window[rows],
        )
        known = len(self._all)
        for mine in _groups(columns):
            key = tuple(int(column[mine[0]]) for column in columns)
            of_group = segments.at(mine) if len(mine) < len(rows) else segments
            number[mine], marks[mine] = self._judge(key, of_group)
            self._greeting(packets, rows[mine], number[mine], of_group, data)
        self._in_order(number, known)
        return number, marks

    def _in_order(self, number: Ints, known: int) -> None:
        """Number the connections from `known` on as they appear in the rows: they were met end by end."""
        new, first = np.unique(number[number >= known], return_index=True)
        order = new[np.argsort(first)]
        renumbered = np.arange(len(self._all))
        renumbered[order] = np.arange(known, known + len(order))
        number[:] = np.where(number >= known, renumbered[number], number)
        self._all[known:] = [self._all[old] for old in order.tolist()]
        for place, one in enumerate(self._all[known:], known):
            one.number = place

    def _open(self, key: tuple[int, ...]) -> _Followed | None:
        if len(self._all) >= self._limit:
            return None
        one = _Followed(len(self._all), ConnectionFacts(client_port=key[2], server_port=key[3]))
        self._all.append(one)
        self._newest[key] = one
        return one

    def _judge(self, key: tuple[int, ...], segments: Segments) -> tuple[Ints, Ints]:
        """Number and marks of segments between the same two ends."""
        count = len(segments.time_ns)
        numbers, marks = np.full(count, NO_CONNECTION), np.zeros(count, np.int64)
        one = self._newest.get(key) or self._open(key)
        if one is None:
            self.unfollowed += count
            return numbers, marks
        at, patience = 0, _PATIENCE
        while at < count:
            ahead = min(count - at, _BLOCK)
            if ahead >= _FEW:
                clean = one.judge.clean(segments.at(slice(at, at + ahead)))
                numbers[at : at + clean] = one.number
                at += clean
                if clean == ahead:
                    continue
                patience = _PATIENCE if clean > patience else min(2 * patience, _BLOCK)
            last = min(count, at + patience)
            columns = (column[at:last].tolist() for column in segments)
            for row, (time_ns, down, sequence, acknowledged, payload, flags, window) in enumerate(zip(*columns, strict=True), at):
                if one.judge.reopens(down, sequence, flags):
                    opened = self._open(key)
                    if opened is None:
                        self.unfollowed += count - row
                        return numbers, marks
                    one = opened
                numbers[row] = one.number
                marks[row] = one.judge.one(time_ns, down, sequence, acknowledged, payload, flags, window)
            at = last
        return numbers, marks

    def _greeting(self, packets: Packets, rows: Ints, numbers: Ints, segments: Segments, data: bytes) -> None:
        """The TLS version, from the first bytes that a server sends on a connection."""
        for number in np.unique(numbers).tolist():
            if number == NO_CONNECTION or self._all[number].server_spoke:
                continue
            spoken = np.flatnonzero((numbers == number) & segments.down & (segments.payload > 0))
            if len(spoken):
                self._all[number].server_spoke = True
                row = rows[spoken[0]]
                begin, end = int(packets.payload_at[row]), int(packets.end[row])
                self._all[number].facts.tls = version_of(data[begin : min(end, begin + _HELLO)])


def _groups(columns: list[Longs]) -> list[Ints]:
    """Rows that agree in all columns, each group in order."""
    if all((column == column[0]).all() for column in columns):
        return [np.arange(len(columns[0]))]
    order = np.lexsort(columns)
    changes = np.zeros(len(order) - 1, np.bool_)
    for column in columns:
        ordered = column[order]
        changes |= ordered[1:] != ordered[:-1]
    groups = np.split(order, np.flatnonzero(changes) + 1)
    return sorted(groups, key=lambda rows: int(rows[0]))
