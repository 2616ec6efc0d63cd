"""`tracemark annotate`: replayed runs and deployments as regions in Grafana; every call may be repeated."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from sidecar.cli.common import add_config, parse_time, read_config
from sidecar.errors import UsageFault
from sidecar.journal.queries import ActionFilter, Reader
from sidecar.model.records import Session
from sidecar.ship.annotations import Annotation, Annotations
from sidecar.web.gather import every_action

EXAMPLE = """examples:
  tracemark annotate begin --uid deploy-42 --text 'XNAT 1.9.2' --tags deployment
  tracemark annotate end --uid deploy-42
  tracemark annotate run lan-7
"""


def main(argv: Sequence[str]) -> int:
    arguments = _parser().parse_args(argv)
    config = read_config(arguments)
    now_ns = time.time_ns()
    if not config["grafana_url"]:
        raise UsageFault("there is no Grafana to annotate", "set TRACEMARK_GRAFANA_URL and TRACEMARK_GRAFANA_TOKEN")
    annotations = Annotations(config["grafana_url"], config["grafana_token"])
    try:
        if arguments.what == "run":
            reader = Reader(Path(arguments.journal or config["journal"]))
            try:
                made = put_run(annotations, reader, arguments.run)
            finally:
                reader.close()
        else:
            made = _one(annotations, arguments, parse_time(arguments.at, now_ns) if arguments.at else now_ns)
    finally:
        annotations.close()
    print(f"annotation {made.uid} is number {made.number} in Grafana: {made.text}")
    return 0


def put_run(annotations: Annotations, reader: Reader, run: str) -> Annotation:
    """The region of one run, from its first session's start to its last action's end, under the uid `run-<id>`.

    Called while the run goes on it reaches to the last action that ended; called again it grows.
    """
    sessions = reader.sessions(run=run)
    if not sessions:
        raise UsageFault(f"the journal has no run {run!r}", "see `tracemark usage --source replay`, or name another --journal")
    actions = [row.action for row in every_action(reader, ActionFilter(run=run))]
    starts = [session.started_ns for session in sessions] + [action.start_ns for action in actions]
    ends = [session.started_ns for session in sessions] + [action.end_ns for action in actions]
    return annotations.put(f"run-{run}", min(starts), max(ends), run_text(run, sessions, len(actions)), run_tags(run, sessions))


def run_text(run: str, sessions: Sequence[Session], actions: int) -> str:
    """What a run's region says, such as `run lan-7: researcher, lan, 10 repetitions, 60 actions`."""
    repetitions = len({session.repetition for session in sessions if session.repetition is not None})
    words = [*_told(sessions), *([_count(repetitions, "repetition")] if repetitions else []), _count(actions, "action")]
    return f"run {run}: {', '.join(words)}"


def run_tags(run: str, sessions: Sequence[Session]) -> list[str]:
    """Words by which a dashboard can choose among runs."""
    return ["run", run, *_told(sessions)]


def _told(sessions: Sequence[Session]) -> list[str]:
    scenarios = {session.scenario for session in sessions if session.scenario}
    return sorted(scenarios) + sorted({session.setup for session in sessions if session.setup})


def _count(number: int, word: str) -> str:
    return f"{number} {word}" + ("" if number == 1 else "s")


def _one(annotations: Annotations, arguments: argparse.Namespace, at_ns: int) -> Annotation:
    if arguments.what == "begin":
        return annotations.begin(arguments.uid, at_ns, arguments.text, arguments.tags.split(","))
    if arguments.what == "extend":
        return annotations.extend(arguments.uid, at_ns)
    return annotations.end(arguments.uid, at_ns, arguments.text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tracemark annotate", description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    rows = parser.add_subparsers(dest="what", required=True, metavar="begin|extend|end|run")
    for name, text in (
        ("begin", "begin a region; when it has begun already nothing changes"),
        ("extend", "let a region reach to now, or to --at"),
        ("end", "end a region now, or at --at"),
    ):
        row = rows.add_parser(name, help=text, description=text)
        row.add_argument("--uid", required=True, help="your name for it: letters, digits, '_', '.', '-'")
        row.add_argument("--at", metavar="T", help="when: RFC 3339, epoch ns, or an age, as --at=-15m (default: now)")
        if name != "extend":
            row.add_argument("--text", required=name == "begin", help="what the region says")
        if name == "begin":
            row.add_argument("--tags", default="", help="comma-separated words, beside tracemark and tracemark:UID")
        add_config(row)
    run = rows.add_parser("run", help="the region of a replayed run, from the journal", description=put_run.__doc__)
    run.add_argument("run", metavar="RUN-ID", help="the run's id")
    run.add_argument("--journal", metavar="FILE", help="journal to read (default: the setting)")
    add_config(run)
    return parser
