"""A folder for the files of one browser, removed when it is left; and what a killed process left of such folders goes, too.

Who has a folder holds a lock on a file in it, which the operating system takes back when the process is gone, however it ended.
So a folder whose lock can be had belongs to nobody: no process id is asked, which another process may have by then.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

PREFIX = "tracemark-browser-"
_LOCK = "owner"


@contextmanager
def private_folder(parent: Path | None = None) -> Iterator[Path]:
    """A fresh folder below `parent` (the system's folder for temporary files) for this user alone; raises OSError."""
    parent = parent if parent is not None else Path(tempfile.gettempdir())
    remove_strays(parent)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    try:
        # Under another name until it is locked: a lock that nobody holds yet looks like one that nobody holds any more.
        with (folder / f"{_LOCK}.new").open("wb") as lock:
            _hold(lock)
            Path(lock.name).rename(folder / _LOCK)
            try:
                yield folder
            finally:
                _empty(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_strays(parent: Path) -> int:
    """Remove the folders there whose owner is gone; returns how many. Those of other users and other systems are let be."""
    return sum(1 for folder in parent.glob(f"{PREFIX}*") if _is_ours(folder) and _removed(folder))


def _removed(folder: Path) -> bool:
    try:
        with (folder / _LOCK).open("r+b") as lock:
            _hold(lock)
            _empty(folder)
            # A browser that is just ending may have written meanwhile: then its lock stays, for the next time.
            if any(path.name != _LOCK for path in folder.iterdir()):
                return False
    except OSError:  # it is held, or there is none (yet)
        return False
    shutil.rmtree(folder, ignore_errors=True)
    return True


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.name == _LOCK:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink()


def _is_ours(folder: Path) -> bool:
    try:
        found = folder.lstat()
    except OSError:
        return False
    return folder.is_dir() and not folder.is_symlink() and (os.name != "posix" or found.st_uid == os.geteuid())


def _hold(lock: IO[bytes]) -> None:
    """Lock the file for this process; raises OSError when another one holds it."""
    if os.name == "posix":
        import fcntl

        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    else:
        import msvcrt

        msvcrt.locking(lock.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
