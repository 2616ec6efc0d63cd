"""How much one client may ask of the marker channel, and the bucket that measures how fast it asks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The bounds of the marker channel; generous for people and replayers, and finite.

    Rates are per connection; `waiting_items` is what one session may have unsubmitted before its connection is no longer read.
    """

    connections: int = 2500
    hello_timeout_s: float = 5.0
    messages_per_s: float = 200.0
    messages_burst: int = 1000
    markers_per_s: float = 5000.0
    markers_burst: int = 20_000
    waiting_items: int = 2000
    idle_sessions: int = 10_000
    unsent_bytes: int = 256 * 1024
    retry_after_ms: int = 5000
    stop_timeout_s: float = 5.0


class Bucket:
    """A token bucket: `rate` tokens a second, at most `burst` of them saved."""

    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._tokens = float(burst)
        self._at_ns: int | None = None

    def take(self, tokens: int, mono_ns: int) -> int:
        """Take tokens at this monotonic time; 0, or in how many milliseconds to try again (then none were taken)."""
        if self._at_ns is not None:
            self._tokens = min(self._burst, self._tokens + (mono_ns - self._at_ns) * self._rate / 1e9)
        self._at_ns = mono_ns
        if tokens > self._tokens:
            return max(1, round((tokens - self._tokens) / self._rate * 1000))
        self._tokens -= tokens
        return 0
