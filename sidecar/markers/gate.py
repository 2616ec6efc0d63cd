"""Who may use the marker channel: where the connection comes from, and what its `hello` shows."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass

from sidecar.markers.tickets import Grant
from sidecar.model.messages import VERSION, CloseCode, Hello, WireError

#: of a browser's connections only an extension's own background may speak here: a web page must not inject markers
EXTENSION_ORIGINS = ("chrome-extension://", "moz-extension://")
SOURCES = ("extension", "replay")


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """What is known of the other end before it speaks; its address is not kept."""

    origin: str | None
    on_this_machine: bool


def is_loopback(address: str) -> bool:
    """Whether an IP address (IPv4, IPv6 or IPv4 inside IPv6) is this machine's own."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return (mapped or ip).is_loopback


class Gate:
    """Decides by the origin, the token and the ticket. An empty token admits only clients on this machine.

    `redeem` turns a ticket into what it grants, or into None when it is not good; without it no ticket is.
    """

    def __init__(self, token: str, redeem: Callable[[str], Grant | None] | None = None) -> None:
        self._token = token.encode()
        self._redeem = redeem

    def check_origin(self, peer: Peer) -> None:
        """Raises WireError (4401) for a connection that a web page opened."""
        if peer.origin is not None and not peer.origin.startswith(EXTENSION_ORIGINS):
            raise _not_allowed("a web page may not open this channel", "use the extension or the replayer")

    def admit(self, hello: Hello, peer: Peer) -> str | None:
        """The role that the hello's ticket grants, if any. Raises WireError: 4409 for a version, 4401 for anything else."""
        if hello.version != VERSION:
            raise WireError(
                "version",
                f"version {hello.version} of the marker channel is not spoken here",
                f"use version {VERSION}: update the older of the two sides",
                close_code=CloseCode.VERSION,
            )
        if hello.source not in SOURCES:
            raise _not_allowed(f"the source {hello.source!r} may not send markers", f"use {' or '.join(SOURCES)}")
        if hello.ticket is not None:
            grant = self._redeem(hello.ticket) if self._redeem else None
            if grant is None:
                raise _not_allowed("the ticket is not good", "ask for a new one")
            if grant.session != hello.session:
                raise _not_allowed("the ticket is for another session", "say hello with the session that came with it")
            return grant.role
        if self._token:
            shown = (hello.token or "").encode("utf-8", "surrogatepass")
            if not hmac.compare_digest(shown, self._token):
                raise _not_allowed("the token is missing or wrong", "send the token that the sidecar was started with")
        elif not peer.on_this_machine:
            raise _not_allowed("without a token only clients on this machine are admitted", "set TRACEMARK_TOKEN on both sides")
        return None


def _not_allowed(what: str, remedy: str) -> WireError:
    return WireError("not_allowed", what, remedy, close_code=CloseCode.NOT_ALLOWED)
