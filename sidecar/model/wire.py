"""The messages of the marker channel (version 1): text to dataclasses and back, refusing whatever they do not know.

One table, `SHAPES`, says what each message may hold; `decode` and `encode` read it. The same shapes are committed for other
languages as JSON Schema in `tests/contract/schema.json`, and a test holds the two against each other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sidecar.model.faults import InvalidRecordError
from sidecar.model.messages import (
    MAX_ITEMS,
    MAX_MESSAGE_BYTES,
    MAX_NS,
    MAX_SEQ,
    PATH,
    VERSION,
    Ack,
    ClientMessage,
    CloseCode,
    ErrorReply,
    Hello,
    Markers,
    Message,
    Ping,
    Pong,
    RatingReport,
    Reply,
    Run,
    TransferReport,
    Welcome,
    WireError,
)
from sidecar.model.records import Marker

__all__ = [
    "MAX_ITEMS",
    "MAX_MESSAGE_BYTES",
    "MAX_NS",
    "MAX_SEQ",
    "PATH",
    "SHAPES",
    "VERSION",
    "Ack",
    "ClientMessage",
    "CloseCode",
    "ErrorReply",
    "Hello",
    "Markers",
    "Message",
    "Ping",
    "Pong",
    "RatingReport",
    "Reply",
    "Run",
    "TransferReport",
    "Welcome",
    "WireError",
    "decode",
    "decode_reply",
    "encode",
    "from_marker",
    "to_marker",
]


@dataclass(frozen=True, slots=True)
class _Field:
    """One field: what it may be, in code and in words; `nullable` fields are always sent, `optional` ones only when known."""

    name: str
    fits: Callable[[Any], bool]
    allowed: str
    optional: bool = False
    nullable: bool = False


def _whole(low: int, high: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and low <= value <= high


def _text(longest: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is str and 0 < len(value) <= longest


def _is_items(value: Any) -> bool:
    return type(value) in (list, tuple) and 1 <= len(value) <= MAX_ITEMS


_SEQ = _Field("seq", _whole(1, MAX_SEQ), f"1 to {MAX_SEQ}", optional=True)
_ACTION_ID = _Field("action_id", _text(64), "an opaque id", optional=True)


def _time(name: str) -> _Field:
    return _Field(name, _whole(0, MAX_NS), "integer nanoseconds")


def _count(name: str, *, optional: bool = False) -> _Field:
    return _Field(name, _whole(0, MAX_NS), "a whole number from 0", optional)


def _word(name: str, longest: int = 128, *, optional: bool = False, nullable: bool = False) -> _Field:
    return _Field(name, _text(longest), f"a text of up to {longest} characters", optional, nullable)


#: type on the wire -> (dataclass, its fields); every message of version 1 is here
SHAPES: Final[Mapping[str, tuple[type[Message], tuple[_Field, ...]]]] = {
    "hello": (
        Hello,
        (
            _Field("version", _whole(0, 2**31), "a version number"),
            _word("source", 32),
            _word("client"),
            _word("session", 64),
            _word("token", 4096, optional=True),
            _word("ticket", 4096, optional=True),
            _Field("resume_seq", _whole(1, MAX_SEQ), f"1 to {MAX_SEQ}", optional=True),
        ),
    ),
    "ping": (Ping, (_time("t0_ns"),)),
    "markers": (Markers, (_Field("items", _is_items, f"1 to {MAX_ITEMS} markers"),)),
    "run": (
        Run,
        (
            _SEQ,
            _word("run"),
            _Field("setup", lambda value: value in ("lan", "vpn", "wan"), "lan, vpn or wan", optional=True),
            _word("scenario", optional=True),
            _word("role", optional=True),
            _Field("repetition", _whole(0, 2**31), "a whole number from 0", optional=True),
            _word("attempt", 64, optional=True),
            _Field("series", _whole(1, 2**31), "a whole number from 1", optional=True),
            _Field("outcome", lambda value: value in ("finished", "failed"), "finished or failed", optional=True),
        ),
    ),
    "transfer": (
        TransferReport,
        (
            _SEQ,
            _ACTION_ID,
            _time("start_ns"),
            _time("duration_ns"),
            *(_count(name) for name in ("down_bytes", "up_bytes")),
            *(_count(name, optional=True) for name in ("packets", "retransmitted", "out_of_order", "lost")),
            _Field("method", lambda value: value in ("capture", "browser"), "capture or browser", optional=True),
        ),
    ),
    "rating": (RatingReport, (_SEQ, _ACTION_ID, _time("time_ns"), _Field("score", _whole(1, 5), "1 to 5"))),
    "welcome": (
        Welcome,
        (
            _word("session", 64),
            _word("role", nullable=True),
            _Field("last_seq", _whole(0, MAX_SEQ), f"0 to {MAX_SEQ}"),
            _time("time_ns"),
        ),
    ),
    "pong": (Pong, (_time("t0_ns"), _time("t1_ns"), _time("t2_ns"))),
    "ack": (Ack, (_Field("seq", _whole(0, MAX_SEQ), f"0 to {MAX_SEQ}", nullable=True),)),
    "error": (
        ErrorReply,
        (
            _word("code", 64),
            _word("message", 2000),
            _SEQ,
            _Field("retry_after_ms", _whole(0, 2**31), "milliseconds", optional=True),
        ),
    ),
}
_TYPE_OF: Final = {shape[0]: name for name, shape in SHAPES.items()}
_REPLIES: Final = frozenset(("welcome", "pong", "ack", "error"))
_ITEM_FIELDS: Final = frozenset(
    ("seq", "action_id", "action", "phase", "wall_ns", "mono_ns", "offset_ns", "offset_error_ns", "attrs")
)


def decode(text: str | bytes) -> ClientMessage:
    """A client's message.

    Raises WireError: with a `seq` when the message is numbered and only it is refused, else with the close code 4400.
    """
    message = _decode(text, SHAPES.keys() - _REPLIES)
    assert isinstance(message, Hello | Ping | Markers | Run | TransferReport | RatingReport)  # noqa: S101  (for the type checker)
    return message


def decode_reply(text: str | bytes) -> Reply:
    """A sidecar's message. Raises WireError."""
    message = _decode(text, _REPLIES)
    assert isinstance(message, Welcome | Pong | Ack | ErrorReply)  # noqa: S101  (for the type checker)
    return message


def encode(message: Message) -> str:
    """The message as JSON, field `type` first; optional fields that are not known are left out."""
    name = _TYPE_OF[type(message)]
    fields: dict[str, object] = {"type": name}
    for field in SHAPES[name][1]:
        value = getattr(message, field.name)
        if value is not None or field.nullable:
            fields[field.name] = value
    return json.dumps(fields, separators=(",", ":"))


def to_marker(item: object, session: str, received_ns: int, actions: Collection[str]) -> Marker:
    """One item of `markers` as a record; `actions` are the catalogue's identifiers.

    Raises WireError with the item's seq (None where even that cannot be read) and the code `unknown_action` or `bad_item`.
    """
    if type(item) is not dict:
        raise _bad_item("an item is not an object", "send objects with the fields of a marker", None)
    seq = item.get("seq")
    if type(seq) is not int or not 1 <= seq <= MAX_SEQ:
        raise _bad_item("an item has no seq", f"number the markers of a session from 1 to {MAX_SEQ}", None)
    if not item.keys() <= _ITEM_FIELDS:
        raise _bad_item(f"the item has the unknown field {min(item.keys() - _ITEM_FIELDS)[:40]!r}", "leave it out", seq)
    action = item.get("action")
    action_id, phase, attributes = item.get("action_id"), item.get("phase"), item.get("attrs", {})
    wall_ns, mono_ns = item.get("wall_ns"), item.get("mono_ns")
    offset_ns, offset_error_ns = item.get("offset_ns"), item.get("offset_error_ns")
    if type(action) is not str or type(action_id) is not str or type(phase) is not str or type(attributes) is not dict:
        raise _bad_item("action, action_id, phase or attrs has the wrong type", "send texts, and attrs as an object", seq)
    for value in attributes.values():
        if type(value) is int and not 0 <= value <= MAX_NS:
            raise _bad_item("a number in attrs is out of range", f"send 0 to {MAX_NS}", seq)
    if action not in actions:
        raise WireError("unknown_action", f"the action {action[:40]!r} is not in the catalogue", "use its identifiers", seq=seq)
    if type(wall_ns) is not int or type(mono_ns) is not int:
        raise _bad_item("wall_ns or mono_ns is not a whole number", "send integer nanoseconds", seq)
    if offset_ns is None and offset_error_ns is None:
        corrected_ns = wall_ns
    elif type(offset_ns) is int and type(offset_error_ns) is int and offset_error_ns >= 0:
        corrected_ns = wall_ns + offset_ns
    else:
        raise _bad_item("offset_ns and offset_error_ns do not belong together", "send both as integers, or neither", seq)
    if not 0 <= corrected_ns <= MAX_NS or not -MAX_NS <= (offset_ns or 0) <= MAX_NS or (offset_error_ns or 0) > MAX_NS:
        raise _bad_item("wall_ns or its offset is out of range", "send nanoseconds since the epoch", seq)
    try:
        return Marker(
            session=session,
            seq=seq,
            action_id=action_id,
            action=action,
            phase=phase,  # type: ignore[arg-type]  # the record refuses other words
            wall_ns=wall_ns,
            mono_ns=mono_ns,
            offset_ns=offset_ns,
            offset_error_ns=offset_error_ns,
            received_ns=received_ns,
            attributes=attributes,
        )
    except InvalidRecordError as error:
        raise _bad_item(error.what, error.remedy, seq) from error


def from_marker(marker: Marker) -> dict[str, object]:
    """A marker as an item of `markers`; the session and the time of arrival are not sent."""
    return {
        "seq": marker.seq,
        "action_id": marker.action_id,
        "action": marker.action,
        "phase": marker.phase,
        "wall_ns": marker.wall_ns,
        "mono_ns": marker.mono_ns,
        "offset_ns": marker.offset_ns,
        "offset_error_ns": marker.offset_error_ns,
        "attrs": dict(marker.attributes),
    }


def _bad_item(what: str, remedy: str, seq: int | None) -> WireError:
    return WireError("bad_item", what, remedy, seq=seq)


def _decode(text: str | bytes, known: Collection[str]) -> Message:
    if isinstance(text, bytes):
        raise _bad_message("a binary message", "send JSON as a text message")
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _bad_message("a message is not JSON", "send one JSON object") from error
    name = raw.get("type") if type(raw) is dict else None
    if type(name) is not str or name not in known:
        raise _bad_message("a message's type is unknown", f"use one of {', '.join(sorted(known))}")
    kind, fields = SHAPES[name]
    seq = raw.get("seq") if _SEQ in fields and _SEQ.fits(raw.get("seq")) else None
    values: dict[str, Any] = {}
    for field in fields:
        value = raw.get(field.name)
        if value is None and (field.optional or (field.nullable and field.name in raw)):
            values[field.name] = None
        elif not field.fits(value):
            raise _bad_message(f"{name}: {field.name} is missing or not valid", f"send {field.allowed}", seq)
        else:
            values[field.name] = tuple(value) if field.fits is _is_items else value
    unknown = raw.keys() - values.keys() - {"type"}
    if unknown:
        raise _bad_message(f"{name}: the field {min(unknown)[:40]!r} is unknown", "leave it out", seq)
    return kind(**values)


def _bad_message(what: str, remedy: str, seq: int | None = None) -> WireError:
    if seq is not None:
        return WireError("bad_item", what, remedy, seq=seq)
    return WireError("bad_message", what, remedy, close_code=CloseCode.BAD_MESSAGE)
