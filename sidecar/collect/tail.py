"""Follows log files through every rotation: by rename, by date in the name, by truncation; no line lost, none twice.

A file is known by device and inode, and by its first bytes, for inodes are used again. Reading changes nothing: `read` hands out
a block of whole lines and where the next one begins, and only `done` moves on. What must survive a restart is one note per
file, committed together with the block's records.
"""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from sidecar.errors import LogUnreadableError

#: bytes read at once; a line longer than this is skipped and counted
CHUNK = 1 << 20
MAX_LINES = 5000
#: first bytes of a file that tell it from another one with the same inode
FINGERPRINT = 1024
#: polls without a new byte after which a file that was rotated away is let go (at 0.2 s a poll: one minute)
LINGER_POLLS = 300
#: files kept open at once; of more, the oldest wait for their turn
MAX_OPEN = 32
PACKED: Final = (".gz", ".bz2", ".xz", ".zst", ".zip", ".lz4")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Whole lines of one file: `lines` (as Latin-1, without line ends) stand at `offset`, the next block begins at `end`.

    `skipped` counts lines that were too long to be read; `in_long_line` says that the block ends within one.
    """

    file: FollowedFile
    lines: list[str]
    offset: int
    end: int
    skipped: int
    in_long_line: bool


class FollowedFile:
    """One file and how far it has been read; `path` is the name under which it was last seen."""

    __slots__ = ("_first_bytes", "fd", "in_long_line", "inode", "offset", "path", "quiet_polls", "rotated", "unit")

    def __init__(self, path: str, fd: int) -> None:
        status = os.fstat(fd)
        self.path = path
        self.fd = fd
        self.inode = (status.st_dev, status.st_ino)
        self.offset = 0
        self.in_long_line = False
        self.rotated = False
        self.quiet_polls = 0
        self._first_bytes = b""

    @property
    def key(self) -> str:
        """Device and inode, as they stand in the note's key."""
        return f"{self.inode[0]:x}-{self.inode[1]:x}"

    @property
    def identity(self) -> str:
        """Device, inode and first line: never the same for two files, and the same for one file under all its names."""
        first_line = self._first_bytes.partition(b"\n")[0]
        return f"{self.key}-{hashlib.blake2b(first_line, digest_size=8).hexdigest()}"

    @property
    def unfinished_bytes(self) -> int:
        """Bytes behind the last whole line."""
        return max(0, os.fstat(self.fd).st_size - self.offset)

    def note(self, needs_from: int | None = None) -> str:
        """What is to be known about this file after a restart."""
        known = min(self.offset, FINGERPRINT)
        note = {"offset": self.offset, "first": known, "hash": _hash(self._first_bytes[:known])}
        if self.in_long_line:
            note["in_long_line"] = True
        if needs_from is not None and needs_from < self.offset:
            note["needs_from"] = needs_from
        return json.dumps(note, separators=(",", ":"))

    def resume(self, note: str) -> int | None:
        """Go on where the note says, if it is about this file and not about an earlier one with its inode.

        Returns the offset to read from for inference (the note's own offset when it says nothing), None when not about this file.
        """
        try:
            said = json.loads(note)
            offset, known, fingerprint = int(said["offset"]), int(said["first"]), str(said["hash"])
            needs_from = int(said.get("needs_from", offset))
        except (ValueError, KeyError, TypeError):
            return None
        first_bytes = os.pread(self.fd, FINGERPRINT, 0)
        if os.fstat(self.fd).st_size < offset or not 0 < known <= len(first_bytes) or _hash(first_bytes[:known]) != fingerprint:
            return None
        self._first_bytes = first_bytes
        self.offset = offset
        self.in_long_line = bool(said.get("in_long_line"))
        return needs_from

    def restarted(self) -> bool:
        """Whether the file was cut off or written anew since it was last read; reading then begins at its start."""
        if os.fstat(self.fd).st_size >= self.offset and (
            not self.offset or os.pread(self.fd, len(self._first_bytes), 0) == self._first_bytes
        ):
            return False
        self.offset = 0
        self.in_long_line = False
        self._first_bytes = b""
        return True

    def block(self, start: int | None = None, stop: int | None = None) -> Block | None:
        """The next whole lines; None when there is none yet. `start`, `stop`: lines that were read before, once more."""
        offset = self.offset if start is None else start
        size = CHUNK if stop is None else min(CHUNK, stop - offset)
        data = os.pread(self.fd, size, offset) if size > 0 else b""
        if not data:
            return None
        if len(self._first_bytes) < FINGERPRINT:
            self._first_bytes = os.pread(self.fd, FINGERPRINT, 0)
        last = data.rfind(b"\n")
        begin = skipped = 0
        if last < 0:
            if len(data) < CHUNK:
                return None
            blank = not self.in_long_line and not data.strip(b"\0")  # a hole that a truncation left
            return Block(file=self, lines=[], offset=offset, end=offset + len(data), skipped=0, in_long_line=not blank)
        if self.in_long_line and start is None:
            begin = data.find(b"\n") + 1
            skipped = 1
        text = data[begin:last].decode("latin-1") if last >= begin else ""
        lines = text.split("\n", MAX_LINES)
        end = offset + last + 1
        if last < begin:
            lines = []
        elif len(lines) > MAX_LINES:
            end = offset + begin + len(text) - len(lines.pop())
        return Block(file=self, lines=lines, offset=offset + begin, end=end, skipped=skipped, in_long_line=False)

    def close(self) -> None:
        os.close(self.fd)


class Tail:
    """The files behind one path or glob, oldest first.

    `note_of` tells the committed note of a file's key. A path stands for the one file of that name and for those that it was
    renamed to; a glob for all files that match, packed ones apart. Files last written before `oldest_ns` (wall clock) are
    passed over.
    """

    def __init__(self, pattern: str, note_of: Callable[[str], str | None], oldest_ns: int = 0) -> None:
        self.pattern = pattern
        self._is_glob = glob.has_magic(pattern)
        self._note_of = note_of
        self._oldest_ns = oldest_ns
        self._files: list[FollowedFile] = []
        #: files of a glob that were read to their end: inode -> size
        self._finished: dict[tuple[int, int], int] = {}
        self._first_look = True
        self.rotations = 0
        self.truncations = 0
        self.unfinished_lines = 0

    @property
    def files(self) -> tuple[FollowedFile, ...]:
        return tuple(self._files)

    def look(self) -> list[tuple[FollowedFile, int]]:
        """Look for new, renamed, cut and vanished files; call once a poll.

        Returns files that are now followed for the first time with the offset that inference must read from.
        Raises LogUnreadableError while there is no file, or one that may not be read; what is open stays readable.
        """
        for file in self._files:
            if file.restarted():
                self.truncations += 1
        added = self._look_at_glob() if self._is_glob else self._look_at_path()
        self._let_go()
        self._first_look = False
        return added

    def read(self) -> Block | None:
        """The next lines of the oldest file that has any."""
        for file in self._files:
            block = file.block()
            if block is not None:
                file.quiet_polls = 0
                return block
            file.quiet_polls += 1
        return None

    def done(self, block: Block) -> None:
        """The block's records and its file's note are queued to be committed together: go on behind it."""
        block.file.offset = block.end
        block.file.in_long_line = block.in_long_line

    def close(self) -> None:
        for file in self._files:
            file.close()
        self._files = []

    def _look_at_path(self) -> list[tuple[FollowedFile, int]]:
        try:
            status = os.stat(self.pattern)
        except OSError as error:
            for file in self._files:
                file.rotated = True
            raise _unreadable(self.pattern, error) from error
        inode = (status.st_dev, status.st_ino)
        current = next((file for file in self._files if file.inode == inode), None)
        if current is not None:
            current.rotated = False
            return []
        known = [file for file in self._files if not file.rotated]
        file = _open(self.pattern)
        self.rotations += len(known)
        for old in known:
            old.rotated = True
        added = list(self._add(self._renamed(file)))
        return [*added, *self._add([file])]

    def _renamed(self, current: FollowedFile) -> list[FollowedFile]:
        """Files that bore the path's name before: those left unfinished, and all that came after them. Oldest first."""
        folder, name = os.path.split(self.pattern)
        inodes = {file.inode for file in self._files} | {current.inode}
        siblings: list[tuple[int, FollowedFile]] = []
        for entry in os.scandir(folder or "."):
            if not entry.name.startswith(name) or entry.name == name or entry.name.endswith(PACKED):
                continue
            try:
                status = entry.stat()
                if not entry.is_file() or (status.st_dev, status.st_ino) in inodes:
                    continue
                siblings.append((status.st_mtime_ns, _open(entry.path)))
            except (OSError, LogUnreadableError):
                continue  # it may have been packed in this moment; the current file is what counts
        siblings.sort(key=lambda pair: pair[0])
        # While running, whatever was renamed since the last look is younger than the file that was being read.
        begun = bool(self._files)
        after_ns = max((os.fstat(file.fd).st_mtime_ns for file in self._files), default=0)
        wanted = []
        for mtime_ns, file in siblings:
            note = self._note_of(file.key)
            resumable = note is not None and file.resume(note) is not None
            if resumable or (begun and mtime_ns >= after_ns and not self._first_look):
                begun = True
                file.rotated = True
                wanted.append(file)
            elif begun and self._first_look:
                file.rotated = True
                wanted.append(file)
            else:
                file.close()
        return wanted

    def _look_at_glob(self) -> list[tuple[FollowedFile, int]]:
        followed = {file.inode for file in self._files}
        found: list[tuple[int, str]] = []
        seen = False
        for path in glob.glob(self.pattern):
            if path.endswith(PACKED):
                continue
            seen = True
            try:
                status = os.stat(path)
            except OSError:
                continue  # renamed between two calls: found under its new name next time
            inode = (status.st_dev, status.st_ino)
            if inode not in followed and status.st_mtime_ns >= self._oldest_ns and self._finished.get(inode) != status.st_size:
                followed.add(inode)
                found.append((status.st_mtime_ns, path))
        if not seen:
            raise _unreadable(self.pattern, FileNotFoundError(errno.ENOENT, "no file matches", self.pattern))
        room = MAX_OPEN - len(self._files)
        added = list(self._add([_open(path) for _, path in sorted(found)[:room]]))
        # Of several files only the youngest is written to; the others wait for a rest that may still come and are let go.
        self._files.sort(key=lambda file: os.fstat(file.fd).st_mtime_ns)
        for file in self._files:
            file.rotated = file is not self._files[-1]
        return added

    def _add(self, files: list[FollowedFile]) -> Iterator[tuple[FollowedFile, int]]:
        for file in files:
            note = self._note_of(file.key)
            needs_from = None if note is None or file.offset else file.resume(note)
            self._files.append(file)
            yield file, file.offset if needs_from is None else needs_from

    def _let_go(self) -> None:
        keep = []
        for file in self._files:
            if file.rotated and file.quiet_polls >= LINGER_POLLS:
                if file.unfinished_bytes:
                    self.unfinished_lines += 1
                self._finished[file.inode] = os.fstat(file.fd).st_size
                file.close()
            else:
                keep.append(file)
        self._files = keep


def _open(path: str) -> FollowedFile:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise _unreadable(path, error) from error
    return FollowedFile(path, fd)


def _unreadable(path: str, error: OSError) -> LogUnreadableError:
    if isinstance(error, FileNotFoundError):
        return LogUnreadableError(f"log {path} is not there", "check the setting and the mount; it is read when it appears")
    if isinstance(error, PermissionError):
        remedy = "let the sidecar's user read it and enter its folder; for Tomcat's set UMASK=0022 in its environment"
        return LogUnreadableError(f"log {path} may not be read", remedy)
    return LogUnreadableError(f"log {path} cannot be read ({error.strerror})", "name a file or a glob of files")


def _hash(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=12).hexdigest()
