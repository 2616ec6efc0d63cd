"""What the extension told against what the replayer did, action by action. Pure.

Both clocks are those of the machine that plays. The replayer marks just before it presses, and its end is the moment at which
it saw that the step's expectations were met: 10 to 20 ms of a begin's error, and one look of an end's, are its own.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

from replay.results import ActionResult
from sidecar.model.catalogue import load_catalogue
from sidecar.model.records import Marker

#: two begins further apart are not of the same action
NEAR_NS = 2_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One action as the extension told it; `end_ns` None while it is open. Times are the machine's wall clock."""

    action: str
    begin_ns: int
    end_ns: int | None
    cancelled: bool = False
    ticks: int | None = None
    parts: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One action: both times None where the extension missed it, errors are told minus true.

    `parts`: as how many actions it was told, because the replayer's input paused in it for longer than ends such an action.
    """

    action: str
    found: bool
    wrong: bool
    begin_ns: int
    begin_error_ms: float | None = None
    end_error_ms: float | None = None
    parts: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One action over all repetitions; errors are medians and 95th percentiles of their sizes, None where nothing was found.

    `split`: how many of those found were told in parts.
    """

    action: str
    true: int
    found: int
    missed: int
    wrong: int
    begin_p50_ms: float | None
    begin_p95_ms: float | None
    end_p50_ms: float | None
    end_p95_ms: float | None
    split: int = 0


def told_actions(markers: Iterable[Marker]) -> list[Told]:
    """The actions that markers amount to, by their begin; an end lies behind its begin by the monotonic clock."""
    begins: dict[str, Marker] = {}
    finishes: dict[str, Marker] = {}
    for marker in markers:
        (begins if marker.phase == "begin" else finishes)[marker.action_id] = marker
    found = []
    for action_id, begin in begins.items():
        finish = finishes.get(action_id)
        end_ns = None if finish is None else begin.wall_ns + finish.mono_ns - begin.mono_ns
        cancelled = finish is not None and finish.phase == "cancel"
        ticks = finish.attributes.get("ticks") if finish is not None else None
        told = Told(
            action=begin.action,
            begin_ns=begin.wall_ns,
            end_ns=end_ns,
            cancelled=cancelled,
            ticks=ticks if isinstance(ticks, int) else None,
        )
        found.append(told)
    return sorted(found, key=lambda told: told.begin_ns)


def compare(truths: Iterable[ActionResult], told: Iterable[Told]) -> list[Compared]:
    """Each true action with the nearest told one of its name, the nearest pairs first; what is left over is wrong.

    Only what was completed counts, on both sides. What is over after a silence (scrolling) may be told in parts: on a busy
    machine a step's wheel may stand still for that long, and the extension then rightly tells another action.
    """
    done = [true for true in truths if true.outcome == "completed" and true.duration_ns is not None]
    free = _joined(done, [one for one in told if one.end_ns is not None and not one.cancelled])
    pairs = sorted(
        (abs(one.begin_ns - true.begin_ns), at, place)
        for at, true in enumerate(done)
        for place, one in enumerate(free)
        if one.action == true.action and abs(one.begin_ns - true.begin_ns) <= NEAR_NS
    )
    partner: dict[int, int] = {}
    for _, at, place in pairs:
        if at not in partner and place not in partner.values():
            partner[at] = place
    compared = [_pair(true, free[partner[at]] if at in partner else None) for at, true in enumerate(done)]
    left = [one for place, one in enumerate(free) if place not in partner.values()]
    compared += [Compared(action=one.action, found=False, wrong=True, begin_ns=one.begin_ns) for one in left]
    return sorted(compared, key=lambda one: one.begin_ns)


def _joined(done: Sequence[ActionResult], told: Sequence[Told]) -> list[Told]:
    """The same with the parts of one true action as one."""
    left = list(told)
    for true in done:
        parts = [one for one in left if _lies_in(one, true)]
        if len(parts) > 1 and _are_parts(parts, true):
            left = [one for one in left if one not in parts]
            left.append(replace(parts[0], end_ns=parts[-1].end_ns, parts=len(parts)))
    return sorted(left, key=lambda one: one.begin_ns)


def _lies_in(one: Told, true: ActionResult) -> bool:
    if one.action != true.action or one.end_ns is None or true.duration_ns is None:
        return False
    return true.begin_ns <= one.begin_ns and one.end_ns <= true.begin_ns + true.duration_ns


def _are_parts(parts: Sequence[Told], true: ActionResult) -> bool:
    """Whether they are the whole of it, notch for notch, and so far from each other that each had to be over before the next."""
    silence_ns = _silence_ns(true.action)
    apart = [after.begin_ns - (before.end_ns or 0) for before, after in pairwise(parts)]
    whole = sum(one.ticks or 0 for one in parts) == true.attributes.get("ticks")
    return whole and silence_ns is not None and min(apart) > silence_ns


def _silence_ns(action: str) -> int | None:
    """After how long without input an action of this name is over; None where something else ends it."""
    ends = load_catalogue()[action].dom["end"]
    return next((round(end["after_ms"] * 1e6) for end in ends if end["by"] == "timer"), None)


def rows_of(compared: Sequence[Compared]) -> list[Row]:
    """A row per action in the order of their first begin, and one over all, named `all`."""
    names = list(dict.fromkeys(one.action for one in compared))
    rows = [_row(name, [one for one in compared if one.action == name]) for name in names]
    return [*rows, _row("all", compared)] if compared else []


def table(rows: Sequence[Row]) -> str:
    """The rows for a terminal."""
    head = f"{'Operation':18} {'true':>5} {'found':>6} {'missed':>7} {'wrong':>6}"
    head += f" {'begin p50':>10} {'p95':>6} {'end p50':>8} {'p95':>6}"
    lines = ["The extension against the replayer, times in ms", head, "-" * len(head)]
    for row in rows:
        name = "all" if row.action == "all" else load_catalogue().label(row.action)
        begin = f"{_show(row.begin_p50_ms):>10} {_show(row.begin_p95_ms):>6}"
        end = f"{_show(row.end_p50_ms):>8} {_show(row.end_p95_ms):>6}"
        lines.append(f"{name:18} {row.true:5} {row.found:6} {row.missed:7} {row.wrong:6} {begin} {end}")
    if rows and rows[-1].split:
        lines.append(f"{rows[-1].split} of them in parts: the replayer's wheel stood still for longer than ends a scroll.")
    return "\n".join(lines) + "\n"


def to_json(compared: Sequence[Compared]) -> dict[str, Any]:
    """As it stands in `truth.json`."""
    return {"format": 1, "rows": [asdict(row) for row in rows_of(compared)], "actions": [asdict(one) for one in compared]}


def from_json(raw: Mapping[str, Any]) -> list[Compared]:
    """The actions of a `truth.json`."""
    return [Compared(**one) for one in raw["actions"]]


def _pair(true: ActionResult, told: Told | None) -> Compared:
    if told is None or told.end_ns is None or true.duration_ns is None:
        return Compared(action=true.action, found=False, wrong=False, begin_ns=true.begin_ns)
    return Compared(
        action=true.action,
        found=True,
        wrong=False,
        begin_ns=true.begin_ns,
        begin_error_ms=(told.begin_ns - true.begin_ns) / 1e6,
        end_error_ms=(told.end_ns - true.begin_ns - true.duration_ns) / 1e6,
        parts=told.parts,
    )


def _row(name: str, compared: Sequence[Compared]) -> Row:
    true = [one for one in compared if not one.wrong]
    begins = [abs(one.begin_error_ms) for one in true if one.begin_error_ms is not None]
    ends = [abs(one.end_error_ms) for one in true if one.end_error_ms is not None]
    return Row(
        action=name,
        true=len(true),
        found=sum(one.found for one in true),
        missed=sum(not one.found for one in true),
        wrong=sum(one.wrong for one in compared),
        begin_p50_ms=_at(begins, 50),
        begin_p95_ms=_at(begins, 95),
        end_p50_ms=_at(ends, 50),
        end_p95_ms=_at(ends, 95),
        split=sum(one.parts > 1 for one in true),
    )


def _at(values: Sequence[float], percent: int) -> float | None:
    """A percentile by linear interpolation between the values (R's type 7)."""
    if not values:
        return None
    return values[0] if len(values) == 1 else statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def _show(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
