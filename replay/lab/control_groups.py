"""Control groups for the lab's plain processes, so that the kernel counts each of them exactly."""

from __future__ import annotations

import select
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from replay.lab.pids import ends_within, identify

PARENT = "tracemark-lab"
_V1 = ("cpuacct", "memory")
_EMPTYING_S = 3.0
#: how often a lab may go between making the parent and the group in it
_TRIES = 10


@dataclass(frozen=True, slots=True)
class ControlGroups:
    """Makes and removes groups below `root` (the mounted hierarchy); makes none where that is not allowed."""

    root: Path

    def make(self, name: str) -> tuple[Path, ...]:
        """The `cgroup.procs` files that a process of that name has to enter; empty where groups cannot be made."""
        folders = self._folders(name)
        try:
            for folder in folders:
                make_group(folder)
                self._delegate(folder)
        except OSError:
            self.remove(name)
            return ()
        return tuple(folder / "cgroup.procs" for folder in folders)

    def members(self, name: str) -> set[int]:
        """The processes that are in the group now."""
        return {pid for folder in self._folders(name) for pid in _members(folder)}

    def remove(self, name: str) -> None:
        """Removes the group, and the common parent once it is empty; a group that keeps its processes stays."""
        deadline = time.monotonic() + _EMPTYING_S
        for folder in self._folders(name):
            _await_empty(folder, deadline)
            _remove(folder)
            _remove(folder.parent)

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


def make_group(folder: Path) -> None:
    """Make a group below the common parent, also while another lab that goes takes the empty parent away."""
    for tries_left in reversed(range(_TRIES)):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except FileNotFoundError:
            if not tries_left:
                raise
        else:
            return


def _members(folder: Path) -> set[int]:
    try:
        return {int(pid) for pid in (folder / "cgroup.procs").read_text(encoding="ascii").split()}
    except FileNotFoundError:
        return set()


def _await_empty(folder: Path, deadline: float) -> None:
    """Until the last process has left, on the monotonic clock. Version 2 tells of it; in version 1 each process does."""
    try:
        events = (folder / "cgroup.events").open(encoding="ascii")
    except FileNotFoundError:
        for pid in _members(folder):
            if (identity := identify(pid)) is not None:
                ends_within(identity, deadline - time.monotonic())
        return
    with events:
        poll = select.poll()
        poll.register(events, select.POLLPRI)
        while "populated 1" in events.read() and (left := deadline - time.monotonic()) > 0:
            poll.poll(left * 1000)
            events.seek(0)


def _remove(folder: Path) -> None:
    with suppress(OSError):  # not there, or not empty
        folder.rmdir()
