"""The office that gives tickets: how seldom it asks XNAT, what it remembers, and how much one client may ask for."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from sidecar.clock import ManualClock
from sidecar.errors import NotLoggedInError, TicketsTooFastError, TicketTooOldError, XnatAwayError
from sidecar.markers.login_memory import MemoryLimits
from sidecar.markers.ticket_office import TicketOffice
from sidecar.markers.tickets import RENEWABLE_NS, Grant, Tickets
from tests.support.waiting import wait_until

COOKIE = "0123456789ABCDEF0123456789ABCDEF"
LIFE_S = 600


class Xnat:
    """Knows who is logged in, and counts how often it is asked."""

    def __init__(self) -> None:
        self.users: dict[str, str] = {COOKIE: "canary-user"}
        self.asked: list[str] = []
        self.away = False
        self.before: Callable[[], object] = lambda: None

    def user_of(self, cookie: str) -> str | None:
        self.asked.append(cookie)
        self.before()
        if self.away:
            raise XnatAwayError("XNAT does not answer (ConnectionRefusedError)", "start XNAT")
        return self.users.get(cookie)


class Desk:
    """An office, its XNAT and its clock."""

    def __init__(self, **limits: float) -> None:
        self.xnat = Xnat()
        self.clock = ManualClock()
        tickets = Tickets(bytes(32), LIFE_S * 10**9)
        self.office = TicketOffice(self.xnat.user_of, tickets, self.clock, MemoryLimits(**limits))  # type: ignore[arg-type]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_who_is_logged_in_gets_a_ticket_that_lets_in(desk: Desk) -> None:
    ticket = desk.office.ticket_for(COOKIE)
    assert desk.office.redeem(ticket.ticket) == Grant(session=ticket.session, role=None)
    desk.clock.advance(LIFE_S)
    assert desk.office.redeem(ticket.ticket) is None


def test_xnat_is_asked_once_a_minute_however_often_a_ticket_is_wanted(desk: Desk) -> None:
    sessions = set()
    for _ in range(10):
        sessions.add(desk.office.ticket_for(COOKIE).session)
        desk.clock.advance(5.9)
    assert len(desk.xnat.asked) == 1
    desk.clock.advance(1)
    sessions.add(desk.office.ticket_for(COOKIE).session)
    assert len(desk.xnat.asked) == 2
    assert len(sessions) == 1


def test_after_the_minute_a_login_that_has_ended_gets_none(desk: Desk) -> None:
    desk.office.ticket_for(COOKIE)
    desk.xnat.users.clear()
    desk.clock.advance(60)
    with pytest.raises(NotLoggedInError, match="log in to XNAT"):
        desk.office.ticket_for(COOKIE)


def test_who_was_not_logged_in_need_not_wait_a_minute_after_logging_in(desk: Desk) -> None:
    users, desk.xnat.users = desk.xnat.users, {}
    for _ in range(3):
        with pytest.raises(NotLoggedInError):
            desk.office.ticket_for(COOKIE)
    assert len(desk.xnat.asked) == 1
    desk.xnat.users = users
    desk.clock.advance(5)
    assert desk.office.ticket_for(COOKIE).session


def test_another_login_of_the_same_person_is_another_session(desk: Desk) -> None:
    other = COOKIE[::-1]
    desk.xnat.users[other] = desk.xnat.users[COOKIE]
    assert desk.office.ticket_for(other).session != desk.office.ticket_for(COOKIE).session


@pytest.mark.parametrize("cookie", ["", "short", "A" * 200, "A" * 20 + "\r\nX: y", "A" * 20 + "; other=1", "Ünïcode-in-a-cookie"])
def test_what_cannot_be_xnats_cookie_is_not_even_asked_about(desk: Desk, cookie: str) -> None:
    with pytest.raises(NotLoggedInError):
        desk.office.ticket_for(cookie)
    assert desk.xnat.asked == []
    assert desk.office.health()["logins_remembered"] == 0


def test_nothing_that_is_kept_or_said_holds_the_cookie_or_the_user(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    desk.xnat.away = True
    with pytest.raises(XnatAwayError) as away:
        desk.office.ticket_for(COOKIE)
    desk.xnat.away = False
    ticket = desk.office.ticket_for(COOKIE)
    desk.xnat.asked.clear()
    told = f"{caplog.text} {away.value} {ticket!r} {desk.office.health()} {desk.office.trouble} {ticket.ticket}"
    held = " ".join(map(repr, _reachable(desk.office)))
    assert ticket.session in held, "the search looks into what is kept"
    for secret in (COOKIE, "canary-user"):
        assert secret not in told
        assert secret not in held
    assert ticket.ticket not in repr(ticket)


def _reachable(thing: object) -> list[object]:
    """Texts, bytes and numbers that an office and its parts hold; code and the fake XNAT are left out."""
    found: list[object] = []
    seen: set[int] = set()
    todo = [thing]
    while todo:
        one = todo.pop()
        if id(one) in seen or isinstance(one, (type, Xnat)) or callable(one):
            continue
        seen.add(id(one))
        if isinstance(one, (str, bytes, int)):
            found.append(one)
        todo += gc.get_referents(one)
        todo += [getattr(one, name, None) for name in getattr(type(one), "__slots__", ())]
    return found


def test_tabs_that_ask_at_once_share_one_question(desk: Desk) -> None:
    asked, go = threading.Event(), threading.Event()

    def wait() -> None:
        asked.set()
        assert go.wait(60)

    desk.xnat.before = wait
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(desk.office.ticket_for, COOKIE)
        assert asked.wait(60)
        others = [pool.submit(desk.office.ticket_for, COOKIE) for _ in range(2)]
        wait_until(lambda: desk.office._sessions._room._value == 1, "all three to wait")
        go.set()
        assert len({one.result(60).session for one in (first, *others)}) == 1
    assert len(desk.xnat.asked) == 1


def test_a_slow_xnat_holds_up_few_callers(desk: Desk) -> None:
    desk = Desk(questions_at_once=1)
    asked, go = threading.Event(), threading.Event()

    def wait() -> None:
        asked.set()
        assert go.wait(60)

    desk.xnat.before = wait
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(desk.office.ticket_for, COOKIE)
        assert asked.wait(60)
        with pytest.raises(TicketsTooFastError, match="in a moment") as busy:
            desk.office.ticket_for(COOKIE[::-1])
        assert busy.value.after_s == 1
        go.set()
        first.result(60)


def test_xnat_away_is_told_to_the_caller_once_in_the_log_and_is_over_when_it_is_back(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.xnat.away = True
    for _ in range(3):
        with pytest.raises(XnatAwayError, match="start XNAT"):
            desk.office.ticket_for(COOKIE)
    assert caplog.text.count("XNAT does not answer") == 1
    assert "does not answer" in desk.office.trouble
    desk.xnat.away = False
    assert desk.office.ticket_for(COOKIE).session
    assert desk.office.trouble == ""


def test_one_login_cannot_ask_for_tickets_without_end(desk: Desk) -> None:
    for _ in range(20):
        desk.office.ticket_for(COOKIE)
    with pytest.raises(TicketsTooFastError) as refused:
        desk.office.ticket_for(COOKIE)
    assert refused.value.after_s == 2
    other = COOKIE[::-1]
    desk.xnat.users[other] = "somebody"
    assert desk.office.ticket_for(other).session, "others are not held up"
    desk.clock.advance(2)
    assert desk.office.ticket_for(COOKIE).session


def test_made_up_cookies_cannot_flood_xnat_nor_the_memory() -> None:
    desk = Desk(logins=50, questions_burst=30)
    refused = 0
    for number in range(200):
        try:
            desk.office.ticket_for(f"made-up-{number:032}")
        except TicketsTooFastError:
            refused += 1
        except NotLoggedInError:
            pass
    assert len(desk.xnat.asked) == 30
    assert refused == 170
    assert desk.office.health() == {
        "tickets_issued_total": 0,
        "logins_refused_total": 30,
        "questions_to_xnat_total": 30,
        "logins_remembered": 50,
    }


def test_an_old_session_s_ticket_is_renewed_for_who_is_logged_in_and_for_nobody_else(desk: Desk) -> None:
    old = desk.office.ticket_for(COOKIE)
    desk.clock.advance(86400)
    later = COOKIE[::-1]
    with pytest.raises(NotLoggedInError):
        desk.office.ticket_for(later, old.ticket)
    desk.xnat.users = {later: "canary-user"}
    desk.clock.advance(5)
    renewed = desk.office.ticket_for(later, old.ticket)
    assert renewed.session == old.session
    assert desk.office.redeem(renewed.ticket) == Grant(session=old.session, role=None)
    assert desk.office.ticket_for(later).session != old.session
    desk.clock.advance(RENEWABLE_NS / 1e9)
    for bad in (old.ticket, "made.up"):
        with pytest.raises(TicketTooOldError, match="empty object"):
            desk.office.ticket_for(later, bad)
