"""What every answer carries, and which requests are not answered at all."""

from __future__ import annotations

import ipaddress
from http import HTTPStatus

from flask import Flask, Response, request

from sidecar.web.problems import ProblemError

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
#: asked for through the site's own proxy, so under the site's name; who asks is known by the XNAT login and by nothing else
BEHIND_THE_SITE = frozenset({"/api/v1/tickets"})


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


def register(app: Flask, address: tuple[str, int]) -> None:
    """Add the headers to every answer; on loopback refuse names that are not ours.

    A page of a stranger can let its own name point to 127.0.0.1 and would then read our answers as its own (DNS rebinding); the
    browser's Host header still tells that name.
    """

    @app.before_request
    def known_host() -> None:
        ours = request.path in BEHIND_THE_SITE or is_loopback(host_of(request.host.lower()))
        if is_loopback(address[0]) and not ours:
            raise ProblemError(
                HTTPStatus.MISDIRECTED_REQUEST,
                f"{request.host[:80]} is not a name of this machine",
                "use http://127.0.0.1 or http://localhost, or listen on another address (TRACEMARK_HTTP)",
            )

    @app.after_request
    def harden(answer: Response) -> Response:
        for name, value in HEADERS.items():
            answer.headers.setdefault(name, value)
        # The page and its parts are asked for again (and found unchanged); answers with data are never kept.
        answer.headers["Cache-Control"] = "no-cache" if request.endpoint == "static" else "no-store"
        return answer
