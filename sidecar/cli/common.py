"""What several commands share: where their settings come from, and how a stretch of time is named."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from sidecar.config import Config, load
from sidecar.errors import UsageFault

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


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
    """Epoch nanoseconds of a time given as nanoseconds, RFC 3339, or an age such as `-15m`.

    Raises UsageFault for anything else.
    """
    if re.fullmatch(r"\d{1,19}", text):
        return int(text)
    if age := re.fullmatch(r"-(\d+(?:\.\d+)?)([smhd])", text):
        return now_ns - round(float(age[1]) * _UNITS[age[2]] * 1e9)
    try:
        when = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageFault(f"{text!r} is not a time", "give epoch nanoseconds, RFC 3339 (2026-11-22T09:30:00Z) or -15m") from error
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return int(when.timestamp()) * 10**9 + when.microsecond * 1000


def window(arguments: argparse.Namespace, now_ns: int) -> tuple[int, int]:
    """The stretch of time that the selectors name: from (inclusive) and to (exclusive), epoch nanoseconds."""
    if arguments.since and (arguments.from_ or arguments.to):
        raise UsageFault("--since and --from/--to exclude each other", "give one of them")
    start = parse_time(f"-{arguments.since}" if arguments.since else arguments.from_ or "0", now_ns)
    end = parse_time(arguments.to, now_ns) if arguments.to else now_ns + 1
    if start >= end:
        raise UsageFault("the stretch of time is empty", "let --from be earlier than --to")
    return start, end
