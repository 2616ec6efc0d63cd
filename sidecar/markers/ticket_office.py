"""Gives tickets to whoever shows the cookie of a living XNAT login; of a user nothing but the session's pseudonym is kept."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from sidecar.clock import Clock
from sidecar.errors import NotLoggedInError, TicketTooOldError
from sidecar.markers.login_memory import LoginMemory, MemoryLimits
from sidecar.markers.tickets import Grant, Ticket, Tickets


class TicketOffice:
    """Thread-safe. `user_of` names the user of a cookie, None for nobody, and raises XnatAwayError when XNAT cannot be asked."""

    def __init__(
        self, user_of: Callable[[str], str | None], tickets: Tickets, clock: Clock, limits: MemoryLimits | None = None
    ) -> None:
        def session_of(cookie: str) -> str | None:
            user = user_of(cookie)
            return None if user is None else tickets.session_of(user, cookie)

        self._sessions = LoginMemory(session_of, clock, limits or MemoryLimits(), "tickets")
        self._tickets = tickets
        self._clock = clock
        self._lock = threading.Lock()
        self._issued = self._refused = 0

    @property
    def trouble(self) -> str:
        """Why XNAT cannot be asked; empty when it can."""
        return self._sessions.trouble

    def ticket_for(self, cookie: str, renew: str | None = None) -> Ticket:
        """A ticket for the login's own session, or for that of the older ticket `renew`, so that its outbox can be emptied.

        Raises NotLoggedInError, TicketTooOldError, TicketsTooFastError, XnatAwayError.
        """
        session = self._sessions.of(cookie)
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
            return {"tickets_issued_total": self._issued, "logins_refused_total": self._refused, **self._sessions.health()}
