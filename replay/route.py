"""Traces the route to the server, as at the begin of each of the study's repetitions: by `traceroute`, or by our own probes."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from replay.route_model import (
    Route,
    RouteGuard,
    RouteRecordError,
    RouteTraceError,
    RouteUnstableError,
    Verdict,
    merged,
    same_route,
)
from replay.route_probe import RouteFallbackError, probe_route
from replay.route_text import RouteUnreadableError, parse_traceroute
from sidecar.model.faults import UsageFault

__all__ = [
    "METHODS",
    "Route",
    "RouteFallbackError",
    "RouteGuard",
    "RouteRecordError",
    "RouteTraceError",
    "RouteUnreadableError",
    "RouteUnstableError",
    "Verdict",
    "merged",
    "parse_traceroute",
    "route_of",
    "same_route",
    "trace",
]

#: `tcp`, `udp`: the program traceroute (tcp needs root); `python`: our own UDP probes, without root and program (Linux)
METHODS = ("auto", "tcp", "udp", "python")
#: seconds that traceroute waits for an answer, and in all
_WAIT_S, _LIMIT_S = 2, 120
_CAP_NET_RAW = 13


def trace(
    host: str,
    *,
    port: int | None = None,
    max_hops: int = 30,
    method: str = "auto",
    wall_ns: Callable[[], int] = time.time_ns,
) -> Route:
    """The route to `host` (a name, or an IPv4 or IPv6 address) now; takes up to some ten seconds when many hops are silent.

    `auto` is TCP to `port` where raw sockets are allowed, as that is the way of the measured traffic; else, or when no hop
    answered to that, UDP; our own probes where there is no traceroute. Give a route's `method` to the next trace, so that like is
    compared with like. Raises RouteTraceError, RouteUnreadableError, RouteFallbackError; UsageFault for a method that cannot be.
    """
    if method not in METHODS:
        raise UsageFault(f"{method!r} is no way to trace a route", f"use one of {', '.join(METHODS)}")
    if method == "tcp" and port is None:
        raise UsageFault("a TCP trace needs the server's port", "give one, or use udp")
    address = _resolve(host)
    program = _program()
    methods: Sequence[str] = (method,)
    if method == "auto":
        methods = choose(program is not None, port is not None, raw_sockets=_may_send_raw())
    for chosen in methods:
        at_ns = wall_ns()
        if chosen == "python":
            hops = probe_route(address, max_hops)
        else:
            hops = parse_traceroute(_run(command(program or "traceroute", address, chosen, port, max_hops)))
        if any(hops):
            break
    return route_of(hops, address, chosen, at_ns)


def route_of(hops: Sequence[Sequence[str]], server: str, method: str, at_ns: int) -> Route:
    """What a trace found, as a route: its last hop is None unless the server itself answered.

    A trace also ends when a router refuses (`!X`, `!H`, `!N`), at a distance that only says when it found the time to say so:
    that answer is left out where the router has its place already.
    """
    found = [tuple(hop) for hop in hops]
    if found and server not in found[-1]:
        if found[-1] and set(found[-1]) <= {address for hop in found[:-1] for address in hop}:
            found[-1] = ()
        elif found[-1]:
            found.append(())
    others = tuple(hop[1:] for hop in found)
    return Route(tuple(hop[0] if hop else None for hop in found), method, at_ns, others if any(others) else ())


def command(program: str, address: str, method: str, port: int | None, max_hops: int) -> list[str]:
    """The command line of Debian's traceroute: no names, three probes a hop."""
    how = ["-T", "-p", str(port)] if method == "tcp" else []
    return [program, "-6" if ":" in address else "-4", "-n", "-q", "3", "-w", str(_WAIT_S), "-m", str(max_hops), *how, address]


def choose(program: bool, port: bool, *, raw_sockets: bool) -> Sequence[str]:
    """The methods that `auto` tries, in their order, by what there is: the program, the server's port, raw sockets."""
    if not program:
        return ("python",)
    return ("tcp", "udp") if port and raw_sockets else ("udp",)


def _program() -> str | None:
    # Debian keeps it in /usr/sbin for some versions, which is not in everybody's path.
    return shutil.which("traceroute") or shutil.which("traceroute", path="/usr/sbin:/sbin:/usr/bin:/bin")


def _may_send_raw() -> bool:
    """Whether this process has CAP_NET_RAW (root in a container may lack it); elsewhere than on Linux, whether it is root's."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return hasattr(os, "geteuid") and os.geteuid() == 0
    effective = next((line.split()[1] for line in status.splitlines() if line.startswith("CapEff:")), "0")
    return bool(int(effective, 16) >> _CAP_NET_RAW & 1)


def _resolve(host: str) -> str:
    try:
        found = socket.getaddrinfo(host.strip("[]"), None, type=socket.SOCK_DGRAM)
    except OSError as error:
        raise RouteTraceError(
            f"the name {host!r} has no address ({error.strerror})", "check the URL and the name server"
        ) from error
    return str(found[0][4][0])


def _run(arguments: Sequence[str]) -> str:
    try:
        done = subprocess.run(
            arguments,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_LIMIT_S,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except FileNotFoundError as error:
        raise RouteTraceError("there is no traceroute", "install it (apt-get install traceroute), or use python") from error
    except subprocess.TimeoutExpired as error:
        raise RouteTraceError(f"traceroute did not end within {_LIMIT_S} s", "try it by hand") from error
    except OSError as error:
        raise RouteTraceError(f"traceroute does not start ({error.strerror})", "try it by hand") from error
    if done.returncode != 0:
        said = " ".join(done.stderr.split())[:200] or f"exit {done.returncode}"
        remedy = "use udp, or run as root" if "privilege" in said or "permitted" in said else "check the network to the server"
        raise RouteTraceError(f"traceroute failed ({said})", remedy)
    return done.stdout
