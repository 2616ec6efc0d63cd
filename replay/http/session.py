"""One virtual user's session without a browser: the recorded requests in their order, with this user's cookies and values."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final
from urllib.parse import urljoin, urlsplit

from replay.failures import Failure, failure_of
from replay.http.cookies import CookieJar
from replay.http.correlate import head_text
from replay.http.played import ActionWatcher, Clock, Played, SessionFailedError, Tolerance, UnexpectedAnswerError
from replay.http.recording import Phase, Recording, Request, Take
from replay.http.references import READ, MissingValueError, fill, names
from replay.http.transport import CODINGS, Answer, Transport
from replay.player import NO_ACTION, MarkerSink, traceparent
from replay.results import ActionResult
from replay.steps_viewer import varied
from replay.transfers import Exchange
from sidecar.model.faults import Fault

#: XNAT treats whoever says this as a browser: log-in pages instead of 401, and the CSRF token is asked for
USER_AGENT: Final = "Mozilla/5.0 (compatible; Tracemark replay)"
_HOPS = 20
_REDIRECTS = (301, 302, 303, 307, 308)


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
        self._recording, self._clock, self._sink, self._transport = recording, clock, sink, transport
        self._site, self._base, self._session = site, place.path, session
        self._pace, self._tolerance, self._watcher = pace, tolerance, watcher
        self._jar = CookieJar()
        self._validators: dict[str, tuple[str, str]] = {}
        self._icons: set[str] = set()
        self._heads = [asyncio.Event() for _ in recording.requests]
        self._ends = [asyncio.Event() for _ in recording.requests]
        self._source = {take.name: number for number, one in enumerate(recording.requests) for take in one.takes}
        self._open: ActionResult | None = None
        self._where: Phase | None = None
        self.values: dict[str, str] = {"site": site, "origin": f"{place.scheme}://{place.netloc}"}
        self.played = Played()
        self._failed_in: tuple[int, str] | None = None

    async def play(self, group: asyncio.TaskGroup, chance: random.Random) -> None:
        """Play the phases one after the other; what does not belong to an action goes on beside them."""
        by_phase: dict[int, list[int]] = {}
        for number, request in enumerate(self._recording.requests):
            by_phase.setdefault(request.phase, []).append(number)
        for number, phase in enumerate(self._recording.phases):
            for seconds, variation in phase.thinks:
                await self._clock.sleep(varied(seconds, variation, chance) / self._pace)
            await self._phase(group, number, phase, by_phase.get(number, []))
        await asyncio.gather(*(ended.wait() for ended in self._ends))

    async def _phase(self, group: asyncio.TaskGroup, number: int, phase: Phase, requests: Sequence[int]) -> None:
        scale = self._recording.pace / self._pace if phase.paced or phase.action is None else 1.0
        action = self._begin(number, phase)
        mono_ns, wall_ns = self._clock.mono_ns(), self._clock.wall_ns()
        label = traceparent(self._session, action.action_id if action is not None else NO_ACTION)
        sizes: list[int] = []
        for one in requests:
            group.create_task(self._request(one, label, scale, phase, number, sizes))
        if action is None:
            return
        await asyncio.gather(*(self._ends[one].wait() for one in requests if self._recording.requests[one].waits))
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

    async def _request(self, number: int, label: str, scale: float, phase: Phase, at: int, sizes: list[int]) -> None:
        request = self._recording.requests[number]
        try:
            if request.of is not None:
                await (self._heads if request.event == "head" else self._ends)[request.of].wait()
            if request.delay_ms:
                await self._clock.sleep(request.delay_ms * scale / 1000)
            for source in self._needs(request):
                await self._ends[source].wait()
            if request.icon:
                await self._icon(number, request, label)
                return
            answer, landed, heads = await self._exchange(number, request, label)
            self._check(request, answer, landed, phase)
            for take in request.takes:
                self.values[take.name] = _taken(take, heads if take.where == "head" else answer.text, request)
            if request.download:
                sizes.append(answer.size)
        except Fault:
            if self._failed_in is None:
                self._failed_in = (at + 1, phase.action or "between two actions")
            raise
        else:
            self._heads[number].set()
            self._ends[number].set()

    async def _icon(self, number: int, request: Request, label: str) -> None:
        url = fill(request.url, self.values)
        if url not in self._icons:
            answer, _, _ = await self._exchange(number, request, label)
            kept = any(
                name.lower() in ("etag", "last-modified", "expires") or "max-age" in value for name, value in answer.headers
            )
            if answer.status == 404 or (answer.status == 200 and kept):
                self._icons.add(url)  # a browser keeps it, or remembers that there is none
        self._heads[number].set()
        self._ends[number].set()

    def _needs(self, request: Request) -> set[int]:
        texts = [request.url, request.body or "", *request.headers.values()]
        return {self._source[name] for text in texts for name in names(text) if name in self._source}

    async def _exchange(self, number: int, request: Request, label: str) -> tuple[Answer, str, str]:
        """Send it and follow where it leads; the last answer, its address, and the heads of all."""
        url = fill(request.url, self.values)
        url = url if url.startswith(("http:", "https:")) else self._site + url
        method = request.method
        body = fill(request.body, self.values).encode() if request.body is not None else None
        headers = {name: fill(value, self.values) for name, value in request.headers.items()}
        headers |= {"User-Agent": USER_AGENT, "Accept-Encoding": CODINGS, "traceparent": label}
        heads = []
        last = request.lands is not None
        for _ in range(_HOPS):
            on_head = self._heads[number].set if not last else _nothing
            answer = await self._send(method, url, headers, body, bool(request.takes), request.conditional, on_head)
            heads.append(answer.headers)
            target = next((value for name, value in answer.headers if name.lower() == "location"), None)
            if answer.status not in _REDIRECTS or target is None:
                return answer, url, head_text(heads)
            origin = _origin(url)
            url = urljoin(url, target).partition("#")[0]
            if _origin(url) != origin:
                raise UnexpectedAnswerError(
                    "the site leads to another address", "replay on the address that it leads to", answer.status
                )
            if answer.status == 303 or (answer.status in (301, 302) and method == "POST"):
                method, body = "GET", None
                headers = {name: value for name, value in headers.items() if name.lower() not in ("content-type", "origin")}
        raise UnexpectedAnswerError(f"{_told(request)} is redirected without end", "look at the site", 0)

    async def _send(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        body: bytes | None,
        keep: bool,
        conditional: bool,
        on_head: Callable[[], None],
    ) -> Answer:
        sent = dict(headers)
        if cookies := self._jar.header(url, self._clock.wall_ns() / 1e9):
            sent["Cookie"] = cookies
        if conditional and url in self._validators:
            tag, modified = self._validators[url]
            sent |= {name: value for name, value in (("If-None-Match", tag), ("If-Modified-Since", modified)) if value}
        begin_ns = self._clock.wall_ns()
        answer = await self._transport.send(method, url, list(sent.items()), body, keep=keep, on_head=on_head)
        self.played.requests += 1
        self.played.down_bytes += answer.size
        self.played.exchanges.append(
            Exchange(start_ns=begin_ns, end_ns=self._clock.wall_ns(), down_bytes=answer.size, up_bytes=len(body or b""))
        )
        named = {name.lower(): value for name, value in answer.headers}
        if answer.status == 200 and method == "GET" and ("etag" in named or "last-modified" in named):
            self._validators[url] = named.get("etag", ""), named.get("last-modified", "")
        for name, value in answer.headers:
            if name.lower() == "set-cookie":
                self._jar.keep(url, value, self._clock.wall_ns() / 1e9)
        return answer

    def _check(self, request: Request, answer: Answer, landed: str, phase: Phase) -> None:
        login = phase.action == "login"
        status = answer.status
        unchanged = status == 304 and request.conditional
        if status // 100 != (2 if request.conditional else request.status // 100) and not unchanged:
            what = f"{_told(request)} is answered with {status}, not with {request.status}"
            raise UnexpectedAnswerError(what, "look at the site, or record the session again", status)
        wanted = fill(request.url if request.lands is None else request.lands, self.values)
        if _path(landed, self._base) != _path(wanted, self._base):
            remedy = "check the account" if login else "look at the site, or record the session again"
            raise UnexpectedAnswerError(f"{_told(request)} leads to another page than recorded", remedy, status, login=login)
        if request.size is not None and not request.conditional and not self._tolerance.accepts(request.size, answer.size):
            what = f"{_told(request)} is answered with {answer.size} bytes, not with about {request.size}"
            raise UnexpectedAnswerError(what, "record the session again if the data have changed", status)


def _taken(take: Take, text: str, request: Request) -> str:
    for number, match in enumerate(re.finditer(take.pattern, text)):
        if number == take.nth:
            return READ[take.form](match[1])
    raise MissingValueError(f"the answer to {_told(request)} holds no value for {take.name}", "record the session again")


def _told(request: Request) -> str:
    """A request as it may be shown: without its query."""
    return f"{request.method} {request.url.partition('?')[0]}"


def _origin(url: str) -> tuple[str, str]:
    place = urlsplit(url)
    return place.scheme, place.netloc


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """What stopped the session: all requests of a session are given up when one fails."""
    first = errors.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


def _path(url: str, base: str) -> str:
    path = urlsplit(url).path
    return path.removeprefix(base) if url.startswith(("http:", "https:")) else path


def _nothing() -> None:
    """For a hop that is not the last."""
