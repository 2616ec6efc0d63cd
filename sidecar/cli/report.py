"""`tracemark report`: one self-contained page with tables, curves, method and limits; or replayed runs from their folders."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

from sidecar import __version__
from sidecar.analysis.usage import suppress
from sidecar.cli.common import add_config, add_selectors, known_run, read_config, selected
from sidecar.errors import UsageFault
from sidecar.journal.queries import ActionFilter, Reader
from sidecar.model.catalogue import load_catalogue
from sidecar.report.html import Meta, render_report
from sidecar.report.svg import Look
from sidecar.report.tables import FORMATS
from sidecar.web.gather import counted_actions, gather

EXAMPLE = """examples:
  tracemark report --run lan-7 --out lan-7.html
  tracemark report replay-results/reading-lan replay-results/reading-wan --out reading.html
"""
#: reads the folders of runs; loaded by its name, for the sidecar knows nothing of the replayer
FOLDERS = "replay.report.cli"
#: a curve has about this many steps: as many as a screen has room for
STEPS = 1500
#: the finest step, that of the samples themselves
FINEST_NS = 100_000_000
#: the curves begin and end so much before and after the actions
MARGIN_NS = 3_000_000_000


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="tracemark report", description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "folders", metavar="DIR", nargs="*", help="folder of a replayed run, or of several: compared side by side"
    )
    add_selectors(parser)
    parser.add_argument("--out", metavar="FILE", help="the page to write")
    parser.add_argument("--format", choices=FORMATS, help="with DIR: print this (default without --out: table)")
    parser.add_argument("--sidecar", metavar="URL", help="with DIR: ask it what the runs cost (default: $TRACEMARK_SIDECAR)")
    add_config(parser)
    arguments = parser.parse_args(argv)
    if arguments.folders:
        return _folders(arguments)
    for name in ("format", "sidecar"):
        if getattr(arguments, name) is not None:
            raise UsageFault(f"--{name} is for the folders of replayed runs", "name one, or leave the option out")
    if arguments.out is None:
        raise UsageFault("--out is missing", "name the page to write, or the folder of a replayed run to read")
    config = read_config(arguments)
    now_ns = time.time_ns()
    wanted = selected(arguments, now_ns)
    reader = Reader(Path(arguments.journal or config["journal"]))
    try:
        known_run(reader, arguments.run)
        page = build(reader, wanted, site=config["site"], min_group=config["min_group"], now_ns=now_ns)
    finally:
        reader.close()
    target = Path(arguments.out)
    try:
        target.write_text(page, encoding="utf-8")
    except OSError as error:
        raise UsageFault(f"{target} cannot be written ({error.strerror})", "name another file with --out") from error
    return 0


def _folders(arguments: argparse.Namespace) -> int:
    for name, option in (("since", "--since"), ("from_", "--from"), ("to", "--to"), ("run", "--run"), ("source", "--source")):
        if getattr(arguments, name) is not None:
            raise UsageFault(f"{option} does not select among folders", "name the folders of the runs that you mean")
    sidecar = arguments.sidecar or os.environ.get("TRACEMARK_SIDECAR")
    replayed = importlib.import_module(FOLDERS)
    return int(replayed.report(arguments.folders, out=arguments.out, how=arguments.format, sidecar=sidecar))


def build(reader: Reader, wanted: ActionFilter, *, site: str, min_group: int, now_ns: int) -> str:
    """The page about the selected actions and the time that they span."""
    catalogue = load_catalogue()
    usage = gather(reader, wanted, min_group=min_group, order=catalogue.names)
    shown, _ = suppress(counted_actions(reader, wanted)[0], lambda row: row.action.action, min_group)
    actions = [row.action for row in shown]
    if not actions:
        raise UsageFault("there is no action in the selected time", "widen --since, or look at `tracemark usage`")
    from_ns = max(0, min(action.start_ns for action in actions) - MARGIN_NS)
    to_ns = min(now_ns, max(action.end_ns for action in actions) + MARGIN_NS)
    step_ns = max(FINEST_NS, (to_ns - from_ns) // STEPS)
    series = {name: json.loads(reader.samples(name, from_ns, to_ns, step_ns))["rows"] for name in reader.container_names()}
    meta = Meta(
        site=site,
        version=__version__,
        from_ns=from_ns,
        to_ns=to_ns,
        made_ns=now_ns,
        looks={action.name: Look(label=action.label, colour=action.colour) for action in catalogue.actions},
        run=wanted.run,
    )
    return render_report(usage, {name: rows for name, rows in series.items() if rows}, actions, meta, reader.gaps(from_ns, to_ns))
