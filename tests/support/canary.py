"""Words that must not come out again anywhere, every form that they could come out in, and what listens for them."""

from __future__ import annotations

import base64
import hashlib
import secrets
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote, quote_plus

from tests.support.http_serving import serving


class Canaries:
    """A fresh word per place; each is letters and digits, so that every place takes it."""

    def __init__(self) -> None:
        self.words: dict[str, str] = {}

    def __call__(self, place: str) -> str:
        return self.words.setdefault(place, f"Zq{secrets.token_hex(5)}Kanarie{len(self.words)}")

    def found_in(self, haystacks: Mapping[str, bytes]) -> list[str]:
        """`place in haystack as form` for each that is there."""
        lowered = {name: data.lower() for name, data in haystacks.items()}
        return [
            f"{place} in {name} as {form}"
            for place, word in self.words.items()
            for form, needle in forms(word).items()
            for name in haystacks
            if (needle.lower() in lowered[name] if form in _ANY_CASE else needle in haystacks[name])
        ]


#: forms of which upper and lower case mean the same
_ANY_CASE = frozenset({"text", "URL-encoded", "form-encoded", "utf-16le", "utf-16be", "hex", "md5", "sha1", "sha256"})


def forms(word: str) -> dict[str, bytes]:
    """A word as itself, encoded, and hashed without a key."""
    raw = word.encode()
    made = {
        "text": raw,
        "URL-encoded": quote(word, safe="").encode(),
        "form-encoded": quote_plus(word).encode(),
        "utf-16le": word.encode("utf-16-le"),
        "utf-16be": word.encode("utf-16-be"),
        "hex": raw.hex().encode(),
        "backwards": raw[::-1],
    }
    for shift in range(3):  # wherever it stands in what was encoded
        middle = base64.b64encode(b"\0" * shift + raw)[-(-shift * 8 // 6) :].rstrip(b"=")[:-1]
        made[f"base64 +{shift}"] = middle
        made[f"base64url +{shift}"] = middle.replace(b"+", b"-").replace(b"/", b"_")
    for name in ("md5", "sha1", "sha256"):
        for case, said in (("", raw), (" of lower case", raw.lower())):
            digest = hashlib.new(name, said, usedforsecurity=False)
            made[name if not case else name + case] = digest.hexdigest().encode()
            made[f"{name} raw{case}"] = digest.digest()
            made[f"{name} base64{case}"] = base64.b64encode(digest.digest()).rstrip(b"=")
    return made


class Tap:
    """A TCP relay that keeps every byte of both directions; WebSocket frames of the client can be read unmasked."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self.streams: list[tuple[bytearray, bytearray]] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"

    @contextmanager
    def running(self) -> Iterator[Tap]:
        """Relay until this is left."""
        thread = threading.Thread(target=self._accept, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown(socket.SHUT_RDWR)
            self._server.close()
            thread.join()

    def heard(self) -> dict[str, bytes]:
        """All bytes that passed, and the same with the client's masks taken off."""
        sent = b"\n".join(bytes(up) for up, _ in self.streams)
        return {
            "the socket's raw bytes": sent,
            "the socket's messages": b"\n".join(unmasked(bytes(up)) for up, _ in self.streams),
            "the sidecar's answers": b"\n".join(bytes(down) for _, down in self.streams),
        }

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            try:
                sidecar = socket.create_connection(self._target, 5)
            except OSError:
                client.close()
                continue
            stream = (bytearray(), bytearray())
            self.streams.append(stream)
            for source, target, kept in ((client, sidecar, stream[0]), (sidecar, client, stream[1])):
                threading.Thread(target=_pass_on, args=(source, target, kept), daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket, kept: bytearray) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            kept += data
            target.sendall(data)
    for one in (source, target):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()


def unmasked(stream: bytes) -> bytes:
    """The payloads of a client's WebSocket frames, behind its handshake."""
    _, _, rest = stream.partition(b"\r\n\r\n")
    made = bytearray()
    at = 0
    while at + 2 <= len(rest):
        length, at = rest[at + 1] & 0x7F, at + 2
        if length > 125:
            size = 2 if length == 126 else 8
            length, at = int.from_bytes(rest[at : at + size], "big"), at + size
        mask, at = rest[at : at + 4], at + 4
        made += bytes(byte ^ mask[place % 4] for place, byte in enumerate(rest[at : at + length])) + b"\n"
        at += length
    return bytes(made)


class Store:
    """Takes whatever the sidecar ships, as an InfluxDB would, and keeps it."""

    def __init__(self) -> None:
        self.written = bytearray()
        kept = self.written

        class Answer(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                kept.extend(self.path.encode() + b"\n" + self.rfile.read(int(self.headers.get("Content-Length", "0"))) + b"\n")
                self.send_response(204)
                self.end_headers()

            def log_message(self, *words: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def running(self) -> Iterator[Store]:
        """Listen until this is left."""
        with serving(self._server):
            yield self
