"""`POST /api/v1/tickets`: who may ask, and what is answered."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from sidecar.errors import NotLoggedInError, TicketError, TicketsTooFastError, TicketTooOldError, XnatAwayError
from sidecar.markers.tickets import Ticket
from sidecar.web.app import create_app
from sidecar.web.tickets import is_same_origin, tickets
from tests.support.web import Site, site

SESSION = "c0ffee00" * 4
COOKIE = "CANARY0123456789ABCDEF0123456789"
PAGE = {"Sec-Fetch-Site": "same-origin", "Origin": "https://xnat.example", "Host": "xnat.example"}


class Office:
    """Gives a ticket, or fails as it is told; keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []
        self.fault: TicketError | None = None

    def ticket_for(self, cookie: str, renew: str | None = None) -> Ticket:
        self.asked.append((cookie, renew))
        if self.fault is not None:
            raise self.fault
        return Ticket(ticket="signed", expires_ns=1_700_000_600 * 10**9, session=SESSION, role=None)


@pytest.fixture
def office() -> Office:
    return Office()


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path) as one:
        yield one


@pytest.fixture
def client(made: Site, office: Office) -> FlaskClient:
    made.more = (tickets(office.ticket_for),)
    client = create_app(made.parts()).test_client()
    client.set_cookie("JSESSIONID", COOKIE, domain="xnat.example")
    return client


def ask(client: FlaskClient, headers: Mapping[str, str] | None = None, body: object = None, **more: Any) -> TestResponse:
    url = f"http://{(headers or PAGE).get('Host', 'xnat.example')}"
    sent = {"data": json.dumps({} if body is None else body), "content_type": "application/json", **more}
    return client.post("/api/v1/tickets", base_url=url, headers=PAGE if headers is None else headers, **sent)


def test_a_page_of_the_site_gets_a_ticket_under_the_site_s_own_name(client: FlaskClient, office: Office) -> None:
    answer = ask(client)
    assert answer.status_code == 200
    assert answer.get_json() == {"ticket": "signed", "expires_ns": 1_700_000_600 * 10**9, "session": SESSION, "role": None}
    assert office.asked == [(COOKIE, None)]
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in answer.headers


def test_no_other_path_is_answered_under_the_site_s_name(client: FlaskClient) -> None:
    for path in ("/", "/api/v1/actions", "/api/v1/tickets/", "/metrics"):
        assert client.get(path, base_url="http://xnat.example").status_code == 421, path


def test_an_older_ticket_is_handed_on_to_be_renewed(client: FlaskClient, office: Office) -> None:
    assert ask(client, body={"renew": "older"}).status_code == 200
    assert office.asked == [(COOKIE, "older")]


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "xnat.example"},
        {"Host": "xnat.example", "Origin": "https://evil.example"},
        {"Host": "xnat.example", "Origin": "null"},
        {"Host": "xnat.example", "Origin": "chrome-extension://xnat.example"},
        {"Host": "xnat.example:8080", "Origin": "http://xnat.example"},
        {**PAGE, "Sec-Fetch-Site": "cross-site"},
        {**PAGE, "Sec-Fetch-Site": "same-site"},
        {**PAGE, "Sec-Fetch-Site": "none"},
    ],
)
def test_other_pages_are_refused_before_anything_is_asked(client: FlaskClient, office: Office, headers: dict[str, str]) -> None:
    answer = ask(client, headers)
    assert answer.status_code == 403
    assert answer.mimetype == "application/problem+json"
    assert office.asked == []


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://xnat.example", "xnat.example"),
        ("https://XNAT.example", "xnat.example"),
        ("http://10.0.0.5:8089", "10.0.0.5:8089"),
    ],
)
def test_without_the_browser_s_word_the_origin_must_be_the_host(origin: str, host: str) -> None:
    assert is_same_origin(None, origin, host)


def test_the_browser_s_word_counts_behind_a_proxy_that_changed_the_host() -> None:
    assert is_same_origin("same-origin", "https://xnat.example", "inner:8080")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_a_form_can_send_nothing_that_counts(client: FlaskClient, office: Office, kind: str) -> None:
    assert ask(client, content_type=kind).status_code == 415
    assert office.asked == []


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "{", '{"renew": 1}', '{"user": "me"}', "[" * 5000, '{"renew": "' + "x" * 9000 + '"}', "\xff"]
)
def test_a_body_that_is_not_understood_says_what_to_send(client: FlaskClient, office: Office, text: str) -> None:
    answer = ask(client, data=text.encode("latin-1"))
    assert answer.status_code == 400
    assert "send {}" in json.loads(answer.text)["detail"]
    assert office.asked == []


@pytest.mark.parametrize(
    ("fault", "status", "after"),
    [
        (NotLoggedInError("nobody", "log in"), 401, None),
        (TicketTooOldError("too old", "ask anew"), 400, None),
        (TicketsTooFastError("too fast", "wait", 1.2), 429, "2"),
        (XnatAwayError("XNAT does not answer", "start it"), 503, "10"),
    ],
)
def test_why_there_is_no_ticket(client: FlaskClient, office: Office, fault: TicketError, status: int, after: str | None) -> None:
    office.fault = fault
    answer = ask(client)
    assert answer.status_code == status
    assert answer.mimetype == "application/problem+json"
    assert json.loads(answer.text)["detail"] == str(fault)
    assert answer.headers.get("Retry-After") == after
    assert ("WWW-Authenticate" in answer.headers) == (status == 401)
    assert COOKIE not in answer.text


def test_without_the_cookie_the_office_is_asked_about_nobody(client: FlaskClient, office: Office) -> None:
    client.delete_cookie("JSESSIONID", domain="xnat.example")
    office.fault = NotLoggedInError("nobody", "log in")
    assert ask(client).status_code == 401
    assert office.asked == [("", None)]


def test_a_sidecar_that_gives_no_tickets_says_what_to_set(made: Site) -> None:
    made.more = (tickets(None),)
    answer = ask(create_app(made.parts()).test_client())
    assert answer.status_code == 404
    assert "TRACEMARK_XNAT_URL" in answer.text


def test_only_post_is_known(client: FlaskClient) -> None:
    answer = client.get("/api/v1/tickets", base_url="http://xnat.example", headers=PAGE)
    assert answer.status_code == 405
    assert "POST" in answer.headers["Allow"]
