"""The connections of one virtual user: kept alive, at most six per host as in a browser; answers are read and thrown away."""

from __future__ import annotations

import ssl
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace, TracebackType
from typing import Protocol

import aiohttp
from yarl import URL

from replay.failures import CertificateError, ConnectionFailedError
from replay.http.observed import Headers, header

#: how long a connection may take, and how long a server may say nothing
_CONNECT_S, _SILENCE_S = 30.0, 300.0
_CHUNK = 256 * 1024
#: asking these twice does no harm
_ASKED_AGAIN = ("GET", "HEAD")
#: what is kept of an answer that values are taken from
_KEPT_BYTES = 4_000_000
#: codings that answers are asked for in: what a browser asks for beside these cannot be read here
CODINGS = "gzip, deflate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer's head and the size of its body as it came over the line; `text` only where it was to be kept."""

    status: int
    headers: Headers
    size: int
    text: str

    def header(self, name: str) -> str:
        """The value of a header, empty where it is not there."""
        return header(self.headers, name)


class Transport(Protocol):
    """Sends one request over the connections of a user; raises ConnectionFailedError or CertificateError."""

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
        """Read the answer to its end; `on_head` is called when its head is there."""


@dataclass(slots=True)
class _Used:
    """The connection of a request: whether another one had it `before`, and whether it `answered`."""

    before: bool = False
    answered: bool = False


def _traced() -> aiohttp.TraceConfig:
    """Tells every request's `_Used` of its connection; a request that the client itself repeats has several."""

    async def again(_: object, context: SimpleNamespace, __: object) -> None:
        context.trace_request_ctx.before = True

    async def anew(_: object, context: SimpleNamespace, __: object) -> None:
        context.trace_request_ctx.before = False

    config = aiohttp.TraceConfig()
    config.on_connection_reuseconn.append(again)
    config.on_connection_create_start.append(anew)
    return config


class Connections:
    """The connections of one user over aiohttp; an async context. `tls` replaces the system's trusted authorities."""

    def __init__(self, per_host: int = 6, tls: ssl.SSLContext | None = None) -> None:
        self._per_host = per_host
        self._tls = tls
        self._client: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Connections:
        connector = aiohttp.TCPConnector(limit=0, limit_per_host=self._per_host, ssl=self._tls or True, use_dns_cache=True)
        self._client = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_SILENCE_S),
            read_bufsize=_CHUNK,
            trace_configs=[_traced()],
        )
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._client is not None:
            await self._client.close()

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
        """As `Transport.send`.

        A server may close a connection that rests, at the very moment at which it is used again: as a browser does, a question
        that got no answer on such a connection is asked once more, until it is asked on a new one.
        """
        assert self._client is not None  # noqa: S101 (inside the context)
        for _ in range(self._per_host if method in _ASKED_AGAIN else 0):
            used = _Used()
            try:
                return await self._sent(method, url, headers, body, used, keep=keep, on_head=on_head)
            except ConnectionFailedError as error:
                if not used.before or used.answered or isinstance(error.__cause__, TimeoutError):
                    raise
        return await self._sent(method, url, headers, body, _Used(), keep=keep, on_head=on_head)

    async def _sent(
        self,
        method: str,
        url: str,
        headers: Sequence[tuple[str, str]],
        body: bytes | None,
        used: _Used,
        *,
        keep: bool,
        on_head: Callable[[], None],
    ) -> Answer:
        assert self._client is not None  # noqa: S101 (inside the context)
        try:
            async with self._client.request(
                method,
                URL(url, encoded=True),
                headers=list(headers),
                data=body,
                allow_redirects=False,
                trace_request_ctx=used,
            ) as response:
                used.answered = True
                on_head()
                size, kept = 0, bytearray()
                async for chunk in response.content.iter_any():
                    size += len(chunk)
                    if keep and len(kept) < _KEPT_BYTES:
                        kept += chunk
                heads = tuple((str(name), str(value)) for name, value in response.headers.items())
                coding = response.headers.get("Content-Encoding", "")
                text = _decoded(bytes(kept), coding).decode(_charset(response.headers.get("Content-Type", "")), "replace")
                return Answer(status=response.status, headers=heads, size=size, text=text)
        except aiohttp.ClientConnectorCertificateError as error:
            raise CertificateError("the site's certificate is not trusted", "install its authority, or correct --url") from error
        except aiohttp.ClientSSLError as error:
            raise CertificateError("the site does not speak TLS as it should", "correct --url") from error
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            what = f"the site cannot be reached, or a connection to it broke off ({type(error).__name__})"
            raise ConnectionFailedError(what, "look at the network and the site") from error


def _decoded(body: bytes, coding: str) -> bytes:
    if not body or coding.lower() not in ("gzip", "x-gzip", "deflate"):
        return body
    try:
        return zlib.decompressobj(wbits=47 if "gzip" in coding else 15).decompress(body, _KEPT_BYTES)
    except zlib.error as error:
        raise ConnectionFailedError(
            f"an answer that says it is {coding} is not ({error})", "look at the site and what stands before it"
        ) from error


def _charset(kind: str) -> str:
    return "latin-1" if "iso-8859-1" in kind.lower() else "utf-8"
