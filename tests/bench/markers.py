"""The marker channel under load: markers acknowledged per second, time to the acknowledgement, CPU of the server.

The server is a process of its own with the real journal on a real disk; the clients are 200 connections in this process. Beside
it, in the same run and under the same load: a server of the same library that only sends every message back.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from tests.support import marker_process

CONNECTIONS = 200


@dataclass(frozen=True, slots=True)
class Result:
    """What one load did: markers answered, the seconds it took, CPU seconds of the server, latencies in milliseconds."""

    markers: int
    seconds: float
    cpu_seconds: float
    latencies_ms: list[float]

    @property
    def per_second(self) -> float:
        return self.markers / self.seconds

    @property
    def cpu_us_per_marker(self) -> float:
        return self.cpu_seconds / max(1, self.markers) * 1e6

    def percentile(self, percent: int) -> float:
        ordered = sorted(self.latencies_ms)
        return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] if ordered else float("nan")


class Client:
    """One connection: sends batches and notes when each was answered."""

    def __init__(self, connection: ClientConnection, batch: int, acknowledged: bool) -> None:
        self._connection = connection
        self._batch = batch
        self._acknowledged = acknowledged
        self._seq = 0
        self._unanswered: deque[tuple[int, float]] = deque()
        self._answered = asyncio.Event()
        self.latencies_ms: list[float] = []
        self.markers = 0

    async def greet(self) -> None:
        if self._acknowledged:
            session = secrets.token_hex(16)
            hello = {"type": "hello", "version": 1, "source": "replay", "client": "bench", "session": session}
            await self._connection.send(json.dumps(hello))
            await self._connection.recv()

    async def send(self, since: float) -> None:
        """Send a batch; `since` is when it should have been sent, and its latency counts from then."""
        now_ns = time.time_ns()
        items = [
            {
                "seq": self._seq + number,
                "action_id": f"{self._seq + number:016x}",
                "action": "scroll",
                "phase": "begin",
                "wall_ns": now_ns,
                "mono_ns": now_ns,
                "offset_ns": 1200,
                "offset_error_ns": 90_000,
                "attrs": {"ticks": 3},
            }
            for number in range(1, self._batch + 1)
        ]
        self._seq += self._batch
        self._unanswered.append((self._seq, since))
        await self._connection.send(json.dumps({"type": "markers", "items": items}))

    async def send_steadily(self, until: float, window: int) -> None:
        """Keep `window` batches unanswered."""
        while time.monotonic() < until:
            while len(self._unanswered) < window:
                await self.send(time.monotonic())
            self._answered.clear()
            await self._answered.wait()

    async def listen(self) -> None:
        async for text in self._connection:
            now = time.monotonic()
            answered = json.loads(text)["seq"] if self._acknowledged else self._unanswered[0][0]
            while self._unanswered and self._unanswered[0][0] <= answered:
                _, since = self._unanswered.popleft()
                self.latencies_ms.append((now - since) * 1000)
                self.markers += self._batch
            self._answered.set()

    async def settled(self) -> None:
        while self._unanswered:
            self._answered.clear()
            await self._answered.wait()


async def load(
    url: str, pid: int, *, batch: int, acknowledged: bool, seconds: float, batches_per_s: float | None, connections: int
) -> Result:
    """Load a server: at a fixed rate, or, with `batches_per_s` None, with two batches under way on every connection."""
    open_connections = [
        await connect(url, compression=None, proxy=None, ping_interval=None, max_queue=64) for _ in range(connections)
    ]
    clients = [Client(connection, batch, acknowledged) for connection in open_connections]
    for client in clients:
        await client.greet()
    listeners = [asyncio.create_task(client.listen()) for client in clients]
    cpu_before, started = cpu_seconds(pid), time.monotonic()
    if batches_per_s is None:
        await asyncio.gather(*(client.send_steadily(started + seconds, 2) for client in clients))
    else:
        for number in range(round(seconds * batches_per_s)):
            due = started + number / batches_per_s
            if (pause := due - time.monotonic()) > 0:
                await asyncio.sleep(pause)
            await clients[number % connections].send(due)
    await asyncio.wait_for(asyncio.gather(*(client.settled() for client in clients)), 60)
    took, cpu = time.monotonic() - started, cpu_seconds(pid) - cpu_before
    for connection in open_connections:
        connection.transport.abort()
    await asyncio.gather(*listeners, return_exceptions=True)
    return Result(
        markers=sum(client.markers for client in clients),
        seconds=took,
        cpu_seconds=cpu,
        latencies_ms=[latency for client in clients for latency in client.latencies_ms],
    )


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far (proc(5): utime and stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


async def echo() -> None:
    """The peer: sends every message back."""

    async def answer(connection: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            async for message in connection:
                await connection.send(message)

    async with serve(answer, "127.0.0.1", 0, compression=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.wait_closed()


@contextmanager
def echoing() -> Iterator[tuple[int, int]]:
    process = subprocess.Popen([sys.executable, "-m", "tests.bench.markers", "--echo"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.pid, int(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


@contextmanager
def sidecar() -> Iterator[tuple[int, int]]:
    with tempfile.TemporaryDirectory() as folder, marker_process.running(Path(folder) / "journal.sqlite") as (process, port):
        yield process.pid, port


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description="load the marker channel")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each load lasts")
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    parser.add_argument("--echo", action="store_true", help="be the peer")
    options = parser.parse_args(argv)
    if options.echo:
        asyncio.run(echo())
        return
    print(f"{options.connections} connections; load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(f"{'':34}{'markers/s':>11}{'p50 ms':>9}{'p99 ms':>9}{'cores':>8}{'us/marker':>11}{'MB':>6}")
    loads: tuple[tuple[str, int, float | None], ...] = (
        ("40 batches/s of 1", 1, 40.0),
        ("400 batches/s of 50", 50, 400.0),
        ("as fast as answered, of 50", 50, None),
    )
    servers: tuple[tuple[str, Callable[..., object], bool], ...] = (("sidecar", sidecar, True), ("echo", echoing, False))
    for title, batch, rate in loads:
        results: dict[str, Result] = {}
        for name, start, acknowledged in servers:
            with start() as (pid, port):  # type: ignore[attr-defined]
                results[name] = result = asyncio.run(
                    load(
                        f"ws://127.0.0.1:{port}/markers",
                        pid,
                        batch=batch,
                        acknowledged=acknowledged,
                        seconds=options.seconds,
                        batches_per_s=rate,
                        connections=options.connections,
                    )
                )
                print(
                    f"{name + ': ' + title:34}{result.per_second:11,.0f}{result.percentile(50):9.1f}{result.percentile(99):9.1f}"
                    f"{result.cpu_seconds / result.seconds:8.2f}{result.cpu_us_per_marker:11.1f}{resident_mb(pid):6.0f}",
                    flush=True,
                )
        ours, peer = results["sidecar"], results["echo"]
        print(
            f"{'sidecar / echo':34}{ours.per_second / peer.per_second:10.2f}x{ours.percentile(50) / peer.percentile(50):8.1f}x"
            f"{ours.percentile(99) / peer.percentile(99):8.1f}x{'':8}{ours.cpu_seconds / max(peer.cpu_seconds, 1e-9):10.1f}x",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:])
