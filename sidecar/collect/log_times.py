"""Times in access logs: three ways to write an instant, and two units of Tomcat's `%D` that look the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Literal

SECOND_NS = 1_000_000_000
MILLISECOND_NS = 1_000_000
_MONTHS = {name: n for n, name in enumerate("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" "), 1)}


class ClfTimes:
    """`22/Nov/2026:09:52:50 +0000` to nanoseconds; the last day is kept, because logs say the same one again and again."""

    __slots__ = ("_day", "_day_ns", "_text", "_text_ns")

    def __init__(self) -> None:
        self._text = ""
        self._text_ns = 0
        self._day = ""
        self._day_ns = 0

    def ns(self, text: str) -> int:
        """Raises ValueError when the text, already known to have the right shape, is no instant."""
        if text == self._text:
            return self._text_ns
        day = text[:11] + text[20:]
        if day != self._day:
            minutes = int(text[22:24]) * 60 + int(text[24:26])
            zone = timezone(timedelta(minutes=-minutes if text[21] == "-" else minutes))
            month = _MONTHS.get(text[3:6])
            if month is None:
                raise ValueError(text)
            midnight = datetime(int(text[7:11]), month, int(text[:2]), tzinfo=zone)
            self._day_ns = int(midnight.timestamp()) * SECOND_NS
            self._day = day
        hour, minute, second = int(text[12:14]), int(text[15:17]), int(text[18:20])
        if hour > 23 or minute > 59 or second > 60:
            raise ValueError(text)
        self._text_ns = self._day_ns + (hour * 3600 + minute * 60 + second) * SECOND_NS
        self._text = text
        return self._text_ns


class LocalTimes:
    """`2024-06-21 13:18:47,123` in a zone that the log does not name (None: this machine's) to nanoseconds.

    In the hour that comes twice in autumn the log's own order decides: a time that would jump back by most of an hour is the
    second one.
    """

    __slots__ = ("_last_ns", "_minute", "_minute_ns", "_zone")

    def __init__(self, zone: tzinfo | None = None) -> None:
        self._zone = zone
        self._minute = ""
        self._minute_ns = 0
        self._last_ns = 0

    def ns(self, text: str) -> int:
        """Raises ValueError when the text, already known to have the right shape, is no instant."""
        if text[:16] != self._minute:
            at = datetime.fromisoformat(text[:16]).replace(tzinfo=self._zone)
            first = int(at.timestamp()) * SECOND_NS
            second = int(at.replace(fold=1).timestamp()) * SECOND_NS
            # `_last_ns` is within the previous minutes of the log unless the log was idle.
            self._minute_ns = second if first < self._last_ns - 1800 * SECOND_NS and second > first else first
            self._minute = text[:16]
        seconds = int(text[17:19])
        if seconds > 60:
            raise ValueError(text)
        self._last_ns = self._minute_ns + seconds * SECOND_NS + int(text[20:23]) * MILLISECOND_NS
        return self._last_ns


def utc() -> tzinfo:
    return UTC


class DurationUnit:
    """Nanoseconds per unit of Tomcat's `%D`: milliseconds up to Tomcat 9, microseconds from 10 on; a line does not say which.

    What lines can tell, of answered requests (status 100 to 399) only:
    - three below SMALL: no request is answered in 20 microseconds, so they are milliseconds;
    - `%F` (always milliseconds) beside it: a `%D` a hundred times smaller than `%F` in microseconds would be, is milliseconds;
      one at least 900 times `%F`, three times over, is microseconds;
    - as milliseconds they would mean more requests in flight than Tomcat has threads (200), or three longer than an hour: then
      they are microseconds;
    - MANY of them and none below SMALL: microseconds, for a server that answers a redirect or a static file in less than 20 ms
      has always some.
    Anything else is undecided: the duration is then unknown, not guessed.
    """

    SMALL = 20
    MANY = 200
    PROOFS = 3
    THREADS = 200
    LONGEST_MS = 3_600_000

    __slots__ = ("_first_ns", "_first_small", "_lines", "_ms", "_sum", "_us", "unit")

    def __init__(self, setting: Literal["auto", "ms", "us"] = "auto") -> None:
        self.unit: Literal["ms", "us"] | None = None if setting == "auto" else setting
        self._lines = self._ms = self._us = self._sum = self._first_ns = 0

    @property
    def ns(self) -> int | None:
        """Nanoseconds per unit; None while undecided."""
        if self.unit is None:
            return None
        return MILLISECOND_NS if self.unit == "ms" else 1000

    def observe(self, value: int, commit_ms: int | None, status: int | None, end_ns: int) -> None:
        """Learn from one line; nothing once the unit is known."""
        if self.unit is not None or status is None or not 100 <= status < 400:
            return
        self._lines += 1
        self._first_ns = self._first_ns or end_ns
        if commit_ms is not None and commit_ms >= 10:
            if value < 900 * commit_ms:
                self._ms += 1
            else:
                self._us += 1
        if value < self.SMALL:
            self._ms += 1
        elif value > self.LONGEST_MS:
            self._us += 1
        self._sum += value
        # Requests that ended within a span of s seconds began at most s seconds plus the longest one ago; the span is widened by
        # the largest timeout of the proxy in front (100 s), so that one slow burst is no proof.
        span_ms = (end_ns - self._first_ns) // MILLISECOND_NS + 100_000
        if self._ms >= self.PROOFS:
            self.unit = "ms"
        elif self._us >= self.PROOFS or self._sum > self.THREADS * span_ms or self._lines >= self.MANY:
            self.unit = "us"
