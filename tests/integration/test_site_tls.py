"""The deployment's example of nginx with TLS, serving: what people, the extension and the replayer meet at an HTTPS site."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from websockets.sync.client import connect

from tests.support.sidecar import SidecarProcess, free_port
from tests.support.site_nginx import serving, written


class Xnat(BaseHTTPRequestHandler):
    """Answers with what reached it; knows one administrator."""

    def do_GET(self) -> None:
        admin = "JSESSIONID=ADMIN0123456789" in self.headers.get("Cookie", "")
        known = {"/xapi/users/username": b"boss", "/xapi/users/boss/roles": b'["Administrator"]'}
        body = known[self.path] if admin and self.path in known else json.dumps(dict(self.headers)).encode()
        self.send_response(401 if self.path.startswith("/xapi") and not admin else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@dataclass
class Place:
    """The site: its two ports and how to ask it."""

    plain: int
    encrypted: int
    trust: ssl.SSLContext
    sidecar: SidecarProcess

    def ask(
        self, path: str, method: str = "GET", body: bytes | None = None, **headers: str
    ) -> tuple[int, bytes, http.client.HTTPMessage]:
        connection = http.client.HTTPSConnection("localhost", self.encrypted, timeout=60, context=self.trust)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers
        finally:
            connection.close()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("tls")
    xnat = ThreadingHTTPServer(("127.0.0.1", 0), Xnat)
    threading.Thread(target=xnat.serve_forever, args=(0.01,), daemon=True).start()
    sidecar = SidecarProcess(
        folder,
        {
            "TRACEMARK_XNAT_URL": f"http://127.0.0.1:{xnat.server_address[1]}",
            "TRACEMARK_NGINX_LOG": str(folder / "xnat.access.log"),
            "TRACEMARK_TOKEN": "shown-by-the-replayer",
        },
    )
    plain, encrypted = free_port(), free_port()
    written(
        folder,
        {
            "http://tracemark:8050": f"http://{sidecar.http}",
            "http://tracemark:8051": f"http://{sidecar.markers}",
            "http://xnat-web:8080": f"http://127.0.0.1:{xnat.server_address[1]}",
            "listen 80;": f"listen 127.0.0.1:{plain};",
            "listen 443 ssl;": f"listen 127.0.0.1:{encrypted} ssl;",
            "resolver 127.0.0.11 valid=10s ipv6=off;": "",
        },
    )
    sidecar.start()
    try:
        with serving(folder, "xnat-tls.conf", encrypted):
            yield Place(plain, encrypted, ssl.create_default_context(cafile=str(folder / "fullchain.pem")), sidecar)
    finally:
        sidecar.stop()
        xnat.shutdown()
        xnat.server_close()


def test_plain_http_is_sent_on_to_https(place: Place) -> None:
    connection = http.client.HTTPConnection("localhost", place.plain, timeout=60)
    connection.request("GET", "/app/template/Login.vm", headers={"Host": "localhost"})
    answer = connection.getresponse()
    assert (answer.status, answer.headers["Location"]) == (301, "https://localhost/app/template/Login.vm")
    connection.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_xnat_is_reached_and_told_that_it_was_https(place: Place, version: ssl.TLSVersion) -> None:
    place.trust.minimum_version = place.trust.maximum_version = version
    status, body, headers = place.ask("/app/template/Login.vm")
    assert status == 200
    assert json.loads(body)["X-Forwarded-Proto"] == "https"
    assert "max-age" in headers["Strict-Transport-Security"]


def test_the_marker_channel_works_over_wss(place: Place) -> None:
    hello = {
        "type": "hello",
        "version": 1,
        "source": "replay",
        "client": "t-1",
        "session": "1" * 32,
        "token": "shown-by-the-replayer",
    }
    with connect(f"wss://localhost:{place.encrypted}/tracemark/markers", ssl=place.trust, proxy=None) as channel:
        channel.send(json.dumps(hello))
        assert json.loads(channel.recv(timeout=60))["type"] == "welcome"


def test_tickets_and_the_page_ask_xnat_who_it_is(place: Place) -> None:
    origin = f"https://localhost:{place.encrypted}"
    head = {"Origin": origin, "Content-Type": "application/json", "Cookie": "JSESSIONID=ADMIN0123456789"}
    status, body, _ = place.ask("/tracemark/api/v1/tickets", "POST", b"{}", **head)
    assert status == 200
    assert json.loads(body)["ticket"]
    assert place.ask("/tracemark/")[0] == 401
    status, page, _ = place.ask("/tracemark/", Cookie="JSESSIONID=ADMIN0123456789")
    assert status == 200
    assert b'src="/tracemark/static/js/main.js"' in page
    assert place.ask("/tracemark/api/v1/usage?from=-5m", Cookie="JSESSIONID=ADMIN0123456789")[0] == 200
