"""Capture files as runs of records: pcap and pcapng, both byte orders, plain or gzip, in chunks of constant size.

A reader never raises for what a file contains after its first bytes: it yields what could be read and says in `broken` at
which byte it had to stop. Formats: pcap, draft-ietf-opsawg-pcap; pcapng, draft-ietf-opsawg-pcapng.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
import numpy.typing as npt

from replay.packets.faults import CaptureUnreadableError
from sidecar.model.faults import UsageFault

Ints = npt.NDArray[np.int64]
#: what is read from the file at a time
CHUNK = 1 << 21
#: records of one run, so that a file of empty packets takes no more memory than one of full ones
RUN = 1 << 15
#: as in Wireshark; more is a damaged length
MAX_CAPTURED = 262_144
#: time of a packet for which the file has none (simple packet blocks)
NO_TIME = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True)
class Records:
    """A run of packets: `data[offset : offset + captured]` is what was captured of the `length` bytes of each.

    `time_ns` since the epoch or NO_TIME; `link` the link type by its registered number.
    """

    data: bytes
    offset: Ints
    captured: Ints
    length: Ints
    time_ns: Ints
    link: Ints


class CaptureReader(Protocol):
    """What all file formats offer: iterate once, then look at `broken`."""

    broken: str | None

    def __iter__(self) -> Iterator[Records]: ...


class Unpacked:
    """A gzip file's content. Unlike the library's own reader it gives everything up to the place where the file is damaged."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._packed = b""
        self._unpack = zlib.decompressobj(wbits=31)

    def read(self, size: int) -> bytes:
        """At most `size` bytes, none at the end. Raises zlib.error at damage, OSError."""
        while True:
            if self._unpack.eof:
                self._packed = self._unpack.unused_data or self._file.read(1 << 16)
                self._unpack = zlib.decompressobj(wbits=31)  # members follow each other
                if not self._packed.startswith(b"\x1f\x8b"):
                    return b""  # padding after the last member is allowed
            self._packed = self._packed or self._file.read(1 << 16)
            found = self._unpack.decompress(self._packed, size)
            ended = not self._packed
            self._packed = self._unpack.unconsumed_tail
            if found:
                return found
            if ended:
                raise zlib.error("it was cut off")


class Source:
    """The bytes of a file, read ahead by the chunk; `base` is the place of `data[0]` in the file."""

    def __init__(self, file: BinaryIO | Unpacked, note: str, chunk: int = CHUNK) -> None:
        self._file = file
        self._chunk = chunk
        self._note = note
        self.data = b""
        self.base = 0
        self.ended = False
        self.failed: str | None = None

    def more(self, used: int, wanted: int = 0) -> bool:
        """Forget `used` bytes and read a chunk more, or up to `wanted` bytes in all; False at the end of the file."""
        rest = self.data[used:]
        if self.ended:
            self.data, self.base = rest, self.base + used
            return False
        read = b""
        try:
            read = self._file.read(max(self._chunk, wanted - len(rest)))
        except zlib.error as error:
            self.failed = f"cannot be unpacked any further ({error})"
        except OSError as error:
            self.failed = f"cannot be read any further ({error.strerror})"
        self.data, self.base = rest + read, self.base + used
        self.ended = not read
        return bool(read)

    def where(self, position: int) -> str:
        """A place in words, from a position in `data`."""
        return f"at byte {self.base + position}{self._note}"

    def end_of(self, position: int, what: str) -> str:
        """Why nothing more can be read: the file ends inside `what`, which starts at `position`."""
        if self.failed:
            return f"{self.where(len(self.data))} the file {self.failed}"
        return f"{self.where(position)} {what} begins, but the file ends {len(self.data) - position} bytes later: it was cut off"


def opened(path: Path, chunk: int = CHUNK) -> tuple[BinaryIO, Source]:
    """The file, unpacked when it is gzip. Raises UsageFault when it is not there."""
    try:
        file: BinaryIO = path.open("rb")
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
    except OSError as error:
        raise UsageFault(f"the capture {path} cannot be read ({error.strerror})", "name a pcap or pcapng file") from error
    if packed:
        return file, Source(Unpacked(file), " of the unpacked file", chunk)
    return file, Source(file, "", chunk)


class PcapReader:
    """A pcap file: 24 bytes of header, then records of one link type."""

    def __init__(self, source: Source, order: str, unit_ns: int) -> None:
        self._source = source
        self._order = order
        self._unit_ns = unit_ns
        self.broken: str | None = None

    def __iter__(self) -> Iterator[Records]:
        source = self._source
        while len(source.data) < 24 and source.more(0):
            pass
        if len(source.data) < 24:
            self.broken = source.end_of(0, "the file header")
            return
        # The upper bits say whether frame check sequences were captured.
        link = struct.unpack_from(f"{self._order}I", source.data, 20)[0] & 0xFFFF
        used = 24
        while True:
            offsets, used = self._walk(used)
            if offsets:
                yield self._records(np.array(offsets, np.int64), link)
            if self.broken:
                return
            if len(offsets) == RUN:
                continue
            going_on = source.more(used)
            used = 0
            if not going_on:
                break
        if source.data or source.failed:
            self.broken = source.end_of(0, "a record")

    def _walk(self, position: int) -> tuple[list[int], int]:
        """Where the whole records of `data` begin, and where the first one that is not whole does."""
        data = self._source.data
        end = len(data) - 16
        captured_at = struct.Struct(f"{self._order}I").unpack_from
        offsets: list[int] = []
        append = offsets.append
        while position <= end and len(offsets) < RUN:
            captured = captured_at(data, position + 8)[0]
            if captured > MAX_CAPTURED:
                self.broken = (
                    f"{self._source.where(position)} a record claims {captured} captured bytes, over {MAX_CAPTURED}: damaged"
                )
                break
            following = position + 16 + captured
            if following > end + 16:
                break
            append(position)
            position = following
        return offsets, position

    def _records(self, at: Ints, link: int) -> Records:
        word = words(self._source.data, f"{self._order}u4")
        return Records(
            self._source.data,
            offset=at + 16,
            captured=word[at + 8].astype(np.int64),
            length=word[at + 12].astype(np.int64),
            time_ns=word[at].astype(np.int64) * 1_000_000_000 + word[at + 4].astype(np.int64) * self._unit_ns,
            link=np.full(len(at), link),
        )


def words(data: bytes, kind: str) -> npt.NDArray[np.generic]:
    """All numbers of one kind in `data`, one starting at every byte: `words(data, ">u2")[n]` is that at byte n."""
    dtype = np.dtype(kind)
    return np.ndarray((max(0, len(data) - dtype.itemsize + 1),), dtype, data, 0, (1,))


#: first four bytes -> byte order, nanoseconds of a fraction's unit
PCAP_MAGIC = {
    b"\xd4\xc3\xb2\xa1": ("<", 1000),
    b"\xa1\xb2\xc3\xd4": (">", 1000),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
    b"\xa1\xb2\x3c\x4d": (">", 1),
}
PCAPNG_MAGIC = b"\x0a\x0d\x0d\x0a"


def reader_of(source: Source, name: str) -> CaptureReader:
    """The reader that fits the first bytes, whatever the file is called. Raises CaptureUnreadableError."""
    from replay.packets.pcapng import PcapngReader  # it builds on this module

    while len(source.data) < 4 and source.more(0):
        pass
    magic = source.data[:4]
    if magic == PCAPNG_MAGIC:
        return PcapngReader(source)
    if magic in PCAP_MAGIC:
        return PcapReader(source, *PCAP_MAGIC[magic])
    what = "is empty" if not source.data else "is no capture file"
    raise CaptureUnreadableError(f"{name} {what}", "name a pcap or pcapng file, plain or gzip")
