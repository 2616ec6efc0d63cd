"""Resources and actions: the study's Figs 7 and 9, live."""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard

from grafana import frame, links, style
from grafana.influxql import Query
from grafana.looks import Look, order
from grafana.panels import curves, lanes, rows
from grafana.signals import actions, containers

_NAME = "$tag_container_name"


def board() -> dashboard.Dashboard:
    """What containers use while actions are open."""
    return frame.frame(
        "tracemark-resources",
        "Resources and actions",
        "CPU and memory of each container with the actions as regions: what did the server do while somebody did that?",
        variables=(*frame.OF_CONTAINERS, *frame.OF_ACTIONS),
        annotations=(*frame.action_regions(), frame.gap_regions(), frame.pushed()),
        shelves=(
            (12, [(_both(), 24)]),
            (8, [(_lanes(), 24)]),
            (8, [(_peaks(), 12), (_throttled(), 12)]),
            (8, [(_network(), 12), (_blocks(), 12)]),
            (10, [(_latest(), 24)]),
        ),
    )


def _both() -> dashboard.Panel:
    made = curves(
        "CPU and memory of $container",
        "CPU (left, blue): 100 % is one core busy, so two busy cores are 200 %. Memory (right, red): what docker stats "
        "shows, without file "
        "cache. Regions are actions in the catalogue's colours, grey regions are gaps: nothing is known there, and "
        "nothing is drawn.",
        [
            Query(text=containers.CPU, ref="CPU", alias=f"{_NAME} CPU"),
            Query(text=containers.MEMORY, ref="Memory", alias=f"{_NAME} memory"),
        ],
        unit=style.PERCENT,
        looks=[
            Look(named="/ CPU$/", unit=style.PERCENT, colour=style.CPU, axis="CPU (100 % = one core)"),
            Look(named="/ memory$/", unit=style.BYTES, colour=style.MEMORY, right=True, axis="memory"),
        ],
    )
    made.repeat = "container"
    made.repeat_direction = "v"
    return made


def _lanes() -> dashboard.Panel:
    return lanes(
        "Actions by session",
        "A lane for each session and class of actions; the bar is as long as the action. Actions that began before the "
        "window are clipped. "
        "A bar leads to what such actions cost.",
        Query(text=actions.LANES, result="table"),
        links.COST_OF_BAR,
    )


def _peaks() -> dashboard.Panel:
    return curves(
        "CPU peaks",
        "The highest use between two samples in each interval, where samples come faster than once a second (cgroup, proc). "
        "100 % is one core.",
        [Query(text=containers.CPU_PEAK, alias=_NAME)],
        unit=style.PERCENT,
    )


def _throttled() -> dashboard.Panel:
    return curves(
        "Throttled by a CPU limit",
        "Share of the time in which the container wanted to run and its CPU limit did not let it.",
        [Query(text=containers.THROTTLED, alias=_NAME)],
        unit=style.PERCENT,
    )


def _network() -> dashboard.Panel:
    return curves(
        "Network",
        "Bytes per second into and (dashed) out of each container, from Docker's frames.",
        [
            Query(text=containers.RECEIVED, ref="In", alias=f"{_NAME} in"),
            Query(text=containers.SENT, ref="Out", alias=f"{_NAME} out"),
        ],
        unit=style.BYTES_PER_S,
        looks=[Look(named="/ out$/", dashed=True)],
    )


def _blocks() -> dashboard.Panel:
    return curves(
        "Block devices",
        "Bytes per second read from and (dashed) written to block devices, from Docker's frames; what the page cache "
        "answers is not in it.",
        [
            Query(text=containers.READ, ref="Read", alias=f"{_NAME} read"),
            Query(text=containers.WRITTEN, ref="Written", alias=f"{_NAME} written"),
        ],
        unit=style.BYTES_PER_S,
        looks=[Look(named="/ written$/", dashed=True)],
    )


def _latest() -> dashboard.Panel:
    return rows(
        "Latest actions",
        "One row for each action, newest first, at most 200. CPU is in CPU-seconds of all containers. Where others "
        "were open meanwhile, "
        "their work is in the figures too.",
        [Query(text=actions.LATEST, result="table")],
        looks=[
            Look(named="Time", link=links.THIS_ACTION, title="begin"),
            Look(named="action", link=links.COST_OF_ROW),
            Look(named="duration", unit=style.MILLISECONDS),
            Look(named="CPU", unit=style.SECONDS),
            Look(named="CPU peak", unit=style.PERCENT),
            Look(named="memory peak", unit=style.BYTES),
            Look(named="sent", unit=style.BYTES),
            Look(named="others open", unit=style.COUNT),
            Look(named="to", hidden=True),
        ],
        steps=[order("Time", "action", "source", "role", "setup", "outcome", "duration", drop=())],
    )
