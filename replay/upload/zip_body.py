"""The body of an upload: a zip made while it is sent, or a file that is there; its length is known before its first byte.

Files are stored, not compressed: the bytes on the wire are those of the exam, and the length is known (no chunked coding, which
some proxies refuse). Every entry tells its size and checksum before its content: Java's `ZipInputStream`, which XNAT reads
uploads with, takes no stored entry otherwise. Layout: PKWARE's APPNOTE 6.3, 4.3.7 to 4.3.16. Memory is bounded by a chunk and the
list of members.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from replay.upload.faults import ExamError
from replay.upload.throttle import LARGEST_CHUNK_BYTES, Throttle

#: a file of this size or more would need the 64-bit form of an entry
FILE_LIMIT_BYTES = 0xFFFFFFFF
_UTF8 = 0x0800
_DATE = 0x0021  # 1980-01-01, so that the same files give the same bytes
_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_EXTRA64 = struct.Struct("<2HQ")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR64 = struct.Struct("<4sLQL")
_END = struct.Struct("<4s4H2LH")
_MOST32, _MOST16 = 0xFFFFFFFF, 0xFFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One file of a zip: its name inside, where its bytes are, how many, and their CRC-32."""

    name: str
    path: Path
    size: int
    crc: int


def zip_pieces(members: Sequence[Member], piece_bytes: int = LARGEST_CHUNK_BYTES) -> Iterator[bytes]:
    """The bytes of a zip of these files, in pieces; raises ExamError when a file is not what it was when it was measured."""
    offsets, at = [], 0
    for member in members:
        offsets.append(at)
        head = _local(member)
        yield head
        yield from _content(member, piece_bytes)
        at += len(head) + member.size
    start = at
    for member, offset in zip(members, offsets, strict=True):
        entry = _central(member, offset)
        yield entry
        at += len(entry)
    yield _end(len(members), at - start, start)


def zip_size(members: Sequence[Member]) -> int:
    """How long the zip of these files is, without reading them."""
    at, directory = 0, 0
    for member in members:
        directory += len(_central(member, at))
        at += len(_local(member)) + member.size
    return at + directory + len(_end(len(members), directory, at))


def _content(member: Member, piece_bytes: int) -> Iterator[bytes]:
    left, crc = member.size, 0
    for block in file_pieces(member.path, piece_bytes):
        left -= len(block)
        crc = zlib.crc32(block, crc)
        if left < 0:
            break
        yield block
    if left or crc != member.crc:
        raise ExamError(f"{member.path} changed before it was sent", "upload files that nobody writes to")


def _local(member: Member) -> bytes:
    name = member.name.encode()
    return _LOCAL.pack(b"PK\3\4", 20, _UTF8, 0, 0, _DATE, member.crc, member.size, member.size, len(name), 0) + name


def _central(member: Member, offset: int) -> bytes:
    name = member.name.encode()
    extra = _EXTRA64.pack(1, 8, offset) if offset >= _MOST32 else b""
    needs, mode = 45 if extra else 20, 0o100644 << 16
    head = _CENTRAL.pack(
        b"PK\1\2", 0x0300 | needs, needs, _UTF8, 0, 0, _DATE, member.crc, member.size, member.size,
        len(name), len(extra), 0, 0, 0, mode, min(offset, _MOST32),
    )  # fmt: skip
    return head + name + extra


def _end(count: int, size: int, start: int) -> bytes:
    end = _END.pack(b"PK\5\6", 0, 0, *(min(count, _MOST16),) * 2, min(size, _MOST32), min(start, _MOST32), 0)
    if count < _MOST16 and size < _MOST32 and start < _MOST32:
        return end
    end64 = _END64.pack(b"PK\6\6", _END64.size - 12, 45, 45, 0, 0, count, count, size, start)
    return end64 + _LOCATOR64.pack(b"PK\6\7", 0, start + size, 1) + end


def file_pieces(path: Path, piece_bytes: int = LARGEST_CHUNK_BYTES) -> Iterator[bytes]:
    """The bytes of a file; raises ExamError."""
    try:
        with path.open("rb") as source:
            while block := source.read(piece_bytes):
                yield block
    except OSError as error:
        raise ExamError(f"{path} cannot be read ({error.strerror})", "correct that") from error


class Body:
    """What is sent: of known length; may be iterated again, from its begin."""

    def __init__(self, length: int, pieces: Callable[[], Iterator[bytes]], throttle: Callable[[], Throttle]) -> None:
        self._length = length
        self._pieces = pieces
        self._throttle = throttle

    def __len__(self) -> int:
        return self._length

    def seek(self, offset: int) -> int:
        """To the begin, where every iteration starts anyway; the client asks for it before it sends."""
        if offset:
            raise ValueError("a body is only sent as a whole")
        return 0

    def __iter__(self) -> Iterator[bytes]:
        throttle = self._throttle()
        for piece in self._pieces():
            for at in range(0, len(piece), throttle.chunk_bytes):
                chunk = piece[at : at + throttle.chunk_bytes]
                yield chunk
                throttle.sent(len(chunk))
