"""Link layers: where the IP header of a frame begins.

Numbers and layouts: the registry of link types at tcpdump.org (LINKTYPE_*); tags: IEEE 802.1Q, 802.1ad; labels: RFC 3032;
sessions: RFC 2516.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from replay.packets.files import Ints

if TYPE_CHECKING:
    from replay.packets.headers import Octets

_NULL, _ETHERNET, _LOOP, _COOKED, _COOKED2 = 0, 1, 108, 113, 276
_RAW = (12, 14, 101)
_RAW4, _RAW6 = 228, 229
NAMES = {
    _NULL: "null",
    _ETHERNET: "ether",
    12: "rawip",
    14: "rawip",
    101: "rawip",
    _LOOP: "loop",
    _COOKED: "linux-sll",
    _COOKED2: "linux-sll2",
    _RAW4: "rawip4",
    _RAW6: "rawip6",
}
#: known by name only, for the message that refuses them
_OTHERS = {
    105: "802.11",
    127: "802.11 with radiotap",
    189: "usb",
    220: "usb",
    249: "usb",
    253: "netlink",
    9: "ppp",
    195: "802.15.4",
}
_IP4, _IP6, _MPLS, _MPLS_GROUP, _SESSION = 0x0800, 0x86DD, 0x8847, 0x8848, 0x8864
_TAGS = (0x8100, 0x88A8, 0x9100)


def name(link: int) -> str:
    """What people call a link type."""
    return NAMES.get(link) or _OTHERS.get(link) or f"number {link}"


def network_layer(octets: Octets, start: Ints, end: Ints, link: Ints) -> tuple[Ints, Ints]:
    """Where the IP header of each frame begins and its version by the layer below; version 0: no IP, or cut off before it."""
    at, version = start, np.zeros(len(start), np.int64)
    kinds = np.unique(link)
    if len(kinds) == 1:
        return _of_one_kind(octets, start, end, int(kinds[0]))
    at = start.copy()
    for kind in kinds:
        mine = link == kind
        at[mine], version[mine] = _of_one_kind(octets, start[mine], end[mine], int(kind))
    return at, version


def _of_one_kind(octets: Octets, start: Ints, end: Ints, link: int) -> tuple[Ints, Ints]:
    if link == _ETHERNET:
        return _by_type(octets, start + 14, octets.u16(start + 12), end)
    if link == _COOKED:
        return _by_type(octets, start + 16, octets.u16(start + 14), end)
    if link == _COOKED2:
        return _by_type(octets, start + 20, octets.u16(start), end)
    if link in (_NULL, _LOOP):
        # The number of a family differs between systems and byte orders: the header after it tells.
        return start + 4, _by_nibble(octets, start + 4)
    if link in (*_RAW, _RAW4, _RAW6):
        return start, _by_nibble(octets, start)
    return start, np.zeros(len(start), np.int64)


def _by_nibble(octets: Octets, at: Ints) -> Ints:
    nibble = octets.u8(at) >> 4
    return np.where((nibble == 4) | (nibble == 6), nibble, 0)


def _by_type(octets: Octets, at: Ints, kind: Ints, end: Ints) -> tuple[Ints, Ints]:
    """Past tags, labels and sessions, from the type that the layer below gives."""
    plain = (kind == _IP4) | (kind == _IP6)
    if not plain.all():
        for _ in range(4):
            tagged = np.isin(kind, _TAGS) & (at + 4 <= end)
            if not tagged.any():
                break
            kind = np.where(tagged, octets.u16(at + 2), kind)
            at = np.where(tagged, at + 4, at)
        at, kind = _past_labels(octets, at, kind, end)
        session = (kind == _SESSION) & (at + 8 <= end)
        if session.any():
            inner = octets.u16(at + 6)
            kind = np.where(session & (inner == 0x0021), _IP4, np.where(session & (inner == 0x0057), _IP6, kind))
            at = np.where(session, at + 8, at)
    return at, np.where(kind == _IP4, 4, np.where(kind == _IP6, 6, 0))


def _past_labels(octets: Octets, at: Ints, kind: Ints, end: Ints) -> tuple[Ints, Ints]:
    """MPLS says nothing about what it carries: the first nibble after the bottom of the stack does."""
    labelled = (kind == _MPLS) | (kind == _MPLS_GROUP)
    for _ in range(8):
        here = labelled & (at + 5 <= end)
        if not here.any():
            break
        bottom = here & ((octets.u8(at + 2) & 1) == 1)
        at = np.where(here, at + 4, at)
        nibble = octets.u8(at) >> 4
        kind = np.where(bottom & (nibble == 4), _IP4, np.where(bottom & (nibble == 6), _IP6, kind))
        labelled = here & ~bottom
    return at, kind
