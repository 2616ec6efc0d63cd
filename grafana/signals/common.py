"""Conditions that queries share, and shapes of columns.

The variables of the boards stand in them: a multi-value one as `=~ /^$name$/`, a single one as `= '$name'`, and raw where its
value is itself a pattern or a part of a field's name.
"""

from __future__ import annotations

from collections.abc import Sequence

from grafana.influxql import select

EVERY = "$__interval"


def tag(name: str, value: str) -> str:
    """A tag has exactly that value."""
    return f"\"{name}\" = '{value}'"


SITE = tag("site", "$site")
CONTAINER = '"container_name" =~ /^$container$/'
#: frames, cgroup reads and /proc reads of one container are series of their own: a query must choose one
SAMPLES = tag("source", "$samples")
#: only frames tell of network and block devices
FRAMES = tag("source", "docker")
REAL = "\"source\" != 'replay'"
REPLAYED = tag("source", "replay")
#: actions of the class, source, setup and run that the board's variables name
ACTIONS = (SITE, '"action" =~ /^$action$/', '"source" =~ /^(${source:raw})$/', '"setup" =~ /^$setup$/', '"run" =~ /^$run$/')
#: a 90 % interval of a mean of many
Z90 = 1.645


def interval(field: str, unit: str) -> list[str]:
    """Ends of the 90 % interval of a mean; empty for a single action, since one says nothing about the next."""
    spread = f"{Z90} * stddev({field}) / sqrt(count({field}))"
    return [f'mean({field}) - {spread} AS "{unit} low"', f'mean({field}) + {spread} AS "{unit} high"']


def quartiles(field: str, measurement: str, where: Sequence[str], group: Sequence[str]) -> str:
    """A box per group, to be stacked: first quartile, up to the median, up to the third; nearest rank throughout."""
    return select(box_columns(field), measurement, where, group=group)


def box_columns(field: str) -> list[str]:
    """Columns of a box; all have one unit, since one axis draws them."""
    q1, median, q3 = (f'percentile("{field}", {percent})' for percent in (25, 50, 75))
    return [
        f'{q1} AS "q1"',
        f'{median} - {q1} AS "q1 to median"',
        f'{q3} - {median} AS "median to q3"',
        f'min("{field}") AS "min"',
        f'max("{field}") AS "max"',
    ]
