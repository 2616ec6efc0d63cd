"""Is the candidate better, the same or worse than the baseline? Per action, for CPU-seconds and duration, on logs. Pure.

Repetitions stand in blocks between restarts; what all actions of a repetition share (the machine's state, the time of day) is
taken out first and judged by itself. Where both sides ran in turn within each block, a difference is the server's; a baseline of
another day gets wider intervals and no verdict about everything at once. Many tests are corrected by Holm's procedure, and a
proven difference counts only if it is large enough to matter.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, median
from typing import Any, Literal

from sidecar.analysis.compare_stats import Blocks, Shift, holm, huber_blocks, shifts, spread_of

Verdict = Literal["better", "same", "worse", "not enough data"]
#: as a number: for curves and alerts
CODES: Mapping[Verdict, int] = {"better": -1, "same": 0, "worse": 1, "not enough data": 2}
METRICS = ("cpu", "duration")
#: a smaller change does not matter, even when it is proven
GATE: Mapping[str, float] = {"cpu": 0.03, "duration": 0.05}
#: the interval must lie inside this for "same"
EQUAL: Mapping[str, float] = {"cpu": 0.05, "duration": 0.08}
#: least standard deviation between restarts
FLOOR: Mapping[str, float] = {"cpu": 0.010, "duration": 0.015}
#: the same where one restart a side cannot tell it: a restart's 2 and 3 % without the half of its variance that actions share
UNKNOWN: Mapping[str, float] = {"cpu": 0.014, "duration": 0.021}
ALPHA = 0.05
#: of it, what is spent on single actions; the rest is for the common factor, half per metric
ALPHA_EACH, ALPHA_ALL = 0.04, 0.005
LEAST_BLOCKS, LEAST_VALUES = 3, 5
#: so many actions make a common factor
LEAST_ACTIONS = 5
#: name of what all actions share
EVERYTHING = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Repetition:
    """One repetition of a scenario: `values` are (CPU-seconds over all containers, seconds) per action, both above zero."""

    block: int
    start_ns: int
    end_ns: int
    values: Mapping[str, tuple[float | None, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One action and metric: relative change of the candidate with its 90 % interval, all as fractions (0.1 is 10 % more).

    `more` is how many more repetitions a side would probably decide, None where there is a verdict.
    """

    action: str
    metric: str
    verdict: Verdict
    change: float
    low: float
    high: float
    noise: float
    repetitions: int
    blocks: int
    more: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All changes, the one verdict, and what a reader has to know."""

    verdict: Verdict
    changes: tuple[Change, ...]
    interleaved: bool
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The public form."""
        return {
            "verdict": self.verdict,
            "interleaved": self.interleaved,
            "rows": [asdict(change) for change in self.changes],
            "notes": list(self.notes),
        }


#: logs by block, one side
_Logs = dict[int, list[float]]


def compare(baseline: Sequence[Repetition], candidate: Sequence[Repetition]) -> Comparison:
    """Judge the candidate's repetitions against the baseline's. The first repetition of each block is warm-up and is dropped."""
    sides = [_kept(baseline), _kept(candidate)]
    blocks = min(len({one.block for one in side}) for side in sides)
    interleaved = blocks > 0 and _interleaved(sides[0], sides[1], blocks)
    notes = []
    changes: list[Change] = []
    found: dict[tuple[str, str], _Compared] = {}
    common: dict[str, _Compared] = {}
    floor = FLOOR if blocks > 1 else UNKNOWN
    for place, metric in enumerate(METRICS):
        logs = {name: _logs(sides, name, place, blocks) for name in sorted(_names(sides))}
        usable = {name: one for name, one in logs.items() if one is not None}
        left_out = sorted(logs.keys() - usable.keys())
        if blocks and left_out:
            notes.append(f"{metric}: not compared, for they are not in every block of both sides: {', '.join(left_out)}")
        cleaned, shared = _without_common(usable, sides, place, blocks)
        found |= {(name, metric): _compared(*pair) for name, pair in cleaned.items()}
        if shared is not None:
            common[metric] = _compared(*shared)
    judged = _shifts(found, floor, interleaved=interleaved)
    alpha = ALPHA_EACH if interleaved and common else ALPHA
    worse = holm({key: one.p_above() for key, one in judged.items()}, alpha)
    better = holm({key: 1 - one.p_above() for key, one in judged.items()}, ALPHA)
    for (name, metric), one in judged.items():
        data = found[name, metric]
        changes.append(_change(name, metric, one, data, (name, metric) in worse, (name, metric) in better, data.enough))
    for metric, data in common.items():
        one = shifts({EVERYTHING: data.blocks}, floor[metric] / 0.7, 0.0 if interleaved else FLOOR[metric])[EVERYTHING]
        proven = interleaved and one.p_above() < ALPHA_ALL
        gained = interleaved and 1 - one.p_above() < ALPHA_ALL
        changes.append(_change(EVERYTHING, metric, one, data, proven, gained, data.enough and interleaved))
    enough = any(data.enough for data in found.values())
    notes += _notes(changes, blocks, enough, interleaved=interleaved)
    if changes and (unused := max(len({one.block for one in side}) for side in sides) - blocks):
        notes.append(f"one side has {unused} more restarts than the other: its last ones are not used")
    ordered = sorted(changes, key=lambda one: (one.action == EVERYTHING, one.action, one.metric))
    return Comparison(verdict=_whole(changes), changes=tuple(ordered), interleaved=interleaved, notes=tuple(notes))


def _kept(side: Sequence[Repetition]) -> list[Repetition]:
    """Repetitions in time, blocks numbered from 0, without the first of each block; blocks that have nothing else are gone."""
    blocks: dict[int, list[Repetition]] = {}
    for one in sorted(side, key=lambda one: one.start_ns):
        blocks.setdefault(one.block, []).append(one)
    warm = [every[1:] for every in blocks.values() if len(every) > 1]
    return [
        Repetition(block=number, start_ns=one.start_ns, end_ns=one.end_ns, values=one.values)
        for number, every in enumerate(warm)
        for one in every
    ]


def _names(sides: Iterable[Sequence[Repetition]]) -> set[str]:
    return {name for side in sides for one in side for name in one.values}


def _value(one: Repetition, name: str, place: int) -> float | None:
    value = one.values.get(name, (None, 0.0))[place]
    return math.log(value) if value is not None and value > 0 else None


def _logs(sides: Sequence[Sequence[Repetition]], name: str, place: int, blocks: int) -> tuple[_Logs, _Logs] | None:
    made: list[_Logs] = []
    for side in sides:
        logs: _Logs = {}
        for one in side:
            if one.block < blocks and (value := _value(one, name, place)) is not None:
                logs.setdefault(one.block, []).append(value)
        made.append(logs)
    whole = all(len(logs) == blocks for logs in made) and sum(len(v) for logs in made for v in logs.values()) > 2 * blocks
    return (made[0], made[1]) if whole and blocks else None


def _without_common(
    usable: Mapping[str, tuple[_Logs, _Logs]], sides: Sequence[Sequence[Repetition]], place: int, blocks: int
) -> tuple[Mapping[str, tuple[_Logs, _Logs]], tuple[_Logs, _Logs] | None]:
    """The logs without what all actions of a repetition share, and that as a quantity of its own."""
    if len(usable) < LEAST_ACTIONS:
        return usable, None
    scales = {name: spread_of([v for logs in pair for values in logs.values() for v in values]) for name, pair in usable.items()}
    typical = median(scale for _, scale in scales.values())
    cleaned: dict[str, tuple[_Logs, _Logs]] = {name: ({}, {}) for name in usable}
    shared: tuple[_Logs, _Logs] = ({}, {})
    for number, side in enumerate(sides):
        for one in side:
            if one.block >= blocks:
                continue
            known = {name: value for name in usable if (value := _value(one, name, place)) is not None}
            if len(known) < LEAST_ACTIONS:
                continue
            factor = median((value - scales[name][0]) / scales[name][1] for name, value in known.items())
            shared[number].setdefault(one.block, []).append(factor * typical)
            for name, value in known.items():
                cleaned[name][number].setdefault(one.block, []).append(value - factor * scales[name][1])
    if any(len(logs) < blocks for logs in shared) or any(len(logs) < blocks for pair in cleaned.values() for logs in pair):
        return usable, None
    return cleaned, shared


def _interleaved(x: Sequence[Repetition], y: Sequence[Repetition], blocks: int) -> bool:
    """Whether in each block both sides ran in turn: neither began after the other had ended."""

    def span(side: Sequence[Repetition], block: int) -> tuple[int, int]:
        mine = [one for one in side if one.block == block]
        return min(one.start_ns for one in mine), max(one.end_ns for one in mine)

    pairs = [(span(x, block), span(y, block)) for block in range(blocks)]
    return all(a[0] < b[1] and b[0] < a[1] for a, b in pairs)


@dataclass(frozen=True, slots=True)
class _Compared:
    """One quantity of both sides: its blocks, and how many values the poorer side has, in all and in its poorest block."""

    blocks: Blocks
    repetitions: int
    fewest: int

    @property
    def enough(self) -> bool:
        """Whether there may be a verdict."""
        return len(self.blocks.shifts) >= LEAST_BLOCKS and self.fewest >= LEAST_VALUES


def _compared(x: _Logs, y: _Logs) -> _Compared:
    counts = [[len(values) for values in side.values()] for side in (x, y)]
    return _Compared(huber_blocks(x, y), min(map(sum, counts)), min(map(min, counts)))


def _shifts(
    found: Mapping[tuple[str, str], _Compared], floor: Mapping[str, float], *, interleaved: bool
) -> Mapping[tuple[str, str], Shift]:
    made: dict[tuple[str, str], Shift] = {}
    for metric in METRICS:
        mine = {name: data.blocks for (name, of), data in found.items() if of == metric}
        if mine:
            told = shifts(mine, floor[metric], 0.0 if interleaved else FLOOR[metric])
            made |= {(name, metric): one for name, one in told.items()}
    return made


def _change(name: str, metric: str, one: Shift, data: _Compared, worse: bool, better: bool, enough: bool) -> Change:
    low, high = one.mean - one.half, one.mean + one.half
    verdict: Verdict = "not enough data"
    if enough and worse and one.mean >= math.log1p(GATE[metric]):
        verdict = "worse"
    elif enough and better and one.mean <= -math.log1p(GATE[metric]):
        verdict = "better"
    elif enough and -math.log1p(EQUAL[metric]) < low and high < math.log1p(EQUAL[metric]):
        verdict = "same"
    blocks, count = len(data.blocks.shifts), data.repetitions
    wanted = max(math.ceil(count * (one.half / 0.05) ** 2), LEAST_BLOCKS * LEAST_VALUES) - count
    restarts = (LEAST_BLOCKS - blocks) * LEAST_VALUES  # those that there are make up for none that is missing
    return Change(
        action=name,
        metric=metric,
        verdict=verdict,
        change=math.expm1(one.mean),
        low=math.expm1(low),
        high=math.expm1(high),
        noise=data.blocks.scale,
        repetitions=count,
        blocks=blocks,
        more=max(1, wanted, restarts) if verdict == "not enough data" else None,
    )


def _whole(changes: Sequence[Change]) -> Verdict:
    told = {one.verdict for one in changes}
    if "worse" in told:
        return "worse"
    if "better" in told:
        return "better"
    # The common factor alone may stay open: a baseline of another day cannot decide it.
    of_actions = {one.verdict for one in changes if one.action != EVERYTHING}
    return "same" if of_actions == {"same"} else "not enough data"


def _notes(changes: Sequence[Change], blocks: int, enough: bool, *, interleaved: bool) -> list[str]:
    if not changes:
        return ["nothing to compare: a side has no two repetitions of the same actions after its warm-up"]
    notes = []
    if not enough:
        notes.append(
            f"no verdict below {LEAST_BLOCKS} restarts with {LEAST_VALUES} repetitions each after the first (there are "
            f"{blocks}): one lucky start shifts a whole run"
        )
    if not interleaved:
        notes.append("the sides did not run in turn: intervals are wider, and what all actions share is not judged")
        drift = [one for one in changes if one.action == EVERYTHING and abs(one.change) > GATE[one.metric]]
        notes += [
            f"all actions {one.change:+.1%} {one.metric}: machine, load or time of day; run both in turn to know" for one in drift
        ]
    undecided = [one for one in changes if one.verdict == "not enough data" and one.action != EVERYTHING]
    if enough and undecided:
        more = max(one.more or 0 for one in undecided)
        notes.append(f"{len(undecided)} undecided: about {more} more repetitions a side would tell")
    noise = fmean(one.noise for one in changes)
    if noise > 0.10:
        notes.append(f"noise of one repetition is {noise:.0%}: repeat cheap actions within a repetition")
    return notes
