"""Holds a transfer to a byte rate."""

from __future__ import annotations

from collections.abc import Callable

LARGEST_CHUNK_BYTES = 64 * 1024
_SMALLEST_CHUNK_BYTES = 512
_CHUNKS_PER_S = 20


class Throttle:
    """One per transfer: after every chunk it pauses as long as the transfer is ahead of `rate` (bytes/s; None does not hold).

    The time that a slow receiver lost is not made up for by going faster later than one chunk.
    """

    def __init__(self, rate: int | None, mono_ns: Callable[[], int], pause: Callable[[float], None]) -> None:
        self._rate = rate
        self._mono_ns = mono_ns
        self._pause = pause
        self._free_ns = mono_ns()

    @property
    def chunk_bytes(self) -> int:
        """How much to send at once, so that the flow is even."""
        if self._rate is None:
            return LARGEST_CHUNK_BYTES
        return max(_SMALLEST_CHUNK_BYTES, min(LARGEST_CHUNK_BYTES, self._rate // _CHUNKS_PER_S))

    def sent(self, count: int) -> None:
        """So many bytes were sent just now: wait until the next may go."""
        if self._rate is None:
            return
        took_ns = count * 1_000_000_000 // self._rate
        self._free_ns = max(self._free_ns, self._mono_ns() - took_ns) + took_ns
        ahead_ns = self._free_ns - self._mono_ns()
        if ahead_ns > 0:
            self._pause(ahead_ns / 1e9)
