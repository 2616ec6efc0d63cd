"""What actions cost: the study's Tables 1 and 2, live."""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard

from grafana import frame, links, style
from grafana.influxql import Query
from grafana.looks import Look, action_looks, order, step
from grafana.panels import boxes, curves, distribution, rows, stacks
from grafana.signals import costs

_INTERVAL = "low and high are the ends of the 90 % interval of the mean; a single action has none."
_ABOVE = "Windows of users who overlap count each other's work: see the column of others open."


def board() -> dashboard.Dashboard:
    """What each class of actions costs, per container and in all."""
    return frame.frame(
        "tracemark-costs",
        "What actions cost",
        "CPU-seconds, peaks, memory and bytes of each action and container: the study's tables over the time that is chosen.",
        variables=(frame.DATASOURCES, frame.sites("action"), frame.CONTAINERS, *frame.OF_ACTIONS),
        since="now-24h",
        refresh="1m",
        shelves=(
            (9, [(_in_all(), 24)]),
            (9, [(_of_container(), 24)]),
            (9, [(_by_container(), 12), (_box(), 12)]),
            (9, [(_distribution(), 8), (_over_time(), 8), (_per_mb(), 8)]),
        ),
    )


def _in_all() -> dashboard.Panel:
    return rows(
        "All containers",
        f"Per action: how often, how long, and CPU-seconds summed over containers. {_INTERVAL} {_ABOVE}",
        [Query(text=costs.IN_ALL, result="table")],
        looks=[
            Look(named="action", link=links.REGIONS_OF_ROW),
            Look(named="n", unit=style.COUNT),
            Look(named="/^duration/", unit=style.MILLISECONDS),
            Look(named="/^CPU/", unit=style.SECONDS),
            Look(named="requests", unit=style.COUNT),
            Look(named="sent", unit=style.BYTES),
            Look(named="others open", unit=style.COUNT),
        ],
        steps=[
            order("action", "n", "duration p50", "duration p95", "CPU", "CPU low", "CPU high", "requests", "sent", "others open")
        ],
    )


def _of_container() -> dashboard.Panel:
    made = rows(
        "$container",
        "Means per action of one container. CPU in CPU-seconds, CPU mean and CPU peak in percent of one core, peak "
        "lasts: time above half "
        f"the way from mean to peak, memory rise: highest memory minus that at the begin. {_INTERVAL}",
        [Query(text=costs.OF_CONTAINER, result="table")],
        looks=[
            Look(named="action", link=links.REGIONS_OF_ROW),
            Look(named="n", unit=style.COUNT),
            Look(named="duration", unit=style.MILLISECONDS),
            Look(named="/^CPU( low| high)?$/", unit=style.SECONDS),
            Look(named="/^CPU (mean|peak)$/", unit=style.PERCENT),
            Look(named="peak lasts", unit=style.SECONDS),
            Look(named="/^memory/", unit=style.BYTES),
            Look(named="throttled", unit=style.SECONDS),
        ],
        steps=[
            order(
                "action",
                "n",
                "duration",
                "CPU",
                "CPU low",
                "CPU high",
                "CPU mean",
                "CPU peak",
                "peak lasts",
                "memory peak",
                "memory rise",
                "throttled",
            )
        ],
    )
    made.repeat = "container"
    made.repeat_direction = "v"
    return made


def _by_container() -> dashboard.Panel:
    return stacks(
        "Where the CPU-seconds go",
        "Mean CPU-seconds of an action, by container.",
        Query(text=costs.BY_CONTAINER, result="table"),
        by="action",
        unit=style.SECONDS,
        steps=[order("action"), step("renameByRegex", regex="mean_cpu_seconds_(.*)", renamePattern="$1")],
    )


def _box() -> dashboard.Panel:
    return boxes(
        "CPU-seconds: quartiles",
        "Half of all actions lie in the coloured bar; where the two tones meet is the median. The tooltip tells lowest "
        "and highest.",
        Query(text=costs.BOX, result="table"),
        by="action",
        unit=style.SECONDS,
        colour=style.CPU,
    )


def _distribution() -> dashboard.Panel:
    return distribution(
        "CPU-seconds: distribution",
        "How many of the latest 2000 chosen actions cost how much. Choose one action above.",
        Query(text=costs.VALUES, result="table"),
        unit=style.SECONDS,
        colour=style.CPU,
    )


def _over_time() -> dashboard.Panel:
    return curves(
        "CPU-seconds over time",
        "Mean CPU-seconds per action in each interval that had one.",
        [Query(text=costs.OVER_TIME, alias="$tag_action")],
        unit=style.SECONDS,
        looks=action_looks(),
        points=True,
        interval="1m",
    )


def _per_mb() -> dashboard.Panel:
    return rows(
        "Cost per MB",
        "CPU-seconds of all containers for a million bytes sent, of actions that sent more than one million: what does "
        "a larger exam cost?",
        [Query(text=costs.PER_MB, result="table")],
        looks=[
            Look(named="CPU per MB", unit=style.SECONDS),
            Look(named="sent", unit=style.BYTES),
            Look(named="n", unit=style.COUNT),
        ],
        steps=[order("action", "CPU per MB", "sent", "n")],
    )
