"""What one TCP connection's segments say about loss, by the definitions of Wireshark's sequence analysis.

`Judge.one` is that definition, a segment at a time. `Judge.clean` recognises at once how many of the next segments are
undisturbed (in order, acknowledged as sent, windows open) and takes them in one step with the same outcome: nearly all of a
transfer. A law in the tests holds the two together.

Sequence numbers are modulo 2^32; as in Wireshark 0 also means "not seen yet". Definitions: user's guide, 7.5 "TCP Analysis".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FIN, SYN, RST, ACK = 1, 2, 4, 16
RETRANSMITTED, OUT_OF_ORDER, LOST, ZERO_WINDOW = 1, 2, 4, 8
_CONTROL = SYN | FIN | RST
_MASK = 0xFFFF_FFFF
_HALF = 1 << 31
#: a segment that repeats what duplicate acknowledgements ask for within this time is a fast retransmission
_FAST_NS = 20_000_000
#: a segment this soon after the newest one is late rather than repeated, while the round-trip time is not known
_LATE_NS = 3_000_000

#: in place of a number of duplicates, and more than any: the other side's next number is not to be trusted
_UNSEEN = 0xFFFF_FFFF

Words = npt.NDArray[np.uint32]


class Segments(NamedTuple):
    """Segments of one connection in the order of capture, a row each; `down` is from the server."""

    time_ns: npt.NDArray[np.int64]
    down: npt.NDArray[np.bool_]
    sequence: Words
    acknowledged: Words
    payload: npt.NDArray[np.int64]
    flags: npt.NDArray[np.int64]
    window: npt.NDArray[np.int64]

    def at(self, which: slice | npt.NDArray[np.int64]) -> Segments:
        """Some of the rows."""
        return Segments(
            self.time_ns[which],
            self.down[which],
            self.sequence[which],
            self.acknowledged[which],
            self.payload[which],
            self.flags[which],
            self.window[which],
        )


@dataclass(slots=True)
class Side:
    """One direction: what its sender has sent and acknowledged so far."""

    base: int | None = None
    next: int = 0
    next_ns: int = 0
    reach: int = 0  # the highest number without a hole before it
    acknowledged: int = 0
    acknowledged_ns: int = 0
    window: int = -1
    duplicates: int = 0
    keep_alive: bool = False
    probe: bool = False

    def at_ease(self) -> bool:
        """Nothing is pending: a run of undisturbed segments may be taken in one step."""
        return self.next != 0 and self.reach == self.next and self.window > 0 and not self.keep_alive and not self.probe


class Judge:
    """Judges the segments of one connection, both directions."""

    __slots__ = ("_down", "_syn_ns", "_up", "rtt_ns")

    def __init__(self) -> None:
        self._down = Side()
        self._up = Side()
        self._syn_ns: int | None = None
        self.rtt_ns: int | None = None

    def reopens(self, down: bool, sequence: int, flags: int) -> bool:
        """Whether a segment opens another connection between the same ports."""
        base = (self._down if down else self._up).base
        return flags & (SYN | ACK) == SYN and base is not None and sequence != base

    def one(self, time_ns: int, down: bool, sequence: int, acknowledged: int, payload: int, flags: int, window: int) -> int:
        """The marks of the next segment: a sum of RETRANSMITTED, OUT_OF_ORDER, LOST, ZERO_WINDOW."""
        mine, other = (self._down, self._up) if down else (self._up, self._down)
        self._begin(mine, other, sequence, acknowledged, flags)
        marks = 0
        plain = not flags & _CONTROL
        mine_probe = payload == 1 and sequence == mine.next and other.window == 0
        mine_keep_alive = False
        if not mine_probe:
            if window == 0 and plain:
                marks |= ZERO_WINDOW
            if mine.next and _after(sequence, mine.next) and not flags & RST:
                marks |= LOST
            mine_keep_alive = payload <= 1 and plain and sequence == (mine.next - 1) & _MASK
            if self._repeats(mine, sequence, acknowledged, payload, window) and plain and not other.keep_alive:
                mine.duplicates = 1 if mine.duplicates == _UNSEEN else mine.duplicates + 1
        if acknowledged != mine.acknowledged:
            mine.duplicates = 0
        if flags & ACK and other.reach and _after(acknowledged, other.reach):
            # Something was acknowledged that the capture has not seen.
            if other.reach != other.next:
                other.reach = other.next  # it lay in a hole; told once
            else:
                other.duplicates = _UNSEEN
        if (payload or flags & (SYN | FIN)) and not mine_keep_alive:
            marks |= self._again(mine, other, time_ns, sequence, payload, flags)
        self._advance(mine, time_ns, (sequence + payload + bool(flags & (SYN | FIN))) & _MASK, sequence, mine_probe)
        mine.window, mine.acknowledged, mine.acknowledged_ns = window, acknowledged, time_ns
        mine.keep_alive, mine.probe = mine_keep_alive, mine_probe
        if flags & (SYN | ACK) == SYN:
            self._syn_ns = time_ns
        elif flags & (SYN | ACK) == ACK and self._syn_ns is not None and not self.rtt_ns:
            self.rtt_ns = time_ns - self._syn_ns
        return marks

    @staticmethod
    def _begin(mine: Side, other: Side, sequence: int, acknowledged: int, flags: int) -> None:
        """The first numbers of each direction."""
        if mine.base is None:
            mine.base = sequence if flags & SYN else (sequence - 1) & _MASK
        elif flags & (SYN | ACK) == SYN:
            # The same SYN again: a reset in between may have pushed `next` to what the other side asked for.
            mine.next = mine.reach
        elif flags & SYN:
            mine.base = sequence
        if other.base is None and flags & ACK:
            other.base = (acknowledged - 1) & _MASK

    @staticmethod
    def _repeats(mine: Side, sequence: int, acknowledged: int, payload: int, window: int) -> bool:
        return (
            payload == 0 and window != 0 and window == mine.window and sequence == mine.next and acknowledged == mine.acknowledged
        )

    def _again(self, mine: Side, other: Side, time_ns: int, sequence: int, payload: int, flags: int) -> int:
        """Whether a segment that occupies sequence numbers was sent before, or comes late, or neither."""
        known = mine.next != 0 and _after(mine.next, sequence)
        if payload > 1 and sequence == (mine.next - 1) & _MASK:
            known = False  # what follows a window probe begins with the probe's byte
        if payload and other.acknowledged and _until((sequence + payload) & _MASK, other.acknowledged):
            return RETRANSMITTED
        if not known:
            return 0
        asked_for = other.duplicates >= 2 and other.acknowledged == sequence
        if asked_for and 0 <= time_ns - other.acknowledged_ns < _FAST_NS:
            return RETRANSMITTED
        end = (sequence + payload + bool(flags & (SYN | FIN))) & _MASK
        if 0 <= time_ns - mine.next_ns < (self.rtt_ns or _LATE_NS) and mine.next != end:
            return OUT_OF_ORDER
        return RETRANSMITTED

    @staticmethod
    def _advance(mine: Side, time_ns: int, end: int, sequence: int, probe: bool) -> None:
        if probe:
            return
        if not mine.next or _after(end, mine.next):
            mine.next, mine.next_ns = end, time_ns
        if not mine.reach or sequence == mine.reach:
            mine.reach = mine.next

    def clean(self, run: Segments) -> int:
        """How many segments at the start of `run` are undisturbed; they are taken, and have no marks."""
        if self._syn_ns is not None and not self.rtt_ns:
            return 0
        if not (self._down.at_ease() and self._up.at_ease()):
            return 0
        end = run.sequence + run.payload.astype(np.uint32)
        bad = (run.flags & (_CONTROL | ACK) != ACK) | (run.window == 0) | (end == 0)
        rows = np.arange(len(end))
        of_down, of_up = np.flatnonzero(run.down), np.flatnonzero(~run.down)
        for side, mine in ((self._down, of_down), (self._up, of_up)):
            if len(mine):
                bad[mine[0]] |= int(run.sequence[mine[0]]) != side.next
                bad[mine[1:]] |= run.sequence[mine[1:]] != end[mine[:-1]]
        for other, mine, own in ((self._up, of_down, run.down), (self._down, of_up, ~run.down)):
            last = np.maximum.accumulate(np.where(own, -1, rows))[mine]
            seen = np.where(last >= 0, end[last], np.uint32(other.next))
            answered = np.where(last >= 0, run.acknowledged[last], np.uint32(other.acknowledged))
            bad[mine] |= (seen - run.acknowledged[mine]).astype(np.int32) < 0
            bad[mine] |= (run.payload[mine] > 0) & ((end[mine] - answered).astype(np.int32) <= 0)
        count = int(np.argmax(bad)) if bad.any() else len(bad)
        if count:
            self._take(self._down, run, end, of_down[: np.searchsorted(of_down, count)])
            self._take(self._up, run, end, of_up[: np.searchsorted(of_up, count)])
        return count

    @staticmethod
    def _take(side: Side, run: Segments, end: Words, rows: npt.NDArray[np.int64]) -> None:
        """One direction after undisturbed segments."""
        if not len(rows):
            return
        acknowledged, window, payload = run.acknowledged[rows], run.window[rows], run.payload[rows]
        before = np.concatenate((np.array([side.acknowledged], np.uint32), acknowledged[:-1]))
        moved = np.flatnonzero(acknowledged != before)
        same_window = window == np.concatenate((np.array([side.window]), window[:-1]))
        repeats = (payload == 0) & same_window & (acknowledged == before)
        if len(moved):
            side.duplicates = int(np.count_nonzero(repeats[moved[-1] + 1 :]))
        else:
            count = int(np.count_nonzero(repeats))
            side.duplicates = count if count and side.duplicates == _UNSEEN else side.duplicates + count
        data = np.flatnonzero(payload)
        if len(data):
            side.next_ns = int(run.time_ns[rows[data[-1]]])
        last = rows[-1]
        side.next = side.reach = int(end[last])
        side.window, side.acknowledged = int(run.window[last]), int(run.acknowledged[last])
        side.acknowledged_ns = int(run.time_ns[last])
        side.keep_alive = side.probe = False


def _after(one: int, other: int) -> bool:
    """one > other, modulo 2^32."""
    return (other - one) & _MASK >= _HALF


def _until(one: int, other: int) -> bool:
    """one <= other, modulo 2^32; of two numbers half way round from each other, each is both."""
    return one == other or _after(other, one)
