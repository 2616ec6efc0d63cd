"""Which actions there were, and where nothing was seen: regions, lanes, rates, the latest."""

from __future__ import annotations

from grafana.influxql import LONGEST_ACTION, LONGEST_GAP, select, touching
from grafana.signals.common import ACTIONS, EVERY, SITE, tag

_ENDS_INSIDE = '"time_end" >= ${__from}'
_ENDS_INSIDE_OR_LASTS = f'({_ENDS_INSIDE} OR "lasting" = true)'


def regions(action: str) -> str:
    """One class of actions as regions: columns named as Grafana's own mapper looks for them, never one called id."""
    return touching(
        ['"time_end" AS "timeEnd"', '"linked" AS "text"', '"tags"', '"action" AS "title"'],
        "action",
        (_ENDS_INSIDE, tag("action", action), *ACTIONS),
        LONGEST_ACTION,
        "ORDER BY time DESC LIMIT 500",
    )


GAP_REGIONS = touching(
    ['"time_end" AS "timeEnd"', '"text"', '"part" AS "tags"'],
    "gap",
    (_ENDS_INSIDE_OR_LASTS, SITE),
    LONGEST_GAP,
    "ORDER BY time DESC LIMIT 500",
)
GAPS = touching(
    ['"part"', '"subject"', '"reason"', '"duration_ms" AS "lasted"', '"lasting" AS "lasts still"'],
    "gap",
    (_ENDS_INSIDE_OR_LASTS, SITE),
    LONGEST_GAP,
    "ORDER BY time DESC LIMIT 200",
)
#: a lane must be sequential, so each session and class of actions has its own
LANES = touching(
    ['"time_end" AS "timeEnd"', '"action" AS "lane"', '"action"', '"session"'],
    "action",
    (_ENDS_INSIDE, '"duration_ms" > 0', *ACTIONS),
    LONGEST_ACTION,
    "ORDER BY time DESC LIMIT 1000",
)
PER_MINUTE = select(
    ['60000 * count("duration_ms") / $__interval_ms'], "action", ACTIONS, group=("action",), every=EVERY, fill="0"
)
USERS = select(['count(distinct("session"))'], "action_event", (SITE,), every=EVERY, fill="0")
USERS_NOW = select(['count(distinct("session")) AS "users"'], "action_event", (SITE,))
ACTIONS_NOW = select(['count("duration_ms") AS "actions"'], "action", (SITE,))
LATEST = select(
    [
        '"time_end" + 5000 AS "to"',
        '"action"',
        '"source"',
        '"role"',
        '"setup"',
        '"outcome"',
        '"duration_ms" AS "duration"',
        '"cpu_seconds" AS "CPU"',
        '"cpu_percent_peak" AS "CPU peak"',
        '"memory_bytes_peak" AS "memory peak"',
        '"sent_bytes" AS "sent"',
        '"overlapped" AS "others open"',
    ],
    "action",
    ACTIONS,
    tail="ORDER BY time DESC LIMIT 200",
)
