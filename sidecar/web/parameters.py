"""Query parameters: text to values, each with an error that names the parameter and what is allowed. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from http import HTTPStatus
from typing import TypeVar

from sidecar.web.problems import ProblemError, bad_parameter

T = TypeVar("T")

_BAD = HTTPStatus.BAD_REQUEST

TIMES = "integer nanoseconds since the epoch, RFC 3339 such as 2026-01-31T09:30:00Z, a time before now such as -15m, or now"
DURATIONS = "a number of nanoseconds, or such as 500ms, 1s, 5m, 1h"
_UNIT_NS = {"ns": 1, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86400 * 10**9}
_LENGTH = re.compile(r"(\d{1,19})(ns|ms|s|m|h|d)?", re.ASCII)
_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?([Zz]|[+ -]\d\d:\d\d)", re.ASCII)
_LAST_NS = 2**63 - 1


def time_ns(text: str, now_ns: int) -> int | None:
    """Epoch nanoseconds of a time in any of the forms of TIMES; None when it is none of them."""
    if text == "now":
        return now_ns
    if re.fullmatch(r"[0-9]{1,19}", text):
        return int(text) if int(text) <= _LAST_NS else None
    if text.startswith("-"):
        length = duration_ns(text[1:])
        return None if length is None or text[1:].isdigit() else max(0, now_ns - length)
    if found := _RFC3339.fullmatch(text):
        # A "+" that was not escaped in the URL arrives as a space. The fraction is read apart: datetime stops at microseconds.
        zone = "+00:00" if found[3] in "Zz" else found[3].replace(" ", "+")
        try:
            seconds = int(datetime.fromisoformat(found[1].upper() + zone).timestamp())
        except ValueError:
            return None
        return seconds * 10**9 + int((found[2] or "0").ljust(9, "0")) if seconds >= 0 else None
    return None


def duration_ns(text: str) -> int | None:
    """Nanoseconds of a length of time in any of the forms of DURATIONS; None when it is none of them."""
    found = _LENGTH.fullmatch(text)
    return None if found is None else int(found[1]) * _UNIT_NS[found[2] or "ns"]


class Parameters:
    """The query parameters of one request; unknown ones are refused when it is built."""

    def __init__(self, given: Mapping[str, str], known: Iterable[str], now_ns: int) -> None:
        allowed = tuple(known)
        for name in given:
            if name not in allowed:
                near = difflib.get_close_matches(name, allowed, 1)
                listed = ", ".join(allowed) or "none"
                raise ProblemError(
                    status=_BAD,
                    what=f"{name[:80]} is not a parameter of this path",
                    remedy=f"did you mean {near[0]}?" if near else f"allowed: {listed}",
                    parameter=name[:80],
                    allowed=listed,
                )
        self._given = given
        self._now_ns = now_ns

    def window(self, before: str = "-15m") -> tuple[int, int]:
        """`from` (default: `before`) and `to` (default: now), epoch nanoseconds, `from` < `to`."""
        start = self._parsed("from", lambda text: time_ns(text, self._now_ns), TIMES, before)
        end = self._parsed("to", lambda text: time_ns(text, self._now_ns), TIMES, "now")
        assert start is not None  # noqa: S101  (both have defaults)
        assert end is not None  # noqa: S101
        if start >= end:
            raise bad_parameter("from", self._given.get("from", before), "a time before `to`")
        return start, end

    def duration(self, name: str, low_ns: int, high_ns: int) -> int | None:
        """A length of time in nanoseconds, or None when it is not given."""
        allowed = f"{DURATIONS}, from {low_ns / 1e9:g} s to {high_ns / 1e9:g} s"

        def parse(text: str) -> int | None:
            value = duration_ns(text)
            return value if value is not None and low_ns <= value <= high_ns else None

        return self._parsed(name, parse, allowed)

    def whole(self, name: str, low: int, high: int, default: int) -> int:
        """A whole number."""

        def parse(text: str) -> int | None:
            return int(text) if re.fullmatch(r"[0-9]{1,18}", text) and low <= int(text) <= high else None

        value = self._parsed(name, parse, f"a whole number from {low} to {high}", str(default))
        assert value is not None  # noqa: S101
        return value

    def word(self, name: str, words: Iterable[str]) -> str | None:
        """One of a closed list of words, or None when it is not given."""
        allowed = tuple(words)
        return self._parsed(name, lambda text: text if text in allowed else None, ", ".join(allowed))

    def name(self, name: str, needed: bool = False) -> str | None:
        """A name or an opaque id: letters, digits, `_`, `.`, `-`."""
        allowed = "a name of letters, digits, '_', '.', '-'"
        if needed and not self._given.get(name):
            raise ProblemError(_BAD, f"{name} is missing", f"give {allowed}", parameter=name, allowed=allowed)
        return self._parsed(name, lambda text: text if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}", text) else None, allowed)

    def cursor(self) -> str | None:
        """The `next_cursor` of the page before."""
        allowed = "the next_cursor of an earlier answer"
        return self._parsed("cursor", lambda text: text if re.fullmatch(r"[A-Za-z0-9_.:=-]{1,200}", text) else None, allowed)

    def _parsed(self, name: str, parse: Callable[[str], T | None], allowed: str, default: str | None = None) -> T | None:
        text = self._given.get(name) or default
        if text is None:
            return None
        value = parse(text)
        if value is None:
            raise bad_parameter(name, text, allowed)
        return value
