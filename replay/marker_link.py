"""The marker client's conversation with the sidecar: connects, says hello, pings, sends what the outbox holds; and again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import groupby, islice
from threading import Condition
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from replay.clock_offset import Exchange, Offset, OffsetEstimator
from replay.outbox import Entry, Outbox
from sidecar.model.faults import Fault, UsageFault
from sidecar.model.messages import (
    MAX_MESSAGE_BYTES,
    VERSION,
    Ack,
    CloseCode,
    ErrorReply,
    Hello,
    Markers,
    Message,
    Ping,
    Pong,
    RatingReport,
    Run,
    TransferReport,
    Welcome,
    WireError,
)
from sidecar.model.wire import decode_reply, encode

MARKERS_IN_MESSAGE = 100
#: entries that may be sent and not yet acknowledged
WINDOW = 1000
FIRST_PINGS = 8
LATER_PINGS = 3
LATER_PINGS_EVERY_S = 20.0
BACKOFF_S = (0.5, 30.0)
OPEN_TIMEOUT_S = 5.0
HELLO_TIMEOUT_S = 10.0
#: to come back would not help
FINAL_CODES = (CloseCode.NOT_ALLOWED, CloseCode.VERSION, CloseCode.BAD_MESSAGE, CloseCode.TOO_LARGE)
_REPORTS: dict[str, Callable[..., Message]] = {"run": Run, "transfer": TransferReport, "rating": RatingReport}


class ChannelRefusedError(UsageFault):
    """The sidecar does not let this client in, or does not understand it; it stays so until somebody changes something."""


class ChannelUnreachableError(Fault):
    """The sidecar did not answer in time."""

    retry = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What the client says about itself in its hello."""

    session: str
    source: str
    client: str
    token: str


def placed(entry: Entry, at: Callable[[int, int], Offset | None], now: tuple[int, int]) -> Entry:
    """The entry with its times in the sidecar's clock where that was not known when it was told.

    `at` gives the offset of a moment by our wall and monotonic clock; the latter counts on as long as the machine runs, whichever
    process asks. What was told before the machine was started anew is taken to be as far off as our wall clock is `now`.
    """
    fields = dict(entry.fields)
    if entry.kind == "marker":
        moment = now if entry.earlier else (fields["wall_ns"], fields["mono_ns"])
        if fields.get("offset_ns") is None and (offset := at(*moment)) is not None:
            fields |= {"offset_ns": offset.offset_ns, "offset_error_ns": offset.error_ns}
    elif (told := fields.pop("told", None)) is not None and (offset := at(*(now if entry.earlier else told))) is not None:
        name = "start_ns" if "start_ns" in fields else "time_ns"
        fields[name] += offset.offset_ns
    return replace(entry, fields=fields)


def messages(entries: Iterable[Entry]) -> Iterator[tuple[int, Message]]:
    """Entries as messages, markers that follow each other together; each with the highest seq in it."""
    for are_markers, group in groupby(entries, lambda entry: entry.kind == "marker"):
        if are_markers:
            while batch := list(islice(group, MARKERS_IN_MESSAGE)):
                yield batch[-1].seq, Markers(items=tuple({"seq": entry.seq, **entry.fields} for entry in batch))
        else:
            for entry in group:
                yield entry.seq, _REPORTS[entry.kind](seq=entry.seq, **entry.fields)


class MarkerLink:
    """Runs in an event loop; everything that it shares with other threads is guarded by `changed`."""

    def __init__(
        self,
        url: str,
        identity: Identity,
        outbox: Outbox,
        estimator: OffsetEstimator,
        changed: Condition,
        wall_ns: Callable[[], int],
        mono_ns: Callable[[], int],
        backoff_s: tuple[float, float] = BACKOFF_S,
    ) -> None:
        self._url = url
        self._identity = identity
        self._outbox = outbox
        self._estimator = estimator
        self._changed = changed
        self._wall_ns = wall_ns
        self._mono_ns = mono_ns
        self._backoff_s = backoff_s
        self._wake = asyncio.Event()
        self._closing = asyncio.Event()
        self._ponged = asyncio.Event()
        self._compared = asyncio.Event()
        self._sent = 0
        self._not_before = 0.0
        self._last_error: ErrorReply | None = None
        self._pongs = 0
        self.connections = 0
        self.ready = False
        self.refused_items = 0
        self.refusal: ChannelRefusedError | None = None
        self.role: str | None = None

    def wake(self) -> None:
        """There is something new in the outbox."""
        self._wake.set()

    def end(self) -> None:
        """Leave the conversation."""
        self._closing.set()
        self._wake.set()

    async def run(self) -> None:
        """Talk until `end` is called or the sidecar refuses for good."""
        shortest_s, longest_s = self._backoff_s
        pause_s = shortest_s
        while not self._closing.is_set() and self.refusal is None:
            before = self.connections
            self._last_error = None
            try:
                async with connect(
                    self._url,
                    compression=None,
                    max_size=MAX_MESSAGE_BYTES,
                    proxy=None,
                    open_timeout=OPEN_TIMEOUT_S,
                    close_timeout=2,
                    user_agent_header=None,
                ) as connection:
                    await self._converse(connection)
                self._judge(connection.close_code)
            except ConnectionClosed as closed:
                self._judge(closed.rcvd.code if closed.rcvd else None)
            except (OSError, InvalidHandshake, WireError):
                pass  # away, or not speaking as it should just now: come back later
            except Fault as fault:
                self._refuse(fault.what, fault.remedy)
            except InvalidURI as error:
                self._refuse(f"{self._url!r} is not a WebSocket address ({error})", "use ws://HOST:PORT/markers")
            pause_s = shortest_s if self.connections > before else min(longest_s, pause_s * 2)
            asked_ms = self._last_error.retry_after_ms if self._last_error else None
            jittered_s = pause_s * random.uniform(0.5, 1.0)  # noqa: S311  (spreads reconnects, guards nothing)
            await self._wait(self._closing, max(jittered_s, (asked_ms or 0) / 1000))
        with self._changed:
            self._changed.notify_all()

    async def _converse(self, connection: ClientConnection) -> None:
        await self._greet(connection)
        receive, leave = asyncio.create_task(self._receive(connection)), asyncio.create_task(self._closing.wait())
        tell = [asyncio.create_task(self._send(connection)), asyncio.create_task(self._ping(connection))]
        tasks: list[asyncio.Task[Any]] = [receive, leave, *tell]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tell:
                if task.done() and not isinstance(task.exception(), ConnectionClosed):
                    task.result()
            # Whoever noticed the end first: what the sidecar said last is still to be read.
            await asyncio.wait([receive, leave], return_when=asyncio.FIRST_COMPLETED)
            if receive.done():
                receive.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _greet(self, connection: ClientConnection) -> None:
        me = self._identity
        with self._changed:
            resume_seq = self._outbox.resume_seq if self._outbox.continued else None
        hello = Hello(
            version=VERSION,
            source=me.source,
            client=me.client,
            session=me.session,
            token=me.token or None,
            resume_seq=resume_seq,
        )
        await connection.send(encode(hello))
        async with asyncio.timeout(HELLO_TIMEOUT_S):
            while not isinstance(reply := decode_reply(await connection.recv()), Welcome):
                self._take(reply)
        with self._changed:
            if not self._outbox.continued:
                self._outbox.continued = True
                self._outbox.shift(reply.last_seq)
            self._outbox.acknowledge(reply.last_seq)
            self._sent = self._outbox.acked
            self.role = reply.role
            self.connections += 1
            self._changed.notify_all()

    async def _receive(self, connection: ClientConnection) -> None:
        async for text in connection:
            self._take(decode_reply(text), self._mono_ns())

    def _take(self, reply: object, mono_ns: int = 0) -> None:
        match reply:
            case Ack(seq=int() as seq):
                with self._changed:
                    self._outbox.acknowledge(seq)
                    self._changed.notify_all()
                self._wake.set()
            case Pong():
                exchange = Exchange(sent_mono_ns=reply.t0_ns, received_mono_ns=mono_ns, t1_ns=reply.t1_ns, t2_ns=reply.t2_ns)
                with self._changed:
                    self._estimator.add(exchange)
                    self._pongs += 1
                    self.ready = self.ready or self._pongs >= FIRST_PINGS
                    self._changed.notify_all()
                self._ponged.set()
                if self.ready:
                    self._compared.set()
            case ErrorReply():
                self._last_error = reply
                if reply.seq is not None:
                    self.refused_items += 1  # it stays in the outbox until an acknowledgement covers it
                elif reply.retry_after_ms is not None:
                    self._sent = self._outbox.acked
                    self._not_before = asyncio.get_running_loop().time() + reply.retry_after_ms / 1000
                    self._wake.set()

    async def _send(self, connection: ClientConnection) -> None:
        await self._compared.wait()  # what was told while the sidecar was away has no place in its time yet
        while True:
            self._wake.clear()
            pause_s = self._not_before - asyncio.get_running_loop().time()
            if pause_s > 0:
                await self._wait(self._closing, pause_s)
                continue
            with self._changed:
                room = max(0, self._outbox.acked + WINDOW - self._sent)
                waiting = islice(self._outbox.after(self._sent), room)
                now = self._wall_ns(), self._mono_ns()
                batch = list(messages(placed(entry, self._estimator.at, now) for entry in waiting))
            for highest, message in batch:
                self._sent = max(self._sent, highest)
                await connection.send(encode(message))
            if not batch:
                await self._wake.wait()

    async def _ping(self, connection: ClientConnection) -> None:
        count = FIRST_PINGS
        while True:
            for _ in range(count):
                self._ponged.clear()
                await connection.send(encode(Ping(t0_ns=self._mono_ns())))
                await self._ponged.wait()
            count = LATER_PINGS
            await asyncio.sleep(LATER_PINGS_EVERY_S)

    @staticmethod
    async def _wait(event: asyncio.Event, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(event.wait(), seconds)

    def _judge(self, code: int | None) -> None:
        """Whether to come back after the sidecar closed with this code."""
        error = self._last_error
        if code in FINAL_CODES or (error is not None and error.code == "replaced"):
            self._refuse(error.message if error else f"the sidecar closed the channel with {code}", "see the sidecar's settings")

    def _refuse(self, what: str, remedy: str) -> None:
        with self._changed:
            self.refusal = ChannelRefusedError(what, remedy)
            self._changed.notify_all()
