"""What is said on the marker channel (version 1): one dataclass per message, the close codes, the limits.

`sidecar.model.wire` turns them into text and back.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from sidecar.model.faults import InvalidRecordError

VERSION: Final = 1
PATH: Final = "/markers"
MAX_MESSAGE_BYTES: Final = 64 * 1024
#: markers in one message; more would not fit into MAX_MESSAGE_BYTES anyway
MAX_ITEMS: Final = 500
MAX_SEQ: Final = 2**53 - 1
MAX_NS: Final = 2**63 - 1


class CloseCode(IntEnum):
    """Why the sidecar ends a connection; the codes below 4000 are WebSocket's own."""

    REPLACED = 1000
    GOING_AWAY = 1001
    TRY_LATER = 1013
    BAD_MESSAGE = 4400
    NOT_ALLOWED = 4401
    HELLO_MISSING = 4408
    VERSION = 4409
    TOO_LARGE = 4413
    TOO_FAST = 4429


class WireError(InvalidRecordError):
    """A message or item that is refused: `code` is its word on the wire, `seq` names it where it could be read.

    `close_code` is None where the connection goes on: then only the one that `seq` names is refused, and the rest stands.
    """

    def __init__(self, code: str, what: str, remedy: str, *, seq: int | None = None, close_code: CloseCode | None = None) -> None:
        super().__init__(what, remedy)
        self.code = code
        self.seq = seq
        self.close_code = close_code


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """First message of a client. `resume_seq` is the lowest seq that it still has: everything below counts as done."""

    version: int
    source: str
    client: str
    session: str
    token: str | None = None
    ticket: str | None = None
    resume_seq: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping:
    """Asks for the sidecar's time; `t0_ns` is the client's own time and only comes back."""

    t0_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Markers:
    """Markers as they came: `to_marker` judges each item alone, so that a bad one does not take the others with it."""

    items: tuple[object, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The experiment that this session belongs to from now on.

    With `attempt`, an opaque id that all sessions of one attempt at a repetition share, their actions count in what is said of
    the run only once one of them has told the `outcome` finished. `series` is 1, and higher when the run began anew.
    """

    run: str
    seq: int | None = None
    setup: str | None = None
    scenario: str | None = None
    role: str | None = None
    repetition: int | None = None
    attempt: str | None = None
    series: int | None = None
    outcome: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferReport:
    """What a capture or the browser saw of one action or repetition.

    `start_ns` in the sidecar's clock: the sender adds its offset. Without `method` it is a capture; one of those has `packets`
    and `retransmitted`.
    """

    start_ns: int
    duration_ns: int
    down_bytes: int
    up_bytes: int
    packets: int | None = None
    retransmitted: int | None = None
    out_of_order: int | None = None
    lost: int | None = None
    method: str | None = None
    seq: int | None = None
    action_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RatingReport:
    """How it felt, 1 to 5; `time_ns` in the sidecar's clock: the sender adds its offset."""

    time_ns: int
    score: int
    seq: int | None = None
    action_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Welcome:
    """The answer to `hello`: everything up to `last_seq` is durable; `time_ns` is the sidecar's time."""

    session: str
    role: str | None
    last_seq: int
    time_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pong:
    """The answer to `ping`: the sidecar's time at its arrival (`t1_ns`) and at this answer (`t2_ns`)."""

    t0_ns: int
    t1_ns: int
    t2_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    """Everything up to `seq` is durable or was refused by name; None: the oldest unanswered message without a seq is durable."""

    seq: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorReply:
    """Something is refused: what `seq` names, or the connection, which is then closed; `retry_after_ms` where waiting helps."""

    code: str
    message: str
    seq: int | None = None
    retry_after_ms: int | None = None


ClientMessage = Hello | Ping | Markers | Run | TransferReport | RatingReport
Reply = Welcome | Pong | Ack | ErrorReply
Message = ClientMessage | Reply
