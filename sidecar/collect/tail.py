"""Follows log files through every rotation: by rename, by date in the name, by cutting off; no line lost, none twice."""

from __future__ import annotations

import errno
import glob
import os
from collections.abc import Callable, Iterable
from typing import Final

from sidecar.collect.log_file import Block, LogFile, unreadable
from sidecar.errors import LogUnreadableError

#: looks without a new byte after which a file that was rotated away is let go (at 0.2 s a look: one minute)
LINGER_LOOKS = 300
#: and at once when it was written to for the last time so long before the youngest one
LONG_AGO_NS = 120_000_000_000
#: files of a glob that are opened at one look
MAX_AT_ONCE = 32
PACKED: Final = (".gz", ".bz2", ".xz", ".zst", ".zip", ".lz4")


class Tail:
    """The files behind one path or glob, oldest first.

    A path stands for the file of that name and for those that it was renamed (or copied) to; a glob for all files that match,
    packed ones apart. `note_of` tells the committed note of a file's key. Files last written before `oldest_ns` (wall clock) are
    passed over where there is no note about them.
    """

    def __init__(self, pattern: str, note_of: Callable[[str], str | None], oldest_ns: int = 0) -> None:
        self.pattern = pattern
        self._is_glob = glob.has_magic(pattern)
        self._note_of = note_of
        self._oldest_ns = oldest_ns
        self._files: list[LogFile] = []
        #: files of a glob that were read to their end: inode -> size
        self._finished: dict[tuple[int, int], int] = {}
        self.rotations = 0
        self.cuts = 0
        self.unfinished_lines = 0

    @property
    def files(self) -> tuple[LogFile, ...]:
        return tuple(self._files)

    def look(self) -> list[LogFile]:
        """Look for new, renamed, cut and vanished files; call it at every poll. Returns files that are followed from now on.

        Raises LogUnreadableError while there is no file or one that may not be read; what is open stays readable.
        """
        before = set(self._files)
        for file in self._files:
            file.quiet_looks += 1
        try:
            for file in tuple(self._files):
                if file.was_cut():
                    self._start_over(file)
            if self._is_glob:
                self._look_at_glob()
            else:
                self._look_at_path()
        except OSError as error:
            raise unreadable(self.pattern, error) from error
        finally:
            self._let_go()
        return [file for file in self._files if file not in before]

    def read(self) -> Block | None:
        """The next lines of the oldest file that has any."""
        for file in tuple(self._files):
            try:
                block = file.block()
                # Looked at after reading: what was read is then from before a cut, if there was one, and else is read anew.
                if block is not None and file.was_cut():
                    self._start_over(file)
                    return self.read()
            except OSError as error:
                raise unreadable(self.pattern, error) from error
            if block is not None:
                file.quiet_looks = 0
                return block
        return None

    def close(self) -> None:
        for file in self._files:
            file.close()
        self._files = []

    def _look_at_path(self) -> None:
        try:
            status = os.stat(self.pattern)
        except OSError:
            self._rotate(self._files)
            raise
        current = next((file for file in self._files if file.inode == (status.st_dev, status.st_ino)), None)
        if current is not None:
            current.rotated = False
            return
        current = LogFile(self.pattern)
        note = self._note_of(current.key)
        if not current.resume(note):
            # An inode used again, or a file that was copied and cut: the rest of what the note speaks of is in the copy.
            self._follow_copy(note, current)
        self._follow_renamed(current)
        self._rotate(self._files)
        self._files.append(current)

    def _rotate(self, files: Iterable[LogFile]) -> None:
        for file in files:
            self.rotations += not file.rotated
            file.rotated = True

    def _start_over(self, file: LogFile) -> None:
        """Read a file from its beginning that was cut off; if it was copied before, the copy holds what had not been read."""
        self.cuts += 1
        note = file.note() if file.offset else None
        file.start_over()
        if not self._is_glob:
            self._follow_copy(note, file)

    def _follow_copy(self, note: str | None, current: LogFile) -> None:
        if note is None:
            return
        for sibling in self._siblings(current):
            known = self._note_of(sibling.key)
            if (sibling.resume(known) or sibling.resume(note)) and sibling.offset < sibling.size:
                self._insert(sibling)
            else:
                sibling.close()

    def _follow_renamed(self, current: LogFile) -> None:
        """Follow the files that bore the path's name before: those that were not read to their end, and all younger ones.

        Without a file that was followed before there are none: a first start begins with the current file.
        """
        siblings = self._siblings(current)
        resumed = [file for file in siblings if file.resume(self._note_of(file.key))]
        # Of those that were read before, the oldest tells since when; while running, the youngest one that is followed.
        since_ns = max((file.written_ns for file in self._files), default=None)
        if since_ns is None:
            since_ns = min((file.written_ns for file in resumed), default=None)
        for sibling in siblings:
            if sibling in resumed:
                wanted = sibling.offset < sibling.size or sibling.written_ns >= current.written_ns - LONG_AGO_NS
            else:
                wanted = since_ns is not None and sibling.written_ns >= since_ns
            if wanted:
                self._insert(sibling)
            else:
                sibling.close()

    def _insert(self, sibling: LogFile) -> None:
        """Follow a file that no longer has the path's name, in the order in which they were written."""
        sibling.rotated = True
        self._files.append(sibling)
        self._files.sort(key=lambda file: (not file.rotated, file.written_ns))

    def _siblings(self, current: LogFile) -> list[LogFile]:
        """Files beside the path whose names begin with its name and that are not followed yet, oldest first."""
        folder, name = os.path.split(self.pattern)
        followed = {file.inode for file in self._files} | {current.inode}
        found = []
        with os.scandir(folder or ".") as entries:
            paths = sorted(entry.path for entry in entries if entry.name.startswith(name) and entry.name != name)
        for path in paths:
            if path.endswith(PACKED):
                continue
            try:
                file = LogFile(path)
            except LogUnreadableError:
                continue  # it may have been packed in this moment; the current file is what counts
            if file.inode in followed:
                file.close()
                continue
            followed.add(file.inode)
            found.append(file)
        return sorted(found, key=lambda file: file.written_ns)

    def _look_at_glob(self) -> None:
        followed = {file.inode for file in self._files}
        finished: dict[tuple[int, int], int] = {}
        found: list[tuple[int, str]] = []
        any_match = False
        for path in glob.glob(self.pattern):
            if path.endswith(PACKED):
                continue
            any_match = True
            try:
                status = os.stat(path)
            except FileNotFoundError:
                continue  # renamed between two calls: it is found under its new name at the next look
            inode = (status.st_dev, status.st_ino)
            if self._finished.get(inode) == status.st_size:
                finished[inode] = status.st_size
            elif inode not in followed:
                followed.add(inode)
                found.append((status.st_mtime_ns, path))
        self._finished = finished
        if not any_match:
            self._rotate(self._files)
            raise FileNotFoundError(errno.ENOENT, "no file matches", self.pattern)
        trouble: LogUnreadableError | None = None
        for _, path in sorted(found)[:MAX_AT_ONCE]:
            try:
                file = LogFile(path)
            except LogUnreadableError as error:
                trouble = error
                continue
            if file.resume(self._note_of(file.key)) or file.written_ns >= self._oldest_ns:
                self._files.append(file)
            else:
                self._finish(file)
        # Only the youngest is written to; for the others a rest may still come, and then they are let go.
        self._files.sort(key=lambda file: file.written_ns)
        self._rotate(self._files[:-1])
        for file in self._files[-1:]:
            file.rotated = False
        if trouble is not None:
            raise trouble

    def _let_go(self) -> None:
        youngest_ns = max((file.written_ns for file in self._files), default=0)
        for file in tuple(self._files):
            long_ago = file.written_ns < youngest_ns - LONG_AGO_NS
            if file.rotated and file.quiet_looks >= (2 if long_ago else LINGER_LOOKS) and file.block() is None:
                self._files.remove(file)
                self.unfinished_lines += file.offset < file.size
                self._finish(file)

    def _finish(self, file: LogFile) -> None:
        if self._is_glob:
            self._finished[file.inode] = file.size
        file.close()
