"""One virtual user as the site sees it: cookies, what a cache would ask with, redirects, and the headers of every request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urljoin, urlsplit

from replay.http.cookies import CookieJar
from replay.http.correlate import head_text
from replay.http.played import Clock, Played, UnexpectedAnswerError
from replay.http.recording import Request
from replay.http.transport import CODINGS, Answer, Transport
from replay.transfers import Exchange

#: XNAT treats whoever says this as a browser: log-in pages instead of 401, and the CSRF token is asked for
USER_AGENT: Final = "Mozilla/5.0 (compatible; Tracemark replay)"
_HOPS = 20
_REDIRECTS = (301, 302, 303, 307, 308)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """A request with its values in place; `url` is whole."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Landed:
    """What a request came to: the last answer, its address, and the heads of all hops as a text."""

    answer: Answer
    url: str
    heads: str


class Agent:
    """Sends requests as one user's browser would; counts what it sends in `played`."""

    def __init__(self, transport: Transport, clock: Clock, played: Played) -> None:
        self._transport, self._clock, self._played = transport, clock, played
        self._jar = CookieJar()
        self._validators: dict[str, tuple[str, str]] = {}
        self._icons: set[str] = set()

    def has_icon(self, url: str) -> bool:
        """Whether a browser would not ask for this icon again."""
        return url in self._icons

    def keep_icon(self, url: str, answer: Answer) -> None:
        """Remember an icon as a browser does: it keeps it where it may, and remembers that there is none."""
        kept = any(name.lower() in ("etag", "last-modified", "expires") or "max-age" in value for name, value in answer.headers)
        if answer.status == 404 or (answer.status == 200 and kept):
            self._icons.add(url)

    async def exchange(self, request: Request, filled: Filled, label: str, on_head: Callable[[], None]) -> Landed:
        """Send it and follow where it leads; `on_head` is called when the head of the last answer is there."""
        method, url, body = filled.method, filled.url, filled.body
        headers = filled.headers | {"User-Agent": USER_AGENT, "Accept-Encoding": CODINGS, "traceparent": label}
        heads = []
        redirected = request.lands is not None
        for hop in range(_HOPS):
            if 0 < hop <= len(request.hop_ms):
                await self._clock.sleep(request.hop_ms[hop - 1] / 1000)
            answer = await self._send(
                Filled(method=method, url=url, headers=headers, body=body), request, _nothing if redirected else on_head
            )
            heads.append(answer.headers)
            target = next((value for name, value in answer.headers if name.lower() == "location"), None)
            if answer.status not in _REDIRECTS or target is None:
                return Landed(answer=answer, url=url, heads=head_text(heads))
            origin = _origin(url)
            url = urljoin(url, target).partition("#")[0]
            if _origin(url) != origin:
                raise UnexpectedAnswerError(
                    "the site leads to another address", "replay on the address that it leads to", answer.status
                )
            if answer.status == 303 or (answer.status in (301, 302) and method == "POST"):
                method, body = "GET", None
                headers = {name: value for name, value in headers.items() if name.lower() not in ("content-type", "origin")}
        raise UnexpectedAnswerError(f"{told(request)} is redirected without end", "look at the site", 0)

    async def _send(self, one: Filled, request: Request, on_head: Callable[[], None]) -> Answer:
        sent = dict(one.headers)
        begin_ns = self._clock.wall_ns()
        if cookies := self._jar.header(one.url, begin_ns / 1e9):
            sent["Cookie"] = cookies
        if request.conditional and one.url in self._validators:
            tag, modified = self._validators[one.url]
            sent |= {name: value for name, value in (("If-None-Match", tag), ("If-Modified-Since", modified)) if value}
        answer = await self._transport.send(
            one.method, one.url, list(sent.items()), one.body, keep=bool(request.takes), on_head=on_head
        )
        end_ns = self._clock.wall_ns()
        self._played.requests += 1
        self._played.down_bytes += answer.size
        self._played.exchanges.append(
            Exchange(start_ns=begin_ns, end_ns=end_ns, down_bytes=answer.size, up_bytes=len(one.body or b""))
        )
        tag = modified = ""
        for name, value in answer.headers:
            lower = name.lower()
            if lower == "set-cookie":
                self._jar.keep(one.url, value, end_ns / 1e9)
            elif lower == "etag":
                tag = value
            elif lower == "last-modified":
                modified = value
        if answer.status == 200 and one.method == "GET" and (tag or modified):
            self._validators[one.url] = tag, modified
        return answer


def told(request: Request) -> str:
    """A request as it may be shown: without its query."""
    return f"{request.method} {request.url.partition('?')[0]}"


def _origin(url: str) -> tuple[str, str]:
    place = urlsplit(url)
    return place.scheme, place.netloc


def _nothing() -> None:
    """For a hop that is not the last."""
