"""pcapng files: sections, interfaces with their own clock resolution and link type, and three kinds of packet block."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from replay.packets.files import MAX_CAPTURED, NO_TIME, PCAPNG_MAGIC, RUN, Ints, Records, Source, words

_SECTION = int.from_bytes(PCAPNG_MAGIC, "big")  # the same in both byte orders
_INTERFACE, _OLD_PACKET, _SIMPLE_PACKET, _PACKET = 1, 2, 3, 6
_PACKETS = frozenset((_OLD_PACKET, _SIMPLE_PACKET, _PACKET))
#: more is a damaged length: comments and name tables stay far below
_MAX_BLOCK = 1 << 24
_OPTION_RESOLUTION, _OPTION_OFFSET = 9, 14


@dataclass(frozen=True, slots=True)
class Interface:
    """One interface of a section; `resolution` as in the file (10^-n, or 2^-n with the top bit), `offset_s` is added."""

    link: int
    snaplen: int
    resolution: int = 6
    offset_s: int = 0

    def time_ns(self, ticks: np.ndarray[tuple[int, ...], np.dtype[np.uint64]]) -> Ints:
        """Nanoseconds since the epoch."""
        exponent = self.resolution & 0x7F
        if self.resolution & 0x80:
            if exponent <= 30:
                unit = np.uint64(exponent)
                seconds, rest = ticks >> unit, ticks & np.uint64((1 << exponent) - 1)
                since = seconds * np.uint64(10**9) + ((rest * np.uint64(10**9)) >> unit)
            else:  # the product does not fit in 64 bits
                since = np.array([(int(tick) * 10**9 >> exponent) & (1 << 63) - 1 for tick in ticks], np.uint64)
        elif exponent <= 9:
            since = ticks * np.uint64(10 ** (9 - exponent))
        elif exponent <= 28:
            since = ticks // np.uint64(10 ** (exponent - 9))
        else:
            since = np.zeros(len(ticks), np.uint64)
        return since.astype(np.int64) + self.offset_s * 10**9


class PcapngReader:
    """A pcapng file; see `CaptureReader`."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._order = "<"
        self._interfaces: list[Interface] = []
        self.broken: str | None = None

    def __iter__(self) -> Iterator[Records]:
        source = self._source
        position = 0
        while not self.broken:
            starts, kind, stop, wanted = self._walk(position)
            if starts:
                yield from self._records(np.array(starts, np.int64), kind)
            if self.broken:
                return
            position = stop
            if wanted:
                going_on = source.more(stop, wanted)
                position = 0
                if not going_on:
                    break
        if source.data or source.failed:
            self.broken = source.end_of(0, "a block")

    def _walk(self, position: int) -> tuple[list[int], int, int, int]:
        """A run of packet blocks of one kind: their starts, the kind, where it stopped, and how many bytes are needed from there
        (0 when the run ended for another reason)."""
        data, size = self._source.data, len(self._source.data)
        starts: list[int] = []
        append = starts.append
        run = _PACKET
        head = struct.Struct(f"{self._order}II").unpack_from
        while len(starts) < RUN:
            if position + 12 > size:
                return starts, run, position, 12
            kind, total = head(data, position)
            if kind == _SECTION:
                if starts:
                    return starts, run, position, 0
                total = self._section(position)
                head = struct.Struct(f"{self._order}II").unpack_from
            if total < 12 or total & 3 or total > _MAX_BLOCK:
                if not self.broken:
                    self.broken = f"{self._source.where(position)} a block claims {total} bytes: damaged"
                return starts, run, position, 0
            if position + total > size:
                return starts, run, position, total
            if kind == run:
                append(position)
            elif kind in _PACKETS:
                if starts:
                    return starts, run, position, 0
                run = kind
                append(position)
            elif not self._other(kind, position, total):
                return starts, run, position, 0
            position += total
        return starts, run, position, 0

    def _section(self, position: int) -> int:
        """Enter a section: its byte order, and no interfaces yet; its header's length, or 0 when it is damaged."""
        data = self._source.data
        mark = data[position + 8 : position + 12]
        order = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}.get(mark)
        if order is None:
            self.broken = f"{self._source.where(position + 8)} a section's byte-order mark is {mark.hex()}: damaged"
            return 0
        self._order = order
        self._interfaces = []
        return int(struct.unpack_from(f"{order}I", data, position + 4)[0])

    def _other(self, kind: int, position: int, total: int) -> bool:
        """Take note of a block that is no packet; False when it is damaged."""
        data = self._source.data
        if struct.unpack_from(f"{self._order}I", data, position + total - 4)[0] != total:
            self.broken = f"{self._source.where(position)} a block's two lengths differ: damaged"
            return False
        if kind == _INTERFACE:
            if total < 20:
                self.broken = f"{self._source.where(position)} an interface block has only {total} bytes: damaged"
                return False
            link, _, snaplen = struct.unpack_from(f"{self._order}HHI", data, position + 8)
            resolution, offset = self._clock(position + 16, position + total - 4)
            self._interfaces.append(Interface(link, snaplen, resolution, offset))
        return True

    def _clock(self, position: int, end: int) -> tuple[int, int]:
        """Resolution and offset from an interface's options."""
        data, resolution, offset = self._source.data, 6, 0
        while position + 4 <= end:
            code, length = struct.unpack_from(f"{self._order}HH", data, position)
            position += 4
            if code == 0 or position + length > end:
                break
            if code == _OPTION_RESOLUTION and length == 1:
                resolution = data[position]
            elif code == _OPTION_OFFSET and length == 8:
                offset = struct.unpack_from(f"{self._order}q", data, position)[0]
            position += length + 3 & ~3
        return resolution, offset

    def _records(self, at: Ints, kind: int) -> Iterator[Records]:
        """One run of blocks, up to the first that is damaged."""
        data = self._source.data
        word = words(data, f"{self._order}u4")
        total = word[at + 4].astype(np.int64)
        if kind == _SIMPLE_PACKET:
            interface = np.zeros(len(at), np.int64)
            length = word[at + 8].astype(np.int64)
            snaplen = self._interfaces[0].snaplen if self._interfaces else 0
            captured = np.minimum(length, np.minimum(total - 16, snaplen or MAX_CAPTURED))
            offset, room = at + 12, total - 16
        else:
            wide = np.minimum(at + 28, len(data) - 4)  # a block too short for its fields is found out below
            interface = words(data, f"{self._order}u{4 if kind == _PACKET else 2}")[at + 8].astype(np.int64)
            captured, length = word[wide - 8].astype(np.int64), word[wide - 4].astype(np.int64)
            offset, room = at + 28, total - 32
        damaged = (word[at + total - 4] != total) | (captured > room) | (captured > MAX_CAPTURED)
        damaged |= interface >= len(self._interfaces)
        good = int(np.argmax(damaged)) if damaged.any() else len(at)
        if good < len(at):
            self.broken = f"{self._source.where(int(at[good]))} a packet block contradicts itself or names no interface: damaged"
        if not good:
            return
        at, interface = at[:good], interface[:good]
        time_ns = np.full(good, NO_TIME)
        if kind != _SIMPLE_PACKET:
            ticks = (word[at + 12].astype(np.uint64) << np.uint64(32)) | word[at + 16].astype(np.uint64)
            for number in np.unique(interface):
                mine = interface == number
                time_ns[mine] = self._interfaces[number].time_ns(ticks[mine])
        link = np.array([one.link for one in self._interfaces], np.int64)[interface]
        yield Records(data, offset[:good], captured[:good], length[:good], time_ns, link)
