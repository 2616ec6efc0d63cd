"""A run of uploads: bursts over hours, each a repetition of the run with a session of its own; resumable at every exam."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from replay.campaign import Recorder
from replay.campaign_folder import TRANSFERS, RunFolder
from replay.campaign_markers import Channel, Told
from replay.durable import PART, write_json
from replay.failures import Failure, failure_of
from replay.player import Time, traceparent
from replay.results import ActionResult, Repetition
from replay.route_model import Route, RouteGuard, RouteTraceError
from replay.upload.exam_upload import ExamUpload, How, Sender
from replay.upload.exams import Exam
from replay.upload.faults import ExamError, NotOursError, UploadIncompleteError
from replay.upload.ledger import PREFIX, Entry, Ledger, label_of
from replay.upload.schedule import Burst
from replay.upload.site import Site
from sidecar.model.faults import Fault

SCENARIO = "upload"
ROLE = "uploader"


class Source(Protocol):
    """Where the exams come from; numbers count from 1."""

    def exam(self, number: int, label: str, work: Path) -> Exam:
        """This exam, ready to be sent; `work` is a folder for what has to be made. Raises ExamError."""

    def name(self, number: int) -> str:
        """What it is called before anybody has looked."""


class Progress(Protocol):
    """Is told how far the run is."""

    def begin(self, number: int, attempt: int, finished_ns: list[int]) -> None: ...

    def step(self, number: int, name: str) -> None: ...

    def say(self, text: str) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What a run works with; `recorder` captures the packets of a burst, None where they are not captured.

    `trace` gets the last route's method and is None where routes are not traced.
    """

    site: Site
    sender: Sender | None
    source: Source
    channel: Channel
    progress: Progress
    clock: Time
    versions: Mapping[str, str]
    recorder: Recorder | None = None
    trace: Callable[[str], Route] | None = None


class Uploader:
    """Plays one run of uploads in its folder."""

    def __init__(
        self,
        *,
        project: str,
        bursts: Sequence[Burst],
        how: How,
        folder: RunFolder,
        ledger: Ledger,
        tools: Tools,
        route_changes: int = 10,
    ) -> None:
        self._project = project
        self._bursts = bursts
        self._how = how
        self._folder = folder
        self._ledger = ledger
        self._tools = tools
        known = folder.manifest
        self._guard = RouteGuard(route_changes, reference=known.route, resets=max(0, len(known.routes) - 1))
        self._last_ns: int | None = None  # monotonic begin of the last burst of this process

    def run(self) -> None:
        """Send what is not sent yet; raises UploadIncompleteError when an exam could not be, and what ended the run before.

        RouteUnstableError when the route changes more often than it may.
        """
        self._tools.channel.deliver()
        finished = {result.repetition: result for _, result in self._folder.finished()}
        incomplete: list[str] = []
        for burst in self._bursts:
            if burst.number in finished:
                continue
            with tempfile.TemporaryDirectory(prefix="exams-", suffix=PART, dir=self._folder.path) as work:
                exams = self._prepare(burst, Path(work))
                self._wait_for(burst, finished)
                self._follow_route(burst)
                incomplete += self._burst(burst, exams)
        if incomplete:
            raise UploadIncompleteError(
                f"{len(incomplete)} of {sum(len(burst.exams) for burst in self._bursts)} exams were not uploaded: "
                + "; ".join(incomplete[:5]),
                "correct that; the same command with this --run-id sends only those",
            )

    def _prepare(self, burst: Burst, work: Path) -> dict[int, Exam | ExamError]:
        """Look at the exams, and make the synthetic ones, in the pause before the burst: not while containers are watched."""
        ready: dict[int, Exam | ExamError] = {}
        for number in burst.exams:
            known = self._ledger.get(number)
            if known is not None and known.state == "verified":
                continue
            try:
                ready[number] = self._tools.source.exam(number, self._label(number), work)
            except ExamError as error:
                ready[number] = error
        return ready

    def _wait_for(self, burst: Burst, finished: Mapping[int, Repetition]) -> None:
        clock = self._tools.clock
        due_ns = clock.mono_ns()
        if self._last_ns is not None:
            due_ns = self._last_ns + round(burst.after_s * 1e9)
        elif (before := finished.get(burst.number - 1)) is not None:
            # Begun by an earlier process: only the wall clock knows how long ago; never more than the whole distance.
            ago_ns = max(0, clock.wall_ns() - before.started_ns)
            due_ns += max(0, round(burst.after_s * 1e9) - ago_ns)
        left_s = (due_ns - clock.mono_ns()) / 1e9
        if left_s > 0:
            self._tools.progress.say(f"burst {burst.number} of {len(self._bursts)} begins in {left_s:.0f} s")
            clock.pause(left_s)
        elif self._last_ns is not None and burst.after_s and left_s < -1:
            self._tools.progress.say(f"burst {burst.number} begins {-left_s:.0f} s late: the one before took longer than planned")
        self._last_ns = clock.mono_ns()

    def _follow_route(self, burst: Burst) -> None:
        """A change is noted and said. Unlike a campaign's, bursts before it are not sent once more: they are in the archive."""
        if self._tools.trace is None:
            return
        known = self._guard.reference
        try:
            route = self._tools.trace(known.method if known is not None else "auto")
        except RouteTraceError as error:
            if not error.retry:
                raise
            self._tools.progress.say(f"the route of burst {burst.number} is not known ({error.what})")
            return
        verdict = self._guard.check(route)
        self._folder.note_route(self._guard.reference or route, changed=verdict == "changed")
        if verdict == "changed":
            self._tools.progress.say(
                f"the route changed from {known} to {route} before burst {burst.number}: those before are not like it"
            )

    def _burst(self, burst: Burst, exams: Mapping[int, Exam | ExamError]) -> list[str]:
        """Play one; returns what could not be uploaded. Its folder counts as finished when that is nothing."""
        session = secrets.token_hex(16)
        clock, folder = self._tools.clock, self._folder
        work = folder.work(burst.number)
        result = self._blank(burst, session)
        try:
            self._tools.progress.begin(burst.number, result.attempt, [])
            with self._tools.channel.session(session) as told:
                told.run(result.run, setup=result.setup, scenario=SCENARIO, role=ROLE, repetition=burst.number)
                began_ns = clock.mono_ns()
                with ExitStack() as stack:
                    recording = stack.enter_context(self._tools.recorder.recording(work)) if self._tools.recorder else None
                    missing, ending = self._exams(burst, exams, told, session)
                result.ended_ns, result.duration_ns = clock.wall_ns(), clock.mono_ns() - began_ns
                result.actions = self._actions(burst)
                if recording is not None:
                    write_json(work / TRANSFERS, recording.measure(result, told))
                offset = told.offset()
                if offset is not None:
                    result.clock_offset_ns, result.clock_offset_error_ns = offset.offset_ns, offset.error_ns
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise
        if ending is not None:
            result.failure = failure_of(ending)
        elif missing:
            result.failure = Failure(kind="site", what="; ".join(missing), remedy="see uploads.jsonl")
        kept = folder.keep(work, result)
        if ending is not None:
            self._tools.progress.say(f"burst {burst.number} ended early (see {kept}); the same --run-id goes on there")
            raise ending
        return missing

    def _exams(
        self, burst: Burst, exams: Mapping[int, Exam | ExamError], told: Told, session: str
    ) -> tuple[list[str], Fault | None]:
        tools, missing = self._tools, []
        try:
            tools.site.connect()
            tools.site.label(traceparent(session))
            self._check_project()
            one = ExamUpload(
                site=tools.site, sender=tools.sender, ledger=self._ledger, how=self._how, clock=tools.clock, markers=told,
                session=session, say=tools.progress.say,
            )  # fmt: skip
            for place, (number, exam) in enumerate(exams.items(), 1):
                tools.progress.step(place, self._label(number))
                try:
                    if isinstance(exam, ExamError):
                        raise exam
                    known = self._ledger.get(number)
                    entry = self._intend(burst, number, exam)
                    one.upload(entry, exam, fresh=known is None or known.state == "removed")
                except ExamError as error:
                    missing.append(f"{self._label(number)} ({error.what})")
                    tools.progress.say(f"{self._label(number)} ({tools.source.name(number)}): {error}")
                    if self._ledger.get(number) is not None:
                        self._ledger.change(number, state="failed", failure=str(error), at_ns=tools.clock.wall_ns())
        except Fault as error:
            return missing, error
        finally:
            tools.site.close()
        return missing, None

    def _actions(self, burst: Burst) -> list[ActionResult]:
        """The uploads of a burst, those of earlier processes, too."""
        known = filter(None, map(self._ledger.get, burst.exams))
        return [ActionResult(**one.action) for one in known if one.state == "verified" and one.action is not None]

    def _check_project(self) -> None:
        """Before every burst: nobody else's data in the project, and nothing unknown under our labels."""
        there = self._tools.site.labels_in(self._project)
        others = sorted(label for label in there if not label.startswith(PREFIX))
        if others:
            raise NotOursError(
                f"project {self._project} holds data that no upload of ours made ({len(others)} labels)",
                "upload into a project that is for nothing else",
            )
        planned = {self._label(number) for burst in self._bursts for number in burst.exams}
        taken = sorted((planned & there) - self._ledger.labels)
        if taken:
            raise NotOursError(
                f"{taken[0]} is already in project {self._project}, and this run did not make it", "take another --run-id"
            )

    def _intend(self, burst: Burst, number: int, exam: Exam) -> Entry:
        """Write down what is about to be made; for one that is known, what has become of it stays."""
        known = self._ledger.get(number)
        if known is not None and (known.study, known.files, known.bytes) == (exam.study, exam.files, exam.bytes):
            return known
        if known is not None and known.state not in ("removed", "failed"):
            raise ExamError(f"{exam.source} is not what it was when {known.label} was sent", "take another --run-id")
        return self._ledger.put(
            Entry(
                exam=number, burst=burst.number, project=self._project, label=self._label(number), study=exam.study,
                files=exam.files, bytes=exam.bytes, source=exam.source, state="intended", at_ns=self._tools.clock.wall_ns(),
            )
        )  # fmt: skip

    def _label(self, number: int) -> str:
        return label_of(self._folder.manifest.run, number)

    def _blank(self, burst: Burst, session: str) -> Repetition:
        known = self._folder.manifest
        return Repetition(
            run=known.run,
            setup=known.setup,
            scenario=SCENARIO,
            role=ROLE,
            repetition=burst.number,
            attempt=self._folder.next_attempt(burst.number),
            route=max(1, len(known.routes)),
            session=session,
            seed=known.seed,
            started_ns=self._tools.clock.wall_ns(),
            versions=self._tools.versions,
        )
