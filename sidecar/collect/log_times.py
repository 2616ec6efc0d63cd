"""Times in access logs: three ways to write an instant, and two units of Tomcat's `%D` that look the same."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone, tzinfo
from typing import Literal

SECOND_NS = 1_000_000_000
MILLISECOND_NS = 1_000_000
_MONTHS = ("", "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


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
            midnight = datetime(int(text[7:11]), _MONTHS.index(text[3:6]), int(text[:2]), tzinfo=zone)
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

    In the hour that comes twice in autumn the log's own order decides: a time that would go back is the second one.
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
            self._minute_ns = second if second > first and first < self._last_ns - 5 * SECOND_NS else first
            self._minute = text[:16]
        seconds = int(text[17:19])
        if seconds > 60:
            raise ValueError(text)
        self._last_ns = self._minute_ns + seconds * SECOND_NS + int(text[20:23]) * MILLISECOND_NS
        return self._last_ns


class DurationUnit:
    """What Tomcat's `%D` counts: milliseconds up to Tomcat 9, microseconds from 10 on; no line says which.

    What lines can tell together, of answered requests (status 100 to 399) only:
    - PROOFS of them below SMALL: no request is answered in 20 microseconds, so they are milliseconds;
    - PROOFS of them with `%F` (always milliseconds) beside and `%D` less than 900 times that: milliseconds, for as microseconds
      the answer would have ended before it began;
    - MORE_PROOFS with `%D` at least 900 times `%F`, or longer than an hour as milliseconds: microseconds;
    - as milliseconds they would mean more requests in flight than Tomcat has threads: microseconds;
    - MANY of them and none below SMALL: microseconds, for among so many there is always a redirect or a static file.
    Anything else is undecided: then the duration is unknown and not guessed. Later lines may overturn a decision by proof
    (another Tomcat writes now), not by the last rule.
    """

    SMALL = 20
    PROOFS = 3
    MORE_PROOFS = 5
    MANY = 200
    THREADS = 200
    LONGEST_MS = 3_600_000
    #: a `%F` below this is too coarse to compare with
    COMMIT_MS = 10

    __slots__ = ("_auto", "_first_ns", "_lines", "_ms", "_sum", "_us", "unit")

    def __init__(self, setting: Literal["auto", "ms", "us"] = "auto") -> None:
        self._auto = setting == "auto"
        self.unit: Literal["ms", "us"] | None = None if setting == "auto" else setting
        self._lines = self._ms = self._us = self._sum = self._first_ns = 0

    @property
    def ns(self) -> int | None:
        """Nanoseconds per unit; None while undecided."""
        if self.unit is None:
            return None
        return MILLISECOND_NS if self.unit == "ms" else 1000

    def observe(self, value: int, commit_ms: int | None, status: int | None, end_ns: int) -> None:
        """Learn from one line; nothing where the unit was set."""
        if not self._auto or status is None or not 100 <= status < 400:
            return
        self._lines += 1
        self._sum += value
        self._first_ns = self._first_ns or end_ns
        comparable = commit_ms is not None and commit_ms >= self.COMMIT_MS
        if value < self.SMALL or (comparable and value < 900 * (commit_ms or 0)):
            self._ms += 1
        elif comparable or value > self.LONGEST_MS:
            self._us += 1
        # Requests that end in a span of time may have begun before it; 100 s more is what a proxy in front lets them last.
        threads_ms = self.THREADS * ((end_ns - self._first_ns) // MILLISECOND_NS + 100_000)
        if self._ms >= self.PROOFS:
            self.unit = "ms"
        elif self._us >= self.MORE_PROOFS or self._sum > threads_ms or (self.unit is None and self._lines >= self.MANY):
            self.unit = "us"
        elif self._lines < self.MANY:
            return
        self._lines = self._ms = self._us = self._sum = self._first_ns = 0
