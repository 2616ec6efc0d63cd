"""Connections that a server closes while they rest: asked again on new ones, as a browser does, and never without end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from replay.failures import ConnectionFailedError
from replay.http.transport import Connections

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Deed = Callable[[Connections, str, "Site"], Awaitable[None]]


class Site:
    """Answers the first request of each connection (of those after `deaf` none) once `together` are there, and no second one."""

    def __init__(self, together: int) -> None:
        self.asked: list[str] = []
        self.connections = 0
        self.deaf = False
        self._together = asyncio.Barrier(together)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        first = self.connections <= self._together.parties
        self.asked.append((await reader.readuntil(b"\r\n\r\n")).decode().partition(" ")[0])
        if not self.deaf:
            if first:
                await self._together.wait()
            writer.write(ANSWER)
            await writer.drain()
            if request := (await reader.read(1 << 16)).decode():
                self.asked.append(request.partition(" ")[0])
        writer.close()


def with_site(deed: Deed, together: int) -> Site:
    """Run a deed with the connections of one user, after so many of them have had an answer."""

    async def whole() -> Site:
        site = Site(together)
        server = await asyncio.start_server(site.serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        async with server, Connections() as connections:
            await asyncio.gather(*(ask(connections, url) for _ in range(together)))
            await deed(connections, url, site)
        return site

    return asyncio.run(asyncio.wait_for(whole(), 60))


async def ask(connections: Connections, url: str, method: str = "GET") -> int:
    return (await connections.send(method, url, [], None, keep=False, on_head=lambda: None)).status


def test_a_question_is_asked_again_until_it_has_a_new_connection() -> None:
    async def deed(connections: Connections, url: str, _: Site) -> None:
        assert await ask(connections, url) == 200

    site = with_site(deed, 6)
    assert site.connections == 7
    assert len(site.asked) > 8, "more than the once that the client itself repeats"


def test_what_is_closed_at_once_is_a_failure_at_once() -> None:
    async def deed(connections: Connections, url: str, site: Site) -> None:
        site.deaf = True
        with pytest.raises(ConnectionFailedError, match="a connection to it broke off"):
            await ask(connections, url)

    assert with_site(deed, 2).connections <= 4


def test_what_changes_something_is_never_sent_twice() -> None:
    async def deed(connections: Connections, url: str, _: Site) -> None:
        with pytest.raises(ConnectionFailedError, match="a connection to it broke off"):
            await ask(connections, url, "POST")

    assert with_site(deed, 2).asked.count("POST") == 1
