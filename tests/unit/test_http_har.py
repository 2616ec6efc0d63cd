"""HTTP archives: what is imported, and what is named because it cannot be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from replay.http.har import import_har
from replay.http.recording import Recording, RecordingError

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
    assert recording.actions() == ["page_load", "page_load"]
    assert recording.phases[1].thinks == ((4.9, 0.0),)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"log": {"entries": 3}}'])
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
    assert len(recording.requests) == 1
    assert recording.notes == ("entry 1 is left out: it is broken ('url')", "entry 3 is left out: data is not HTTP")
