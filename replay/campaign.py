"""A campaign: one setup x one scenario x N repetitions that share one route, each traced, captured and played (Algorithm 1).

The study's procedure, line by line: trace the route; when it is another than the last repetition's, what was finished before does
not count any more; capture; play the scenario with its log-in; stop the capture. Beyond it, the route is traced behind the last
repetition, too: it may have changed meanwhile.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from replay.campaign_folder import TRANSFERS, RunFolder
from replay.campaign_job import Job, Ports, blank, play_repetition
from replay.campaign_markers import Channel, Told
from replay.campaign_patience import Limits, Patience
from replay.chromium import BrowserOptions
from replay.durable import write_json
from replay.failures import Failure, Kind, failure_of
from replay.marker_client import ChannelUnreachableError
from replay.player import Time, Watcher
from replay.results import Repetition
from replay.route_model import Route, RouteGuard, RouteUnstableError
from replay.scenario_shape import Scenario
from replay.transfers_browser import BrowserMeter
from replay.users_folder import sessions_of
from replay.values import Values
from sidecar.model.faults import Fault
from sidecar.model.records import AttemptOutcome


class Recording(Protocol):
    """What was transferred in one repetition; `meter` is for the browser where that is asked."""

    @property
    def meter(self) -> BrowserMeter | None: ...

    def measure(self, result: Repetition, told: Told) -> Mapping[str, Any]:
        """The content of `transfers.json`, after the recording has ended; tells it to the sidecar, too."""


class Recorder(Protocol):
    """Knows what a repetition transfers: from a capture, or from what the browser says. Raises Fault, also when it is left."""

    def recording(self, folder: Path) -> AbstractContextManager[Recording]:
        """Record until this is left."""

    def kind_of(self, error: Fault) -> Kind | None:
        """What kind of failure an error of the recording is; None when it says so itself, or is none of them."""


class Progress(Watcher, Protocol):
    """Is told how far the campaign is: `replay.campaign_progress`."""

    def begin(self, number: int, attempt: int, finished_ns: list[int]) -> None:
        """This repetition begins; so long did the finished ones take."""

    def say(self, text: str) -> None:
        """Something that a person should know."""


class Users(Protocol):
    """Many virtual users in one repetition: `replay.users_crowd.Crowd`."""

    def play(self, job: Job, session: Callable[[Job, Callable[[Ports], Ports]], Repetition]) -> Repetition:
        """Play the job with all of them, each in a session of its own; the result over all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What every repetition has in common."""

    scenario: Scenario
    values: Values
    options: BrowserOptions
    limits: Limits
    hidden: tuple[str, ...] = ()
    may_delete: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What a campaign works with. `trace` gets the last route's method and is None where routes are not traced.

    `users` is None for a single one.
    """

    ports: Callable[[Told], Ports]
    channel: Channel
    recorder: Recorder
    progress: Progress
    trace: Callable[[str], Route] | None
    clock: Time
    play: Callable[[Job, Ports], Repetition] = play_repetition
    users: Users | None = None


class CampaignFailedError(Fault):
    """A repetition could not be finished within the limits; the command goes on there when it is given again."""

    def __init__(self, number: int, failure: Failure, evidence: Path | None) -> None:
        kept = f" (see {evidence})" if evidence is not None else ""
        super().__init__(f"repetition {number} failed{failure.where}: {failure.what}", failure.remedy + kept)
        self.failure = failure


def _in(pause_s: float) -> str:
    return f" in {max(1, round(pause_s))} s" if pause_s else ""


class Campaign:
    """Plays what is still missing in the folder of a run; `run` may be called again after any interruption."""

    def __init__(self, plan: Plan, folder: RunFolder, tools: Tools) -> None:
        self._plan = plan
        self._folder = folder
        self._tools = tools
        known = folder.manifest
        self._guard = RouteGuard(plan.limits.route_changes, reference=known.route, resets=max(0, len(known.routes) - 1))

    def run(self) -> None:
        """Play until all repetitions are finished on one route. Raises CampaignFailedError, RouteUnstableError, DiskError."""
        self._tools.channel.deliver()
        while self._missing():
            while self._missing():
                self._repetition()
            self._follow_route_once_more()
        self._tools.channel.deliver()

    def _missing(self) -> bool:
        return self._folder.next_number() <= self._plan.limits.repetitions

    def _follow_route_once_more(self) -> None:
        """See whether the route was still the same when the last repetition ended: no other begins, and would."""
        try:
            self._follow_route()
        except RouteUnstableError:
            raise
        except Fault as error:
            self._tools.progress.say(f"the route behind the last repetition is not known: {error.what}")

    def _repetition(self) -> None:
        patience = Patience(self._plan.limits)
        while True:
            number, failure, evidence = self._attempt()
            if failure is None:
                return
            pause_s = patience.pause_s(failure, self._mono_s())
            if pause_s is None:
                raise CampaignFailedError(number, failure, evidence)
            self._tools.progress.say(f"repetition {number} failed{failure.where}: {failure.what}; again{_in(pause_s)}")
            if pause_s:
                self._tools.clock.pause(pause_s)

    def _attempt(self) -> tuple[int, Failure | None, Path | None]:
        """Play the next repetition once; its number, what stopped it, and the folder with the evidence."""
        try:
            self._follow_route()
        except RouteUnstableError:
            raise
        except Fault as error:
            return self._folder.next_number(), failure_of(error, kind="connection" if error.retry else "permission"), None
        number = self._folder.next_number()
        finished = [one.duration_ns for _, one in self._folder.finished() if one.duration_ns is not None]
        attempt = self._folder.next_attempt(number)
        self._tools.progress.begin(number, attempt, finished)
        job = self._job(number, attempt)
        try:
            if self._tools.users is None:
                result = self._session(self._tools.channel.session(job.session), job)
            else:
                result = self._tools.users.play(job, self._user_session)
            self._judge(job, result)
            kept = self._kept(job, result)
        except BaseException:
            shutil.rmtree(job.folder, ignore_errors=True)  # stopped by hand, or no room: neither finished nor failed
            raise
        self._note(result, [one for _, one in sessions_of(kept, result)])
        return number, result.failure, kept if result.failure is not None else None

    def _judge(self, job: Job, result: Repetition) -> None:
        """Tell the sidecar what became of the attempt, once nobody plays it any more: its actions count in no table before."""
        try:
            with self._tools.channel.session(job.session) as told:
                self._tell_run(told, job, "finished" if result.failure is None else "failed")
        except ChannelUnreachableError as away:  # where nothing is kept for later
            result.failure = result.failure or failure_of(away, kind="connection")

    def _kept(self, job: Job, result: Repetition) -> Path:
        """Keep the attempt's folder. Where there is no room for it the sidecar, which was told before, is told otherwise."""
        finished = result.failure is None
        try:
            return self._folder.keep(job.folder, result)
        except Fault as error:
            result.failure = result.failure or failure_of(error)
            raise
        finally:
            if finished and result.failure is not None:
                self._judge(job, result)

    @staticmethod
    def _tell_run(told: Told, job: Job, outcome: AttemptOutcome | None = None) -> None:
        told.run(
            job.run,
            setup=job.setup,
            scenario=job.scenario.name,
            role=job.scenario.role,
            repetition=job.repetition,
            attempt=job.trial,
            series=job.route,
            outcome=outcome,
        )

    def _user_session(self, job: Job, adapted: Callable[[Ports], Ports]) -> Repetition:
        return self._session(self._tools.channel.user_session(job.session, job.user), job, adapted)

    def _session(
        self, session: AbstractContextManager[Told], job: Job, adapted: Callable[[Ports], Ports] = lambda ports: ports
    ) -> Repetition:
        with session as told:
            return self._play(job, told, adapted(self._tools.ports(told)))

    def _play(self, job: Job, told: Told, ports: Ports) -> Repetition:
        result = blank(job, ports)
        try:
            self._tell_run(told, job)
            with self._tools.recorder.recording(job.folder) as recording:
                result = self._tools.play(job, replace(ports, meter=recording.meter))
            if result.failure is None:
                write_json(job.folder / TRANSFERS, recording.measure(result, told))
        except (Fault, OSError) as error:
            if result.failure is None:  # what stopped the scenario says more than what came of it
                kind = self._tools.recorder.kind_of(error) if isinstance(error, Fault) else None
                result.failure = failure_of(error, kind=kind)
        offset = told.offset()
        if offset is not None:
            result.clock_offset_ns, result.clock_offset_error_ns = offset.offset_ns, offset.error_ns
        return result

    def _follow_route(self) -> None:
        if self._tools.trace is None:
            return
        known = self._guard.reference
        route = self._tools.trace(known.method if known is not None else "auto")
        verdict = self._guard.check(route)
        discarded = self._folder.follow(self._guard.reference or route, changed=verdict == "changed")
        if verdict == "changed":
            self._tools.progress.say(
                f"the route changed from {known} to {route}: {discarded} finished repetitions do not count; beginning again at 1"
            )

    def _job(self, number: int, attempt: int) -> Job:
        known = self._folder.manifest
        session = secrets.token_hex(16)
        return Job(
            run=known.run,
            setup=known.setup,
            site=known.site,
            scenario=self._plan.scenario,
            values=self._plan.values,
            options=self._plan.options,
            repetition=number,
            attempt=attempt,
            session=session,
            seed=known.seed + number,
            folder=self._folder.work(number),
            trial=session,
            route=max(1, len(known.routes)),
            hidden=self._plan.hidden,
            may_delete=self._plan.may_delete,
        )

    def _note(self, result: Repetition, sessions: Sequence[Repetition]) -> None:
        """Keep in the manifest what only a repetition tells."""
        known = self._folder.manifest
        actions = [action for session in sessions for action in session.actions]
        sizes = [one.attributes.get("bytes") for one in actions if one.action == "download" and one.outcome == "completed"]
        known.exam_bytes = next((size for size in sizes if isinstance(size, int)), known.exam_bytes)
        known.versions = {**known.versions, **result.versions}
        if result.clock_offset_ns is not None:
            known.clock_offset_ns, known.clock_offset_error_ns = result.clock_offset_ns, result.clock_offset_error_ns
        self._folder.save_manifest()

    def _mono_s(self) -> float:
        return self._tools.clock.mono_ns() / 1e9
