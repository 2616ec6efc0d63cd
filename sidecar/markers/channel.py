"""The marker channel as a state machine: messages and times in, effects out; no socket, no thread, no clock.

A connection is `new` until its hello, then `recalling` until the journal's notes are there, then `open`, and in the end `closed`.
The shell (`sidecar.markers.server`) carries out the effects in their order.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from sidecar.errors import InvalidRecordError
from sidecar.markers.effects import Close, Effect, Recall, Send, SendPong
from sidecar.markers.gate import Gate, Peer
from sidecar.markers.limits import Bucket, Limits
from sidecar.markers.sessions import Seat, Sessions
from sidecar.model.messages import (
    Ack,
    ClientMessage,
    CloseCode,
    ErrorReply,
    Hello,
    Markers,
    Ping,
    RatingReport,
    Run,
    TransferReport,
    Welcome,
    WireError,
)
from sidecar.model.records import Rating, Record, Session, Source, Transfer
from sidecar.model.wire import decode, encode, to_marker

#: what a WebSocket close frame has room for, less its code
MAX_REASON_BYTES = 120
State = Literal["new", "recalling", "open", "closed"]


class Tally:
    """What the channels have seen, all together; for the sidecar's own health."""

    def __init__(self) -> None:
        self.markers_received = 0
        self.markers_repeated = 0
        self.items_refused = 0
        self.items_lost_by_clients = 0
        self.connections_refused = 0


class Channel:
    """One connection. Every method returns effects for this connection, except where it says otherwise."""

    def __init__(
        self,
        *,
        sessions: Sessions[Channel],
        gate: Gate,
        peer: Peer,
        actions: Collection[str],
        limits: Limits,
        tally: Tally,
    ) -> None:
        self._sessions = sessions
        self._gate = gate
        self._peer = peer
        self._actions = actions
        self._limits = limits
        self._tally = tally
        self._messages = Bucket(limits.messages_per_s, limits.messages_burst)
        self._markers = Bucket(limits.markers_per_s, limits.markers_burst)
        self._hello: Hello | None = None
        self._fresh: Session | None = None
        self._seat: Seat[Channel] | None = None
        self.state: State = "new"

    @property
    def has_room(self) -> bool:
        """Whether another message should be read now; back-pressure when the journal is slower than the client."""
        return self._seat is None or self._seat.ledger.waiting < self._limits.waiting_items

    def opened(self) -> list[Effect]:
        """The connection stands."""
        try:
            self._gate.check_origin(self._peer)
        except WireError as error:
            return self._refuse(error)
        return []

    def hello_overdue(self) -> list[Effect]:
        """No hello came within the time for it."""
        if self.state != "new":
            return []
        return self._refuse(_hello_missing("no hello came in time"))

    def receive(self, text: str | bytes, wall_ns: int, mono_ns: int) -> list[Effect]:
        """A message came at this time."""
        if self.state in ("recalling", "closed"):
            return []
        try:
            self._pay(self._messages, 1, mono_ns)
            message = decode(text)
            if self._seat is None:
                return self._greet(message, wall_ns)
            return self._handle(self._seat, message, wall_ns, mono_ns)
        except WireError as error:
            if error.close_code is None and self._seat is not None:
                return [*self._refuse_item(self._seat, error), *self._answer(self._seat)]
            return self._refuse(error)

    def recalled(self, ack_note: str | None, session_note: str | None, wall_ns: int) -> tuple[Channel | None, list[Effect]]:
        """The notes that the hello waited for; returns also the older connection of this session, which must make room."""
        hello, fresh = self._hello, self._fresh
        if self.state != "recalling" or hello is None or fresh is None:
            return None, []
        seat = self._sessions.seat(fresh, ack_note, session_note)
        older, seat.owner, self._seat, self.state = seat.owner, self, seat, "open"
        if hello.resume_seq is not None:
            self._tally.items_lost_by_clients += seat.ledger.resume(hello.resume_seq)
        welcome = Welcome(session=hello.session, role=seat.session.role, last_seq=seat.ledger.last_seq, time_ns=wall_ns)
        return older, [Send(encode(welcome)), *seat.submission()]

    def turned_away(self, code: str, what: str, remedy: str) -> list[Effect]:
        """The shell cannot serve this connection now."""
        return self._refuse(WireError(code, what, remedy, close_code=CloseCode.TRY_LATER))

    def replaced(self) -> list[Effect]:
        """A newer connection of the same session has taken over."""
        self._seat = None
        return self._refuse(
            WireError(
                "replaced",
                "a newer connection of this session has taken over",
                "use one connection for a session",
                close_code=CloseCode.REPLACED,
            )
        )

    def lost(self) -> None:
        """The connection is gone; what is under way is committed all the same."""
        self.state = "closed"
        if self._seat is not None and self._seat.owner is self:
            self._seat.owner = None

    def _greet(self, message: ClientMessage, wall_ns: int) -> list[Effect]:
        if not isinstance(message, Hello):
            raise _hello_missing("the first message is not hello")
        role = self._gate.admit(message, self._peer)
        try:
            self._fresh = Session(
                session=message.session, source=_source(message), client=message.client, started_ns=wall_ns, role=role
            )
        except InvalidRecordError as error:
            raise WireError("bad_message", error.what, error.remedy, close_code=CloseCode.BAD_MESSAGE) from error
        self._hello, self.state = message, "recalling"
        return [Recall(message.session)]

    def _handle(self, seat: Seat[Channel], message: ClientMessage, wall_ns: int, mono_ns: int) -> list[Effect]:
        match message:
            case Ping():
                return [SendPong(message.t0_ns, wall_ns)]
            case Markers():
                return self._take_markers(seat, message, wall_ns, mono_ns)
            case Run() | TransferReport() | RatingReport():
                return self._take_one(seat, message)
            case Hello():
                raise WireError(
                    "bad_message",
                    "a second hello on one connection",
                    "connect anew for another session",
                    close_code=CloseCode.BAD_MESSAGE,
                )

    def _take_markers(self, seat: Seat[Channel], message: Markers, wall_ns: int, mono_ns: int) -> list[Effect]:
        self._pay(self._markers, len(message.items), mono_ns)
        session, offer = seat.session.session, seat.ledger.offer
        effects: list[Effect] = []
        repeated = 0
        for item in message.items:
            try:
                marker = to_marker(item, session, wall_ns, self._actions)
            except WireError as error:
                effects += self._refuse_item(seat, error)
            else:
                if not offer(marker.seq, marker):
                    repeated += 1
        self._tally.markers_received += len(message.items)
        self._tally.markers_repeated += repeated
        return effects + self._answer(seat)

    def _take_one(self, seat: Seat[Channel], message: Run | TransferReport | RatingReport) -> list[Effect]:
        if message.seq is not None and seat.ledger.knows(message.seq):
            return self._answer(seat)
        try:
            seat.ledger.offer(message.seq, self._record(seat, message))
        except InvalidRecordError as error:
            raise WireError("bad_item", error.what, error.remedy, seq=message.seq) from error
        return self._answer(seat)

    @staticmethod
    def _answer(seat: Seat[Channel]) -> list[Effect]:
        """Commit what is new; where nothing is new or under way, the acknowledgement was lost on the way: say it again."""
        effects = seat.submission()
        return effects if effects or seat.ledger.busy else [Send(encode(Ack(seq=seat.ledger.last_seq)))]

    @staticmethod
    def _record(seat: Seat[Channel], message: Run | TransferReport | RatingReport) -> Record | None:
        session = seat.session.session
        match message:
            case Run():
                seat.join_run(message)
                return None
            case TransferReport():
                return Transfer(
                    session=session,
                    action_id=message.action_id,
                    start_ns=message.start_ns,
                    duration_ns=message.duration_ns,
                    down_bytes=message.down_bytes,
                    up_bytes=message.up_bytes,
                    packets=message.packets,
                    retransmitted=message.retransmitted,
                    method=message.method or "capture",  # type: ignore[arg-type]  # the record refuses other words
                    out_of_order=message.out_of_order,
                    lost=message.lost,
                )
            case RatingReport():
                return Rating(session=session, action_id=message.action_id, time_ns=message.time_ns, score=message.score)

    def _pay(self, bucket: Bucket, tokens: int, mono_ns: int) -> None:
        wait_ms = bucket.take(tokens, mono_ns)
        if wait_ms:
            raise TooFast(wait_ms)

    def _refuse_item(self, seat: Seat[Channel], error: WireError) -> list[Effect]:
        """Refuse by name; the refusal is numbered too, so that it counts as done with the next commit."""
        self._tally.items_refused += 1
        if error.seq is not None:
            seat.ledger.offer(error.seq, None)
        return [Send(encode(ErrorReply(code=error.code, message=str(error)[:2000], seq=error.seq)))]

    def _refuse(self, error: WireError) -> list[Effect]:
        """Refuse the connection."""
        self.lost()
        if error.close_code != CloseCode.REPLACED:
            self._tally.connections_refused += 1
        wait_ms = error.wait_ms if isinstance(error, TooFast) else None
        reply = ErrorReply(code=error.code, message=str(error)[:2000], seq=error.seq, retry_after_ms=wait_ms)
        reason = error.what if wait_ms is None else f"retry_after_ms={wait_ms}"
        return [
            Send(encode(reply)),
            Close(error.close_code or CloseCode.BAD_MESSAGE, reason.encode()[:120].decode(errors="ignore")),
        ]


class TooFast(WireError):  # noqa: N818  (the word that a person reads)
    """A client sends faster than it may."""

    def __init__(self, wait_ms: int) -> None:
        super().__init__("too_fast", "messages come too fast", f"send again in {wait_ms} ms", close_code=CloseCode.TOO_FAST)
        self.wait_ms = wait_ms


def _hello_missing(what: str) -> WireError:
    return WireError("hello_missing", what, "send hello first", close_code=CloseCode.HELLO_MISSING)


def _source(hello: Hello) -> Source:
    return "extension" if hello.source == "extension" else "replay"
