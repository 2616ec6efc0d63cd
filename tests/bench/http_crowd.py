"""How many users one core plays by protocol replay, against a server on the other core with the practice system's answers."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from replay.campaign_markers import NoMarkers
from replay.http.engine import system_clock
from replay.http.recording import Recording
from replay.http.session import play_session
from replay.http.transport import Answer, Connections
from replay.http.users import User, run_users
from replay.player import MarkerSink

#: in a text that is larger nobody looks for values: so many zeros do as well
_VALUES_BYTES = 1_000_000


class Keeping:
    """A transport that remembers every answer, whole."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self.answers: dict[str, dict[str, object]] = {}

    async def send(
        self,
        method: str,
        url: str,
        headers: Sequence[tuple[str, str]],
        body: bytes | None,
        *,
        keep: bool,
        on_head: Callable[[], None],
    ) -> Answer:
        answer = await self._connections.send(method, url, headers, body, keep=True, on_head=on_head)
        kind = answer.header("content-type")
        values = ("text" in kind or "json" in kind) and answer.size < _VALUES_BYTES
        place = urlsplit(url)
        target = f"{place.path}?{place.query}" if place.query else place.path
        kept = {
            "status": answer.status,
            "headers": answer.headers,
            "text": answer.text if values else "",
            "size": answer.size,
        }
        self.answers.setdefault(f"{method} {target} {zlib.crc32(body or b'')}", kept)  # later ones would have other tokens
        return answer


@contextmanager
def canned(answers: Mapping[str, object], folder: Path, core: int) -> Iterator[str]:
    """The canned server's address."""
    file = folder / "answers.json"
    file.write_text(json.dumps(answers))
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.canned_server", str(file), str(core)], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{server.stdout.readline().strip()}"
        finally:
            server.terminate()


async def users_per_core(
    recording: Recording, account: Mapping[str, str], site: str, counts: Sequence[int], folder: Path
) -> None:
    """Print how a client on one core gets on with so many users, at the scenario's own think times."""
    async with Connections() as connections:
        keeping = Keeping(connections)
        await play_session(
            recording,
            account,
            system_clock(),
            NoMarkers(),
            site=site,
            session="ab" * 16,
            transport=keeping,
            pace=recording.pace,
        )
    cores = sorted(os.sched_getaffinity(0))
    with canned(keeping.answers, folder, cores[-1]) as address:
        os.sched_setaffinity(0, {cores[0]})
        try:
            base = address + urlsplit(site).path
            alone_s = await crowd(recording, account, base, 1, None)
            for count in counts:
                await crowd(recording, account, base, count, alone_s)
        finally:
            os.sched_setaffinity(0, set(cores))


async def crowd(recording: Recording, account: Mapping[str, str], address: str, count: int, alone_s: float | None) -> float:
    """Play so many users once each, arriving evenly over one session's think time; the median length of a session.

    `alone_s` is that of a lone user: how many users one core plays follows from it and from the CPU time of a session.
    """
    thinks_s = sum(seconds for phase in recording.phases for seconds, _ in phase.thinks)
    users = [User(number=n + 1, arrives_s=thinks_s * n / count, account=account, seed=n) for n in range(count)]

    @asynccontextmanager
    async def sinks(_: User, __: int, ___: str) -> AsyncIterator[MarkerSink]:
        yield NoMarkers()

    before_s, cpu_before_s = time.monotonic(), time.process_time()
    done = await run_users(recording, users, system_clock(), sinks, site=address)
    wall_s, cpu_s = time.monotonic() - before_s, time.process_time() - cpu_before_s
    sent = sum(one.played.requests for one in done)
    failed = [one for one in done if one.failure is not None]
    lengths = [(one.played.phases[-1][3] - one.played.phases[0][2]) / 1e9 for one in done if one.failure is None]
    length_s = statistics.median(lengths) if lengths else float("nan")
    late_ms = sorted(late / 1e6 for one in done for late in one.played.late_ns)
    p50, p95, p99 = (late_ms[int(len(late_ms) * share)] for share in (0.5, 0.95, 0.99))
    print(
        f"  {count} users (one session of {length_s:.1f} s each, {sent} requests in {wall_s:.0f} s): {len(failed)} failed; "
        f"{cpu_s / wall_s:.0%} of one core, {cpu_s / sent * 1e6:.0f} us per request, "
        f"{cpu_s / len(done) * 1e3:.1f} ms per session; requests begun late by {p50:.1f} ms (p95 {p95:.1f}, p99 {p99:.1f} ms); "
        f"by CPU time one core plays {(alone_s or length_s) / (cpu_s / len(done)):.0f} users",
        flush=True,
    )
    for one in failed[:3]:
        print(f"    {one.failure}")
    return length_s
