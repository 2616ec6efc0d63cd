"""The command `tracemark lab`: up, down, status, run, reroute."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from replay.lab.folders import USERS, StateFolder, state_directory
from replay.lab.networks.cli import add_commands, add_up_options, parsed_links, run_in
from replay.lab.options import DEFAULT_PORT, DICOM_PORT, LabOptions, Sidecar
from replay.lab.stack import down, network, status, up


def main(argv: Sequence[str]) -> int:
    """Runs one command; faults are left to the caller, which prints them."""
    arguments = _parser().parse_args(argv)
    directory: Path = arguments.dir
    if arguments.command == "down":
        down(directory, print, purge=arguments.purge, purge_images=arguments.purge)
        return 0
    if arguments.command == "status":
        return _print_status(directory)
    if arguments.command == "run":
        return run_in(directory, arguments.setup, arguments.words, as_user=arguments.user)
    if arguments.command == "reroute":
        print(f"{arguments.setup}: the next hop is now {network(directory, arguments.setup)[1].reroute()}")
        return 0
    options = LabOptions(
        directory=directory,
        exam_size=arguments.exam_size,
        processes=arguments.processes,
        port=arguments.port,
        context_path=arguments.context_path,
        sidecar=Sidecar.parse(arguments.sidecar) if arguments.sidecar else None,
        users=arguments.users,
        dicom=arguments.dicom,
        setups=tuple(dict.fromkeys(arguments.setup)),
        links=parsed_links(arguments.link),
        shaping=arguments.shaping,
    )
    # A polite kill ends as Ctrl-C does: what was started so far is stopped again.
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        info = up(options, _say, progress=_progress)
    except KeyboardInterrupt:
        print("interrupted; nothing of the lab is left running", file=sys.stderr)
        return 130
    finally:
        signal.signal(signal.SIGTERM, before)
    print("users: " + ", ".join(f"{name} / {info.users[name]}" for name in USERS if name in info.users))
    if arguments.users:
        accounts = StateFolder(options.directory).accounts_file
        print(f"accounts for `tracemark replay --users {arguments.users} --accounts`: {accounts}")
    if info.dicom:
        print(f"DICOM receiver: {info.dicom} (`tracemark replay upload … --set destination=dicom --set dicom={info.dicom}`)")
    print(f"logs of nginx: {info.log_files['nginx']}")
    return 0


def _print_status(directory: Path) -> int:
    parts = status(directory)
    if not parts:
        print(f"no lab is up in {directory}")
    for part in parts:
        print(f"{part.name:<12} {part.state:<8} {part.detail}")
    return 0 if parts and all(part.state == "running" for part in parts) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tracemark lab",
        description="The XNAT-shaped practice system: web application, database and proxy, in containers or as processes.",
        epilog="example: tracemark lab up --exam-size 460MB",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="up|down|status|run|reroute")
    start = commands.add_parser(
        "up",
        help="start it and wait until it answers",
        description="Starts the lab and waits until it answers. Uses Docker when an engine answers, else plain processes.",
        epilog="example: tracemark lab up --dir /tmp/lab --port 0 --exam-size 60MB",
    )
    start.add_argument(
        "--exam-size", metavar="small|<n>MB", help="size of the practice exam (default: as before, else small, about 18 MB)"
    )
    start.add_argument("--processes", action="store_true", help="plain processes even where a Docker engine answers")
    start.add_argument("--port", type=int, metavar="N", help=f"loopback port of nginx (default {DEFAULT_PORT}; 0: any free one)")
    start.add_argument(
        "--context-path", default="", metavar="/PATH", help="serve below this path, as XNAT does when it is not ROOT"
    )
    start.add_argument(
        "--sidecar",
        metavar="HTTP,MARKERS",
        help="let nginx lead to a sidecar that listens at these two HOST:PORT, below /tracemark/ (default: it does not)",
    )
    start.add_argument(
        "--users", type=int, default=0, metavar="N", help="have N numbered researchers, too, for `tracemark replay --users`"
    )
    start.add_argument(
        "--dicom",
        type=int,
        nargs="?",
        const=DICOM_PORT,
        metavar="PORT",
        help=f"receive DICOM (C-STORE), too, on this loopback port (without one {DICOM_PORT}; 0: any free one)",
    )
    add_up_options(start)
    stop = commands.add_parser(
        "down",
        help="stop it",
        description="Stops the lab and removes its containers and network. The archive and the images stay.",
        epilog="example: tracemark lab down --purge",
    )
    stop.add_argument("--purge", action="store_true", help="remove the lab's folder and its images too")
    show = commands.add_parser(
        "status",
        help="a line per container or process",
        description="Prints a line per container or process; exit status 0 when all run.",
        epilog="example: tracemark lab status",
    )
    default = state_directory(os.environ)
    for command in (start, stop, show, *add_commands(commands)):
        command.add_argument("--dir", type=Path, default=default, metavar="DIR", help=f"the lab's folder (default {default})")
    return parser


def _say(text: str) -> None:
    print(text, flush=True)


def _progress(done: int, total: int) -> None:
    """A bar while the studies are made, on a terminal only."""
    if not sys.stderr.isatty():
        return
    width = 40 * done // total
    end = "\n" if done == total else ""
    print(f"\rstudies [{'#' * width}{'.' * (40 - width)}] {done}/{total}", end=end, file=sys.stderr, flush=True)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
