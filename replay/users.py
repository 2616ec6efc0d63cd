"""When the virtual users of a repetition arrive, and with which seeds they play: pure functions of a pattern and a seed.

Times are seconds from the begin of the repetition. The same pattern, number of users and seed give the same times everywhere.
"""

from __future__ import annotations

import itertools
import math
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sidecar.model.faults import UsageFault

DAY_HOURS = 24
_SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0}
_UNITS = "|".join(_SECONDS)
_TIME = re.compile(rf"(\d+(?:\.\d+)?)({_UNITS})", re.ASCII)
_RATE = re.compile(rf"(\d+(?:\.\d+)?)/({_UNITS})", re.ASCII)
#: weights of the hours from midnight; `clinic`: two rounds with a dip at noon, the busiest hour has a seventh of the day
PROFILES = {
    "clinic": (0, 0, 0, 0, 0, 0, 1, 4, 10, 14, 14, 11, 7, 9, 13, 12, 7, 3, 1, 1, 0, 0, 0, 0),
    "office": (0, 0, 0, 0, 0, 0, 0, 2, 8, 12, 13, 12, 8, 11, 13, 11, 7, 3, 0, 0, 0, 0, 0, 0),
}
#: apart from each other, for seeds of repetitions that are neighbours
_SEED_STEP = 2**32


class ArrivalsError(UsageFault):
    """An arrival pattern that cannot be understood."""

    def __init__(self, what: str) -> None:
        known = ", ".join(PROFILES)
        super().__init__(what, f"write at-once, ramp:60s, poisson:2/min, or day:NAME[@1h] with {known} or a file of 24 weights")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """How users arrive; made by `parse`, which is also how `text` is read.

    `span_s` is the time from the first to the last user of a ramp, or that of a whole day's busy hours; `per_s` the rate of a
    Poisson process; `weights` those of a day's hours, in the order of time.
    """

    kind: Literal["at-once", "ramp", "poisson", "day"]
    text: str
    span_s: float = 0.0
    per_s: float = 0.0
    weights: tuple[float, ...] = ()

    @classmethod
    def parse(cls, text: str, read: Callable[[str], str] = lambda name: Path(name).read_text(encoding="utf-8")) -> Pattern:
        """Understand `at-once`, `ramp:60s`, `poisson:2/min`, `day:clinic`, `day:FILE@2h`; raises ArrivalsError.

        A day's profile is made of its busy hours only: it begins with the first one that has a weight and ends with the last.
        With `@TIME` these are pressed into that time.
        """
        kind, _, value = text.partition(":")
        if text == "at-once":
            return cls(kind="at-once", text=text)
        if kind == "ramp" and (found := _TIME.fullmatch(value)):
            return cls(kind="ramp", text=text, span_s=_finite(text, float(found[1]) * _SECONDS[found[2]]))
        if kind == "poisson" and (found := _RATE.fullmatch(value)) and float(found[1]) > 0:
            return cls(kind="poisson", text=text, per_s=_finite(text, float(found[1]) / _SECONDS[found[2]]))
        if kind == "day" and value:
            return _day(text, value, read)
        raise ArrivalsError(f"{text!r} is no arrival pattern")


def arrivals(pattern: Pattern | str, n: int, seed: int) -> tuple[float, ...]:
    """When each of `n` users arrives, in seconds from the begin, never falling. Raises ArrivalsError for a text that is none.

    A ramp is even, its first user comes at 0 and its last one at its end; chance plays no part in it. A Poisson process begins
    with a pause, so user k comes after k/rate on average. On a day each user comes at a time drawn from the profile.
    """
    if isinstance(pattern, str):
        pattern = Pattern.parse(pattern)
    chance = random.Random(seed)  # noqa: S311 (variation, not a secret)
    if pattern.kind == "ramp":
        return tuple(pattern.span_s * place / (n - 1) if n > 1 else 0.0 for place in range(n))
    if pattern.kind == "poisson":
        return tuple(itertools.accumulate(chance.expovariate(pattern.per_s) for _ in range(n)))
    if pattern.kind == "day":
        hour_s = pattern.span_s / len(pattern.weights)
        hours = chance.choices(range(len(pattern.weights)), pattern.weights, k=n)
        return tuple(sorted((hour + chance.random()) * hour_s for hour in hours))
    return (0.0,) * n


def seed_of(seed: int, user: int) -> int:
    """The seed of one user (from 1) of a repetition that has `seed`: user 1 plays as a single user would, all others differ."""
    return seed + (user - 1) * _SEED_STEP


def _day(text: str, value: str, read: Callable[[str], str]) -> Pattern:
    name, _, pressed = value.rpartition("@") if "@" in value else (value, "", "")
    found = _TIME.fullmatch(pressed) if pressed else None
    if "@" in value and (found is None or float(found[1]) == 0):
        raise ArrivalsError(f"{text!r} does not say into which time the day is pressed")
    weights = PROFILES.get(name) or _weights(name, read)
    busy = [hour for hour, weight in enumerate(weights) if weight]
    kept = tuple(float(weight) for weight in weights[busy[0] : busy[-1] + 1])
    span_s = _finite(text, float(found[1]) * _SECONDS[found[2]]) if found else 3600.0 * len(kept)
    return Pattern(kind="day", text=text, span_s=span_s, weights=kept)


def _finite(text: str, number: float) -> float:
    if not math.isfinite(number):
        raise ArrivalsError(f"{text[:40]!r}… is longer than time is")
    return number


def _weights(name: str, read: Callable[[str], str]) -> tuple[float, ...]:
    try:
        lines = [line.partition("#")[0] for line in read(name).splitlines()]
        weights = tuple(float(word) for line in lines for word in re.split(r"[\s,;]+", line.strip()) if word)
    except OSError as error:
        raise ArrivalsError(f"there is no profile {name!r}, and no such file ({error.strerror})") from error
    except ValueError as error:
        raise ArrivalsError(f"the profile {name} holds more than numbers ({error})") from error
    if len(weights) != DAY_HOURS:
        raise ArrivalsError(f"the profile {name} has {len(weights)} weights, not {DAY_HOURS}")
    if not all(weight >= 0 for weight in weights) or not 0 < sum(weights) < math.inf:
        raise ArrivalsError(f"the profile {name} needs weights from 0, and one above it")
    return weights
