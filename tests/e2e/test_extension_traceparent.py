"""Requests of the site carry their session in real browsers: all of them, no other host's, and only while recording."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from replay.player import NO_ACTION
from tests.support.extension import BROWSERS, Tagged, build_for_test, carry, tagged
from tests.support.http_serving import serving
from tests.support.replay_site import CONTEXT_PATH, site
from tests.support.waiting import wait_until

pytestmark = pytest.mark.browser

PAGE = b"""<!doctype html><title>t</title><link rel="icon" href="data:,"><button id="out" data-action="logout">out</button>
<button id="in" data-action="login">in</button>
<link rel="stylesheet" href="/a.css"><img src="/a.png"><iframe src="/frame"></iframe><script src="/a.js"></script>"""
ASK = """
const [stranger] = arguments;
const xhr = new XMLHttpRequest();
xhr.open("GET", "/xhr");
xhr.send();
for (const path of ["/fetched", stranger + "/stranger", "/away"]) fetch(path);
new Image().src = stranger + "/stranger.png";
new WebSocket(location.origin.replace("http", "ws") + "/socket");"""
#: afterwards, because Firefox ends what a page still asks for when a link is followed
DOWNLOAD = 'document.body.appendChild(Object.assign(document.createElement("a"), {href: "/a.zip"})).click();'


class Server:
    """Keeps what every request to it carried: (host, path) -> the value of traceparent, or None."""

    def __init__(self) -> None:
        self.got: dict[tuple[str, str], str | None] = {}
        keep = self.got

        class Answer(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                host = self.headers["Host"]
                keep[host.partition(":")[0], self.path] = self.headers.get("traceparent")
                body = PAGE if self.path == "/page" else b""
                self.send_response(302 if self.path == "/away" else 200)
                if self.path == "/away":
                    self.send_header("Location", f"http://localhost:{host.rpartition(':')[2]}/landed")
                self.send_header("Access-Control-Allow-Origin", "*")
                self.send_header("Content-Type", "application/zip" if self.path.endswith(".zip") else "text/html")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self._http.daemon_threads = True
        self.port = self._http.server_port
        self.url = f"http://127.0.0.1:{self.port}"

    @contextmanager
    def serving(self) -> Iterator[Server]:
        with serving(self._http):
            yield self

    def carried(self, path: str, host: str = "127.0.0.1") -> str | None:
        """What the request to this path carried, once it was made."""
        wait_until(lambda: (host, path) in self.got, f"a request to {host}{path}")
        return self.got[host, path]


def session_of(browser: Tagged, page: str) -> str:
    """The session's number, as the popup shows it; the browser is back in the page's tab afterwards."""
    browser.own_page("popup.html")
    session: str = browser.ask({"type": "overview"})["session"]
    browser.close_tab()
    browser.driver.switch_to.window(page)
    return session


def tell(browser: Tagged, page: str, message: dict[str, str]) -> None:
    """Do in the popup what this message says."""
    browser.own_page("popup.html")
    browser.ask(message)
    browser.close_tab()
    browser.driver.switch_to.window(page)


@pytest.mark.parametrize("kind", BROWSERS)
def test_every_request_of_the_site_and_no_other_carries_the_session(kind: str, tmp_path: Path) -> None:
    with Server().serving() as server:
        built = build_for_test(
            tmp_path / "extension", sites=(server.url,), sidecar_url="ws://127.0.0.1:9/markers", traceparent=True
        )
        carry(built, consent="given")
        with tagged(kind, built, tmp_path / "browser") as browser:
            driver = browser.driver
            browser.own_page("manifest.json")  # once that is there, the extension is
            browser.close_tab()
            browser.go(f"{server.url}/page")
            page = driver.current_window_handle
            label = f"00-{session_of(browser, page)}-{NO_ACTION}-01"
            server.got.clear()
            browser.go(f"{server.url}/page")
            driver.execute_script(ASK, f"http://localhost:{server.port}")
            paths = ("/page", "/a.css", "/a.png", "/frame", "/a.js", "/xhr", "/fetched", "/away")
            assert {path: server.carried(path) for path in paths} == dict.fromkeys(paths, label)
            # Chromium asks for a permission of its own for sockets; XNAT has none.
            assert server.carried("/socket") == (label if kind == "firefox" else None)
            strangers = ("/stranger", "/stranger.png", "/landed")
            assert {path: server.carried(path, "localhost") for path in strangers} == dict.fromkeys(strangers)
            driver.execute_script(DOWNLOAD)
            assert server.carried("/a.zip") == label
            server.got.clear()
            driver.get(f"http://localhost:{server.port}/foreign")
            driver.execute_script("new Image().src = arguments[0]", f"{server.url}/from-elsewhere")
            assert [server.carried("/foreign", "localhost"), server.carried("/from-elsewhere")] == [None, None]

            browser.go(f"{server.url}/page")
            browser.click("out")
            unlabelled = ask_until(browser, server, None)
            browser.click("in")
            labelled = ask_until(browser, server, label)
            tell(browser, page, {"type": "pause", "how": "resume"})
            browser.wait_recording(False)
            paused = ask_until(browser, server, None)
            tell(browser, page, {"type": "resume"})
            assert [unlabelled, labelled, paused, ask_until(browser, server, label)] == [None, label, None, label]


def ask_until(browser: Tagged, server: Server, wanted: str | None) -> str | None:
    """What a request carries, at the latest after the extension has heard of what happened before."""

    def ask() -> bool:
        server.got.pop(("127.0.0.1", "/asked"), None)
        browser.driver.execute_script("fetch('/asked')")
        return server.carried("/asked") == wanted

    wait_until(ask, f"requests with the label {wanted}")
    return server.carried("/asked")


def test_the_practice_systems_log_knows_the_session_of_each_request_and_nothing_without_the_setting(tmp_path: Path) -> None:
    with site(tmp_path / "lab") as lab:
        sites, sidecar_url = (lab.lab.url,), "ws://127.0.0.1:9/markers"
        for setting in (True, False):
            folder = tmp_path / str(setting)
            built = build_for_test(
                folder / "extension", traceparent=setting, sites=sites, context_path=CONTEXT_PATH, sidecar_url=sidecar_url
            )
            carry(built, consent="given")
            with tagged("chromium", built, folder / "browser") as browser:
                browser.own_page("manifest.json")
                browser.close_tab()
                browser.go(f"{lab.url}/app/template/Login.vm")
                session = session_of(browser, browser.driver.current_window_handle)
                browser.go(f"{lab.url}/app/template/Login.vm?again")
                if setting:
                    wait_until(lambda: [one.path for one in lab.lines() if one.session == session], "labelled lines")  # noqa: B023
                    assert {one.action_id for one in lab.lines() if one.session == session} == {NO_ACTION}
                    known = len(lab.lines())
                else:
                    wait_until(lambda: len(lab.lines()) > known, "more lines")  # noqa: B023
                    assert {one.session for one in lab.lines()[known:]} == {None}
