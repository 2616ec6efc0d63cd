"""A plot as HTML: a row per box with its name, the box as SVG, and its numbers. Pure.

Places are percentages of the drawing's width, so that text and lines keep their size on a screen of any width.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from replay.report.plots import Box, Plot
from replay.report.spread import FEW, Axis, Spread

HEIGHT = 26
_MIDDLE = HEIGHT / 2
_BOX = 14
_CAP = 7
#: numbers at an axis are no nearer to each other than this part of it, and this on the wide one of durations
_ROOM, _ROOM_WIDE = 0.2, 0.07


def figure(plot: Plot) -> str:
    """The whole plot."""
    kind = "log scale" if plot.axis.log else "from zero"
    parts = [f"<figure><figcaption>{escape(plot.title)} <small>{escape(plot.unit)}, {kind}</small></figcaption>"]
    group = None
    for box in plot.boxes:
        if box.group and box.group != group:
            parts.append(f'<div class="group">{escape(box.group)}</div>')
        group = box.group
        parts.append(
            f'<div class="row"><b>{escape(box.name)} <small>{escape(box.run)}</small></b>{_drawn(box, plot)}'
            f"<span>{escape(plot.words(box.spread))}</span></div>"
        )
    return "".join([*parts, _axis(plot), "</figure>"])


def _drawn(box: Box, plot: Plot) -> str:
    name = f"{box.group} {box.name} {box.run}: {plot.words(box.spread)}".strip()
    inside = "".join([*_grid(plot.axis), *_box(box.spread, plot, box.colour)])
    return (
        f'<svg height="{HEIGHT}" role="img" aria-label="{escape(name)}">'
        f'<rect class="plot" width="100%" height="{HEIGHT}"/>{inside}</svg>'
    )


def _box(spread: Spread, plot: Plot, colour: str | None) -> Iterator[str]:
    def x(value: float) -> str:
        return f"{100 * plot.axis.at(value):.2f}%"

    values = spread.values if spread.n < FEW else spread.outliers
    if spread.n >= FEW:
        for start, end in ((spread.low, spread.q1), (spread.q3, spread.high)):
            yield f'<line class="line" x1="{x(start)}" x2="{x(end)}" y1="{_MIDDLE}" y2="{_MIDDLE}"/>'
        for end in (spread.low, spread.high):
            yield _upright("line", x(end), _CAP)
        wide = 100 * (plot.axis.at(spread.q3) - plot.axis.at(spread.q1))
        fill = f' style="fill:{escape(colour)};fill-opacity:.8"' if colour else ""
        yield (
            f'<rect class="box"{fill} x="{x(spread.q1)}" width="{wide:.2f}%" y="{_MIDDLE - _BOX / 2}" height="{_BOX}">'
            f"<title>{escape(plot.words(spread))}</title></rect>"
        )
        yield _upright("median", x(spread.median), _BOX)
    for value in values:
        fill = f' style="fill:{escape(colour)}"' if colour and spread.n < FEW else ""
        title = f"<title>{plot.tick(value)} {plot.unit}</title>"
        yield f'<circle class="value"{fill} cx="{x(value)}" cy="{_MIDDLE}" r="3.5">{title}</circle>'


def _upright(name: str, x: str, high: float) -> str:
    return f'<line class="{name}" x1="{x}" x2="{x}" y1="{_MIDDLE - high / 2}" y2="{_MIDDLE + high / 2}"/>'


def _grid(axis: Axis) -> Iterator[str]:
    for tick in axis.ticks():
        place = f"{100 * axis.at(tick):.2f}%"
        yield f'<line class="grid" x1="{place}" x2="{place}" y1="0" y2="{HEIGHT}"/>'


def _axis(plot: Plot) -> str:
    """The numbers below: both ends with their unit, and those between that have room."""
    first, *between, last = plot.axis.ticks()
    room = _ROOM_WIDE if plot.unit == "s" else _ROOM
    texts = [_number(plot, first, "start", f" {plot.unit}")]
    before = plot.axis.at(first) + room / 2
    for tick in between:
        place = plot.axis.at(tick)
        if place - before >= room and plot.axis.at(last) - place >= 1.5 * room:
            texts.append(_number(plot, tick, "middle", ""))
            before = place
    texts.append(_number(plot, last, "end", f" {plot.unit}"))
    return f'<div class="row axis" aria-hidden="true"><b></b><svg height="18">{"".join(texts)}</svg><span></span></div>'


def _number(plot: Plot, tick: float, anchor: str, unit: str) -> str:
    place = f"{100 * plot.axis.at(tick):.2f}%"
    return f'<text x="{place}" y="13" text-anchor="{anchor}">{plot.tick(tick)}{escape(unit)}</text>'
