"""Who may see the page and the API behind the site's own name: people whom XNAT gives one of the chosen site roles."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sidecar.clock import Clock
from sidecar.errors import NotAllowedError, NotLoggedInError
from sidecar.markers.login_memory import LoginMemory, MemoryLimits

#: An open page asks every few seconds. Longer than XNAT's own time-out (15 minutes), so that a page left open does not keep a
#: login alive; a page asks for many things at once.
_LIMITS = MemoryLimits(remember_s=1200.0, looks_per_s=20.0, looks_burst=400)


class Door:
    """Thread-safe. `roles_of` tells the site roles of a cookie's login, None for nobody, and raises XnatAwayError."""

    def __init__(
        self,
        roles_of: Callable[[str], frozenset[str] | None],
        roles: frozenset[str],
        clock: Clock,
        limits: MemoryLimits = _LIMITS,
    ) -> None:
        self._logins = LoginMemory(roles_of, clock, limits, "page behind the site")
        self._roles = roles

    def let_in(self, cookie: str) -> None:
        """Return for who may come in; raises NotLoggedInError, NotAllowedError, TicketsTooFastError, XnatAwayError."""
        roles = self._logins.of(cookie)
        if roles is None:
            raise NotLoggedInError("nobody is logged in to XNAT here", "log in to XNAT, then open this page again")
        if not roles & self._roles:
            wanted = " or ".join(sorted(self._roles)) or "nobody"
            raise NotAllowedError(f"this page is for XNAT's site role {wanted}", "ask who runs this XNAT (TRACEMARK_PAGE_ROLES)")

    def health(self) -> Mapping[str, int]:
        """Counters about itself."""
        return self._logins.health()
