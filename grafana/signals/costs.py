"""What an action costs above nothing: per container, in all, per MB, and how it is distributed."""

from __future__ import annotations

from grafana.influxql import select
from grafana.signals.common import ACTIONS, EVERY, interval, quartiles

_BY_ACTION = ("action",)


def _field(name: str) -> str:
    """A field of the panel's container: InfluxQL has no joins, so the container's name is in the field's."""
    return f'"{name}_${{container:raw}}"'


#: the study's Table 1 and Table 2, for one container
OF_CONTAINER = select(
    [
        f'count({_field("cpu_seconds")}) AS "n"',
        'mean("duration_ms") AS "duration"',
        f'mean({_field("cpu_seconds")}) AS "CPU"',
        *interval(_field("cpu_seconds"), "CPU"),
        f'mean({_field("cpu_percent_mean")}) AS "CPU mean"',
        f'mean({_field("cpu_percent_peak")}) AS "CPU peak"',
        f'mean({_field("peak_duration_s")}) AS "peak lasts"',
        f'mean({_field("memory_bytes_peak")}) AS "memory peak"',
        f'mean({_field("memory_rise_bytes")}) AS "memory rise"',
        f'mean({_field("throttled_seconds")}) AS "throttled"',
    ],
    "action",
    ACTIONS,
    group=_BY_ACTION,
)
IN_ALL = select(
    [
        'count("cpu_seconds") AS "n"',
        'percentile("duration_ms", 50) AS "duration p50"',
        'percentile("duration_ms", 95) AS "duration p95"',
        'mean("cpu_seconds") AS "CPU"',
        *interval('"cpu_seconds"', "CPU"),
        'mean("requests") AS "requests"',
        'mean("sent_bytes") AS "sent"',
        'mean("overlapped") AS "others open"',
    ],
    "action",
    ACTIONS,
    group=_BY_ACTION,
)
BY_CONTAINER = select(["mean(/^cpu_seconds_/)"], "action", ACTIONS, group=_BY_ACTION)
PER_MB = select(
    [
        '1000000 * sum("cpu_seconds") / sum("sent_bytes") AS "CPU per MB"',
        'sum("sent_bytes") AS "sent"',
        'count("cpu_seconds") AS "n"',
    ],
    "action",
    (*ACTIONS, '"sent_bytes" > 1000000'),
    group=_BY_ACTION,
)
OVER_TIME = select(['mean("cpu_seconds")'], "action", ACTIONS, group=_BY_ACTION, every=EVERY, fill="none")
BOX = quartiles("cpu_seconds", "action", ACTIONS, _BY_ACTION)
VALUES = select(['"cpu_seconds" AS "CPU-seconds of one action"'], "action", ACTIONS, tail="ORDER BY time DESC LIMIT 2000")
