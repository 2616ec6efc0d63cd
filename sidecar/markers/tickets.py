"""Tickets for the marker channel: signed words that say who may speak as which session, and until when. Pure.

A ticket is `1.SESSION.EXPIRES_NS.ROLE.SIGNATURE`. It holds nothing but pseudonyms: one key, kept by the sidecar, makes both the
signature and the session's id, so that the same XNAT login always is the same session and nobody without the key can tell whose.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, field

#: how long after its end a ticket can still be exchanged for a new one; a browser's outbox is not kept for longer
RENEWABLE_NS = 7 * 86400 * 10**9
SHORTEST_KEY = 32
_SHAPE = re.compile(r"1\.([0-9a-f]{32})\.([0-9]{1,19})\.([a-z_-]{0,32})", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a good ticket allows: to speak as this session, in this role (None: not known)."""

    session: str
    role: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """A ticket as it is handed out; `expires_ns` by the sidecar's wall clock."""

    ticket: str = field(repr=False)
    expires_ns: int
    session: str
    role: str | None


class Tickets:
    """Signs tickets that are good for `life_ns`, and knows its own again: pure functions of the key and their arguments."""

    def __init__(self, key: bytes, life_ns: int) -> None:
        if len(key) < SHORTEST_KEY:
            raise ValueError(f"a key of {len(key)} bytes can be guessed")
        # Keys of their own for each use: what is told about one says nothing about the other.
        self._signing = hmac.digest(key, b"tracemark ticket 1", "sha256")
        self._naming = hmac.digest(key, b"tracemark session 1", "sha256")
        self._life_ns = life_ns

    def session_of(self, user: str, login: str) -> str:
        """The session of one XNAT login: 32 hex digits (HMAC-SHA-256 of user name and XNAT's own session id, cut to 128 bits)."""
        parts = (user.encode("utf-8", "surrogatepass"), login.encode("utf-8", "surrogatepass"))
        message = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return hmac.new(self._naming, message, hashlib.sha256).hexdigest()[:32]

    def issue(self, session: str, role: str | None, now_ns: int) -> Ticket:
        """A ticket for this session, good from now on. ValueError for a session or role that a ticket cannot hold."""
        expires_ns = now_ns + self._life_ns
        words = f"1.{session}.{expires_ns}.{role or ''}"
        if not _SHAPE.fullmatch(words):
            raise ValueError("a ticket holds a session of 32 hex digits and a role of small letters")
        return Ticket(ticket=f"{words}.{self._signature(words)}", expires_ns=expires_ns, session=session, role=role or None)

    def redeem(self, ticket: str, now_ns: int) -> Grant | None:
        """What the ticket allows; None when it is not ours or is over."""
        read = self._read(ticket)
        return read[0] if read is not None and now_ns < read[1] else None

    def renew(self, ticket: str, now_ns: int) -> Ticket | None:
        """A new ticket for the session of an old one; None when that is not ours or was over too long ago."""
        read = self._read(ticket)
        if read is None or now_ns >= read[1] + RENEWABLE_NS:
            return None
        return self.issue(read[0].session, read[0].role, now_ns)

    def _read(self, ticket: str) -> tuple[Grant, int] | None:
        words, _, shown = ticket.rpartition(".")
        if not hmac.compare_digest(shown.encode("utf-8", "surrogatepass"), self._signature(words).encode()):
            return None
        found = _SHAPE.fullmatch(words)
        return None if found is None else (Grant(session=found[1], role=found[3] or None), int(found[2]))

    def _signature(self, words: str) -> str:
        return hmac.new(self._signing, words.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
