"""Overview: are we fine?"""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard

from grafana import frame, links, style
from grafana.influxql import Query
from grafana.looks import Look, action_looks, order, side_by_side, step
from grafana.panels import alert_list, curves, number, rows
from grafana.signals import actions, compare, containers, outlook, own


def board() -> dashboard.Dashboard:
    """The first look of the day."""
    return frame.frame(
        "tracemark-overview",
        "Overview",
        "Are we fine? Users, the busiest containers, how long actions take against the baseline, alerts.",
        variables=(*frame.OF_CONTAINERS, *frame.OF_ACTIONS),
        annotations=(frame.gap_regions(), frame.pushed()),
        since="now-3h",
        shelves=(
            (4, [(_headroom(), 4), (_users_now(), 5), (_actions_now(), 5), (_behind(), 5), (_backlog(), 5)]),
            (4, [(_capacity(), 24)]),
            (9, [(_worst(), 12), (_alerts(), 12)]),
            (9, [(_users(), 8), (_fit(), 8), (_rate(), 8)]),
            (9, [(_durations(), 24)]),
            (9, [(_cpu(), 12), (_memory(), 12)]),
        ),
    )


def _headroom() -> dashboard.Panel:
    return number(
        "Headroom",
        "How many more users fit until the first limit, with today's mix of roles; the row below has the interval and the limit.",
        [Query(text=outlook.SPARE)],
        unit=style.COUNT,
        since="15m",
        none="unknown",
    )


def _capacity() -> dashboard.Panel:
    return rows(
        "Users until the first limit",
        "Estimates with the ends of their 90 % intervals, worked out by the sidecar from what actions cost lately: which "
        "container and resource end first and which action's target is passed then. tracemark capacity tells the whole curve.",
        [Query(text=outlook.NOW, result="table")],
        looks=[Look(named="/^(headroom|low|high|users now|users that fit|fit low|fit high)$/", unit=style.COUNT)],
        steps=[
            order(
                "headroom",
                "low",
                "high",
                "users now",
                "users that fit",
                "fit low",
                "fit high",
                "first to end",
                "resource",
                "because",
            )
        ],
        since="15m",
        actions=False,
    )


def _fit() -> dashboard.Panel:
    return curves(
        "Users now and users that fit",
        "Where the curve of users reaches the dashed interval, a limit is near.",
        [
            Query(text=outlook.users("users_now"), ref="Now", alias="now"),
            Query(text=outlook.users("users"), ref="Fit", alias="fit"),
            Query(text=outlook.users("users_low"), ref="Low", alias="fit, low"),
            Query(text=outlook.users("users_high"), ref="High", alias="fit, high"),
        ],
        unit=style.COUNT,
        looks=[
            Look(named="now", colour=style.TODAY),
            Look(named="fit", colour=style.CPU),
            Look(named="/^fit, /", colour=style.CPU, dashed=True),
        ],
        interval="1m",
    )


def _users_now() -> dashboard.Panel:
    return number(
        "Users now",
        "Sessions that sent a marker in the last five minutes, people and replayed ones. Without extension or replayer "
        "there are no markers.",
        [Query(text=actions.USERS_NOW)],
        unit=style.COUNT,
        since="5m",
        none="nobody",
    )


def _actions_now() -> dashboard.Panel:
    return number(
        "Actions in five minutes",
        "Actions that began in the last five minutes.",
        [Query(text=actions.ACTIONS_NOW)],
        unit=style.COUNT,
        since="5m",
        none="none",
    )


def _behind() -> dashboard.Panel:
    return number(
        "Delivery lag",
        "Age of the oldest point that waits for InfluxDB. Zero is fine; after an outage it falls.",
        [Query(text=own.SHIPPING)],
        unit=style.SECONDS,
        since="5m",
        limits=(60, 300),
        none="the sidecar is silent",
    )


def _backlog() -> dashboard.Panel:
    return number(
        "Longest access-log backlog",
        "Bytes of access logs that are not read yet.",
        [Query(text=own.LOG_BACKLOG)],
        unit=style.BYTES,
        since="5m",
        limits=(1_000_000, 100_000_000),
        none="no access log",
    )


def _worst() -> dashboard.Panel:
    return rows(
        "Containers, busiest first",
        "Last five minutes. CPU in percent of one core; memory of its limit, empty where there is no limit.",
        [
            Query(text=containers.CPU_NOW, ref="CPU", result="table"),
            Query(text=containers.MEMORY_NOW, ref="Memory", result="table"),
        ],
        looks=[
            Look(named="/^CPU/", unit=style.PERCENT),
            Look(named="memory", unit=style.BYTES),
            Look(named="of its limit", unit=style.PERCENT),
        ],
        steps=[
            order("container_name"),
            step("joinByField", byField="container_name", mode="outer"),
            step("sortBy", sort=[{"field": "CPU", "desc": True}]),
            order("container_name", "CPU", "CPU highest", "memory", "of its limit", rename={"container_name": "container"}),
        ],
        since="5m",
        actions=False,
    )


def _alerts() -> dashboard.Panel:
    return alert_list("Alerts", "Alerts of the folder Tracemark that are not at rest.", frame.FOLDER_UID, frame.FOLDER)


def _users() -> dashboard.Panel:
    return curves(
        "Users",
        "Sessions with a marker in each minute.",
        [Query(text=actions.USERS, alias="users")],
        unit=style.COUNT,
        interval="1m",
    )


def _rate() -> dashboard.Panel:
    return curves(
        "Actions per minute",
        "How many of each class began per minute.",
        [Query(text=actions.PER_MINUTE, alias="$tag_action")],
        unit=style.PER_MINUTE,
        looks=action_looks(),
        interval="1m",
    )


def _durations() -> dashboard.Panel:
    return rows(
        "Duration against the baseline",
        "95 of 100 actions took at most so long: real people now, replayed sessions as the baseline, both in the chosen time. "
        "A ratio above 1 is slower than the baseline.",
        [Query(text=compare.P95_OF_REAL, ref="A", result="table"), Query(text=compare.P95_OF_REPLAYED, ref="B", result="table")],
        looks=[
            Look(named="action", link=links.REGIONS_OF_ROW),
            Look(named="/^p95/", unit=style.MILLISECONDS),
            Look(named="ratio", unit=style.RATIO),
        ],
        steps=side_by_side("p95 real", "p95 baseline"),
    )


def _cpu() -> dashboard.Panel:
    return curves("CPU", "100 % is one core.", [Query(text=containers.CPU, alias="$tag_container_name")], unit=style.PERCENT)


def _memory() -> dashboard.Panel:
    return curves(
        "Memory of its limit",
        "Percent of each container's memory limit; a container without a limit has no curve.",
        [Query(text=containers.MEMORY_SHARE, alias="$tag_container_name")],
        unit=style.PERCENT,
    )
