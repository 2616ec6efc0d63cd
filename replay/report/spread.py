"""How values are spread, and the axis on which several spreads are drawn. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from replay.summary import Quartiles
from sidecar.model.display import nice

#: below so many values quartiles say little: each value is drawn
FEW = 5
#: past this ratio of the highest to the lowest value an axis is logarithmic
_WIDE = 25.0
_STEPS = (1.0, 2.0, 5.0)
_MOST_TICKS = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A box plot's figures: quartiles as `replay.summary.Quartiles` has them, and Tukey's whiskers.

    `low` and `high` are the most extreme values no further than 1.5 interquartile ranges from the box; what lies beyond is in
    `outliers`. `values` are sorted.
    """

    values: tuple[float, ...]
    low: float
    q1: float
    median: float
    q3: float
    high: float
    outliers: tuple[float, ...]

    @property
    def n(self) -> int:
        """How many values."""
        return len(self.values)

    @property
    def mean(self) -> float:
        """The arithmetic mean."""
        return sum(self.values) / len(self.values)

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread | None:
        """That of some values; None without any."""
        known = tuple(sorted(values))
        quartiles = Quartiles.of(known)
        if quartiles is None:
            return None
        reach = 1.5 * (quartiles.q3 - quartiles.q1)
        near = [value for value in known if quartiles.q1 - reach <= value <= quartiles.q3 + reach]
        return cls(
            values=known,
            low=min(near),
            q1=quartiles.q1,
            median=quartiles.median,
            q3=quartiles.q3,
            high=max(near),
            outliers=tuple(value for value in known if not near[0] <= value <= near[-1]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """From `low` to `high`; logarithmic where values are too far apart for one linear scale, else from zero."""

    low: float
    high: float
    log: bool

    @classmethod
    def of(cls, values: Sequence[float]) -> Axis:
        """The axis on which all of these have room."""
        positive = [value for value in values if value > 0]
        if not positive:
            return cls(low=0.0, high=1.0, log=False)
        if min(values) > 0 and max(values) / min(values) > _WIDE:
            return cls(low=_rounded(min(values), up=False), high=_rounded(max(values), up=True), log=True)
        return cls(low=0.0, high=nice(max(values), 1e-9), log=False)

    def at(self, value: float) -> float:
        """Where a value lies: 0 at the low end, 1 at the high end."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Values to write at the axis, both ends among them."""
        if not self.log:
            return [self.high * part / 4 for part in range(5)]
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        every = [step * 10.0**power for power in powers for step in _STEPS]
        within = [tick for tick in every if self.low * 0.999 <= tick <= self.high * 1.001]
        if len(within) <= _MOST_TICKS:
            return within
        decades = [10.0**power for power in powers if self.low * 1.5 < 10.0**power < self.high / 1.5]
        return [self.low, *decades, self.high]


def _rounded(value: float, *, up: bool) -> float:
    """The nearest 1, 2 or 5 times a power of ten below (or above) a value."""
    power = 10.0 ** math.floor(math.log10(value))
    steps = [step * power for step in (*_STEPS, 10.0)]
    if up:
        return next(step for step in steps if step >= value * (1 - 1e-9))
    return next(step for step in reversed(steps) if step <= value * (1 + 1e-9))
