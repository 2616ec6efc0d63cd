"""What a run came to, per action: how often, how long, how fast, what was sent again; as JSON and as a table. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from replay.results import Repetition
from sidecar.model.catalogue import load_catalogue
from sidecar.model.display import aligned, digits, rate_unit

#: the row over a whole session, from its first packet to its last one
SESSION = "session"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quartiles:
    """Minimum, quartiles and maximum, by linear interpolation between the values (R's type 7)."""

    low: float
    q1: float
    median: float
    q3: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Quartiles | None:
        """Those of some values; None without any."""
        if not values:
            return None
        q1, median, q3 = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else [values[0]] * 3
        return cls(low=min(values), q1=q1, median=median, q3=q3, high=max(values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One action over all repetitions. Rates are bytes per second; `retransmitted` is a sum, None without a capture.

    It counts segments that came again or late: which of the two, a capture can only guess; their sum is what was sent again.
    """

    action: str
    count: int
    duration_s: Quartiles | None
    down_rate: Quartiles | None
    up_rate: Quartiles | None
    down_bytes: int | None
    up_bytes: int | None
    retransmitted: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A run. `source` says where sizes come from; `failed` counts attempts, `discarded` repetitions on an earlier route.

    `failed_users` counts sessions of virtual users that failed in repetitions that count; they are in no row.
    """

    run: str
    scenario: str
    setup: str
    finished: int
    wanted: int
    failed: int
    discarded: int
    source: Literal["capture", "browser", "mixed", "none"]
    route: str | None
    rows: tuple[Row, ...]
    users: int = 1
    failed_users: int = 0

    def to_json(self) -> dict[str, Any]:
        """As it stands in `summary.json`."""
        return {"format": 1, **asdict(self), "rows": [asdict(row) for row in self.rows]}


#: what was transferred in a repetition (`transfers.json`), None where that is not known
Transfers = Mapping[str, Any] | None


def rows_of(played: Iterable[tuple[Repetition, Transfers]]) -> tuple[Row, ...]:
    """A row per action in the order of their first begin, then one over the whole session."""
    seen: dict[str, list[tuple[float, Mapping[str, Any] | None]]] = {}
    sessions: list[tuple[float, Mapping[str, Any] | None]] = []
    for result, transfers in played:
        windows = (transfers or {}).get("windows", {})
        for action in result.actions:
            if action.outcome == "completed" and action.duration_ns is not None:
                seen.setdefault(action.action, []).append((action.duration_ns / 1e9, windows.get(action.action_id)))
        whole = (transfers or {}).get("whole")
        lasted_ns = (whole or {}).get("duration_ns") or result.duration_ns or 0
        sessions.append((lasted_ns / 1e9, whole))
    rows = [_row(action, values) for action, values in seen.items()]
    return tuple([*rows, _row(SESSION, sessions)] if sessions else rows)


def table(summary: Summary) -> str:
    """The summary for a terminal: a table per run as the sidecar's own tables look, then what a reader must know."""
    lines = [[show(row) for _, show in _COLUMNS] for row in summary.rows]
    of = f"{summary.finished} of {summary.wanted} repetitions"
    title = f"{summary.run}: {summary.scenario}, setup {summary.setup}, {of}"
    return "\n".join([title, aligned([head for head, _ in _COLUMNS], lines) + "\n".join([*_notes(summary), ""])])


def _notes(summary: Summary) -> list[str]:
    said = {
        "capture": "Rates: bytes at the IP layer over the time from first to last packet, from the capture.",
        "browser": "Rates: what the browser (with --engine http: we) received and sent, without headers below HTTP; "
        "nothing was captured.",
        "mixed": "Rates: partly from a capture, partly from the browser; they cannot be compared.",
        "none": "No sizes are known.",
    }
    notes = [said[summary.source]]
    if summary.users > 1 and summary.source == "browser":
        notes = [
            "Rates: what each user's browser (with --engine http: we) received and sent, without headers below HTTP; a capture "
            "has all users together, in repetition-NNN/transfers.json."
        ]
    if summary.users > 1:
        notes.append(f"{summary.users} users in each repetition, each a session in its folder user-NN/.")
    if summary.failed_users:
        notes.append(f"{_count(summary.failed_users, 'session')} of users failed, and in no row.")
    if summary.failed:
        notes.append(f"{_count(summary.failed, 'attempt')} failed; the evidence is in the folder failed/.")
    if summary.discarded:
        notes.append(f"Not counted because the route changed: {_count(summary.discarded, 'repetition')}, in discarded/.")
    if summary.route is not None:
        silent = set(summary.route.split()) <= {"*"}
        notes.append(f"Route: {'no hop answered, so a change of it would not be seen' if silent else summary.route}")
    return notes


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _row(action: str, values: Sequence[tuple[float, Mapping[str, Any] | None]]) -> Row:
    known = [transfer for _, transfer in values if transfer is not None]
    again = [one["retransmitted"] + one.get("out_of_order", 0) for one in known if one.get("retransmitted") is not None]
    return Row(
        action=action,
        count=len(values),
        duration_s=Quartiles.of([seconds for seconds, _ in values]),
        down_rate=Quartiles.of([one["down_rate"] for one in known if one.get("down_rate") is not None]),
        up_rate=Quartiles.of([one["up_rate"] for one in known if one.get("up_rate") is not None]),
        down_bytes=_sum(known, "down_bytes"),
        up_bytes=_sum(known, "up_bytes"),
        retransmitted=sum(again) if again else None,
    )


def _sum(known: Sequence[Mapping[str, Any]], name: str) -> int | None:
    values = [one[name] for one in known if one.get(name) is not None]
    return sum(values) if values else None


def _label(row: Row) -> str:
    return "whole session" if row.action == SESSION else load_catalogue().label(row.action)


def _rate(value: float | None) -> str:
    if value is None:
        return "-"
    scale, unit = rate_unit(value)
    return f"{digits(value / scale)} {unit}"


def _quartiles(value: Quartiles | None) -> str:
    return "-" if value is None else f"{digits(value.median)} ({digits(value.q1)}-{digits(value.q3)})"


_COLUMNS: tuple[tuple[str, Callable[[Row], str]], ...] = (
    ("Operation\n", _label),
    ("n\n", lambda row: str(row.count)),
    ("Duration s\np50 (p25-p75)", lambda row: _quartiles(row.duration_s)),
    ("Down\np50", lambda row: _rate(row.down_rate.median if row.down_rate else None)),
    ("Up\np50", lambda row: _rate(row.up_rate.median if row.up_rate else None)),
    ("Sent again\nor late", lambda row: "-" if row.retransmitted is None else str(row.retransmitted)),
)
