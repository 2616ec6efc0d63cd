"""The library's connection, with our close code for what is too large, and what may be known of the other end."""

from __future__ import annotations

from typing import Any

from websockets.asyncio.server import Server, ServerConnection
from websockets.datastructures import Headers
from websockets.server import ServerProtocol

from sidecar.markers.gate import Peer, is_loopback
from sidecar.model.messages import MAX_MESSAGE_BYTES, CloseCode, ErrorReply
from sidecar.model.wire import encode

#: a client that comes through a proxy is not on this machine, even where the proxy is
PROXY_HEADERS = ("Forwarded", "X-Forwarded-For", "X-Real-IP")
_LIBRARY_TOO_BIG = 1009


class MarkerConnection(ServerConnection):
    """Says 4413 where the library would say 1009: the limit is the library's, so that no large message is ever held in memory."""

    def __init__(self, protocol: ServerProtocol, server: Server, **options: Any) -> None:
        super().__init__(protocol, server, **options)
        library_fail = protocol.fail

        def fail(code: int, reason: str = "") -> None:
            if code == _LIBRARY_TOO_BIG:
                code, reason = CloseCode.TOO_LARGE, f"a message is larger than {MAX_MESSAGE_BYTES} bytes"
                reply = ErrorReply(code="too_large", message=f"{reason}: send fewer markers at a time")
                protocol.send_text(encode(reply).encode())
            library_fail(code, reason)

        protocol.fail = fail  # type: ignore[method-assign]  # the library has no other place to name the code


def peer_of(address: str, headers: Headers) -> Peer:
    """The peer, from its address and the handshake's headers: only the origin and the proxies' headers are looked at."""
    origins = headers.get_all("Origin")
    return Peer(
        origin=", ".join(origins) if origins else None,
        on_this_machine=is_loopback(address) and not any(name in headers for name in PROXY_HEADERS),
    )
