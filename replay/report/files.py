"""Runs for other programs: JSON, and CSV with a line per run, action and measure. Pure."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from replay.report.runs import Run, notes_of
from replay.report.spread import Spread
from replay.summary import SESSION

FORMAT = 1
HEAD = (
    "run", "scenario", "setup", "finished", "wanted", "action", "container", "measure", "n",
    "mean", "whisker_low", "q1", "median", "q3", "whisker_high", "outliers",
)  # fmt: skip


def as_json(runs: Sequence[Run]) -> str:
    """`runs` with their summaries, spreads and usage; rates are bytes per second, durations seconds."""
    told = {"format": FORMAT, "runs": [_run(run) for run in runs], "notes": notes_of(runs)}
    return json.dumps(told, indent=2, ensure_ascii=False) + "\n"


def as_csv(runs: Sequence[Run]) -> str:
    """What is unknown is empty; outliers are separated by spaces. Retransmissions are a mean per action."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEAD)
    for run in runs:
        known = run.manifest
        head = [known.run, known.scenario, known.setup, run.summary.finished, run.summary.wanted]
        writer.writerows([*head, *cells] for cells in _lines(run))
    return out.getvalue()


def _lines(run: Run) -> Iterator[list[object]]:
    for measure, spread in (("down_bytes_per_s", run.down), ("up_bytes_per_s", run.up)):
        if spread is not None:
            yield [SESSION, "", measure, *_spread(spread)]
    for action, spread in run.durations.items():
        yield [action, "", "duration_s", *_spread(spread)]
    for row in run.summary.rows:
        if row.retransmitted is not None:
            yield [row.action, "", "retransmitted_segments", row.count, row.retransmitted / row.count, *[""] * 6]
    for used in run.usage:
        yield [used.action, used.container, "cpu_seconds", used.measured, used.cpu_seconds, *[""] * 6]


def _spread(spread: Spread) -> list[object]:
    outliers = " ".join(f"{value:g}" for value in spread.outliers)
    return [spread.n, spread.mean, spread.low, spread.q1, spread.median, spread.q3, spread.high, outliers]


def _run(run: Run) -> dict[str, Any]:
    known = run.manifest
    return {
        **run.summary.to_json(),
        "folder": run.folder.name,
        "unfinished": run.unfinished,
        "users": known.users,
        "seed": known.seed,
        "scenario_sha256": known.scenario_sha256,
        "created_ns": known.created_ns,
        "exam_bytes": known.exam_bytes,
        "versions": known.versions,
        "down_bytes_per_s": None if run.down is None else asdict(run.down),
        "up_bytes_per_s": None if run.up is None else asdict(run.up),
        "durations_s": {action: asdict(spread) for action, spread in run.durations.items()},
        "usage": [asdict(row) for row in run.usage],
    }
