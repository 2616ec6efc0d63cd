"""A sidecar whose clock is not this computer's, and a way to it that takes now long and now short."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.waiting import wait_until

_OTHER_CLOCK = """
import time
_real, _since = time.time_ns, {since_ns}
def time_ns():
    now = _real()
    return now + {ahead_ns} + (now - _since) * {ppm} // 1_000_000
time.time_ns, time.time = time_ns, lambda: time_ns() / 1e9
"""


class FarClock:
    """A clock that is `ahead_ms` of this computer's and runs `ppm` faster."""

    def __init__(self, ahead_ms: int, ppm: int) -> None:
        self._ahead_ns = ahead_ms * 1_000_000
        self._ppm = ppm
        self._since_ns = time.time_ns()

    def ahead_ns(self, wall_ns: int) -> int:
        """How far it is ahead when this computer's clock says `wall_ns`."""
        return self._ahead_ns + (wall_ns - self._since_ns) * self._ppm // 1_000_000

    def settings(self, folder: Path) -> dict[str, str]:
        """What makes a Python program that is started with it go by this clock."""
        folder.mkdir()
        text = _OTHER_CLOCK.format(since_ns=self._since_ns, ahead_ns=self._ahead_ns, ppm=self._ppm)
        (folder / "sitecustomize.py").write_text(text, encoding="utf-8")
        return {"PYTHONPATH": str(folder)}


@contextmanager
def jittery(target: str, jitter_ms: float, seed: int) -> Iterator[str]:
    """HOST:PORT that leads to `target`; each piece takes up to `jitter_ms` longer, each way, and none overtakes another."""
    chance = random.Random(seed)
    host, _, port = target.rpartition(":")
    address: list[str] = []
    loop = asyncio.new_event_loop()
    over = asyncio.Event()

    async def passed_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def read() -> None:
            with suppress(OSError):
                while piece := await source.read(65536):
                    pieces.put_nowait((loop.time() + chance.uniform(0, jitter_ms) / 1000, piece))
            pieces.put_nowait((0, b""))

        reading = asyncio.create_task(read())
        with suppress(OSError):
            while (due := await pieces.get())[1]:
                await asyncio.sleep(max(0, due[0] - loop.time()))
                sink.write(due[1])
                await sink.drain()
        sink.close()
        await reading

    async def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            onward = await asyncio.open_connection(host, int(port))
        except OSError:
            writer.close()
            return
        await asyncio.gather(passed_on(reader, onward[1]), passed_on(onward[0], writer))

    async def serve() -> None:
        async with await asyncio.start_server(met, "127.0.0.1", 0) as server:
            address.append(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
            await over.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    try:
        wait_until(lambda: address, "the way to be open")
        yield address[0]
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(5)
