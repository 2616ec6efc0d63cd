"""One container's curve as SVG: CPU in blue on the left axis, memory in red on the right, action regions behind. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from html import escape
from itertools import pairwise
from typing import Any

from sidecar.model.display import nice, size
from sidecar.model.records import Action, Gap

WIDTH, HEIGHT = 1120, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 72, 8, 24
_INNER_W, _INNER_H = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM
#: neighbouring points further apart than this many times their usual distance are not joined
_HOLE = 3.5
_TIME_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How an action is shown everywhere."""

    label: str
    colour: str


def chart(
    container: str,
    rows: Sequence[Row],
    actions: Iterable[Action],
    gaps: Iterable[Gap],
    looks: Mapping[str, Look],
    span: tuple[int, int],
) -> str:
    """SVG of a container's rows of `/api/v1/samples` over `span` (epoch nanoseconds); names stand in titles, shown on hover."""
    from_ns, to_ns = span
    cpu_top = nice(max((row["cpu_percent"] or 0 for row in rows), default=0) * 1.05, 10)
    memory_top = nice_bytes(max((row["memory_bytes"] or 0 for row in rows), default=0) * 1.08)

    def x(time_ns: int) -> float:
        return _LEFT + _INNER_W * (min(max(time_ns, from_ns), to_ns) - from_ns) / (to_ns - from_ns)

    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="CPU and memory of {escape(container)} over time">',
        f'<rect class="plot" x="{_LEFT}" y="{_TOP}" width="{_INNER_W}" height="{_INNER_H}"/>',
        *_regions(actions, looks, x, from_ns, to_ns),
        *_gaps(gaps, container, x, to_ns),
    ]
    for index in range(5):
        at = _height(4, index)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text class="cpu" x="{_LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{cpu_top * index / 4:g} %</text>')
        label = "0" if index == 0 else size(memory_top * index / 4)
        parts.append(f'<text class="memory" x="{WIDTH - _RIGHT + 6}" y="{at + 4:.1f}">{label}</text>')
    parts += _times(x, from_ns, to_ns)
    step = _usual_step(rows)
    for name, top in (("memory_bytes", memory_top), ("cpu_percent", cpu_top)):
        points = [(row["time_ns"], row[name]) for row in rows]
        path = _path(points, x, partial(_height, top), step * _HOLE)
        parts.append(f'<path class="{"cpu" if name == "cpu_percent" else "memory"}" d="{path}"/>')
    return "".join([*parts, "</svg>"])


def _height(top: float, value: float) -> float:
    return _TOP + _INNER_H * (1 - value / top)


def nice_bytes(value: float) -> float:
    """The next whole multiple of a quarter of the power of two below: 2.7 GiB reads as 3 GiB."""
    power = 2.0 ** math.floor(math.log2(max(value, 1024)))
    return math.ceil(value / (power / 2)) * power / 2 if value > power else power


def _regions(
    actions: Iterable[Action], looks: Mapping[str, Look], x: Callable[[int], float], from_ns: int, to_ns: int
) -> Iterator[str]:
    for action in actions:
        if action.end_ns <= from_ns or action.start_ns >= to_ns:
            continue
        look = looks.get(action.action, Look(label=action.action, colour="#767676"))
        left = x(action.start_ns)
        wide = max(1.0, x(action.end_ns) - left)
        yield (
            f'<rect class="region" x="{left:.1f}" y="{_TOP}" width="{wide:.1f}" height="{_INNER_H}" fill="{escape(look.colour)}">'
            f"<title>{escape(look.label)}, {action.duration_ns / 1e9:.1f} s</title></rect>"
        )


def _gaps(gaps: Iterable[Gap], container: str, x: Callable[[int], float], to_ns: int) -> Iterator[str]:
    for gap in gaps:
        if gap.subject in ("", container):
            left = x(gap.start_ns)
            wide = max(2.0, x(gap.end_ns if gap.end_ns is not None else to_ns) - left)
            yield (
                f'<rect x="{left:.1f}" y="{_TOP}" width="{wide:.1f}" height="{_INNER_H}" fill="url(#gap)">'
                f"<title>gap: {escape(gap.reason)} ({escape(gap.part)})</title></rect>"
            )


def _times(x: Callable[[int], float], from_ns: int, to_ns: int) -> Iterator[str]:
    seconds = (to_ns - from_ns) / 1e9
    step = next((one for one in _TIME_STEPS if seconds / one <= 10), _TIME_STEPS[-1])
    form = "%H:%M:%S" if step < 60 else "%H:%M"
    for at in range(-(-from_ns // (step * 10**9)) * step, to_ns // 10**9 + 1, step):
        left = x(at * 10**9)
        yield f'<line class="grid" x1="{left:.1f}" x2="{left:.1f}" y1="{_TOP}" y2="{_TOP + _INNER_H}"/>'
        text = datetime.fromtimestamp(at, UTC).strftime(form)
        yield f'<text class="time" x="{left:.1f}" y="{HEIGHT - 8}" text-anchor="middle">{text}</text>'


def _usual_step(rows: Sequence[Row]) -> float:
    steps = sorted(after["time_ns"] - before["time_ns"] for before, after in pairwise(rows))
    return float(steps[len(steps) // 2]) if steps else 0.0


def _path(
    points: Iterable[tuple[int, float | None]], x: Callable[[int], float], y: Callable[[float], float], longest_ns: float
) -> str:
    """A line through the points that is broken where a value is unknown or the next one is too far away."""
    commands = []
    before: int | None = None
    for time_ns, value in points:
        if value is None:
            before = None
            continue
        pen = "M" if before is None or time_ns - before > longest_ns else "L"
        commands.append(f"{pen}{x(time_ns):.1f} {y(value):.1f}")
        before = time_ns
    return "".join(commands)
