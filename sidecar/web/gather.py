"""From the journal to a usage table: the one way by which the API, the command and the report come to the same numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace

from sidecar.analysis.attempts import LeftOut, counting
from sidecar.analysis.join import Curve
from sidecar.analysis.load import Load, load
from sidecar.analysis.usage import UsageTable, usage_table
from sidecar.journal.queries import ActionFilter, Reader
from sidecar.model.outbox import ActionRow

_PAGE = 5000
#: curves for idle use have about this many points
_POINTS = 2000
_FINEST_NS = 200_000_000
_LONG_NS = 2 * 3600 * 10**9
#: work that an action leaves behind is not idle use: this long after an action (and before one) does not count as quiet
_CALM_NS = 1_000_000_000


def gather(reader: Reader, wanted: ActionFilter, *, min_group: int, order: Sequence[str]) -> UsageTable:
    """Usage of the actions that `wanted` selects (its limit and cursor aside), and the containers' load in the same time."""
    rows, left_out = counted_actions(reader, wanted)
    from_ns, to_ns = _stretch(wanted, rows)
    return usage_table(rows, loads=loads(reader, from_ns, to_ns), min_group=min_group, order=order, left_out=left_out)


def counted_actions(reader: Reader, wanted: ActionFilter) -> tuple[list[ActionRow], LeftOut]:
    """All pages of a filter; of a run without the attempts that do not count, and what was left out."""
    rows = every_action(reader, wanted)
    return counting(rows, reader.sessions(run=wanted.run)) if wanted.run is not None else (list(rows), LeftOut())


def every_action(reader: Reader, wanted: ActionFilter) -> Iterator[ActionRow]:
    """All pages of a filter, one after the other."""
    wanted = replace(wanted, limit=_PAGE, cursor=None)
    while page := reader.actions(wanted):
        yield from page
        if len(page) < _PAGE:
            return
        wanted = replace(wanted, cursor=page[-1].cursor)


def loads(reader: Reader, from_ns: int, to_ns: int) -> list[Load]:
    """Total and idle use of every container that has samples in [from_ns, to_ns); whoever acted counts as busy."""
    if from_ns >= to_ns:
        return []
    busy = [(action.start_ns, action.end_ns) for action in reader.overlapping(from_ns, to_ns)]
    step_ns = max(_FINEST_NS, (to_ns - from_ns) // _POINTS)
    found = []
    for container in reader.container_names():
        # Over hours frames (one a second) tell the same as exact samples and are a tenth of the rows.
        frames = to_ns - from_ns > _LONG_NS and "docker" in reader.sources(container, from_ns, to_ns)
        chart = json.loads(reader.samples(container, from_ns, to_ns, step_ns, "docker" if frames else None))
        curve = _curve(chart["rows"], step_ns)
        if (one := load(container, curve, busy, from_ns, to_ns, calm_ns=max(_CALM_NS, step_ns))) is not None:
            found.append(one)
    return found


def _curve(rows: Sequence[dict[str, float]], step_ns: int) -> Curve:
    """The CPU counter of a down-sampled chart, restarts taken out; a row's counter is that at the end of its step."""
    times: list[int] = []
    values: list[int] = []
    total = before = 0
    for row in rows:
        value = round(row["cpu_seconds_total"] * 1e9)
        if times:
            total += value - before if value >= before else value
        before = value
        times.append(int(row["time_ns"]) + step_ns)
        values.append(total)
    return Curve(times, values)


def _stretch(wanted: ActionFilter, rows: Sequence[ActionRow]) -> tuple[int, int]:
    """The time that a filter speaks of; where it is open, the time of its actions."""
    ends = [row.action.end_ns for row in rows]
    from_ns = wanted.from_ns or min((row.action.start_ns for row in rows), default=0)
    return from_ns, min(wanted.to_ns, max(ends, default=0) + 1) if wanted.to_ns >= 2**63 - 1 else wanted.to_ns
