"""Who may see the page behind the site's own name, by what XNAT says of the login."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from sidecar.clock import ManualClock
from sidecar.errors import NotAllowedError, NotLoggedInError, TicketError, TicketsTooFastError, XnatAwayError
from sidecar.markers.door import Door
from sidecar.markers.login_memory import MemoryLimits
from sidecar.markers.xnat_login import read_roles
from sidecar.web.app import create_app
from tests.support.web import Site, site

COOKIE = "CANARY0123456789ABCDEF0123456789"
OTHER = COOKIE[::-1]
BEHIND = {"X-Forwarded-Prefix": "/xnat/tracemark", "Host": "xnat.example"}


class Xnat:
    """Knows the roles of two logins, and counts how often it is asked."""

    def __init__(self) -> None:
        self.roles: dict[str, frozenset[str]] = {COOKIE: frozenset({"Administrator"}), OTHER: frozenset()}
        self.asked = 0
        self.fault: TicketError | None = None

    def roles_of(self, cookie: str) -> frozenset[str] | None:
        self.asked += 1
        if self.fault is not None:
            raise self.fault
        return self.roles.get(cookie)


@pytest.fixture
def xnat() -> Xnat:
    return Xnat()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def door(xnat: Xnat, clock: ManualClock) -> Door:
    return Door(xnat.roles_of, frozenset({"Administrator"}), clock)


def test_the_role_decides_not_the_login_alone(xnat: Xnat, clock: ManualClock) -> None:
    ours = door(xnat, clock)
    ours.let_in(COOKIE)
    with pytest.raises(NotAllowedError, match="site role Administrator"):
        ours.let_in(OTHER)
    for nobody in ("made-up-0123456789", "", "x\r\ny"):
        with pytest.raises(NotLoggedInError, match="log in to XNAT"):
            ours.let_in(nobody)


def test_an_open_page_does_not_keep_a_login_alive(xnat: Xnat, clock: ManualClock) -> None:
    """XNAT is asked once in twenty minutes, which is more than its own time-out, however often the page asks."""
    ours = door(xnat, clock)
    for _ in range(1199 * 2):
        ours.let_in(COOKIE)
        clock.advance(0.5)
    assert xnat.asked == 1
    xnat.roles.clear()
    clock.advance(1)
    with pytest.raises(NotLoggedInError):
        ours.let_in(COOKIE)
    assert xnat.asked == 2


def test_one_login_cannot_ask_without_end(xnat: Xnat, clock: ManualClock) -> None:
    ours = Door(xnat.roles_of, frozenset({"Administrator"}), clock, MemoryLimits(looks_burst=3))
    for _ in range(3):
        ours.let_in(COOKIE)
    with pytest.raises(TicketsTooFastError):
        ours.let_in(COOKIE)


@given(status=st.integers(100, 599), body=st.binary(max_size=60))
def test_whatever_xnat_answers_names_roles_or_none(status: int, body: bytes) -> None:
    assert all(isinstance(one, str) for one in read_roles(status, body))


def test_the_roles_are_read() -> None:
    assert read_roles(200, b'["Administrator", "DataManager", 3]') == {"Administrator", "DataManager"}
    for status, body in ((403, b'["Administrator"]'), (200, b"<html>"), (200, b'{"Administrator": 1}'), (200, b"[" * 5000)):
        assert read_roles(status, body) == frozenset()


# -- the page and the API with that door


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path) as one:
        yield one


def client_of(made: Site, cookie: str, xnat: Xnat | None, **more: object) -> FlaskClient:
    let_in = door(xnat, ManualClock()).let_in if xnat else None
    client = create_app(made.parts(let_in=let_in, **more)).test_client()
    client.set_cookie("JSESSIONID", cookie, domain="xnat.example")
    return client


def status(client: FlaskClient, path: str, headers: Mapping[str, str]) -> int:
    return client.get(path, base_url=f"http://{headers['Host']}", headers=dict(headers)).status_code


def test_an_administrator_sees_the_page_below_the_sites_path(made: Site, xnat: Xnat) -> None:
    client = client_of(made, COOKIE, xnat)
    page = client.get("/", base_url="http://xnat.example", headers=BEHIND)
    assert page.status_code == 200
    assert 'src="/xnat/tracemark/static/js/main.js"' in page.text
    assert status(client, "/api/v1/containers", BEHIND) == 200


@pytest.mark.parametrize("path", ["/", "/api/v1/containers", "/static/js/main.js", "/metrics"])
def test_others_see_nothing_at_all(made: Site, xnat: Xnat, path: str) -> None:
    assert status(client_of(made, OTHER, xnat), path, BEHIND) == 403
    assert status(client_of(made, "nobody-0123456789", xnat), path, BEHIND) == 401
    assert status(client_of(made, COOKIE, None), path, BEHIND) == 404
    xnat.fault = XnatAwayError("XNAT does not answer", "start XNAT")
    assert status(client_of(made, COOKIE, xnat), path, BEHIND) == 503


def test_a_person_who_may_not_come_in_reads_what_to_do(made: Site, xnat: Xnat) -> None:
    client = client_of(made, OTHER, xnat)
    answer = client.get("/", base_url="http://xnat.example", headers={**BEHIND, "Accept": "text/html"})
    assert answer.status_code == 403
    assert answer.mimetype == "text/html"
    assert "TRACEMARK_PAGE_ROLES" in answer.text
    told = client.get("/api/v1/usage", base_url="http://xnat.example", headers=BEHIND)
    assert told.mimetype == "application/problem+json"
    assert COOKIE not in told.text + answer.text


def test_a_strangers_name_is_refused_unless_it_is_allowed(made: Site, xnat: Xnat) -> None:
    stranger = {"Host": "evil.example"}
    assert status(client_of(made, COOKIE, xnat), "/api/v1/containers", stranger) == 421
    named = client_of(made, COOKIE, xnat, address=("0.0.0.0", 8050), allowed_hosts=("tracemark",))  # noqa: S104
    assert status(named, "/api/v1/containers", stranger) == 421
    for known in ("tracemark:8050", "TRACEMARK", "127.0.0.1:8050", "localhost"):
        assert status(named, "/api/v1/containers", {"Host": known}) == 200, known
    anywhere = client_of(made, COOKIE, xnat, address=("0.0.0.0", 8050))  # noqa: S104
    assert status(anywhere, "/api/v1/containers", {"Host": "server.example"}) == 200
