"""A file of requests that somebody has written into: refused in words, and never played anywhere but on the site."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from replay.http.recording import Phase, Recording, RecordingError, Request, Take

TAKE = Take(name="v1", where="body", pattern='csrf="([a-z]+)"')
GOOD = Recording(
    scenario="s",
    role="researcher",
    phases=(Phase(action="page_load"), Phase(action=None, thinks=((1.0, 0.4),))),
    requests=(
        Request(phase=0, method="GET", url="/app", headers={}, takes=(TAKE,)),
        Request(phase=1, method="POST", url="/data/${v1|url}", headers={"Accept": "*/*"}, body="a=1", event="end", of=0),
    ),
    parameters={"project": "P"},
)


def written(folder: Path, *path: str | int, value: Any) -> Path:
    """The good recording with one place changed."""
    raw = json.loads(json.dumps(GOOD.to_json()))
    place = raw
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    file = folder / "s.requests.json"
    file.write_text(json.dumps(raw))
    return file


def test_what_was_saved_is_read_again(tmp_path: Path) -> None:
    GOOD.save(tmp_path / "s.requests.json")
    assert Recording.load(tmp_path / "s.requests.json") == GOOD


def test_what_lies_outside_the_context_path_is_on_the_site_too(tmp_path: Path) -> None:
    for url in ("${origin|raw}/favicon.ico", "${origin|raw}?a=1", "${origin|raw}", "?a=1"):
        assert Recording.load(written(tmp_path, "requests", 1, "url", value=url)).requests[1].url == url


@pytest.mark.parametrize(
    "url",
    ["https://else.test/x", "@else.test/x", ".else.test/x", ":1/x", "", "${v1|raw}", "${origin|raw}.else.test/", None],
)
def test_no_request_leaves_the_site(tmp_path: Path, url: str | None) -> None:
    with pytest.raises(RecordingError, match=r"request 1: .* does not begin with a slash: it would leave the site"):
        Recording.load(written(tmp_path, "requests", 1, "url", value=url))


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("scenario",), 5, "scenario, role or a note is no text"),
        (("parameters",), [], "parameters is no object of texts"),
        (("parameters", "project"), 7, "parameters is no object of texts"),
        (("pace",), 0, "pace or connections is no number above 0"),
        (("connections",), 0, "pace or connections is no number above 0"),
        (("requests",), [], "it holds no request"),
        (("phases", 0, "action"), "dance", "phase 0: 'dance' is no action"),
        (("phases", 1, "thinks"), [["a", "b"]], "phase 1: a pause is no number"),
        (("phases", 0, "settle_ms"), "x", "phase 0: a pause is no number"),
        (("requests", 0, "method"), 5, "request 0: 5 is no method"),
        (("requests", 0, "method"), "GET / HTTP/1.1\r\n", "is no method"),
        (("requests", 1, "headers"), "x", "request 1: headers is no object of texts"),
        (("requests", 1, "headers"), {"Accept": None}, "request 1: headers is no object of texts"),
        (("requests", 1, "body"), 5, "request 1: kind, body, lands or event"),
        (("requests", 1, "event"), "never", "request 1: kind, body, lands or event"),
        (("requests", 1, "of"), "0", "request 1: phase, status, of or size is no number"),
        (("requests", 1, "of"), 1, "refers to nothing before it"),
        (("requests", 1, "delay_ms"), "soon", "request 1: a time is no number"),
        (("requests", 0, "takes", 0, "pattern"), "([a-z", "request 0: v1 is taken by no pattern with a group"),
        (("requests", 0, "takes", 0, "pattern"), "[a-z]", "request 0: v1 is taken by no pattern with a group"),
        (("requests", 0, "takes", 0, "where"), "foot", "request 0: what it takes is not named"),
        (("requests", 0, "takes"), 5, "is no recording of requests"),
        (("format",), 2, "has format 2"),
    ],
)
def test_what_cannot_be_played_is_named(tmp_path: Path, path: tuple[str | int, ...], value: Any, words: str) -> None:
    with pytest.raises(RecordingError) as refused:
        Recording.load(written(tmp_path, *path, value=value))
    assert words in str(refused.value)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"format": 1, "pace": NaN}', "[" * 99_999])
def test_what_is_no_recording_is_said(tmp_path: Path, text: str) -> None:
    file = tmp_path / "s.requests.json"
    file.write_text(text)
    with pytest.raises(RecordingError, match="record it again, or name another file"):
        Recording.load(file)
