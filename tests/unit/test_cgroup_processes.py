"""Plain processes: /proc trees of our own, and real processes of this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sidecar.clock import ManualClock
from sidecar.collect.processes import ProcessReader, children, own_cgroup, parse_pid_file, parse_stat, tree
from tests.support.waiting import wait_until

TICK_NS = 10**9 // os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def stat_text(pid: int, parent: int, *, ticks: tuple[int, int, int, int] = (0, 0, 0, 0), start: int = 5, pages: int = 10) -> str:
    """A line of /proc/PID/stat with user, system, children's user and children's system time."""
    user, system, child_user, child_system = ticks
    return (
        f"{pid} (odd ) name) S {parent} 1 1 0 -1 4194304 100 0 0 0 {user} {system} {child_user} {child_system} "
        f"20 0 1 0 {start} 1000000 {pages} 18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0\n"
    )


def put(proc: Path, pid: int, text: str, *, cgroup: str = "0::/\n", pss_kb: int | None = None) -> None:
    folder = proc / str(pid)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "stat").write_text(text)
    (folder / "cgroup").write_text(cgroup)
    if pss_kb is not None:
        (folder / "smaps_rollup").write_text(f"00400000-7fff rollup\nRss:  99 kB\nPss:  {pss_kb} kB\nPss_Dirty:  1 kB\n")


def reader(proc: Path, pid: int) -> ProcessReader:
    made = ProcessReader(proc, pid)
    made.take(made.look(children(proc)))
    return made


@pytest.mark.parametrize(
    ("text", "pid"),
    [("12\n", 12), (" 12 \n/var/lib/postgresql\n1700000000\n", 12), ("", None), ("-5\n", None), ("x", None), ("0", None)],
)
def test_pid_file(text: str, pid: int | None) -> None:
    assert parse_pid_file(text) == pid


def test_a_command_may_hold_anything() -> None:
    stat = parse_stat(stat_text(7, 3, ticks=(1, 2, 10, 20), start=99, pages=4).encode())
    assert (stat.parent, stat.user_ticks, stat.system_ticks, stat.start, stat.rss_pages) == (3, 11, 22, 99, 4)
    with pytest.raises(ValueError, match="/proc/PID/stat"):
        parse_stat(b"7 (x) S 3\n")


def test_a_tree_has_parents_first_and_survives_nonsense() -> None:
    assert tree(1, {1: [2, 3], 2: [4], 9: [8]}) == [1, 2, 3, 4]
    assert tree(1, {1: [2], 2: [1]}) == [1, 2]


def test_the_sum_over_a_tree(tmp_path: Path) -> None:
    put(tmp_path, 10, stat_text(10, 1, ticks=(100, 50, 7, 3), pages=20), pss_kb=60)
    put(tmp_path, 11, stat_text(11, 10, ticks=(5, 5, 0, 0), pages=10), pss_kb=12)
    put(tmp_path, 12, stat_text(12, 11, ticks=(1, 0, 0, 0), pages=1))  # its memory map may not be read: resident size
    put(tmp_path, 99, stat_text(99, 1, ticks=(900, 900, 0, 0)))
    (tmp_path / "version").write_text("x")
    sample = reader(tmp_path, 10).sample("web", ManualClock())
    assert (sample.cpu_user_ns, sample.cpu_system_ns) == (113 * TICK_NS, 58 * TICK_NS)
    assert sample.cpu_total_ns == 171 * TICK_NS
    assert sample.memory_usage_bytes == 31 * PAGE
    assert sample.memory_bytes == (60 + 12) * 1024 + PAGE
    assert (sample.source, sample.pids, sample.container_id) == ("proc", 3, "pid-10-5")


def test_a_child_that_ends_takes_no_cpu_with_it(tmp_path: Path) -> None:
    put(tmp_path, 10, stat_text(10, 1, ticks=(100, 0, 0, 0)))
    put(tmp_path, 11, stat_text(11, 10, ticks=(40, 0, 0, 0)))
    held = reader(tmp_path, 10)
    before = held.sample("web", ManualClock()).cpu_total_ns
    put(tmp_path, 11, "")  # ended, not yet waited for by its parent
    during = held.sample("web", ManualClock()).cpu_total_ns
    put(tmp_path, 10, stat_text(10, 1, ticks=(101, 0, 40, 0)))
    after = held.sample("web", ManualClock()).cpu_total_ns
    assert (before, during, after) == (140 * TICK_NS, 140 * TICK_NS, 141 * TICK_NS)


def test_memory_follows_the_resident_size_between_looks(tmp_path: Path) -> None:
    put(tmp_path, 10, stat_text(10, 1, pages=100), pss_kb=50 * PAGE // 1024)
    held = reader(tmp_path, 10)
    assert held.sample("web", ManualClock()).memory_bytes == 50 * PAGE
    put(tmp_path, 10, stat_text(10, 1, pages=130), pss_kb=50 * PAGE // 1024)
    assert held.sample("web", ManualClock()).memory_bytes == 80 * PAGE


def v2_tree(root: Path, path: str, *pids: int) -> None:
    folder = root / path
    folder.mkdir(parents=True)
    (folder / "cpu.stat").write_text("usage_usec 1\n")
    (folder / "cgroup.procs").write_text("".join(f"{pid}\n" for pid in pids))


@pytest.mark.parametrize(
    ("mine", "sidecar", "own"),
    [
        ("/system.slice/tomcat.service", "/system.slice/sidecar.service", True),
        ("/system.slice/tomcat.service", "/system.slice/tomcat.service", False),
        ("/session", "/session/sidecar", False),
        ("/session", "/session-2", True),
        ("/", "/elsewhere", False),
        ("/not-mounted-here", "/elsewhere", False),
    ],
    ids=["own", "shared", "holds-the-sidecar", "similar-name", "root", "not-there"],
)
def test_own_cgroup_v2(tmp_path: Path, mine: str, sidecar: str, own: bool) -> None:
    proc, root = tmp_path / "proc", tmp_path / "cgroup"
    put(proc, 10, stat_text(10, 1), cgroup=f"0::{mine}\n")
    put(proc, 20, stat_text(20, 1), cgroup=f"0::{sidecar}\n")
    root.mkdir()
    (root / "cpu.stat").write_text("usage_usec 1\n")
    for path in {mine, sidecar} - {"/", "/not-mounted-here"}:
        if not (root / path[1:]).exists():
            v2_tree(root, path[1:], 10)
    assert (own_cgroup(root, proc, 10, [20]) is not None) is own


def test_own_cgroup_must_know_the_process(tmp_path: Path) -> None:
    proc, root = tmp_path / "proc", tmp_path / "cgroup"
    put(proc, 10, stat_text(10, 1), cgroup="0::/x\n")
    v2_tree(root, "x", 77)
    assert own_cgroup(root, proc, 10, []) is None


@pytest.mark.parametrize(("memory", "own"), [("/job", True), ("/", False), ("/shared", False)])
def test_own_cgroup_v1_needs_cpu_and_memory(tmp_path: Path, memory: str, own: bool) -> None:
    proc, root = tmp_path / "proc", tmp_path / "cgroup"
    put(proc, 10, stat_text(10, 1), cgroup=f"2:cpu,cpuacct:/job\n1:memory:{memory}\n0::/\n")
    put(proc, 20, stat_text(20, 1), cgroup="2:cpu,cpuacct:/\n1:memory:/shared\n0::/\n")
    for name in ("cpu,cpuacct/job", f"memory{memory}"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "cpu,cpuacct/job/cpuacct.usage").write_text("1\n")
    (root / "cpu,cpuacct/job/cgroup.procs").write_text("10\n")
    assert (own_cgroup(root, proc, 10, [20]) is not None) is own


@contextmanager
def burning(children_too: bool) -> Iterator[subprocess.Popen[bytes]]:
    """A real process that uses CPU until it is told to end; with a child that used some and was waited for."""
    child = "import subprocess,sys; subprocess.run([sys.executable, '-c', 'sum(range(4000000))']); " if children_too else ""
    with subprocess.Popen(
        [sys.executable, "-c", child + "print('ready', flush=True); sum(range(4000000)); print('done', flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout
        process.stdout.readline()
        process.stdout.readline()
        yield process
        process.kill()


def test_a_real_process_counts_what_the_kernel_counts() -> None:
    with burning(children_too=True) as process:
        held = reader(Path("/proc"), process.pid)
        sample = held.sample("real", ManualClock())
        assert sample.memory_bytes is not None
        assert sample.memory_usage_bytes is not None
        assert 0 < sample.memory_bytes <= sample.memory_usage_bytes
        process.kill()
        _, _, used = os.wait4(process.pid, 0)  # the child that it waited for is in it
        assert sample.cpu_total_ns / 1e9 == pytest.approx(used.ru_utime + used.ru_stime, abs=5 * TICK_NS / 1e9)
        with pytest.raises(OSError, match="has ended"):
            held.sample("real", ManualClock())
        held.close()
        with pytest.raises(OSError, match="No such"):
            ProcessReader(Path("/proc"), process.pid)


def test_a_child_that_came_later_is_found_by_the_next_look() -> None:
    with subprocess.Popen(["/bin/sh", "-c", "read x; sleep 600 & wait"], stdin=subprocess.PIPE) as process:
        held = reader(Path("/proc"), process.pid)
        assert held.sample("real", ManualClock()).pids == 1
        assert process.stdin
        process.stdin.write(b"go\n")
        process.stdin.flush()

        def members() -> bool:
            held.take(held.look(children(Path("/proc"))))
            return held.sample("real", ManualClock()).pids == 2

        wait_until(members, "the child")
        child = next(pid for pid in held._files if pid != process.pid)
        held.close()
        os.kill(child, 9)
        process.kill()
