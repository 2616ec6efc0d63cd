"""What the marker channel asks its shell to do: values, so that the channel itself touches nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sidecar.model.records import Record


@dataclass(frozen=True, slots=True)
class Send:
    """Send this text message."""

    text: str


@dataclass(frozen=True, slots=True)
class SendPong:
    """Send a pong; the shell adds the time of sending at the last moment."""

    t0_ns: int
    t1_ns: int


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection, after what was sent."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Recall:
    """Look up the notes of this session and hand them to `Channel.recalled`."""

    session: str


@dataclass(frozen=True, slots=True)
class Submit:
    """Commit these together, then tell `Sessions.settled`."""

    session: str
    records: tuple[Record, ...]
    notes: Mapping[str, str]


Effect = Send | SendPong | Close | Recall | Submit
