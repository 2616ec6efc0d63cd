"""Network: the study's Fig 8."""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard

from grafana import frame, style
from grafana.influxql import Query
from grafana.looks import Look, order
from grafana.panels import boxes, curves, rows
from grafana.signals import transfers

_BOX = (
    "Quartiles of the throughput of each transfer, by setup; where the two tones meet is the median. Choose a role for one "
    "scenario."
)


def board() -> dashboard.Dashboard:
    """Throughput and retransmissions by setup and scenario."""
    return frame.frame(
        "tracemark-network",
        "Network",
        "What replayed sessions with a packet capture saw of the network: throughput, retransmissions, route changes.",
        variables=(frame.DATASOURCES, frame.sites("action"), *frame.OF_ACTIONS, frame.ROLES, frame.SCOPE),
        since="now-7d",
        refresh="",
        shelves=(
            (10, [(_down(), 12), (_up(), 12)]),
            (9, [(_table(), 24)]),
            (8, [(_retransmitted(), 8), (_over_time(), 8), (_routes(), 8)]),
        ),
    )


def _down() -> dashboard.Panel:
    return boxes(
        "Throughput down",
        f"To the browser. {_BOX}",
        Query(text=transfers.DOWN, result="table"),
        by="setup",
        unit=style.BITS_PER_S,
        colour=style.DOWN,
    )


def _up() -> dashboard.Panel:
    return boxes(
        "Throughput up",
        f"From the browser. {_BOX}",
        Query(text=transfers.UP, result="table"),
        by="setup",
        unit=style.BITS_PER_S,
        colour=style.UP,
    )


def _retransmitted() -> dashboard.Panel:
    return rows(
        "Retransmitted packets",
        "Packets that were sent again, from captures: loss on the way, or a capture that saw packets twice.",
        [Query(text=transfers.RETRANSMITTED, result="table")],
        looks=[Look(named="retransmitted", unit=style.PERCENT), Look(named="/^(again|packets)$/", unit=style.COUNT)],
        steps=[order("setup", "role", "retransmitted", "again", "packets")],
        actions=False,
    )


def _over_time() -> dashboard.Panel:
    return curves(
        "Retransmissions over time",
        "Share of packets that were sent again, by setup.",
        [Query(text=transfers.RETRANSMITTED_OVER_TIME, alias="$tag_setup")],
        unit=style.PERCENT,
        points=True,
        interval="1m",
    )


def _routes() -> dashboard.Panel:
    return rows(
        "Route changes",
        "How often a run began again at repetition 1: the replayer does that when the route to the server is another one than "
        "before. Empty is good.",
        [Query(text=transfers.ROUTE_CHANGES, result="table")],
        looks=[Look(named="route changes", unit=style.COUNT)],
        steps=[order("run", "setup", "role", "route changes")],
        actions=False,
    )


def _table() -> dashboard.Panel:
    return rows(
        "Transfers by action, setup and role",
        "Quartiles of throughput, both directions together; bytes in all.",
        [Query(text=transfers.TABLE, result="table")],
        looks=[
            Look(named="n", unit=style.COUNT),
            Look(named="/^(q1|median|q3)$/", unit=style.BITS_PER_S),
            Look(named="/^(down|up)$/", unit=style.BYTES),
            Look(named="retransmitted", unit=style.PERCENT),
        ],
        steps=[order("action", "setup", "role", "n", "q1", "median", "q3", "down", "up", "retransmitted")],
    )
