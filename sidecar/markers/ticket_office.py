"""Gives tickets to whoever shows the cookie of a living XNAT login, and asks XNAT as seldom as it can.

Of a cookie only a hash is remembered, under a key that ends with the process; of a user nothing but the session's pseudonym.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sidecar.clock import Clock
from sidecar.errors import NotLoggedInError, TicketsTooFastError, TicketTooOldError, XnatAwayError
from sidecar.markers.limits import Bucket
from sidecar.markers.tickets import Grant, Ticket, Tickets
from sidecar.markers.xnat_login import is_cookie

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class OfficeLimits:
    """The bounds of the office.

    XNAT's answer counts for `remember_s`, that nobody is logged in for `remember_nobody_s`. Bursts and rates: tickets per login,
    and questions to XNAT all together. At most `questions_at_once` callers wait for XNAT; `logins` are remembered.
    """

    remember_s: float = 60.0
    remember_nobody_s: float = 5.0
    logins: int = 4096
    tickets_per_s: float = 0.5
    tickets_burst: int = 20
    questions_per_s: float = 20.0
    questions_burst: int = 100
    questions_at_once: int = 4


class _Login:
    """What is remembered of one cookie. `asking` is held by whoever asks XNAT about it."""

    __slots__ = ("asking", "bucket", "session", "until_ns")

    def __init__(self, bucket: Bucket) -> None:
        self.asking = threading.Lock()
        self.bucket = bucket
        self.session: str | None = None
        self.until_ns: int | None = None


class TicketOffice:
    """Thread-safe. `user_of` names the user of a cookie, None for nobody, and raises XnatAwayError when XNAT cannot be asked."""

    def __init__(
        self, user_of: Callable[[str], str | None], tickets: Tickets, clock: Clock, limits: OfficeLimits | None = None
    ) -> None:
        self._user_of = user_of
        self._tickets = tickets
        self._clock = clock
        self._limits = limits or OfficeLimits()
        self._hash_key = secrets.token_bytes(32)
        self._logins: OrderedDict[bytes, _Login] = OrderedDict()
        self._questions = Bucket(self._limits.questions_per_s, self._limits.questions_burst)
        self._room = threading.BoundedSemaphore(self._limits.questions_at_once)
        self._lock = threading.Lock()
        self._issued = self._asked = self._refused = 0
        self.trouble = ""

    def ticket_for(self, cookie: str, renew: str | None = None) -> Ticket:
        """A ticket for the login's own session, or for that of the older ticket `renew`, so that its outbox can be emptied.

        Raises NotLoggedInError, TicketTooOldError, TicketsTooFastError, XnatAwayError.
        """
        session = self._session(cookie)
        if session is None:
            with self._lock:
                self._refused += 1
            raise NotLoggedInError("nobody is logged in to XNAT with this cookie", "log in to XNAT and ask again")
        now_ns = self._clock.wall_ns()
        # The role stays unknown: what XNAT knows are memberships of projects, and those would help to tell who it is.
        ticket = self._tickets.renew(renew, now_ns) if renew is not None else self._tickets.issue(session, None, now_ns)
        if ticket is None:
            raise TicketTooOldError(
                "the ticket to renew is not one of ours or was over too long ago", "ask for a new one, with an empty object"
            )
        with self._lock:
            self._issued += 1
        return ticket

    def redeem(self, ticket: str) -> Grant | None:
        """What a ticket allows now; None when it is not good."""
        return self._tickets.redeem(ticket, self._clock.wall_ns())

    def health(self) -> Mapping[str, int]:
        """Counters about itself."""
        with self._lock:
            return {
                "tickets_issued_total": self._issued,
                "logins_refused_total": self._refused,
                "questions_to_xnat_total": self._asked,
                "logins_remembered": len(self._logins),
            }

    def _session(self, cookie: str) -> str | None:
        """The session of this cookie's login, None when there is none."""
        if not is_cookie(cookie):
            return None
        login = self._remembered(hmac.new(self._hash_key, cookie.encode(), hashlib.sha256).digest())
        if self._is_fresh(login):
            return login.session
        if not self._room.acquire(blocking=False):
            raise TicketsTooFastError("XNAT is being asked about other logins", "ask again in a moment", 1.0)
        try:
            with login.asking:  # two tabs of one login: the second one takes the first one's answer
                if not self._is_fresh(login):
                    self._ask(login, cookie)
                return login.session
        finally:
            self._room.release()

    def _remembered(self, name: bytes) -> _Login:
        with self._lock:
            login = self._logins.get(name)
            if login is None:
                login = self._logins[name] = _Login(Bucket(self._limits.tickets_per_s, self._limits.tickets_burst))
                if len(self._logins) > self._limits.logins:
                    self._logins.popitem(last=False)
            self._logins.move_to_end(name)
            self._pay(login.bucket)
        return login

    def _is_fresh(self, login: _Login) -> bool:
        return login.until_ns is not None and self._clock.mono_ns() < login.until_ns

    def _ask(self, login: _Login, cookie: str) -> None:
        with self._lock:
            self._pay(self._questions)
            self._asked += 1
        try:
            user = self._user_of(cookie)
        except XnatAwayError as fault:
            self._say(fault.what)
            raise
        self._say("")
        remember_s = self._limits.remember_nobody_s if user is None else self._limits.remember_s
        login.session = None if user is None else self._tickets.session_of(user, cookie)
        login.until_ns = self._clock.mono_ns() + round(remember_s * 1e9)

    def _pay(self, bucket: Bucket) -> None:
        wait_ms = bucket.take(1, self._clock.mono_ns())
        if wait_ms:
            raise TicketsTooFastError("tickets are asked for too fast", "keep a ticket until it is over", wait_ms / 1000)

    def _say(self, trouble: str) -> None:
        if trouble and trouble != self.trouble:
            log.warning("no tickets: %s", trouble)
        self.trouble = trouble
