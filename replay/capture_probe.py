"""A datagram of our own that proves what is in a capture: what was sent before it has been written when it has been written.

It goes to a multicast group that is set aside for experiments (RFC 4727), is not forwarded (TTL 1) and is not to or from the
server: no metric of the server's traffic counts it.
"""

from __future__ import annotations

import secrets
import socket
import struct
from pathlib import Path

_GROUP_4, _GROUP_6, _PORT = "224.0.1.20", "ff02::114", 1021
#: for the capture's filter
PROBE_FILTER = f"udp and dst port {_PORT} and (dst host {_GROUP_4} or dst host {_GROUP_6})"
#: bytes of a frame up to the end of the token, with the longest headers: Ethernet, two VLAN tags, IPv6, UDP
PROBE_BYTES = 14 + 8 + 40 + 8 + 16
_BLOCK = 1 << 20


class Probe:
    """One proof: `send`, then ask `written` until it is true."""

    def __init__(self, interface: str, capture: Path) -> None:
        self._interface = interface
        self._capture = capture
        self._token = secrets.token_bytes(16)
        # Whatever was written before now cannot hold it: a long capture is not read from its begin.
        self._read_to = capture.stat().st_size if capture.exists() else 0
        self.sent = 0

    def send(self) -> bool:
        """Send it on the interface, once more if need be; False when that is not possible there."""
        sent = self._send_4() or self._send_6()
        self.sent += sent
        return sent

    def written(self) -> bool:
        """Whether it is in the file now; reads only what was added since the last time."""
        try:
            with self._capture.open("rb") as file:
                while True:
                    file.seek(max(0, self._read_to - len(self._token)))
                    block = file.read(_BLOCK)
                    if self._token in block:
                        return True
                    if file.tell() <= self._read_to:
                        return False
                    self._read_to = file.tell()
        except FileNotFoundError:
            return False

    def _send_4(self) -> bool:
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                index = socket.if_nametoindex(self._interface)
                sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("=4s4si", b"", b"", index))
                sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
                sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
                return sender.sendto(self._token, (_GROUP_4, _PORT)) > 0
        except OSError:
            return False

    def _send_6(self) -> bool:
        try:
            with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
                index = socket.if_nametoindex(self._interface)
                sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 1)
                sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
                return sender.sendto(self._token, (_GROUP_6, _PORT, 0, index)) > 0
        except OSError:
            return False
