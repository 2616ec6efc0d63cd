"""Tickets: what a good one allows, what is no good one, and what a session's id tells of a person."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.errors import SettingError
from sidecar.markers.key_file import kept_key
from sidecar.markers.tickets import RENEWABLE_NS, Grant, Tickets

KEY = bytes(range(32))
LIFE_NS = 600 * 10**9
NOW_NS = 1_700_000_000 * 10**9
SESSION = "c0ffee00" * 4
TICKETS = Tickets(KEY, LIFE_NS)

sessions = st.from_regex(r"[0-9a-f]{32}", fullmatch=True)
roles = st.none() | st.from_regex(r"[a-z_-]{1,32}", fullmatch=True)
times = st.integers(0, 2**62)


@given(sessions, roles, times)
def test_a_ticket_allows_what_it_was_issued_for_until_it_is_over(session: str, role: str | None, now_ns: int) -> None:
    ticket = TICKETS.issue(session, role, now_ns)
    assert ticket.expires_ns == now_ns + LIFE_NS
    assert TICKETS.redeem(ticket.ticket, now_ns) == Grant(session=session, role=role)
    assert TICKETS.redeem(ticket.ticket, ticket.expires_ns - 1) == Grant(session=session, role=role)
    assert TICKETS.redeem(ticket.ticket, ticket.expires_ns) is None


@given(st.data())
def test_a_ticket_in_which_anything_was_changed_is_not_good(data: st.DataObject) -> None:
    good = TICKETS.issue(SESSION, "reader", NOW_NS).ticket
    at = data.draw(st.integers(0, len(good) - 1))
    other = data.draw(st.characters().filter(lambda character: character != good[at]))
    changed = data.draw(
        st.sampled_from([good[:at] + other + good[at + 1 :], good[:at], good[:at] + good[at + 1 :], good + other])
    )
    assert TICKETS.redeem(changed, NOW_NS) is None
    assert TICKETS.renew(changed, NOW_NS) is None


@given(st.text() | st.from_regex(r"1\.[0-9a-f]{32}\.[0-9]{19}\.\.[0-9a-f]{64}", fullmatch=True))
def test_no_text_that_was_not_signed_is_a_ticket(text: str) -> None:
    assert TICKETS.redeem(text, NOW_NS) is None


def test_another_installation_s_ticket_is_not_good() -> None:
    assert Tickets(bytes(32), LIFE_NS).redeem(TICKETS.issue(SESSION, None, NOW_NS).ticket, NOW_NS) is None


def test_an_old_ticket_is_renewed_for_its_own_session_within_a_week() -> None:
    old = TICKETS.issue(SESSION, "reader", NOW_NS)
    last_ns = old.expires_ns + RENEWABLE_NS - 1
    assert TICKETS.redeem(old.ticket, last_ns) is None
    renewed = TICKETS.renew(old.ticket, last_ns)
    assert renewed is not None
    assert TICKETS.redeem(renewed.ticket, last_ns) == Grant(session=SESSION, role="reader")
    assert TICKETS.renew(old.ticket, last_ns + 1) is None


@pytest.mark.parametrize(("session", "role"), [("short", None), (SESSION.upper(), None), (SESSION, "Dr. Who"), (SESSION, "a.b")])
def test_what_would_not_come_back_is_not_signed(session: str, role: str | None) -> None:
    with pytest.raises(ValueError, match="32 hex digits"):
        TICKETS.issue(session, role, NOW_NS)


@given(st.text(), st.text(), st.text(), st.text())
def test_a_login_is_one_session_and_another_login_another_one(user: str, login: str, user_2: str, login_2: str) -> None:
    session = TICKETS.session_of(user, login)
    assert re.fullmatch(r"[0-9a-f]{32}", session)
    assert Tickets(KEY, 1).session_of(user, login) == session
    assert (TICKETS.session_of(user_2, login_2) == session) == ((user, login) == (user_2, login_2))
    assert Tickets(bytes(32), LIFE_NS).session_of(user, login) != session, "without the key it cannot be computed"


def test_a_key_that_can_be_guessed_is_refused() -> None:
    with pytest.raises(ValueError, match="guessed"):
        Tickets(b"short", LIFE_NS)


def test_the_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite.key"
    key = kept_key(path)
    assert len(key) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert kept_key(path) == key
    assert kept_key(tmp_path / "another.key") != key


def test_a_key_that_others_can_read_is_used_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "key"
    key = kept_key(path)
    path.chmod(0o644)
    assert kept_key(path) == key
    assert "chmod 600" in caplog.text
    assert key.hex() not in caplog.text


@pytest.mark.parametrize("content", [b"", b"abc\n", b"\xff" * 64])
def test_a_file_that_holds_no_key_is_named_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(SettingError, match=str(path)):
        kept_key(path)
    assert path.read_bytes() == content


def test_a_folder_in_which_no_key_can_be_made_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="cannot be made"):
        kept_key(tmp_path / "absent" / "key")
