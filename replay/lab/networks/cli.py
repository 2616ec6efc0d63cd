"""What the setups add to the command `tracemark lab`: options of `up`, and `run` and `reroute`."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from replay.lab.faults import LabFault, LabUsageFault
from replay.lab.info import LabInfo, SetupInfo
from replay.lab.networks.build import SHAPINGS
from replay.lab.networks.link import DEFAULT_LINKS, SETUPS, Link, Setup
from replay.lab.networks.namespaces import enter

Commands = argparse._SubParsersAction  # noqa: SLF001 (argparse has no public name for it)

_RUN_HELP = """
In COMMAND these words are filled in: {url} (with the context path), {server} (HOST:PORT),
{interface}, {markers}, {certificate}, {fingerprint}. In its environment a wan's certificate is
trusted (SSL_CERT_FILE and the like; TRACEMARK_REPLAY_TRUST has the fingerprint), and
TRACEMARK_REPLAY_HOSTS allows sessions on the setup's server."""
_RUN_EXAMPLE = """example:
  tracemark lab run --setup wan --user researcher -- \\
    tracemark replay researcher --url {url} --setup wan --markers {markers} --repetitions 2 --capture
"""


def add_up_options(parser: argparse.ArgumentParser) -> None:
    """Networks in front of the lab."""
    parser.add_argument(
        "--setup",
        action="append",
        default=[],
        choices=SETUPS,
        help="a network to build in front of the lab, as root; repeatable, also for a lab that is up",
    )
    lines = "; ".join(f"{setup} {link}" for setup, link in DEFAULT_LINKS.items())
    parser.add_argument(
        "--link",
        action="append",
        default=[],
        metavar="SETUP=DELAYms,DOWN,UP[,LOSS%]",
        help=f"delay one way, rates to and from the client, and loss of a setup's line (default: {lines})",
    )
    parser.add_argument(
        "--shaping",
        choices=SHAPINGS,
        default="auto",
        help="what slows the line down (default: the kernel's netem, else a relay); proxy: on loopback, without root, no vpn",
    )


def add_commands(commands: Commands[argparse.ArgumentParser]) -> tuple[argparse.ArgumentParser, ...]:
    """`run` and `reroute`."""
    run = commands.add_parser(
        "run",
        help="run a command where a setup's client is",
        description=f"Runs COMMAND in the client's network namespace of a setup.{_RUN_HELP}",
        epilog=_RUN_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument("--setup", choices=SETUPS, required=True, help="whose client")
    run.add_argument("--user", metavar="NAME", help="set XNAT_USER and XNAT_PASSWORD to this user of the lab")
    run.add_argument("words", nargs="+", metavar="COMMAND", help="after --")
    reroute = commands.add_parser(
        "reroute",
        help="send a setup's packets another way",
        description="Changes the route of a wan: every route trace from now on differs from those before.",
        epilog="example: tracemark lab reroute --setup wan",
    )
    reroute.add_argument("--setup", choices=SETUPS, required=True, help="whose route")
    return run, reroute


def parsed_links(texts: Sequence[str]) -> dict[Setup, Link]:
    """SETUP=LINK of the command line."""
    links: dict[Setup, Link] = {}
    for text in texts:
        name, _, link = text.partition("=")
        setup = next((setup for setup in SETUPS if setup == name), None)
        if setup is None:
            raise LabUsageFault(f"--link {text!r} names no setup", "write such as wan=60ms,20mbit,5mbit")
        links[setup] = Link.parse(link)
    return links


def run_in(directory: Path, setup: Setup, words: Sequence[str], *, as_user: str | None) -> int:
    """Becomes the command, in the client's namespace; returns only by a LabFault."""
    lab = LabInfo.load(directory.resolve())
    info = lab.setups.get(setup)
    if info is None:
        raise LabFault(f"the lab has no {setup} in front of it", f"build it with `tracemark lab up --setup {setup}`")
    environment = os.environ | environment_of(lab, info, as_user, os.environ)
    command = filled_in(words, lab, info)
    if info.namespace:
        enter(info.namespace)
    try:
        os.execvpe(command[0], command, environment)  # noqa: S606 (no shell is what is wanted)
    except OSError as refused:
        raise LabFault(f"{command[0]} cannot be run ({refused.strerror})", "give a program after --") from refused


def filled_in(words: Sequence[str], lab: LabInfo, info: SetupInfo) -> list[str]:
    """The command with what is known of the setup; words that are not ours stay as they are."""
    known = {
        "url": info.url + lab.context_path,
        "server": info.server,
        "interface": info.interface,
        "markers": info.markers or "ws://127.0.0.1:8051/markers",
        "certificate": info.certificate,
        "fingerprint": info.fingerprint,
    }
    pattern = re.compile(r"\{(" + "|".join(known) + r")\}")
    return [pattern.sub(lambda found: known[found[1]], word) for word in words]


def environment_of(lab: LabInfo, info: SetupInfo, as_user: str | None, outside: Mapping[str, str]) -> dict[str, str]:
    """What the command finds in its environment beside what is `outside`: where it may play, whom to trust, who it is."""
    allowed = filter(None, (outside.get("TRACEMARK_REPLAY_HOSTS"), info.server.rpartition(":")[0]))
    inside = {"TRACEMARK_REPLAY_HOSTS": ",".join(allowed)}
    if info.certificate:
        inside |= dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"), info.certificate)
        inside["TRACEMARK_REPLAY_TRUST"] = info.fingerprint
    if as_user is None:
        return inside
    if as_user not in lab.users:
        raise LabUsageFault(f"the lab has no user {as_user!r}", f"give one of {', '.join(lab.users)}")
    return {**inside, "XNAT_USER": as_user, "XNAT_PASSWORD": lab.users[as_user]}
