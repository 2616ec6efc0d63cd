"""Tracemark about itself: what its parts tell of themselves, and how far clocks are apart."""

from __future__ import annotations

from collections.abc import Sequence

from grafana.influxql import select
from grafana.signals.common import ACTIONS, EVERY, SITE, tag


def _of(part: str, columns: Sequence[str], fill: str = "null") -> str:
    return select(columns, "tracemark_self", (SITE, tag("part", part)), every=EVERY, fill=fill)


def _highest(*fields: str) -> list[str]:
    return [f'max("{field}") AS "{field}"' for field in fields]


#: percent of one core
CPU = _of("sidecar", ['100 * non_negative_derivative(mean("cpu_seconds"), 1s) AS "CPU"'], "none")
MEMORY = _of("sidecar", ['max("memory_bytes") AS "memory"'])
JOURNAL = _of("journal", _highest("depth"))
JOURNAL_SIZE = _of("retention", _highest("used_bytes"))
SHIPPING = _of("ship", _highest("behind_s"))
WAITING = _of("ship", _highest("waiting_points", "refused_points", "failed_calls"))
LOST = _of("journal", _highest("dropped", "refused", "failed_commits"))
SAMPLES_LOST = select(_highest("samples_dropped"), "tracemark_self", (SITE,), group=("part",), every=EVERY, fill="null")
MARKERS = _of("markers", _highest("connections", "items_refused", "markers_repeated", "items_lost_by_clients"))
LOGS = select(_highest("behind_bytes"), "tracemark_self", (SITE,), group=("part",), every=EVERY, fill="null")
LOG_BACKLOG = select(['max("behind_bytes") AS "not read yet"'], "tracemark_self", (SITE,), every=EVERY, fill="none")
FRAME_AGE = _of("docker", _highest("last_sample_age_s"))
RESTARTS = select(['last("restarts") AS "restarts"'], "tracemark_self", (SITE,), group=("part",))
OFFSETS = select(
    [
        'percentile("clock_offset_ms", 5) AS "p5"',
        'percentile("clock_offset_ms", 50) AS "p50"',
        'percentile("clock_offset_ms", 95) AS "p95"',
    ],
    "action",
    ACTIONS,
    every=EVERY,
    fill="none",
)
OFFSET_ERRORS = select(['max("clock_error_ms") AS "bound of the error"'], "action", ACTIONS, every=EVERY, fill="none")
