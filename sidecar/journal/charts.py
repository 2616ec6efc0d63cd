"""Curves of one container, down-sampled and turned to JSON inside SQLite."""

from __future__ import annotations

import json
import sqlite3

from sidecar.model.records import SampleSource

#: how many rows a chart has at most when no step is asked for
RAW_ROWS = 2000
#: past this between two samples the CPU use in between is unknown, not their mean
_HOLE_NS = 15_000_000_000

_SERIES = """container = (SELECT no FROM names WHERE name = :container)
        AND source = (SELECT no FROM names WHERE name = :source)"""

# CPU use between two samples by the wall clock, in percent of one core. Unknown across a restart of the container (its counter
# begins anew) and across a hole. A frame's own percentage, by the Docker CLI's formula, goes before it. It is computed apart from
# the rest because the look back at each sample's predecessor costs with every column that is dragged along.
_ROWS = f"""
WITH counted AS (
    SELECT
        time_ns, cpu_percent, cpu_total_ns - lag(cpu_total_ns) OVER past AS cpu_ns, time_ns - lag(time_ns) OVER past AS took_ns,
        container_id = lag(container_id) OVER past AS same
    FROM samples
    WHERE {_SERIES} AND time_ns < :to_ns AND time_ns >= coalesce(
        (SELECT max(time_ns) FROM samples WHERE {_SERIES} AND time_ns < :from_ns), :from_ns)
    WINDOW past AS (ORDER BY time_ns)
), pieces AS (
    SELECT
        time_ns / :step_ns AS step, cpu_percent, cpu_ns,
        CASE WHEN same AND cpu_ns >= 0 AND took_ns < :hole_ns THEN took_ns END AS took_ns
    FROM counted WHERE time_ns >= :from_ns
), cpu AS (
    SELECT
        step,
        coalesce(avg(cpu_percent), 100.0 * sum(CASE WHEN took_ns IS NOT NULL THEN cpu_ns END) / sum(took_ns)) AS cpu_percent,
        max(coalesce(cpu_percent, 100.0 * cpu_ns / took_ns)) AS cpu_percent_max
    FROM pieces GROUP BY step
), rest AS (
    SELECT
        time_ns / :step_ns AS step,
        max(cpu_total_ns) / 1e9 AS cpu_seconds_total,
        CAST(avg(memory_bytes) AS INTEGER) AS memory_bytes,
        max(memory_bytes) AS memory_bytes_max,
        max(rx_bytes) AS rx_bytes,
        max(tx_bytes) AS tx_bytes,
        max(block_read_bytes) AS block_read_bytes,
        max(block_write_bytes) AS block_write_bytes,
        max(throttled_ns) / 1e9 AS throttled_seconds,
        max(pids) AS pids,
        count(*) AS samples
    FROM samples WHERE {_SERIES} AND time_ns >= :from_ns AND time_ns < :to_ns
    GROUP BY step
), rows AS (
    SELECT step * :step_ns AS time_ns, * FROM rest JOIN cpu USING (step)
)
"""  # noqa: S608
_COLUMNS = (
    "time_ns",
    "cpu_percent",
    "cpu_percent_max",
    "cpu_seconds_total",
    "memory_bytes",
    "memory_bytes_max",
    "rx_bytes",
    "tx_bytes",
    "block_read_bytes",
    "block_write_bytes",
    "throttled_seconds",
    "pids",
    "samples",
)


def chart(
    connection: sqlite3.Connection,
    container: str,
    source: SampleSource | None,
    from_ns: int,
    to_ns: int,
    step_ns: int | None,
) -> str:
    """JSON text `{"container", "source", "step_ns", "rows"}` for [from_ns, to_ns); `step_ns` null means one row per sample.

    `cpu_percent` is the mean over a row's step (percent of one core), `cpu_percent_max` the highest between two samples; memory
    likewise; counters are the last value; `time_ns` is the begin of the step. A step without samples has no row.
    """
    values = {"container": container, "source": source, "from_ns": from_ns, "to_ns": to_ns, "hole_ns": _HOLE_NS}
    if step_ns is None:
        many = connection.execute(
            f"SELECT count(*) FROM (SELECT 1 FROM samples WHERE {_SERIES} "  # noqa: S608
            "AND time_ns >= :from_ns AND time_ns < :to_ns LIMIT :limit)",
            values | {"limit": RAW_ROWS + 1},
        ).fetchone()[0]
        if many > RAW_ROWS:
            # One step less than rows: steps are aligned, so that the first and the last are cut.
            step_ns = _round_step(-(-_extent(connection, values) // (RAW_ROWS - 1)))
    # One nanosecond: every sample is a step of its own.
    values["step_ns"] = 1 if step_ns is None else max(1, step_ns)
    pairs = ", ".join(f"'{name}', {name}" for name in _COLUMNS)
    rows = connection.execute(
        f"{_ROWS} SELECT json_group_array(json_object({pairs})) FROM (SELECT * FROM rows ORDER BY time_ns)",  # noqa: S608
        values,
    ).fetchone()[0]
    head = json.dumps({"container": container, "source": source, "step_ns": step_ns}, separators=(",", ":"))
    return f'{head[:-1]},"rows":{rows}}}'


def _extent(connection: sqlite3.Connection, values: dict[str, str | int | None]) -> int:
    first, last = connection.execute(
        f"SELECT min(time_ns), max(time_ns) FROM samples WHERE {_SERIES} "  # noqa: S608
        "AND time_ns >= :from_ns AND time_ns < :to_ns",
        values,
    ).fetchone()
    return int(last - first)


def _round_step(step_ns: int) -> int:
    """The next of 1, 2, 5, 10, 20, 50 ... ms, up to a second, then of whole seconds; never finer than asked for."""
    base = 1_000_000
    while True:
        for factor in (1, 2, 5):
            if base * factor >= step_ns:
                return base * factor
        base *= 10
