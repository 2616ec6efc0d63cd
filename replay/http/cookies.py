"""The cookies of one virtual user, as a browser keeps them (RFC 6265); nothing of them is ever stored or shown."""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from urllib.parse import SplitResult, urlsplit

#: more cookies than a browser keeps of one site are not kept either
_MOST = 180


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cookie:
    name: str
    value: str
    host: str
    host_only: bool
    path: str
    secure: bool
    expires_s: float | None


class CookieJar:
    """Keeps what Set-Cookie says and tells what to send; `now_s` is seconds since the epoch."""

    def __init__(self) -> None:
        self._cookies: dict[tuple[str, str, str], _Cookie] = {}

    def __len__(self) -> int:
        return len(self._cookies)

    def keep(self, url: str, text: str, now_s: float) -> None:
        """Take one Set-Cookie header of an answer to `url`; what a browser would refuse is refused."""
        place = urlsplit(url)
        pair, *rest = text.split(";")
        name, equals, value = pair.partition("=")
        name = name.strip()
        attributes = {key.strip().lower(): word.strip() for key, _, word in (one.partition("=") for one in rest)}
        host = (place.hostname or "").lower()
        domain = attributes.get("domain", "").lstrip(".").lower()
        secure = "secure" in attributes
        if not equals or not name or (secure and place.scheme != "https") or (domain and not _within(host, domain)):
            return
        path = attributes.get("path", "")
        cookie = _Cookie(
            name=name,
            value=value.strip(),
            host=domain or host,
            host_only=not domain,
            path=path if path.startswith("/") else _default_path(place),
            secure=secure,
            expires_s=_expiry(attributes, now_s),
        )
        key = cookie.host, cookie.path, name
        self._cookies.pop(key, None)
        if (cookie.expires_s is None or cookie.expires_s > now_s) and len(self._cookies) < _MOST:
            self._cookies[key] = cookie

    def header(self, url: str, now_s: float) -> str:
        """The Cookie header for a request to `url`, longest paths first; empty when there is none."""
        place = urlsplit(url)
        host, path = (place.hostname or "").lower(), place.path or "/"
        fitting = [
            cookie
            for cookie in self._cookies.values()
            if (cookie.expires_s is None or cookie.expires_s > now_s)
            and (host == cookie.host if cookie.host_only else _within(host, cookie.host))
            and _below(path, cookie.path)
            and (not cookie.secure or place.scheme == "https")
        ]
        return "; ".join(f"{one.name}={one.value}" for one in sorted(fitting, key=lambda one: -len(one.path)))


def _within(host: str, domain: str) -> bool:
    return host == domain or host.endswith("." + domain)


def _below(path: str, parent: str) -> bool:
    return path == parent or path.startswith(parent if parent.endswith("/") else parent + "/")


def _default_path(place: SplitResult) -> str:
    return place.path.rpartition("/")[0] or "/"


def _expiry(attributes: dict[str, str], now_s: float) -> float | None:
    if "max-age" in attributes:
        try:
            return now_s + int(attributes["max-age"])
        except ValueError:
            return None
    if "expires" in attributes:
        try:
            return parsedate_to_datetime(attributes["expires"]).timestamp()
        except (ValueError, TypeError):
            return None
    return None
