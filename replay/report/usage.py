"""What a run cost, as the sidecar tells it: the rows of `/api/v1/usage`, asked for when a run ends, kept beside its results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from replay.sidecar_api import Sidecar, SidecarAnswerError
from sidecar.model.catalogue import load_catalogue
from sidecar.model.display import aligned, digits, interval, percent, size

#: the run's own clock and the sidecar's may part by so much where no offset was measured
_MARGIN_NS = 60_000_000_000
#: how often and how long the sidecar is asked again while it has not yet joined every action with its samples
_PAUSE_S = 0.5
WAIT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRow:
    """What one action cost one container: CPU-seconds above idle with a 90 % interval, percent of one core, bytes of memory."""

    action: str
    container: str
    count: int
    measured: int
    cpu_seconds: float | None
    cpu_seconds_low: float | None
    cpu_seconds_high: float | None
    cpu_percent_mean: float | None
    cpu_percent_peak: float | None
    peak_duration_s: float | None
    memory_bytes_peak: int | None
    sent_bytes: float | None


#: heading, what stands below it, and its colour's class on a page
Column = tuple[str, Callable[[UsageRow], str], str]
COLUMNS: tuple[Column, ...] = (
    ("n\n", lambda row: str(row.count), ""),
    ("CPU-s\nmean (90 %)", lambda row: _cpu(row), "cpu"),
    ("CPU %\nmean", lambda row: percent(row.cpu_percent_mean), "cpu"),
    ("Peak %\np50 (s)", lambda row: _peak(row), "cpu"),
    ("Memory\npeak", lambda row: size(row.memory_bytes_peak), "memory"),
    ("Sent\nmean", lambda row: size(row.sent_bytes), ""),
)


def usage_rows(told: Mapping[str, Any]) -> tuple[UsageRow, ...]:
    """The rows of an answer; raises SidecarAnswerError for another shape."""
    try:
        return tuple(_row(raw) for raw in told["rows"])
    except (KeyError, TypeError, AttributeError) as error:
        raise SidecarAnswerError(f"usage has another shape ({error!r})", "let sidecar and replayer be of one version") from error


def ask(sidecar: Sidecar, run: str, from_ns: int, to_ns: int, offset_ns: int | None) -> dict[str, Any]:
    """The usage of a run that lasted from `from_ns` to `to_ns` by our clock; raises SidecarAwayError or SidecarAnswerError."""
    shift_ns = offset_ns or 0
    return sidecar.usage(run, max(0, from_ns + shift_ns - _MARGIN_NS), to_ns + shift_ns + _MARGIN_NS)


def settled(told: Mapping[str, Any], played: Mapping[str, int]) -> bool:
    """Whether the sidecar has joined every action of the run that was `played` (action -> how often) with its samples."""
    rows = usage_rows(told)
    known = {row.action: row.count for row in rows}
    return all(known.get(action, 0) >= count for action, count in played.items()) and all(
        row.measured >= row.count for row in rows
    )


def beyond(rows: Sequence[UsageRow], played: Mapping[str, int]) -> int:
    """How many actions the sidecar's figures hold beside those of the finished repetitions.

    A sidecar leaves out the attempts that did not finish. One of an older version does not: an action that came to its end in an
    attempt that failed, was interrupted or was discarded later is among them.
    """
    known = {row.action: row.count for row in rows}
    return sum(max(0, count - played.get(action, 0)) for action, count in known.items())


def beyond_note(extra: int) -> str:
    """That in words."""
    which = "attempts that failed, were interrupted or were discarded; the table of durations leaves those out"
    return f"The sidecar's figures hold {extra} action{'s' * (extra > 1)} more, of {which}."


def await_usage(
    asked: Callable[[], dict[str, Any]], played: Mapping[str, int], pause: Callable[[float], object], wait_s: float = WAIT_S
) -> dict[str, Any]:
    """Ask until everything is settled or `wait_s` is over; the last answer."""
    told = asked()
    for _ in range(round(wait_s / _PAUSE_S)):
        if settled(told, played):
            break
        pause(_PAUSE_S)
        told = asked()
    return told


def label(action: str) -> str:
    """What people read for an action."""
    known = load_catalogue()
    return known.label(action) if action in known.names else action.replace("_", " ").upper()


def table(named: Sequence[tuple[str, Sequence[UsageRow]]]) -> str:
    """Usage for a terminal; with several runs, each (setup, rows), a line per run."""
    several = len(named) > 1
    lines, before = [], None
    for action, container, setup, row in in_order(named):
        name = "" if action == before else label(action)
        before = action
        lines.append([name, container, *([setup] if several else []), *(show(row) for _, show, _ in COLUMNS)])
    heads = ["Operation", "Container", *(["Setup"] if several else []), *(head for head, _, _ in COLUMNS)]
    return aligned(heads, lines, names=3 if several else 2)


def in_order(named: Sequence[tuple[str, Sequence[UsageRow]]]) -> list[tuple[str, str, str, UsageRow]]:
    """(action, container, setup, row): by action in the catalogue's order, then container, then run."""
    names = load_catalogue().names
    rows = [(row.action, row.container, at, setup, row) for at, (setup, rows) in enumerate(named) for row in rows]
    rows.sort(key=lambda one: (names.index(one[0]) if one[0] in names else len(names), one[:3]))
    return [(action, container, setup, row) for action, container, _, setup, row in rows]


def _row(raw: Mapping[str, Any]) -> UsageRow:
    cpu = raw.get("cpu_seconds") or {}
    return UsageRow(
        action=str(raw["action"]),
        container=str(raw["container"]),
        count=int(raw["count"]),
        measured=int(raw.get("measured", raw["count"])),
        cpu_seconds=cpu.get("estimate"),
        cpu_seconds_low=cpu.get("low"),
        cpu_seconds_high=cpu.get("high"),
        **{name: raw.get(name) for name in ("cpu_percent_mean", "cpu_percent_peak", "peak_duration_s")},
        **{name: raw.get(name) for name in ("memory_bytes_peak", "sent_bytes")},
    )


def _cpu(row: UsageRow) -> str:
    return "-" if row.cpu_seconds is None else interval(row.cpu_seconds, row.cpu_seconds_low, row.cpu_seconds_high)


def _peak(row: UsageRow) -> str:
    lasted = f" ({digits(row.peak_duration_s, 2)})" if row.peak_duration_s is not None else ""
    return percent(row.cpu_percent_peak) + lasted
