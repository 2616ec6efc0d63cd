"""The command `tracemark`: a table of commands, each loaded when it is called."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from sidecar import __version__
from sidecar.errors import Fault


@dataclass(frozen=True, slots=True)
class Command:
    """One row of the table: `module` has `main(argv) -> exit status`."""

    name: str
    module: str
    help: str


COMMANDS: tuple[Command, ...] = (
    Command("serve", "sidecar.cli.serve", "run the sidecar: collectors, marker channel, journal, shipping, HTTP"),
    Command(
        "check",
        "sidecar.cli.check",
        "look at Docker, cgroups, logs, XNAT, stores, boards, clocks, ports; what to do, a line each",
    ),
    Command("usage", "sidecar.cli.usage", "what each action cost (tables, JSON or CSV)"),
    Command("capacity", "sidecar.cli.capacity", "how many users fit, and what ends first, with an interval"),
    Command(
        "compare",
        "sidecar.cli.compare",
        "two replayed runs, per action: better, the same or worse; exit 1 on a proven regression",
    ),
    Command(
        "report",
        "sidecar.cli.report",
        "one self-contained page: tables, curves, method and limits; with folders: replayed runs side by side",
    ),
    Command("annotate", "sidecar.cli.annotate", "show a replayed run or a deployment in Grafana as a region"),
    Command("replay", "replay.cli", "play a scenario in a real browser and tell the sidecar what it does"),
    Command("scenario", "replay.scenario_cli", "recorded sessions to scenarios and back; what a scenario does"),
    Command("packets", "replay.packets.cli", "network metrics of a capture file: bytes, rates, retransmissions"),
    Command(
        "lab", "replay.lab.cli", "the XNAT-shaped practice system and networks in front of it: up, down, status, run, reroute"
    ),
    Command("demo", "replay.demo", "the whole path once: lab, sidecar, both scenarios, usage tables, live page"),
)


def usage_text() -> str:
    """What `tracemark --help` prints."""
    rows = "\n".join(f"  {command.name:<8} {command.help}" for command in COMMANDS)
    return (
        "usage: tracemark [--version] [-v] COMMAND …\n\n"
        "Shows what every user action costs an XNAT server.\n\n"
        f"commands:\n{rows}\n\n"
        "`tracemark COMMAND --help` explains one, with an example.\n"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status: 0 done, 1 a failed job, 2 wrong use or configuration."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    verbose = bool(arguments) and arguments[0] in ("-v", "--verbose")
    if verbose:
        arguments.pop(0)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage_text(), end="")
        return 0
    if arguments[0] == "--version":
        print(f"tracemark {__version__}")
        return 0
    by_name = {command.name: command for command in COMMANDS}
    command = by_name.get(arguments[0])
    if command is None:
        print(f"tracemark: {arguments[0]!r} is not a command: use one of {', '.join(by_name)}", file=sys.stderr)
        return 2
    try:
        module = importlib.import_module(command.module)
        status = module.main(arguments[1:])
    except Fault as fault:
        if verbose:
            raise
        print(f"tracemark: {fault}", file=sys.stderr)
        return fault.exit_status
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] in ("sidecar", "replay"):
            raise
        print(
            f"tracemark: `{command.name}` needs the package {error.name}: install tracemark[replay]",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print("tracemark: stopped by hand", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read our output has enough (`tracemark usage | head`); the interpreter must not try to flush it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
