"""A site that misbehaves as the test says: not there, with a certificate of its own, breaking off, locking accounts."""

from __future__ import annotations

import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.support.http_serving import serving

EXAM = b"PK" + b"x" * 400_000
_LOGIN = b"""<!doctype html><title>log in</title><div class="message">%s</div>
<form id="login_form" action="/enter"><button id="go">Log in</button></form><a id="exam" href="/exam.zip?token=abc">exam</a>
<script>console.error("noise about http://site.test/page?token=abc");</script>"""


class UnreliableSite:
    """`breaks` counts downloads that will break off, `status` is that of every page, `says` is the message after a log-in."""

    def __init__(self) -> None:
        self.breaks = 0
        self.status = 200
        self.says = b"Your account has been locked."
        self.seen: list[str] = []
        self.url = ""


@contextmanager
def unreliable_site(port: int = 0, tls: Path | None = None) -> Iterator[UnreliableSite]:
    """The site on this machine; with TLS when a folder for a certificate, which nobody trusts, is given."""
    site = UnreliableSite()

    class Answer(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            site.seen.append(path)
            if path == "/exam.zip":
                self._exam()
            elif path == "/enter":
                self._page(_LOGIN % site.says)
            else:
                self._page(_LOGIN % b"")

        def _page(self, body: bytes) -> None:
            self.send_response(site.status)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _exam(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/zip")
            self.send_header("Content-Disposition", "attachment; filename=exam.zip")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"%x\r\n" % len(EXAM) + EXAM + b"\r\n")
            self.wfile.flush()
            if site.breaks:
                site.breaks -= 1
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)  # in the middle of the answer, as a proxy that dies
            else:
                self.wfile.write(b"0\r\n\r\n")

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Answer)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a browser that does not trust us goes away
    site.url = f"http://127.0.0.1:{server.server_port}"
    if tls is not None:
        key, certificate = tls / "key.pem", tls / "certificate.pem"
        make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
        subprocess.run([*make, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        site.url = site.url.replace("http:", "https:")
    with serving(server):
        yield site
