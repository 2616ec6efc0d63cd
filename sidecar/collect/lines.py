"""A held stream of JSON lines from the Docker engine's HTTP API, over a plain socket that a selector can wait for.

The `docker` package gives every stream a blocking generator, hence a thread; the frames of 40 containers cost half as much CPU
when one selector waits for all. HTTP/1.0 keeps this short: an engine answers it without chunks, line after line until it closes.
"""

from __future__ import annotations

import socket

from sidecar.errors import CollectError, EngineGoneError

_ONE_RECEIVE = 65536
#: a frame is about 2 kB; whoever sends a line of this length is no Docker engine
_LONGEST_LINE = 4 * 2**20


class LineProtocol:
    """Bytes of one HTTP/1.0 answer in, lines of its body out. Pure."""

    def __init__(self) -> None:
        self._rest = b""
        self._in_body = False
        self.status: int | None = None

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that these bytes complete; raises CollectError for what is not such an answer."""
        self._rest += data
        if not self._in_body:
            head, found, body = self._rest.partition(b"\r\n\r\n")
            if not found:
                self._check_length()
                return []
            self._read_head(head)
            self._rest, self._in_body = body, True
        *lines, self._rest = self._rest.split(b"\n")
        self._check_length()
        return [line for line in lines if line.strip()]

    def _read_head(self, head: bytes) -> None:
        first, *fields = head.split(b"\r\n")
        version, _, rest = first.partition(b" ")
        if not version.startswith(b"HTTP/1.") or not rest[:3].isdigit():
            raise CollectError("what answers at the Docker endpoint does not speak HTTP", "set TRACEMARK_DOCKER to the engine")
        self.status = int(rest[:3])
        if any(field.lower().replace(b" ", b"") == b"transfer-encoding:chunked" for field in fields):
            raise CollectError(
                "the proxy before the Docker engine sends chunks to an HTTP/1.0 client",
                "use a proxy that keeps to RFC 9112, or the engine's socket",
            )

    def _check_length(self) -> None:
        if len(self._rest) > _LONGEST_LINE:
            raise CollectError("the Docker endpoint sent a line of over 4 MiB", "set TRACEMARK_DOCKER to the engine")


class LineStream:
    """One open stream: waits in a selector, then `receive()`s what has come."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._protocol = LineProtocol()
        connection.setblocking(False)

    def fileno(self) -> int:
        return self._connection.fileno()

    @property
    def status(self) -> int | None:
        """The answer's HTTP status, None before it came."""
        return self._protocol.status

    def receive(self) -> list[bytes] | None:
        """The lines that have come, perhaps none; None when the other side has ended the stream.

        Raises EngineGoneError when the connection broke, CollectError when this is no Docker engine.
        """
        try:
            data = self._connection.recv(_ONE_RECEIVE)
        except BlockingIOError:
            return []
        except OSError as error:
            raise EngineGoneError(
                f"the connection to the Docker engine broke ({error.strerror})", "look at the engine"
            ) from error
        return self._protocol.feed(data) if data else None

    def close(self) -> None:
        self._connection.close()
