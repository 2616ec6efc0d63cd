"""One growing file: who it is, how far it has been read, and the next whole lines.

A file is known by device and inode, and by its first bytes, for inodes are used again and files are cut off. Reading changes
nothing: `block` hands out lines and where the next ones begin, and only `done` moves on. What must survive a restart is one
note, to be committed together with the block's records.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from dataclasses import dataclass

from sidecar.errors import LogUnreadableError

#: bytes read at once; a line longer than this is skipped and counted
CHUNK = 1 << 20
MAX_LINES = 5000
#: first bytes of a file that tell it from another one with the same inode
FINGERPRINT = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Whole lines of one file (as Latin-1, without line ends): they stand at `offset`, the next block begins at `end`.

    `skipped` counts lines that were too long to be read; `in_long_line` says that the block ends within one.
    """

    file: LogFile
    lines: list[str]
    offset: int
    end: int
    skipped: int
    in_long_line: bool


class LogFile:
    """An open file. `rotated` says that another one has its name now; `needs_from` is where inference must read again from."""

    __slots__ = ("_fd", "_first_bytes", "in_long_line", "inode", "needs_from", "offset", "quiet_looks", "rotated")

    def __init__(self, path: str) -> None:
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise unreadable(path, error) from error
        status = os.fstat(self._fd)
        if not stat.S_ISREG(status.st_mode):
            os.close(self._fd)
            raise LogUnreadableError(
                f"log {path} is no plain file", "let the server write its access log to a file and name that"
            )
        self.inode = (status.st_dev, status.st_ino)
        self.offset = 0
        self.in_long_line = False
        self.rotated = False
        self.quiet_looks = 0
        self.needs_from: int | None = None
        self._first_bytes = b""

    @property
    def key(self) -> str:
        """Device and inode, as they stand in the note's key."""
        return f"{self.inode[0]:x}-{self.inode[1]:x}"

    @property
    def identity(self) -> str:
        """Device, inode and first line: never the same for two files, the same for one file under all its names."""
        first_line = self._first_bytes.partition(b"\n")[0]
        return f"{self.key}-{_hash(first_line)}"

    @property
    def size(self) -> int:
        return os.fstat(self._fd).st_size

    @property
    def written_ns(self) -> int:
        """When it was last written to, by the wall clock."""
        return os.fstat(self._fd).st_mtime_ns

    def note(self, end: int | None = None, in_long_line: bool = False, needs_from: int | None = None) -> str:
        """What is to be known about this file after a restart, once it has been read up to `end`."""
        offset = self.offset if end is None else end
        known = min(offset, len(self._first_bytes))
        note: dict[str, object] = {"offset": offset, "first": known, "hash": _hash(self._first_bytes[:known])}
        if in_long_line:
            note["in_long_line"] = True
        if needs_from is not None and needs_from < offset:
            note["needs_from"] = needs_from
        return json.dumps(note, separators=(",", ":"))

    def resume(self, note: str | None) -> bool:
        """Go on where the note says; False, and nothing changed, when it is not about what this file holds."""
        try:
            said = json.loads(note or "")
            offset, known, fingerprint = int(said["offset"]), int(said["first"]), str(said["hash"])
            needs_from = said.get("needs_from")
        except (ValueError, KeyError, TypeError, AttributeError):
            return False
        first_bytes = os.pread(self._fd, FINGERPRINT, 0)
        if self.size < offset or not 0 < known <= len(first_bytes) or _hash(first_bytes[:known]) != fingerprint:
            return False
        self._first_bytes = first_bytes
        self.offset = offset
        self.in_long_line = bool(said.get("in_long_line"))
        self.needs_from = needs_from if isinstance(needs_from, int) and 0 <= needs_from < offset else None
        return True

    def was_cut(self) -> bool:
        """Whether the file holds something else than what was read from it: it was cut off, or written anew."""
        if self.size < self.offset:
            return True
        return self.offset > 0 and os.pread(self._fd, len(self._first_bytes), 0) != self._first_bytes

    def start_over(self) -> None:
        self.offset = 0
        self.in_long_line = False
        self.needs_from = None
        self._first_bytes = b""

    def block(self, start: int | None = None, stop: int | None = None) -> Block | None:
        """The next whole lines; None when there is none yet. `start` and `stop`: lines that were read before, once more."""
        offset = self.offset if start is None else start
        in_long_line = self.in_long_line and start is None
        size = CHUNK if stop is None else min(CHUNK, stop - offset)
        data = os.pread(self._fd, size, offset) if size > 0 else b""
        if not data:
            return None
        if len(self._first_bytes) < FINGERPRINT:
            first_bytes = os.pread(self._fd, FINGERPRINT, 0)
            if not self.offset or first_bytes.startswith(self._first_bytes):
                self._first_bytes = first_bytes  # otherwise it was cut, and `was_cut` will say so
        last = data.rfind(b"\n")
        if last < 0:
            if len(data) < CHUNK:
                return None
            hole = not in_long_line and not data.strip(b"\0")  # zeros that a writer left who did not notice the cut
            return Block(file=self, lines=[], offset=offset, end=offset + len(data), skipped=0, in_long_line=not hole)
        begin = data.find(b"\n") + 1 if in_long_line else 0
        end = last + 1
        lines: list[str] = []
        if begin < end:
            # Latin-1 never fails and keeps one sign a byte, so that lengths are offsets.
            text = data[begin:last].decode("latin-1")
            lines = text.split("\n", MAX_LINES)
            if len(lines) > MAX_LINES:
                end = begin + len(text) - len(lines.pop())
        return Block(
            file=self,
            lines=lines,
            offset=offset + begin,
            end=offset + end,
            skipped=int(in_long_line),
            in_long_line=False,
        )

    def done(self, block: Block) -> None:
        """The block's records and the note for its end are queued to be committed together: go on behind it."""
        self.offset = block.end
        self.in_long_line = block.in_long_line

    def close(self) -> None:
        os.close(self._fd)


def unreadable(path: str, error: OSError) -> LogUnreadableError:
    """What a person can do about a log that cannot be read."""
    if isinstance(error, FileNotFoundError):
        return LogUnreadableError(f"log {path} is not there", "check the setting and the mount; it is read as soon as it appears")
    if isinstance(error, PermissionError):
        remedy = "let the sidecar's user read it and enter its folder (Tomcat: set UMASK=0022 in its environment)"
        return LogUnreadableError(f"log {path} may not be read", remedy)
    return LogUnreadableError(f"log {path} cannot be read ({error.strerror})", "name a file, or a glob that matches files")


def _hash(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=12).hexdigest()
