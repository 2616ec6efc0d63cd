"""How far the sidecar's clock is from ours: a minimum filter over ping exchanges; pure.

The offset is kept against our monotonic clock, which nobody sets: a step of our wall clock then changes nothing, and one of the
sidecar's clock shows as a contradiction between exchanges.
"""

from __future__ import annotations

from dataclasses import dataclass

#: exchanges older than this are forgotten
WINDOW_NS = 600 * 10**9
#: by how much an exchange's error grows with its age: RFC 5905's frequency tolerance (PHI), 15 microseconds a second
DRIFT = 15e-6
#: the fastest that a clock may honestly run away: what the kernel allows NTP to slew, 500 microseconds a second
MAX_SLEW = 500e-6
_MAX_EXCHANGES = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One ping: sent and received by our monotonic clock, `t1_ns` and `t2_ns` the sidecar's wall clock at arrival and answer."""

    sent_mono_ns: int
    received_mono_ns: int
    t1_ns: int
    t2_ns: int

    @property
    def round_trip_ns(self) -> int:
        """Time on the way, without the sidecar's own (RFC 5905 §8, delta)."""
        return (self.received_mono_ns - self.sent_mono_ns) - (self.t2_ns - self.t1_ns)

    @property
    def offset_ns(self) -> int:
        """The sidecar's wall clock minus our monotonic clock (RFC 5905 §8, theta)."""
        return ((self.t1_ns - self.sent_mono_ns) + (self.t2_ns - self.received_mono_ns)) // 2

    def error_ns(self, now_mono_ns: int) -> int:
        """Bound of the offset's error at a moment: half the time on the way, and drift between that moment and the exchange."""
        apart_ns = max(0, now_mono_ns - self.received_mono_ns, self.sent_mono_ns - now_mono_ns)
        return (self.round_trip_ns + 1) // 2 + round(DRIFT * apart_ns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offset:
    """What to add to a wall-clock time of ours to get the sidecar's, and the bound of its error."""

    offset_ns: int
    error_ns: int


class OffsetEstimator:
    """Keeps the exchanges of the last ten minutes; the one with the least error bound counts."""

    def __init__(self) -> None:
        self._exchanges: list[Exchange] = []
        self.steps = 0

    def add(self, exchange: Exchange) -> bool:
        """Take an exchange; False when it is impossible (a clock was set while it was under way) and was left out."""
        if exchange.t2_ns < exchange.t1_ns or exchange.round_trip_ns < 0:
            return False
        now = exchange.received_mono_ns
        kept = [old for old in self._exchanges if now - old.received_mono_ns <= WINDOW_NS]
        if any(_contradict(old, exchange) for old in kept):
            kept = []  # the sidecar's clock was set: what was measured before is about another clock
            self.steps += 1
        self._exchanges = [*kept[-_MAX_EXCHANGES + 1 :], exchange]
        return True

    def at(self, wall_ns: int, mono_ns: int) -> Offset | None:
        """The offset of a moment that both of our clocks have stamped, before or after an exchange; None without any."""
        if not self._exchanges:
            return None
        best = min(self._exchanges, key=lambda exchange: exchange.error_ns(mono_ns))
        return Offset(offset_ns=best.offset_ns + mono_ns - wall_ns, error_ns=best.error_ns(mono_ns))


def _contradict(old: Exchange, new: Exchange) -> bool:
    slewed_ns = MAX_SLEW * (new.received_mono_ns - old.received_mono_ns)
    bound_ns = (old.round_trip_ns + new.round_trip_ns) / 2 + slewed_ns + 1
    return abs(new.offset_ns - old.offset_ns) > bound_ns
