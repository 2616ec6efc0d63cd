"""Runs side by side on a terminal: a table and small box plots. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from replay.report import usage
from replay.report.plots import Plot, plots_of
from replay.report.runs import Run, notes_of
from replay.report.spread import FEW, Axis, Spread
from replay.summary import table

WIDE = 44
KEY = "|-- whisker, [ quartile, # median, ] quartile, o outlier or one of fewer than five values"


def render(runs: Sequence[Run]) -> str:
    """Each run's table, then for each scenario its runs side by side, what they cost, and what a reader must know."""
    parts = [table(run.summary) for run in runs]
    for scenario, found in groupby(runs, key=lambda run: run.manifest.scenario):
        of = list(found)
        parts += [f"{scenario}: {plot.title.lower()}\n{_plot(plot)}" for plot in plots_of(of)]
        named = [(run.setup, run.usage) for run in of if run.usage]
        if named:
            parts.append(f"{scenario}: what each action cost (percent are of one core)\n{usage.table(named)}")
    told = [*(["Boxes: " + KEY + "."] if any(run.summary.finished for run in runs) else []), *notes_of(runs)]
    return "\n".join([*parts, *told, ""])


def line(spread: Spread, axis: Axis, wide: int = WIDE) -> str:
    """A box as a line of characters."""

    def at(value: float) -> int:
        return min(wide - 1, max(0, round(axis.at(value) * (wide - 1))))

    cells = [" "] * wide
    if spread.n < FEW:
        for value in spread.values:
            cells[at(value)] = "o"
        cells[at(spread.median)] = "#"
        return "".join(cells)
    for place in range(at(spread.low), at(spread.high) + 1):
        cells[place] = "-"
    for place in range(at(spread.q1), at(spread.q3) + 1):
        cells[place] = "="
    for value, sign in ((spread.low, "|"), (spread.high, "|"), (spread.q1, "["), (spread.q3, "]"), (spread.median, "#")):
        cells[at(value)] = sign
    for value in spread.outliers:
        cells[at(value)] = "o"
    return "".join(cells)


def _plot(plot: Plot) -> str:
    lines: list[tuple[str, str, str]] = []
    group = None
    for box in plot.boxes:
        if box.group != group and box.group:
            lines.append((box.group, "", ""))
        group = box.group
        name = f"{'  ' if box.group else ''}{box.name} {box.run}"
        lines.append((name, line(box.spread, plot.axis), plot.words(box.spread)))
    first = max(len(name) for name, _, _ in lines)
    ends = f"{plot.tick(plot.axis.low)} {plot.unit}", f"{plot.tick(plot.axis.high)} {plot.unit}"
    kind = "log scale" if plot.axis.log else ""
    scale = f"{ends[0]}{kind.center(WIDE - len(ends[0]) - len(ends[1]))}{ends[1]}"
    rows = [f"{name:<{first}}  {drawn:<{WIDE}}  {words}".rstrip() for name, drawn, words in lines]
    return "\n".join([f"{'':<{first}}  {scale}", *rows, ""])
