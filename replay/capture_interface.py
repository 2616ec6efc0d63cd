"""Which network interface leads to an address: the kernel's own answer, over rtnetlink (Linux)."""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
import sys
from collections.abc import Iterable

from sidecar.model.faults import UsageFault

# <linux/rtnetlink.h>
_RTM_NEWROUTE, _RTM_GETROUTE, _NLM_F_REQUEST = 24, 26, 1
_RTA_DST, _RTA_OIF = 1, 4
_HEADER = struct.Struct("=IHHII")
_ROUTE = struct.Struct("=BBBBBBBBI")
_ATTRIBUTE = struct.Struct("=HH")


class InterfaceError(UsageFault):
    """It cannot be told which interface leads to the server."""


def interface_to(addresses: Iterable[str]) -> str:
    """The interface on which packets to these addresses leave: `lo` for this machine's own, a tunnel's for what is behind it.

    Addresses without a route (IPv6 where there is none) are passed over. Raises InterfaceError when nothing is left, or when they
    are reached over different interfaces.
    """
    if sys.platform != "linux":
        raise InterfaceError("which interface leads to the server is found out on Linux only", "name it: --interface NAME")
    found = {address: _ask(address) for address in sorted(addresses)}
    names = {name for name in found.values() if name is not None}
    if not names:
        raise InterfaceError("there is no route to the server", "check the network")
    if len(names) > 1:
        raise InterfaceError(
            f"the server is reached over several interfaces ({', '.join(sorted(names))})", "name one: --interface NAME"
        )
    return names.pop()


def _ask(address: str) -> str | None:
    number = ipaddress.ip_address(address.partition("%")[0])
    family = socket.AF_INET6 if number.version == 6 else socket.AF_INET
    attribute = _ATTRIBUTE.pack(_ATTRIBUTE.size + len(number.packed), _RTA_DST) + number.packed
    body = _ROUTE.pack(family, number.max_prefixlen, 0, 0, 0, 0, 0, 0, 0) + attribute
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.settimeout(5)
        kernel.sendto(_HEADER.pack(_HEADER.size + len(body), _RTM_GETROUTE, _NLM_F_REQUEST, os.getpid(), 0) + body, (0, 0))
        answer = kernel.recv(8192)
    if _HEADER.unpack_from(answer)[1] != _RTM_NEWROUTE:  # an error: no route
        return None
    at = _HEADER.size + _ROUTE.size
    while at + _ATTRIBUTE.size <= len(answer):
        length, kind = _ATTRIBUTE.unpack_from(answer, at)
        if kind == _RTA_OIF:
            return socket.if_indextoname(struct.unpack_from("=I", answer, at + _ATTRIBUTE.size)[0])
        at += max(_ATTRIBUTE.size, (length + 3) & ~3)
    return None
