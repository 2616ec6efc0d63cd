"""What a browser's BiDi events told of one request, put together in whatever order they were handed over.

Selenium hands over every event on a thread of its own, so the head of an answer may be told before its request; and what the
network stack adds to a request (`Accept`, of which the kind of the answer depends) is told only by the events after that. Times
are the browser's own; the end of an answer is told late, but by as much as its head was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from replay.http.observed import Headers, Observed, header

BEFORE: Final = "before_request"
STARTED: Final = "response_started"
COMPLETED: Final = "response_completed"
FAILED: Final = "fetch_error"
#: an answer of at most this size ends with its head
_SMALL_BYTES = 64 * 1024
#: what Chromium asks for when nobody told it what to ask for
_ACCEPT_DOCUMENT = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
_ACCEPT_ANY = "*/*"


@dataclass(slots=True)
class _Hop:
    """One hop: all there is between two redirects. `started_ms` and `completed_ms` are when these events were made."""

    method: str = "GET"
    url: str = ""
    headers: dict[str, tuple[str, str]] = field(default_factory=dict)
    body: str | None = None
    document: bool = False
    begin_ms: float | None = None
    answer: Headers | None = None
    status: int = 0
    cached: bool = False
    head_ms: float | None = None
    body_size: int = 0
    started_ms: float | None = None
    completed_ms: float | None = None


class Told:
    """One request with all its hops."""

    def __init__(self) -> None:
        self._hops: dict[int, _Hop] = {}
        self._failed = False
        self.content: str | None = None
        self.file: tuple[float, int | None] | None = None  # when it was complete, and its size

    def take(self, name: str, event: Mapping[str, Any], now_ms: float) -> None:
        """One event; `now_ms` stands for its time where it has none."""
        if name == FAILED:
            self._failed = True
            return
        hop = self._hops.setdefault(int(event.get("redirectCount") or event.get("redirect_count") or 0), _Hop())
        request, response = event.get("request") or {}, event.get("response") or {}
        at_ms = min(now_ms, float(event.get("timestamp") or now_ms))
        timings = request.get("timings") or {}
        origin_ms = float(timings.get("timeOrigin") or 0) or at_ms
        hop.method = str(request.get("method") or hop.method)
        hop.url = str(request.get("url") or hop.url).partition("#")[0]
        hop.headers |= _headers(request.get("headers"))
        hop.body = request.get("goog:postData") or hop.body
        hop.document = hop.document or request.get("destination") in ("document", "iframe", "frame")
        hop.begin_ms = origin_ms if hop.begin_ms is None else min(hop.begin_ms, origin_ms)
        if name == BEFORE:
            return
        headers = tuple(_headers(response.get("headers")).values())
        if name == COMPLETED or hop.answer is None:
            hop.answer = headers
        hop.status = int(response.get("status") or hop.status)
        hop.cached = hop.cached or bool(response.get("fromCache"))
        head_ms = origin_ms + float(timings.get("responseEnd") or 0)
        hop.head_ms = head_ms if hop.head_ms is None else max(hop.head_ms, head_ms)
        if name == STARTED:
            hop.started_ms = at_ms
        else:
            hop.completed_ms = at_ms
            hop.body_size = max(0, int(response.get("bodySize") or 0) - int(response.get("headersSize") or 0))

    @property
    def url(self) -> str:
        """Where the first hop that was told goes to."""
        return self._hops[min(self._hops)].url if self._hops else ""

    @property
    def over(self) -> bool:
        """Whether its end is told: nothing more is to come."""
        return (
            self._failed or self.file is not None or (bool(self._hops) and self._hops[max(self._hops)].completed_ms is not None)
        )

    @property
    def attached(self) -> bool:
        """Whether its answer is a file to keep."""
        last = self._last()
        return last is not None and header(last.answer or (), "content-disposition").startswith("attachment")

    @property
    def kind(self) -> str:
        """The content type of its last answer."""
        last = self._last()
        return header(last.answer or (), "content-type") if last is not None else ""

    def observed(self) -> Observed | None:
        """The request as a recording needs it; None while its first hop is not told."""
        first, last = self._hops.get(0), self._last()
        if first is None or last is None or not first.url:
            return None
        headers = tuple(first.headers.values())
        if not header(headers, "accept"):
            headers = (*headers, ("Accept", _ACCEPT_DOCUMENT if first.document else _ACCEPT_ANY))
        begin_ms = first.begin_ms or 0.0
        length = header(last.answer or (), "content-length")
        size = int(length) if length.isdigit() else last.body_size if last.completed_ms is not None else None
        end_ms = _end_ms(last, size)
        if self.file is not None:
            end_ms, size = self.file[0], self.file[1] or size
        revalidated = last.status == 304 or "if-none-match" in last.headers
        return Observed(
            method=first.method,
            url=first.url,
            final_url=last.url,
            begin_ms=begin_ms,
            headers=headers,
            body=first.body,
            head_ms=max(begin_ms, last.head_ms) if last.head_ms is not None else None,
            end_ms=end_ms,
            status=last.status,
            answers=[hop.answer for _, hop in sorted(self._hops.items()) if hop.answer is not None],
            hop_ms=_between([hop for _, hop in sorted(self._hops.items())]),
            content=self.content,
            size=size,
            source="cache" if last.cached else "revalidated" if revalidated else "network",
            document=first.document,
            download=self.file is not None,
            action_id=_parent(header(headers, "traceparent")),
        )

    def _last(self) -> _Hop | None:
        return self._hops[max(self._hops)] if self._hops else None


def _between(hops: Sequence[_Hop]) -> tuple[float, ...]:
    """From the head of each redirect to the begin of what it leads to."""
    known = [(earlier.head_ms, later.begin_ms) for earlier, later in pairwise(hops)]
    return tuple(
        round(max(0.0, begin_ms - head_ms), 3) if head_ms is not None and begin_ms is not None else 0.0
        for head_ms, begin_ms in known
    )


def _end_ms(hop: _Hop, size: int | None) -> float | None:
    """When the answer's last byte was there, as far as can be told."""
    if hop.completed_ms is None or hop.head_ms is None:
        return None
    if (size or 0) <= _SMALL_BYTES:
        return hop.head_ms
    took_ms = hop.completed_ms - (hop.started_ms if hop.started_ms is not None else hop.head_ms)
    return hop.head_ms + max(0.0, took_ms)


def _parent(traceparent: str) -> str | None:
    parts = traceparent.split("-")
    return parts[2] if len(parts) == 4 else None


def _headers(told: Any) -> dict[str, tuple[str, str]]:
    """By their name in small letters; the last of several with one name."""
    found: dict[str, tuple[str, str]] = {}
    for one in told or ():
        value = one.get("value")
        text = str(value.get("value", "")) if isinstance(value, Mapping) else str(value)
        found[str(one.get("name", "")).lower()] = (str(one.get("name", "")), text)
    return found
