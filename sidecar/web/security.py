"""What every answer carries, and who is answered at all."""

from __future__ import annotations

import ipaddress
from http import HTTPStatus

from flask import Flask, Response, render_template, request

from sidecar.errors import TicketError
from sidecar.web.parts import WebParts
from sidecar.web.problems import ProblemError
from sidecar.web.tickets import COOKIE, refusal

#: everything from here, nothing inline, nobody may frame us
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; connect-src 'self'; form-action 'none'; frame-ancestors 'none'; img-src 'self'; "
        "object-src 'none'; script-src 'self'; style-src 'self'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
#: asked for by the site's own pages, under the site's name; who asks is known by the XNAT login and by nothing else
TICKETS = "/api/v1/tickets"
#: set by the site's proxy, and by nobody else: below which path of the site we stand
PREFIX = "X-Forwarded-Prefix"


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine and nobody else can reach it."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def host_of(header: str) -> str:
    """The host in a Host header, without its port."""
    if header.startswith("["):
        return header.partition("]")[0] + "]"
    return header.partition(":")[0]


def register(app: Flask, parts: WebParts) -> None:
    """Add the headers to every answer, and judge who asks.

    Requests that come through the site's proxy need an XNAT login that is let in. All others must name a host that is ours: a
    page of a stranger can let its own name point to 127.0.0.1 and would then read our answers as its own (DNS rebinding); the
    browser's Host header still tells that name. Such a page can also claim to come through the proxy, but it has no XNAT cookie.
    """
    # Without names of its own, a sidecar that listens for other machines cannot know how they call it.
    any_host = not is_loopback(parts.address[0]) and not parts.allowed_hosts
    names = frozenset(name.lower() for name in parts.allowed_hosts)

    @app.before_request
    def known() -> None:
        if request.path == TICKETS:
            return
        if PREFIX in request.headers:
            if parts.let_in is None:
                raise ProblemError(
                    HTTPStatus.NOT_FOUND,
                    "the page is not shown behind the site",
                    "set TRACEMARK_XNAT_URL and TRACEMARK_PAGE_ROLES",
                )
            parts.let_in(request.cookies.get(COOKIE, ""))
            return
        host = host_of(request.host.lower())
        if not (any_host or is_loopback(host) or host in names):
            raise ProblemError(
                HTTPStatus.MISDIRECTED_REQUEST,
                f"{request.host[:80]} is not a name of this sidecar",
                "use http://127.0.0.1 or http://localhost on its own machine, or set TRACEMARK_ALLOWED_HOSTS",
            )

    @app.errorhandler(TicketError)
    def refused(fault: TicketError) -> Response | tuple[str, int]:
        answer = refusal(fault)
        # A person who opens the page reads a page; a program reads a problem.
        if request.path == "/" and request.accept_mimetypes.accept_html:
            return render_template("refused.html", what=fault.what, remedy=fault.remedy), answer.status_code
        return answer

    @app.after_request
    def harden(answer: Response) -> Response:
        for name, value in HEADERS.items():
            answer.headers.setdefault(name, value)
        # The page and its parts are asked for again (and found unchanged); answers with data are never kept.
        answer.headers["Cache-Control"] = "no-cache" if request.endpoint == "static" else "no-store"
        return answer
