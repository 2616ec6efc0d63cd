"""HTTP archives: what is imported, and what is named because it cannot be."""

from __future__ import annotations

import asyncio
import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from replay import cli, scenario_cli
from replay.campaign import Plan
from replay.campaign_patience import Limits
from replay.chromium import BrowserOptions
from replay.http.as_scenario import deleting
from replay.http.choice import asked_for, player
from replay.http.har import import_har
from replay.http.recording import Recording, RecordingError
from replay.http.session import play_session
from replay.values import Values
from sidecar.model.faults import UsageFault
from tests.support.campaign_fakes import PATHS
from tests.support.http_replay import FakeSite
from tests.support.replay_fakes import RecordingMarkers
from tests.unit.test_http_engine import ports
from tests.unit.test_http_session import TurnedClock

#: file -> requests that can be replayed on the first request's address (None: nothing can), and what must be said
CASES: dict[str, tuple[int | None, str]] = {
    "capture-har_redirect-loop.har": (1, "a redirect leads on and on"),
    "firefox_www.nghttp2.org.har": (6, "3 requests to other addresses are left out"),
    "mitm-charles.har": (1, ""),
    "mitm-chrome.har": (1, "entry 2 is left out: it has no answer"),
    "mitm-error_log.har": (1, "entry 1 is left out: it has no answer"),
    "mitm-incomplete_log.har": (None, "entry 4 is left out: it has no answer"),
    "mitm-insomnia.har": (1, ""),
    "mitm-successful_log.har": (1, "1 requests to other addresses are left out (httpbin.org)"),
    "mitm-websocket.har": (None, "entry 1 is left out: it is a WebSocket"),
    "pagexray-http1.1-chrome.har": (11, "2 requests to other addresses are left out"),
    "pagexray-http2-firefox.har": (8, "2 requests to other addresses are left out"),
}


@pytest.mark.parametrize("name", CASES)
def test_archives_of_others_are_imported_or_what_cannot_be_is_named(name: str, shared_cases: Path, tmp_path: Path) -> None:
    requests, said = CASES[name]
    if requests is None:
        with pytest.raises(RecordingError, match=said):
            import_har(shared_cases / "har" / name)
        return
    recording = import_har(shared_cases / "har" / name)
    assert len(recording.requests) == requests
    assert said in "; ".join(recording.notes)
    recording.save(tmp_path / "a.requests.json")
    text = (tmp_path / "a.requests.json").read_text()
    assert '"Cookie"' not in text
    assert '"cookie"' not in text
    assert Recording.load(tmp_path / "a.requests.json") == recording


def test_every_archive_is_tried(shared_cases: Path) -> None:
    assert {file.name for file in (shared_cases / "har").glob("*.har")} == set(CASES)


def entry(at: str, url: str, status: int = 200, **more: Any) -> dict[str, Any]:
    response = {"status": status, "headers": more.pop("answer", []), "content": more.pop("content", {}), "bodySize": 10}
    return {
        "startedDateTime": f"2026-01-01T10:00:{at}Z",
        "time": 100,
        "request": {"method": "GET", "url": url, "headers": [], **more.pop("request", {})},
        "response": response,
        **more,
    }


def archive(folder: Path, *entries: dict[str, Any]) -> Path:
    file = folder / "own.har"
    file.write_text(json.dumps({"log": {"version": "1.2", "entries": entries}}))
    return file


HTML = {"mimeType": "text/html", "text": '<input name="token" value="tok-123456">'}
FORM = {
    "method": "POST",
    "headers": [{"name": "Content-Type", "value": "application/x-www-form-urlencoded"}, {"name": "Cookie", "value": "SID=1"}],
    "postData": {"mimeType": "application/x-www-form-urlencoded", "params": [
        {"name": "user", "value": "someone"},
        {"name": "password", "value": "hush hush"}, {"name": "token", "value": "tok-123456"},
    ]},
}  # fmt: skip


def test_a_log_in_is_imported_without_its_secrets_and_its_redirect_is_one_request(tmp_path: Path) -> None:
    recording = import_har(
        archive(
            tmp_path,
            entry("00.000", "http://x.test/enter", content=HTML),
            entry("05.000", "http://x.test/login", 302, request=FORM, answer=[{"name": "Location", "value": "/home"}]),
            entry("05.100", "http://x.test/home", content={"mimeType": "text/html", "text": ""}),
            entry("05.300", "http://x.test/home.css"),
        )
    )
    enter, login, style = recording.requests
    assert login.body == "user=${env:XNAT_USER|form}&password=${env:XNAT_PASSWORD|form}&token=${v1|form}"
    assert (login.status, login.lands) == (200, "/home")
    assert enter.takes[0].name == "v1"
    assert (style.event, style.of) == ("end", 1)
    assert recording.actions() == ["page_load", "login"]
    assert recording.phases[1].thinks == ((4.9, 0.0),)


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", '{"log": {"entries": 3}}', '{"log": {"entries": [NaN]}}', '{"log": {"entries": ["\\ud800"]}}', "[" * 99_999],
)
def test_what_is_no_archive_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "no.har"
    file.write_text(text)
    with pytest.raises(RecordingError, match="is no HTTP archive"):
        import_har(file)
    with pytest.raises(RecordingError, match="cannot be read"):
        import_har(tmp_path / "missing.har")


def test_broken_entries_are_named(tmp_path: Path) -> None:
    broken = entry("00.000", "http://x.test/")
    del broken["request"]["url"]
    recording = import_har(archive(tmp_path, broken, entry("01.000", "http://x.test/"), entry("02.000", "data:text/plain,x")))
    endless = entry("03.000", "http://x.test/")
    endless["response"]["bodySize"] = 1e999
    text = json.dumps({"log": {"entries": [endless, entry("04.000", "http://x.test/")]}}).replace("Infinity", "1e999")
    (tmp_path / "endless.har").write_text(text)
    (note,) = import_har(tmp_path / "endless.har").notes
    assert "entry 1 is left out: it is broken" in note
    assert len(recording.requests) == 1
    assert recording.notes == ("entry 1 is left out: it is broken ('url')", "entry 3 is left out: data is not HTTP")


def seen_session(token: str) -> list[dict[str, Any]]:
    """The fake site's session of first.user, as developer tools save it."""
    login = {
        "method": "POST",
        "headers": [{"name": "Content-Type", "value": "application/x-www-form-urlencoded"}],
        "postData": {"text": f"username=first.user&password=s3cret%21%26&XNAT_CSRF=login-{token}"},
    }
    enter = {"mimeType": "text/html", "text": f'<form><input name="XNAT_CSRF" value="login-{token}"></form>'}
    home = {"mimeType": "text/html", "text": f'<script>let csrf = "csrf-{token}";</script><a href="/exam">'}
    rows = {"mimeType": "application/json", "text": f'{{"ID":"xs{token}","rows":[]}}'}
    return [
        entry("00.000", "http://x.test/enter", content=enter),
        entry("05.000", "http://x.test/login", 302, request=login, answer=[{"name": "Location", "value": "/home"}]),
        entry("05.100", "http://x.test/home", content=home),
        entry("07.000", f"http://x.test/search?term=lungs&XNAT_CSRF=csrf-{token}", content=rows),
        entry("07.200", f"http://x.test/result/xs{token}", content={"mimeType": "text/plain", "text": "rows"}),
    ]


def test_what_the_command_makes_of_an_archive_is_played_by_another_account(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = archive(tmp_path, *seen_session("4711-aaaa")), tmp_path / "own.requests.json"
    assert scenario_cli.main(["import", str(file), "--out", str(out), "--role", "researcher"]) == 0
    said = capsys.readouterr().err
    assert "own: 4 requests; actions: page_load, login; written to" in said
    assert "its account is replaced: set XNAT_USER, XNAT_PASSWORD" in said
    assert not [word for word in ("first.user", "s3cret", "4711") if word in out.read_text()]
    recording = Recording.load(out)
    markers, site = RecordingMarkers(), FakeSite("0815-b", "another&1")
    played = asyncio.run(
        play_session(
            recording,
            {"XNAT_USER": "second.user", "XNAT_PASSWORD": "another&1"},
            TurnedClock().clock(),
            markers,
            site="http://other.test",
            session="ab" * 16,
            transport=site,
        )
    )
    assert [one.path for one in site.asked] == ["/enter", "/login", "/home", "/search", "/result/xs0815-b"]
    assert [action.outcome for action in played.actions] == ["completed", "completed"]


def test_pages_are_named_by_hand_and_joined(tmp_path: Path) -> None:
    file, out = archive(tmp_path, *seen_session("4711-aaaa")), tmp_path / "own.requests.json"
    assert scenario_cli.main(["import", str(file), "--out", str(tmp_path), "--action-map", "1=login,2=-"]) == 0
    assert Recording.load(out).actions() == ["login"]
    with pytest.raises(RecordingError, match="there is no page 3 to name"):
        scenario_cli.main(["import", str(file), "--action-map", "3=play"])


def test_what_was_left_out_is_named_and_is_no_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = archive(tmp_path, entry("00.000", "http://x.test/"), entry("01.000", "ws://x.test/live"))
    assert scenario_cli.main(["import", str(file)]) == 1
    told = capsys.readouterr()
    assert "! entry 2 is left out: it is a WebSocket" in told.err
    assert json.loads(told.out)["scenario"] == "own"
    with pytest.raises(UsageFault, match="is no name for requests"):
        scenario_cli.main(["import", str(file), "--out", str(tmp_path / "own.json")])


def test_a_file_of_requests_stands_where_a_scenario_stands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "own.requests.json"
    import_har(archive(tmp_path, *seen_session("4711-aaaa"))).save(out)
    asked = Namespace(scenario=str(out), engine="http", requests=None)
    scenario = asked_for(asked)
    assert (scenario.name, scenario.actions()) == ("own", ("page_load", "login"))
    assert scenario.parameters == {
        "pace": 1,
        "xnat_user": "${env:XNAT_USER}",
        "xnat_password": "${env:XNAT_PASSWORD}",
    }
    assert Values(scenario, {"pace": "3"}, {}).number("pace", 1.0) == 3
    with pytest.raises(UsageFault, match="holds requests, no scenario"):
        asked_for(Namespace(scenario=str(out), engine="browser", requests=None))
    line = [str(out), "--engine", "http", "--url", "http://localhost:1", "--setup", "lan", "--dry-run", "--out", str(tmp_path)]
    assert cli.main(line) == 0
    told = capsys.readouterr().out
    assert "account   from XNAT_USER, XNAT_PASSWORD" in told
    assert "open /login (POST /login) [login]" in told


def test_requests_that_delete_are_refused_until_they_are_allowed(tmp_path: Path) -> None:
    out = tmp_path / "own.requests.json"
    gone = entry("02.000", "http://x.test/data/experiments/E1?removeFiles=true", request={"method": "DELETE"})
    import_har(archive(tmp_path, entry("00.000", "http://x.test/", content=HTML), gone)).save(out)
    asked = Namespace(scenario=str(out), engine="http", requests=None, trust=[])
    scenario = asked_for(asked)
    told: list[str] = []

    def plan(*, may_delete: bool) -> Plan:
        limits = Limits(repetitions=1, attempts=1, timeout_s=1, route_changes=0)
        options = BrowserOptions(paths=PATHS, hosts=("x.test",), window=(800, 600), visible=False)
        values = Values(scenario, {}, {})
        return Plan(scenario=scenario, values=values, options=options, limits=limits, may_delete=may_delete)

    with pytest.raises(UsageFault, match="deletes: DELETE /data/experiments/E1"):
        player(asked, plan(may_delete=False), ports(), told.append)
    assert player(asked, plan(may_delete=True), ports(), told.append) is not None


def test_a_deletion_is_known_by_its_address_too_and_a_part_of_a_page_is_none(tmp_path: Path) -> None:
    asked = [
        entry("00.000", "http://x.test/", content=HTML),
        entry("01.000", "http://x.test/scripts/deleteDialog.js"),
        entry("02.000", "http://x.test/data/experiments/E1"),
        entry("03.000", "http://x.test/app/action/XDATActionRouter/xdataction/delete"),
        entry("04.000", "http://x.test/data/services/prearchive/delete", request={"method": "POST"}),
    ]
    found = deleting(import_har(archive(tmp_path, *asked)))
    assert found == ["GET /app/action/XDATActionRouter/xdataction/delete", "POST /data/services/prearchive/delete"]
