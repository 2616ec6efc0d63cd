"""The packets between client and server, as both dissectors hand them to the totals; and which packets those are."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

import numpy as np

from replay.packets.files import Ints
from replay.packets.headers import MAPPED_V4, TCP, UDP, Bools, Longs, Packets
from replay.packets.model import Server

#: row without a connection
NO_CONNECTION = -1


@dataclass(slots=True)
class Rows:
    """Packets between client and server, a row each; `connection` its number or NO_CONNECTION, `marks` those of `tcp.py`."""

    time_ns: Ints
    down: Bools
    size: Ints
    payload: Ints
    connection: Ints
    marks: Ints


@dataclass(slots=True)
class ConnectionFacts:
    """What is known of a connection besides its packets."""

    client_port: int
    server_port: int
    rtt_ns: int | None = None
    tls: str | None = None


def halves(address: str) -> tuple[int, int]:
    """An address as two 64-bit numbers; IPv4 as mapped."""
    found = ipaddress.ip_address(address)
    number = int(found) | MAPPED_V4 if found.version == 4 else int(found)
    return number >> 64, number & (1 << 64) - 1


class Selection:
    """Which packets are between client and server, and which way they go.

    With a port: TCP and UDP from or to it; parts of a fragmented datagram count by address alone, since most show no port.
    When both ends are the server (loopback), the port tells; without one the server is the end with the lower port.
    """

    def __init__(self, server: Server) -> None:
        self._hosts = tuple(halves(host) for host in sorted(server.hosts))
        self.port = server.port

    def of(
        self, source: tuple[Longs, Longs], target: tuple[Longs, Longs], ports: tuple[Ints, Ints], proto: Ints, fragment: Bools
    ) -> tuple[Bools, Bools]:
        """Two masks: the packet counts; it comes from the server. `ports` are 0 where unknown."""
        from_server, to_server = self._is_server(source), self._is_server(target)
        if self.port is not None:
            transport = (proto == TCP) | (proto == UDP)
            from_server &= transport & ((ports[0] == self.port) | fragment)
            to_server &= transport & ((ports[1] == self.port) | fragment)
        both = from_server & to_server
        if both.any():
            lower = _before((ports[0], *source), (ports[1], *target))
            from_server = np.where(both, lower, from_server)
        return from_server | to_server, from_server

    def _is_server(self, address: tuple[Longs, Longs]) -> Bools:
        found = np.zeros(len(address[0]), np.bool_)
        for high, low in self._hosts:
            found |= (address[1] == np.uint64(low)) & (address[0] == np.uint64(high))
        return found


def _before(one: tuple[Ints | Longs, ...], other: tuple[Ints | Longs, ...]) -> Bools:
    """Row by row: one < other, the first column that differs decides."""
    less = np.zeros(len(one[0]), np.bool_)
    equal = ~less
    for mine, theirs in zip(one, other, strict=True):
        less |= equal & (mine < theirs)
        equal &= mine == theirs
    return less


def select(selection: Selection, packets: Packets) -> tuple[Bools, Bools]:
    """`Selection.of` for decoded packets."""
    return selection.of(
        packets.source, packets.target, (packets.source_port, packets.target_port), packets.protocol, packets.fragment
    )
