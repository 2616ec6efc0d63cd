"""A slow line in plain Python, where network namespaces are not to be had: a TCP proxy with delay, rates and broken connections.

`python -m replay.lab.shaping_proxy --listen 127.0.0.1:8090 --to 127.0.0.1:8089 --link 9.1ms,100mbit,100mbit`

It works on streams, not on packets: there is no loss to retransmit and no slow start, and a connection's first bytes wait one
round trip more, which stands for the handshake that the proxy cannot delay. All connections share the line's two rates.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import socket
import struct
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from replay.lab.networks.lane import Lane
from replay.lab.networks.link import Link
from sidecar.model.faults import Fault, UsageFault

_CHUNK = 16 * 1024
#: chunks of one direction of one connection that are on their way; then its sender has to wait
_ON_THE_WAY = 256


class Clock(Protocol):
    """The port to time."""

    def now_ns(self) -> int: ...

    async def sleep_until(self, due_ns: int) -> None: ...


class SystemClock:
    """This machine's monotonic clock."""

    def now_ns(self) -> int:
        return time.monotonic_ns()

    async def sleep_until(self, due_ns: int) -> None:
        if (wait_ns := due_ns - time.monotonic_ns()) > 0:
            await asyncio.sleep(wait_ns / 1e9)


@dataclass(kw_only=True)
class Breaks:
    """Which connections are broken off: a share of them, each after `after_bytes` that came from the server."""

    share: float = 0.0
    after_bytes: int = 0
    chance: random.Random = field(default_factory=random.Random)

    def draw(self) -> int | None:
        """The bytes after which the next connection breaks; None when it does not."""
        return self.after_bytes if self.chance.random() < self.share else None


class BrokenOffError(Exception):
    """A connection came to the byte where it is to break."""


@dataclass(kw_only=True)
class ShapingProxy:
    """The line between `listen` and `to`; counts what it carried."""

    to: tuple[str, int]
    link: Link
    clock: Clock
    breaks: Breaks = field(default_factory=Breaks)
    connections: int = 0
    broken: int = 0

    def __post_init__(self) -> None:
        self._up = Lane(delay_ns=self.link.delay_ns, bits=self.link.up_bits)
        self._down = Lane(delay_ns=self.link.delay_ns, bits=self.link.down_bits)

    async def serve(self, host: str, port: int) -> asyncio.Server:
        """Listens; a UsageFault when it cannot."""
        try:
            return await asyncio.start_server(self._connection, host, port)
        except OSError as refused:
            raise UsageFault(
                f"{host}:{port} cannot be listened to ({refused.strerror})", "give another with --listen"
            ) from refused

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client: both directions until both are over, or one of them breaks."""
        self.connections += 1
        try:
            there_reader, there_writer = await asyncio.open_connection(*self.to)
        except OSError:
            _reset(writer)
            return
        first_ns = self.clock.now_ns() + 2 * self.link.delay_ns
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._carry(reader, there_writer, self._up, first_ns, None))
                both.create_task(self._carry(there_reader, writer, self._down, 0, self.breaks.draw()))
        except* (OSError, BrokenOffError) as ended:
            self.broken += ended.subgroup(BrokenOffError) is not None
            _reset(writer)
            _reset(there_writer)
        else:
            for one in (writer, there_writer):
                one.close()
                with suppress(OSError):
                    await one.wait_closed()

    async def _carry(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, lane: Lane, first_ns: int, breaks_after: int | None
    ) -> None:
        """One direction. Taking and giving are two tasks: what enters while something is on its way keeps its own time."""
        on_the_way: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue(_ON_THE_WAY)

        async def take() -> None:
            while data := await source.read(_CHUNK):
                await on_the_way.put((lane.enter_patiently(len(data), max(first_ns, self.clock.now_ns())), data))
            await on_the_way.put((lane.enter_patiently(0, self.clock.now_ns()), b""))

        async def give() -> None:
            left = breaks_after
            while True:
                due_ns, data = await on_the_way.get()
                await self.clock.sleep_until(due_ns)
                if left is not None and len(data) > left:
                    target.write(data[:left])
                    await target.drain()
                    raise BrokenOffError
                if not data:
                    target.write_eof()
                    return
                left = None if left is None else left - len(data)
                target.write(data)
                await target.drain()

        async with asyncio.TaskGroup() as pair:
            pair.create_task(take())
            pair.create_task(give())


async def run(listen: tuple[str, int], proxy: ShapingProxy) -> None:
    """Serves until SIGTERM or SIGINT."""
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    server = await proxy.serve(*listen)
    print(f"a line of {proxy.link} from {listen[0]}:{listen[1]} to {proxy.to[0]}:{proxy.to[1]}", flush=True)
    await ended.wait()
    server.close()  # and no waiting for connections: they end with us
    print(f"{proxy.connections} connections, {proxy.broken} broken off", flush=True)


def main(argv: Sequence[str]) -> int:
    """The command line; faults are left to the caller."""
    parser = argparse.ArgumentParser(prog="shaping_proxy", description="A TCP proxy with delay, rate and broken connections.")
    parser.add_argument("--listen", required=True, metavar="HOST:PORT")
    parser.add_argument("--to", required=True, metavar="HOST:PORT", help="the server behind")
    parser.add_argument("--link", required=True, metavar="DELAYms,DOWN,UP", help="such as 9.1ms,100mbit,100mbit; any: no rate")
    parser.add_argument("--break-share", type=float, default=0.0, metavar="0..1", help="share of connections that are broken off")
    parser.add_argument("--break-after", type=int, default=0, metavar="BYTES", help="after so many bytes from the server")
    parser.add_argument("--seed", type=int, help="which connections break")
    wanted = parser.parse_args(argv)
    link = Link.parse(wanted.link)
    if link.loss:
        raise UsageFault("a proxy on TCP loses no packets", "leave the loss out of --link, or use --break-share")
    chance = random.Random(wanted.seed)  # noqa: S311 (no secret)
    breaks = Breaks(share=wanted.break_share, after_bytes=wanted.break_after, chance=chance)
    proxy = ShapingProxy(to=_address(wanted.to), link=link, clock=SystemClock(), breaks=breaks)
    asyncio.run(run(_address(wanted.listen), proxy))
    return 0


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise UsageFault(f"{text!r} is not HOST:PORT", "write such as 127.0.0.1:8090")
    return host, int(port)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Ends a connection as a line that is cut does for its user: with a reset, not in good order."""
    bare: socket.socket | None = writer.get_extra_info("socket")
    if bare is not None and not writer.is_closing():
        with suppress(OSError):
            bare.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Fault as fault:
        print(f"shaping_proxy: {fault}", file=sys.stderr)
        sys.exit(fault.exit_status)
