"""The gate every request passes: who is it, may they, is the CSRF token there; and what XNAT's access log says of it."""

import re
import time
from collections.abc import Callable
from datetime import datetime
from urllib.parse import quote

from flask import Flask, Response, g, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from replay.lab.web import replies
from replay.lab.web.auth import GUEST, Accounts, Sessions, WebSession, csrf_refused, is_browser
from replay.lab.web.logs import LineSink, client_address, xnat_line

LOGIN = "/app/template/Login.vm"
COOKIE = "JSESSIONID"

_OPEN = re.compile(
    r"/(login|favicon\.ico|(scripts|style|images|themes)/.*|app/template/(Login|Register|ForgotLogin)\.vm.*"
    r"|app/action/LogoutUser|data/JSESSION|data/services/auth"
    r"|xapi/siteConfig/(buildInfo|siteId|siteUrl|siteHome|siteLogoPath))"
)
_DATA = re.compile(r"/(data|xapi|fs)(/|$)")
_STATIC = re.compile(r"/(scripts|style|images|themes|VIEWER|favicon\.ico)(/|$)")
_TURBINE = re.compile(r"/app/(template|action)/([^/]+)")
_LOGGED_PARAMETERS = ("xdataction", "search_element", "search_field", "search_value")


def web_session() -> WebSession:
    """The session of the request at hand."""
    session = g.web_session
    assert isinstance(session, WebSession)  # noqa: S101 - set before every request that reaches a handler
    return session


def user_name() -> str:
    """The login name of the request at hand, `guest` when nobody is logged in."""
    return web_session().user or GUEST


class Gate:
    """Hooks of the application that run before and after every request."""

    def __init__(
        self,
        accounts: Accounts,
        sessions: Sessions,
        log: LineSink,
        now: Callable[[], datetime],
        context_path: str,
    ) -> None:
        self._accounts = accounts
        self._sessions = sessions
        self._log = log
        self._now = now
        self._context_path = context_path

    def stand_at(self, app: Flask) -> None:
        """Puts the hooks into the application."""
        app.before_request(self._before)
        app.after_request(self._after)

    def log_in(self, user: str) -> WebSession:
        """Gives the user a fresh session (so that an id known before is worthless) and leaves the old one."""
        old = g.get("web_session")
        if old is not None:
            self._sessions.close(old.id)
        session = self._sessions.open(user)
        self._take(session)
        return session

    def log_out(self) -> None:
        """Ends the session at hand."""
        self._sessions.close(web_session().id)
        g.session_ended = True

    def record_login(self, user: str, outcome: str) -> None:
        """Writes the line of a login attempt: outcome is SUCCESS or FAILED (…): message."""
        self._write(user, "Authentication", outcome)

    def path_of(self, inside: str) -> str:
        """The address of a page of this application, with the context path."""
        return self._context_path + inside

    def _before(self) -> AnyResponse | None:
        path = request.path
        if _STATIC.match(path) and path.rstrip("/") != "/VIEWER":
            return None
        refused = self._identify(path)
        if refused is not None:
            return refused
        target = self._target(path)
        if target is not None:
            self._write(user_name(), *target)
        if web_session().user is None:
            return None if _OPEN.fullmatch(path) else self._turn_away(path)
        if csrf_refused(
            method=request.method,
            path=path,
            user_agent=_user_agent(),
            expected=web_session().csrf,
            given=_given_token,
        ):
            return replies.error_page(403, "INVALID CSRF: the request lacks the right XNAT_CSRF token")
        return None

    def _identify(self, path: str) -> Response | None:
        """Finds the session by cookie or Basic login; scripts without either get none that would have to be kept."""
        session = self._sessions.find(request.cookies.get(COOKIE))
        if session is not None:
            g.web_session = session
        if session is None or session.user is None:
            refused = self._basic_login()
            if refused is not None:
                return refused
        if g.get("web_session") is None:
            if is_browser(_user_agent()) or path == "/data/JSESSION":
                self._take(self._sessions.open(None))
            else:
                g.web_session = WebSession(id="", csrf="", user=None, used_s=0.0)
        return None

    def _basic_login(self) -> Response | None:
        given = request.authorization
        if given is None or given.type != "basic":
            return None
        user = self._accounts.check(given.username or "", given.password or "")
        if user is None:
            self.record_login(given.username or GUEST, "FAILED (BadCredentialsException): Bad credentials")
            return _unauthorized()
        self.log_in(user)
        self.record_login(user, "SUCCESS")
        return None

    def _turn_away(self, path: str) -> AnyResponse | None:
        if not is_browser(_user_agent()):
            if path == "/":
                return None  # the health check and clients want to see a page here
            if _DATA.match(path):
                return _unauthorized()
        if request.method == "GET" and path not in ("/", "/app") and replies.wants_html(request):
            web_session().wanted = request.full_path.rstrip("?")
        return redirect(self.path_of(LOGIN))

    def _after(self, response: Response) -> Response:
        session: WebSession | None = g.get("web_session")
        place = self._context_path or "/"
        if g.get("session_ended"):
            response.headers.add("Set-Cookie", f"{COOKIE}=; Path={place}; Max-Age=0; HttpOnly")
        elif session is not None and session.id and g.get("new_session"):
            response.headers.add("Set-Cookie", f"{COOKIE}={session.id}; Path={place}; HttpOnly")
        if session is not None and session.id:
            value = f"{time.time_ns() // 1_000_000},{round(session.timeout_s * 1000)}"
            # Written by hand: the quotes and the bare comma are what pages and clients take apart.
            response.headers.add("Set-Cookie", f'SESSION_EXPIRATION_TIME="{value}"; Path={place}')
            response.headers.setdefault("Cache-Control", "no-store")
        response.headers["X-Frame-Options"] = "SAMEORIGIN"
        response.headers["Content-Security-Policy"] = "frame-ancestors 'self'"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    def _take(self, session: WebSession) -> None:
        g.web_session = session
        g.new_session = True
        g.session_ended = False

    def _target(self, path: str) -> tuple[str, str] | None:
        """What the access log says of a request: the address of a service, or a screen or action with its parameters.

        None for requests that XNAT does not log.
        """
        if _DATA.match(path):
            return request.host_url.rstrip("/") + request.environ.get("REQUEST_URI", request.full_path), ""
        named = _TURBINE.match("/app/template/Index.vm" if path in ("/", "/app") else path)
        if named is None:
            return None
        kind = "SCREEN" if named[1] == "template" else "ACTION"
        values = {**path_pairs(path), **request.values.to_dict()}
        kept = [f"{name}={values[name]}" for name in _LOGGED_PARAMETERS if values.get(name)]
        return f"{kind}: {named[2].removesuffix('.vm')}", f"[{', '.join(kept)}]" if kept else ""

    def _write(self, user: str, target: str, payload: str) -> None:
        at = self._now()
        line = xnat_line(
            at=at,
            user=user,
            client=client_address(request.headers.get("X-Forwarded-For", ""), request.remote_addr or "-"),
            method=request.method,
            target=target,
            user_agent=request.headers.get("User-Agent"),
            payload=payload,
        )
        self._log.write(line, at)


def path_pairs(path: str) -> dict[str, str]:
    """Reads the parameters that XNAT's pages carry in the path: `/app/action/Name/key/value/key/value`."""
    parts = path.strip("/").split("/")[3:]
    return dict(zip(parts[::2], parts[1::2], strict=False))


def quoted(*parts: str) -> str:
    """Joins path segments, each percent-encoded."""
    return "/".join(quote(part, safe="") for part in parts)


def _given_token() -> str | None:
    token = request.args.get("XNAT_CSRF")
    if token is None and request.mimetype in ("application/x-www-form-urlencoded", "multipart/form-data"):
        token = request.form.get("XNAT_CSRF")
    return token


def _user_agent() -> str:
    return request.headers.get("User-Agent", "")


def _unauthorized() -> Response:
    response = replies.error_page(401, "The request requires user authentication")
    response.headers["WWW-Authenticate"] = 'Basic realm="XNAT Protected Area"'
    return response
