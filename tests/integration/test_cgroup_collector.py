"""The cgroup collector beside a real Docker engine, and over a plain process of this machine."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import docker
import pytest

from sidecar.clock import SystemClock
from sidecar.collect.cgroup import CgroupCollector, CgroupTarget
from sidecar.collect.cgroup_files import locate
from sidecar.model.records import Sample
from tests.support.engine import BURN_AT_FIRST, ListSink, collecting, containers, fresh_name, real_client
from tests.support.waiting import wait_until

BURN = "while :; do :; done"
CGROUP = Path("/sys/fs/cgroup")


@pytest.fixture
def client() -> Iterator[docker.DockerClient]:
    client = real_client()
    yield client
    client.close()


@pytest.mark.engine
def test_cgroup_counters_agree_with_the_frames_and_continue_through_a_restart(client: docker.DockerClient) -> None:
    with containers(client) as start:
        compare_with_frames(start)


def compare_with_frames(start: Callable[..., Any]) -> None:
    name = fresh_name("cgroup")
    container = start(name, BURN_AT_FIRST, nano_cpus=300_000_000, mem_limit="64m")
    if locate(CGROUP, str(container.id)) is None:
        pytest.skip(f"the engine's cgroups are not below {CGROUP}: run the test beside the engine")
    stop = threading.Event()
    with collecting([name]) as (docker_part, sink):

        def targets() -> dict[str, CgroupTarget]:
            return {one.name: CgroupTarget(container_id=one.id) for one in docker_part.containers() if one.state == "running"}

        cgroup_part = CgroupCollector(CGROUP, 20, targets, sink, SystemClock())
        thread = threading.Thread(target=cgroup_part.run, args=(stop,))
        thread.start()
        try:
            wait_until(lambda: len(sink.samples(name, "docker")) >= 4, "frames")
            container.restart(timeout=0)
            frames = len(sink.samples(name, "docker"))
            wait_until(lambda: len(sink.samples(name, "docker")) >= frames + 4, "frames after the restart")
            cgroup_part.read_now()
        finally:
            stop.set()
            thread.join(60)
    fine = sink.samples(name, "cgroup")
    assert {sample.memory_limit_bytes for sample in fine} == {64 * 2**20}
    falls = [(old, new) for old, new in pairwise(fine) if new.cpu_total_ns < old.cpu_total_ns]
    assert len(falls) == 1, "the counter of the restarted container starts anew, once"
    spent = sum(
        new.cpu_total_ns - old.cpu_total_ns if new.cpu_total_ns >= old.cpu_total_ns else new.cpu_total_ns
        for old, new in pairwise(fine)
    )
    assert spent == falls[0][0].cpu_total_ns - fine[0].cpu_total_ns + fine[-1].cpu_total_ns
    together = sink.samples(name)
    compared = 0
    for at, one in enumerate(together):
        if one.source == "docker":
            # The engine stamps a frame before it reads, how long before is the machine's affair: what we read before the stamp is
            # less. What we took after the frame is more, but for the first, which may have been read while the frame came.
            before = [two for two in fine if two.time_ns <= one.time_ns]
            after = [two for two in together[at:] if two.source == "cgroup"][1:]
            if before and after and before[-1].cpu_total_ns <= after[0].cpu_total_ns:  # not across the restart
                assert before[-1].cpu_total_ns <= one.cpu_total_ns <= after[0].cpu_total_ns
                compared += 1
    assert compared >= 4


def test_a_process_beside_the_containers(tmp_path: Path) -> None:
    """A process of this machine, without a cgroup of its own, is summed from /proc."""
    with subprocess.Popen(["/bin/sh", "-c", BURN]) as process:
        (tmp_path / "pid").write_text(f"{process.pid}\n")
        sink, stop = ListSink(), threading.Event()
        targets = {"loop": CgroupTarget(pid_file=tmp_path / "pid")}
        collector = CgroupCollector(CGROUP, 10, lambda: targets, sink, SystemClock())
        thread = threading.Thread(target=collector.run, args=(stop,))
        thread.start()
        wait_until(lambda: len(sink.samples("loop")) >= 10 and _grew(sink.samples("loop")), "samples that grow")
        stop.set()
        thread.join(60)
        process.kill()
        _, _, used = os.wait4(process.pid, 0)
    last = sink.samples("loop")[-1]
    assert last.source == "proc"
    assert last.cpu_total_ns / 1e9 <= used.ru_utime + used.ru_stime + 0.05
    assert last.memory_bytes is not None
    assert last.memory_usage_bytes is not None
    assert 0 < last.memory_bytes <= last.memory_usage_bytes, "shared pages count once"


def _grew(samples: list[Sample]) -> bool:
    return samples[-1].cpu_total_ns > samples[0].cpu_total_ns
