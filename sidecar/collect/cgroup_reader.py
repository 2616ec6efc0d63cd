"""Reads one cgroup's CPU and memory many times a second: its files stay open and are read from their beginning each time."""

from __future__ import annotations

import os
from pathlib import Path

from sidecar.clock import Clock
from sidecar.collect.cgroup_files import CgroupPaths, limits
from sidecar.collect.frames import without_cache
from sidecar.model.records import Sample

#: memory.stat of v2 has about 1.5 kB, of v1 about 1 kB
_MOST_BYTES = 16384


class CgroupReader:
    """The counters of one cgroup; raises OSError when made or read after the cgroup has gone."""

    def __init__(self, paths: CgroupPaths, container_id: str) -> None:
        self._container_id = container_id
        self._version = paths.version
        self._paths = paths
        self._files: list[int] = []
        self._tick_ns = 10**9 // os.sysconf("SC_CLK_TCK")
        v1 = paths.version == 1
        try:
            self._usage = self._open(paths.cpu_usage / ("cpuacct.usage" if v1 else "cpu.stat"))
            self._split = self._may_open(paths.cpu_usage, "cpuacct.stat") if v1 else None
            self._throttling = self._may_open(paths.cpu, "cpu.stat") if v1 else None
            self._memory = self._may_open(paths.memory, "memory.usage_in_bytes" if v1 else "memory.current")
            self._memory_stat = self._may_open(paths.memory, "memory.stat")
        except OSError:
            self.close()
            raise
        self._inactive = b"\ntotal_inactive_file " if v1 else b"\ninactive_file "
        self.memory_limit_bytes: int | None = None
        self.refresh()

    def refresh(self) -> None:
        """Look again at what seldom changes: the memory limit."""
        self.memory_limit_bytes = limits(self._paths).memory_bytes

    def sample(self, name: str, clock: Clock) -> Sample:
        """The counters now; raises OSError when the cgroup has gone."""
        time_ns = clock.wall_ns()
        usage = _contents(self._usage)
        if self._version == 1:
            total = _leading(usage)
            split = _contents(self._split)
            user, system = (_after(split, key, self._tick_ns) for key in (b"\nuser ", b"\nsystem "))
            throttling = _contents(self._throttling)
            throttled_ns = _after(throttling, b"\nthrottled_time ")
        else:
            total, user, system = (_after(usage, key, 1000) for key in (b"\nusage_usec ", b"\nuser_usec ", b"\nsystem_usec "))
            throttling = usage
            throttled_ns = _after(throttling, b"\nthrottled_usec ", 1000)
        if total is None:
            raise OSError("the cgroup's CPU counter is empty")
        memory = _leading(_contents(self._memory))
        inactive = _after(_contents(self._memory_stat), self._inactive)
        return Sample(
            container=name,
            container_id=self._container_id,
            source="cgroup",
            time_ns=time_ns,
            cpu_total_ns=total,
            cpu_user_ns=user,
            cpu_system_ns=system,
            throttled_periods=_after(throttling, b"\nnr_throttled "),
            throttled_ns=throttled_ns,
            memory_bytes=None
            if memory is None
            else without_cache(memory, {} if inactive is None else {"inactive_file": inactive}),
            memory_usage_bytes=memory,
            memory_limit_bytes=self.memory_limit_bytes,
        )

    def close(self) -> None:
        """Give the files back."""
        while self._files:
            os.close(self._files.pop())

    def _open(self, path: Path) -> int:
        self._files.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        return self._files[-1]

    def _may_open(self, folder: Path | None, name: str) -> int | None:
        try:
            return None if folder is None else self._open(folder / name)
        except OSError:
            return None  # a controller that is not enabled: its values are unknown


def _contents(file: int | None) -> bytes:
    """The file's lines, each with a newline before it."""
    return b"" if file is None else b"\n" + os.pread(file, _MOST_BYTES, 0)


def _leading(lines: bytes) -> int | None:
    text = lines.strip()
    return int(text) if text.isdigit() else None


def _after(lines: bytes, key: bytes, factor: int = 1) -> int | None:
    at = lines.find(key)
    if at < 0:
        return None
    end = lines.find(b"\n", at + len(key))
    text = lines[at + len(key) : end if end > 0 else None].strip()
    return int(text) * factor if text.isdigit() else None
