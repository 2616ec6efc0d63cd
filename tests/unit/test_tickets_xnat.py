"""How XNAT is asked whose login a cookie is: one request, and what each answer means."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.errors import SettingError, XnatAwayError
from sidecar.markers.xnat_login import XnatLogin, read_answer
from tests.support.http_serving import serving
from tests.support.sidecar import free_port

COOKIE = "CANARY0123456789ABCDEF0123456789"


class Xnat(ThreadingHTTPServer):
    """Answers every GET with `answer`, and keeps the heads of the requests."""

    answer: tuple[int, dict[str, str], bytes] = (200, {"Content-Type": "text/plain"}, b"researcher")
    raw: bytes | None = None

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.heads: list[tuple[str, dict[str, str]]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Xnat

    def do_GET(self) -> None:
        self.server.heads.append((self.path, dict(self.headers)))
        if self.server.raw is not None:
            self.wfile.write(self.server.raw)
            return
        status, headers, body = self.server.answer
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@pytest.fixture
def xnat() -> Iterator[Xnat]:
    with serving(Xnat()) as server:
        yield server


@pytest.mark.parametrize(("base", "path"), [("", ""), ("/", ""), ("/xnat", "/xnat"), ("/xnat/", "/xnat")])
def test_one_request_with_the_cookie_and_an_agent_that_is_no_browser(xnat: Xnat, base: str, path: str) -> None:
    assert XnatLogin(xnat.url + base, "1.2").user_of(COOKIE) == "researcher"
    ((asked, head),) = xnat.heads
    assert asked == f"{path}/xapi/users/username"
    assert head["Cookie"] == f"JSESSIONID={COOKIE}"
    assert head["User-Agent"] == "tracemark/1.2"


def test_a_redirect_is_not_followed(xnat: Xnat) -> None:
    xnat.answer = (302, {"Location": f"{xnat.url}/app/template/Login.vm"}, b"")
    assert XnatLogin(xnat.url, "1").user_of(COOKIE) is None
    assert len(xnat.heads) == 1


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, b""),
        (403, b"no"),
        (302, b""),
        (200, b"guest"),
        (200, b"Guest\n"),
        (200, b""),
        (200, b"<!DOCTYPE html><html>log in</html>"),
        (200, b"two words"),
        (200, b"two\nlines"),
        (200, b"\xff\xfe"),
        (200, b"a" * 1024),
    ],
)
def test_answers_that_mean_nobody(status: int, body: bytes) -> None:
    assert read_answer(status, body) is None


@pytest.mark.parametrize("name", ["researcher", "m.rossi@example.org", "O'Neil-2", "Müller"])
def test_answers_that_name_a_user(name: str) -> None:
    assert read_answer(200, f"{name}\n".encode()) == name


@given(st.integers(100, 599), st.binary(max_size=300))
def test_whatever_is_answered_is_a_name_nobody_or_told(status: int, body: bytes) -> None:
    try:
        name = read_answer(status, body)
    except XnatAwayError:
        name = None
        assert status not in (200, 302, 401, 403)
    assert name is None or (status == 200 and "<" not in name and name.lower() != "guest")


def test_an_address_that_is_not_xnats_is_told_with_the_setting() -> None:
    with pytest.raises(XnatAwayError, match="TRACEMARK_XNAT_URL"):
        read_answer(404, b"")


@pytest.mark.parametrize("raw", [b"", b"nonsense JSESSIONID=" + COOKIE.encode() + b"\r\n\r\n"])
def test_an_answer_that_is_no_http_repeats_nothing_that_was_sent(
    xnat: Xnat, raw: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    xnat.raw = raw
    with pytest.raises(XnatAwayError, match="does not answer") as caught:
        XnatLogin(xnat.url, "1").user_of(COOKIE)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert COOKIE not in f"{caught.value} {caplog.text}"


def test_xnat_that_is_not_there() -> None:
    with pytest.raises(XnatAwayError, match=r"does not answer \(ConnectionRefusedError\)"):
        XnatLogin(f"http://127.0.0.1:{free_port()}", "1").user_of(COOKIE)


@pytest.mark.parametrize("cookie", ["", "x\r\nHost: y", "a; b=c", "é" * 20])
def test_what_would_break_the_head_is_nobody_s_cookie(xnat: Xnat, cookie: str) -> None:
    assert XnatLogin(xnat.url, "1").user_of(cookie) is None
    assert xnat.heads == []


@pytest.mark.parametrize(
    "url", ["xnat.example", "ftp://x", "http://", "http://h:0x", "http://[::", "http://h/a?b", "http://h/a b"]
)
def test_a_url_that_is_none_names_the_setting(url: str) -> None:
    with pytest.raises(SettingError, match=r"TRACEMARK_XNAT_URL=.* is not valid: allowed: a URL such as") as caught:
        XnatLogin(url, "1")
    assert caught.value.exit_status == 2


def test_a_password_in_the_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(SettingError) as caught:
        XnatLogin("http://me:secret@xnat", "1")
    assert "secret" not in str(caught.value)
