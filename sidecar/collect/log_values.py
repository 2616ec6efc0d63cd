"""Single values of access-log lines: numbers, times in seconds, trace ids, content types; and what may be shown of a bad line."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from sidecar.collect.log_times import SECOND_NS

_SECONDS = re.compile(r"\d{1,9}(?:\.\d{1,6})?")
_TRACEPARENT = re.compile(r"[\da-f]{2}-([\da-f]{32})-([\da-f]{16})-[\da-f]{2}")
_CONTENT_TYPE = re.compile(r"[a-z]{1,20}/[a-z0-9.+-]{1,80}")
_NO_ACTION = "0000000000000001"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE", "PROPFIND"})
KNOWN_TEXTS = 4096
V = TypeVar("V")


def shape_of(line: str) -> str:
    """The form of a line: letters become `a`, digits `9`, runs one sign; at most 120 signs, whatever the line holds."""
    start = line[:2000]
    letters = re.sub(r"[^\W\d_]+|[^\x20-\x7e\t]+", "a", start)
    return re.sub(r"(\W|_)\1+", r"\1", re.sub(r"\d+", "9", letters))[:120]


class Known(dict[str, V | None]):
    """Text to value, worked out once for each text that comes often; at most KNOWN_TEXTS are kept."""

    __slots__ = ("_work_out",)

    def __init__(self, known: dict[str, V | None], work_out: Callable[[str], V | None]) -> None:
        super().__init__(known)
        self._work_out = work_out

    def __missing__(self, text: str) -> V | None:
        value = self._work_out(text)
        if len(self) < KNOWN_TEXTS:
            self[text] = value
        return value


def query_format(target: str) -> str | None:
    """The value of the query's `format=`; of its others nothing is looked at."""
    query = target.partition("?")[2]
    if "format=" not in query:
        return None
    return next((pair[7:] for pair in query.split("&") if pair.startswith("format=")), None)


def seconds(text: str) -> int | None:
    """Nanoseconds from `12.345`, as nginx writes seconds."""
    if not _SECONDS.fullmatch(text):
        raise ValueError(text)
    return round(float(text) * SECOND_NS)


def status_code(text: str) -> int | None:
    if len(text) != 3:
        raise ValueError(text)
    return int(text)


def content_type(text: str) -> str | None:
    plain = text.partition(";")[0].strip().lower()
    return plain if _CONTENT_TYPE.fullmatch(plain) else None


def count(text: str) -> int:
    """A number of bytes; what a 64-bit integer cannot hold is refused, for no journal could."""
    value = int(text)
    if not 0 <= value < 2**63:
        raise ValueError(text)
    return value


def number(text: str | None) -> int | None:
    return None if text is None or text in ("-", "") else count(text)


def request_line(text: str) -> tuple[str | None, str | None]:
    """Method and target of a request line with blanks or escapes in its target; (None, None) for bytes that are no request."""
    method, _, rest = text.partition(" ")
    target, blank, protocol = rest.rpartition(" ")
    if not blank or not protocol.startswith("HTTP/"):
        target = rest
    if method not in METHODS or method == "CONNECT" or not target:
        return None, None
    return method, target


def trace_ids(text: str) -> tuple[str | None, str | None]:
    found = _TRACEPARENT.fullmatch(text)
    if found is None or found[1] == "0" * 32 or found[2] == "0" * 16:
        return None, None
    return found[1], None if found[2] == _NO_ACTION else found[2]


def several(text: str) -> list[str]:
    return text.replace(" : ", ", ").split(", ")
