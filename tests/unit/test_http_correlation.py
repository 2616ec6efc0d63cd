"""What of a session gets into its recording, and where values come from at replay."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.http.correlate import Known, recording_of
from replay.http.recording import Recording, RecordingError
from replay.http.references import MissingValueError, fill, literal, reference
from replay.http.values import candidates, take_from
from tests.support.http_replay import ORIGIN, session

KNOWN = Known(
    scenario="tried",
    role="tester",
    secrets={"XNAT_USER": "first.user", "XNAT_PASSWORD": "s3cret!&"},
    parameters={"term": "lungs", "scan": "3"},
)


@pytest.fixture
def recording() -> Recording:
    observed, stretches = session("4711-aaaa")
    return recording_of(observed, stretches, ORIGIN, KNOWN)


def test_secrets_cookies_and_browsers_do_not_get_into_the_file(recording: Recording, tmp_path: Path) -> None:
    recording.save(tmp_path / "tried.requests.json")
    text = (tmp_path / "tried.requests.json").read_text()
    for hidden in ("first.user", "s3cret", "SID", "Cookie", "Secret/1", "4711-aaaa", "site.test"):
        assert hidden not in text
    assert recording.accounts() == ["XNAT_USER", "XNAT_PASSWORD"]


def test_what_the_server_handed_out_is_taken_from_its_answer_again(recording: Recording) -> None:
    login, search, result = recording.requests[1], recording.requests[3], recording.requests[4]
    assert [len(one.takes) for one in recording.requests] == [1, 1, 0, 1, 0]
    assert login.body == (
        "username=${env:XNAT_USER|form}&password=${env:XNAT_PASSWORD|form}&XNAT_CSRF=${"
        + recording.requests[0].takes[0].name
        + "|form}"
    )
    assert search.url == "/search?term=${term|url}&XNAT_CSRF=${" + login.takes[0].name + "|url}"
    assert result.url == "/result/${" + search.takes[0].name + "|url}"
    token = re.search(login.takes[0].pattern, '<script>let csrf = "csrf-0815-b";</script><a href="/exam">')
    assert token is not None
    assert token[1] == "csrf-0815-b"


def test_what_came_from_the_cache_is_not_asked_for_and_a_redirect_has_its_end(recording: Recording) -> None:
    assert [one.url.partition("?")[0] for one in recording.requests][:3] == ["/enter", "/login", "/style.css"]
    assert recording.requests[1].lands == "/home"
    assert recording.requests[2].conditional
    assert recording.notes == ("1 answers came from the browser's cache and are not asked for",)


def test_a_recording_is_the_same_after_it_was_read_again(recording: Recording, tmp_path: Path) -> None:
    recording.save(tmp_path / "a.requests.json")
    assert Recording.load(tmp_path / "a.requests.json") == recording


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 9}, "format 9"),
        ({"requests": [{"url": "/"}]}, "no recording of requests"),
        ({"phases": None}, "no recording of requests"),
    ],
)
def test_a_broken_recording_is_refused(recording: Recording, tmp_path: Path, change: dict[str, object], said: str) -> None:
    file = tmp_path / "broken.requests.json"
    file.write_text(json.dumps({**recording.to_json(), **change}))
    with pytest.raises(RecordingError, match=said):
        Recording.load(file)


def test_a_recording_whose_requests_refer_forward_is_refused(recording: Recording, tmp_path: Path) -> None:
    raw = recording.to_json()
    raw["requests"][0]["of"] = 3
    file = tmp_path / "broken.requests.json"
    file.write_text(json.dumps(raw))
    with pytest.raises(RecordingError, match="request 0 refers to nothing before it"):
        Recording.load(file)


def test_nothing_to_replay_is_an_error() -> None:
    observed, stretches = session("4711-aaaa")
    with pytest.raises(RecordingError, match=re.escape("nothing was requested from http://other.test")):
        recording_of(observed, stretches, "http://other.test", KNOWN)


def test_file_names_and_plain_words_are_no_candidates() -> None:
    found = list(candidates("http://site.test/data/XNAT_E00001/files/1.2.840.dcm?format=json&id=xs_17", None, ""))
    assert found == ["XNAT_E00001"]


def test_the_right_row_of_a_listing_is_found_again() -> None:
    listing = "".join(f'<tr data-id="XNAT_E{number:05}"><td>' for number in range(20))
    take = take_from(listing, "XNAT_E00007", "v1", "body", ())
    assert take is not None
    other = listing.replace("XNAT_E", "OTHER_")
    matches = [match[1] for match in re.finditer(take.pattern, other)]
    assert matches[take.nth] == "OTHER_00007"


def test_a_value_is_found_again_beside_others_that_change() -> None:
    page = 'token="aaaa1111bbbb" next="XNAT_E00001" end'
    take = take_from(page, "XNAT_E00001", "v1", "body", ("aaaa1111bbbb",))
    assert take is not None
    found = re.search(take.pattern, page.replace("aaaa1111bbbb", "zz"))
    assert found is not None
    assert found[1] == "XNAT_E00001"


@given(st.text(), st.text(alphabet="abc/ &<>\"'%é${}", min_size=1))
def test_any_text_survives_its_references(text: str, value: str) -> None:
    assert fill(literal(text), {}) == text
    assert fill(literal(text) + reference("v1", "raw"), {"v1": value}) == text + value


@pytest.mark.parametrize(
    ("form", "written"),
    [("url", "a%20%26b%2F"), ("form", "a+%26b%2F"), ("json", "a &b/"), ("xml", "a &amp;b/"), ("raw", "a &b/")],
)
def test_a_value_is_written_as_its_place_asks(form: str, written: str) -> None:
    assert fill(reference("term", form), {"term": "a &b/"}) == written


def test_a_missing_account_is_named() -> None:
    with pytest.raises(MissingValueError, match="the requests need XNAT_USER"):
        fill("${env:XNAT_USER|form}", {})
