"""The cgroup collector: CPU and memory of every target several times a second, and once more when a marker arrives."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sidecar.clock import Clock
from sidecar.collect.absence import Absences, TimeOrder
from sidecar.collect.cgroup_files import locate, read
from sidecar.collect.cgroup_reader import CgroupReader
from sidecar.collect.outlet import Outlet
from sidecar.collect.processes import ProcessReader, children, own_cgroup, parse_pid_file
from sidecar.model.records import Record
from sidecar.model.sink import Sink

#: an extra reading this soon after the last one would add nothing
_COALESCE_NS = 5 * 10**6
#: how often targets, process trees and limits are looked at again
_LOOK_NS = 10**9
_LIMITS_EVERY = 30
#: a target that cannot be read is tried again after this, then ever more slowly
_FIRST_PAUSE_NS, _LONGEST_PAUSE_NS = 10**8, 10**10
#: a cgroup goes a moment before the news that its container has stopped: only what lasts longer is a gap of its own
_GRACE_NS = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class CgroupTarget:
    """What to read under a name: a container by its full id, or a process by its pid file."""

    container_id: str | None = None
    pid_file: Path | None = None
    cgroup_parent: str | None = None


@dataclass(slots=True)
class _Watched:
    """A target and how it is read at present."""

    target: CgroupTarget
    reader: CgroupReader | ProcessReader | None = None
    pid: int | None = None
    missing_since_ns: int | None = None
    missing_mono_ns: int = 0
    next_try_ns: int = 0
    pause_ns: int = _FIRST_PAUSE_NS


class CgroupCollector:
    """Samples `targets` at `hz`; never fails as a whole: a target that cannot be read is a gap, told once in the log.

    `root` is the cgroup file system, or None to read processes from /proc alone. `targets` is asked once a second.
    """

    def __init__(
        self,
        root: Path | None,
        hz: float,
        targets: Callable[[], Mapping[str, CgroupTarget]],
        sink: Sink,
        clock: Clock,
        *,
        proc: Path = Path("/proc"),
    ) -> None:
        self._root = root
        self._period_ns = round(1e9 / hz)
        self._targets = targets
        self._clock = clock
        self._proc = proc
        self._log = logging.getLogger(__name__)
        self._lock = threading.Lock()  # over readers and all that a reading changes
        self._watched: dict[str, _Watched] = {}
        self._outlet = Outlet(sink)
        self._absences = Absences("cgroup", self._outlet.tell)
        self._order = TimeOrder(self._absences)
        self._last_read_ns = -_COALESCE_NS
        self._look_due_ns = 0
        self._looks = 0
        self._marker_reads = self._late = 0
        self._said_missing: frozenset[str] = frozenset()

    def run(self, stop: threading.Event) -> None:
        """Read at every tick until `stop` is set; a tick that comes too late is left out, not made up for."""
        due_ns = self._clock.mono_ns()
        try:
            while not self._clock.wait(stop, (due_ns - self._clock.mono_ns()) / 1e9):
                now_ns = self._clock.mono_ns()
                if now_ns >= self._look_due_ns:
                    self.look()
                self._read()
                due_ns += self._period_ns
                if due_ns < (now_ns := self._clock.mono_ns()):
                    missed = (now_ns - due_ns) // self._period_ns + 1
                    self._late += missed
                    due_ns += missed * self._period_ns
        finally:
            with self._lock:
                for watched in self._watched.values():
                    self._drop_reader(watched)
                self._watched.clear()
                self._absences.end_all(self._clock.wall_ns())
                self._outlet.put([])

    def read_now(self) -> None:
        """Read every target at this instant, for an action's edge; from any thread; at most once per 5 ms."""
        self._marker_reads += 1
        if self._clock.mono_ns() - self._last_read_ns >= _COALESCE_NS:
            self._read()

    def look(self) -> None:
        """Look for targets that came, went or changed, for the members of process trees, and for changed limits."""
        self._look_due_ns = self._clock.mono_ns() + _LOOK_NS
        self._looks += 1
        wanted = self._targets()
        with self._lock:
            for name in self._watched.keys() - wanted.keys():
                self._drop_reader(self._watched.pop(name))
                self._absences.end(name, self._clock.wall_ns())
                self._order.forget(name)
            for name, target in wanted.items():
                if name not in self._watched or self._watched[name].target != target:
                    if name in self._watched:
                        self._drop_reader(self._watched[name])
                    self._watched[name] = _Watched(target)
        self._look_at_processes()
        for name, watched in self._watched.items():
            if watched.reader is None and self._clock.mono_ns() >= watched.next_try_ns:
                reader = self._reader(watched)
                with self._lock:
                    watched.reader = reader
                    self._note(name, watched)
            elif isinstance(watched.reader, CgroupReader) and self._looks % _LIMITS_EVERY == 0:
                watched.reader.refresh()
        self._tell_missing()

    def health(self) -> Mapping[str, int | float | str]:
        """Counters of this collector since it was made, and from what it reads now."""
        readers = [watched.reader for watched in tuple(self._watched.values())]
        return {
            "targets": len(readers),
            "targets_cgroup": sum(isinstance(reader, CgroupReader) for reader in readers),
            "targets_proc": sum(isinstance(reader, ProcessReader) for reader in readers),
            "targets_missing": sum(reader is None for reader in readers),
            "hz": round(1e9 / self._period_ns, 3),
            **self._outlet.counts(),
            "samples_out_of_order": self._order.refused,
            "marker_reads": self._marker_reads,
            "ticks_late": self._late,
        }

    def _read(self) -> None:
        with self._lock:
            self._last_read_ns = self._clock.mono_ns()
            samples: list[Record] = []
            for name, watched in self._watched.items():
                if watched.reader is None:
                    continue
                try:
                    sample = watched.reader.sample(name, self._clock)
                except OSError:
                    self._drop_reader(watched)
                    self._note(name, watched)
                    self._look_due_ns = 0
                    continue
                if self._order.admit(name, sample.time_ns):
                    self._absences.end(name, sample.time_ns)
                    watched.missing_since_ns = None
                    samples.append(sample)
            self._outlet.put(samples)

    def _reader(self, watched: _Watched) -> CgroupReader | ProcessReader | None:
        target = watched.target
        try:
            if target.container_id is not None:
                paths = locate(self._root, target.container_id, target.cgroup_parent) if self._root else None
                return CgroupReader(paths, target.container_id) if paths else None
            if watched.pid is None:
                return None
            others = [os.getpid(), *(one.pid for one in self._watched.values() if one.pid and one is not watched)]
            process = ProcessReader(self._proc, watched.pid)
            if self._root and (paths := own_cgroup(self._root, self._proc, watched.pid, others)):
                process.close()
                return CgroupReader(paths, f"pid-{watched.pid}-{process.start}")
            process.take(process.look(children(self._proc)))
            return process
        except (OSError, ValueError):
            return None

    def _look_at_processes(self) -> None:
        """Follow pid files to new processes, and trees to new members."""
        for watched in self._watched.values():
            if watched.target.pid_file is not None:
                pid = parse_pid_file(read(watched.target.pid_file) or "")
                if pid != watched.pid:
                    with self._lock:
                        self._drop_reader(watched)
                    watched.pid, watched.next_try_ns = pid, 0
        trees = [watched.reader for watched in self._watched.values() if isinstance(watched.reader, ProcessReader)]
        if trees:
            of = children(self._proc)
            for reader in trees:
                looked = reader.look(of)
                with self._lock:
                    reader.take(looked)

    def _note(self, name: str, watched: _Watched) -> None:
        """Take down that a target can be read, or since when it cannot and when to try again."""
        now_ns = self._clock.mono_ns()
        if watched.reader is not None:
            watched.pause_ns = _FIRST_PAUSE_NS
            return
        if watched.missing_since_ns is None:
            last = self._order.last_ns(name)
            watched.missing_since_ns = self._clock.wall_ns() if last is None else last
            watched.missing_mono_ns = now_ns
        watched.next_try_ns = now_ns + watched.pause_ns
        watched.pause_ns = min(2 * watched.pause_ns, _LONGEST_PAUSE_NS)
        self._look_due_ns = min(self._look_due_ns, watched.next_try_ns)

    def _tell_missing(self) -> None:
        now_ns = self._clock.mono_ns()
        missing = {}
        for name, watched in self._watched.items():
            if watched.reader is None and watched.missing_since_ns is not None and now_ns - watched.missing_mono_ns >= _GRACE_NS:
                missing[name] = watched
                process = watched.target.pid_file is not None
                with self._lock:
                    self._absences.begin(
                        name,
                        watched.missing_since_ns,
                        "the process is not running" if process else "its cgroup cannot be read: Docker's frames stand in",
                    )
        containers = frozenset(name for name, watched in missing.items() if watched.target.container_id is not None)
        if containers - self._said_missing:
            self._log.warning(
                "no cgroup below %s for %s: bind the host's /sys/fs/cgroup to there; until then CPU and memory come from "
                "Docker's frames, once a second",
                self._root,
                ", ".join(sorted(containers)),
            )
        self._said_missing = containers

    def _drop_reader(self, watched: _Watched) -> None:
        if watched.reader:
            watched.reader.close()
            watched.reader = None
