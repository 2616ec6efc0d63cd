"""What went over the network, from captures: the study's Fig 8."""

from __future__ import annotations

from grafana.influxql import select, select_from
from grafana.signals.common import ACTIONS, EVERY, REPLAYED, SITE, box_columns, tag

#: a transfer is of one action or of a whole repetition: both in one box would count bytes twice
_CHOSEN = (*ACTIONS, '"role" =~ /^$role$/', tag("scope", "$scope"))
_LASTING = (*_CHOSEN, '"duration_ms" > 0')
#: only a capture knows packets
_CAPTURED = (*_LASTING, tag("method", "capture"))


def _throughput(direction: str) -> str:
    """Bits per second of every transfer in one direction (bytes in milliseconds, times 8000)."""
    return select([f'8000 * "{direction}_bytes" / "duration_ms" AS "throughput"'], "transfer", _LASTING)


DOWN = select_from(_throughput("down"), box_columns("throughput"), group=("setup",))
UP = select_from(_throughput("up"), box_columns("throughput"), group=("setup",))
RETRANSMITTED = select(
    [
        '100 * sum("retransmitted") / sum("packets") AS "retransmitted"',
        'sum("retransmitted") AS "again"',
        'sum("packets") AS "packets"',
    ],
    "transfer",
    _CAPTURED,
    group=("setup", "role"),
)
RETRANSMITTED_OVER_TIME = select(
    ['100 * sum("retransmitted") / sum("packets")'], "transfer", _CAPTURED, group=("setup",), every=EVERY, fill="none"
)
#: the replayer begins again at repetition 1 when the route has changed, and for no other reason: the number falls
_STEPS = select(
    ['difference("repetition") AS "step"'],
    "action",
    (SITE, REPLAYED, '"setup" =~ /^$setup$/', '"run" =~ /^$run$/', '"role" =~ /^$role$/'),
    group=("run", "setup", "role"),
)
ROUTE_CHANGES = select_from(_STEPS, ['count("step") AS "route changes"'], where=('"step" < 0',), group=("run", "setup", "role"))
TABLE = select(
    [
        'count("duration_ms") AS "n"',
        'percentile("throughput_bits_per_s", 25) AS "q1"',
        'percentile("throughput_bits_per_s", 50) AS "median"',
        'percentile("throughput_bits_per_s", 75) AS "q3"',
        'sum("down_bytes") AS "down"',
        'sum("up_bytes") AS "up"',
        '100 * sum("retransmitted") / sum("packets") AS "retransmitted"',
    ],
    "transfer",
    _LASTING,
    group=("action", "setup", "role"),
)
