"""Protocol replay: what an action costs the server beside the browser's, and how many users one core plays.

    python -m tests.bench.http_replay [--repetitions N] [--users N …] [--scenario NAME …]

Server cost: browser and http engine play the same scenario in turn, alone on the practice system; CPU time of its processes (web,
database and proxy, children included) from the begin of an action to its end, by the kernel's per-process CPU clocks.
Users per core: the client on one core against a server on the other that hands out canned answers (those of the practice system,
recorded in this run, download included), with the think times of the scenario.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import requests

from replay.browser import opened
from replay.campaign_job import Job, Ports, play_repetition
from replay.campaign_markers import NoMarkers
from replay.chromium import BrowserOptions, BrowserPaths, host_of
from replay.http.engine import HttpEngine, system_clock
from replay.http.make import record
from replay.http.recording import Recording
from replay.http.session import play_session
from replay.http.transport import Answer, Connections
from replay.http.users import User, run_users
from replay.player import MarkerSink, Time
from replay.results import Repetition
from replay.scenario import load_scenario
from replay.values import Values
from tests.support.campaign_fakes import Notes
from tests.support.replay_site import Site, site

#: an action whose cost is below this is not compared: other processes' noise is larger
_LEAST_MS = 5.0
#: the kernel's CPU clock of a process (clock_getcpuclockid(3))
_CPU_CLOCK = 2
SITES = ("xnat-web", "xnat-db", "xnat-nginx")


def cpu_ns(pid: int) -> int:
    """CPU time of a process and its living children, in nanoseconds."""
    found = time.clock_gettime_ns((~pid << 3) | _CPU_CLOCK)
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += cpu_ns(int(child))
    return found


class CpuMarkers(NoMarkers):
    """Measures what the server's parts use from the begin to the end of each action, and of the whole session."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = pids
        self._open: dict[str, tuple[str, int, dict[str, int]]] = {}
        self._count = 0
        self._first = self._now()
        self.cost: list[tuple[str, dict[str, float]]] = []

    def _now(self) -> dict[str, int]:
        return {name: cpu_ns(pid) for name, pid in self._pids.items()}

    def begin(self, action: str) -> str:
        action_id = super().begin(action)
        self._open[action_id] = action, self._count, self._now()
        self._count += 1
        return action_id

    def end(self, action_id: str, **attributes: int | str) -> None:
        action, number, before = self._open.pop(action_id)
        self.cost.append((f"{number + 1} {action}", self._since(before)))

    def _since(self, before: Mapping[str, int]) -> dict[str, float]:
        return {name: (value - before[name]) / 1e6 for name, value in self._now().items()}

    def whole(self) -> dict[str, float]:
        """Milliseconds since this was made."""
        return self._since(self._first)


def main(argv: Sequence[str]) -> None:
    wanted = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    wanted.add_argument("--repetitions", type=int, default=5, help="of each engine (default: %(default)s)")
    wanted.add_argument("--users", type=int, nargs="*", default=[50, 200, 300], help="(default: 50 200 300)")
    wanted.add_argument("--scenario", nargs="*", default=["researcher", "radiologist"])
    wanted.add_argument("--pace", default="10", help="of the sessions whose cost is measured (default: %(default)s)")
    given = wanted.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder, site(Path(folder, "lab")) as lab:
        prepare_viewer(lab)
        for name in given.scenario:
            recording = costs(lab, name, given.repetitions, given.pace, Path(folder))
            if given.users:
                asyncio.run(users_per_core(lab, recording, given.users, Path(folder)))


def prepare_viewer(lab: Site) -> None:
    """Only the first of all who open the viewer has its description made."""
    account = "admin", lab.lab.users["admin"]
    project, session = lab.lab.exam["project"], lab.lab.exam["session"]
    listing = requests.get(f"{lab.url}/data/projects/{project}/experiments?format=json", auth=account, timeout=60).json()
    for row in listing["ResultSet"]["Result"]:
        if row["label"] == session:
            requests.post(f"{lab.url}/xapi/viewer/projects/{project}/experiments/{row['ID']}", auth=account, timeout=60)


def job_of(lab: Site, name: str, pace: str, folder: Path) -> Job:
    scenario = load_scenario(name)
    return Job(
        run="bench",
        setup="lan",
        site=lab.url,
        scenario=scenario,
        values=Values(scenario, {"pace": pace}, lab.environment(name)),
        options=BrowserOptions(
            paths=BrowserPaths.find(os.environ), hosts=(host_of(lab.url),), window=scenario.window, visible=False
        ),
        repetition=1,
        attempt=1,
        session=secrets.token_hex(16),
        seed=1,
        folder=folder,
    )


def costs(lab: Site, name: str, repetitions: int, pace: str, folder: Path) -> Recording:
    """Print what each action costs the server, by both engines in turn."""

    def ports(markers: MarkerSink) -> Ports:
        return Ports(browser=opened, markers=markers, watcher=Notes(), clock=Time.system(), versions={})

    recording, _ = record(job_of(lab, name, pace, folder), ports(NoMarkers()), lab.environment(name))
    pids = {part: int(Path(lab.lab.pid_files[part]).read_text().split()[0]) for part in lab.lab.pid_files}
    engines: dict[str, Callable[[Job, Ports], Repetition]] = {"browser": play_repetition, "http": HttpEngine(recording)}
    found: dict[str, dict[str, list[dict[str, float]]]] = {engine: defaultdict(list) for engine in engines}
    for _ in range(repetitions):
        for engine, play in engines.items():
            markers = CpuMarkers(pids)
            result = play(job_of(lab, name, pace, folder), ports(markers))
            if result.failure is not None:
                raise SystemExit(f"{engine}: {result.failure}")
            for action, cost in markers.cost:
                found[engine][action].append(cost)
            found[engine]["whole session"].append(markers.whole())
    print(f"{name}: {len(recording.requests)} requests, {repetitions} of each engine in turn; median CPU ms, all (web)")
    print(f"  {'action':<20} {'browser':>16} {'http':>16}   http / browser: all, web")
    for action in found["browser"]:
        both = [found[engine][action] for engine in engines]
        whole = [statistics.median(sum(one.values()) for one in costs) for costs in both]
        web = [statistics.median(next(v for k, v in one.items() if k.endswith("xnat-web")) for one in costs) for costs in both]
        ratio = (
            f"{whole[1] / whole[0]:.2f}, {web[1] / web[0]:.2f}" if whole[0] >= _LEAST_MS and web[0] else "too small to compare"
        )
        print(f"  {action:<20} {whole[0]:>8.1f} ({web[0]:5.0f}) {whole[1]:>8.1f} ({web[1]:5.0f})   {ratio}", flush=True)
    return recording


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
        textual = any(name.lower() == "content-type" and ("text" in value or "json" in value) for name, value in answer.headers)
        place = urlsplit(url)
        target = f"{place.path}?{place.query}" if place.query else place.path
        kept = {
            "status": answer.status,
            "headers": answer.headers,
            "text": answer.text if textual else "",
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


async def users_per_core(lab: Site, recording: Recording, counts: Sequence[int], folder: Path) -> None:
    """Print how a client on one core gets on with so many users."""
    account = lab.environment(recording.role)
    async with Connections() as connections:
        keeping = Keeping(connections)
        await play_session(
            recording,
            account,
            system_clock(),
            NoMarkers(),
            site=lab.url,
            session="ab" * 16,
            transport=keeping,
            pace=recording.pace,
        )
    cores = sorted(os.sched_getaffinity(0))
    with canned(keeping.answers, folder, cores[-1]) as address:
        os.sched_setaffinity(0, {cores[0]})
        try:
            base = address + urlsplit(lab.url).path
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

    lags: list[float] = []

    async def feel() -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.05)
            lags.append(time.monotonic() - before - 0.05)

    watch = asyncio.create_task(feel())
    before_s, cpu_before_s = time.monotonic(), time.process_time()
    done = await run_users(recording, users, system_clock(), sinks, site=address)
    wall_s, cpu_s = time.monotonic() - before_s, time.process_time() - cpu_before_s
    watch.cancel()
    sent = sum(one.played.requests for one in done)
    failed = [one for one in done if one.failure is not None]
    lengths = [(one.played.phases[-1][3] - one.played.phases[0][2]) / 1e9 for one in done if one.failure is None]
    length_s = statistics.median(lengths) if lengths else float("nan")
    lags.sort()
    print(
        f"  {count} users (one session of {length_s:.1f} s each, {sent} requests in {wall_s:.0f} s): "
        f"{len(failed)} failed; "
        f"{cpu_s / wall_s:.0%} of one core, {cpu_s / sent * 1e6:.0f} us per request, "
        f"{cpu_s / len(done) * 1e3:.0f} ms per session; "
        f"event loop late by {lags[len(lags) // 2] * 1e3:.0f} ms (p99 {lags[int(len(lags) * 0.99)] * 1e3:.0f} ms); "
        f"by CPU time one core plays {(alone_s or length_s) / (cpu_s / len(done)):.0f} users",
        flush=True,
    )
    for one in failed[:3]:
        print(f"    {one.failure}")
    return length_s


if __name__ == "__main__":
    main(sys.argv[1:])
