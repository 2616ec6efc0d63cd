"""When which exams are sent: bursts some time apart, as the study saw them come over a day (Fig 7); pure and by seed."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from replay.upload.faults import UploadUsageError

_SECONDS = {"s": 1, "m": 60, "h": 3600}
_BYTES = {"": 1, "k": 1000, "M": 1_000_000, "G": 1_000_000_000}


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """Exams that are sent one after the other. `number` and `exams` count from 1; `after_s` is its distance to the last burst."""

    number: int
    after_s: float
    exams: tuple[int, ...]


def schedule(exams: int, *, bursts: int, every_s: float, variation: float, seed: int) -> list[Burst]:
    """Deal the exams out evenly, in order; the same arguments always give the same bursts.

    Burst k begins at (k - 1) x `every_s`, shifted by up to `variation` x `every_s` / 2 to either side; the first one at once.
    Raises UploadUsageError when a burst would stay empty.
    """
    if not 1 <= bursts <= exams:
        raise UploadUsageError(f"{exams} exams cannot be sent in {bursts} bursts", "send at least one exam in each burst")
    if not 0 <= variation <= 1:
        raise UploadUsageError(f"--variation {variation:g} is not within 0 and 1", "write for example --variation 0.2")
    rng = random.Random(seed)  # noqa: S311  (an arrival pattern, no secret)
    begins_s = [0.0] + [every_s * (number + variation * (rng.random() - 0.5)) for number in range(1, bursts)]
    fewest, more = divmod(exams, bursts)
    dealt, first = [], 1
    for number in range(1, bursts + 1):
        count = fewest + (number <= more)
        after_s = begins_s[number - 1] - (begins_s[number - 2] if number > 1 else 0.0)
        dealt.append(Burst(number=number, after_s=max(0.0, after_s), exams=tuple(range(first, first + count))))
        first += count
    return dealt


def seconds(text: str) -> float:
    """`90s`, `30m`, `1.5h` as seconds; a number alone is seconds. Raises UploadUsageError."""
    matched = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    if matched is None:
        raise UploadUsageError(f"the time {text!r} is not understood", "write for example 90s, 30m or 2h")
    return float(matched[1]) * _SECONDS[matched[2] or "s"]


def byte_rate(text: str) -> int:
    """`500kB`, `5MB/s`, `1GB` as bytes per second (k is 1000). Raises UploadUsageError."""
    matched = re.fullmatch(r"(\d+(?:\.\d+)?)([kMG]?)B?(?:/s)?", text)
    rate = round(float(matched[1]) * _BYTES[matched[2]]) if matched else 0
    if rate < 1:
        raise UploadUsageError(f"the rate {text!r} is not understood", "write for example 500kB or 5MB (per second)")
    return rate
