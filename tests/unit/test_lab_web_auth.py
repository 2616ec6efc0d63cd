"""Sessions, accounts, tokens, and the rules that depend on the User-Agent."""

import pytest

from replay.lab.web.auth import SESSION_TIMEOUT_S, TOKEN_LIFE_S, Accounts, Sessions, csrf_refused, is_browser

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"


class Clock:
    """A monotonic clock that moves when told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.mark.parametrize(
    ("user_agent", "browser"),
    [
        (FIREFOX, True),
        ("Opera/9.80 (Windows NT 6.0)", True),
        ("xnatpy/0.8.1 (Linux/6.1)", False),
        ("curl/7.88.1", False),
        ("xnat-sidecar/0.1", False),
        ("", False),
    ],
)
def test_who_counts_as_a_browser(user_agent: str, browser: bool) -> None:
    assert is_browser(user_agent) is browser


@pytest.mark.parametrize(
    ("method", "path", "user_agent", "given", "refused"),
    [
        ("POST", "/data/search", FIREFOX, None, True),
        ("POST", "/data/search", FIREFOX, "wrong", True),
        ("POST", "/data/search", FIREFOX, "token", False),
        ("PUT", "/data/projects/P", FIREFOX, None, True),
        ("DELETE", "/data/JSESSION", FIREFOX, None, True),
        ("GET", "/data/projects", FIREFOX, None, False),
        ("HEAD", "/data/projects", FIREFOX, None, False),
        ("POST", "/data/services/import", "xnatpy/0.8.1", None, False),
        ("POST", "/data/services/import", "", None, False),
        ("POST", "/app/action/CSVAction", FIREFOX, None, True),
        ("POST", "/app/action/CSVAction", "curl/7.88.1", None, True),
        ("POST", "/app/action/CSVAction", "curl/7.88.1", "token", False),
        ("GET", "/app/action/LogoutUser", FIREFOX, None, False),
        ("POST", "/xapi/archive/downloadwithsize", FIREFOX, None, False),
    ],
)
def test_csrf_rule(method: str, path: str, user_agent: str, given: str | None, refused: bool) -> None:
    found = csrf_refused(method=method, path=path, user_agent=user_agent, expected="token", given=lambda: given)
    assert found is refused


def test_a_session_ends_after_its_time_unless_it_is_used() -> None:
    clock = Clock()
    sessions = Sessions(clock)
    session = sessions.open("researcher")
    clock.now_s += SESSION_TIMEOUT_S - 1
    assert sessions.find(session.id) is session
    clock.now_s += SESSION_TIMEOUT_S - 1
    assert sessions.find(session.id) is session
    clock.now_s += SESSION_TIMEOUT_S + 1
    assert sessions.find(session.id) is None
    assert sessions.of_users() == {}


def test_a_closed_session_is_gone_and_others_stay() -> None:
    sessions = Sessions(Clock())
    first, second = sessions.open("researcher"), sessions.open("researcher")
    sessions.close(first.id)
    sessions.close("unknown")
    assert sessions.find(first.id) is None
    assert sessions.of_users() == {"researcher": [second.id]}


def test_session_ids_look_like_tomcats() -> None:
    session = Sessions(Clock()).open(None)
    assert len(session.id) == 32
    assert set(session.id) <= set("0123456789ABCDEF")


def test_passwords_and_providers() -> None:
    accounts = Accounts({"researcher": "secret"}, Clock())
    assert accounts.check("researcher", "secret") == "researcher"
    assert accounts.check("localdb/researcher", "secret") == "researcher"
    assert accounts.check("researcher", "wrong") is None
    assert accounts.check("nobody", "secret") is None
    assert accounts.check("", "") is None


def test_an_alias_token_logs_in_until_it_expires_or_is_forgotten() -> None:
    clock = Clock()
    accounts = Accounts({"researcher": "secret"}, clock)
    token = accounts.issue_token("researcher")
    assert accounts.check(token.alias, token.secret) == "researcher"
    assert accounts.check(token.alias, "secret") is None
    clock.now_s += TOKEN_LIFE_S + 1
    assert accounts.check(token.alias, token.secret) is None
    other = accounts.issue_token("researcher")
    accounts.forget_token(other.alias)
    assert accounts.check(other.alias, other.secret) is None
