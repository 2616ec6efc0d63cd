"""Lines of access logs become requests: nginx (combined, with timings, ours), Tomcat (common, extended) and XNAT's own.

One strict regular expression per family; a line that does not fit is refused, never repaired. What a line says about people
(address, user, query, referer, user agent) is not even captured, except the request target, which is handed on beside the
request for inferring actions and is forgotten after that.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import tzinfo
from typing import Literal, get_args

from sidecar.collect.log_times import MILLISECOND_NS, SECOND_NS, ClfTimes, DurationUnit, LocalTimes
from sidecar.collect.log_values import (
    METHODS,
    Known,
    content_type,
    count,
    number,
    request_line,
    seconds,
    several,
    shape_of,
    status_code,
    trace_ids,
)
from sidecar.collect.routes import Routes
from sidecar.model.faults import InvalidRecordError
from sidecar.model.records import Request, Server

LogFormat = Literal["tm1", "combined", "combined_timed", "common", "common_duration", "xnat"]
FORMATS: tuple[LogFormat, ...] = get_args(LogFormat)
#: a line longer than this is refused unread
MAX_LINE = 64 * 1024

_CLF_HEAD = r"\S+ (?:\S+ )??- (?:[^\[]+ )?\[(\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] "
_CLF_TAIL = r" (\d{3}|-) (\d{1,18}|-)((?: .*)?)"
_CLF = re.compile(_CLF_HEAD + r'"([A-Z]+) ([^" \\]+)(?: HTTP/[\d.]+)?"' + _CLF_TAIL)
_CLF_ODD = re.compile(_CLF_HEAD + r'"((?:[^"\\]|\\.)*)"' + _CLF_TAIL)
_XNAT = re.compile(r'(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}) - \S* \S+ (\S+) (.*?) "(?:[^"]*)" ?(.*)')
_TIMED = re.compile(
    r" (rt|urt|uht|rl|request_time|upstream_response_time|upstream_header_time|request_length)=([\d., :-]+?)(?=$| \w+=)"
)
_NUMBERS = re.compile(r" (\d{1,9}\.\d{1,9}|\d{1,12}|-)(?: (\d{1,12}|-))?(?= |$)")
_MILLISECONDS = re.compile(r" (\d{1,12})ms")
TM1_FIELDS = 14


@dataclass(frozen=True, slots=True)
class Refused:
    """A line that is not of the format; `shape` shows how it looks without what it says."""

    shape: str


class LineReader:
    """Reads the lines of one server's log; keeps what spares work (the last second, known content types) and nothing else.

    `zone` is for logs that do not name theirs (None: this machine's). `unit` is what Tomcat's `%D` counts.
    """

    def __init__(
        self, server: Server, routes: Routes | None = None, zone: tzinfo | None = None, unit: DurationUnit | None = None
    ) -> None:
        self.server: Server = server
        self.routes = routes or Routes()
        self.unit = unit or DurationUnit()
        #: lines with a duration whose unit is not known yet: their duration is left out
        self.undecided = 0
        self._clf_times = ClfTimes()
        self._local_times = LocalTimes(zone)
        self._seconds = Known[int]({"-": None, "": None}, seconds)
        self._status = Known[int]({"-": None}, status_code)
        self._content_types = Known[str]({"-": None, "": None}, content_type)
        self._trace_text = ""
        self._trace: tuple[str | None, str | None] = (None, None)

    def read(self, kind: LogFormat, line: str) -> tuple[Request, str] | None:
        """The line's request and its target (with the query; never to be stored); None when the line is refused."""
        try:
            if kind == "tm1":
                return self._tm1(line)
            if kind == "xnat":
                return self._xnat(line)
            return self._clf(line)
        except (ValueError, OverflowError):  # a date such as 99/Foo/0000, a number past 64 bits
            return None

    def detect(self, line: str) -> LogFormat | None:
        """The format that the line is in, or None when in none that the server writes."""
        kind: LogFormat
        if line.startswith("tm1\t"):
            kind = "tm1"
        elif line[:4].isdigit() and line[4:5] == "-":
            kind = "xnat"
        else:
            found = _CLF.fullmatch(line) or _CLF_ODD.fullmatch(line)
            rest = found.groups()[-1] if found else ""
            tail = rest[rest.rfind('"') + 1 :]
            if '"' not in rest:
                kind = "common_duration" if rest else "common"
            elif _TIMED.search(tail) or (self.server == "tomcat" and _NUMBERS.match(tail)) or _MILLISECONDS.match(tail):
                kind = "combined_timed"
            else:
                kind = "combined"
            if self.server == "tomcat" and _NUMBERS.match(rest):
                kind = "common_duration"
        unit, self.unit = self.unit, DurationUnit("ms")  # looking at a line's form teaches nothing about its durations
        try:
            return kind if self.read(kind, line) is not None else None
        finally:
            self.unit = unit

    def _tm1(self, line: str) -> tuple[Request, str] | None:
        fields = line.split("\t")
        if len(fields) != TM1_FIELDS or fields[0] != "tm1":
            return None
        _, at, took, _, header, upstream, status, sent, received, method, uri, query_format, content_type, trace = fields
        if at[-4:-3] != ".":
            return None
        end_ns = int(at[:-4] + at[-3:]) * MILLISECOND_NS
        duration_ns = self._seconds[took]
        session = action_id = None
        if trace != "-":
            if trace != self._trace_text:
                self._trace_text, self._trace = trace, trace_ids(trace)
            session, action_id = self._trace
        known = method in METHODS and method != "CONNECT" and uri != "-"
        request = Request(
            server=self.server,
            start_ns=end_ns if duration_ns is None else end_ns - duration_ns,
            duration_ns=duration_ns,
            method=method if known else None,
            route=self.routes.route(uri) if known else None,
            status=self._status[status],
            sent_bytes=None if sent == "-" else count(sent),
            received_bytes=None if received == "-" else count(received),
            upstream_ns=duration_ns if upstream == took else self._upstream_ns(upstream),
            upstream_header_ns=self._upstream_header_ns(header, upstream),
            content_type=self._content_types[content_type],
            session=session,
            action_id=action_id,
        )
        return request, uri if query_format in ("-", "") else f"{uri}?format={query_format}"

    def _clf(self, line: str) -> tuple[Request, str] | None:
        found = _CLF.fullmatch(line)
        if found is None:
            odd = _CLF_ODD.fullmatch(line)
            if odd is None:
                return None
            when, first_line, status_text, sent, rest = odd.groups()
            method, target = request_line(first_line)
        else:
            when, method, target, status_text, sent, rest = found.groups()
            if method not in METHODS or method == "CONNECT":
                method = target = None
        end_ns = self._clf_times.ns(when)
        status = None if status_text == "-" else int(status_text)
        duration_ns = received = upstream_ns = header_ns = None
        if rest:
            tail = rest[rest.rfind('"') + 1 :] if '"' in rest else rest
            if self.server == "tomcat":
                duration_ns = self._tomcat_duration(rest if rest[1] != '"' else tail, status, end_ns)
            elif tail:
                duration_ns, received, upstream_ns, header_ns = self._timings(tail)
        request = Request(
            server=self.server,
            start_ns=end_ns - (duration_ns or 0),
            duration_ns=duration_ns,
            method=method,
            route=None if target is None else self.routes.route(target),
            status=status,
            sent_bytes=None if sent == "-" else int(sent),
            received_bytes=received,
            upstream_ns=upstream_ns,
            upstream_header_ns=header_ns,
        )
        return request, target or ""

    def _tomcat_duration(self, rest: str, status: int | None, end_ns: int) -> int | None:
        """Duration from the first number of `rest`: with a fraction it is `%T` in seconds, without one `%D`."""
        found = _NUMBERS.match(rest)
        if found is None or found[1] == "-":
            return None
        if "." in found[1]:
            return round(float(found[1]) * SECOND_NS)
        value = int(found[1])
        self.unit.observe(value, number(found[2]), status, end_ns)
        factor = self.unit.ns
        if factor is None:
            self.undecided += 1
            return None
        return value * factor

    def _xnat(self, line: str) -> tuple[Request, str] | None:
        found = _XNAT.fullmatch(line)
        if found is None:
            return None
        when, method, target, payload = found.groups()
        start_ns = self._local_times.ns(when)
        if target.startswith("SCREEN: "):
            target = f"/app/template/{target[8:].strip().removesuffix('.vm')}.vm"
        elif target.startswith("ACTION: "):
            target = f"/app/action/{target[8:].strip()}"
        elif target == "Authentication":
            # A failed one is kept as a request and must not look like a login.
            target = "/login" if payload.startswith("SUCCESS") else "/login/failed"
            method = "POST"
        known = method in METHODS
        request = Request(
            server=self.server,
            start_ns=start_ns,
            duration_ns=None,
            method=method if known else None,
            route=self.routes.route(target) if known else None,
            status=None,
            sent_bytes=None,
        )
        return request, target

    def _upstream_ns(self, text: str) -> int | None:
        """Time at the upstream: nginx lists one value for each server that it tried, one after the other; their sum."""
        if "," not in text and ":" not in text:
            return self._seconds[text]
        known = [self._seconds[part] for part in several(text)]
        return None if known[-1] is None else sum(part or 0 for part in known)

    def _upstream_header_ns(self, header: str, upstream: str) -> int | None:
        """Time until the first byte of the answer that was used: the last server's, after the time lost with those before it."""
        if "," not in header and ":" not in header:
            return self._seconds[header]
        last = self._seconds[several(header)[-1]]
        return None if last is None else last + sum(self._seconds[part] or 0 for part in several(upstream)[:-1])

    def _timings(self, tail: str) -> tuple[int | None, int | None, int | None, int | None]:
        """Duration, received bytes, upstream time, upstream header time: what stands after the last quote of a combined line."""
        if "=" in tail:
            get = dict(_TIMED.findall(tail)).get
            upstream = get("urt") or get("upstream_response_time") or "-"
            header = get("uht") or get("upstream_header_time") or "-"
            took = get("rt") or get("request_time") or "-"
            length = get("rl") or get("request_length")
            return self._seconds[took], number(length), self._upstream_ns(upstream), self._upstream_header_ns(header, upstream)
        found = _MILLISECONDS.fullmatch(tail)
        return (int(found[1]) * MILLISECOND_NS if found else None), None, None, None


def parse_line(
    kind: LogFormat, line: str, *, server: Server | None = None, routes: Routes | None = None,
    zone: tzinfo | None = None, unit: Literal["auto", "ms", "us"] = "ms",
) -> Request | Refused:  # fmt: skip
    """One line as a request, or refused. Reading many lines, a LineReader spares work."""
    if kind not in FORMATS:
        raise InvalidRecordError(f"log format {kind!r} is unknown", f"use one of {', '.join(FORMATS)}")
    if server is None:
        server = "xnat" if kind == "xnat" else "tomcat" if kind in ("common", "common_duration") else "nginx"
    if len(line) > MAX_LINE:
        return Refused(shape_of(line))
    read = LineReader(server, routes, zone, DurationUnit(unit)).read(kind, line)
    return Refused(shape_of(line)) if read is None else read[0]


def detect_format(lines: Iterable[str], server: Server) -> LogFormat | None:
    """The format of the first line that is in any; None when none is."""
    reader = LineReader(server)
    return next((kind for line in lines if (kind := reader.detect(line)) is not None), None)
