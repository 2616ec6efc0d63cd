"""The collectors against a real Docker engine: the same numbers as `docker stats`, and the same life as the containers'."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import docker
import pytest

from sidecar.collect.docker_stats import DockerEngine, Engine, Limits, parse_time
from sidecar.model.records import Gap
from tests.support.docker_bench import ID, found, frame
from tests.support.engine import (
    BURN_AT_FIRST,
    SOCKET,
    FakeEngine,
    ListSink,
    PrivateEngine,
    collecting,
    containers,
    fresh_name,
    real_client,
)
from tests.support.waiting import wait_until

pytestmark = pytest.mark.engine
BURN = "while :; do :; done"
IDLE = "exec sleep 600"
CGROUP = Path("/sys/fs/cgroup")


@pytest.fixture(scope="module")
def client() -> Iterator[docker.DockerClient]:
    client = real_client()
    yield client
    client.close()


@pytest.fixture
def start(client: docker.DockerClient) -> Iterator[Callable[..., Any]]:
    with containers(client) as start:
        yield start


def frames_of(client: docker.DockerClient, name: str, count: int, into: list[dict[str, Any]]) -> threading.Thread:
    """Reads frames of the same sampler beside the collector, by the docker package's own stream."""

    def read() -> None:
        for raw in client.api.stats(name, decode=True, stream=True):
            into.append(raw)
            if len(into) >= count:
                return

    thread = threading.Thread(target=read)
    thread.start()
    return thread


def cli_cpu(raw: dict[str, Any]) -> float:
    """docker stats' CPU % of a frame, written out anew as the yardstick."""
    now, before = raw["cpu_stats"], raw["precpu_stats"]
    used = now["cpu_usage"]["total_usage"] - before["cpu_usage"]["total_usage"]
    machine = now["system_cpu_usage"] - before["system_cpu_usage"]
    return used / machine * now["online_cpus"] * 100 if used > 0 and machine > 0 else 0.0


def cli_memory(raw: dict[str, Any]) -> int:
    memory = raw["memory_stats"]
    stats = memory["stats"]
    inactive = stats.get("total_inactive_file", stats["inactive_file"])
    return int(memory["usage"] - inactive if inactive < memory["usage"] else memory["usage"])


def printed_bytes(count: int) -> str:
    """As `docker stats` prints bytes: four significant digits, binary units."""
    size, units = float(count), iter(("B", "KiB", "MiB", "GiB"))
    unit = next(units)
    while size >= 1024:
        size, unit = size / 1024, next(units)
    return f"{size:.4g}{unit}"


def test_samples_equal_the_frames_and_what_docker_stats_prints(client: docker.DockerClient, start: Callable[..., Any]) -> None:
    burn, cached = fresh_name("burn"), fresh_name("cached")
    start(burn, BURN, nano_cpus=300_000_000, mem_limit="64m")
    start(cached, f"head -c 20000000 /dev/zero > /tmp/x; cat /tmp/x > /dev/null; {IDLE}")
    with collecting([burn, cached]) as (_, sink):
        wait_until(lambda: sink.samples(burn) and sink.samples(cached), "samples")
        raw: dict[str, list[dict[str, Any]]] = {burn: [], cached: []}
        readers = [frames_of(client, name, 7, raw[name]) for name in raw]
        program = shutil.which("docker")
        assert program, "the engine is there and its client is not"
        shown = subprocess.run(
            [program, "stats", "--no-stream", "--format", "{{.Name}} {{.CPUPerc}} {{.MemUsage}}", burn, cached],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout
        for reader in readers:
            reader.join(60)
        last = {name: parse_time(raw[name][-1]["read"]) or 0 for name in raw}
        wait_until(lambda: all(sink.samples(name)[-1].time_ns >= last[name] for name in raw), "the last frames")
    for name in raw:
        samples = {sample.time_ns: sample for sample in sink.samples(name)}
        for seen in raw[name][1:]:
            sample = samples[parse_time(seen["read"]) or 0]
            assert sample.cpu_percent == pytest.approx(cli_cpu(seen), abs=1e-9)
            assert sample.memory_bytes == cli_memory(seen)
            assert sample.cpu_total_ns == seen["cpu_stats"]["cpu_usage"]["total_usage"]
        line = re.search(rf"^{name} ([\d.]+)% (\S+) / (\S+)$", shown, re.MULTILINE)
        assert line, shown
        pairs = {(f"{sample.cpu_percent:.2f}", printed_bytes(sample.memory_bytes or 0)) for sample in samples.values()}
        assert (line[1], line[2]) in pairs, f"docker stats shows {line[0]}, which no sample does"
    assert {sample.memory_limit_bytes for sample in sink.samples(burn)} == {64 * 2**20}
    last_cached = sink.samples(cached)[-1]
    assert last_cached.memory_bytes is not None
    assert last_cached.memory_usage_bytes is not None
    assert last_cached.memory_usage_bytes - last_cached.memory_bytes > 10_000_000, "the file cache is not use"


def test_a_pure_loop_under_a_cap_uses_its_cap(start: Callable[..., Any]) -> None:
    """Absolute accuracy is judged by the counter over the frames' own time; the CLI's formula reads a little high in a VM."""
    name = fresh_name("capped")
    start(name, BURN, nano_cpus=400_000_000)
    with collecting([name]) as (_, sink):

        def held_back() -> bool:
            """Where others want the machine, too, the loop may at first not even get its cap."""
            taken = [sample.throttled_ns or 0 for sample in sink.samples(name)]
            return len(taken) >= 6 and taken[-1] > taken[0]

        wait_until(held_back, "six samples, and the loop to be held back")
    first, last = sink.samples(name)[0], sink.samples(name)[-1]
    share = (last.cpu_total_ns - first.cpu_total_ns) / (last.time_ns - first.time_ns)
    assert share <= 0.4 * 1.05
    assert last.throttled_ns is not None
    assert first.throttled_ns is not None
    assert last.throttled_ns > first.throttled_ns


def test_life_of_a_container(start: Callable[..., Any]) -> None:
    name, renamed = fresh_name("life"), fresh_name("renamed")
    with collecting([name, renamed]) as (collector, sink):

        def state(of: str = name) -> str | None:
            return {info.name: info.state for info in collector.containers()}.get(of)

        wait_until(lambda: collector.health()["connections"], "the engine")
        container = start(name, BURN_AT_FIRST, nano_cpus=200_000_000)
        wait_until(lambda: len(sink.samples(name)) >= 3, "samples of the new container")
        container.restart(timeout=0)
        before = len(sink.samples(name))
        wait_until(lambda: len(sink.samples(name)) >= before + 3, "samples after the restart")
        assert any(new.cpu_total_ns < old.cpu_total_ns for old, new in pairwise(sink.samples(name))), "the counter starts anew"
        container.stop(timeout=0)
        wait_until(lambda: state() == "exited" and [gap.end_ns for gap in gaps_of(sink, name)][-1:] == [None], "the stop")
        container.start()
        wait_until(lambda: gaps_of(sink, name)[-1].end_ns, "the start to end the gap")
        container.pause()
        wait_until(lambda: state() == "paused", "the pause")
        container.unpause()
        container.rename(renamed)
        wait_until(lambda: state(renamed) == "running" and len(sink.samples(renamed)) >= 2, "samples under the new name")
        container.remove(force=True)
        wait_until(lambda: not collector.containers() and not collector.health()["streams"], "the removal")
        assert collector.health()["frames_malformed"] == 0
    gaps = gaps_of(sink, name)
    assert len(gaps) == 2, gaps
    assert all(gap.end_ns is not None for gap in gaps)
    times = [sample.time_ns for sample in sink.samples(name)]
    assert times == sorted(set(times))


def gaps_of(sink: ListSink, name: str) -> list[Gap]:
    """The gaps since the first sample; before it the container may have been seen when it was made and not started yet."""
    first_ns = min((sample.time_ns for sample in sink.samples(name)), default=0)
    return [gap for gap in sink.gaps(name) if gap.start_ns >= first_ns]


def test_an_engine_that_goes_and_comes_back() -> None:
    # Its containerd listens on sockets below this folder, and their paths must not be longer than 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="tm-"))
    private, name = PrivateEngine(folder), fresh_name("private")
    try:
        private.start()
        first = docker.DockerClient(private.endpoint, version="auto")
        with containers(first) as start, collecting([name], private.endpoint, timeout_s=2) as (collector, sink):
            container = start(name, BURN, nano_cpus=100_000_000)
            wait_until(lambda: len(sink.samples(name)) >= 2, "samples")
            private.hang()
            wait_until(lambda: collector.health()["state"] == "away", "the engine to hang")
            private.go_on()
            taken = len(sink.samples(name))
            wait_until(lambda: len(sink.samples(name)) >= taken + 2, "samples after the hang")
            hung = gaps_of(sink, name)  # one; a busy machine's engine may hang a second time by itself
            assert hung
            assert all(gap.end_ns is not None and "engine" in gap.reason for gap in hung)
            private.stop(signal.SIGTERM)
            wait_until(lambda: collector.health()["state"] == "away", "the engine to go")
            wait_until(lambda: [gap.end_ns for gap in gaps_of(sink, name)][-1:] == [None], "the gap")
            private.start()
            wait_until(lambda: collector.health()["state"] == "connected", "the engine to come back")
            taken = len(sink.samples(name))
            container.start()
            wait_until(lambda: len(sink.samples(name)) >= taken + 2, "samples after the return")
            gap = gaps_of(sink, name)[-1]
            assert gap.end_ns is not None
            assert not [sample for sample in sink.samples(name) if gap.start_ns < sample.time_ns < gap.end_ns]
        first.close()
    finally:
        private.remove()


@pytest.mark.parametrize("kind", ["real", "fake"])
def test_engines_keep_the_port(kind: str, client: docker.DockerClient, start: Callable[..., Any]) -> None:
    """What the collector relies on, of the real engine and of the fake one."""
    engine: Engine
    if kind == "real":
        name = fresh_name("port")
        container_id = str(start(name, IDLE, nano_cpus=500_000_000).id)
        engine = DockerEngine(f"unix://{SOCKET}")
    else:
        name, container_id = "xnat-web", ID
        engine = FakeEngine()
        engine.listed = [found()]
        engine.limits_of[ID] = Limits(cpus=0.5)
    listed = {one.id: one for one in engine.containers()}
    assert (listed[container_id].name, listed[container_id].state) == (name, "running")
    assert engine.limits(container_id).cpus == 0.5
    assert engine.limits("00" * 32).cpus is None
    stream = engine.open(f"containers/{container_id}/stats?stream=1")
    if isinstance(engine, FakeEngine):
        engine.send(container_id, frame(1, 1, first=True))
    (line, *_) = wait_until(stream.receive, "a frame") or [b""]
    assert "cpu_stats" in json.loads(line)
    assert stream.status == 200
    stream.close()
    gone = engine.open(f"containers/{'00' * 32}/stats?stream=1")
    wait_until(lambda: gone.receive() is None or gone.status == 404, "the refusal")
    assert gone.status == 404
    gone.close()
