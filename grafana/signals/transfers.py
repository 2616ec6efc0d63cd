"""What went over the network, from captures: the study's Fig 8."""

from __future__ import annotations

from grafana.influxql import select, select_from
from grafana.signals.common import ACTIONS, box_columns

_LASTING = (*ACTIONS, '"role" =~ /^$role$/', '"duration_ms" > 0')


def _throughput(direction: str) -> str:
    """Bits per second of every transfer in one direction (bytes in milliseconds, times 8000)."""
    return select([f'8000 * "{direction}_bytes" / "duration_ms" AS "throughput"'], "transfer", _LASTING)


DOWN = select_from(_throughput("down"), box_columns("throughput"), group=("setup",))
UP = select_from(_throughput("up"), box_columns("throughput"), group=("setup",))
RETRANSMITTED = select(
    ['100 * sum("retransmitted") / sum("packets") AS "retransmitted"', 'sum("packets") AS "packets"'],
    "transfer",
    _LASTING,
    group=("setup",),
)
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
