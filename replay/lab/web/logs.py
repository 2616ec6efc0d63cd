"""The two access logs that an XNAT server writes, line for line in their formats.

`access.log` is XNAT's own: `<date> - <user> <client> <method> <target> "<user agent>" <payload>`; it is renamed at midnight.
`localhost_access_log.<date>.txt` is Tomcat's: `%h %l %u %t "%r" %s %b %D`, D in milliseconds as Tomcat 9 writes it.
Names and addresses stand in them because they stand in XNAT's: reading them without keeping those is the sidecar's task.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

STARTED_KEY = "lab.started_s"
"""Key of the WSGI environment: monotonic seconds at which the head of the request had been read."""

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class LineSink(Protocol):
    """Where finished lines go."""

    def write(self, line: str, at: datetime) -> None:
        """Appends one line (without its end) that belongs to that time."""


class DailyFile:
    """A log file per day: `name(day)` tells the path of a day; `rename` moves the old one when the day changes."""

    def __init__(self, path_of: Callable[[str], Path], retired: Callable[[str], Path] | None = None) -> None:
        self._path_of = path_of
        self._retired = retired
        self._lock = threading.Lock()
        self._day = ""
        self._file: IO[str] | None = None

    def write(self, line: str, at: datetime) -> None:
        """Appends the line and flushes it."""
        with self._lock:
            day = f"{at:%Y-%m-%d}"
            if self._file is None or day > self._day:
                self._open(day)
            assert self._file is not None  # noqa: S101 - set by _open
            self._file.write(line + "\n")
            self._file.flush()

    def close(self) -> None:
        """Closes the file; a later write opens it again."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def _open(self, day: str) -> None:
        path = self._path_of(day)
        if self._file is not None:
            self._file.close()
        path.parent.mkdir(parents=True, exist_ok=True)
        if self._retired is not None and path.exists():
            written = f"{datetime.fromtimestamp(path.stat().st_mtime).astimezone():%Y-%m-%d}"
            if written < day:
                path.rename(self._retired(written))
        self._file = path.open("a", encoding="utf-8", errors="backslashreplace")
        self._day = day


def tomcat_file(folder: Path) -> DailyFile:
    """The file that Tomcat's AccessLogValve writes: the date is in its name."""
    return DailyFile(lambda day: folder / f"localhost_access_log.{day}.txt")


def xnat_file(folder: Path) -> DailyFile:
    """The file that XNAT writes: a fixed name, renamed at midnight."""
    return DailyFile(lambda _day: folder / "access.log", lambda day: folder / f"access.log.{day}")


def tomcat_line(*, host: str, at: datetime, request_line: str, status: int, sent_bytes: int, duration_ms: int) -> str:
    """One line of Tomcat's access log; `at` is the END of the request and must know its time zone."""
    when = f"{at:%d}/{_MONTHS[at.month - 1]}/{at:%Y:%H:%M:%S %z}"
    size = str(sent_bytes) if sent_bytes else "-"
    return f'{host} - - [{when}] "{_one_line(request_line)}" {status} {size} {duration_ms}'


def xnat_line(
    *, at: datetime, user: str, client: str, method: str, target: str, user_agent: str | None, payload: str = ""
) -> str:
    """One line of XNAT's access log; a blank stands before an empty payload too, a missing user agent reads null."""
    when = f"{at:%Y-%m-%d %H:%M:%S},{at.microsecond // 1000:03d}"
    agent = "null" if user_agent is None else _one_line(user_agent)
    return f'{when} - {user} {client} {method} {_one_line(target)} "{agent}" {_one_line(payload)}'


def client_address(forwarded_for: str, peer: str) -> str:
    """The address XNAT writes: the first usable entry of X-Forwarded-For, else the socket's."""
    for entry in forwarded_for.split(","):
        candidate = entry.strip()
        if candidate and candidate.lower() != "unknown" and " " not in candidate:
            return candidate
    return peer


def _one_line(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text).replace('"', "'")


class _CountedBody:
    """A WSGI body that counts what it hands out and reports once, when the server closes it."""

    def __init__(self, body: Iterable[bytes], done: Callable[[int], None]) -> None:
        self._body = body
        self._done = done
        self._bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._body:
            self._bytes += len(chunk)
            yield chunk

    def close(self) -> None:
        close = getattr(self._body, "close", None)
        try:
            if close is not None:
                close()
        finally:
            self._done(self._bytes)


class TomcatLog:
    """WSGI middleware that writes Tomcat's access log; a line is written when the body has been handed out or dropped."""

    def __init__(self, app: WSGIApplication, sink: LineSink, monotonic: Callable[[], float], now: Callable[[], datetime]) -> None:
        self._app = app
        self._sink = sink
        self._monotonic = monotonic
        self._now = now

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        started_s: float = environ.get(STARTED_KEY, self._monotonic())
        status = 0

        def remember(
            line: str,
            headers: list[tuple[str, str]],
            exc_info: tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None] | None = None,
            /,
        ) -> Callable[[bytes], object]:
            nonlocal status
            status = int(line.split(" ", 1)[0])
            return start_response(line, headers, exc_info)

        def done(sent_bytes: int) -> None:
            at = self._now()
            raw = environ.get("REQUEST_URI") or environ.get("PATH_INFO", "")
            self._sink.write(
                tomcat_line(
                    host=environ.get("REMOTE_ADDR", "-"),
                    at=at,
                    request_line=f"{environ['REQUEST_METHOD']} {raw} {environ.get('SERVER_PROTOCOL', 'HTTP/1.1')}",
                    status=status or 500,
                    sent_bytes=0 if environ["REQUEST_METHOD"] == "HEAD" else sent_bytes,
                    duration_ms=round((self._monotonic() - started_s) * 1000),
                ),
                at,
            )

        return _CountedBody(self._app(environ, remember), done)
