"""`tracemark usage`: what each action cost, in the form of the study's two tables."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from sidecar.cli.common import add_config, add_selectors, known_run, read_config, selected
from sidecar.journal.queries import Reader
from sidecar.model.catalogue import load_catalogue
from sidecar.report.tables import FORMATS, render
from sidecar.web.gather import gather

EXAMPLE = "examples:\n  tracemark usage --since 1h\n  tracemark usage --run lan-7 --source replay --format csv\n"


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="tracemark usage", description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_selectors(parser)
    parser.add_argument("--format", choices=FORMATS, default="table", help="default: %(default)s")
    add_config(parser)
    arguments = parser.parse_args(argv)
    config = read_config(arguments)
    catalogue = load_catalogue()
    reader = Reader(Path(arguments.journal or config["journal"]))
    try:
        known_run(reader, arguments.run)
        table = gather(reader, selected(arguments, time.time_ns()), min_group=config["min_group"], order=catalogue.names)
    finally:
        reader.close()
    print(render(table, arguments.format, {action.name: action.label for action in catalogue.actions}), end="")
    return 0
