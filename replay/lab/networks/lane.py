"""One direction of a line, as a calculation: when does what enters now come out?"""

from __future__ import annotations

import random

#: How much may wait before a line's rate, as time at that rate: what customary access routers hold.
_QUEUE_NS = 200_000_000
_QUEUE_LEAST_BYTES = 64 * 1024


class Lane:
    """First in, first out: each packet leaves when those before it have left at the lane's rate, and comes out a delay later.

    Times are nanoseconds of any clock that never steps back. `dropped` counts what loss and a full queue took.
    """

    def __init__(self, *, delay_ns: int, bits: int | None, loss: float = 0.0, chance: random.Random | None = None) -> None:
        self.dropped = 0
        self._delay_ns = delay_ns
        self._bits = bits
        self._loss = loss
        self._chance = chance or random.Random()  # noqa: S311 (loss on a line is no secret)
        self._free_ns = 0
        self._longest_ns = 0 if bits is None else max(_QUEUE_NS, _QUEUE_LEAST_BYTES * 8 * 10**9 // bits)

    def enter(self, size: int, now_ns: int) -> int | None:
        """When a packet of `size` bytes comes out, None when it is lost."""
        if (self._loss and self._chance.random() < self._loss) or self._free_ns - now_ns > self._longest_ns:
            self.dropped += 1
            return None
        return self.enter_patiently(size, now_ns)

    def enter_patiently(self, size: int, now_ns: int) -> int:
        """The same for a stream whose sender can be made to wait: nothing is lost, however long the queue."""
        begin_ns = max(now_ns, self._free_ns)
        self._free_ns = begin_ns if self._bits is None else begin_ns + size * 8 * 10**9 // self._bits
        return self._free_ns + self._delay_ns
