"""Sizes as a real browser tells them: pages, redirects, posts, the cache, and a download."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from replay.browser import opened
from replay.chromium import BrowserOptions, BrowserPaths
from replay.locate import Locator
from replay.transfers import Exchange
from replay.transfers_browser import BrowserMeter
from tests.support.http_serving import serving
from tests.support.waiting import wait_until

#: without an icon of its own, the browser would ask for one at some time
PAGE = (
    b'<link rel=icon href="data:,"><a id=d href=/file>d</a><img src=/image>'
    b'<script>fetch("/post", {method: "POST", body: "y".repeat(50000)})</script>'
)
IMAGE, FILE, POST = 30_000, 2_000_000, 50_000
#: what headers may add
HEADERS = 1500


class _Site(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    asked: ClassVar[list[str]] = []

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(b"ok")

    def do_GET(self) -> None:
        self.asked.append(self.path)
        match self.path:
            case "/":
                self._answer(PAGE, Content_Type="text/html")
            case "/image":
                self._answer(bytes(IMAGE), Content_Type="image/png", Cache_Control="max-age=999")
            case "/file":
                self._answer(bytes(FILE), Content_Type="application/zip", Content_Disposition="attachment; filename=a.zip")
            case _:
                self._answer(b"", status=302 if self.path == "/away" else 404, Location="/")

    def _answer(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in ({"Content_Length": str(len(body))} | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def served() -> Iterator[str]:
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), _Site)) as server:
        yield f"http://127.0.0.1:{server.server_port}"


@pytest.mark.browser
def test_the_browser_tells_what_it_sent_and_received() -> None:
    options = BrowserOptions(paths=BrowserPaths.find(os.environ), hosts=("127.0.0.1",), window=(800, 600), visible=False)
    meter = BrowserMeter()

    def seen(count: int) -> tuple[Exchange, ...]:
        wait_until(lambda: len(meter.exchanges()) >= count, f"{count} exchanges of {meter.exchanges()}", 60)
        assert len(meter.exchanges()) == count
        return meter.exchanges()

    with served() as site, opened(options) as browser:
        browser.meter(meter)
        browser.go(f"{site}/away")
        first = seen(4)  # the redirect, the page, the image, the post
        assert IMAGE + len(PAGE) <= sum(one.down_bytes for one in first) < IMAGE + len(PAGE) + 4 * HEADERS
        assert POST <= sum(one.up_bytes for one in first) < POST + 4 * HEADERS
        (link,) = wait_until(lambda: browser.find(Locator(strategy="id", value="d")), "the link", 60)
        assert browser.aim(link.element) is None
        browser.click()
        wait_until(lambda: any(one.down_bytes == FILE for one in meter.exchanges()), f"the download in {meter.exchanges()}", 60)
        download = seen(5)[4]
        assert first[0].start_ns < download.start_ns <= download.end_ns
        browser.go(site)
        fetched = _Site.asked.count("/image") - 1  # none, as a rule: the image comes from the browser's cache
        again = seen(7 + fetched)[5:]  # page and post
        assert sum(one.down_bytes for one in again) < len(PAGE) + 3 * HEADERS + fetched * IMAGE
    assert not list(Path(browser.downloads).glob("*"))
