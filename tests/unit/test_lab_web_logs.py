"""The two access logs: exact formats, time at the end, rotation, one line per request whatever happens."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from wsgiref.types import StartResponse, WSGIEnvironment
from wsgiref.util import setup_testing_defaults

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replay.lab.web.logs import (
    STARTED_KEY,
    TomcatLog,
    client_address,
    tomcat_file,
    tomcat_line,
    xnat_file,
    xnat_line,
)

TOMCAT = re.compile(r'^(\S+) - - \[(\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] "([^"]*)" (\d{3}) (\d+|-) (\d+)$')
XNAT = re.compile(r'^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}) - (\S*) (\S+) (\S+) (.*?) "([^"]*)" ?(.*)$')
AT = datetime(2025, 7, 8, 22, 25, 1, 123456, UTC)


def test_tomcat_line_is_tomcats() -> None:
    line = tomcat_line(
        host="172.18.0.5", at=AT, request_line="GET /data/projects?format=json HTTP/1.1", status=200, sent_bytes=532,
        duration_ms=17,
    )  # fmt: skip
    assert line == '172.18.0.5 - - [08/Jul/2025:22:25:01 +0000] "GET /data/projects?format=json HTTP/1.1" 200 532 17'


def test_tomcat_writes_a_dash_for_no_bytes_and_its_own_zone() -> None:
    at = AT.astimezone(timezone(timedelta(hours=3, minutes=30)))
    line = tomcat_line(host="::1", at=at, request_line="GET / HTTP/1.0", status=302, sent_bytes=0, duration_ms=0)
    assert line == '::1 - - [09/Jul/2025:01:55:01 +0330] "GET / HTTP/1.0" 302 - 0'


def test_xnat_line_is_xnats() -> None:
    line = xnat_line(at=AT, user="alice", client="10.1.1.12", method="GET", target="SCREEN: Index", user_agent="Mozilla/5.0")
    assert line == '2025-07-08 22:25:01,123 - alice 10.1.1.12 GET SCREEN: Index "Mozilla/5.0" '
    matched = XNAT.match(line)
    assert matched is not None
    assert matched.groups()[1:] == ("alice", "10.1.1.12", "GET", "SCREEN: Index", "Mozilla/5.0", "")


def test_xnat_writes_null_for_a_missing_user_agent_and_the_payload_last() -> None:
    line = xnat_line(
        at=AT, user="guest", client="::1", method="POST", target="Authentication", user_agent=None, payload="SUCCESS"
    )
    assert line.endswith('POST Authentication "null" SUCCESS')


@settings(deadline=None)
@given(text=st.text(max_size=60))
def test_whatever_is_asked_for_stays_on_one_line(text: str) -> None:
    first = tomcat_line(host="h", at=AT, request_line=text, status=200, sent_bytes=1, duration_ms=1)
    second = xnat_line(at=AT, user="u", client="c", method="GET", target="t", user_agent=text, payload=text)
    assert TOMCAT.match(first)
    assert XNAT.match(second)


@pytest.mark.parametrize(
    ("forwarded", "expected"),
    [
        ("", "10.0.0.9"),
        ("192.0.2.7", "192.0.2.7"),
        ("192.0.2.7, 10.0.0.1", "192.0.2.7"),
        ("unknown, 192.0.2.8", "192.0.2.8"),
        (" , ", "10.0.0.9"),
    ],
)
def test_client_address(forwarded: str, expected: str) -> None:
    assert client_address(forwarded, "10.0.0.9") == expected


def test_tomcats_file_changes_its_name_with_the_day(tmp_path: Path) -> None:
    sink = tomcat_file(tmp_path)
    sink.write("one", AT)
    sink.write("two", AT + timedelta(days=1))
    sink.close()
    assert (tmp_path / "localhost_access_log.2025-07-08.txt").read_text() == "one\n"
    assert (tmp_path / "localhost_access_log.2025-07-09.txt").read_text() == "two\n"


def test_xnats_file_is_renamed_at_midnight_and_flushed_per_line(tmp_path: Path) -> None:
    sink = xnat_file(tmp_path)
    today = datetime.now().astimezone()
    sink.write("one", today)
    assert (tmp_path / "access.log").read_text() == "one\n"
    sink.write("two", today + timedelta(days=1))
    sink.close()
    assert (tmp_path / "access.log").read_text() == "two\n"
    assert (tmp_path / f"access.log.{today:%Y-%m-%d}").read_text() == "one\n"


class Lines:
    """A sink that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def write(self, line: str, at: datetime) -> None:
        self.lines.append(line)


def run_through(body: Iterable[bytes], clock: list[float]) -> tuple[Lines, Iterable[bytes]]:
    def app(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        return body

    sink = Lines()
    log = TomcatLog(app, sink, lambda: clock[0], lambda: AT)
    environ: WSGIEnvironment = {"REQUEST_URI": "/xnat/data/x?a=b%20c", "REMOTE_ADDR": "172.18.0.5", STARTED_KEY: 3.0}
    setup_testing_defaults(environ)
    return sink, log(environ, lambda *_: lambda _data: None)


def test_the_line_is_written_when_the_body_has_been_sent_with_its_true_length_and_duration() -> None:
    clock = [3.0]
    sink, body = run_through([b"abc", b"de"], clock)
    assert list(body) == [b"abc", b"de"]
    assert sink.lines == []
    clock[0] = 7.26
    body.close()  # type: ignore[attr-defined]
    matched = TOMCAT.match(sink.lines[0])
    assert matched is not None
    assert matched.groups() == (
        "172.18.0.5",
        "08/Jul/2025:22:25:01 +0000",
        "GET /xnat/data/x?a=b%20c HTTP/1.0",
        "200",
        "5",
        "4260",
    )


def test_a_client_that_leaves_gets_a_line_with_the_bytes_so_far_and_the_body_is_closed() -> None:
    closed = []

    def endless() -> Iterable[bytes]:
        try:
            while True:
                yield b"x" * 100
        finally:
            closed.append(True)

    sink, body = run_through(endless(), [3.0])
    pieces = iter(body)
    next(pieces)
    next(pieces)
    body.close()  # type: ignore[attr-defined]
    assert closed == [True]
    assert sink.lines[0].endswith('" 200 200 0')
