"""The body of an upload: a zip made while it is sent, or one that is there; its length is known before its first byte.

Files are stored, not compressed: so the length is known (no chunked coding, which some proxies refuse), and the bytes on the wire
are those of the exam. Memory is bounded by one chunk and the zip's table of contents.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from replay.upload.faults import ExamError
from replay.upload.throttle import LARGEST_CHUNK_BYTES, Throttle

#: the only date in our zips: the same files give the same bytes
_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One file of a zip: its name inside, where its bytes are, how many."""

    name: str
    path: Path
    size: int


class _Sink:
    """Takes what the library writes, and hands it on."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._at = 0

    def write(self, data: bytes) -> int:
        self._pieces.append(bytes(data))
        self._at += len(data)
        return len(data)

    def tell(self) -> int:
        return self._at

    def flush(self) -> None:
        """Nothing is held back."""

    def take(self) -> bytes:
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken


def zip_pieces(members: Sequence[Member], piece_bytes: int = LARGEST_CHUNK_BYTES) -> Iterator[bytes]:
    """The bytes of a zip of these files, in pieces; raises ExamError when a file is not what it was when it was measured."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:  # type: ignore[call-overload]
        for member in members:
            info = zipfile.ZipInfo(member.name, _DATE)
            info.external_attr = 0o644 << 16
            info.file_size = member.size  # lets the library choose the 64-bit form where it is needed
            left = member.size
            try:
                with member.path.open("rb") as source, archive.open(info, "w") as target:
                    while block := source.read(piece_bytes):
                        left -= len(block)
                        if left < 0:
                            break
                        target.write(block)
                        yield sink.take()
            except OSError as error:
                raise ExamError(f"{member.path} cannot be read ({error.strerror})", "correct that") from error
            if left:
                raise ExamError(f"{member.path} changed while it was sent", "upload files that nobody writes to")
    yield sink.take()


def zip_size(members: Sequence[Member]) -> int:
    """How long the zip of these files is, without reading them: the library writes it with empty contents, which are counted."""
    sink = _Sink()
    size = 0
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:  # type: ignore[call-overload]
        for member in members:
            info = zipfile.ZipInfo(member.name, _DATE)
            info.file_size = member.size
            with archive.open(info, "w"):
                pass
            size += member.size + len(sink.take())
            # Offsets and sizes decide whether an entry of the table of contents takes the 64-bit form.
            info.file_size = info.compress_size = member.size
            archive.start_dir = sink._at = size  # noqa: SLF001  (ours)
    return size + len(sink.take())


class Body:
    """What is sent: iterable more than once, of known length. `began` is called just before the first byte of each pass."""

    def __init__(self, length: int, pieces: Callable[[], Iterator[bytes]], throttle: Callable[[], Throttle]) -> None:
        self._length = length
        self._pieces = pieces
        self._throttle = throttle

    def __len__(self) -> int:
        return self._length

    def seek(self, offset: int) -> int:
        """To the begin, which is where every iteration begins anyway; the client asks for it before it sends."""
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


def file_pieces(path: Path, piece_bytes: int = LARGEST_CHUNK_BYTES) -> Iterator[bytes]:
    """The bytes of a file; raises ExamError."""
    try:
        with path.open("rb") as source:
            while block := source.read(piece_bytes):
                yield block
    except OSError as error:
        raise ExamError(f"{path} cannot be read ({error.strerror})", "correct that") from error
