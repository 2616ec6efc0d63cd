"""Files and folders that are there whole or not at all, also after a loss of power."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from replay.failures import disk_fault

#: the end of a name that is not a result yet
PART = ".part"


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under a `.part` name, force it to the disk and give it its name; raises DiskError."""
    part = path.with_name(path.name + PART)
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise disk_fault(error, path) from error


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """A JSON object as a file, readable for people."""
    write_whole(path, (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode())


def move_whole(source: Path, target: Path) -> None:
    """Give a finished folder its name, with everything in it forced to the disk before; raises DiskError."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for path in (*source.iterdir(), source):
            sync_folder(path) if path.is_dir() else _sync_file(path)
        source.replace(target)
        sync_folder(source.parent)
        sync_folder(target.parent)
    except OSError as error:
        raise disk_fault(error, target) from error


def sync_folder(folder: Path) -> None:
    """Force the names in a folder to the disk, where the operating system knows how."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_file(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
