"""Experience: how long people wait."""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard

from grafana import frame, links, style
from grafana.influxql import Query
from grafana.looks import Look, action_looks, order
from grafana.panels import boxes, curves, rows
from grafana.signals import compare, ratings


def board() -> dashboard.Dashboard:
    """Durations in the browser, first and last image, what was not completed, ratings."""
    return frame.frame(
        "tracemark-experience",
        "Experience",
        "How long people wait, as their browsers measure it: from the click to the picture.",
        variables=(frame.DATASOURCES, frame.sites("action"), *frame.OF_ACTIONS),
        annotations=(frame.pushed(),),
        since="now-24h",
        refresh="1m",
        shelves=(
            (9, [(_over_time(), 12), (_box(), 12)]),
            (9, [(_felt(), 24)]),
            (9, [(_images(), 14), (_not_completed(), 10)]),
            (8, [(_ratings(), 12), (_rated(), 12)]),
        ),
    )


def _over_time() -> dashboard.Panel:
    return curves(
        "p95 of durations",
        "95 of 100 actions of an interval took at most so long.",
        [Query(text=compare.DURATIONS, alias="$tag_action")],
        unit=style.MILLISECONDS,
        looks=action_looks(),
        points=True,
        interval="1m",
    )


def _box() -> dashboard.Panel:
    return boxes(
        "Durations: quartiles",
        "Half of all actions lie in the coloured bar; where the two tones meet is the median.",
        Query(text=compare.DURATION_BOX, result="table"),
        by="action",
        unit=style.MILLISECONDS,
        colour=style.TODAY,
    )


def _felt() -> dashboard.Panel:
    return rows(
        "Durations of completed actions",
        "By action and, for replayed sessions, by setup.",
        [Query(text=compare.FELT, result="table")],
        looks=[
            Look(named="action", link=links.REGIONS_OF_ROW),
            Look(named="n", unit=style.COUNT),
            Look(named="/^(p50|p75|p95|longest)$/", unit=style.MILLISECONDS),
        ],
        steps=[order("action", "setup", "n", "p50", "p75", "p95", "longest")],
    )


def _ratings() -> dashboard.Panel:
    return rows(
        "Ratings",
        "How it felt, from 1 (bad) to 5 (good). What fewer than TRACEMARK_MIN_GROUP people rated in a week is not "
        "sent and not shown.",
        [Query(text=ratings.TABLE, result="table")],
        looks=[
            Look(named="action", link=links.REGIONS_OF_ROW),
            Look(named="/^(n|mean|q1|median|q3|worst)$/", unit=style.COUNT),
        ],
        steps=[order("action", "role", "n", "mean", "q1", "median", "q3", "worst")],
    )


def _rated() -> dashboard.Panel:
    return curves(
        "Mean rating",
        "The mean of each interval's ratings, from 1 (bad) to 5 (good).",
        [Query(text=ratings.OVER_TIME, alias="$tag_action")],
        unit=style.COUNT,
        looks=action_looks(),
        points=True,
        interval="1h",
    )


def _images() -> dashboard.Panel:
    return rows(
        "First and last image",
        "Viewer actions: time to the first image that is drawn, and to the last one, which ends the action.",
        [Query(text=compare.IMAGES, result="table")],
        looks=[Look(named="n", unit=style.COUNT), Look(named="/image/", unit=style.MILLISECONDS)],
        steps=[order("action", "setup", "n", "first image p50", "first image p95", "last image p50", "last image p95")],
    )


def _not_completed() -> dashboard.Panel:
    return rows(
        "Cancelled or unfinished",
        "Actions that people gave up, or whose session ended before they did.",
        [Query(text=compare.NOT_COMPLETED, result="table")],
        looks=[Look(named="n", unit=style.COUNT)],
        steps=[order("action", "source", "n")],
    )
