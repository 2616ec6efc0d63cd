"""Usage tables as text for a terminal, as JSON and as CSV. Pure."""

from __future__ import annotations

import csv
import io
import json
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from sidecar.analysis.load import Load
from sidecar.analysis.summary import Estimate
from sidecar.analysis.usage import COMBINED, UsageRow, UsageTable
from sidecar.model import display
from sidecar.model.display import aligned, digits, percent, size

Format = Literal["table", "json", "csv"]
FORMATS: tuple[Format, ...] = ("table", "json", "csv")


def interval(estimate: Estimate | None) -> str:
    """Estimate and interval: `12.4 (10.1-14.7)`."""
    return "-" if estimate is None else display.interval(estimate.estimate, estimate.low, estimate.high)


def label(action: str, labels: Mapping[str, str]) -> str:
    """What people read for an action; the study's sum is DOWNLOAD & LOGOUT."""
    if action == COMBINED:
        return " & ".join(label(name, labels) for name in ("download", "logout"))
    return labels.get(action, action.replace("_", " ").upper())


#: heading (with its unit), and what stands below it
Column = tuple[str, Callable[[UsageRow], str]]
COLUMNS: tuple[Column, ...] = (
    ("n", lambda row: str(row.count)),
    ("Duration s\np50 (p95)", lambda row: f"{digits(row.duration_s.p50)} ({digits(row.duration_s.p95)})"),
    ("CPU-s\nmean (90 %)", lambda row: interval(row.cpu_seconds)),
    ("Consumption %\nmean", lambda row: percent(row.cpu_percent_mean)),
    (
        "Peak %\np50 (s)",
        lambda row: (
            percent(row.cpu_percent_peak) + (f" ({digits(row.peak_duration_s, 2)})" if row.peak_duration_s is not None else "")
        ),
    ),
    ("Memory\npeak", lambda row: size(row.memory_bytes_peak)),
    ("Sent\nmean", lambda row: size(row.sent_bytes)),
)


def render(table: UsageTable, how: Format, labels: Mapping[str, str]) -> str:
    """The table in one of FORMATS, with a newline at its end."""
    if how == "json":
        return json.dumps(table.as_json(), indent=2, ensure_ascii=False) + "\n"
    return as_csv(table) if how == "csv" else as_text(table, labels)


def as_text(table: UsageTable, labels: Mapping[str, str], width: int = 110) -> str:
    """A table per role, as in the study, then what a reader must know; percent are of one core."""
    parts = [
        f"Table {number}. Server load during {one.title} interactions.\n{grid(one.rows, labels)}"
        for number, one in enumerate(table.tables, start=1)
    ]
    in_tables = {(row.action, row.container) for one in table.tables for row in one.rows}
    rest = [row for row in table.rows if (row.action, row.container) not in in_tables]
    if rest or not table.tables:
        title = "Server load during other sessions' actions." if table.tables else "Server load during user actions."
        parts.append(f"{title}\n{grid(rest, labels)}" if rest else "No completed action in this range.\n")
    parts += ["".join(_load(load) for load in table.loads)] if table.loads else []
    notes = ["Percent are of one core (100 % = one core busy).", *table.notes] if table.rows else table.notes
    return "\n".join([*parts, *(textwrap.fill(note, width) + "\n" for note in notes)])


def _load(load: Load) -> str:
    idle = "never idle" if load.idle_cores is None else f"{load.idle_cores:.3f} cores when idle"
    return (
        f"{load.container}: {digits(load.total_cpu_seconds)} CPU-s in all, "
        f"{digits(load.unattributed_cpu_seconds)} of them while no action was open; {idle}.\n"
    )


def grid(rows: Sequence[UsageRow], labels: Mapping[str, str]) -> str:
    """Aligned columns: text to the left, numbers to the right; an operation is named in its first line only."""
    heads = ["Operation", "Container", *(head for head, _ in COLUMNS)]
    lines = []
    before = None
    for row in rows:
        name = "" if row.action == before else label(row.action, labels)
        before = row.action
        lines.append([name, row.container, *(show(row) for _, show in COLUMNS)])
    return aligned(heads, lines, names=2)


CSV_COLUMNS: tuple[tuple[str, Callable[[UsageRow], object]], ...] = (
    ("action", lambda row: row.action),
    ("container", lambda row: row.container),
    ("count", lambda row: row.count),
    ("measured", lambda row: row.measured),
    ("duration_s_mean", lambda row: row.duration_s.mean),
    ("duration_s_p50", lambda row: row.duration_s.p50),
    ("duration_s_p95", lambda row: row.duration_s.p95),
    ("duration_s_min", lambda row: row.duration_s.min),
    ("duration_s_max", lambda row: row.duration_s.max),
    ("cpu_seconds", lambda row: row.cpu_seconds and row.cpu_seconds.estimate),
    ("cpu_seconds_low", lambda row: row.cpu_seconds and row.cpu_seconds.low),
    ("cpu_seconds_high", lambda row: row.cpu_seconds and row.cpu_seconds.high),
    ("cpu_percent_mean", lambda row: row.cpu_percent_mean),
    ("cpu_percent_peak", lambda row: row.cpu_percent_peak),
    ("cpu_percent_peak_max", lambda row: row.cpu_percent_peak_max),
    ("peak_duration_s", lambda row: row.peak_duration_s),
    ("memory_bytes_peak", lambda row: row.memory_bytes_peak),
    ("memory_rise_bytes", lambda row: row.memory_rise_bytes),
    ("sent_bytes", lambda row: row.sent_bytes),
    ("requests", lambda row: row.requests),
    ("hz", lambda row: row.hz),
    ("overlapped", lambda row: row.overlapped),
)


def as_csv(table: UsageTable) -> str:
    """One line per table, action and container; what is unknown is empty. The table `all` is over every session."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["table", *(name for name, _ in CSV_COLUMNS)])
    for title, rows in [("all", table.rows), *((one.title, one.rows) for one in table.tables)]:
        for row in rows:
            writer.writerow([title, *(read(row) for _, read in CSV_COLUMNS)])
    return out.getvalue()
