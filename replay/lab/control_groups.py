"""Control groups for the lab's plain processes, so that the kernel counts each of them exactly."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

PARENT = "tracemark-lab"
_V1 = ("cpuacct", "memory")
_EMPTYING_S = 3.0


@dataclass(frozen=True, slots=True)
class ControlGroups:
    """Makes and removes groups below `root` (the mounted hierarchy); makes none where that is not allowed."""

    root: Path

    def make(self, name: str) -> tuple[Path, ...]:
        """The `cgroup.procs` files that a process of that name has to enter; empty where groups cannot be made."""
        folders = self._folders(name)
        try:
            for folder in folders:
                folder.mkdir(parents=True, exist_ok=True)
                self._delegate(folder)
        except OSError:
            self.remove(name)
            return ()
        return tuple(folder / "cgroup.procs" for folder in folders)

    def members(self, name: str) -> set[int]:
        """The processes that are in the group now."""
        found: set[int] = set()
        for folder in self._folders(name):
            procs = folder / "cgroup.procs"
            if procs.exists():
                found.update(int(pid) for pid in procs.read_text(encoding="ascii").split())
        return found

    def remove(self, name: str) -> None:
        """Removes the group, and the common parent once it is empty; a group that keeps its processes stays."""
        deadline = time.monotonic() + _EMPTYING_S
        for folder in self._folders(name):
            while not _removed(folder) and time.monotonic() < deadline:
                time.sleep(0.02)  # the last threads of a process that ended leave a moment after it
            _removed(folder.parent)

    def _folders(self, name: str) -> list[Path]:
        if (self.root / "cgroup.controllers").exists():
            return [self.root / PARENT / name]
        return [self.root / kind / PARENT / name for kind in _V1 if (self.root / kind).is_dir()]

    def _delegate(self, folder: Path) -> None:
        """Version 2 only: a group has CPU and memory files once every group above hands the controllers down."""
        if not (self.root / "cgroup.controllers").exists():
            return
        for above in (self.root, folder.parent):
            (above / "cgroup.subtree_control").write_text("+cpu +memory", encoding="ascii")


def _removed(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
