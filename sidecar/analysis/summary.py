"""Numbers that stand for many: percentiles, and the mean with its interval. Pure, standard library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, stdev

#: two-sided level of every interval that is shown
LEVEL = 0.90
#: degrees of freedom below which an expansion does not do
_FEW = 3.0


@dataclass(frozen=True, slots=True)
class Spread:
    """How a quantity is distributed over the actions of a group."""

    mean: float
    p50: float
    p95: float
    min: float
    max: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean and its interval; `low` and `high` are None when one value alone says nothing about the spread."""

    estimate: float
    low: float | None
    high: float | None


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the values lie, linear between neighbours (Hyndman and Fan's type 7)."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def median_of(values: Sequence[float]) -> float | None:
    """The median; None of nothing."""
    return percentile(values, 0.5) if values else None


def spread(values: Sequence[float]) -> Spread | None:
    """Mean, p50, p95, minimum and maximum; None of nothing."""
    if not values:
        return None
    return Spread(fmean(values), percentile(values, 0.5), percentile(values, 0.95), min(values), max(values))


def mean_interval(values: Sequence[float], level: float = LEVEL) -> Estimate | None:
    """The mean of quantities that cannot be negative, with Student's interval for it; None of nothing.

    The interval is for the mean of such actions, not for the next one. It assumes that the values are independent; its lower
    edge is cut at zero.
    """
    if not values:
        return None
    mean = fmean(values)
    if len(values) < 2:
        return Estimate(mean, None, None)
    half = student_quantile(0.5 + level / 2, len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return Estimate(mean, max(0.0, mean - half), mean + half)


def student_quantile(p: float, freedom: float) -> float:
    """Quantile of Student's t distribution for 0.5 <= p < 1 and at least one degree of freedom, which may be a fraction.

    Below 3 degrees of freedom by halving on the tail, since the expansion is up to 5 % low there; else the expansion 26.7.5 of
    Abramowitz and Stegun's Handbook of Mathematical Functions (within 0.3 % at p = 0.95).
    """
    if freedom < _FEW:
        low, high = 0.0, 1.0
        while student_tail(high, freedom) > 1 - p:
            low, high = high, 2 * high
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if student_tail(middle, freedom) > 1 - p else (low, middle)
        return (low + high) / 2
    x = NormalDist().inv_cdf(p)
    g1 = (x**3 + x) / 4
    g2 = (5 * x**5 + 16 * x**3 + 3 * x) / 96
    g3 = (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / 384
    g4 = (79 * x**9 + 776 * x**7 + 1482 * x**5 - 1920 * x**3 - 945 * x) / 92160
    return x + g1 / freedom + g2 / freedom**2 + g3 / freedom**3 + g4 / freedom**4


def student_tail(t: float, freedom: float) -> float:
    """P(T > t) of Student's t: half the regularised incomplete beta function."""
    tail = _incomplete_beta(freedom / (freedom + t * t), freedom / 2, 0.5) / 2
    return tail if t >= 0 else 1 - tail


def _incomplete_beta(x: float, a: float, b: float) -> float:
    """Regularised incomplete beta function by its continued fraction (Abramowitz and Stegun 26.5.8, Lentz's algorithm)."""
    if x <= 0 or x >= 1:
        return min(1.0, max(0.0, x))
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(1 - x, b, a)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)) / a
    tiny = 1e-300
    c, d = 1.0, 1 / ((1 - (a + b) * x / (a + 1)) or tiny)
    value = d
    for m in range(1, 1000):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / ((1 + term * d) or tiny)
            c = (1 + term / c) or tiny
            value *= c * d
        if abs(c * d - 1) < 1e-12:
            break
    return front * value
