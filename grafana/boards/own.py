"""Tracemark itself: is what the other boards show complete?"""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard

from grafana import frame, style
from grafana.influxql import Query
from grafana.looks import Look, order
from grafana.panels import curves, rows
from grafana.signals import actions, own

_ITS_CPU = "CPU and memory of the sidecar"


def board() -> dashboard.Dashboard:
    """What the sidecar costs, what waits, what was lost, and how far clocks are apart."""
    return frame.frame(
        "tracemark-self",
        "Tracemark itself",
        "What the sidecar costs, what waits in it, what was lost, and how far clocks are apart.",
        variables=(frame.DATASOURCES, frame.sites("tracemark_self"), *frame.OF_ACTIONS),
        annotations=(frame.gap_regions(),),
        since="now-3h",
        shelves=(
            (8, [(_use(), 12), (_depth(), 12)]),
            (8, [(_lag(), 12), (_waiting(), 12)]),
            (8, [(_lost(), 8), (_samples(), 8), (_markers(), 8)]),
            (8, [(_logs(), 8), (_offsets(), 8), (_restarts(), 8)]),
            (9, [(_gaps(), 24)]),
        ),
    )


def _use() -> dashboard.Panel:
    return curves(
        _ITS_CPU,
        "CPU in percent of one core (left, blue), resident memory (right, red).",
        [Query(text=own.CPU, ref="CPU", alias="$col"), Query(text=own.MEMORY, ref="Memory", alias="$col")],
        unit=style.PERCENT,
        looks=[
            Look(named="CPU", colour=style.CPU, axis="CPU (100 % = one core)"),
            Look(named="memory", unit=style.BYTES, colour=style.MEMORY, right=True, axis="memory"),
        ],
        interval="10s",
    )


def _depth() -> dashboard.Panel:
    return _counts(
        "Journal queue",
        "Records that wait for the next commit. It is bounded; when it is full, samples are dropped.",
        own.JOURNAL,
    )


def _lag() -> dashboard.Panel:
    return curves(
        "Delivery lag",
        "Age of the oldest point that waits for InfluxDB; it grows in an outage and falls afterwards, and nothing is "
        "lost meanwhile.",
        [Query(text=own.SHIPPING, alias="$col")],
        unit=style.SECONDS,
        interval="10s",
    )


def _waiting() -> dashboard.Panel:
    return _counts(
        "Delivery", "Points of the batch under way; since the start: refused points (set aside) and failed calls.", own.WAITING
    )


def _lost() -> dashboard.Panel:
    return _counts(
        "Lost in the journal",
        "Since the start: records dropped or refused because the queue was full, commits that failed.",
        own.LOST,
    )


def _samples() -> dashboard.Panel:
    return curves(
        "Samples dropped",
        "Since the start, by collector.",
        [Query(text=own.SAMPLES_LOST, alias="$tag_part")],
        unit=style.COUNT,
        interval="10s",
    )


def _markers() -> dashboard.Panel:
    return _counts(
        "Markers", "Open connections; since the start: refused, sent twice (harmless), and told by clients as lost.", own.MARKERS
    )


def _logs() -> dashboard.Panel:
    return curves(
        "Access logs",
        "Bytes that are not read yet, by log.",
        [Query(text=own.LOGS, alias="$tag_part")],
        unit=style.BYTES,
        interval="10s",
    )


def _offsets() -> dashboard.Panel:
    return curves(
        "Clocks of browsers",
        "What was added to the browsers' clocks, and the bound of its error. Regions are drawn by the corrected time; "
        "durations never need it.",
        [Query(text=own.OFFSETS, ref="Offset", alias="$col"), Query(text=own.OFFSET_ERRORS, ref="Error", alias="$col")],
        unit=style.MILLISECONDS,
        points=True,
        interval="1m",
        low=None,
    )


def _restarts() -> dashboard.Panel:
    return rows(
        "Restarts",
        "How often each part died and was started again since the sidecar's start.",
        [Query(text=own.RESTARTS, result="table")],
        looks=[Look(named="restarts", unit=style.COUNT)],
        steps=[order("part", "restarts")],
        actions=False,
    )


def _gaps() -> dashboard.Panel:
    return rows(
        "Gaps",
        "Where nothing was seen, by whom and why: nothing may be concluded about that time.",
        [Query(text=actions.GAPS, result="table")],
        looks=[Look(named="Time", title="begin"), Look(named="lasted", unit=style.MILLISECONDS), Look(named="reason", width=480)],
        steps=[order("Time", "part", "subject", "reason", "lasted", "lasts still", drop=())],
        actions=False,
    )


def _counts(title: str, about: str, query: str) -> dashboard.Panel:
    return curves(title, about, [Query(text=query, alias="$col")], unit=style.COUNT, interval="10s")
