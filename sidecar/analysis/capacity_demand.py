"""What each action asks of the server: service demands out of window sums, think times, and who was there. Pure.

A window sum of an action that others overlapped holds their work, too. Over many actions the sums are linear in the demands of
the classes: sum = idle use + own demand + the part of each other's demand that fell into the window. Non-negative least squares
over all windows gives the demands; an action that ran alone keeps its own sum.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from sidecar.analysis.usage import UsageInput
from sidecar.model.records import Action

#: a longer pause is not thought, the person was away
LONGEST_THOUGHT_S = 15 * 60.0
#: a browser opens so many connections to one server
MOST_PARALLEL = 6
_SHORTEST_S = 0.001
_SWEEPS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One ended action as the model of capacity sees it.

    `cpu` is its own demand in CPU-seconds by container, idle use taken out; `thought_s` the pause before it, None when it is the
    first of its session or the person was away; `parallel` how many cores it keeps busy at once; `people` how many sessions were
    in progress when it began.
    """

    action: str
    role: str
    session: str
    duration_s: float
    thought_s: float | None
    cpu: Mapping[str, float]
    megabytes: float
    parallel: float
    alone: bool
    completed: bool
    people: int
    memory: Mapping[str, int]


def works(rows: Iterable[UsageInput], idle: Mapping[str, float]) -> list[Work]:
    """The demands of all actions that belong to a session, by start; `idle` are cores by container.

    Actions without a session (access log) count as load that overlaps others. Unfinished ones are left out: nobody knows when
    they ended.
    """
    ordered = sorted((row for row in rows if row.action.outcome != "unfinished"), key=lambda row: row.action.start_ns)
    shares = _shares([row.action for row in ordered])
    containers = sorted({name for row in ordered for name in row.usage})
    own = {name: _own(name, ordered, shares, idle.get(name, 0.0)) for name in containers}
    thought = _thought(ordered)
    people = _people(ordered)
    return [
        Work(
            action=row.action.action,
            role=(row.session.role or row.session.scenario if row.session else None) or "user",
            session=row.action.session,
            duration_s=row.action.duration_ns / 1e9,
            thought_s=thought[number],
            cpu={name: demand[number] for name, demand in own.items() if number in demand},
            megabytes=max((used.sent_bytes for used in row.usage.values()), default=0) / 1e6,
            parallel=_parallel(row),
            alone=len(shares[number]) == 0,
            completed=row.action.outcome == "completed",
            people=people[number],
            memory={name: used.memory_bytes_peak for name, used in row.usage.items() if used.memory_bytes_peak is not None},
        )
        for number, row in enumerate(ordered)
        if row.action.session is not None
    ]


def _seconds(action: Action) -> float:
    return max(action.duration_ns / 1e9, _SHORTEST_S)


def _shares(actions: Sequence[Action]) -> list[dict[int, float]]:
    """For each action, the others that overlapped it: their number, and the part of their life that fell into this one's."""
    found: list[dict[int, float]] = [{} for _ in actions]
    open_now: list[int] = []
    for number, action in enumerate(actions):
        open_now = [other for other in open_now if actions[other].end_ns > action.start_ns]
        for other in open_now:
            both = (min(actions[other].end_ns, action.end_ns) - action.start_ns) / 1e9
            if both > 0:
                found[number][other] = both / _seconds(actions[other])
                found[other][number] = both / _seconds(action)
        open_now.append(number)
    return found


def _own(container: str, rows: Sequence[UsageInput], shares: Sequence[Mapping[int, float]], idle: float) -> dict[int, float]:
    """CPU-seconds of each action's own on one container, by the action's number."""
    measured: dict[int, float] = {}
    for number, row in enumerate(rows):
        used = row.usage.get(container)
        if used is not None and used.cpu_seconds is not None:
            measured[number] = max(0.0, used.cpu_seconds - idle * row.action.duration_ns / 1e9)
    classes = sorted({row.action.action for row in rows})
    place = {name: at for at, name in enumerate(classes)}

    def parts(number: int) -> dict[int, float]:
        told = {place[rows[number].action.action]: 1.0}
        for other, share in shares[number].items():
            at = place[rows[other].action.action]
            told[at] = told.get(at, 0.0) + share
        return told

    demand = _least_squares(
        [(parts(number), value, 1 / _seconds(rows[number].action) ** 2) for number, value in measured.items()], len(classes)
    )
    own = {}
    for number, value in measured.items():
        if not shares[number]:
            own[number] = value
            continue
        wanted = sum(demand[at] * share for at, share in parts(number).items())
        own[number] = demand[place[rows[number].action.action]] * (value / wanted if wanted else 0.0)
    return own


def _least_squares(rows: Sequence[tuple[Mapping[int, float], float, float]], size: int) -> list[float]:
    """Non-negative weighted least squares by coordinate descent: rows are (coefficients by column, value, weight)."""
    normal = [[0.0] * size for _ in range(size)]
    right = [0.0] * size
    for parts, value, weight in rows:
        for a, left in parts.items():
            right[a] += weight * left * value
            for b, other in parts.items():
                normal[a][b] += weight * left * other
    found = [0.0] * size
    for _ in range(_SWEEPS):
        moved = 0.0
        for a in range(size):
            if not normal[a][a]:
                continue
            rest = right[a] - sum(normal[a][b] * found[b] for b in range(size) if b != a)
            new = max(0.0, rest / normal[a][a])
            moved = max(moved, abs(new - found[a]))
            found[a] = new
        if moved < 1e-9:
            break
    return found


def _by_session(rows: Sequence[UsageInput]) -> Iterator[list[int]]:
    sessions: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        if row.action.session is not None:
            sessions.setdefault(row.action.session, []).append(number)
    yield from sessions.values()


def _thought(rows: Sequence[UsageInput]) -> list[float | None]:
    found: list[float | None] = [None] * len(rows)
    for numbers in _by_session(rows):
        for before, after in pairwise(numbers):
            pause = (rows[after].action.start_ns - rows[before].action.end_ns) / 1e9
            if pause <= LONGEST_THOUGHT_S:
                found[after] = max(0.0, pause)
    return found


def _people(rows: Sequence[UsageInput]) -> list[int]:
    """Sessions between their first and last action at each action's start."""
    edges = sorted(
        edge
        for numbers in _by_session(rows)
        for edge in (
            (rows[numbers[0]].action.start_ns, 1),
            (max(rows[number].action.end_ns for number in numbers) + 1, -1),
        )
    )
    found, at, now = [], 0, 0
    for row in rows:
        while at < len(edges) and edges[at][0] <= row.action.start_ns:
            now += edges[at][1]
            at += 1
        found.append(now)
    return found


def _parallel(row: UsageInput) -> float:
    peak = sum(used.cpu_percent_peak or 0.0 for used in row.usage.values()) / 100
    return min(float(MOST_PARALLEL), max(1.0, float(round(peak))))


def memory_line(found: Sequence[Work], container: str) -> tuple[float, float] | None:
    """Bytes that a container needs without anybody and per session; None when the counts or the scatter do not tell.

    A JVM does not give memory back, so a slope counts only where it is three times its own error.
    """
    points = [(float(work.people), float(work.memory[container])) for work in found if container in work.memory]
    if len(points) < 30:
        return None
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    if not spread:
        return None
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
    base = mean_y - slope * mean_x
    left = sum((y - base - slope * x) ** 2 for x, y in points)
    error = (left / (len(points) - 2) / spread) ** 0.5
    return (base, slope) if slope > 0 and slope > 3 * error else None


def typical_thought_s(found: Iterable[Work]) -> float | None:
    """The median pause between two actions of a session; None where nobody made two."""
    pauses = [work.thought_s for work in found if work.thought_s is not None]
    return median(pauses) if pauses else None
