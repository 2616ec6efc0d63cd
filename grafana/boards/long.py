"""Long view: weeks and months, from one point a minute."""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard

from grafana import frame, style
from grafana.influxql import Query
from grafana.looks import Look, action_looks
from grafana.panels import curves
from grafana.signals import actions, long

_NAME = "$tag_container_name"
_MINUTES = "From one point a minute; a minute of which only a part is known stands for that part."


def board() -> dashboard.Dashboard:
    """How it has become what it is."""
    return frame.frame(
        "tracemark-long",
        "Long view",
        "Weeks and months: containers, requests, actions. For what is older than single samples are kept, choose the data source "
        "Tracemark long; the boards What actions cost, Baseline, Experience and Network work on it, too.",
        variables=(*frame.of_containers("docker_container_cpu_1m"), frame.servers("http_request_1m"), *frame.OF_ACTIONS),
        annotations=(frame.pushed(),),
        since="now-30d",
        refresh="",
        shelves=(
            (10, [(_cpu(), 12), (_memory(), 12)]),
            (9, [(_network(), 12), (_actions(), 12)]),
            (9, [(_requests(), 12), (_durations(), 12)]),
        ),
    )


def _cpu() -> dashboard.Panel:
    return curves(
        "CPU",
        f"Mean and (dashed) highest of each interval; 100 % is one core. {_MINUTES}",
        [
            Query(text=long.CPU_MEAN, ref="Mean", alias=f"{_NAME} mean"),
            Query(text=long.CPU_HIGHEST, ref="Highest", alias=f"{_NAME} highest"),
        ],
        unit=style.PERCENT,
        looks=[Look(named="/ highest$/", dashed=True)],
        interval="1m",
    )


def _memory() -> dashboard.Panel:
    return curves(
        "Memory",
        f"Mean and (dashed) highest of each interval, without file cache. {_MINUTES}",
        [
            Query(text=long.MEMORY_MEAN, ref="Mean", alias=f"{_NAME} mean"),
            Query(text=long.MEMORY_HIGHEST, ref="Highest", alias=f"{_NAME} highest"),
        ],
        unit=style.BYTES,
        looks=[Look(named="/ highest$/", dashed=True)],
        interval="1m",
    )


def _network() -> dashboard.Panel:
    return curves(
        "Network",
        f"Bytes per second into and (dashed) out of each container, from Docker's frames. {_MINUTES}",
        [Query(text=long.RECEIVED, ref="In", alias=f"{_NAME} in"), Query(text=long.SENT, ref="Out", alias=f"{_NAME} out")],
        unit=style.BYTES_PER_S,
        looks=[Look(named="/ out$/", dashed=True)],
        interval="1m",
    )


def _actions() -> dashboard.Panel:
    return curves(
        "Actions per minute",
        "How many of each class began per minute.",
        [Query(text=actions.PER_MINUTE, alias="$tag_action")],
        unit=style.PER_MINUTE,
        looks=action_looks(),
        interval="1m",
    )


def _requests() -> dashboard.Panel:
    return curves(
        "Requests per second",
        f"By class of status. {_MINUTES}",
        [Query(text=long.REQUESTS, alias="$tag_status_class")],
        unit=style.PER_SECOND,
        interval="1m",
    )


def _durations() -> dashboard.Panel:
    return curves(
        "Durations of requests",
        f"Means of minutes and the highest p95 of a minute: percentiles of minutes cannot be added up. {_MINUTES}",
        [Query(text=long.DURATION, alias="$col")],
        unit=style.MILLISECONDS,
        interval="1m",
    )
