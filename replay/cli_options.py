"""The options of `tracemark replay`, and what a signal does to it."""

from __future__ import annotations

import signal
import threading
from argparse import ArgumentParser, BooleanOptionalAction, RawDescriptionHelpFormatter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from replay.arguments import Parser
from replay.harm import OPTION as MAY_DELETE
from replay.safety import VARIABLE
from replay.scenario import names
from replay.schedule_cli import add_options
from replay.trust import VARIABLE as TRUST
from replay.users_cli import add_user_options

MARKERS = "ws://127.0.0.1:8051/markers"
EXAMPLE = """examples:
  XNAT_USER=reader XNAT_PASSWORD=… tracemark replay radiologist --url https://xnat.example.org --allow-host xnat.example.org \\
      --setup lan --repetitions 10 --capture --run-id reading-lan
  the same command again goes on where a crash or Ctrl-C stopped it; --dry-run says what it would do
  tracemark replay --deliver replay-results    tells the sidecar what it has not got yet
"""


def parser() -> ArgumentParser:
    """The command line."""
    wanted = Parser(
        prog="tracemark replay",
        description="Plays a scenario in Chromium with native input, again and again on one route, and marks every action.",
        epilog=EXAMPLE,
        formatter_class=RawDescriptionHelpFormatter,
    )
    add = wanted.add_argument
    add("scenario", metavar="SCENARIO", nargs="?", help=f"{', '.join(names())}, or a file; or upload, see `… upload --help`")
    add("--url", help="the site, with its context path if it has one")
    add("--setup", choices=("lan", "vpn", "wan"), help="how this machine reaches the site")
    add("--repetitions", type=int, default=1, metavar="N", help="how often to play it (default: %(default)s)")
    add("--run-id", metavar="ID", help="name of the run; the same name finishes one (default: made from the time)")
    add("--out", type=Path, default=Path("replay-results"), metavar="DIR", help="for results (default: %(default)s)")
    add("--seed", type=int, help="repeats the variation of an earlier run; repetition n uses SEED + n")
    add(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter of the scenario, such as pace=2 (pauses half as long); repeatable",
    )
    add("--capture", action=BooleanOptionalAction, default=False, help="capture the packets between this machine and the site")
    add("--keep-captures", action="store_true", help="keep the packets, not only their metrics")
    add("--route", action=BooleanOptionalAction, default=True, help="trace the route before every repetition (default: yes)")
    add("--route-changes", type=int, default=10, metavar="N", help="how often the route may change (default: %(default)s)")
    add("--timeout", type=float, default=600.0, metavar="S", help="how long to wait for the site (default: %(default)g s)")
    add("--attempts", type=int, default=3, metavar="N", help="at a repetition that fails otherwise (default: %(default)s)")
    add("--engine", choices=("browser", "http"), default="browser",
        help="http: send the requests of the session without a browser, for load (default: %(default)s)")  # fmt: skip
    add("--requests", type=Path, metavar="FILE", help="for --engine http: its recording; the browser makes it if it is not there")
    add_user_options(add)
    add("--markers", metavar="URL", help=f"marker channel, or none (default: {MARKERS})")
    add("--tagger", choices=("replay", "extension"), default="replay",
        help="who tells the markers; extension: the replayer's are the truth to compare with (default: %(default)s)")  # fmt: skip
    add("--extension", type=Path, metavar="DIR", help="the extension's source (default: extension/ beside this package)")
    add("--token", help="of the marker channel; better in TRACEMARK_TOKEN or TRACEMARK_TOKEN_FILE")
    add("--deliver", type=Path, metavar="DIR", help="only tell the sidecar what it has not got of this run, or of all runs there")
    add("--allow-host", action="append", default=[], metavar="HOST", help=f"may be played on; also in {VARIABLE}; repeatable")
    add("--yes-this-host", action="store_true", help="play on the host of --url although it is not allowed otherwise")
    add(MAY_DELETE, action="store_true", help="press also what deletes something on the site, where the scenario does")
    add(
        "--trust",
        action="append",
        default=[],
        metavar="FINGERPRINT|FILE.pem",
        help="a server whose certificate no known authority has signed: base64 SHA-256 of its public key, or the certificate; "
        f"also in {TRUST}; repeatable",
    )
    add("--dry-run", action="store_true", help="say what would be done, and do nothing")
    add("--visible", action="store_true", help="show the browser")
    add("--chromium", metavar="FILE", help="the browser's program (default: found on PATH)")
    add("--chromedriver", metavar="FILE", help="its driver (default: SE_CHROMEDRIVER, or found on PATH)")
    add_options(wanted)
    return wanted


@contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """Whoever ends us gets the browser closed, too."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    earlier = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, earlier)
