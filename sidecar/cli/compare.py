"""`tracemark compare`: is the candidate better, the same or worse than the baseline, per action?"""

from __future__ import annotations

import argparse
import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

from sidecar.analysis.compare import EVERYTHING, Comparison
from sidecar.cli.common import add_config, read_config
from sidecar.journal.queries import Reader
from sidecar.model.catalogue import load_catalogue
from sidecar.report.tables import FORMATS
from sidecar.web.gather_runs import gather_comparison

EXAMPLE = """examples:
  tracemark compare before after
  tracemark compare before after --format json

BASELINE and CANDIDATE are runs of `tracemark replay --run-id`; several runs before.block1, before.block2, … are one experiment.
A verdict needs three restarts of the server with six repetitions each, best of both sides in turn.
exit status: 1 when something is proven to be worse, else 0
"""


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="tracemark compare", description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("baseline", metavar="BASELINE", help="run that is the measure")
    parser.add_argument("candidate", metavar="CANDIDATE", help="run that is judged")
    parser.add_argument("--journal", metavar="FILE", help="journal to read (default: the setting)")
    parser.add_argument("--format", choices=FORMATS, default="table", help="default: %(default)s")
    add_config(parser)
    arguments = parser.parse_args(argv)
    config = read_config(arguments)
    reader = Reader(Path(arguments.journal or config["journal"]))
    try:
        told = gather_comparison(reader, arguments.baseline, arguments.candidate)
    finally:
        reader.close()
    print({"table": as_table, "json": as_json, "csv": as_csv}[arguments.format](told), end="")
    return int(told.verdict == "worse")


def as_json(told: Comparison) -> str:
    """Everything."""
    return json.dumps(told.as_json(), indent=2) + "\n"


def as_csv(told: Comparison) -> str:
    """A row per action and metric."""
    names = ("action", "metric", "verdict", "change", "low", "high", "noise", "repetitions", "blocks", "more")
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(names)
    for change in told.changes:
        rows.writerow([getattr(change, name) for name in names])
    return text.getvalue()


def as_table(told: Comparison) -> str:
    """A line per action and metric, the verdict, and what to know."""
    labels = {action.name: action.label for action in load_catalogue().actions} | {EVERYTHING: "(all actions alike)"}
    lines = []
    for change in told.changes:
        name = labels.get(change.action, change.action)
        more = f", about {change.more} more repetitions would tell" if change.more else ""
        lines.append(
            f"{name:<20} {'CPU' if change.metric == 'cpu' else change.metric:<8} {change.change:+7.1%} "
            f"(90 %: {change.low:+.1%} to {change.high:+.1%}), {change.verdict}; {change.repetitions} repetitions in "
            f"{change.blocks} restart{'' if change.blocks == 1 else 's'}, noise {change.noise:.0%}{more}"
        )
    lines += ["", f"verdict: {told.verdict}", *(f"- {note}" for note in told.notes)]
    return "\n".join(lines).lstrip("\n") + "\n"
