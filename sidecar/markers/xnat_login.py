"""Asks XNAT whose login a session cookie is, and in which site roles. The cookie goes into those requests and nowhere else."""

from __future__ import annotations

import http.client
import json
import re
from http import HTTPStatus
from urllib.parse import quote, urlsplit

from sidecar.errors import SettingError, XnatAwayError

COOKIE = "JSESSIONID"
PATH = "/xapi/users/username"
ROLES_PATH = "/xapi/users/{}/roles"
GUEST = "guest"
#: what Tomcat gives: hex digits, with the name of a node behind a dot where there are several
_COOKIE_VALUE = re.compile(r"[A-Za-z0-9_.!~-]{8,128}", re.ASCII)
#: a login name, and not a page: one line without blanks or markup
_USER_NAME = re.compile(r"[^\s<>\x00-\x1f\x7f]{1,255}")
_BASE_PATH = re.compile(r"[A-Za-z0-9/_.~-]*", re.ASCII)
_LONGEST_ANSWER = 4096
_NOBODY = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


def is_cookie(value: str) -> bool:
    """Whether this can be the value of XNAT's session cookie at all; anything else must not get into a request's head."""
    return _COOKIE_VALUE.fullmatch(value) is not None


def read_answer(status: int, body: bytes) -> str | None:
    """The user that XNAT's answer names, None for nobody. Raises XnatAwayError when it is no answer of XNAT's.

    XNAT redirects browsers to its login page, answers others with 401, and on sites open to everyone names a guest.
    """
    if status in _NOBODY or 300 <= status < 400:
        return None
    if status != HTTPStatus.OK:
        remedy = "see XNAT's own logs" if status >= 500 else "let TRACEMARK_XNAT_URL name XNAT itself, with its context path"
        raise XnatAwayError(f"XNAT answers {status} when asked whose login this is", remedy)
    try:
        name = body.decode().strip()
    except UnicodeDecodeError:
        return None
    return name if _USER_NAME.fullmatch(name) and name.lower() != GUEST else None


def read_roles(status: int, body: bytes) -> frozenset[str]:
    """The site roles that XNAT's answer names; whatever is no list of words names none."""
    if status != HTTPStatus.OK:
        return frozenset()
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return frozenset()
    return frozenset(one for one in told if isinstance(one, str)) if isinstance(told, list) else frozenset()


class XnatLogin:
    """XNAT at `url` (with its context path); SettingError when that is no URL of a server."""

    def __init__(self, url: str, version: str, timeout_s: float = 5.0) -> None:
        try:
            parts = urlsplit(url)
            host, self._port = parts.hostname, parts.port
        except ValueError:
            parts, host = urlsplit(""), None
        plain = _BASE_PATH.fullmatch(parts.path) and not (parts.query or parts.fragment or "@" in parts.netloc)
        if parts.scheme not in ("http", "https") or not host or not plain:
            shown = "***" if "@" in url else url
            raise SettingError(f"TRACEMARK_XNAT_URL={shown} is not valid", "allowed: a URL such as http://xnat-web:8080/xnat")
        self._encrypted = parts.scheme == "https"
        self._host = host
        self._path = parts.path.rstrip("/")
        self._agent = f"tracemark/{version}"
        self._timeout_s = timeout_s

    def user_of(self, cookie: str) -> str | None:
        """The user who is logged in with this cookie, None for nobody. Raises XnatAwayError.

        The request puts off the login's end, as every request does: ask only for a person who is at work.
        """
        return read_answer(*self._get(PATH, cookie)) if is_cookie(cookie) else None

    def roles_of(self, cookie: str) -> frozenset[str] | None:
        """The site roles of who is logged in with this cookie, None when that is nobody. Raises XnatAwayError. Two requests."""
        user = self.user_of(cookie)
        return None if user is None else read_roles(*self._get(ROLES_PATH.format(quote(user, safe="")), cookie))

    def _get(self, path: str, cookie: str) -> tuple[int, bytes]:
        # http.client follows no redirect, uses no proxy and writes no log.
        kind = http.client.HTTPSConnection if self._encrypted else http.client.HTTPConnection
        connection = kind(self._host, self._port, timeout=self._timeout_s)
        headers = {"Accept": "*/*", "Cookie": f"{COOKIE}={cookie}", "User-Agent": self._agent, "Connection": "close"}
        try:
            connection.request("GET", self._path + path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read(_LONGEST_ANSWER)
        except (OSError, http.client.HTTPException) as error:
            # Only the kind of error: its text may repeat what was sent.
            what = f"XNAT does not answer ({type(error).__name__})"
            raise XnatAwayError(what, "start XNAT, or check TRACEMARK_XNAT_URL") from None
        finally:
            connection.close()
