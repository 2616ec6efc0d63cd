"""How the three setups are wired, as data: who is there, what hangs together, which way leads where.

    lan    client ──── server
    wan    client ── access ══ border ── server          ══ the line with delay and rate
    vpn    client ── access ══ gateway ── server         and a tunnel from client to gateway through it

All addresses are from the range that is kept for network benchmarks (RFC 2544, 198.18.0.0/15) and exist inside the
namespaces only: this machine's own network has neither an address nor a device nor a route of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from replay.lab.networks.link import Setup

#: the device at each end of the shaped line
LINE_DEVICE = "line0"
TUNNEL_DEVICE = "tun0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cable:
    """A veth pair: role, device and addresses at each end; the first address of an end is its main one."""

    near: str
    near_device: str
    near_addresses: tuple[str, ...]
    far: str
    far_device: str
    far_addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The shaped line between two routers; the near one is the client's."""

    near: str
    near_address: str
    far: str
    far_address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tunnel:
    """OpenVPN through the line: `remote` is where the gateway listens, `behind` what it leads to (network, mask)."""

    gateway: str
    remote: str
    near_address: str
    far_address: str
    behind: tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """One setup. `routes` maps a role to (destination, next hop) pairs; `detours` are the client's other ways to the server."""

    roles: tuple[str, ...]
    cables: tuple[Cable, ...]
    server: str
    tls: bool
    client_device: str
    routes: Mapping[str, tuple[tuple[str, str], ...]]
    line: Line | None = None
    tunnel: Tunnel | None = None
    detours: tuple[str, ...] = ()

    @property
    def routers(self) -> tuple[str, ...]:
        return self.roles[1:-1]


TOPOLOGIES: Mapping[Setup, Topology] = {
    "lan": Topology(
        roles=("client", "server"),
        cables=(
            Cable(
                near="client",
                near_device="eth0",
                near_addresses=("198.18.10.2/24",),
                far="server",
                far_device="eth0",
                far_addresses=("198.18.10.1/24",),
            ),
        ),
        server="198.18.10.1",
        tls=False,
        client_device="eth0",
        routes={},
    ),
    "wan": Topology(
        roles=("client", "access", "border", "server"),
        cables=(
            # Two networks on one cable: the access router answers a trace with the address of the one the client comes from,
            # so that leaving by the other one is a change of route that everybody can see.
            Cable(
                near="client",
                near_device="eth0",
                near_addresses=("198.18.20.2/25", "198.18.20.130/25"),
                far="access",
                far_device="eth0",
                far_addresses=("198.18.20.1/25", "198.18.20.129/25"),
            ),
            Cable(
                near="border",
                near_device="eth0",
                near_addresses=("198.18.22.1/24",),
                far="server",
                far_device="eth0",
                far_addresses=("198.18.22.2/24",),
            ),
        ),
        line=Line(near="access", near_address="198.18.21.1", far="border", far_address="198.18.21.2"),
        server="198.18.22.2",
        tls=True,
        client_device="eth0",
        routes={
            "client": (("default", "198.18.20.1"),),
            "access": (("198.18.22.0/24", "198.18.21.2"),),
            "border": (("198.18.20.0/24", "198.18.21.1"),),
            "server": (("default", "198.18.22.1"),),
        },
        detours=("198.18.20.1", "198.18.20.129"),
    ),
    "vpn": Topology(
        roles=("client", "access", "gateway", "server"),
        cables=(
            Cable(
                near="client",
                near_device="eth0",
                near_addresses=("198.18.30.2/24",),
                far="access",
                far_device="eth0",
                far_addresses=("198.18.30.1/24",),
            ),
            Cable(
                near="gateway",
                near_device="eth0",
                near_addresses=("198.18.32.1/24",),
                far="server",
                far_device="eth0",
                far_addresses=("198.18.32.2/24",),
            ),
        ),
        line=Line(near="access", near_address="198.18.31.1", far="gateway", far_address="198.18.31.2"),
        tunnel=Tunnel(
            gateway="gateway",
            remote="198.18.31.2",
            near_address="198.18.33.2",
            far_address="198.18.33.1",
            behind=("198.18.32.0", "255.255.255.0"),
        ),
        server="198.18.32.2",
        tls=False,
        client_device=TUNNEL_DEVICE,
        # The access router knows no way to the server's network: what does not go through the tunnel does not arrive.
        routes={
            "client": (("default", "198.18.30.1"),),
            "gateway": (("198.18.30.0/24", "198.18.31.1"),),
            "server": (("default", "198.18.32.1"),),
        },
    ),
}
