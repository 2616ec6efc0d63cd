"""Logs that other people recorded, read as their README says.

Where it was for us to decide:
- `hub-nginx_http-logs.log`: the line with one "-" missing has all that a request needs and is read; only the error-log line is
  refused.
- `hub-nginx-proxy-manager-logs.log` is "own format: refused", but its second line is plain combined and is read as that.
- `hub-nginx-http-path-traversal.log`: "paths kept as written" cannot hold for a store that keeps no path at all; what is kept of
  the meaning is that nothing is decoded or resolved: `/%2fetc%2fpasswd` is one segment and not two.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import NamedTuple

import pytest

from sidecar.collect.routes import Routes
from sidecar.model.records import Server
from tests.support.access_log import Following


class Expected(NamedTuple):
    requests: int
    refused: int
    server: Server = "nginx"


EXPECTED = {
    "combined-blog-2015.log": Expected(6000, 0),
    "nginx-shop-2019-utf8-urls.log": Expected(1000, 0),
    "combined-one-broken-line.log": Expected(2, 1),
    "tomcat-through-syslog-with-duration.log": Expected(0, 5, "tomcat"),
    "jira-tomcat-user-duration-us.log": Expected(0, 2, "tomcat"),
    "generated-with-login-names.log.gz": Expected(2492, 0),
    "nginx-extra-number.log": Expected(500, 0),
    "hub-nginx_http-logs.log": Expected(8, 1),
    "hub-apache2-malformed.log": Expected(11, 0),
    "hub-nginx-proxy-manager-logs.log": Expected(1, 13),
    "hub-traefik_clf.log": Expected(7, 0),
    "hub-http-dos-invalid-http-versions.log": Expected(6, 0),
    "hub-nginx-http-path-traversal.log": Expected(9, 0),
    "hub-nginx-http-xss-probing.log": Expected(26, 0),
    "hub-nginx-http-sqli-probing.log": Expected(16, 0),
}


def follow(source: Path, folder: Path, server: Server = "nginx") -> Following:
    """The file read as a log that is followed (packed ones are not followed: unpack it first)."""
    data = source.read_bytes()
    log = folder / "access.log"
    log.write_bytes(gzip.decompress(data) if source.suffix == ".gz" else data)
    if not log.read_bytes().endswith(b"\n"):
        with log.open("ab") as file:
            file.write(b"\n")  # the last line of a recording may lack its end; a server would have written it
    following = Following(log, server)
    following.poll(2)
    return following


@pytest.mark.parametrize("name", EXPECTED)
def test_requests_and_refused_lines_of_a_recorded_log(shared_cases: Path, tmp_path: Path, name: str) -> None:
    expected = EXPECTED[name]
    following = follow(shared_cases / "access-logs" / name, tmp_path, expected.server)
    health = following.health
    assert (len(following.sink.requests), health["refused_lines"]) == (expected.requests, expected.refused)
    assert ("refused_shapes" in health) == bool(expected.refused)


def test_every_recorded_log_is_here(shared_cases: Path) -> None:
    assert {file.name for file in (shared_cases / "access-logs").iterdir()} == set(EXPECTED)


def test_bytes_that_are_no_request_keep_status_and_bytes(shared_cases: Path, tmp_path: Path) -> None:
    requests = follow(shared_cases / "access-logs" / "hub-apache2-malformed.log", tmp_path).sink.requests
    assert {(one.method, one.route, one.status, one.sent_bytes) for one in requests} == {(None, None, 400, 226)}


def test_durations_in_milliseconds_and_absent_status(shared_cases: Path, tmp_path: Path) -> None:
    requests = follow(shared_cases / "access-logs" / "hub-traefik_clf.log", tmp_path).sink.requests
    assert [one.duration_ns for one in requests] == [value * 10**6 for value in (0, 0, 0, 1, 0, 42, 25)]
    assert [(one.status, one.sent_bytes) for one in requests if one.status is None] == [(None, None)]


def test_an_extra_number_is_no_duration(shared_cases: Path, tmp_path: Path) -> None:
    requests = follow(shared_cases / "access-logs" / "nginx-extra-number.log", tmp_path).sink.requests
    assert {one.duration_ns for one in requests} == {None}


def test_a_zone_of_three_and_a_half_hours(shared_cases: Path, tmp_path: Path) -> None:
    first = follow(shared_cases / "access-logs" / "nginx-shop-2019-utf8-urls.log", tmp_path).sink.requests[0]
    assert first.start_ns == 1548116774 * 10**9  # 2019-01-22T00:26:14Z


def test_paths_are_not_decoded(shared_cases: Path, tmp_path: Path) -> None:
    requests = follow(shared_cases / "access-logs" / "hub-nginx-http-path-traversal.log", tmp_path).sink.requests
    assert [one.route for one in requests] == ["/{}"] * 7 + ["/{}/{}", "/{}"]


@pytest.mark.parametrize("name", EXPECTED)
def test_no_word_of_a_foreign_log_enters_the_store(shared_cases: Path, tmp_path: Path, name: str) -> None:
    following = follow(shared_cases / "access-logs" / name, tmp_path, EXPECTED[name].server)
    kept = {word for one in following.sink.requests for word in (one.route or "").split("/")}
    assert kept <= {"", "{}", *Routes().words}
    assert "@" not in repr(following.sink.records)
