"""CPU and memory of the collectors beside `docker stats`, which streams the same containers at the same time.

    python -m tests.bench.sampling [--seconds N]

Percent are of one core, over the same window for all. The Docker engine works for both; its own use is printed too.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker
from docker.errors import DockerException

from sidecar.clock import SystemClock
from sidecar.collect.cgroup import CgroupCollector, CgroupTarget
from sidecar.collect.docker_stats import DockerCollector, DockerEngine, parse_selectors
from sidecar.collect.own_health import own_health
from sidecar.model.records import Record
from tests.support.engine import SOCKET, containers, fresh_name

CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What a process used in the window."""

    cpu_percent: float
    memory_mb: float

    def __str__(self) -> str:
        return f"{self.cpu_percent:5.2f} % CPU {self.memory_mb:6.1f} MB"


class CountingSink:
    def __init__(self) -> None:
        self.records = 0

    def put(self, records: Sequence[Record], notes: Mapping[str, str] | None = None) -> bool:
        self.records += len(records)
        return True


def main(argv: Sequence[str]) -> None:
    """Print the table; says so when there is no engine to sample."""
    parser = argparse.ArgumentParser(description="CPU and memory of the collectors beside docker stats")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each window (default 20)")
    parser.add_argument("--collect", choices=("docker", "cgroup"), help=argparse.SUPPRESS)
    parser.add_argument("--name", help=argparse.SUPPRESS)
    chosen = parser.parse_args(argv)
    if chosen.collect:
        collect(chosen.collect, chosen.name)
        return
    try:
        client = docker.DockerClient(f"unix://{SOCKET}", version="auto")
    except DockerException:
        print("not measured: no Docker engine answers")
        return
    print(f"windows of {chosen.seconds:g} s; percent of one core")
    for count, what, rate in (
        (3, "docker", "frames at 1 Hz"),
        (40, "docker", "frames at 1 Hz"),
        (5, "cgroup", "cgroup files at 10 Hz"),
    ):
        stem = fresh_name("bench")
        with containers(client) as start:
            for number in range(count):
                start(f"{stem}-{number}", "while :; do sleep 0.2; done" if number % 2 else "exec sleep 6000")
            names = [f"{stem}-{number}" for number in range(count)]
            measure(f"{count} containers, {rate}", what, stem, names, chosen.seconds)


def measure(title: str, what: str, stem: str, names: Sequence[str], seconds: float) -> None:
    """One window: our collector in a process of its own, `docker stats` in another, the engine meanwhile."""
    with running([sys.executable, "-m", "tests.bench.sampling", "--collect", what, "--name", stem]) as ours:
        assert ours.stdout
        ours.stdout.readline()  # it has connected
        with running([shutil.which("docker") or "docker", "stats", *names]) as cli:
            settle = threading.Event()
            settle.wait(3)
            watched = {"ours": ours.pid, "docker stats": cli.pid, **engine_pid()}
            before = {who: cpu_ns(pid) for who, pid in watched.items()}
            settle.wait(seconds)
            after = {who: cpu_ns(pid) for who, pid in watched.items()}
            memory = {who: own_health(Path(f"/proc/{pid}"))["memory_bytes"] for who, pid in watched.items()}
    use = {who: Use(cpu_percent=(after[who] - before[who]) / 1e9 / seconds * 100, memory_mb=memory[who] / 1e6) for who in watched}
    print(f"{title}")
    for who, used in use.items():
        print(f"  {who:13} {used}")
    mine, theirs = use["ours"], use["docker stats"]
    cpu = f"{mine.cpu_percent / theirs.cpu_percent:.2f}" if theirs.cpu_percent else "-"
    print(f"  {'ratio':13} {cpu} of its CPU, {mine.memory_mb / theirs.memory_mb:.2f} of its memory", flush=True)


def collect(what: str, stem: str) -> None:
    """The measured process: samples until its standard input ends."""
    sink, stop, clock = CountingSink(), threading.Event(), SystemClock()
    engine = DockerEngine(f"unix://{SOCKET}")
    part: DockerCollector | CgroupCollector
    if what == "docker":
        part = DockerCollector(engine, parse_selectors([f"name:{stem}-*"]), sink, clock)
    else:
        targets = {one.name: CgroupTarget(container_id=one.id) for one in engine.containers() if one.name.startswith(stem)}
        part = CgroupCollector(CGROUP, 10, lambda: targets, sink, clock)
    thread = threading.Thread(target=part.run, args=(stop,))
    thread.start()
    print("ready", flush=True)
    sys.stdin.read()
    stop.set()
    thread.join()
    print(f"{sink.records} records; {dict(part.health())}", file=sys.stderr)


@contextmanager
def running(command: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process for as long as needed; its output is not."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        drain = None
        if "stats" in command and process.stdout:
            drain = threading.Thread(target=process.stdout.read)
            drain.start()
        try:
            yield process
        finally:
            process.kill()
            process.wait()
            if drain:
                drain.join()


def cpu_ns(pid: int) -> int:
    """CPU time of all threads of a process, to the nanosecond; /proc/PID/stat has steps of 10 ms."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads)


def engine_pid() -> dict[str, int]:
    """The engine's own process, where it can be seen."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "comm").read_text().strip() == "dockerd":
                return {"dockerd": int(folder.name)}
        except OSError:
            continue
    return {}


if __name__ == "__main__":
    main(sys.argv[1:])
