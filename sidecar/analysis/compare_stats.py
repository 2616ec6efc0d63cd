"""The statistics of a comparison: shifts between blocks of repetitions that outliers do not move. Pure, standard library.

A block is what ran between two restarts of the server: a lucky start shifts all of its repetitions alike, so blocks, not
repetitions, are what a verdict generalises from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median, variance

from sidecar.analysis.summary import student_quantile, student_tail

#: values further out than this many standard deviations count as if they were there (Huber)
_HUBER = 1.5
#: from the median absolute deviation to a standard deviation
_MAD = 1.4826

#: logs of one side, by block
Side = Mapping[int, Sequence[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """How much one side lies above the other, in logs: mean over blocks, its standard error, degrees of freedom."""

    mean: float
    error: float
    freedom: float

    @property
    def half(self) -> float:
        """Half the width of the 90 % interval."""
        return student_quantile(0.95, self.freedom) * self.error

    def p_above(self) -> float:
        """One-sided p of a shift as high as this where there is none."""
        return student_tail(self.mean / self.error, self.freedom)


@dataclass(frozen=True, slots=True)
class Blocks:
    """One quantity: the shift of each block, the mean of their variances, and how many residuals told the scale."""

    shifts: tuple[float, ...]
    noise: float
    scale: float
    residuals: int

    @property
    def between(self) -> float:
        """Variance between blocks beyond what repetitions explain; may be negative."""
        return variance(self.shifts) - self.noise if len(self.shifts) > 1 else 0.0


def huber_blocks(baseline: Side, candidate: Side) -> Blocks:
    """One-step Huber shift of the candidate in each block, with a scale from all blocks and both sides.

    Both sides have the same blocks, each with values. Source: Huber, Robust Statistics, one-step M-estimator.
    """
    numbers = sorted(baseline)
    middles = [(median(baseline[k]), median(candidate[k])) for k in numbers]
    rest = [([v - mx for v in baseline[k]], [v - my for v in candidate[k]]) for k, (mx, my) in zip(numbers, middles, strict=True)]
    every = [v for pair in rest for side in pair for v in side]
    count, fitted = len(every), 2 * len(numbers)
    centre = median(every)
    # A constant quantity has no scale: a billionth keeps the arithmetic going and no verdict can come from it.
    scale = max(_MAD * median(abs(v - centre) for v in every) * (1 + fitted / count), 1e-9)
    psi = [[[max(-_HUBER, min(_HUBER, v / scale)) for v in side] for side in pair] for pair in rest]
    inside = max(sum(abs(v / scale) < _HUBER for v in every) / count, 1 / count)
    flat = [v for pair in psi for side in pair for v in side]
    left = max(1, count - fitted)
    one = scale**2 * fmean(v * v for v in flat) / inside**2 * count / left
    shifts = tuple(
        (my + scale * fmean(py) / inside) - (mx + scale * fmean(px) / inside)
        for (mx, my), (px, py) in zip(middles, psi, strict=True)
    )
    noise = fmean(one * (1 / len(baseline[k]) + 1 / len(candidate[k])) for k in numbers)
    return Blocks(shifts, noise, scale, left)


def shifts(found: Mapping[str, Blocks], floor: float, stored: float = 0.0) -> Mapping[str, Shift]:
    """Random-effects means of one metric, by action; the variance between restarts is pooled over all actions and has a floor.

    `floor` is the least standard deviation of one restart; `stored` that of a day, for a baseline that was measured on another.
    """
    pooled = max(2 * floor**2, fmean(blocks.between for blocks in found.values()), 0.0)
    made = {}
    for name, blocks in found.items():
        number = len(blocks.shifts)
        share = blocks.noise / (blocks.noise + pooled)
        restarts = (number - 1) * len(found) if number > 1 else 1e9
        freedom = 1 / (share**2 / blocks.residuals + (1 - share) ** 2 / restarts)
        error = math.sqrt((blocks.noise + pooled) / number + 2 * stored**2)
        made[name] = Shift(mean=fmean(blocks.shifts), error=error, freedom=freedom)
    return made


def spread_of(values: Sequence[float]) -> tuple[float, float]:
    """Median and robust standard deviation."""
    middle = median(values)
    return middle, max(_MAD * median(abs(v - middle) for v in values), 1e-9)


def holm(p_values: Mapping[tuple[str, str], float], alpha: float) -> set[tuple[str, str]]:
    """Those of many tests that are rejected so that no false one is among them, but with probability `alpha` (Holm 1979)."""
    rejected: set[tuple[str, str]] = set()
    for place, (name, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        if p > alpha / (len(p_values) - place):
            break
        rejected.add(name)
    return rejected
