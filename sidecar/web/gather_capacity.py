"""From the journal to capacity and headroom: what people and replayed sessions did lately, on what machine, and who is there."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from sidecar.analysis.capacity import LEAST, Capacity, Headroom, Machine, capacity, headroom
from sidecar.analysis.capacity_demand import works
from sidecar.analysis.join import cpu
from sidecar.analysis.load import quiet
from sidecar.analysis.summary import percentile
from sidecar.analysis.usage import suppress
from sidecar.journal.queries import ActionFilter, Reader
from sidecar.model.outbox import ActionRow

#: key of `cpu_limits` that is the whole machine
MACHINE = "machine"
#: how far back actions tell of demands, and how many of them at most
LIBRARY_NS = 7 * 86_400 * 10**9
MOST_ACTIONS = 2000
#: who did something within this time is there
NOW_NS = 15 * 60 * 10**9
#: real people's actions are the library from so many on; before that replayed ones help
ENOUGH_REAL = 100
_IDLE_NS = 86_400 * 10**9
_STRETCHES = 20
_CALM_NS = 2 * 10**9
_SHORTEST_NS = 10 * 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The settings of capacity: seconds per action, cores per container (and `machine`), megabits of the link (0: unknown)."""

    targets: Mapping[str, float]
    cpu_limits: Mapping[str, float] = field(default_factory=dict)
    link_mbit: float = 0.0
    min_group: int = 5
    mix: Mapping[str, float] | None = None
    library_ns: int = LIBRARY_NS


def gather_capacity(reader: Reader, wanted: Wanted, now_ns: int) -> Capacity:
    """Users that fit, from the actions of the last days: real people's if there are enough of both, else replayed ones' as well.

    Real people's actions are used only when at least `min_group` of them stand behind the numbers.
    """
    rows = _library(reader, now_ns - wanted.library_ns, now_ns)
    machine = machine_of(reader, wanted, now_ns)
    chosen = people(rows, wanted.min_group)
    found = [work for work in works(rows, machine.idle) if work.session in chosen]
    return capacity(found, machine, wanted.targets, mix=wanted.mix)


def gather_headroom(reader: Reader, known: Capacity, wanted: Wanted, now_ns: int) -> Headroom:
    """What is left beside the sessions of the last quarter of an hour; cheap.

    Fewer than `min_group` real persons, but not none, are told as None and taken as the most that they may be.
    """
    rows = _library(reader, now_ns - NOW_NS, now_ns)
    real = {row.action.session for row in rows if row.action.source == "extension"}
    replayed = {row.action.session for row in rows if row.action.source == "replay"}
    shown, _ = suppress(rows, lambda row: row.action.action, wanted.min_group)
    late = False
    for action, target in wanted.targets.items():
        ended = [row.action for row in shown if row.action.action == action and row.action.outcome == "completed"]
        took = [one.duration_ns / 1e9 for one in ended]
        late = late or (len(took) >= LEAST and percentile(took, 0.95) > target)
    if 0 < len(real) < wanted.min_group:
        left = headroom(known, len(replayed) + wanted.min_group - 1, late=late)
        return replace(left, users_now=None, reason=f"fewer than {wanted.min_group} real persons")
    return headroom(known, len(real) + len(replayed), late=late)


def people(rows: Sequence[ActionRow], min_group: int) -> set[str | None]:
    """The sessions whose actions are the library."""
    real = [row.action.session for row in rows if row.action.source == "extension"]
    replayed = {row.action.session for row in rows if row.action.source == "replay"}
    if len(set(real)) < min_group:
        return set(replayed)
    return set(real) if len(real) >= ENOUGH_REAL else {*real, *replayed}


def machine_of(reader: Reader, wanted: Wanted, now_ns: int) -> Machine:
    """Cores, limits and idle use, as the settings and the newest samples tell."""
    told = reader.containers()
    names = [row["name"] for row in told]
    cores = wanted.cpu_limits.get(MACHINE) or _cores(reader, names, now_ns) or float(os.cpu_count() or 1)
    return Machine(
        cores=cores,
        idle=idle(reader, names, now_ns),
        cpu_limits={name: limit for name, limit in wanted.cpu_limits.items() if name != MACHINE},
        memory_limits={row["name"]: limit for row in told if (limit := (row["last_sample"] or {}).get("memory_limit_bytes"))},
        link_mb_s=wanted.link_mbit / 8 or None,
    )


def idle(reader: Reader, names: Sequence[str], now_ns: int) -> Mapping[str, float]:
    """Cores that each container uses while nobody acts, from the longest quiet stretches of the last day."""
    from_ns = now_ns - _IDLE_NS
    busy = [(action.start_ns - _CALM_NS, action.end_ns + _CALM_NS) for action in reader.overlapping(from_ns, now_ns)]
    long = sorted((end - start, start, end) for start, end in quiet(busy, from_ns, now_ns) if end - start >= _SHORTEST_NS)
    found: dict[str, float] = {}
    for name in names:
        used_ns = seen_ns = 0
        for _, start, end in long[-_STRETCHES:]:
            for source in reader.sources(name, start, end)[:1]:
                ends = [*reader.sample_rows(name, source, start, start)[-1:], *reader.sample_rows(name, source, end, end)[:1]]
                first, last = ends[0], ends[-1]
                if first.time_ns < last.time_ns and first.container_id == last.container_id:
                    used_ns += cpu(ends).between(first.time_ns, last.time_ns, None) or 0
                    seen_ns += last.time_ns - first.time_ns
        if seen_ns:
            found[name] = used_ns / seen_ns
    return found


def _cores(reader: Reader, names: Sequence[str], now_ns: int) -> float | None:
    """The machine's cores, as the newest frame says; other samples do not know."""
    frames = [frame for name in names for frame in reader.sample_rows(name, "docker", now_ns, now_ns)[:1]]
    return max((float(frame.online_cpus) for frame in frames if frame.online_cpus), default=None)


def _library(reader: Reader, from_ns: int, to_ns: int) -> list[ActionRow]:
    """The newest actions that markers told, by start; what the access log tells of them would count twice."""
    rows = reader.actions(ActionFilter(from_ns=from_ns, to_ns=to_ns, limit=MOST_ACTIONS, newest_first=True))
    return [row for row in reversed(rows) if row.action.source != "access-log" and row.action.session is not None]
