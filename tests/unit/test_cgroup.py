"""The cgroup collector: ticks, extra readings, restarts, absences, clocks."""

from __future__ import annotations

import logging
import shutil
import subprocess
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.clock import ManualClock
from sidecar.collect.absence import Absences, TimeOrder
from sidecar.collect.cgroup import CgroupCollector, CgroupTarget
from sidecar.model.records import Gap
from tests.support.engine import ListSink
from tests.support.waiting import wait_until
from tests.unit.test_cgroup_processes import put, stat_text, v2_tree

SECOND = 10**9
WEB, DB = "ab" * 32, "cd" * 32


class Bench:
    """A collector over a v2 tree of our own; `tick` does what `run` does, in the test's thread."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "cgroup"
        self.proc = folder / "proc"
        self.root.mkdir()
        self.proc.mkdir()
        self.targets = {"web": CgroupTarget(container_id=WEB)}
        self.sink = ListSink()
        self.clock = ManualClock()
        self.start_ns = self.clock.wall_ns()
        self.collector = CgroupCollector(self.root, 10, lambda: dict(self.targets), self.sink, self.clock, proc=self.proc)

    def cgroup(self, container_id: str, cpu_us: int, memory: int = 1000) -> None:
        folder = self.root / f"system.slice/docker-{container_id}.scope"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cpu.stat").write_text(f"usage_usec {cpu_us}\nuser_usec 0\nsystem_usec 0\n")
        (folder / "memory.current").write_text(f"{memory}\n")

    def remove(self, container_id: str) -> None:
        """As the kernel does it: what is open gives nothing any more."""
        folder = self.root / f"system.slice/docker-{container_id}.scope"
        (folder / "cpu.stat").write_text("")
        shutil.rmtree(folder)

    def tick(self, seconds: float = 0.1) -> None:
        self.clock.advance(seconds)
        if self.clock.mono_ns() >= self.collector._look_due_ns:
            self.collector.look()
        self.collector.read_now()

    def pass_time(self, seconds: float) -> None:
        """Let the running collector do what is due in that time, and wait again."""
        waits = self.clock.waits
        self.clock.advance(seconds)
        wait_until(lambda: self.clock.waits > waits, "the tick")

    def cpu(self, name: str = "web") -> list[int]:
        return [sample.cpu_total_ns // 1000 for sample in self.sink.samples(name)]

    def spans(self, subject: str) -> list[tuple[float, float | None]]:
        return [
            ((gap.start_ns - self.start_ns) / SECOND, gap.end_ns and (gap.end_ns - self.start_ns) / SECOND)
            for gap in self.sink.gaps(subject)
        ]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def running(bench: Bench) -> Iterator[threading.Event]:
    stop = threading.Event()
    bench.cgroup(WEB, 1)
    thread = threading.Thread(target=bench.collector.run, args=(stop,))
    thread.start()
    wait_until(lambda: bench.clock.waits == 2, "the first tick")
    yield stop
    stop.set()
    thread.join(60)
    assert not thread.is_alive()


def test_a_sample_of_every_target_at_every_tick_in_one_batch(bench: Bench, running: threading.Event) -> None:
    bench.targets["db"] = CgroupTarget(container_id=DB)
    bench.cgroup(DB, 1)
    for _ in range(12):
        bench.pass_time(0.1)
    assert bench.sink.batches == 13
    times = [sample.time_ns - bench.start_ns for sample in bench.sink.samples("web")]
    assert times == [n * SECOND // 10 for n in range(13)]
    assert len(bench.sink.samples("db")) >= 2, "a target that came is read from the next look on"


def test_ticks_that_come_too_late_are_left_out_and_counted(bench: Bench, running: threading.Event) -> None:
    bench.pass_time(0.55)
    assert len(bench.sink.samples()) == 2, "one tick, not five"
    assert bench.collector.health()["ticks_late"] == 4
    bench.pass_time(0.05)
    assert len(bench.sink.samples()) == 3, "the next tick, in step again"


def test_a_marker_reads_at_its_instant_but_not_twice_within_5_ms(bench: Bench) -> None:
    bench.cgroup(WEB, 1)
    bench.collector.look()
    for step in (0.0, 0.002, 0.002, 0.002, 0.0049, 0.0001):
        bench.clock.advance(step)
        bench.collector.read_now()
    times = [sample.time_ns - bench.start_ns for sample in bench.sink.samples()]
    assert times == [0, 6_000_000, 11_000_000]
    assert bench.collector.health()["marker_reads"] == 6


def test_readings_from_many_threads_stay_in_order(bench: Bench) -> None:
    bench.cgroup(WEB, 1)
    bench.collector.look()
    barrier = threading.Barrier(4)

    def read() -> None:
        barrier.wait(60)
        for _ in range(50):
            bench.clock.advance(0.005)
            bench.collector.read_now()

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    times = [sample.time_ns for sample in bench.sink.samples()]
    assert times == sorted(set(times))
    assert len(times) >= 50


def test_counters_are_exact_through_a_restart(bench: Bench) -> None:
    for cpu in (100, 250, 400):
        bench.cgroup(WEB, cpu)
        bench.tick()
    bench.remove(WEB)
    bench.tick()
    bench.cgroup(WEB, 30)
    bench.tick()
    bench.tick()
    bench.cgroup(WEB, 70)
    bench.tick()
    counters = bench.cpu()
    assert counters[:3] == [100, 250, 400]
    assert counters[-1] == 70
    spent = sum(new - old if new >= old else new for old, new in pairwise(counters))
    assert spent == (400 - 100) + 70, "the sum of the differences is last minus first of each life"
    assert bench.sink.gaps() == [], "a restart within the grace is no absence of this part"


def test_a_cgroup_that_stays_away_is_a_gap_said_once(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.cgroup(WEB, 1)
    bench.tick()
    bench.remove(WEB)
    with caplog.at_level(logging.WARNING):
        for _ in range(50):
            bench.tick()
    assert bench.spans("web") == [(0.1, None)], "from the last sample on"
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "bind the host's /sys/fs/cgroup" in caplog.text
    assert "Docker's frames" in caplog.text
    assert bench.collector.health()["targets_missing"] == 1
    bench.cgroup(WEB, 2)
    for _ in range(100):
        bench.tick()
    ((start, end),) = bench.spans("web")
    assert start == 0.1
    assert end is not None
    assert 5.1 < end < 12, "tried ever more slowly, found all the same"


def test_without_cgroup_files_everything_else_goes_on(bench: Bench) -> None:
    bench.collector = CgroupCollector(bench.root / "absent", 10, lambda: bench.targets, bench.sink, bench.clock)
    for _ in range(20):
        bench.tick()
    assert bench.sink.samples() == []
    ((start, end),) = bench.spans("web")
    assert (start, end) == (0.1, None)
    del bench.targets["web"]
    bench.tick(1)
    bench.tick()
    assert bench.spans("web")[0][1] is not None, "a target that went is not absent any longer"


def test_a_limit_is_read_again_now_and_then(bench: Bench) -> None:
    bench.cgroup(WEB, 1)
    limit = bench.root / f"system.slice/docker-{WEB}.scope/memory.max"
    limit.write_text("max\n")
    bench.tick()
    limit.write_text("5000\n")
    for _ in range(32):
        bench.tick(1)
    limits = [sample.memory_limit_bytes for sample in bench.sink.samples()]
    assert (limits[0], limits[-1]) == (None, 5000)


def test_a_process_that_ends_and_comes_back_with_another_pid(bench: Bench, tmp_path: Path) -> None:
    pid_file = tmp_path / "web.pid"
    bench.targets = {"web": CgroupTarget(pid_file=pid_file)}
    bench.tick()
    pid_file.write_text("10\n")
    put(bench.proc, 10, stat_text(10, 1, ticks=(100, 0, 0, 0), start=1))
    bench.tick(1)
    put(bench.proc, 10, "")
    shutil.rmtree(bench.proc / "10")
    for _ in range(20):
        bench.tick()
    put(bench.proc, 22, stat_text(22, 1, ticks=(5, 0, 0, 0), start=9))
    pid_file.write_text("22\n")
    bench.tick(1)
    samples = bench.sink.samples("web")
    assert [sample.container_id for sample in samples] == ["pid-10-1", "pid-22-9"]
    assert samples[0].cpu_total_ns > samples[1].cpu_total_ns
    assert {sample.source for sample in samples} == {"proc"}
    (gap,) = bench.sink.gaps("web")
    assert gap.reason == "the process is not running"
    assert (gap.start_ns, gap.end_ns) == (samples[0].time_ns, samples[1].time_ns)


def test_two_processes_in_one_cgroup_are_told_apart_by_proc(bench: Bench, tmp_path: Path) -> None:
    v2_tree(bench.root, "session", 10, 11)
    v2_tree(bench.root, "job", 12)
    for pid, path in ((10, "session"), (11, "session"), (12, "job")):
        put(bench.proc, pid, stat_text(pid, 1), cgroup=f"0::/{path}\n")
        (tmp_path / f"{pid}.pid").write_text(f"{pid}\n")
    bench.targets = {f"p{pid}": CgroupTarget(pid_file=tmp_path / f"{pid}.pid") for pid in (10, 11, 12)}
    bench.tick()
    assert {sample.container: sample.source for sample in bench.sink.samples()} == {"p10": "proc", "p11": "proc", "p12": "cgroup"}


def test_a_real_process_without_any_cgroup(tmp_path: Path) -> None:
    sink, clock = ListSink(), ManualClock()
    with subprocess.Popen(["/bin/sh", "-c", "read x"], stdin=subprocess.PIPE) as process:
        (tmp_path / "pid").write_text(f"{process.pid}\n")
        targets = {"shell": CgroupTarget(pid_file=tmp_path / "pid")}
        collector = CgroupCollector(None, 10, lambda: targets, sink, clock)
        collector.look()
        collector.read_now()
        process.kill()
    assert [(sample.source, sample.pids) for sample in sink.samples()] == [("proc", 1)]


def test_a_clock_set_back_keeps_times_rising(bench: Bench) -> None:
    for cpu in range(1, 41):
        bench.cgroup(WEB, cpu)
        if cpu == 20:
            bench.clock.step_wall(-1)
        bench.tick()
    samples = bench.sink.samples()
    assert all(old.time_ns < new.time_ns for old, new in pairwise(samples))
    assert samples[-1].cpu_total_ns == 40_000
    ((start, end),) = bench.spans("web")
    assert (start, end) == pytest.approx((1.0, 2.0))
    assert bench.collector.health()["samples_out_of_order"] == 10


def test_a_full_sink_is_counted(bench: Bench) -> None:
    bench.cgroup(WEB, 1)
    bench.sink.full = True
    bench.tick()
    bench.sink.full = False
    bench.tick()
    assert (bench.collector.health()["samples_dropped"], len(bench.sink.samples())) == (1, 1)


def test_a_gap_never_ends_before_it_began() -> None:
    gaps: list[Gap] = []
    absences = Absences("cgroup", gaps.append)
    absences.begin("web", 50, "away")
    absences.begin("web", 60, "another reason")
    absences.end("web", 40)  # the clock was set back meanwhile
    absences.end("web", 90)
    assert [(gap.start_ns, gap.end_ns, gap.reason) for gap in gaps] == [(50, None, "away"), (50, 50, "away")]


@given(st.lists(st.integers(0, 200 * SECOND), max_size=60))
def test_admitted_times_rise_but_for_far_steps_that_are_told(times: list[int]) -> None:
    gaps: list[Gap] = []
    order = TimeOrder(Absences("cgroup", gaps.append))
    admitted = [time_ns for time_ns in times if order.admit("web", time_ns)]
    falls = [(new, old) for old, new in pairwise(admitted) if new <= old]
    assert all(old - new > 60 * SECOND for new, old in falls)
    assert set(falls) <= {(gap.start_ns, gap.end_ns) for gap in gaps}
    assert len(admitted) + order.refused == len(times)
