"""Curves of one container, down-sampled and turned to JSON inside SQLite."""

from __future__ import annotations

import json
import sqlite3

from sidecar.model.records import SampleSource

#: how many rows a chart has at most when no step is asked for
RAW_ROWS = 2000
#: past this between two samples the CPU use in between is unknown, not their mean
_HOLE_NS = 15_000_000_000

# CPU use between two samples by the wall clock, in percent of one core. Unknown across a restart of the container (its counter
# begins anew) and across a hole. A frame's own percentage, by the Docker CLI's formula, goes before it.
_PIECES = """
WITH counted AS (
    SELECT
        time_ns, container_id, cpu_total_ns, cpu_percent, memory_bytes, rx_bytes, tx_bytes, block_read_bytes, block_write_bytes,
        throttled_ns, pids, lag(cpu_total_ns) OVER past AS cpu_before, lag(time_ns) OVER past AS before_ns,
        lag(container_id) OVER past AS id_before
    FROM samples
    WHERE container = (SELECT no FROM names WHERE name = :container) AND source = (SELECT no FROM names WHERE name = :source)
        AND time_ns >= coalesce((
            SELECT max(time_ns) FROM samples
            WHERE container = (SELECT no FROM names WHERE name = :container)
                AND source = (SELECT no FROM names WHERE name = :source) AND time_ns < :from_ns), :from_ns)
        AND time_ns < :to_ns
    WINDOW past AS (ORDER BY time_ns)
), pieces AS (
    SELECT *,
        CASE WHEN id_before = container_id AND cpu_total_ns >= cpu_before AND time_ns - before_ns < :hole_ns
            THEN time_ns - before_ns END AS took_ns,
        cpu_total_ns - cpu_before AS cpu_ns
    FROM counted WHERE time_ns >= :from_ns
), rows AS (
    SELECT
        {time} AS time_ns,
        coalesce(avg(cpu_percent), 100.0 * sum(CASE WHEN took_ns IS NOT NULL THEN cpu_ns END) / sum(took_ns)) AS cpu_percent,
        max(coalesce(cpu_percent, CASE WHEN took_ns IS NOT NULL THEN 100.0 * cpu_ns / took_ns END)) AS cpu_percent_max,
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
    FROM pieces GROUP BY {group}
)
"""
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
            "SELECT count(*) FROM (SELECT 1 FROM samples WHERE container = (SELECT no FROM names WHERE name = :container) "
            "AND source = (SELECT no FROM names WHERE name = :source) AND time_ns >= :from_ns AND time_ns < :to_ns LIMIT :limit)",
            values | {"limit": RAW_ROWS + 1},
        ).fetchone()[0]
        if many > RAW_ROWS:
            # One step less than rows: steps are aligned, so that the first and the last are cut.
            step_ns = _round_step(-(-_extent(connection, values) // (RAW_ROWS - 1)))
    if step_ns is None:
        sql = _PIECES.format(time="time_ns", group="time_ns")
    else:
        values |= {"step_ns": max(1, step_ns)}
        sql = _PIECES.format(time="min(time_ns) / :step_ns * :step_ns", group="time_ns / :step_ns")
    pairs = ", ".join(f"'{name}', {name}" for name in _COLUMNS)
    rows = connection.execute(
        f"{sql} SELECT json_group_array(json_object({pairs})) FROM (SELECT * FROM rows ORDER BY time_ns)",  # noqa: S608
        values,
    ).fetchone()[0]
    head = json.dumps({"container": container, "source": source, "step_ns": step_ns}, separators=(",", ":"))
    return f'{head[:-1]},"rows":{rows}}}'


def _extent(connection: sqlite3.Connection, values: dict[str, str | int | None]) -> int:
    first, last = connection.execute(
        "SELECT min(time_ns), max(time_ns) FROM samples WHERE container = (SELECT no FROM names WHERE name = :container) "
        "AND source = (SELECT no FROM names WHERE name = :source) AND time_ns >= :from_ns AND time_ns < :to_ns",
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
