"""Plain processes as if they were containers: a main process, named by its pid file, with all its descendants.

Where the main process has a cgroup of its own that is read; otherwise the processes' own counters are added up.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sidecar.clock import Clock
from sidecar.collect.cgroup_files import CgroupPaths, at, parse_proc_cgroup, read
from sidecar.model.records import Sample

Children = Mapping[int, list[int]]
_PSS = re.compile(rb"^Pss:\s+(\d+) kB", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessStat:
    """What is used of /proc/PID/stat; times in clock ticks, `ticks` including all children that have been waited for."""

    parent: int
    user_ticks: int
    system_ticks: int
    start: int
    rss_pages: int


def parse_stat(text: bytes) -> ProcessStat:
    """Read /proc/PID/stat (proc(5)); the command in it may hold blanks and brackets. Raises ValueError for anything else."""
    fields = text.rpartition(b")")[2].split()
    if len(fields) < 22:
        raise ValueError("not the text of /proc/PID/stat")
    # The children that were waited for are part of it: so a child's time stays in the sum when the child has ended.
    return ProcessStat(
        parent=int(fields[1]),
        user_ticks=int(fields[11]) + int(fields[13]),
        system_ticks=int(fields[12]) + int(fields[14]),
        start=int(fields[19]),
        rss_pages=int(fields[21]),
    )


def parse_pid_file(text: str) -> int | None:
    """The process number in a pid file's first line, None when there is none."""
    first = text.split("\n", 1)[0].strip()
    return int(first) if first.isdecimal() and int(first) > 0 else None


def children(proc: Path) -> dict[int, list[int]]:
    """All processes by their parent, in one walk over /proc."""
    found: dict[int, list[int]] = {}
    for name in os.listdir(proc):
        if name.isdecimal():
            try:
                stat = parse_stat((proc / name / "stat").read_bytes())
            except (OSError, ValueError):
                continue  # it ended meanwhile
            found.setdefault(stat.parent, []).append(int(name))
    return found


def tree(root: int, of: Children) -> list[int]:
    """A process and its descendants, every parent before its children."""
    members = [root]
    for member in members:
        members += (child for child in of.get(member, ()) if child not in members)
    return members


def own_cgroup(root: Path, proc: Path, pid: int, others: Iterable[int]) -> CgroupPaths | None:
    """The cgroup that counts this process and its descendants and none of the `others`; None when there is no such cgroup."""
    mine = parse_proc_cgroup(read(proc / str(pid) / "cgroup") or "")
    theirs = [parse_proc_cgroup(read(proc / str(other) / "cgroup") or "") for other in others if other != pid]
    found = at(root, mine)
    if found is None:
        return None
    for controller in ("cpuacct", "memory") if found.version == 1 else ("",):
        path = mine.get(controller, "/")
        if path == "/" or any(f"{other.get(controller, '/')}/".startswith(f"{path}/") for other in theirs):
            return None
    # A path is only as good as the view that it was written for: the cgroup must know the process.
    return found if str(pid) in (read(found.cpu_usage / "cgroup.procs") or "").split() else None


class ProcessReader:
    """The summed counters of a process tree; raises OSError when made or read after the main process has ended.

    CPU in steps of a clock tick (10 ms). Memory is the proportional set size, which counts shared pages once, looked up by
    `refresh`; in between it moves with the resident size. Where the kernel does not show it, the resident size alone.
    """

    def __init__(self, proc: Path, pid: int) -> None:
        self._proc = proc
        self._pid = pid
        self._page = os.sysconf("SC_PAGE_SIZE")
        self._tick_ns = 10**9 // os.sysconf("SC_CLK_TCK")
        self._files: dict[int, int] = {}
        self._pss_minus_rss = 0
        self._user_ns = 0
        self._system_ns = 0
        self._files[pid] = self._open(pid)
        try:
            self.start = parse_stat(os.pread(self._files[pid], 4096, 0)).start
        except (OSError, ValueError):
            self.close()
            raise

    def look(self, of: Children) -> tuple[dict[int, int], int]:
        """Who is in the tree now, with open files for the new ones, and PSS minus RSS in bytes. Slow; changes nothing."""
        members: dict[int, int] = {}
        difference = 0
        for pid in tree(self._pid, of):
            try:
                members[pid] = self._files[pid] if pid in self._files else self._open(pid)
                pss = _PSS.search((self._proc / str(pid) / "smaps_rollup").read_bytes())
                if pss:
                    difference += int(pss[1]) * 1024 - parse_stat(os.pread(members[pid], 4096, 0)).rss_pages * self._page
            except (OSError, ValueError):
                continue
        return members, difference

    def take(self, looked: tuple[dict[int, int], int]) -> None:
        """Go on with what `look` found; gives its files back when the reader was closed meanwhile."""
        members, self._pss_minus_rss = looked
        if self._pid not in self._files:
            self._files = members
            self.close()
            return
        for pid in self._files.keys() - members.keys() - {self._pid}:
            os.close(self._files.pop(pid))
        self._files.update(members)

    def sample(self, name: str, clock: Clock) -> Sample:
        """The tree's counters now; raises OSError when the main process has ended."""
        time_ns = clock.wall_ns()
        user = system = pages = members = 0
        for pid, file in self._files.items():  # parents first: nothing is counted twice when a child ends in between
            try:
                stat = parse_stat(os.pread(file, 4096, 0))
            except (OSError, ValueError) as error:
                if pid == self._pid:
                    raise OSError(f"process {pid} has ended") from error
                continue
            user, system, pages, members = user + stat.user_ticks, system + stat.system_ticks, pages + stat.rss_pages, members + 1
        # A child that ended and was not yet waited for is missing for a moment: hold the counter, as a fall means a restart.
        self._user_ns = max(self._user_ns, user * self._tick_ns)
        self._system_ns = max(self._system_ns, system * self._tick_ns)
        rss = pages * self._page
        return Sample(
            container=name,
            container_id=f"pid-{self._pid}-{self.start}",
            source="proc",
            time_ns=time_ns,
            cpu_total_ns=self._user_ns + self._system_ns,
            cpu_user_ns=self._user_ns,
            cpu_system_ns=self._system_ns,
            memory_bytes=max(0, rss + self._pss_minus_rss),
            memory_usage_bytes=rss,
            pids=members,
        )

    def close(self) -> None:
        """Give the files back."""
        while self._files:
            os.close(self._files.popitem()[1])

    def _open(self, pid: int) -> int:
        return os.open(self._proc / str(pid) / "stat", os.O_RDONLY | os.O_CLOEXEC)
