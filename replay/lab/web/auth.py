"""Who is logged in: web sessions, accounts, alias tokens and the rules that look at the User-Agent.

Everything is held in memory: a restart logs everybody out, as a restart of Tomcat does.
"""

import hmac
import re
import secrets
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

GUEST = "guest"
SESSION_TIMEOUT_S = 15 * 60
TOKEN_LIFE_S = 2 * 24 * 3600
MAX_SESSIONS = 20_000
MAX_TOKENS = 10_000

_BROWSER = re.compile(r"MSIE|Mozilla|AppleWebKit|Opera")
_ALIAS = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_CSRF_METHODS = frozenset({"POST", "PUT", "DELETE"})


@dataclass(slots=True, kw_only=True)
class WebSession:
    """One HTTP session, named by the cookie JSESSIONID; `user` is None until somebody logs in with it."""

    id: str
    csrf: str
    user: str | None
    used_s: float
    timeout_s: float = SESSION_TIMEOUT_S
    wanted: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AliasToken:
    """A pair that logs in instead of name and password."""

    alias: str
    secret: str
    user: str
    expires_s: float


def is_browser(user_agent: str) -> bool:
    """Tells whether XNAT would take this User-Agent for a browser (and redirect it to the login page)."""
    return _BROWSER.search(user_agent) is not None


def csrf_refused(*, method: str, path: str, user_agent: str, expected: str, given: Callable[[], str | None]) -> bool:
    """Applies XNAT's rule: actions are always checked, REST writes only when they come from a browser.

    `given` is asked only where the rule applies, because looking for the token may mean reading the body as a form.
    """
    if path.startswith("/app/action/"):
        checked = method == "POST"
    else:
        checked = path.startswith("/data/") and method in _CSRF_METHODS and is_browser(user_agent)
    return checked and not hmac.compare_digest((given() or "").encode(), expected.encode())


class Sessions:
    """All web sessions; the oldest go first when there are too many. Thread-safe.

    `timeout_s` is the site's preference sessionTimeout: it goes for sessions that begin from then on.
    """

    def __init__(self, monotonic: Callable[[], float], timeout_s: float = SESSION_TIMEOUT_S) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._sessions: OrderedDict[str, WebSession] = OrderedDict()
        self.timeout_s = timeout_s

    def open(self, user: str | None, wanted: str = "") -> WebSession:
        """Begins a session with a fresh id."""
        session = WebSession(
            id=secrets.token_hex(16).upper(),
            csrf=str(uuid.uuid4()),
            user=user,
            used_s=self._monotonic(),
            timeout_s=self.timeout_s,
            wanted=wanted,
        )
        with self._lock:
            self._sessions[session.id] = session
            self._drop_old()
        return session

    def find(self, session_id: str | None) -> WebSession | None:
        """Returns the living session of that id and puts off its end, or None."""
        if not session_id:
            return None
        with self._lock:
            session = self._sessions.get(session_id)
            if session is None:
                return None
            now = self._monotonic()
            if now - session.used_s > session.timeout_s:
                del self._sessions[session_id]
                return None
            session.used_s = now
            self._sessions.move_to_end(session_id)
            return session

    def close(self, session_id: str) -> None:
        """Ends a session; an unknown id is no error."""
        with self._lock:
            self._sessions.pop(session_id, None)

    def of_users(self) -> dict[str, list[str]]:
        """Returns user name -> ids of the living sessions."""
        found: dict[str, list[str]] = {}
        with self._lock:
            self._drop_old()
            now = self._monotonic()
            for session in self._sessions.values():
                if session.user is not None and now - session.used_s <= session.timeout_s:
                    found.setdefault(session.user, []).append(session.id)
        return found

    def _drop_old(self) -> None:
        now = self._monotonic()
        while self._sessions:
            oldest = next(iter(self._sessions.values()))
            if len(self._sessions) <= MAX_SESSIONS and now - oldest.used_s <= oldest.timeout_s:
                break
            del self._sessions[oldest.id]


class Accounts:
    """Names, passwords and alias tokens. Thread-safe."""

    def __init__(self, passwords: Mapping[str, str], monotonic: Callable[[], float]) -> None:
        self._passwords = dict(passwords)
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._tokens: OrderedDict[str, AliasToken] = OrderedDict()

    def names(self) -> list[str]:
        """Returns all login names, sorted."""
        return sorted(self._passwords)

    def is_admin(self, user: str) -> bool:
        """Tells whether the user has the site role Administrator."""
        return user == "admin"

    def check(self, user: str, password: str) -> str | None:
        """Returns the login name that these credentials belong to, or None.

        `user` may be written `provider/name`, or be the alias of a token whose secret is the password.
        """
        name = user.rpartition("/")[2]
        if _ALIAS.fullmatch(name):
            token = self.token(name)
            fits = token is not None and hmac.compare_digest(token.secret.encode(), password.encode())
            return token.user if token is not None and fits else None
        expected = self._passwords.get(name)
        if expected is None or not hmac.compare_digest(expected.encode(), password.encode()):
            return None
        return name

    def issue_token(self, user: str) -> AliasToken:
        """Makes a new alias token for the user."""
        token = AliasToken(
            alias=str(uuid.uuid4()),
            secret=secrets.token_urlsafe(48),
            user=user,
            expires_s=self._monotonic() + TOKEN_LIFE_S,
        )
        with self._lock:
            self._tokens[token.alias] = token
            while len(self._tokens) > MAX_TOKENS:
                self._tokens.popitem(last=False)
        return token

    def token(self, alias: str) -> AliasToken | None:
        """Returns the living token of that alias, or None."""
        with self._lock:
            token = self._tokens.get(alias)
            if token is not None and self._monotonic() > token.expires_s:
                del self._tokens[alias]
                return None
            return token

    def forget_token(self, alias: str) -> None:
        """Makes the alias worthless; an unknown one is no error."""
        with self._lock:
            self._tokens.pop(alias, None)
