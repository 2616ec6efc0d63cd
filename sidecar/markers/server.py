"""The shell around the marker channel: sockets, one thread with its event loop, and the way to the journal's writer and back."""

from __future__ import annotations

import asyncio
import errno
import logging
import re
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import Protocol

from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from sidecar.clock import Clock
from sidecar.errors import Fault, PortTakenError, UsageFault
from sidecar.markers.channel import Channel, Tally
from sidecar.markers.connection import MarkerConnection, peer_of
from sidecar.markers.effects import Close, Effect, Recall, Send, SendPong, Submit
from sidecar.markers.gate import Gate
from sidecar.markers.limits import Limits
from sidecar.markers.sessions import Sessions, ack_key, session_key
from sidecar.markers.tickets import Grant
from sidecar.model.messages import MAX_MESSAGE_BYTES, PATH, CloseCode, Pong
from sidecar.model.records import Record
from sidecar.model.wire import encode

#: `type` is the first field, so that the hook need not wait for the parser
_LOOKS_LIKE_MARKERS = re.compile(r'\s*\{\s*"type"\s*:\s*"markers"')
_ANSWER_TIMEOUT_S = 5.0


class Submitter(Protocol):
    """The journal's writer, as far as the channel needs it."""

    def submit(self, records: Sequence[Record], notes: Mapping[str, str], done: Callable[[Fault | None], None]) -> object:
        """Commit records and notes together; then call `done` once, from any thread, with None or with what went wrong."""


class Notes(Protocol):
    """The journal, as far as the channel reads it."""

    def note(self, key: str) -> str | None:
        """The last committed note of that key."""


class _Line:
    """One connection with its channel."""

    def __init__(self, connection: ServerConnection, channel: Channel) -> None:
        self.connection = connection
        self.channel = channel
        self.room = asyncio.Event()
        self.closing: asyncio.Task[None] | None = None


class MarkerServer:
    """Serves the marker channel from its own thread between `start` and `stop`.

    `actions` are the catalogue's identifiers; `on_markers` is called, in the server's thread, at the instant when markers arrive,
    before they are parsed: it must be quick and must not raise. `redeem` turns a ticket into what it grants (None: not good).
    """

    def __init__(
        self,
        address: tuple[str, int],
        *,
        token: str,
        writer: Submitter,
        notes: Notes,
        clock: Clock,
        actions: Collection[str],
        on_markers: Callable[[], None] = lambda: None,
        redeem: Callable[[str], Grant | None] | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._wanted = address
        self._gate = Gate(token, redeem)
        self._writer = writer
        self._notes = notes
        self._clock = clock
        self._actions = frozenset(actions)
        self._on_markers = on_markers
        self._limits = limits or Limits()
        self._sessions: Sessions[Channel] = Sessions(self._limits.idle_sessions, self._limits.retry_after_ms)
        self._tally = Tally()
        self._slow_consumers = 0
        self._lines: dict[Channel, _Line] = {}
        self._under_way = 0
        self._settled: list[tuple[str, Fault | None]] = []
        self._settled_lock = threading.Lock()
        self._started: Future[tuple[str, int]] = Future()
        self._thread: threading.Thread | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens, with the real port; after `start`."""
        return self._started.result(timeout=0)

    def start(self) -> None:
        """Listen and serve. Raises PortTakenError, or UsageFault for an address that this machine does not have."""
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), name="markers", daemon=True)
        self._thread.start()
        self._started.result()

    def stop(self) -> None:
        """Read no more, acknowledge what is under way, close all connections and end the thread."""
        if self._thread is None:
            return
        with suppress(RuntimeError):  # its loop has ended by itself: the address was taken
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self._thread = None

    def health(self) -> Mapping[str, int]:
        """Counters about the channel itself."""
        return {
            "connections": len(self._lines),
            "connections_refused": self._tally.connections_refused,
            "slow_consumers_dropped": self._slow_consumers,
            "markers_received": self._tally.markers_received,
            "markers_repeated": self._tally.markers_repeated,
            "items_refused": self._tally.items_refused,
            "items_lost_by_clients": self._tally.items_lost_by_clients,
            "submissions_under_way": self._under_way,
        }

    def connected_sessions(self) -> frozenset[str]:
        """The sessions that have a connection now; none when the server does not run."""
        answer: Future[frozenset[str]] = Future()
        try:
            self._loop.call_soon_threadsafe(lambda: answer.set_result(self._sessions.connected()))
        except RuntimeError:  # its loop has ended
            return frozenset()
        return answer.result(_ANSWER_TIMEOUT_S)

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        self._all_settled = asyncio.Event()
        logger = logging.getLogger("sidecar.markers.websockets")
        logger.setLevel(logging.WARNING)  # below that the library logs headers, and cookies are among them
        host, port = self._wanted
        try:
            server = await serve(
                self._serve,
                host,
                port,
                process_request=self._check_path,
                create_connection=MarkerConnection,
                compression=None,
                max_size=MAX_MESSAGE_BYTES,
                max_queue=4,
                close_timeout=2,
                server_header=None,
                logger=logger,
                backlog=1024,
            )
        except OSError as error:
            self._started.set_exception(_cannot_listen(host, port, error))
            return
        self._started.set_result(server.sockets[0].getsockname()[:2])
        await self._stopping.wait()
        if self._under_way:
            try:
                await asyncio.wait_for(self._all_settled.wait(), self._limits.stop_timeout_s)
            except TimeoutError:
                logger.warning("%d submissions were not settled in time; their clients send them again", self._under_way)
        server.close(code=CloseCode.GOING_AWAY, reason="the sidecar is stopping")
        await server.wait_closed()

    def _check_path(self, connection: ServerConnection, request: Request) -> Response | None:
        if request.path != PATH:
            return connection.respond(HTTPStatus.NOT_FOUND, f"The marker channel is at {PATH}.\n")
        if len(self._lines) >= 2 * self._limits.connections:
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "Too many connections: try again later.\n")
        return None

    async def _serve(self, connection: ServerConnection) -> None:
        assert connection.request is not None  # noqa: S101  (the handshake is done)
        channel = Channel(
            sessions=self._sessions,
            gate=self._gate,
            peer=peer_of(str((connection.remote_address or ("",))[0]), connection.request.headers),
            actions=self._actions,
            limits=self._limits,
            tally=self._tally,
        )
        line = _Line(connection, channel)
        crowded = len(self._lines) >= self._limits.connections
        self._lines[channel] = line
        try:
            if crowded:
                await self._reply(line, channel.turned_away("too_many_connections", "too many connections", "try again later"))
            await self._reply(line, channel.opened())
            await self._read(line)
        except ConnectionClosed:
            pass
        finally:
            channel.lost()
            del self._lines[channel]

    async def _read(self, line: _Line) -> None:
        connection, channel = line.connection, line.channel
        while channel.state != "closed" and not self._stopping.is_set():
            while not channel.has_room:
                line.room.clear()
                await line.room.wait()
            try:
                async with asyncio.timeout(self._limits.hello_timeout_s if channel.state == "new" else None):
                    text = await connection.recv()
            except TimeoutError:
                await self._reply(line, channel.hello_overdue())
                return
            wall_ns = self._clock.wall_ns()
            if channel.state == "open" and isinstance(text, str) and _LOOKS_LIKE_MARKERS.match(text):
                self._on_markers()
            await self._reply(line, channel.receive(text, wall_ns, self._clock.mono_ns()))
        if channel.state != "closed":
            await connection.wait_closed()

    async def _reply(self, line: _Line, effects: Sequence[Effect]) -> None:
        """Carry out effects of this connection's own message; a client that does not read its answers is not read either."""
        self._submit_all(effects)  # first: sending may wait, or find the connection gone
        for effect in effects:
            match effect:
                case Send(text):
                    await line.connection.send(text)
                case SendPong(t0_ns, t1_ns):
                    await line.connection.send(encode(Pong(t0_ns=t0_ns, t1_ns=t1_ns, t2_ns=self._clock.wall_ns())))
                case Close(code, reason):
                    await line.connection.close(code, reason)
                case Recall(session):
                    await self._recall(line, session)
                case Submit():
                    pass

    async def _recall(self, line: _Line, session: str) -> None:
        try:
            ack_note, session_note = await self._loop.run_in_executor(
                None, lambda: (self._notes.note(ack_key(session)), self._notes.note(session_key(session)))
            )
        except Fault as fault:
            await self._reply(line, line.channel.turned_away("journal_failed", fault.what, "try again later"))
            return
        older, effects = line.channel.recalled(ack_note, session_note, self._clock.wall_ns())
        if older is not None and (older_line := self._lines.get(older)) is not None:
            self._push(older_line, older.replaced())
        await self._reply(line, effects)

    def _push(self, line: _Line | None, effects: Sequence[Effect]) -> None:
        """Carry out effects that come from elsewhere, without waiting; a client that does not read its acks is dropped."""
        self._submit_all(effects)
        for effect in effects:
            match effect:
                case Send(text) if line is not None:
                    if line.connection.transport.get_write_buffer_size() > self._limits.unsent_bytes:
                        self._slow_consumers += 1
                        line.connection.transport.abort()
                    else:
                        broadcast((line.connection,), text)
                case Close(code, reason) if line is not None:
                    line.closing = self._loop.create_task(line.connection.close(code, reason))
                case _:
                    pass

    def _submit_all(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Submit):
                self._under_way += 1
                self._all_settled.clear()
                self._writer.submit(effect.records, effect.notes, partial(self._on_settled, effect.session))

    def _on_settled(self, session: str, fault: Fault | None) -> None:
        """Called on the writer's thread, once per submission of a commit: the first one wakes the loop, the others go along."""
        with self._settled_lock:
            wake = not self._settled
            self._settled.append((session, fault))
        if wake:
            with suppress(RuntimeError):  # the loop is closed: nobody is left to be told
                self._loop.call_soon_threadsafe(self._take_settled)

    def _take_settled(self) -> None:
        with self._settled_lock:
            settled, self._settled = self._settled, []
        self._under_way -= len(settled)
        for session, fault in settled:
            channel, effects = self._sessions.settled(session, fault)
            line = self._lines.get(channel) if channel is not None else None
            self._push(line, effects)
            if line is not None:
                line.room.set()
        if not self._under_way:
            self._all_settled.set()


def _cannot_listen(host: str, port: int, error: OSError) -> Fault:
    remedy = "free it, or set TRACEMARK_MARKERS=HOST:PORT to another address"
    if error.errno == errno.EADDRINUSE:
        return PortTakenError(f"the address {host}:{port} of the marker channel is already in use", remedy)
    return UsageFault(f"the marker channel cannot listen on {host}:{port} ({error.strerror or error})", remedy)
