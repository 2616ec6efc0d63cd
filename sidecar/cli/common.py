"""What several commands share: where their settings come from, and how a stretch of time is named."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path

from sidecar.config import Config, load
from sidecar.errors import UsageFault
from sidecar.journal.queries import ActionFilter, Reader
from sidecar.web.parameters import TIMES, time_ns

LAST_NS = 2**63 - 1


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add `--config`, for a TOML file of settings."""
    parser.add_argument("--config", metavar="FILE", help="TOML file of settings (default: $TRACEMARK_CONFIG)")


def read_config(arguments: argparse.Namespace, environment: Mapping[str, str] | None = None) -> Config:
    """The settings that a command runs with."""
    environment = os.environ if environment is None else environment
    file = arguments.config or environment.get("TRACEMARK_CONFIG")
    return load(environment, Path(file) if file else None)


def add_selectors(parser: argparse.ArgumentParser) -> None:
    """Add the selectors that `usage` and `report` share."""
    parser.add_argument("--since", metavar="AGE", help="only actions that began within this time, such as 90s, 15m, 1h, 7d")
    parser.add_argument("--from", dest="from_", metavar="T", help="only actions that began at or after T (RFC 3339 or epoch ns)")
    parser.add_argument("--to", metavar="T", help="only actions that began before T")
    parser.add_argument("--run", metavar="ID", help="only this run")
    parser.add_argument("--source", choices=("real", "replay"), help="only real people's actions, or only replayed ones")
    parser.add_argument("--journal", metavar="FILE", help="journal to read (default: the setting)")


def parse_time(text: str, now_ns: int) -> int:
    """Epoch nanoseconds of a time in any of the forms that the HTTP API takes; UsageFault for anything else."""
    if (parsed := time_ns(text, now_ns)) is None:
        raise UsageFault(f"{text!r} is not a time", f"give {TIMES}")
    return parsed


def parse_age(text: str, now_ns: int) -> int:
    """Epoch nanoseconds of the time that is so long ago: 90s, 15m, 1h, 7d; a minus before it changes nothing."""
    if (parsed := time_ns(f"-{text.removeprefix('-')}", now_ns)) is None:
        raise UsageFault(f"--since {text!r} is not a time span", "write, for instance, 90s, 15m, 1h or 7d")
    return parsed


def known_run(reader: Reader, run: str | None) -> None:
    """UsageFault for a run that nobody recorded."""
    if run is not None and not reader.sessions(run=run):
        known = sorted({one.run for one in reader.sessions() if one.run})
        raise UsageFault(f"there is no run {run!r}", f"name one of: {', '.join(known) or 'none was recorded'}")


def selected(arguments: argparse.Namespace, now_ns: int) -> ActionFilter:
    """The actions that the selectors name."""
    since, begin, end = arguments.since, arguments.from_, arguments.to
    if since is not None and (begin is not None or end is not None):
        raise UsageFault("--since and --from/--to exclude each other", "give one of them")
    from_ns = parse_age(since, now_ns) if since is not None else parse_time("0" if begin is None else begin, now_ns)
    to_ns = LAST_NS if end is None else parse_time(end, now_ns)
    if from_ns >= to_ns:
        raise UsageFault("the stretch of time is empty", "let --from be earlier than --to")
    return ActionFilter(from_ns=from_ns, to_ns=to_ns, source=arguments.source, run=arguments.run)
