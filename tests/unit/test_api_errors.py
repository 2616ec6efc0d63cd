"""The HTTP API: errors that help, and how times are written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from sidecar.web import parameters
from sidecar.web.app import create_app
from tests.support.web import S, site
from tests.support.web_api import get

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
