"""Turns a topology into namespaces, cables, addresses, routes and a shaped line."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from replay.lab.faults import LabFault
from replay.lab.networks.launch import launch
from replay.lab.networks.link import Link
from replay.lab.networks.namespaces import Namespaces
from replay.lab.networks.topology import LINE_DEVICE, Cable, Line, Topology
from replay.lab.pids import PidFile

#: how a line gets its delay and rate: netem where the kernel has it, else our relay; or a proxy without any namespace
Shaping = Literal["auto", "netem", "relay", "proxy"]
SHAPINGS: tuple[Shaping, ...] = get_args(Shaping)


@dataclass(frozen=True, slots=True, kw_only=True)
class Builder:
    """Builds one topology; `names` maps a role to its namespace."""

    namespaces: Namespaces
    topology: Topology
    names: Mapping[str, str]
    folder: Path

    def build(self, link: Link, shaping: Shaping) -> str:
        """Everything but the tunnel and the server's nginx; says what shapes the line: none, netem or relay."""
        for role in self.topology.roles:
            self.namespaces.add(self.names[role])
            self.namespaces.set(self.names[role], self._settings(role))
        for cable in self.topology.cables:
            self._lay(cable)
        shaped = (
            self._shape_cable(link, shaping) if self.topology.line is None else self._lay_line(self.topology.line, link, shaping)
        )
        for role, ways in self.topology.routes.items():
            for destination, hop in ways:
                self._ip(role, "route", "add", destination, "via", hop)
        return shaped

    def _settings(self, role: str) -> dict[str, str | int]:
        """Routers and servers answer each probe of a route trace, and nothing but our packets is on the cables."""
        settings: dict[str, str | int] = {
            "ipv4/ip_forward": int(role in self.topology.routers),
            "ipv4/icmp_ratelimit": 0,
            "ipv4/conf/all/rp_filter": 0,
        }
        if Path("/proc/sys/net/ipv6").exists():
            settings |= {"ipv6/conf/all/disable_ipv6": 1, "ipv6/conf/default/disable_ipv6": 1}
        return settings

    def _lay(self, cable: Cable) -> None:
        self._veth(cable.near, cable.near_device, cable.far, cable.far_device)
        ends = ((cable.near, cable.near_device, cable.near_addresses), (cable.far, cable.far_device, cable.far_addresses))
        for role, device, addresses in ends:
            for address in addresses:
                self._ip(role, "address", "add", address, "dev", device)

    def _veth(self, near: str, near_device: str, far: str, far_device: str) -> None:
        """Made inside the namespaces; segments of one packet each, as they are on a real wire and in a capture of it."""
        peer = ["peer", "name", far_device, "netns", self.names[far]]
        self._ip(near, "link", "add", near_device, "type", "veth", *peer)
        for role, device in ((near, near_device), (far, far_device)):
            self._ip(role, "link", "set", device, "gso_max_segs", "1", "up")

    def _lay_line(self, line: Line, link: Link, shaping: Shaping) -> str:
        netem = shaping == "netem" or (shaping == "auto" and self._kernel_has_netem(line.near))
        if netem or link.plain:
            self._veth(line.near, LINE_DEVICE, line.far, LINE_DEVICE)
        else:
            for role in (line.near, line.far):
                self._ip(role, "tuntap", "add", "mode", "tun", "name", LINE_DEVICE)
                self._ip(role, "link", "set", LINE_DEVICE, "txqueuelen", "5000", "up")
        ends = ((line.near, line.near_address, line.far_address), (line.far, line.far_address, line.near_address))
        for role, own, peer in ends:
            self._ip(role, "address", "add", own, "peer", peer, "dev", LINE_DEVICE)
        if link.plain:
            return "none"
        if netem:
            self._netem(line.near, LINE_DEVICE, link, link.up_bits)
            self._netem(line.far, LINE_DEVICE, link, link.down_bits)
            return "netem"
        words = ["--near", self.names[line.near], "--far", self.names[line.far], "--device", LINE_DEVICE, "--link", str(link)]
        command = [sys.executable, "-m", "replay.lab.networks.relay", *words]
        launch(self.namespaces.run, PidFile(self.folder / "relay.pid"), self.folder / "relay.log", command)
        return "relay"

    def _shape_cable(self, link: Link, shaping: Shaping) -> str:
        """The lan has no line between routers: a delay or a rate can only be netem's."""
        if link.plain:
            return "none"
        near = self.topology.cables[0].near
        if shaping == "relay" or not self._kernel_has_netem(near):
            raise LabFault("this kernel cannot slow the lan down (no netem)", "give --link to the wan or the vpn, not to the lan")
        cable = self.topology.cables[0]
        self._netem(cable.near, cable.near_device, link, link.up_bits)
        self._netem(cable.far, cable.far_device, link, link.down_bits)
        return "netem"

    def _netem(self, role: str, device: str, link: Link, bits: int | None) -> None:
        rate = ["rate", f"{bits}bit"] if bits is not None else []
        loss = ["loss", f"{link.loss * 100:g}%"] if link.loss else []
        words = ["netem", "delay", f"{link.delay_ns / 1000:g}us", *rate, *loss, "limit", "20000"]
        if not self.namespaces.shape(self.names[role], device, *words):
            raise LabFault("this kernel has no netem", "leave --shaping out: the relay does the same")

    def _kernel_has_netem(self, role: str) -> bool:
        """Tried on the loopback of a namespace where nobody uses it."""
        return self.namespaces.shape(self.names[role], "lo", "netem", "delay", "0ms")

    def _ip(self, role: str, *words: str) -> None:
        self.namespaces.ip(self.names[role], *words)
