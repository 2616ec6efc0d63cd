"""Requests of the access log that the board chooses: rate, errors, duration; in the server and on the wire."""

from __future__ import annotations

from grafana.influxql import select
from grafana.signals.common import EVERY, SITE, tag

_CHOSEN = (SITE, tag("server", "$server"), '"route" =~ /^$route$/')
#: lines that tell both how long the upstream and how long the whole took
_TIMED = (*_CHOSEN, '"upstream_ms" >= 0', '"duration_ms" >= 0')

RATE = select(
    ['1000 * sum("requests") / $__interval_ms'], "http_request", _CHOSEN, group=("status_class",), every=EVERY, fill="0"
)
ERRORS = select(['sum("requests") AS "requests"'], "http_request", (*_CHOSEN, '"status" >= 400'), group=("route", "status_class"))
DURATION = select(
    ['percentile("duration_ms", 50) AS "p50"', 'percentile("duration_ms", 95) AS "p95"'],
    "http_request",
    _CHOSEN,
    every=EVERY,
    fill="null",
)
ROUTES = select(
    [
        'sum("requests") AS "n"',
        'percentile("duration_ms", 50) AS "p50"',
        'percentile("duration_ms", 95) AS "p95"',
        'max("duration_ms") AS "longest"',
        'sum("duration_ms") AS "in all"',
        'sum("sent_bytes") AS "sent"',
    ],
    "http_request",
    _CHOSEN,
    group=("route", "method"),
)
SERVER_AND_WIRE = select(
    ['mean("upstream_ms") AS "in the server"', 'mean("duration_ms") - mean("upstream_ms") AS "on the wire"'],
    "http_request",
    _TIMED,
    every=EVERY,
    fill="null",
)
SERVER_AND_WIRE_BY_ROUTE = select(
    [
        'mean("upstream_ms") AS "in the server"',
        'mean("duration_ms") - mean("upstream_ms") AS "on the wire"',
    ],
    "http_request",
    _TIMED,
    group=("route",),
)
