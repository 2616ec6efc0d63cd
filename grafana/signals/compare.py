"""One thing beside another: replayed beside real, run beside run; and how long people wait.

Each side has column names of its own: two columns of one name could not be told apart once they stand in one table.
"""

from __future__ import annotations

from collections.abc import Sequence

from grafana.influxql import select
from grafana.signals.common import ACTIONS, EVERY, REAL, REPLAYED, SITE, quartiles, tag

_CHOSEN = (SITE, '"action" =~ /^$action$/', '"setup" =~ /^$setup$/')


def _side(name: str, where: Sequence[str]) -> str:
    return select(
        [
            f'count("duration_ms") AS "n {name}"',
            f'percentile("duration_ms", 50) AS "p50 {name}"',
            f'percentile("duration_ms", 95) AS "p95 {name}"',
            f'mean("cpu_seconds") AS "CPU {name}"',
            f'mean("sent_bytes") AS "sent {name}"',
        ],
        "action",
        where,
        group=("action",),
    )


OF_REAL = _side("real", (*_CHOSEN, REAL))
OF_REPLAYED = _side("baseline", (*_CHOSEN, REPLAYED))
OF_RUN = _side("run", (*_CHOSEN, tag("run", "$run")))
OF_BASELINE_RUN = _side("baseline", (*_CHOSEN, tag("run", "$baseline")))
BOX_OF_REAL = quartiles("duration_ms", "action", (*_CHOSEN, REAL), ("action",))
BOX_OF_REPLAYED = quartiles("duration_ms", "action", (*_CHOSEN, REPLAYED), ("action",))
RUNS = select(
    ['percentile("duration_ms", 50) AS "p50"', 'mean("cpu_seconds") AS "CPU"', 'count("duration_ms") AS "n"'],
    "action",
    (*_CHOSEN, REPLAYED),
    group=("run", "action", "setup"),
)

P95_OF_REAL = select(['percentile("duration_ms", 95) AS "p95 real"'], "action", (SITE, REAL), group=("action",))
P95_OF_REPLAYED = select(['percentile("duration_ms", 95) AS "p95 baseline"'], "action", (SITE, REPLAYED), group=("action",))

# experience

DURATIONS = select(['percentile("duration_ms", 95)'], "action", ACTIONS, group=("action",), every=EVERY, fill="none")
DURATION_BOX = quartiles("duration_ms", "action", ACTIONS, ("action",))
FELT = select(
    [
        'count("duration_ms") AS "n"',
        'percentile("duration_ms", 50) AS "p50"',
        'percentile("duration_ms", 75) AS "p75"',
        'percentile("duration_ms", 95) AS "p95"',
        'max("duration_ms") AS "longest"',
    ],
    "action",
    (*ACTIONS, tag("outcome", "completed")),
    group=("action", "setup"),
)
IMAGES = select(
    [
        'count("first_image_ms") AS "n"',
        'percentile("first_image_ms", 50) AS "first image p50"',
        'percentile("first_image_ms", 95) AS "first image p95"',
        'percentile("duration_ms", 50) AS "last image p50"',
        'percentile("duration_ms", 95) AS "last image p95"',
    ],
    "action",
    (*ACTIONS, '"first_image_ms" >= 0'),
    group=("action", "setup"),
)
NOT_COMPLETED = select(
    ['count("duration_ms") AS "n"'], "action", (*ACTIONS, "\"outcome\" != 'completed'"), group=("action", "source")
)
