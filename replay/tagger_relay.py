"""Stands between the extension and the sidecar on this machine: hands every message on, and remembers the markers.

So the replayer knows what the extension told, exactly as it was sent, and when the sidecar has acknowledged all of it.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from types import TracebackType

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI
from websockets.frames import Close

from sidecar.model.faults import Fault
from sidecar.model.messages import MAX_MESSAGE_BYTES, PATH, Ack, CloseCode, Markers, Welcome, WireError
from sidecar.model.records import Marker
from sidecar.model.wire import decode, decode_reply, to_marker

#: only an extension's background may come in, as at the sidecar itself: the relay has no origin of its own to show
_ORIGIN = re.compile(r"chrome-extension://[a-p]{32}")
_START_S = 10.0
_OPEN_S = 5.0


class Relay:
    """One relay on a free port of the loopback, for one session; call it from any thread."""

    def __init__(self, upstream: str, session: str, actions: Collection[str], wall_ns: Callable[[], int]) -> None:
        self._upstream = upstream
        self._session = session
        self._actions = actions
        self._wall_ns = wall_ns
        self._changed = threading.Condition()
        self._markers: dict[int, Marker] = {}
        self._acknowledged = 0
        self._port = 0
        self._stop: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="tagger-relay", daemon=True)

    @property
    def url(self) -> str:
        """The address for the extension."""
        return f"ws://127.0.0.1:{self._port}{PATH}"

    def __enter__(self) -> Relay:
        self._thread.start()
        with self._changed:
            if not self._changed.wait_for(lambda: self._port, _START_S):
                raise Fault("no port of this machine can be opened for the extension", "look at the machine's limits")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def markers(self) -> tuple[Marker, ...]:
        """Every marker once, in the order of its number."""
        with self._changed:
            return tuple(marker for _, marker in sorted(self._markers.items()))

    def wait(self, enough: Callable[[Sequence[Marker]], bool], timeout_s: float) -> bool:
        """Wait until these markers are enough and the sidecar has acknowledged them all; whether that came to be."""

        def settled() -> bool:
            known = [marker for _, marker in sorted(self._markers.items())]
            return max(self._markers, default=0) <= self._acknowledged and enough(known)

        with self._changed:
            return bool(self._changed.wait_for(settled, timeout_s))

    async def _serve(self) -> None:
        stop = asyncio.Event()
        async with serve(self._relay, "127.0.0.1", 0, origins=[_ORIGIN], compression=None, max_size=MAX_MESSAGE_BYTES) as server:
            with self._changed:
                self._loop, self._stop = asyncio.get_running_loop(), stop
                self._port = next(iter(server.sockets)).getsockname()[1]
                self._changed.notify_all()
            await stop.wait()

    async def _relay(self, extension: ServerConnection) -> None:
        try:
            sidecar = await connect(
                self._upstream, compression=None, max_size=MAX_MESSAGE_BYTES, open_timeout=_OPEN_S, proxy=None
            )
        except (OSError, InvalidHandshake, InvalidURI, TimeoutError):
            await extension.close(CloseCode.TRY_LATER)
            return
        with suppress(ConnectionClosed):
            async with sidecar, asyncio.TaskGroup() as both:
                both.create_task(self._pass_on(extension, sidecar, self._told))
                both.create_task(self._pass_on(sidecar, extension, self._answered))

    async def _pass_on(
        self,
        source: ServerConnection | ClientConnection,
        target: ServerConnection | ClientConnection,
        heard: Callable[[str], None],
    ) -> None:
        with suppress(ConnectionClosed):
            async for message in source:
                if isinstance(message, str):
                    heard(message)
                await target.send(message)
        code, reason = _end_of(source)
        await target.close(code, reason)

    def _told(self, text: str) -> None:
        with suppress(WireError):
            message = decode(text)
            if not isinstance(message, Markers):
                return
            for item in message.items:
                marker = to_marker(item, self._session, self._wall_ns(), self._actions)
                with self._changed:
                    self._markers[marker.seq] = marker
                    self._changed.notify_all()

    def _answered(self, text: str) -> None:
        with suppress(WireError):
            reply = decode_reply(text)
            seq = reply.seq if isinstance(reply, Ack) else reply.last_seq if isinstance(reply, Welcome) else None
            with self._changed:
                self._acknowledged = max(self._acknowledged, seq or 0)
                self._changed.notify_all()


def _end_of(source: ServerConnection | ClientConnection) -> tuple[int, str]:
    """How this side has ended, as the other side may be told."""
    told = source.protocol.close_rcvd
    if told is None or told.code in (1005, 1006, 1015):
        told = Close(CloseCode.GOING_AWAY, "")
    return told.code, told.reason
