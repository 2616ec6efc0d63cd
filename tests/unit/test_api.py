"""The HTTP API: answers, errors that help, paging, headers, and what it does not tell."""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask import Blueprint
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from sidecar.clock import ManualClock
from sidecar.errors import PortTakenError
from sidecar.model.records import Action, Gap, Transfer
from sidecar.web import parameters
from sidecar.web.app import create_app
from sidecar.web.metrics import prometheus
from sidecar.web.security import host_of, is_loopback
from sidecar.web.server import WebServer
from tests.support.records import marker, session
from tests.support.web import Lab, S, Site, served, site

T0 = 1_700_000_000 * S
STATIC = Path(parameters.__file__).parent / "static"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two minutes of a researcher and a radiologist, and a gap of the database."""
    with site(tmp_path_factory.mktemp("site"), ManualClock(T0 + 120 * S)) as made:
        lab = Lab(T0, T0 + 120 * S)
        lab.sit("researcher", 5)
        lab.sit("radiologist", 20)
        lab.gaps.append(
            Gap(part="cgroup", subject="xnat-db", start_ns=T0 + 60 * S, end_ns=T0 + 70 * S, reason="container restarted")
        )
        lab.fill(made.journal, lab.samples(T0, T0 + 120 * S))
        made.engine = [
            {"name": "xnat-web", "state": "running", "image": "xnat-web:1.8"},
            {"name": "xnat-new", "state": "created"},
        ]
        yield made


@pytest.fixture
def client(filled: Site) -> FlaskClient:
    return create_app(filled.parts()).test_client()


def get(client: FlaskClient, path: str, status: int = 200) -> dict[str, object]:
    answer = client.get(path)
    assert answer.status_code == status, answer.text
    body = answer.get_json() if status == 200 else json.loads(answer.text)
    assert isinstance(body, dict)
    return body


def rows_of(body: dict[str, object]) -> list[dict[str, Any]]:
    rows = body["rows"]
    assert isinstance(rows, list)
    return rows


# -- answers


def test_containers_tell_the_journals_last_sample_and_the_engines_state(client: FlaskClient) -> None:
    rows = {row["name"]: row for row in get(client, "/api/v1/containers")["rows"]}  # type: ignore[attr-defined]
    assert list(rows) == ["xnat-db", "xnat-new", "xnat-nginx", "xnat-web"]
    assert rows["xnat-web"]["state"] == "running"
    assert rows["xnat-web"]["memory_limit_bytes"] == 4096 << 20
    assert rows["xnat-web"]["last_sample"]["time_ns"] == T0 + 120 * S - S // 10
    assert rows["xnat-new"]["last_sample"] is None
    assert rows["xnat-db"]["state"] is None


def test_samples_are_down_sampled_with_mean_and_max(client: FlaskClient) -> None:
    body = get(client, f"/api/v1/samples?container=xnat-web&from={T0}&to={T0 + 60 * S}&step=5s")
    assert (body["container"], body["step_ns"]) == ("xnat-web", 5 * S)
    rows = body["rows"]
    assert isinstance(rows, list)
    assert [row["time_ns"] for row in rows] == [T0 + i * 5 * S for i in range(12)]
    assert all(row["cpu_percent_max"] >= row["cpu_percent"] for row in rows)


def test_actions_carry_their_session_and_what_each_container_used(client: FlaskClient) -> None:
    rows = get(client, f"/api/v1/actions?from={T0}&action=open_viewer")["rows"]
    assert isinstance(rows, list)
    (row,) = rows
    assert (row["role"], row["setup"], row["run"], row["outcome"]) == ("radiologist", "lan", "run-1", "completed")
    assert row["clock_offset_ns"] == 1_200_000
    assert set(row["usage"]) == {"xnat-db", "xnat-nginx", "xnat-web"}
    assert row["usage"]["xnat-web"]["cpu_seconds"] > 10
    assert row["usage"]["xnat-web"]["sent_bytes"] == 88 << 20


def test_lists_are_paged_until_there_is_no_more(client: FlaskClient) -> None:
    whole = get(client, f"/api/v1/actions?from={T0}")["rows"]
    for path in ("actions", "requests"):
        seen: list[object] = []
        cursor = ""
        while True:
            page = get(client, f"/api/v1/{path}?from={T0}&limit=3{cursor}")
            rows = page["rows"]
            assert isinstance(rows, list)
            assert len(rows) <= 3
            seen += rows
            if page["next_cursor"] is None:
                break
            cursor = f"&cursor={page['next_cursor']}"
        assert isinstance(whole, list)
        assert len(seen) == len(whole)
        starts = [row["start_ns"] for row in seen]  # type: ignore[index]
        assert starts == sorted(starts)


def test_requests_tell_no_session(client: FlaskClient) -> None:
    rows = get(client, f"/api/v1/requests?from={T0}&limit=1")["rows"]
    assert isinstance(rows, list)
    assert {"start_ns", "duration_ns", "server", "method", "route", "status", "sent_bytes", "action_id"} <= set(rows[0])
    assert "session" not in rows[0]


def test_usage_has_rows_intervals_and_idle_use(client: FlaskClient) -> None:
    body = get(client, f"/api/v1/usage?from={T0}")
    rows = body["rows"]
    assert isinstance(rows, list)
    web = {row["action"]: row for row in rows if row["container"] == "xnat-web"}
    assert list(web)[:3] == ["login", "page_load", "filter_search"]
    assert web["page_load"]["cpu_seconds"]["low"] < web["page_load"]["cpu_seconds"]["high"]
    assert web["open_viewer"]["cpu_seconds"]["low"] is None
    idle = body["idle"]
    assert isinstance(idle, dict)
    assert 0.02 < idle["xnat-web"] < 0.06
    assert float(str(body["total_cpu_seconds"])) > float(str(body["unattributed_cpu_seconds"])) > 0
    assert body["method"] == "window sum"
    tables = body["tables"]
    assert isinstance(tables, list)
    assert [table["title"] for table in tables] == ["researcher", "radiologist"]


def test_transfers_tell_their_action_and_the_experiment(tmp_path: Path) -> None:
    with site(tmp_path, ManualClock(T0 + 60 * S)) as made:
        one = replace(session("s-replayed", run="run-1"), setup="wan", repetition=3)
        sizes: Any = {"duration_ns": S, "down_bytes": 900, "up_bytes": 30}
        captured = Transfer(
            session="s-replayed", action_id="action-01", start_ns=T0, packets=9, retransmitted=2, out_of_order=1, lost=0, **sizes
        )
        browsed = Transfer(
            session="s-replayed", action_id=None, start_ns=T0 + 1, packets=None, retransmitted=None, method="browser", **sizes
        )
        done = Action(
            action_id="action-01",
            action="login",
            session="s-replayed",
            source="replay",
            start_ns=T0,
            duration_ns=S,
            outcome="completed",
        )
        made.journal.append([one, done, captured, browsed])
        client = create_app(made.parts()).test_client()
        first = get(client, f"/api/v1/transfers?from={T0}&run=run-1&limit=1")
        (row,) = rows_of(first)
        assert (row["action"], row["method"], row["setup"], row["run"], row["repetition"]) == (
            "login",
            "capture",
            "wan",
            "run-1",
            3,
        )
        assert (row["packets"], row["retransmitted"], row["out_of_order"], row["lost"]) == (9, 2, 1, 0)
        (row,) = rows_of(get(client, f"/api/v1/transfers?from={T0}&cursor={first['next_cursor']}"))
        assert (row["action"], row["method"], row["packets"], row["down_bytes"]) == (None, "browser", None, 900)
        assert get(client, f"/api/v1/transfers?from={T0}&run=another")["rows"] == []


def test_gaps_tell_their_reason(client: FlaskClient) -> None:
    rows = get(client, f"/api/v1/gaps?from={T0}")["rows"]
    assert rows == [
        {
            "part": "cgroup",
            "subject": "xnat-db",
            "start_ns": T0 + 60 * S,
            "end_ns": T0 + 70 * S,
            "reason": "container restarted",
        }
    ]
    assert get(client, f"/api/v1/gaps?from={T0}&to={T0 + S}")["rows"] == []


def test_the_catalogue_gives_every_action_a_label_and_a_colour(client: FlaskClient) -> None:
    rows = get(client, "/api/v1/catalogue")["rows"]
    assert isinstance(rows, list)
    assert len(rows) == 11
    assert all(re.fullmatch("#[0-9A-Fa-f]{6}", row["colour"]) and row["label"] and len(row["mark"]) == 2 for row in rows)


def test_another_part_can_add_paths(filled: Site) -> None:
    more = Blueprint("more", __name__)
    more.add_url_rule("/api/v1/tickets", view_func=lambda: "ticket", methods=["POST"])
    filled.more = (more,)
    try:
        assert create_app(filled.parts()).test_client().post("/api/v1/tickets").text == "ticket"
    finally:
        filled.more = ()


# -- few people


def test_usage_of_few_real_persons_is_not_told(tmp_path: Path) -> None:
    with site(tmp_path, ManualClock(T0 + 900 * S)) as made:
        lab = Lab(T0, T0 + 900 * S)
        for number in range(4):
            lab.sit("researcher", 200.0 * number, source="extension")
        lab.fill(made.journal, lab.samples(T0, T0 + 900 * S, S))
        body = get(create_app(made.parts()).test_client(), f"/api/v1/usage?from={T0}")
        assert body["rows"] == []
        assert body["tables"] == []
        assert "login" in body["suppressed"]  # type: ignore[operator]
        made.min_group = 4
        assert get(create_app(made.parts()).test_client(), f"/api/v1/usage?from={T0}")["rows"] != []


def test_actions_of_few_real_persons_are_counted_and_not_told(tmp_path: Path) -> None:
    with site(tmp_path, ManualClock(T0 + 900 * S)) as made:
        lab = Lab(T0, T0 + 900 * S)
        for number in range(4):
            lab.sit("researcher", 150.0 * number, source="extension")
        lab.sit("radiologist", 700.0, source="replay")
        lab.fill(made.journal, [])
        client = create_app(made.parts()).test_client()
        body = get(client, f"/api/v1/actions?from={T0}")
        rows = body["rows"]
        assert {row["source"] for row in rows} == {"replay"}  # type: ignore[attr-defined]
        assert body["suppressed"] == len(lab.actions) - len(rows)  # type: ignore[arg-type]
        made.min_group = 4
        client = create_app(made.parts()).test_client()
        body = get(client, f"/api/v1/actions?from={T0}")
        assert len(body["rows"]) == len(lab.actions)  # type: ignore[arg-type]
        one = next(row["session"] for row in body["rows"] if row["source"] == "extension")  # type: ignore[attr-defined]
        body = get(client, f"/api/v1/actions?from={T0}&session={one}")
        assert body["rows"] == [], "one person's sitting is nobody's business"


def test_an_action_that_has_not_ended_is_told_where_the_range_reaches_to_now(tmp_path: Path) -> None:
    with site(tmp_path, ManualClock(T0 + 900 * S)) as made:
        made.journal.append([session("session-1", source="replay"), session("session-2", source="extension", role=None)])
        made.open_actions = [marker("a" * 16, "begin", 880, 1), marker("b" * 16, "begin", 890, 1, session="session-2")]
        client = create_app(made.parts()).test_client()

        def told(query: str) -> list[str]:
            rows: Any = get(client, f"/api/v1/actions?{query}")["open"]
            return [row["action_id"][0] for row in rows]

        assert told("from=-1m") == ["a"], "one real person alone is not told of"
        assert told("from=-1m&action=login") == []
        assert told("from=-1m&source=real") == []
        assert told(f"from={T0}&to={T0 + 800 * S}") == []


# -- errors


@pytest.mark.parametrize(
    ("path", "parameter", "allowed"),
    [
        ("samples?container=xnat-web&from=yesterday", "from", "RFC 3339"),
        ("samples?container=xnat-web&step=fast", "step", "500ms"),
        ("samples?container=xnat-web&from=0&step=1ms", "step", "at most"),
        ("samples?container=xnat-web&source=guess", "source", "cgroup"),
        ("samples?from=-5m", "container", "a name"),
        ("samples?container=../../etc", "container", "a name"),
        ("actions?from=-5m&to=-10m", "from", "before `to`"),
        ("actions?limit=0", "limit", "1 to 5000"),
        ("actions?limit=1e9", "limit", "1 to 5000"),
        ("actions?source=robot", "source", "replay"),
        ("actions?overlapping=maybe", "overlapping", "true, false"),
        ("actions?action=dance", "action", "open_viewer"),
        ("actions?cursor=nonsense", "cursor", "next_cursor"),
        ("actions?cursor=99999999999999999999-1", "cursor", "next_cursor"),
        ("requests?cursor=nonsense", "cursor", "next_cursor"),
        ("actions?frmo=-5m", "frmo", "from"),
        ("gaps?container=xnat-web", "container", "from, to"),
        ("containers?x=1", "x", "none"),
    ],
)
def test_a_bad_parameter_is_named_with_what_is_allowed(client: FlaskClient, path: str, parameter: str, allowed: str) -> None:
    answer = client.get(f"/api/v1/{path}")
    assert answer.status_code == 400
    assert answer.mimetype == "application/problem+json"
    body = json.loads(answer.text)
    assert body["status"] == 400
    assert body["title"] == "Bad Request"
    assert body["parameter"] == parameter
    assert allowed in body["allowed"]
    assert parameter in body["detail"]


def test_a_misspelt_parameter_gets_a_suggestion(client: FlaskClient) -> None:
    assert "did you mean limit?" in str(get(client, "/api/v1/actions?limt=3", 400)["detail"])


def test_paths_and_methods_that_are_not_there_are_problems_too(client: FlaskClient) -> None:
    assert get(client, "/api/v2/samples", 404)["status"] == 404
    answer = client.post("/api/v1/samples")
    assert (answer.status_code, answer.mimetype) == (405, "application/problem+json")
    assert "GET" in answer.headers["Allow"]


def test_a_journal_that_cannot_be_read_is_an_answer_and_not_a_crash(tmp_path: Path) -> None:
    with site(tmp_path) as made:
        made.path = tmp_path / "absent.sqlite"
        body = get(create_app(made.parts()).test_client(), "/api/v1/containers", 503)
        assert "absent.sqlite" in str(body["detail"])


def test_an_empty_journal_answers_empty(tmp_path: Path) -> None:
    with site(tmp_path) as made:
        client = create_app(made.parts()).test_client()
        for path in ("containers", "actions", "requests", "transfers", "gaps", "usage"):
            assert get(client, f"/api/v1/{path}")["rows"] == []
        assert get(client, "/api/v1/samples?container=xnat-web")["rows"] == []


# -- times

NOW = 1_800_000_000 * S


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", NOW),
        ("1700000000000000000", 1_700_000_000 * S),
        ("0", 0),
        ("-15m", NOW - 900 * S),
        ("-500ms", NOW - S // 2),
        ("-2d", NOW - 2 * 86400 * S),
        ("2023-11-14T22:13:20Z", 1_700_000_000 * S),
        ("2023-11-14t22:13:20.000000001z", 1_700_000_000 * S + 1),
        ("2023-11-14T23:13:20.5+01:00", 1_700_000_000 * S + S // 2),
        ("2023-11-14T23:13:20 01:00", 1_700_000_000 * S),  # "+" that was not escaped
        ("2023-11-14T12:13:20-10:00", 1_700_000_000 * S),
        ("2023-11-14T22:13:20", None),  # no zone: it could mean anything
        ("2023-13-14T22:13:20Z", None),
        ("1969-12-31T23:59:59Z", None),
        ("9999999999999999999", None),
        ("-5", None),
        ("-", None),
        ("15m", None),
        ("１７", None),
        ("", None),
    ],
)
def test_times_are_read_in_the_forms_that_are_promised(text: str, expected: int | None) -> None:
    assert parameters.time_ns(text, NOW) == expected


@given(st.text(max_size=40))
def test_no_text_breaks_the_reading_of_times(text: str) -> None:
    value = parameters.time_ns(text, NOW)
    assert value is None or 0 <= value < 2**63


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
