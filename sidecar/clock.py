"""Clocks, passed in wherever time matters: wall clock places, monotonic clock measures."""

from __future__ import annotations

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """Where time comes from."""

    def wall_ns(self) -> int:
        """Nanoseconds since the epoch, UTC; may step."""

    def mono_ns(self) -> int:
        """Nanoseconds that only grow; their zero means nothing."""

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait until the event is set or the time is over; whether it is set."""


class SystemClock:
    """The machine's clocks."""

    def wall_ns(self) -> int:
        return time.time_ns()

    def mono_ns(self) -> int:
        return time.monotonic_ns()

    def wait(self, event: threading.Event, seconds: float) -> bool:
        return event.wait(seconds)


class ManualClock:
    """A clock that stands still until it is told to move; for tests. Both clocks move together; the wall clock can be stepped.

    `waits` counts who has begun to wait: from then on, and not before, it is certain what `advance` does to them.
    """

    def __init__(self, wall_ns: int = 1_700_000_000_000_000_000, mono_ns: int = 0) -> None:
        self._wall_ns = wall_ns
        self._mono_ns = mono_ns
        self._moved = threading.Condition()
        self.waits = 0

    def wall_ns(self) -> int:
        with self._moved:
            return self._wall_ns

    def mono_ns(self) -> int:
        with self._moved:
            return self._mono_ns

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass and wake everybody whose time is over."""
        with self._moved:
            self._wall_ns += round(seconds * 1e9)
            self._mono_ns += round(seconds * 1e9)
            self._moved.notify_all()

    def step_wall(self, seconds: float) -> None:
        """Set the wall clock forward or back, as an administrator or NTP does; no time passes."""
        with self._moved:
            self._wall_ns += round(seconds * 1e9)

    def wait(self, event: threading.Event, seconds: float) -> bool:
        with self._moved:
            until = self._mono_ns + round(seconds * 1e9)
            self.waits += 1
            # The event is not ours to be notified of: look at it whenever the clock moves, and now and then.
            while not event.is_set() and self._mono_ns < until:
                self._moved.wait(0.01)
            return event.is_set()
