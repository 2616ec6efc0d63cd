"""Many virtual users in one repetition: each a session of its own in a thread of its own, begun when the schedule says.

What stops one user stops nobody else. What stops the program (Ctrl-C, a full disk, a sidecar that refuses us) stops all: every
user notices at its next pause, takes back its open action and closes its browser.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from replay.campaign import Progress, Recorder, Recording
from replay.campaign_folder import TRANSFERS
from replay.campaign_job import Job, Ports
from replay.campaign_markers import NoMarkers
from replay.durable import write_json
from replay.failures import TRIED_AGAIN, WAITED_FOR, Failure, disk_fault, failure_of
from replay.player import Time
from replay.results import ActionResult, Repetition
from replay.users import Pattern, arrivals, seed_of
from replay.users_folder import user_name
from replay.values import Values
from sidecar.model.faults import Fault

#: requests that are begun so much too late are another load than the one that was asked for
LATE_MS = 100.0
#: plays one session: its job, and what is to be done with its ports before
Session = Callable[[Job, Callable[[Ports], Ports]], Repetition]


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualUser:
    """One user: its number from 1, its values (with its account), and its secrets, which are written nowhere."""

    number: int
    values: Values
    hidden: tuple[str, ...] = field(default=(), repr=False)


class Crowd:
    """Plays repetitions with all these users; at most `may_fail` of them may fail in a repetition that counts.

    `recorder` captures the packets of all users together (None: nothing is captured); they cannot be told apart in time, so what
    each user transfers is its browser's word. `pause` waits for so long, or until the event is set.
    """

    def __init__(
        self,
        users: Sequence[VirtualUser],
        pattern: Pattern,
        *,
        may_fail: int,
        recorder: Recorder | None,
        progress: Progress,
        clock: Time,
        pause: Callable[[threading.Event, float], object] = threading.Event.wait,
    ) -> None:
        self._users = users
        self._pattern = pattern
        self._may_fail = may_fail
        self._recorder = recorder
        self._progress = progress
        self._clock = clock
        self._pause = pause

    def play(self, job: Job, session: Session) -> Repetition:
        """The result over all users; theirs are in their folders below the job's. Raises what stops the program."""
        schedule = arrivals(self._pattern, len(self._users), job.seed)
        whole = self._blank(job)
        began_ns = self._clock.mono_ns()
        sessions: list[Future[Repetition]] = []
        trouble: Fault | OSError | None = None
        recording: Recording | None = None
        try:
            with self._recording(job) as recording:
                sessions = self._gather(job, session, schedule)
        except (Fault, OSError) as error:
            trouble = error
        stopped = list(filter(None, (one.exception() for one in sessions)))
        if stopped:
            raise min(stopped, key=lambda one: isinstance(one, KeyboardInterrupt))  # the cause before what came of it
        results = [one.result() for one in sessions]
        whole.failure = failure_over(results, self._may_fail)
        if whole.failure is None and trouble is None and recording is not None:
            try:
                write_json(job.folder / TRANSFERS, recording.measure(whole, NoMarkers()))
            except (Fault, OSError) as error:
                trouble = error
        if whole.failure is None and trouble is not None:
            kind = self._recorder.kind_of(trouble) if self._recorder is not None and isinstance(trouble, Fault) else None
            whole.failure = failure_of(trouble, kind=kind)
        whole.users = {
            "wanted": len(self._users),
            "finished": sum(1 for one in results if one.failure is None),
            "failed": [one.user for one in results if one.failure is not None],
            "arrivals": self._pattern.text,
            "schedule_s": [round(at_s, 3) for at_s in schedule],
            **self._lateness(results),
        }
        if results:
            first = results[0]
            whole.versions = first.versions
            whole.clock_offset_ns, whole.clock_offset_error_ns = first.clock_offset_ns, first.clock_offset_error_ns
        whole.ended_ns = self._clock.wall_ns()
        whole.duration_ns = self._clock.mono_ns() - began_ns
        return whole

    def _gather(self, job: Job, session: Session, schedule: Sequence[float]) -> list[Future[Repetition]]:
        """Start each user at its time and wait for all; when one raises, or we are interrupted, all are stopped."""
        stop = threading.Event()
        watch = Watch(self._progress, len(self._users))
        began_s = self._mono_s()
        sessions: list[Future[Repetition]] = []
        with ThreadPoolExecutor(len(self._users), "user") as pool:
            try:
                for user, at_s in zip(self._users, schedule, strict=True):
                    while not stop.is_set() and (left_s := began_s + at_s - self._mono_s()) > 0:
                        self._pause(stop, left_s)
                    if stop.is_set():
                        break
                    sessions.append(pool.submit(self._one, user, job, session, watch, stop))
                    sessions[-1].add_done_callback(lambda ended: stop.set() if ended.exception() is not None else None)
                wait(sessions, return_when=FIRST_EXCEPTION)
            finally:
                stop.set()
        return sessions

    def _one(self, user: VirtualUser, job: Job, session: Session, watch: Watch, stop: threading.Event) -> Repetition:
        own = replace(
            job,
            user=user.number,
            values=user.values,
            hidden=user.hidden,
            session=secrets.token_hex(16),
            seed=seed_of(job.seed, user.number),
            folder=job.folder / user_name(user.number),
        )
        try:
            own.folder.mkdir()
        except OSError as error:
            raise disk_fault(error) from error

        def pause(seconds: float) -> None:
            if not stop.is_set():
                self._pause(stop, seconds)
            if stop.is_set():
                raise KeyboardInterrupt

        def adapted(ports: Ports) -> Ports:
            return replace(ports, clock=replace(ports.clock, pause=pause), watcher=watch.of(user.number))

        result = session(own, adapted)
        if stop.is_set():  # what went wrong then is of our own making
            raise KeyboardInterrupt
        result.save(own.folder)
        watch.ended(result)
        return result

    def _lateness(self, results: Sequence[Repetition]) -> dict[str, float]:
        """By how much requests were begun too late, where this machine begins them: said, and kept beside the schedule."""
        known = sorted(one.late["p95_ms"] for one in results if one.late is not None and "p95_ms" in one.late)
        if not known:
            return {}
        middle, worst = known[len(known) // 2], known[-1]
        doubt = ": too many users for this machine, their load is not what it should be" if middle > LATE_MS else ""
        late = f"{middle:.1f} ms (95 % of a user's; at worst {worst:.1f} ms)"
        self._progress.say(f"requests of {len(known)} users were begun late by {late}{doubt}")
        return {"late_p95_ms": middle, "late_p95_worst_ms": worst}

    @contextmanager
    def _recording(self, job: Job) -> Iterator[Recording | None]:
        if self._recorder is None:
            yield None
            return
        with self._recorder.recording(job.folder) as recording:
            yield recording

    def _blank(self, job: Job) -> Repetition:
        return Repetition(
            run=job.run,
            setup=job.setup,
            scenario=job.scenario.name,
            role=job.scenario.role,
            repetition=job.repetition,
            attempt=job.attempt,
            user=0,
            route=job.route,
            session="",
            seed=job.seed,
            started_ns=self._clock.wall_ns(),
            versions={},
        )

    def _mono_s(self) -> float:
        return self._clock.mono_ns() / 1e9


def failure_over(results: Sequence[Repetition], may_fail: int) -> Failure | None:
    """The failure of a repetition in which more users failed than may: that of the user whose failure is the least curable."""
    failed = [(one.user, one.failure) for one in results if one.failure is not None]
    if len(failed) <= may_fail:
        return None
    user, worst = min(failed, key=lambda one: (one[1].kind in WAITED_FOR, one[1].kind in TRIED_AGAIN))
    what = f"{len(failed)} of {len(results)} users failed, user {user}: {worst.what}"
    return replace(worst, what=what)


class Watch:
    """Tells the progress of all users as if it were one's: the mean step, how many play and how many are done. Thread-safe."""

    def __init__(self, progress: Progress, users: int) -> None:
        self._progress = progress
        self._users = users
        self._steps: dict[int, int] = {}
        self._done = 0
        self._lock = threading.Lock()

    def of(self, user: int) -> UserWatcher:
        """What this user's player tells."""
        return UserWatcher(self, user)

    def step(self, user: int, number: int) -> None:
        """This user has come to this step."""
        with self._lock:
            self._steps[user] = number
            mean = sum(self._steps.values()) // self._users
            playing = len(self._steps) - self._done
            self._progress.step(max(1, mean), f"{playing} of {self._users} users playing, {self._done} done")

    def action(self, ended: ActionResult) -> None:
        """An action of any user came to its end."""
        with self._lock:
            self._progress.action(ended)

    def ended(self, result: Repetition) -> None:
        """This user is done; says so when it has failed."""
        with self._lock:
            self._done += 1
            if result.failure is not None:
                step = f" at step {result.failure.step} ({result.failure.name})" if result.failure.step is not None else ""
                self._progress.say(f"user {result.user} failed{step}: {result.failure.what}; the others go on")


class UserWatcher:
    """The watcher of one user's player."""

    def __init__(self, watch: Watch, user: int) -> None:
        self._watch = watch
        self._user = user

    def step(self, number: int, name: str) -> None:  # noqa: ARG002 (the protocol's)
        """A step begins."""
        self._watch.step(self._user, number)

    def action(self, ended: ActionResult) -> None:
        """An action ended."""
        self._watch.action(ended)
