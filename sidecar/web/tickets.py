"""`POST /api/v1/tickets`: the extension's way in, asked for by the content script behind the site's own name.

The browser adds XNAT's session cookie by itself; that is why only requests of the site's own pages are answered.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from math import ceil
from typing import Protocol
from urllib.parse import urlsplit

from flask import Blueprint, Response, request

from sidecar.errors import NotAllowedError, NotLoggedInError, TicketError, TicketsTooFastError, TicketTooOldError, XnatAwayError
from sidecar.web.problems import ProblemError, problem

COOKIE = "JSESSIONID"
_LONGEST_BODY = 8192
_STATUS: Mapping[type[TicketError], HTTPStatus] = {
    NotLoggedInError: HTTPStatus.UNAUTHORIZED,
    NotAllowedError: HTTPStatus.FORBIDDEN,
    TicketTooOldError: HTTPStatus.BAD_REQUEST,
    TicketsTooFastError: HTTPStatus.TOO_MANY_REQUESTS,
    XnatAwayError: HTTPStatus.SERVICE_UNAVAILABLE,
}


class Given(Protocol):
    """A ticket, as far as it is told."""

    @property
    def ticket(self) -> str: ...

    @property
    def expires_ns(self) -> int: ...

    @property
    def session(self) -> str: ...

    @property
    def role(self) -> str | None: ...


#: the cookie, and an older ticket to renew or None -> a ticket; raises TicketError
Give = Callable[[str, str | None], Given]


def is_same_origin(fetch_site: str | None, origin: str | None, host: str) -> bool:
    """Whether a browser says that the site's own page asks. Pure.

    `Sec-Fetch-Site` is the browser's own word; sites without TLS do not get it, there `Origin` must name the host that was asked.
    """
    if fetch_site is not None:
        return fetch_site == "same-origin"
    if origin is None:
        return False
    parts = urlsplit(origin)
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()


def tickets(give: Give | None) -> Blueprint:
    """The path; without `give` it answers that tickets are not in use here."""
    paths = Blueprint("tickets", __name__, url_prefix="/api/v1")

    @paths.post("/tickets")
    def ticket() -> Response:
        if not is_same_origin(request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin"), request.host):
            raise ProblemError(
                HTTPStatus.FORBIDDEN,
                "tickets are for the site's own pages",
                "ask from a page of XNAT, behind the site's own name",
            )
        renew = _renew()
        if give is None:
            raise ProblemError(HTTPStatus.NOT_FOUND, "tickets are not in use here", "set TRACEMARK_XNAT_URL, or use a token")
        try:
            given = give(request.cookies.get(COOKIE, ""), renew)
        except TicketError as fault:
            return refusal(fault)
        told = {"ticket": given.ticket, "expires_ns": given.expires_ns, "session": given.session, "role": given.role}
        return Response(json.dumps(told), mimetype="application/json")

    return paths


def _renew() -> str | None:
    """The body: an empty object, or one that names the ticket to renew."""
    if request.mimetype != "application/json":
        raise ProblemError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the body is not JSON", "send {} as application/json")
    try:
        body = json.loads(request.get_data()) if (request.content_length or 0) <= _LONGEST_BODY else None
    except (ValueError, RecursionError):
        body = None
    renew = body.get("renew") if isinstance(body, dict) else None
    if not isinstance(body, dict) or set(body) - {"renew"} or not isinstance(renew, str | None):
        raise ProblemError(
            HTTPStatus.BAD_REQUEST, "the body is not understood", 'send {}, or {"renew": TICKET} with an older ticket'
        )
    return renew


def refusal(fault: TicketError) -> Response:
    """The answer for a login that does not let in."""
    answer = problem(_STATUS.get(type(fault), HTTPStatus.SERVICE_UNAVAILABLE), str(fault))
    if fault.after_s is not None:
        answer.headers["Retry-After"] = str(ceil(fault.after_s))
    if isinstance(fault, NotLoggedInError):
        answer.headers["WWW-Authenticate"] = "XNAT-Login"  # no scheme for which a browser would ask for a password
    return answer
