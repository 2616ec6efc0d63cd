"""Baseline: replayed sessions against real people, run against run."""

from __future__ import annotations

from collections.abc import Sequence

from grafana_foundation_sdk.models import dashboard

from grafana import frame, links, style
from grafana.influxql import Query
from grafana.looks import Look, order, side_by_side
from grafana.panels import boxes, rows
from grafana.signals import compare, outlook

_LOOKS = (
    Look(named="action", link=links.REGIONS_OF_ROW),
    Look(named="/^n /", unit=style.COUNT),
    Look(named="/^p(50|95) /", unit=style.MILLISECONDS),
    Look(named="/^CPU /", unit=style.SECONDS),
    Look(named="/^sent /", unit=style.BYTES),
    Look(named="ratio", unit=style.RATIO),
)
_MORE = "Ratio: p95 against the baseline's; above 1 is slower. `tracemark compare` says whether a difference is proven."


def board() -> dashboard.Dashboard:
    """Is today slower than it was?"""
    return frame.frame(
        "tracemark-baseline",
        "Baseline",
        "Replayed sessions are the same every time: what changed since, and do real people see it?",
        variables=(frame.DATASOURCES, frame.sites("action"), frame.ACTIONS, frame.SETUPS, frame.ONE_RUN, frame.BASELINE_RUN),
        since="now-7d",
        refresh="",
        shelves=(
            (9, [(_verdict(), 24)]),
            (9, [(_real(), 24)]),
            (
                9,
                [
                    (_box("Real people", compare.BOX_OF_REAL, style.TODAY), 12),
                    (_box("Replayed", compare.BOX_OF_REPLAYED, style.BASELINE), 12),
                ],
            ),
            (9, [(_runs(), 24)]),
            (9, [(_history(), 24)]),
        ),
    )


def _verdict() -> dashboard.Panel:
    return rows(
        "Verdict on the newest run",
        "The newest replayed run against the one that TRACEMARK_BASELINE_RUN names, as `tracemark compare` judges: change in "
        "percent with its 90 % interval, corrected for many tests. The action all is what all actions share. A verdict needs "
        "three restarts with six repetitions each.",
        [Query(text=outlook.VERDICT, result="table")],
        looks=[
            Look(named="action", link=links.REGIONS_OF_ROW),
            Look(named="/^(change|low|high)$/", unit=style.PERCENT),
            Look(named="/^(repetitions|restarts)$/", unit=style.COUNT),
        ],
        steps=[order("action", "metric", "verdict", "change", "low", "high", "repetitions", "restarts", "run", "baseline")],
        since="15m",
    )


def _real() -> dashboard.Panel:
    return _table(
        "Real people against replayed sessions", f"In the chosen time. {_MORE}", compare.OF_REAL, compare.OF_REPLAYED, "real"
    )


def _runs() -> dashboard.Panel:
    return _table(
        "Run $run against run $baseline",
        f"Replayed sessions of two experiments. {_MORE}",
        compare.OF_RUN,
        compare.OF_BASELINE_RUN,
        "run",
    )


def _table(title: str, about: str, today: str, baseline: str, name: str) -> dashboard.Panel:
    more: Sequence[str] = (
        f"p50 {name}",
        "p50 baseline",
        f"CPU {name}",
        "CPU baseline",
        f"sent {name}",
        "sent baseline",
        f"n {name}",
        "n baseline",
    )
    return rows(
        title,
        about,
        [Query(text=today, ref="A", result="table"), Query(text=baseline, ref="B", result="table")],
        looks=_LOOKS,
        steps=side_by_side(f"p95 {name}", "p95 baseline", *more),
    )


def _box(who: str, query: str, colour: str) -> dashboard.Panel:
    return boxes(
        f"Durations: {who.lower()}",
        "Half of all actions lie in the coloured bar; where the two tones meet is the median.",
        Query(text=query, result="table"),
        by="action",
        unit=style.MILLISECONDS,
        colour=colour,
    )


def _history() -> dashboard.Panel:
    return rows(
        "All runs",
        "Median duration and mean CPU-seconds of each experiment in the chosen time.",
        [Query(text=compare.RUNS, result="table")],
        looks=[
            Look(named="p50", unit=style.MILLISECONDS),
            Look(named="CPU", unit=style.SECONDS),
            Look(named="n", unit=style.COUNT),
        ],
        steps=[order("run", "action", "setup", "p50", "CPU", "n")],
    )
