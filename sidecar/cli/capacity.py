"""`tracemark capacity`: how many users fit, which container and resource end first, with an interval."""

from __future__ import annotations

import argparse
import csv
import io
import json
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from sidecar.analysis.capacity import Capacity, Headroom
from sidecar.cli.common import add_config, parse_age, read_config
from sidecar.errors import UsageFault
from sidecar.journal.queries import Reader
from sidecar.model.catalogue import load_catalogue
from sidecar.report.tables import FORMATS
from sidecar.web.gather_capacity import Wanted, gather_capacity, gather_headroom

EXAMPLE = """examples:
  tracemark capacity
  tracemark capacity --target "open_viewer p95 < 5s" --mix roles.json --format json

a mix is a JSON object of roles and shares: {"radiologist": 0.8, "researcher": 0.2}
"""
#: of a role in a mix; percents and heads are below it
MOST_SHARE = 1e9
_TARGET = re.compile(r"\s*(\w+)\s+p95\s*<\s*([\d.]+)\s*(ms|s)\s*")


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="tracemark capacity", description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--target", action="append", metavar='"ACTION p95 < 5s"', help="instead of the settings' targets; repeatable"
    )
    parser.add_argument("--mix", metavar="FILE", help="shares of roles (default: as they were there)")
    parser.add_argument("--since", metavar="AGE", default="7d", help="actions to learn from (default: %(default)s)")
    parser.add_argument("--journal", metavar="FILE", help="journal to read (default: the setting)")
    parser.add_argument("--format", choices=FORMATS, default="table", help="default: %(default)s")
    add_config(parser)
    arguments = parser.parse_args(argv)
    config = read_config(arguments)
    now_ns = time.time_ns()
    wanted = Wanted(
        targets=targets(arguments.target) if arguments.target else config["targets"],
        cpu_limits=config["cpu_limits"],
        link_mbit=config["link_mbit"],
        min_group=config["min_group"],
        mix=mix(Path(arguments.mix)) if arguments.mix else None,
        library_ns=now_ns - parse_age(arguments.since, now_ns),
    )
    reader = Reader(Path(arguments.journal or config["journal"]))
    try:
        known = gather_capacity(reader, wanted, now_ns)
        left = gather_headroom(reader, known, wanted, now_ns)
    finally:
        reader.close()
    print({"table": as_table, "json": as_json, "csv": as_csv}[arguments.format](known, left), end="")
    return 0


def targets(given: Sequence[str]) -> Mapping[str, float]:
    """Seconds by action, of texts such as `open_viewer p95 < 5s`."""
    names = load_catalogue().names
    made: dict[str, float] = {}
    for text in given:
        found = _TARGET.fullmatch(text)
        if found is None or not _is_amount(found[2]):
            raise UsageFault(f"{text!r} is not a target", 'write, for instance: "open_viewer p95 < 5s"')
        if found[1] not in names:
            raise UsageFault(f"there is no action {found[1]!r}", f"use one of {', '.join(names)}")
        made[found[1]] = float(found[2]) / (1000 if found[3] == "ms" else 1)
    return made


def _is_amount(text: str) -> bool:
    return re.fullmatch(r"\d+(\.\d+)?", text) is not None and float(text) > 0


def mix(path: Path) -> Mapping[str, float]:
    """Shares by role, of a JSON file."""
    what = f"write a JSON object of roles and shares from 0 to {MOST_SHARE:.0g}, not all 0"
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageFault(f"{path} is not a mix ({error.strerror})", "name a JSON file") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UsageFault(f"{path} is not a mix ({error})", what) from error
    shares = (
        isinstance(told, dict) and told and all(type(one) in (int, float) and 0 <= one <= MOST_SHARE for one in told.values())
    )
    if not shares or sum(told.values()) <= 0:
        raise UsageFault(f"{path} is not a mix", what)
    return {str(role): float(share) for role, share in told.items()}


def as_json(known: Capacity, left: Headroom) -> str:
    """What `/api/v1/capacity` tells."""
    spare = left.spare
    told = known.as_json() | {
        "headroom": {
            "users_now": left.users_now,
            "spare": None if spare is None else {"estimate": spare.estimate, "low": spare.low, "high": spare.high},
            "reason": left.reason,
        }
    }
    return json.dumps(told, indent=2) + "\n"


def as_csv(known: Capacity, _left: Headroom) -> str:
    """The curve."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("users", "utilisation", "response_s"))
    for point in known.curve:
        rows.writerow(
            (f"{point.users:.2f}", f"{point.utilisation:.4f}", "" if point.response_s is None else f"{point.response_s:.3f}")
        )
    return text.getvalue()


def as_table(known: Capacity, left: Headroom) -> str:
    """One line that says it, the curve, and what to know."""
    lines = []
    first, users = known.limiting, known.users
    if first is None or users is None:
        lines.append("users that fit: unknown")
    else:
        until = f"until {first.action} p95 passes {first.target_s:g} s; first: " if first.action else "until it is full: "
        where = f"{first.container or 'the machine'}, {first.resource}"
        busy = f", {first.busy:.0%} busy there" if first.busy is not None else ""
        lines.append(f"{users.estimate:.0f} users (90 %: {users.low:.0f}-{users.high:.0f}) {until}{where}{busy}")
        if left.spare is not None:
            lines.append(
                f"headroom: {left.spare.estimate:.0f} users (90 %: {left.spare.low:.0f}-{left.spare.high:.0f}) "
                f"beside {left.reason or left.users_now} now"
            )
        lines += ["", "  users  busiest     p95 s"]
        lines += [
            f"{point.users:7.1f}  {point.utilisation:7.0%}  {'-' if point.response_s is None else f'{point.response_s:.2f}':>8}"
            for point in known.curve
        ]
        lines += ["", "next limits:"] if len(known.limits) > 1 else []
        for limit in known.limits[1:6]:
            about = f"{limit.action} over {limit.target_s:g} s, " if limit.action else ""
            lines.append(f"{limit.users:7.1f}  {about}{limit.container or 'the machine'}, {limit.resource}")
    lines += ["", *(f"- {note}" for note in known.notes)] if known.notes else []
    return "\n".join(lines) + "\n"
