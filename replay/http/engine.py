"""The protocol engine for a campaign: stands where `replay.campaign_job.play_repetition` stands."""

from __future__ import annotations

import asyncio
import hashlib
import json
import ssl
import time

from replay.campaign_job import Job, Ports, blank
from replay.failures import failure_of
from replay.http.played import Clock, Played, SessionFailedError, Tolerance
from replay.http.recording import Recording
from replay.http.session import play_session
from replay.http.transport import Connections
from replay.player import Time
from replay.results import Repetition, StepResult
from replay.transfers_browser import COMPLETED, BrowserMeter
from sidecar.model.faults import Fault

#: how often a pause is interrupted to see whether the run is over
_SLICE_S = 0.5


def system_clock(clock: Time | None = None) -> Clock:
    """The machine's clocks with a pause for the event loop."""
    if clock is None:
        return Clock(wall_ns=time.time_ns, mono_ns=time.monotonic_ns, sleep=asyncio.sleep)
    told = clock

    async def sleep(seconds: float) -> None:
        """In slices, each of which gives whoever ends the run (`pause` raises then) a chance."""
        until_ns = told.mono_ns() + round(seconds * 1e9)
        while True:
            told.pause(0)
            left_s = (until_ns - told.mono_ns()) / 1e9
            if left_s <= 0:
                return
            await asyncio.sleep(min(left_s, _SLICE_S))

    return Clock(wall_ns=clock.wall_ns, mono_ns=clock.mono_ns, sleep=sleep)


def recording_hash(recording: Recording) -> str:
    """SHA-256 of what a recording says."""
    return hashlib.sha256(json.dumps(recording.to_json(), sort_keys=True).encode()).hexdigest()


class HttpEngine:
    """Plays jobs by a recording, each with the account of its own values; `tls` replaces the system's trusted authorities."""

    def __init__(
        self,
        recording: Recording,
        *,
        tls: ssl.SSLContext | None = None,
        tolerance: Tolerance | None = None,
    ) -> None:
        self._recording = recording
        self._tls = tls
        self._tolerance = tolerance
        self._versions = {"engine": "http", "requests": recording_hash(recording)}

    def __call__(self, job: Job, ports: Ports) -> Repetition:
        """As `replay.campaign_job.play_repetition`: a failure is in the result."""
        return asyncio.run(self.play(job, ports))

    async def play(self, job: Job, ports: Ports) -> Repetition:
        """The same on a running event loop, beside other users."""
        clock = ports.clock
        result = blank(job, ports)
        result.versions = {**result.versions, **self._versions}
        mono_ns = clock.mono_ns()
        played = Played()
        try:
            async with Connections(self._recording.connections, self._tls) as transport:
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
        if ports.meter is not None:
            _meter(ports.meter, played)
        result.ended_ns = clock.wall_ns()
        result.duration_ns = clock.mono_ns() - mono_ns
        return result


def _meter(meter: BrowserMeter, played: Played) -> None:
    """Tell the meter of the exchanges in the words that it knows."""
    for one in played.exchanges:
        timings = {"timeOrigin": one.start_ns / 1e6, "requestStart": 0, "responseEnd": (one.end_ns - one.start_ns) / 1e6}
        request = {"timings": timings, "headersSize": 0, "bodySize": one.up_bytes}
        meter.take(COMPLETED, {"request": request, "response": {"bytesReceived": one.down_bytes, "fromCache": False}})
