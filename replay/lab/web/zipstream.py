"""A zip file made while it is sent: constant memory, no length known in advance, really compressed (zlib level 6).

The standard library writes zip files to sinks that cannot seek; here the sink is a small buffer that is handed on
whenever a block has been compressed. A consumer that stops (closes the generator) stops the compression.
"""

import time
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

BLOCK_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One file of a zip: its name inside and where its bytes are."""

    name: str
    path: Path


class _Sink:
    """A file that can only be written; what was written is taken away in pieces."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self.waiting_bytes = 0

    def write(self, data: bytes) -> int:
        self._pieces.append(bytes(data))
        self.waiting_bytes += len(data)
        return len(data)

    def flush(self) -> None:
        """Nothing to do: nothing is held back."""

    def take(self) -> bytes:
        taken = b"".join(self._pieces)
        self._pieces.clear()
        self.waiting_bytes = 0
        return taken


def stream_zip(members: Iterable[Member]) -> Iterator[bytes]:
    """Yields the bytes of a zip of these files, in pieces of about 64 kB, as they are made.

    Raises OSError when a file cannot be read; what was yielded until then is no complete zip.
    """
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:  # type: ignore[call-overload]
        for member in members:
            state = member.path.stat()
            info = zipfile.ZipInfo(member.name, time.localtime(max(state.st_mtime, 315532800))[:6])
            info.compress_type = zipfile.ZIP_DEFLATED  # at zlib's default level, which is 6
            info.external_attr = 0o644 << 16
            info.file_size = state.st_size  # lets the library choose the 64-bit form where it is needed
            with member.path.open("rb") as source, archive.open(info, "w") as target:
                while block := source.read(BLOCK_BYTES):
                    target.write(block)
                    if sink.waiting_bytes >= BLOCK_BYTES:
                        yield sink.take()
    yield sink.take()
