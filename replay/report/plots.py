"""Which box plots a set of runs gives: throughput down and up by setup, and durations per action by setup. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from replay.report.runs import Run
from replay.report.spread import Axis, Spread
from replay.report.usage import label
from sidecar.model.catalogue import load_catalogue
from sidecar.model.display import digits, rate_unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """One box. `name` is what it is of, `run` whose; `group` is shared by boxes that stand together, `colour` an action's."""

    name: str
    run: str
    spread: Spread
    group: str = ""
    colour: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """Boxes on one axis; values are divided by `scale` to be shown in `unit`."""

    title: str
    boxes: tuple[Box, ...]
    axis: Axis
    scale: float
    unit: str

    def words(self, spread: Spread) -> str:
        """A box in words: `5.2 MB/s (4.9-5.6), n 10`."""
        median, q1, q3 = (digits(value / self.scale) for value in (spread.median, spread.q1, spread.q3))
        return f"{median} {self.unit}, n 1" if spread.n == 1 else f"{median} {self.unit} ({q1}-{q3}), n {spread.n}"

    def tick(self, value: float) -> str:
        """A number at the axis, without its unit."""
        return f"{value / self.scale:.3g}" if value / self.scale < 1000 else f"{value / self.scale:.0f}"


def plots_of(runs: Sequence[Run]) -> list[Plot]:
    """The plots of the runs of one scenario, those without a value left out."""
    down = [Box(name=run.setup, run=run.manifest.run, spread=run.down) for run in runs if run.down]
    up = [Box(name=run.setup, run=run.manifest.run, spread=run.up) for run in runs if run.up]
    durations = [
        Box(
            name=run.setup,
            run=run.manifest.run,
            spread=run.durations[action],
            group=label(action),
            colour=load_catalogue().colour(action) if action in load_catalogue() else None,
        )
        for action in actions_of(runs)
        for run in runs
        if action in run.durations
    ]
    plots = [
        _plot("Throughput down, server to client", down, rates=True),
        _plot("Throughput up, client to server", up, rates=True),
        _plot("Duration of each action", durations, rates=False),
    ]
    return [plot for plot in plots if plot.boxes]


def actions_of(runs: Sequence[Run]) -> list[str]:
    """The actions of some runs in the order in which they are played."""
    return list(dict.fromkeys(action for run in runs for action in run.durations))


def _plot(title: str, boxes: Sequence[Box], *, rates: bool) -> Plot:
    values = [value for box in boxes for value in box.spread.values]
    scale, unit = rate_unit(max(values, default=0)) if rates else (1.0, "s")
    return Plot(title=title, boxes=tuple(boxes), axis=Axis.of(values), scale=scale, unit=unit)
