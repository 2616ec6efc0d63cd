"""One virtual user's session without a browser: the recorded requests in their order, with this user's values."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from replay.failures import Failure, failure_of
from replay.http.exchange import Agent, Filled, Landed, told
from replay.http.played import ActionWatcher, Clock, Played, SessionFailedError, Tolerance, UnexpectedAnswerError
from replay.http.recording import Phase, Recording, Request, Take, plain_kind
from replay.http.references import READ, MissingValueError, fill
from replay.http.transport import Transport
from replay.player import NO_ACTION, MarkerSink, traceparent
from replay.results import ActionResult
from replay.steps_viewer import varied
from sidecar.model.faults import Fault


async def play_session(
    recording: Recording,
    account: Mapping[str, str],
    clock: Clock,
    sink: MarkerSink,
    *,
    site: str,
    session: str,
    transport: Transport,
    seed: int = 0,
    pace: float = 1.0,
    parameters: Mapping[str, str] | None = None,
    tolerance: Tolerance | None = None,
    watcher: ActionWatcher | None = None,
) -> Played:
    """Play it; `account` holds the environment variables that the recording refers to, `pace` divides all pauses.

    Marks every action in `sink` and sends its traceparent with every request (`session` is the trace id). Raises
    SessionFailedError, after the open action has been cancelled.
    """
    player = _Session(recording, clock, sink, site.rstrip("/"), session, transport, pace, tolerance or Tolerance(), watcher)
    player.values |= {**recording.parameters, **(parameters or {})}
    player.values |= {f"env:{name}": value for name, value in account.items()}
    try:
        async with asyncio.TaskGroup() as group:
            await player.play(group, random.Random(seed))  # noqa: S311 (variation, not a secret)
    except BaseExceptionGroup as errors:
        player.cancel()
        first = _first(errors)
        if not isinstance(first, Fault):
            raise first from None
        raise SessionFailedError(player.failure(first), player.played) from first
    except BaseException:
        player.cancel()
        raise
    return player.played


class _Session:
    """The state of one session."""

    def __init__(
        self,
        recording: Recording,
        clock: Clock,
        sink: MarkerSink,
        site: str,
        session: str,
        transport: Transport,
        pace: float,
        tolerance: Tolerance,
        watcher: ActionWatcher | None,
    ) -> None:
        place = urlsplit(site)
        self._recording, self._clock, self._sink = recording, clock, sink
        self._site, self._base, self._session = site, place.path, session
        self._pace, self._tolerance, self._watcher = pace, tolerance, watcher
        self._heads = [_Moment() for _ in recording.requests]
        self._ends = [_Moment() for _ in recording.requests]
        self._open: ActionResult | None = None
        self.values: dict[str, str] = {"site": site, "origin": f"{place.scheme}://{place.netloc}"}
        self.played = Played()
        self._agent = Agent(transport, clock, self.played)
        self._failed_in: tuple[int, str] | None = None

    async def play(self, group: asyncio.TaskGroup, chance: random.Random) -> None:
        """Play the phases one after the other; what does not belong to an action goes on beside them."""
        for number, phase in enumerate(self._recording.phases):
            due_ns = self._clock.mono_ns()
            for seconds, variation in phase.thinks:
                pause_s = varied(seconds, variation, chance) / self._pace
                due_ns += round(pause_s * 1e9)
                await self._clock.sleep(pause_s)
            await self._phase(group, number, phase, self._recording.by_phase.get(number, ()), due_ns)
        for ended in self._ends:
            await ended.wait()

    async def _phase(self, group: asyncio.TaskGroup, number: int, phase: Phase, requests: Sequence[int], due_ns: int) -> None:
        scale = self._recording.pace / self._pace if phase.paced or phase.action is None else 1.0
        action = self._begin(number, phase)
        mono_ns, wall_ns = self._clock.mono_ns(), self._clock.wall_ns()
        label = traceparent(self._session, action.action_id if action is not None else NO_ACTION)
        sizes: list[int] = []
        for one in requests:
            group.create_task(self._request(one, label, scale, phase, number, sizes, due_ns))
        if action is None:
            return
        for one in requests:
            if self._recording.requests[one].waits:
                await self._ends[one].wait()
        await self._clock.sleep(phase.settle_ms * scale / 1000)
        if sizes:
            action.attributes["bytes"] = sum(sizes)
        self._sink.end(action.action_id, **action.attributes)
        action.duration_ns = self._clock.mono_ns() - mono_ns
        action.outcome = "completed"
        self._open = None
        self.played.phases.append((number + 1, action.action, wall_ns, self._clock.wall_ns()))
        if self._watcher is not None:
            self._watcher.action(action)

    def _begin(self, number: int, phase: Phase) -> ActionResult | None:
        if phase.action is None:
            return None
        if self._watcher is not None:
            self._watcher.step(number + 1, phase.action)
        action_id = self._sink.begin(phase.action)
        self._open = ActionResult(action=phase.action, action_id=action_id, begin_ns=self._clock.wall_ns())
        self.played.actions.append(self._open)
        return self._open

    def cancel(self) -> None:
        """Take back the action that is open, if one is."""
        if self._open is not None:
            self._sink.cancel(self._open.action_id)
            self._open.outcome = "cancelled"
            self._open = None

    def failure(self, error: Fault) -> Failure:
        """What stopped the session."""
        judged = failure_of(error, kind=getattr(error, "kind", "site"))
        number, name = self._failed_in or (None, None)
        return Failure(kind=judged.kind, what=judged.what, remedy=judged.remedy, step=number, name=name)

    async def _request(self, number: int, label: str, scale: float, phase: Phase, at: int, sizes: list[int], due_ns: int) -> None:
        request = self._recording.requests[number]
        try:
            if request.of is not None:
                due_ns = await (self._heads if request.event == "head" else self._ends)[request.of].wait()
            if request.delay_ms:
                due_ns += round(request.delay_ms * scale * 1e6)
                await self._clock.sleep((due_ns - self._clock.mono_ns()) / 1e9)
            for source in self._recording.needs[number]:
                due_ns = max(due_ns, await self._ends[source].wait())
            self.played.late_ns.append(max(0, self._clock.mono_ns() - due_ns))
            filled = self._filled(request)
            if not (request.icon and self._agent.has_icon(filled.url)):
                landed = await self._agent.exchange(request, filled, label, lambda: self._over(self._heads[number]))
                self._take_in(request, landed, phase, sizes)
        except Fault:
            if self._failed_in is None:
                self._failed_in = (at + 1, phase.action or "between two actions")
            raise
        else:
            self._over(self._heads[number])
            self._over(self._ends[number])

    def _over(self, moment: _Moment) -> None:
        moment.set(self._clock.mono_ns())

    def _take_in(self, request: Request, landed: Landed, phase: Phase, sizes: list[int]) -> None:
        if request.icon:
            self._agent.keep_icon(landed.url, landed.answer)
            return
        self._check(request, landed, phase)
        for take in request.takes:
            self.values[take.name] = _taken(take, landed, request)
        if request.download:
            sizes.append(landed.answer.size)

    def _filled(self, request: Request) -> Filled:
        url = fill(request.url, self.values)
        return Filled(
            method=request.method,
            url=url if url.startswith(("http:", "https:")) else self._site + url,
            headers={name: fill(value, self.values) for name, value in request.headers.items()},
            body=fill(request.body, self.values).encode() if request.body is not None else None,
        )

    def _check(self, request: Request, landed: Landed, phase: Phase) -> None:
        answer = landed.answer
        login = phase.action == "login"
        status = answer.status
        unchanged = status == 304 and request.conditional
        if status // 100 != (2 if request.conditional else request.status // 100) and not unchanged:
            what = f"{told(request)} is answered with {status}, not with {request.status}"
            raise UnexpectedAnswerError(what, "look at the site, or record the session again", status)
        wanted = fill(request.url if request.lands is None else request.lands, self.values)
        if _path(landed.url, self._base) != _path(wanted, self._base):
            remedy = "check the account" if login else "look at the site, or record the session again"
            raise UnexpectedAnswerError(f"{told(request)} leads to another page than recorded", remedy, status, login=login)
        if request.size is not None and not request.conditional and not self._tolerance.accepts(request.size, answer.size):
            what = f"{told(request)} is answered with {answer.size} bytes, not with about {request.size}"
            raise UnexpectedAnswerError(what, "record the session again if the data have changed", status)
        kind = plain_kind(answer.header("content-type"))
        if request.kind and kind != request.kind:
            what = f"{told(request)} is answered with {kind or 'no content type'}, not with {request.kind}"
            raise UnexpectedAnswerError(what, "record the session again: it was not asked as the browser asked", status)


class _Moment:
    """Something that happens once; whoever waits for it is told when it was, by the monotonic clock."""

    __slots__ = ("_at_ns", "_waiting")

    def __init__(self) -> None:
        self._at_ns: int | None = None
        self._waiting: asyncio.Event | None = None

    def set(self, at_ns: int) -> None:
        """It happened then; the first time counts."""
        if self._at_ns is None:
            self._at_ns = at_ns
            if self._waiting is not None:
                self._waiting.set()

    async def wait(self) -> int:
        """When it happened, once it has."""
        while self._at_ns is None:
            if self._waiting is None:
                self._waiting = asyncio.Event()
            await self._waiting.wait()
        return self._at_ns


def _taken(take: Take, landed: Landed, request: Request) -> str:
    answer = landed.answer
    for number, match in enumerate(re.finditer(take.pattern, landed.heads if take.where == "head" else answer.text)):
        if number == take.nth:
            return READ[take.form](match[1])
    what = f"the answer to {told(request)} holds no value for {take.name}"
    kind = plain_kind(answer.header("content-type")) or "no content type"
    raise MissingValueError(
        f"{what} (status {answer.status}, {kind}, {answer.size} bytes; recorded {request.size or 'an unknown number'})",
        "compare the page with the recorded one, or record the session again",
    )


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """What stopped the session: all requests of a session are given up when one fails."""
    first = errors.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


def _path(url: str, base: str) -> str:
    path = urlsplit(url).path
    return path.removeprefix(base) if url.startswith(("http:", "https:")) else path
