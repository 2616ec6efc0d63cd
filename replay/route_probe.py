"""Traces a route without root and without a program: UDP with a growing TTL, answers from the socket's error queue (Linux).

Every distance has a socket with ports of its own, the same in every trace: a load balancer that looks at addresses and ports then
sends them the same way each time (the idea of Paris traceroute, Augustin et al. 2006).
"""

from __future__ import annotations

import errno
import select
import socket
import struct
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from replay.route_model import RouteTraceError
from sidecar.model.faults import Fault

#: traceroute's customary first port; a distance's port is this one plus its number of hops
_BASE_PORT = 33434
_SOURCE_PORT = 33300
#: hops asked at once: fewer than Linux' burst of ICMP errors to one address (net.ipv4.icmp_ratemask, 6 by default)
_AT_ONCE = 5
#: asked again so many times: routers, too, send at most one ICMP error a second to one address
_TRIES = 3
_WAIT_S = 1.1
#: after so many silent hops in a row only one try is made for each further one
_PATIENCE = 5

_NO_WAY = (errno.ENETUNREACH, errno.EPERM, errno.EACCES, errno.EADDRNOTAVAIL)
# <linux/in.h>, <linux/in6.h>, <linux/errqueue.h>; Python's socket module does not name them
_IP_RECVERR, _IPV6_RECVERR = 11, 25
_FROM_ICMP = (2, 3)
_EXTENDED_ERROR = struct.Struct("=IBBBBII")
_TIME_EXCEEDED = {socket.AF_INET: 11, socket.AF_INET6: 3}


class RouteFallbackError(Fault):
    """This system does not let a program trace a route without root."""


@dataclass(frozen=True, slots=True)
class _Answer:
    address: str
    last: bool


def probe_route(address: str, max_hops: int, *, wait_s: float = _WAIT_S) -> tuple[tuple[str, ...], ...]:
    """Like `parse_traceroute`'s result: the address that answered, hop by hop, empty where none did.

    Raises RouteFallbackError, RouteTraceError.
    """
    if sys.platform != "linux":
        raise RouteFallbackError("tracing a route without a program works on Linux only", "install traceroute")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    found: dict[int, _Answer] = {}
    silent = 0
    for first in range(1, max_hops + 1, _AT_ONCE):
        wanted = list(range(first, min(first + _AT_ONCE, max_hops + 1)))
        for _ in range(_TRIES if silent < _PATIENCE else 1):
            found |= _ask(family, address, wanted, wait_s)
            end = min((hops for hops, answer in found.items() if answer.last), default=max_hops)
            wanted = [hops for hops in wanted if hops not in found and hops < end]
            if not wanted:
                break
        end = min((hops for hops, answer in found.items() if answer.last), default=0)
        if end:
            return tuple((found[hops].address,) if hops in found else () for hops in range(1, end + 1))
        silent = first + _AT_ONCE - 1 - max(found, default=0)
    return tuple((found[hops].address,) if hops in found else () for hops in range(1, max_hops + 1))


def _ask(family: socket.AddressFamily, address: str, distances: Iterable[int], wait_s: float) -> dict[int, _Answer]:
    """One datagram to each distance; who answered until all had or `wait_s` was over."""
    answers: dict[int, _Answer] = {}
    with ExitStack() as stack:
        waiting: dict[socket.socket, int] = {}
        for hops in distances:
            sender = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            _prepare(sender, family, hops)
            try:
                sender.connect((address, _BASE_PORT + hops))
                sender.send(b"tracemark route probe")
            except OSError as error:
                # An error that waits on the socket is an answer, and is read below.
                if error.errno in _NO_WAY:
                    raise RouteTraceError(
                        f"no datagram can be sent to the server ({error.strerror})", "check the network"
                    ) from error
            waiting[sender] = hops
        poller = select.poll()
        for sender in waiting:
            poller.register(sender, select.POLLIN)  # POLLERR is always told
        by_number = {sender.fileno(): sender for sender in waiting}
        deadline = time.monotonic() + wait_s
        while waiting and (left := deadline - time.monotonic()) > 0:
            for number, _ in poller.poll(left * 1000):
                sender = by_number[number]
                answer = _read(sender, family, address)
                if answer is not None:
                    answers[waiting.pop(sender)] = answer
                    poller.unregister(sender)
    return answers


def _prepare(sender: socket.socket, family: socket.AddressFamily, hops: int) -> None:
    if family == socket.AF_INET6:
        sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, hops)
        sender.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
    else:
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, hops)
        sender.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
    try:
        sender.bind(("", _SOURCE_PORT + hops))
    except OSError:  # taken: any other port does, only a load balancer could tell the difference
        sender.bind(("", 0))


def _read(sender: socket.socket, family: socket.AddressFamily, address: str) -> _Answer | None:
    """Who answered; None when it was no answer to a hop limit."""
    try:
        _, controls, _, _ = sender.recvmsg(512, 512, socket.MSG_ERRQUEUE | socket.MSG_DONTWAIT)
    except BlockingIOError:
        try:
            sender.recv(512, socket.MSG_DONTWAIT)  # a program listens there: the server itself
        except OSError:
            return None
        return _Answer(address, last=True)
    return _offender(controls, family)


def _offender(controls: Sequence[tuple[int, int, bytes]], family: socket.AddressFamily) -> _Answer | None:
    for level, kind, data in controls:
        if (level, kind) not in ((socket.IPPROTO_IP, _IP_RECVERR), (socket.IPPROTO_IPV6, _IPV6_RECVERR)):
            continue
        _, origin, icmp_type, _, _, _, _ = _EXTENDED_ERROR.unpack_from(data)
        if origin not in _FROM_ICMP:
            continue
        # Behind it stands the sockaddr of who sent the ICMP message: family, port, then the address.
        rest = data[_EXTENDED_ERROR.size :]
        raw = rest[8:24] if family == socket.AF_INET6 else rest[4:8]
        return _Answer(socket.inet_ntop(family, raw), last=icmp_type != _TIME_EXCEEDED[family])
    return None
