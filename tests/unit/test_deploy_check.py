"""What `tracemark check` says of a deployment's other parts: InfluxDB, Grafana, socket proxy; here each is an HTTP server."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from sidecar.cli.check_finding import Finding
from sidecar.cli.check_machine import check_docker, check_journal, check_log, check_port
from sidecar.cli.check_servers import BOARDS, check_clock, check_grafana, check_influxdb
from sidecar.config import load
from tests.support.deploy import ROOT
from tests.support.http_serving import serving

#: "METHOD path" without the query -> status, headers, body
Answers = Mapping[str, tuple[int, Mapping[str, str], Any]]
NEW = {"X-Influxdb-Version": "v2.9.1"}


@contextmanager
def server(answers: Answers, asked: list[str] | None = None) -> Iterator[str]:
    """A server that knows these answers and says 404 to everything else; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            if asked is not None:
                asked.append(f"{self.command} {self.path} {self.headers.get('Authorization')}")
            found = answers.get(f"{self.command} {self.path.partition('?')[0]}", (404, {}, None))
            body = b"" if found[2] is None else f"{json.dumps(found[2])}\n".encode()
            self.send_response(found[0])
            for name, value in {**found[1], "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as httpd:
        yield f"127.0.0.1:{httpd.server_port}"


def influxdb(answers: Answers, asked: list[str] | None = None, **more: str) -> Finding:
    with server(answers, asked) as where:
        settings = {"TRACEMARK_INFLUX_URL": f"http://{where}/", "TRACEMARK_INFLUX_TOKEN": "hush", **more}
        return check_influxdb(load(settings))


@pytest.mark.parametrize(
    ("status", "version", "state", "words"),
    [
        (204, "1.12.4", "ok", "takes points for tracemark"),
        (400, "v2.9.1", "ok", "v2.9.1"),  # 2.x says that there are no points, after it has looked at token and bucket
        (401, "v2.9.1", "failed", "does not accept the token"),
        (403, "v2.9.1", "failed", "does not let this token write tracemark"),
        (404, "v2.9.1", "failed", "does not know the bucket tracemark"),
        (204, "v2.4.0", "warning", "influx v1 dbrp create"),
        (204, "2.10.0", "ok", "takes points"),
        (400, "3.11.0", "ok", "takes points"),  # needs no mapping
    ],
)
def test_influxdb_is_asked_for_token_bucket_and_mapping(status: int, version: str, state: str, words: str) -> None:
    asked: list[str] = []
    headers = {"X-Influxdb-Version": version}
    finding = influxdb({"GET /ping": (204, headers, None), "POST /api/v2/write": (status, headers, None)}, asked)
    assert finding.state == state
    assert words in finding.line()
    assert "hush" not in finding.line()
    assert asked[-1] == "POST /api/v2/write?org=tracemark&bucket=tracemark&precision=ns Token hush"


def test_every_bucket_is_looked_at() -> None:
    asked: list[str] = []
    answers = {"GET /ping": (204, NEW, None), "POST /api/v2/write": (204, NEW, None)}
    finding = influxdb(answers, asked, TRACEMARK_INFLUX_LONG_BUCKET="kept")
    assert finding.what.endswith("takes points for tracemark and kept")
    assert [line.partition("bucket=")[2].partition("&")[0] for line in asked if line.startswith("POST")] == ["tracemark", "kept"]


def grafana(answers: Answers, token: str) -> Finding:
    with server(answers) as where:
        return check_grafana(load({"TRACEMARK_GRAFANA_URL": f"http://{where}", "TRACEMARK_GRAFANA_TOKEN": token}))


UP: Answers = {"GET /api/health": (200, {}, {"database": "ok"})}
HEALTHY = "GET /api/datasources/uid/tracemark/health"
LONG = "GET /api/datasources/uid/tracemark-long/health"
EVERY = [{"uid": uid} for uid in BOARDS]
BY_HAND: tuple[int, Mapping[str, str], Any] = (200, {}, {"meta": {"provisioned": False}, "dashboard": {}})
REACHED: Answers = {
    **UP,
    HEALTHY: (200, {}, {}),
    LONG: (200, {}, {}),
    "GET /api/search": (200, {}, EVERY),
    **{f"GET /api/dashboards/uid/{uid}": (200, {}, {"meta": {"provisioned": True}}) for uid in BOARDS},
}


@pytest.mark.parametrize(
    ("answers", "state", "words"),
    [
        ({}, "warning", "not answer in good health"),
        ({**UP, HEALTHY: (401, {}, {"message": "no"})}, "warning", "refuses the token"),
        (UP, "warning", "datasource tracemark does not work (404): check the read token"),
        ({**UP, HEALTHY: (400, {}, {"message": "error reading InfluxDB"})}, "warning", "error reading InfluxDB"),
        (
            {**REACHED, LONG: (400, {}, {"message": "no bucket"})},
            "warning",
            "tracemark-long does not work (no bucket): check the read token",
        ),
        ({**REACHED, "GET /api/search": (200, {}, [])}, "warning", "no dashboards of Tracemark: mount"),
        ({**REACHED, "GET /api/search": (200, {}, EVERY[1:])}, "warning", "it lacks tracemark-overview: mount"),
        (
            {**REACHED, f"GET /api/dashboards/uid/{BOARDS[2]}": BY_HAND},
            "warning",
            "by hand, so no update reaches them: tracemark-costs",
        ),
        (REACHED, "ok", f"has all {len(BOARDS)} dashboards"),
    ],
)
def test_grafana_is_asked_for_its_datasource_and_dashboards_and_never_a_failure(answers: Answers, state: str, words: str) -> None:
    finding = grafana(answers, "hush")
    assert finding.state == state
    assert words in finding.line()
    assert "hush" not in finding.line()


def test_the_boards_that_are_looked_for_are_those_that_are_provisioned() -> None:
    assert set(BOARDS) == {path.stem for path in (ROOT / "grafana/dashboards").glob("*.json")}


def test_grafana_without_a_token_or_without_a_url_is_no_fault() -> None:
    assert grafana(UP, "").state == "ok"
    assert check_grafana(load({})).line() == Finding("grafana", "ok", "not set").line()


@pytest.mark.parametrize(("info", "state"), [(403, "ok"), (200, "warning")])
def test_an_engine_endpoint_that_answers_everything_is_pointed_out(info: int, state: str) -> None:
    listed = [{"Id": "a" * 64, "Names": ["/xnat-web"], "State": "running", "Image": "x", "Labels": {}}]
    answers = {
        "GET /version": (200, {}, {"ApiVersion": "1.41"}),
        "GET /v1.41/containers/json": (200, {"Content-Type": "application/json"}, listed),
        "GET /info": (info, {}, {}),
    }
    with server(answers) as where:
        finding = check_docker(load({"TRACEMARK_DOCKER": f"tcp://{where}"}))
    assert finding.state == state, finding.line()
    assert ("socket-proxy.conf" in finding.do) is (state == "warning")


@pytest.mark.parametrize(
    ("off_s", "state", "words"),
    [
        (0.0, "ok", "agrees with that of XNAT, InfluxDB"),
        (1.4, "ok", "agrees"),
        (-1.9, "ok", "agrees"),
        (60.0, "warning", "behind or more: let all machines keep time by NTP"),
        (-60.0, "warning", "ahead or more: let all"),
    ],
)
def test_clocks_of_other_machines_are_compared_with_this_ones(off_s: float, state: str, words: str) -> None:
    # http.server says the real time; this machine's is told to be off
    with server({}) as where:
        config = load({"TRACEMARK_XNAT_URL": f"http://{where}", "TRACEMARK_INFLUX_URL": f"http://{where}"})
        found = check_clock(config, lambda: time.time() + off_s)
    assert found.state == state
    assert words in found.line()


def test_a_clock_that_nobody_can_be_asked_for_is_no_trouble() -> None:
    assert check_clock(load({})).line().startswith("ok       clock")


@pytest.mark.parametrize(("name", "path", "status"), [("http", "/readyz", 503), ("markers", "/markers", 426)])
def test_a_port_of_a_running_sidecar_is_no_trouble(name: str, path: str, status: int) -> None:
    with server({f"GET {path}": (status, {}, None)}) as where:
        assert check_port(load({f"TRACEMARK_{name.upper()}": where}), name).state == "ok"
    with server({}) as where:
        other = check_port(load({f"TRACEMARK_{name.upper()}": where}), name)
    assert other.state == "warning"
    assert "another program has it" in other.line()


def test_a_log_folder_that_keeps_the_sidecar_out_is_not_taken_for_an_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    config = load({"TRACEMARK_TOMCAT_LOG": str(folder / "localhost_access_log.*.txt")})
    assert check_log(config, "tomcat", "set UMASK").state == "warning"  # it is not there yet
    monkeypatch.setattr("os.access", lambda path, _mode: Path(path) != folder)  # nobody is kept out who is root
    assert check_log(config, "tomcat", "set UMASK").line() == f"failed   tomcat log {folder} may not be looked into: set UMASK"


@pytest.mark.parametrize(("free_mb", "state"), [(3000, "ok"), (500, "warning"), (1, "failed")])
def test_a_journal_without_room_is_told_with_what_to_do(
    free_mb: int, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=free_mb * 10**6)
    monkeypatch.setattr("shutil.disk_usage", lambda _path: usage)
    finding = check_journal(load({"TRACEMARK_JOURNAL": str(tmp_path / "journal.sqlite")}))
    assert finding.state == state
    assert f"{free_mb} MB free" in finding.what
    assert (f"free some space in {tmp_path} or lower TRACEMARK_JOURNAL_MAX_MB (now 2048)" == finding.do) is (state != "ok")
