"""A small site for tests of the extension: buttons that stand for actions, a download, a strict page, and tickets."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.support.http_serving import serving

PAGE = b"""<!doctype html><title>secret title</title><link rel="icon" href="data:,">
<button id="scroll" data-action="scroll">scroll</button>
<button id="open" data-action="open_viewer" data-stays="1">open</button>
<button id="download" data-action="download">download</button>
<a id="file" href="/file.zip" download>file</a><a id="next" href="/next">next</a>
<script>document.getElementById("download").onclick = () => document.getElementById("file").click();</script>"""
CSP = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'none'"


class Site:
    """A site on a loopback port; `/strict` allows no connection by its CSP, `/file.zip` is a download; it also gives tickets."""

    def __init__(self) -> None:
        self.tickets: list[str] = []
        self.ticket_cookies: list[bool] = []
        self.ticket_origins: list[tuple[str | None, str | None]] = []
        self.paths: list[str] = []
        self.files: dict[str, bytes] = {}
        self.pages: dict[str, bytes] = {}
        site = self

        class Answer(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                site.paths.append(self.path)
                path = self.path.partition("?")[0]
                if path in site.files:
                    self._send(site.files[path], "application/octet-stream")
                elif path == "/file.zip":
                    self._send(b"PK" * 1000, "application/zip")
                else:
                    self._send(
                        site.pages.get(path, PAGE),
                        "text/html",
                        {"Set-Cookie": "JSESSIONID=lab; Path=/; HttpOnly; SameSite=Strict"},
                    )

            def do_POST(self) -> None:
                site.paths.append(self.path)
                self.rfile.read(int(self.headers.get("Content-Length", "0")))
                site.ticket_cookies.append("JSESSIONID=lab" in self.headers.get("Cookie", ""))
                site.ticket_origins.append((self.headers.get("Sec-Fetch-Site"), self.headers.get("Origin")))
                if self.path == "/tracemark/api/v1/tickets" and site.tickets:
                    answer = {
                        "ticket": site.tickets[0],
                        "expires_ns": 4_000_000_000_000_000_000,
                        "session": "a" * 32,
                        "role": "radiologist",
                    }
                    self._send(json.dumps(answer).encode(), "application/json")
                else:
                    self.send_response(401)
                    self.send_header("Content-Length", "0")
                    self.end_headers()

            def _send(self, body: bytes, kind: str, more: Mapping[str, str] | None = None) -> None:
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                if self.path == "/strict":
                    self.send_header("Content-Security-Policy", CSP)
                for name, value in (more or {}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *words: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    @contextmanager
    def serving(self) -> Iterator[Site]:
        with serving(self._server):
            yield self
