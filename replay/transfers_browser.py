"""What the browser says of its own traffic, over WebDriver BiDi: for machines where packets may not be captured.

BiDi rather than the page's resource timing, because it sees every tab, navigations and requests that outlive their page. Only
numbers are kept: no address, no header, no body. Answers from the browser's cache count nothing. `bytesReceived` is the browser's
word: it counts an answer's headers in part only, and nothing below HTTP (TLS, TCP, retransmissions). It is told with the first
part of a body that comes in several, as is the end: the length that the answer's head announces counts where that is more, and
an answer that announces none counts too little. The page's network log calls a download failed, or complete at its head, or
both; its size is that of the file.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Protocol

from replay.transfers import Exchange

COMPLETED: Final = "response_completed"
FAILED: Final = "fetch_error"
DOWNLOADED: Final = "download_end"
#: exchanges kept of one repetition; what is beyond is counted
_MOST = 200_000


class Driver(Protocol):
    """A Selenium driver with BiDi."""

    @property
    def network(self) -> Any:
        """BiDi's module of that name."""

    @property
    def browsing_context(self) -> Any:
        """BiDi's module of that name."""


class BrowserMeter:
    """Collects the exchanges of all tabs from `watch` on; thread safe, since events arrive on Selenium's own thread."""

    def __init__(self, size_of: Callable[[str], int | None] | None = None) -> None:
        self._size_of = size_of or file_size
        self._lock = threading.Lock()
        self._exchanges: list[Exchange] = []
        #: navigations that may turn out to be downloads: what is known of their last request, and its place in the list, if any
        self._navigations: dict[str, tuple[Exchange, int | None]] = {}
        self._downloads: set[str] = set()
        #: files that were complete before the network log said what became of their navigation: size and end
        self._files: dict[str, tuple[int, int]] = {}
        self.dropped = 0

    def watch(self, driver: Driver) -> None:
        """Subscribe; before the first page, so that nothing is missed."""
        driver.network.add_event_handler(COMPLETED, lambda event: self.take(COMPLETED, event))
        driver.network.add_event_handler(FAILED, lambda event: self.take(FAILED, event))
        driver.browsing_context.add_event_handler(DOWNLOADED, lambda event: self.take(DOWNLOADED, event))

    def take(self, name: str, event: Any) -> None:
        """One event, as Selenium hands it over (an object or a mapping); what cannot be understood is left out."""
        if name == DOWNLOADED:
            self._downloaded(_of(event, "download_params") or event)
            return
        exchange = completed(event) if name == COMPLETED else failed(event)
        if exchange is None:
            return
        navigation = _text(_of(event, "navigation"))
        with self._lock:
            if navigation in self._downloads:
                return  # its head, told late
            place = self._keep(exchange) if name == COMPLETED else None
            if navigation is None or len(self._navigations) >= _MOST:
                return
            known = self._navigations.get(navigation)
            if place is None and known is not None and known[0].start_ns == exchange.start_ns:
                return  # the same request, which was called complete before
            self._navigations[navigation] = (exchange, place)
            if navigation in self._files:
                self._complete(navigation, *self._files.pop(navigation))

    def exchanges(self) -> tuple[Exchange, ...]:
        """All that have ended so far."""
        with self._lock:
            return tuple(self._exchanges)

    def _keep(self, exchange: Exchange) -> int | None:
        if len(self._exchanges) >= _MOST:
            self.dropped += 1
            return None
        self._exchanges.append(exchange)
        return len(self._exchanges) - 1

    def _downloaded(self, event: Any) -> None:
        navigation, path, end_ms = _text(_of(event, "navigation")), _text(_of(event, "filepath")), _of(event, "timestamp")
        size = self._size_of(path) if path else None
        if navigation is None or size is None or not isinstance(end_ms, int | float):
            return
        with self._lock:
            if navigation in self._navigations:
                self._complete(navigation, size, int(end_ms) * 1_000_000)
            elif len(self._files) < _MOST:
                self._files[navigation] = (size, int(end_ms) * 1_000_000)

    def _complete(self, navigation: str, size: int, end_ns: int) -> None:
        """A navigation was a download: its answer is the file."""
        exchange, place = self._navigations.pop(navigation)
        if len(self._downloads) < _MOST:
            self._downloads.add(navigation)
        whole = replace(exchange, down_bytes=size, end_ns=max(end_ns, exchange.start_ns))
        if place is None:
            self._keep(whole)
        else:
            self._exchanges[place] = whole


def file_size(path: str) -> int | None:
    """Bytes of a downloaded file; None when it is not here (a browser on another machine)."""
    try:
        return Path(path).stat().st_size
    except OSError:
        return None


def completed(event: Any) -> Exchange | None:
    """A `network.responseCompleted` event; None for one from the cache, or without times."""
    request, response = _of(event, "request"), _of(event, "response")
    times = _times(request)
    if times is None or _of(response, "fromCache") is True:
        return None
    received = _whole(_of(response, "bytesReceived"))
    # Where there is a body, this may be the first part only, but its head says how long it is.
    received = max(received, _announced(request, response)) if received else _whole(_of(response, "headersSize"))
    return Exchange(start_ns=times[0], end_ns=times[1], down_bytes=received, up_bytes=_sent(request))


def failed(event: Any) -> Exchange | None:
    """A `network.fetchError` event: what was sent; it counts only if it turns out to be a download."""
    request = _of(event, "request")
    times = _times(request)
    return Exchange(start_ns=times[0], end_ns=times[1], down_bytes=0, up_bytes=_sent(request)) if times is not None else None


def _times(request: Any) -> tuple[int, int] | None:
    """Begin and end: `timeOrigin` is milliseconds since the epoch, the others count from it."""
    timings = _of(request, "timings")
    origin, start, end = (_of(timings, name) for name in ("timeOrigin", "requestStart", "responseEnd"))
    if not all(isinstance(value, int | float) for value in (origin, start, end)) or not origin:
        return None
    start_ns = int((origin + max(start, 0)) * 1_000_000)
    return start_ns, max(start_ns, int((origin + end) * 1_000_000))


def _announced(request: Any, response: Any) -> int:
    """The length of the body by the answer's head; 0 where it does not say, or says it of a body that is not sent."""
    if _of(request, "method") == "HEAD" or _of(response, "status") in (204, 304):
        return 0
    for header in _of(response, "headers") or ():
        if str(_of(header, "name")).lower() == "content-length":
            length = str(_of(_of(header, "value"), "value"))
            return int(length) if length.isascii() and length.isdigit() else 0
    return 0


def _sent(request: Any) -> int:
    return _whole(_of(request, "headersSize")) + _whole(_of(request, "bodySize"))


def _of(thing: Any, name: str) -> Any:
    return thing.get(name) if isinstance(thing, Mapping) else getattr(thing, name, None)


def _whole(value: Any) -> int:
    return max(0, int(value)) if isinstance(value, int | float) else 0


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
