"""Requests: rate, errors and duration by route and status."""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard

from grafana import frame, links, style
from grafana.influxql import Query
from grafana.looks import Look, order, step
from grafana.panels import curves, rows, stacks
from grafana.signals import requests

_SIDES = (Look(named="in the server", colour=style.SERVER), Look(named="on the wire", colour=style.WIRE))
_CLASSES = (
    Look(named="2xx", colour=style.SERVER),
    Look(named="3xx", colour="#56B4E9"),
    Look(named="4xx", colour=style.WARN),
    Look(named="5xx", colour=style.BAD),
)


def board() -> dashboard.Dashboard:
    """What the access log tells."""
    return frame.frame(
        "tracemark-requests",
        "Requests",
        "Rate, errors and duration of requests by route (a path with all ids removed), from one access log.",
        variables=(frame.DATASOURCES, frame.sites("http_request"), frame.servers(), frame.ROUTES),
        annotations=(frame.gap_regions(), frame.pushed()),
        shelves=(
            (9, [(_rate(), 12), (_duration(), 12)]),
            (10, [(_routes(), 24)]),
            (9, [(_errors(), 8), (_server_and_wire(), 8), (_by_route(), 8)]),
        ),
    )


def _rate() -> dashboard.Panel:
    return curves(
        "Requests per second",
        "By class of status.",
        [Query(text=requests.RATE, alias="$tag_status_class")],
        unit=style.PER_SECOND,
        looks=_CLASSES,
    )


def _duration() -> dashboard.Panel:
    return curves(
        "Duration",
        "Half of the requests, and 95 of 100, took at most so long.",
        [Query(text=requests.DURATION, alias="$col")],
        unit=style.MILLISECONDS,
    )


def _routes() -> dashboard.Panel:
    return rows(
        "Routes, those that took most in all first",
        "In all: the sum of durations, which tells a slow route that is rare from a quick one that is everywhere.",
        [Query(text=requests.ROUTES, result="table")],
        looks=[
            Look(named="route", link=links.REQUESTS_OF_ROUTE, width=480),
            Look(named="n", unit=style.COUNT),
            Look(named="/^(p50|p95|longest|in all)$/", unit=style.MILLISECONDS),
            Look(named="sent", unit=style.BYTES),
        ],
        steps=[
            step("sortBy", sort=[{"field": "in all", "desc": True}]),
            order("route", "method", "n", "p50", "p95", "longest", "in all", "sent"),
        ],
        actions=False,
    )


def _errors() -> dashboard.Panel:
    return rows(
        "Errors by route",
        "Answers with a status of 400 or more.",
        [Query(text=requests.ERRORS, result="table")],
        looks=[Look(named="requests", unit=style.COUNT)],
        steps=[order("route", "status_class", "requests")],
        actions=False,
    )


def _server_and_wire() -> dashboard.Panel:
    return curves(
        "In the server, on the wire",
        "Mean time until the upstream's last byte, and what remains of the whole: buffering and sending. Only logs "
        "with upstream times have it.",
        [Query(text=requests.SERVER_AND_WIRE, alias="$col")],
        unit=style.MILLISECONDS,
        looks=_SIDES,
    )


def _by_route() -> dashboard.Panel:
    return stacks(
        "In the server, on the wire, by route",
        "The same means by route.",
        Query(text=requests.SERVER_AND_WIRE_BY_ROUTE, result="table"),
        by="route",
        unit=style.MILLISECONDS,
        looks=_SIDES,
        steps=[order("route", "in the server", "on the wire")],
    )
