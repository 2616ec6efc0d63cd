"""What is foretold: how many users fit and what ends first, and the verdict on the newest replayed run."""

from __future__ import annotations

from grafana.influxql import select
from grafana.signals.common import EVERY, SITE

SPARE = select(['last("spare") AS "headroom"'], "headroom", (SITE,))
NOW = select(
    [
        'last("spare") AS "headroom"',
        'last("spare_low") AS "low"',
        'last("spare_high") AS "high"',
        'last("users_now") AS "users now"',
        'last("users") AS "users that fit"',
        'last("users_low") AS "fit low"',
        'last("users_high") AS "fit high"',
        'last("container") AS "first to end"',
        'last("resource") AS "resource"',
        'last("text") AS "because"',
    ],
    "headroom",
    (SITE,),
)


def users(field: str) -> str:
    """One field of the headroom over time."""
    return select([f'mean("{field}")'], "headroom", (SITE,), every=EVERY, fill="null")


#: verdicts of the newest round: a table without time, one row per action and metric
VERDICT = select(
    [
        'last("verdict") AS "verdict"',
        '100 * last("change") AS "change"',
        '100 * last("low") AS "low"',
        '100 * last("high") AS "high"',
        'last("repetitions") AS "repetitions"',
        'last("blocks") AS "restarts"',
        'last("candidate") AS "run"',
        'last("baseline") AS "baseline"',
    ],
    "verdict",
    (SITE,),
    group=("action", "metric"),
)
