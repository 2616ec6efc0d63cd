"""The protocol engine for a campaign: stands where `replay.campaign_job.play_repetition` stands, for one or many users.

All sessions that are played at the same time share one event loop in a thread of its own; who calls waits for the end of theirs.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager

from replay.campaign_job import Job, Ports, blank
from replay.failures import failure_of
from replay.http.played import Clock, Played, SessionFailedError, Tolerance
from replay.http.recording import Recording
from replay.http.session import play_session
from replay.http.transport import Connections, Transport
from replay.player import Time
from replay.results import Repetition, StepResult
from replay.transfers_browser import COMPLETED, BrowserMeter
from sidecar.model.faults import Fault

#: how often a pause is interrupted to see whether the run is over
_SLICE_S = 0.5


class StoppedError(BaseException):
    """Whoever ends the run has said so; on an event loop KeyboardInterrupt itself would end all sessions, cleaned up or not."""


def system_clock(clock: Time | None = None) -> Clock:
    """The machine's clocks with a pause for the event loop."""
    if clock is None:
        return Clock(wall_ns=time.time_ns, mono_ns=time.monotonic_ns, sleep=asyncio.sleep)
    told = clock

    async def sleep(seconds: float) -> None:
        """In slices, each of which gives whoever ends the run (`pause` raises then) a chance."""
        until_ns = told.mono_ns() + round(seconds * 1e9)
        while True:
            try:
                told.pause(0)
            except KeyboardInterrupt as stopped:
                raise StoppedError from stopped
            left_s = (until_ns - told.mono_ns()) / 1e9
            if left_s <= 0:
                return
            await asyncio.sleep(min(left_s, _SLICE_S))

    return Clock(wall_ns=clock.wall_ns, mono_ns=clock.mono_ns, sleep=sleep)


def recording_hash(recording: Recording) -> str:
    """SHA-256 of what a recording says."""
    return hashlib.sha256(json.dumps(recording.to_json(), sort_keys=True).encode()).hexdigest()


class HttpEngine:
    """Plays jobs by a recording, each with the account of its own values.

    `tls` replaces the system's trusted authorities; `transports` opens the connections of one user.
    """

    def __init__(
        self,
        recording: Recording,
        *,
        tls: ssl.SSLContext | None = None,
        tolerance: Tolerance | None = None,
        transports: Callable[[], AbstractAsyncContextManager[Transport]] | None = None,
    ) -> None:
        self._recording = recording
        self._transports = transports or (lambda: Connections(recording.connections, tls))
        self._tolerance = tolerance
        self._versions = {"engine": "http", "requests": recording_hash(recording)}
        self._loop = _SharedLoop()

    def __call__(self, job: Job, ports: Ports) -> Repetition:
        """As `replay.campaign_job.play_repetition`, from any thread: a failure is in the result."""
        done = threading.Event()
        tasks: list[asyncio.Task[Repetition]] = []
        with self._loop.running() as loop:

            def start() -> None:
                tasks.append(loop.create_task(self.play(job, ports)))
                tasks[0].add_done_callback(lambda _: done.set())

            loop.call_soon_threadsafe(start)
            try:
                done.wait()
            except BaseException:  # Ctrl-C: the open action is taken back before it goes on
                loop.call_soon_threadsafe(lambda: tasks[0].cancel())
                done.wait()
                raise
        try:
            return tasks[0].result()
        except StoppedError as stopped:
            raise KeyboardInterrupt from stopped

    async def play(self, job: Job, ports: Ports) -> Repetition:
        """The same on a running event loop, beside other users; raises StoppedError when the clock says that it is over."""
        clock = ports.clock
        result = blank(job, ports)
        result.versions = {**result.versions, **self._versions}
        mono_ns = clock.mono_ns()
        played = Played()
        try:
            async with self._transports() as transport:
                played = await play_session(
                    self._recording,
                    {name: job.values.fill(f"${{env:{name}}}") for name in self._recording.accounts()},
                    system_clock(clock),
                    ports.markers,
                    site=job.site,
                    session=job.session,
                    transport=transport,
                    seed=job.seed,
                    pace=job.values.number("pace", 1.0),
                    parameters={name: job.values.fill(f"${{{name}}}") for name in self._recording.parameters},
                    tolerance=self._tolerance,
                    watcher=ports.watcher,
                )
        except SessionFailedError as error:
            played, result.failure = error.played, error.failure
        except (Fault, OSError) as error:
            result.failure = failure_of(error)
        result.actions = played.actions
        result.steps = [
            StepResult(
                number=number, name=name, step="http", action=name, input_ns=begin_ns, settled_ns=end_ns, locator=None, rank=None
            )
            for number, name, begin_ns, end_ns in played.phases
        ]
        result.late = played.lateness()
        if ports.meter is not None:
            _meter(ports.meter, played)
        result.ended_ns = clock.wall_ns()
        result.duration_ns = clock.mono_ns() - mono_ns
        return result


class _SharedLoop:
    """An event loop in a thread, there while somebody needs it; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @contextmanager
    def running(self) -> Iterator[asyncio.AbstractEventLoop]:
        """The loop, until this context is left by the last one in it."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="protocol replay", daemon=True)
                self._thread.start()
            self._users += 1
            loop = self._loop
        try:
            yield loop
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    self._end()

    def _end(self) -> None:
        assert self._loop is not None  # noqa: S101 (somebody has used it)
        assert self._thread is not None  # noqa: S101
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()
        self._loop = self._thread = None


def _meter(meter: BrowserMeter, played: Played) -> None:
    """Tell the meter of the exchanges in the words that it knows."""
    for one in played.exchanges:
        timings = {"timeOrigin": one.start_ns / 1e6, "requestStart": 0, "responseEnd": (one.end_ns - one.start_ns) / 1e6}
        request = {"timings": timings, "headersSize": 0, "bodySize": one.up_bytes}
        meter.take(COMPLETED, {"request": request, "response": {"bytesReceived": one.down_bytes, "fromCache": False}})
