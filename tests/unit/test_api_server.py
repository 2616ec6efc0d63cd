"""The HTTP server: itself, what it refuses, and the parts of the page."""

from __future__ import annotations

import hashlib
import http.client
import re
import socket
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from sidecar.errors import PortTakenError
from sidecar.web import parameters
from sidecar.web.app import create_app
from sidecar.web.metrics import prometheus
from sidecar.web.security import host_of, is_loopback
from sidecar.web.server import WebServer
from tests.support.web import Site, served
from tests.support.web_api import get

STATIC = Path(parameters.__file__).parent / "static"


# -- the sidecar about itself


def test_readiness_has_a_line_per_part_and_says_why_not(filled: Site) -> None:
    client = create_app(filled.parts()).test_client()
    assert client.get("/healthz").text == "ok\n"
    assert client.get("/readyz").status_code == 200
    before = dict(filled.ready)
    filled.ready["docker"] = (False, "the Docker engine does not answer")
    try:
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert "docker: not ready (the Docker engine does not answer)\n" in answer.text
        assert "journal: ready\n" in answer.text
        assert client.get("/healthz").status_code == 200
        assert 'tracemark_part_ready{part="docker"} 0' in client.get("/metrics").text
        parts = get(client, "/api/v1/health")["parts"]
        assert isinstance(parts, list)
        assert next(part for part in parts if part["part"] == "docker")["ready"] is False
    finally:
        filled.ready.update(before)


def test_metrics_are_prometheus_text_with_each_name_declared_once(client: FlaskClient) -> None:
    answer = client.get("/metrics")
    assert answer.content_type == "text/plain; version=0.0.4; charset=utf-8"
    lines = answer.text.splitlines()
    declared = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(declared) == len(set(declared))
    for line in lines:
        assert line.startswith("#") or re.fullmatch(r'[a-z_]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? [0-9.e+-]+', line), line
    assert 'tracemark_frames_total{part="docker"} 5400' in lines
    assert "# TYPE tracemark_frames_total counter" in lines


def test_metrics_escape_what_would_break_the_format() -> None:
    text = prometheus({"a": {"b": 1, "word": "left out"}}, {'x"\n\\': (True, "")}, "1.0")
    assert '{part="x\\"\\n\\\\"} 1' in text
    assert "left out" not in text


# -- safety


def test_answers_forbid_inline_script_frames_and_foreign_origins(client: FlaskClient) -> None:
    for path in ("/", "/api/v1/containers", "/static/js/main.js", "/nowhere"):
        headers = client.get(path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8050", "localhost:9", "[::1]:8050", "LOCALHOST"])
def test_this_machines_own_names_are_answered(client: FlaskClient, host: str) -> None:
    assert client.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8050", "127.0.0.1.evil.example", "10.0.0.5", "localhost.evil"])
def test_a_strangers_name_for_loopback_is_refused(client: FlaskClient, host: str) -> None:
    answer = client.get("/api/v1/actions", headers={"Host": host})
    assert answer.status_code == 421
    assert answer.mimetype == "application/problem+json"


def test_any_name_is_answered_where_the_address_is_open_to_others(filled: Site) -> None:
    filled.address = ("0.0.0.0", 8050)  # noqa: S104
    try:
        client = create_app(filled.parts()).test_client()
        assert client.get("/healthz", headers={"Host": "tracemark.hospital.example"}).status_code == 200
    finally:
        filled.address = ("127.0.0.1", 0)


def test_hosts_are_taken_apart_with_and_without_port() -> None:
    assert [host_of(text) for text in ("a:1", "a", "[::1]:5", "[::1]")] == ["a", "a", "[::1]", "[::1]"]
    assert is_loopback("[::1]")
    assert is_loopback("127.8.9.1")
    assert not is_loopback("8.8.8.8")


# -- the page and its parts


def test_the_page_has_no_inline_script_or_style_and_asks_nothing_of_other_machines(client: FlaskClient) -> None:
    page = client.get("/").text
    assert "<title>Tracemark · lab</title>" in page
    assert not re.search(r"<script(?![^>]* src=)", page)
    assert not re.search(r"<style| style=| on[a-z]+=", page)
    for address in re.findall(r'(?:src|href)="([^"]+)"', page):
        assert not re.match(r"[a-z]+:|//", address), address
        if address.startswith("/"):
            assert client.get(address).status_code == 200, address


def test_every_module_that_a_script_imports_is_there(client: FlaskClient) -> None:
    scripts = sorted((STATIC / "js").glob("*.js"))
    assert len(scripts) >= 8
    for script in scripts:
        text = script.read_text(encoding="utf-8")
        for module in re.findall(r'from "\./([^"]+)"', text):
            assert (STATIC / "js" / module).is_file(), f"{script.name} imports {module}"
        assert "innerHTML" not in text, f"{script.name}: show text as text"
        assert "//" not in re.sub(r"//.*|https?://localhost", "", text), script.name


def test_the_chart_library_is_the_one_that_was_reviewed() -> None:
    folder = STATIC / "vendor" / "uplot"
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    listed = {name: digest for digest, name in (line.split("  ") for line in lines)}
    assert set(listed) == {path.name for path in folder.iterdir()} - {"SHA256SUMS"}
    assert {"LICENSE", "uPlot.iife.min.js", "uPlot.min.css"} <= set(listed)
    for name, expected in listed.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == expected, name
    assert "MIT" in (folder / "LICENSE").read_text()


# -- the server


def test_the_server_answers_on_its_port_and_frees_it_when_stopped(filled: Site) -> None:
    with served(filled) as url:
        port = int(url.rpartition(":")[2])
        kept = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        kept.request("GET", "/healthz")
        answer = kept.getresponse()
        assert (answer.status, answer.read()) == (200, b"ok\n")
        assert answer.headers["Server"] is None
        with pytest.raises(PortTakenError, match="TRACEMARK_HTTP"):
            WebServer(create_app(filled.parts()), ("127.0.0.1", port))
    kept.close()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_server_that_never_started_can_be_stopped(filled: Site) -> None:
    server = WebServer(create_app(filled.parts()), ("127.0.0.1", 0))
    server.stop()
    server.stop()
    with socket.socket() as probe:
        assert probe.connect_ex(server.address) != 0
