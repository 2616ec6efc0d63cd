"""The shaping proxy on real sockets with a clock that only the test moves."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from replay.lab.networks.link import Link
from replay.lab.shaping_proxy import Breaks, ShapingProxy, main
from sidecar.model.faults import UsageFault

MS = 1_000_000
DEADLINE_S = 30


class ManualClock:
    """Stands still until it is moved; whoever sleeps wakes in the order of time."""

    def __init__(self) -> None:
        self.time_ns = 0
        self.sleepers: list[tuple[int, asyncio.Event]] = []
        self.changed = asyncio.Event()

    def now_ns(self) -> int:
        return self.time_ns

    async def sleep_until(self, due_ns: int) -> None:
        if due_ns > self.time_ns:
            woken = asyncio.Event()
            self.sleepers.append((due_ns, woken))
            self.changed.set()
            await woken.wait()

    async def next_due(self) -> int:
        """Waits until somebody sleeps; gives the earliest time that somebody sleeps for."""
        while not self.sleepers:
            self.changed.clear()
            await asyncio.wait_for(self.changed.wait(), DEADLINE_S)
        return min(due_ns for due_ns, _ in self.sleepers)

    def move_to(self, time_ns: int) -> None:
        self.time_ns = time_ns
        for sleeper in [one for one in self.sleepers if one[0] <= time_ns]:
            self.sleepers.remove(sleeper)
            sleeper[1].set()


class InstantClock(ManualClock):
    """Time passes by being waited for."""

    async def sleep_until(self, due_ns: int) -> None:
        self.time_ns = max(self.time_ns, due_ns)


async def shouting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers each line in capitals; `N bytes` with so many bytes, then the end."""
    while line := await reader.readline():
        count, _, unit = line.decode().strip().partition(" ")
        writer.write(b"x" * int(count) if unit == "bytes" else line.upper())
        await writer.drain()
    writer.close()


@asynccontextmanager
async def line(
    link: Link, clock: ManualClock, breaks: Breaks | None = None
) -> AsyncIterator[tuple[ShapingProxy, Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]]]:
    """A shouting server behind a proxy, and how to connect to the proxy."""
    server = await asyncio.start_server(shouting, "127.0.0.1", 0)
    proxy = ShapingProxy(to=server.sockets[0].getsockname()[:2], link=link, clock=clock, breaks=breaks or Breaks())
    front = await proxy.serve("127.0.0.1", 0)
    opened: list[asyncio.StreamWriter] = []

    async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(*front.sockets[0].getsockname()[:2])
        opened.append(writer)
        return reader, writer

    try:
        yield proxy, connect
    finally:
        for one in opened:
            one.close()
        front.close()
        server.close()


def test_a_question_takes_a_handshake_and_a_way_and_its_answer_a_way_back() -> None:
    async def scene() -> None:
        clock = ManualClock()
        async with line(Link(delay_ns=10 * MS), clock) as (_, connect):
            reader, writer = await connect()
            writer.write(b"hello\n")
            assert await clock.next_due() == 30 * MS  # a round trip for the handshake, then one way
            clock.move_to(30 * MS)
            assert await clock.next_due() == 40 * MS
            answer = asyncio.ensure_future(reader.readline())
            clock.move_to(39 * MS)
            assert not answer.done()
            clock.move_to(40 * MS)
            assert await asyncio.wait_for(answer, DEADLINE_S) == b"HELLO\n"
            writer.write(b"again\n")
            assert await clock.next_due() == 50 * MS  # no handshake any more

    asyncio.run(scene())


def test_a_rate_is_shared_by_all_connections() -> None:
    async def scene() -> None:
        clock = InstantClock()
        async with line(Link(down_bits=8_000_000), clock) as (proxy, connect):  # a byte a microsecond
            for number in (1, 2):
                reader, writer = await connect()
                writer.write(b"100000 bytes\n")
                assert len(await asyncio.wait_for(reader.readexactly(100_000), DEADLINE_S)) == 100_000
                assert clock.time_ns == number * 100 * MS
            assert proxy.connections == 2

    asyncio.run(scene())


def test_bytes_come_through_whole_and_in_order_and_the_end_comes_too() -> None:
    async def scene() -> None:
        async with line(Link(delay_ns=MS, up_bits=10_000_000), InstantClock()) as (proxy, connect):
            reader, writer = await connect()
            sent = [f"{number:06d} words\n".encode() for number in range(20_000)]
            writer.writelines(sent)
            writer.write_eof()
            assert await asyncio.wait_for(reader.read(-1), DEADLINE_S) == b"".join(sent).upper()
            assert proxy.broken == 0

    asyncio.run(scene())


def test_who_sends_faster_than_the_line_has_to_wait() -> None:
    async def scene() -> None:
        clock = ManualClock()
        async with line(Link(up_bits=8_000), clock) as (_, connect):
            _, writer = await connect()
            writer.transport.set_write_buffer_limits(high=0)
            writer.write(b"x" * 64 * 1024 * 1024)
            await clock.next_due()
            with pytest.raises(asyncio.TimeoutError):  # nothing moves while the clock stands
                await asyncio.wait_for(writer.drain(), 0.05)
            writer.transport.abort()

    asyncio.run(scene())


def test_a_connection_is_broken_off_by_a_reset_after_so_many_bytes() -> None:
    async def scene() -> None:
        breaks = Breaks(share=1.0, after_bytes=50_000)
        async with line(Link(), InstantClock(), breaks) as (proxy, connect):
            reader, writer = await connect()
            writer.write(b"10000 bytes\n")
            await asyncio.wait_for(reader.readexactly(10_000), DEADLINE_S)
            writer.write(b"90000 bytes\n")
            with pytest.raises(ConnectionResetError):
                await asyncio.wait_for(reader.read(-1), DEADLINE_S)
            assert proxy.broken == 1

    asyncio.run(scene())


def test_a_share_of_connections_breaks_the_same_ones_for_the_same_seed() -> None:
    def drawn() -> list[int | None]:
        breaks = Breaks(share=0.25, after_bytes=7, chance=random.Random(5))
        return [breaks.draw() for _ in range(400)]

    first, second = drawn(), drawn()
    assert first == second
    assert 60 < first.count(7) < 140
    assert first.count(7) + first.count(None) == 400
    assert {Breaks().draw() for _ in range(50)} == {None}


def test_a_server_that_is_not_there_resets_the_client() -> None:
    async def scene() -> None:
        closed = await asyncio.start_server(shouting, "127.0.0.1", 0)
        address = closed.sockets[0].getsockname()[:2]
        closed.close()
        proxy = ShapingProxy(to=address, link=Link(), clock=InstantClock())
        front = await proxy.serve("127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*front.sockets[0].getsockname()[:2])
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(-1), DEADLINE_S)
        writer.close()
        front.close()

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--listen", "8090", "--to", "127.0.0.1:1", "--link", "1ms,any,any"], "'8090' is not HOST:PORT"),
        (["--listen", "127.0.0.1:0", "--to", "127.0.0.1:99999", "--link", "1ms,any,any"], "'127.0.0.1:99999' is not HOST:PORT"),
        (["--listen", "127.0.0.1:0", "--to", "127.0.0.1:1", "--link", "slow"], "'slow' is no line"),
        (["--listen", "127.0.0.1:0", "--to", "127.0.0.1:1", "--link", "1ms,any,any,1%"], "loses no packets"),
    ],
)
def test_wrong_use_is_named(arguments: list[str], what: str) -> None:
    with pytest.raises(UsageFault, match=what):
        main(arguments)


def test_a_port_that_is_taken_is_named() -> None:
    async def scene() -> None:
        async with line(Link(), InstantClock()) as (proxy, _):
            other = await asyncio.start_server(shouting, "127.0.0.1", 0)
            port = other.sockets[0].getsockname()[1]
            with pytest.raises(UsageFault, match=rf"127\.0\.0\.1:{port} cannot be listened to"):
                await proxy.serve("127.0.0.1", port)
            other.close()

    asyncio.run(scene())
