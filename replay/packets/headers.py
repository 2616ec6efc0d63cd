"""From captured bytes to columns: link layer, tags, IPv4 and IPv6, TCP and UDP, for a whole run of packets at once.

Lengths come from the IP header, never from what was captured, so that a snapped capture gives the same numbers as a whole one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from replay.packets.files import Ints, Records, words
from replay.packets.links import network_layer

Bools = npt.NDArray[np.bool_]
Longs = npt.NDArray[np.uint64]
TCP, UDP = 6, 17
#: an IPv4 address as an IPv6 one (RFC 4291, 2.5.5.2)
MAPPED_V4 = 0xFFFF_0000_0000
_EXTENSIONS = (0, 43, 60, 135, 139, 140)
_FRAGMENT, _AUTHENTICATION, _NOTHING = 44, 51, 59


class Octets:
    """One run's bytes as numbers in network order, starting at any byte; a position past the end reads as the last one."""

    def __init__(self, data: bytes) -> None:
        padded = data + bytes(8)
        self._last = len(padded) - 8
        self._octet = np.frombuffer(padded, np.uint8)
        self._views = {size: words(padded, f">u{size}") for size in (2, 4, 8)}

    def u8(self, at: Ints) -> Ints:
        """Bytes."""
        return self._octet[np.minimum(at, self._last)].astype(np.int64)

    def u16(self, at: Ints) -> Ints:
        """Two bytes."""
        return self._views[2][np.minimum(at, self._last)].astype(np.int64)

    def u32(self, at: Ints) -> Ints:
        """Four bytes."""
        return self._views[4][np.minimum(at, self._last)].astype(np.int64)

    def u64(self, at: Ints) -> Longs:
        """Eight bytes."""
        return self._views[8][np.minimum(at, self._last)].astype(np.uint64)


@dataclass(slots=True)
class Packets:
    """The IP packets of a run, a row each.

    `size` is all bytes at the IP layer; `body` and `body_size` are where the transport layer begins and how long it is;
    `end` is where the captured bytes end. `ports` says that source and destination port could be read, `segment` that a whole
    TCP header was there and its length is known; the TCP columns hold only in those rows. `fragment` rows are parts of a
    datagram, `piece` is their offset in it and `more` whether others follow. Addresses are 128 bits in two halves.
    """

    time_ns: Ints
    size: Ints
    protocol: Ints
    source: tuple[Longs, Longs]
    target: tuple[Longs, Longs]
    body: Ints
    body_size: Ints
    end: Ints
    fragment: Bools
    piece: Ints
    more: Bools
    datagram: Ints
    whole: Bools
    ports: Bools
    source_port: Ints
    target_port: Ints
    segment: Bools
    sequence: Ints
    acknowledged: Ints
    flags: Ints
    window: Ints
    payload: Ints
    payload_at: Ints

    def __len__(self) -> int:
        return len(self.time_ns)


def decode(records: Records) -> Packets:
    """The IP packets among `records`; what is not IP, or has no whole IP header, is left out."""
    octets = Octets(records.data)
    start, end = records.offset, records.offset + records.captured
    at, version = network_layer(octets, start, end, records.link)
    nibble = octets.u8(at) >> 4
    good = ((version == 4) & (nibble == 4) & (at + 20 <= end)) | ((version == 6) & (nibble == 6) & (at + 40 <= end))
    if not good.all():
        at, version, start, end = at[good], version[good], start[good], end[good]
    remaining = start + (records.length if good.all() else records.length[good]) - at
    packets = _internet(octets, at, version, end, remaining)
    packets.time_ns = records.time_ns if good.all() else records.time_ns[good]
    packets.whole = end - start >= (records.length if good.all() else records.length[good])
    _transport(octets, packets)
    return packets


def _internet(octets: Octets, at: Ints, version: Ints, end: Ints, remaining: Ints) -> Packets:
    """Everything that the IP headers say. `remaining` is how long the frame was from `at` on: the length of packets that were
    captured before the network card cut them (their total length is 0)."""
    count = len(at)
    header = (octets.u8(at) & 15) * 4
    size = octets.u16(at + 2)
    size = np.where(size == 0, remaining, size)
    protocol = octets.u8(at + 9)
    word = octets.u16(at + 6)
    piece = (word & 0x1FFF) * 8
    more = (word & 0x2000) != 0
    datagram = octets.u16(at + 4)
    high = np.zeros(count, np.uint64)
    mapped = np.uint64(MAPPED_V4)
    source = (high, mapped | octets.u32(at + 12).astype(np.uint64))
    target = (high, mapped | octets.u32(at + 16).astype(np.uint64))
    six = version == 6
    if six.any():
        a6 = at[six]
        payload, following = octets.u16(a6 + 4), octets.u8(a6 + 6)
        cut_later = (payload == 0) & (following != _NOTHING)
        size[six] = np.where(cut_later, remaining[six], 40 + payload)
        source = (_put(high, six, octets.u64(a6 + 8)), _put(source[1], six, octets.u64(a6 + 16)))
        target = (_put(high, six, octets.u64(a6 + 24)), _put(target[1], six, octets.u64(a6 + 32)))
        protocol[six], header[six], piece[six], more[six], datagram[six] = _extensions(octets, a6, following, end[six])
    none = np.zeros(count, np.int64)
    no = np.zeros(count, np.bool_)
    return Packets(
        time_ns=none,
        size=size,
        protocol=protocol,
        source=source,
        target=target,
        body=at + header,
        body_size=np.minimum(size, remaining) - header,
        end=end,
        fragment=more | (piece > 0),
        piece=piece,
        more=more,
        datagram=datagram,
        whole=no,
        ports=no,
        source_port=none,
        target_port=none,
        segment=no,
        sequence=none,
        acknowledged=none,
        flags=none,
        window=none,
        payload=none,
        payload_at=none,
    )


def _put(column: Longs, rows: Bools, values: Longs) -> Longs:
    column = column.copy()
    column[rows] = values
    return column


def _extensions(octets: Octets, at: Ints, following: Ints, end: Ints) -> tuple[Ints, Ints, Ints, Bools, Ints]:
    """Past the IPv6 extension headers: protocol, header length, offset of a fragment, whether more follow, and its datagram."""
    protocol, header = following.copy(), np.full(len(at), 40)
    piece, datagram = np.zeros(len(at), np.int64), np.zeros(len(at), np.int64)
    more = np.zeros(len(at), np.bool_)
    for _ in range(8):  # more headers than that are an attack, not traffic
        optional = np.isin(protocol, _EXTENSIONS)
        fragment, authentication = protocol == _FRAGMENT, protocol == _AUTHENTICATION
        passing = (optional | fragment | authentication) & (at + header + 8 <= end) & (piece == 0)
        if not passing.any():
            break
        here = at + header
        length = np.where(optional, (octets.u8(here + 1) + 1) * 8, 8)
        length = np.where(authentication, (octets.u8(here + 1) + 2) * 4, length)
        word = octets.u16(here + 2)
        part = fragment & passing
        piece = np.where(part, word & 0xFFF8, piece)
        more |= part & ((word & 1) != 0)
        datagram = np.where(part, octets.u32(here + 4), datagram)
        protocol = np.where(passing, octets.u8(here), protocol)
        header = np.where(passing, header + length, header)
    return protocol, header, piece, more, datagram


def _transport(octets: Octets, packets: Packets) -> None:
    """Fill in ports and the TCP columns."""
    body, end, protocol = packets.body, packets.end, packets.protocol
    tcp = protocol == TCP
    packets.ports = (tcp | (protocol == UDP)) & ~packets.fragment & (body + 4 <= end)
    packets.source_port = np.where(packets.ports, octets.u16(body), 0)
    packets.target_port = np.where(packets.ports, octets.u16(body + 2), 0)
    packets.sequence = octets.u32(body + 4)
    packets.acknowledged = octets.u32(body + 8)
    word = octets.u16(body + 12)
    header = (word >> 12) * 4
    packets.flags = word & 0x3F
    packets.window = octets.u16(body + 14)
    # As in Wireshark: a segment is judged when everything up to the window was captured and its length is known.
    packets.segment = packets.ports & tcp & (body + 16 <= end) & (packets.body_size >= header)
    packets.payload = np.where(packets.segment, packets.body_size - header, 0)
    packets.payload_at = body + header
