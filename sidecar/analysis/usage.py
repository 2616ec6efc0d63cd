"""What each action cost: joined actions become the rows of the usage tables. Pure.

The method is the window sum: everything that a container used while the action was open, its idle use included. That is exact
for actions that nobody overlapped, and says too much for those that somebody did; `overlapped` counts them.

Real people (source extension) are shown only as groups of at least `min_group` sessions. Replayed sessions are nobody, so they
are exempt; actions inferred from the access log carry no session and nothing else that tells one person from another, so there
is nobody to count and they are exempt as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any, Protocol, TypeVar

from sidecar.analysis.attempts import LeftOut
from sidecar.analysis.load import Load
from sidecar.analysis.summary import Estimate, Spread, mean_interval, median_of, spread
from sidecar.model.records import Action, ActionUsage, Session

METHOD = "window sum"
#: the study's operation that is shown as a sum, and where
COMBINED = "download_logout"
COMBINED_OF = ("download", "logout")
COMBINED_IN = "researcher"
#: the order of the study: first these tables, then the rest
TABLES = ("researcher", "radiologist")


class UsageInput(Protocol):
    """An ended action with its session and what it used per container."""

    @property
    def action(self) -> Action: ...
    @property
    def session(self) -> Session | None: ...
    @property
    def usage(self) -> Mapping[str, ActionUsage]: ...


U = TypeVar("U", bound=UsageInput)


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRow:
    """One action on one container, over `count` completed actions; numbers that no sample told are None.

    `cpu_percent_mean` is the CPU time over the open time; `cpu_percent_peak`, `peak_duration_s`, `memory_rise_bytes` and `hz` are
    medians over the actions, `memory_bytes_peak` is the highest of all; `sent_bytes` and `requests` are means per action.
    `measured` is how many of the actions had samples on this container.
    """

    action: str
    container: str
    count: int
    measured: int
    duration_s: Spread
    cpu_seconds: Estimate | None
    cpu_percent_mean: float | None
    cpu_percent_peak: float | None
    cpu_percent_peak_max: float | None
    peak_duration_s: float | None
    memory_bytes_peak: int | None
    memory_rise_bytes: float | None
    sent_bytes: float
    requests: float
    hz: float | None
    overlapped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleTable:
    """The rows of one role's or scenario's sessions: the study's Tables 1 and 2."""

    title: str
    rows: tuple[UsageRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageTable:
    """The answer of `/api/v1/usage` and of `tracemark usage`."""

    rows: tuple[UsageRow, ...]
    tables: tuple[RoleTable, ...]
    loads: tuple[Load, ...]
    suppressed: tuple[str, ...]
    left_out: LeftOut
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The public form; `idle` is cores per container, the two totals are over all containers."""
        return {
            "rows": [asdict(row) for row in self.rows],
            "tables": [{"title": table.title, "rows": [asdict(row) for row in table.rows]} for table in self.tables],
            "method": METHOD,
            "idle": {load.container: load.idle_cores for load in self.loads},
            "unattributed_cpu_seconds": sum(load.unattributed_cpu_seconds for load in self.loads) if self.loads else None,
            "total_cpu_seconds": sum(load.total_cpu_seconds for load in self.loads) if self.loads else None,
            "containers": [asdict(load) for load in self.loads],
            "suppressed": list(self.suppressed),
            "left_out": asdict(self.left_out),
            "notes": list(self.notes),
        }


def usage_table(
    rows: Iterable[UsageInput],
    *,
    loads: Iterable[Load] = (),
    min_group: int = 5,
    order: Sequence[str] = (),
    left_out: LeftOut = LeftOut(),  # noqa: B008  (frozen)
) -> UsageTable:
    """Summarise ended actions; `order` is the catalogue's, for the rows. The order of the input changes nothing.

    `left_out` tells of a run's actions that are not among them.
    """
    ordered = sorted(rows, key=lambda row: (row.action.start_ns, row.action.action_id))
    completed = [row for row in ordered if row.action.outcome == "completed"]
    shown, suppressed = suppress(completed, lambda row: row.action.action, min_group)
    tables = []
    for title in sorted({_role(row) for row in shown} - {None}, key=lambda name: (_place(name, TABLES), name)):
        of_role, few = suppress([row for row in shown if _role(row) == title], lambda row: row.action.action, min_group)
        suppressed |= few
        groups = _groups(of_role)
        if title == COMBINED_IN and (pairs := _pairs(of_role)):
            groups[COMBINED] = pairs
        if groups:
            tables.append(RoleTable(title=str(title), rows=_rows(groups, order)))
    all_rows = _rows(_groups(shown), order)
    all_loads = tuple(sorted(loads, key=lambda load: load.container))
    return UsageTable(
        rows=all_rows,
        tables=tuple(tables),
        loads=all_loads,
        suppressed=tuple(sorted(suppressed, key=lambda name: (_place(name, order), name))),
        left_out=left_out,
        notes=tuple(_notes(ordered, shown, all_rows, all_loads, suppressed, min_group, left_out)),
    )


# -- groups


@dataclass(frozen=True, slots=True)
class _Unit:
    """One line of a group: an action, or several that are shown as their sum."""

    duration_s: float
    usage: Mapping[str, ActionUsage]


def _role(row: UsageInput) -> str | None:
    return None if row.session is None else row.session.role or row.session.scenario


def suppress(rows: Sequence[U], key: Callable[[U], str], min_group: int) -> tuple[list[U], set[str]]:
    """Leave out real people's actions where fewer than `min_group` of them would stand behind a number."""
    people: dict[str, set[str | None]] = {}
    for row in rows:
        if row.action.source == "extension":
            people.setdefault(key(row), set()).add(row.action.session)
    few = {name for name, sessions in people.items() if len(sessions) < min_group}
    return [row for row in rows if row.action.source != "extension" or key(row) not in few], few


def _groups(rows: Iterable[UsageInput]) -> dict[str, list[_Unit]]:
    groups: dict[str, list[_Unit]] = {}
    for row in rows:
        groups.setdefault(row.action.action, []).append(_Unit(row.action.duration_ns / 1e9, row.usage))
    return groups


def _pairs(rows: Iterable[UsageInput]) -> list[_Unit]:
    """Each DOWNLOAD with the LOGOUT that ended its session, as their sum."""
    first, last = COMBINED_OF
    waiting: dict[str | None, UsageInput] = {}
    pairs = []
    for row in rows:
        if row.action.action == first:
            waiting[row.action.session] = row
        elif row.action.action == last and (download := waiting.pop(row.action.session, None)) is not None:
            seconds = (download.action.duration_ns + row.action.duration_ns) / 1e9
            both = download.usage.keys() & row.usage.keys()
            pairs.append(_Unit(seconds, {name: _sum(download.usage[name], row.usage[name]) for name in both}))
    return pairs


def _sum(one: ActionUsage, two: ActionUsage) -> ActionUsage:
    """Two actions one after the other as one: amounts add up, of peaks the higher one counts."""
    higher = max(one, two, key=lambda usage: usage.cpu_percent_peak or 0)
    cpu = None if one.cpu_seconds is None or two.cpu_seconds is None else one.cpu_seconds + two.cpu_seconds
    return ActionUsage(
        action_id=one.action_id,
        container=one.container,
        cpu_seconds=cpu,
        cpu_percent_mean=None,  # a group's mean is its CPU time over its open time, so nobody asks a pair for it
        cpu_percent_peak=higher.cpu_percent_peak,
        peak_duration_s=higher.peak_duration_s,
        memory_bytes_peak=max((m for m in (one.memory_bytes_peak, two.memory_bytes_peak) if m is not None), default=None),
        memory_rise_bytes=max((m for m in (one.memory_rise_bytes, two.memory_rise_bytes) if m is not None), default=None),
        rx_bytes=None if one.rx_bytes is None or two.rx_bytes is None else one.rx_bytes + two.rx_bytes,
        tx_bytes=None if one.tx_bytes is None or two.tx_bytes is None else one.tx_bytes + two.tx_bytes,
        throttled_seconds=None,
        samples=one.samples + two.samples,
        hz=higher.hz,
        sample_source=higher.sample_source,
        overlapped=one.overlapped + two.overlapped,
        requests=one.requests + two.requests,
        sent_bytes=one.sent_bytes + two.sent_bytes,
    )


# -- rows


def _place(name: str | None, order: Sequence[str]) -> int:
    return order.index(name) if name in order else len(order)


def _rows(groups: Mapping[str, Sequence[_Unit]], order: Sequence[str]) -> tuple[UsageRow, ...]:
    """The rows of each group's containers, in the catalogue's order; the sum stands right after its last part."""

    def place(name: str) -> tuple[int, int, str]:
        return (_place(COMBINED_OF[-1], order), 1, name) if name == COMBINED else (_place(name, order), 0, name)

    return tuple(
        _row(name, container, groups[name])
        for name in sorted(groups, key=place)
        for container in sorted({container for unit in groups[name] for container in unit.usage})
    )


def _row(action: str, container: str, units: Sequence[_Unit]) -> UsageRow:
    joined = [(unit.duration_s, unit.usage[container]) for unit in units if container in unit.usage]
    used = [usage for _, usage in joined]
    cpu = [(seconds, usage.cpu_seconds) for seconds, usage in joined if usage.cpu_seconds is not None]
    open_s = sum(seconds for seconds, _ in cpu)
    peaks = [usage.cpu_percent_peak for usage in used if usage.cpu_percent_peak is not None]
    durations = spread([unit.duration_s for unit in units])
    assert durations is not None  # noqa: S101  (a group has at least one action)
    return UsageRow(
        action=action,
        container=container,
        count=len(units),
        measured=len(cpu),
        duration_s=durations,
        cpu_seconds=mean_interval([seconds for _, seconds in cpu]),
        cpu_percent_mean=100 * sum(seconds for _, seconds in cpu) / open_s if open_s else None,
        cpu_percent_peak=median_of(peaks),
        cpu_percent_peak_max=max(peaks, default=None),
        peak_duration_s=median_of([u.peak_duration_s for u in used if u.peak_duration_s is not None]),
        memory_bytes_peak=max((u.memory_bytes_peak for u in used if u.memory_bytes_peak is not None), default=None),
        memory_rise_bytes=median_of([u.memory_rise_bytes for u in used if u.memory_rise_bytes is not None]),
        sent_bytes=fmean(u.sent_bytes for u in used),
        requests=fmean(u.requests for u in used),
        hz=median_of([u.hz for u in used if u.hz is not None]),
        overlapped=sum(u.overlapped > 0 for u in used),
    )


# -- what a reader must know beside the numbers


def _notes(
    given: Sequence[UsageInput],
    shown: Sequence[UsageInput],
    rows: Sequence[UsageRow],
    loads: Sequence[Load],
    suppressed: Iterable[str],
    min_group: int,
    of_attempts: LeftOut,
) -> list[str]:
    notes = []
    idle = ", ".join(f"{load.container} {load.idle_cores:.3f}" for load in loads if load.idle_cores is not None)
    if rows:
        notes.append(
            "CPU-seconds are window sums: all that the container used while the action was open, its idle use included"
            + (f" (idle, in cores: {idle})." if idle else ".")
            + " Intervals are 90 %, for the mean; one action alone has none."
        )
    overlapped = sum(any(usage.overlapped for usage in row.usage.values()) for row in shown)
    if overlapped:
        notes.append(
            f"{overlapped} of {len(shown)} actions overlapped with others: the window sum counts what the others used as well,"
            " so their CPU-seconds are too high and must not be added up."
        )
    unmeasured = sum(row.count - row.measured for row in rows)
    if unmeasured:
        notes.append(f"{unmeasured} times a container's samples did not cover an action: it is in n and not in the CPU columns.")
    coarse = sorted({row.action for row in rows if row.hz is not None and row.duration_s.p50 * row.hz < 2})
    if coarse:
        notes.append(f"Typically shorter than two samples, so interpolated: {', '.join(coarse)}; sample faster to be sure.")
    left_out = {outcome: sum(row.action.outcome == outcome for row in given) for outcome in ("cancelled", "unfinished")}
    if any(left_out.values()):
        told = " and ".join(f"{number} {outcome}" for outcome, number in left_out.items() if number)
        notes.append(f"Left out: {told} actions.")
    if of_attempts.actions:
        notes.append(f"Left out: {of_attempts}.")
    if names := sorted(suppressed):
        notes.append(f"Not shown, because fewer than {min_group} real persons stand behind them: {', '.join(names)}.")
    return notes
