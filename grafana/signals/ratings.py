"""How it felt: ratings of 1 to 5; those of too few people are not there (sidecar/ship/crowd.py)."""

from __future__ import annotations

from grafana.influxql import select
from grafana.signals.common import EVERY, SITE

#: a rating of a whole session names no action
_CHOSEN = (SITE, '"action" =~ /^$action$/', '"source" =~ /^(${source:raw})$/', '"setup" =~ /^$setup$/')

TABLE = select(
    [
        'sum("ratings") AS "n"',
        'mean("score") AS "mean"',
        'percentile("score", 25) AS "q1"',
        'percentile("score", 50) AS "median"',
        'percentile("score", 75) AS "q3"',
        'min("score") AS "worst"',
    ],
    "rating",
    _CHOSEN,
    group=("action", "role"),
)
OVER_TIME = select(['mean("score")'], "rating", _CHOSEN, group=("action",), every=EVERY, fill="none")
