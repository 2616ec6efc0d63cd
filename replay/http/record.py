"""Watches over WebDriver BiDi what a browser requests while it plays a repetition, bodies included.

Times are the browser's own; the end of a small answer is that of its head, because the event that tells of its end comes with
the delay of everything between. BiDi does not tell of the icon that Chromium asks for after each page: it is added here.
"""

from __future__ import annotations

import base64
import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urljoin

from selenium.common import exceptions

from replay.http.observed import Headers, Observed, header
from replay.transfers_browser import BrowserMeter, Driver, file_size

#: bodies are kept up to this size; a value that the server hands out stands in a page or a listing
_BODY_BYTES = 2_000_000
#: requests kept of one repetition; what is beyond is counted in `dropped`
_MOST = 50_000
_ICON = re.compile(r"<link\b[^>]*\brel=[\"']?(?:shortcut )?icon\b[^>]*>", re.IGNORECASE)
_HREF = re.compile(r"\bhref=[\"']?([^\"'\s>]+)", re.IGNORECASE)
#: Chromium asks for the icon so long after the page, about
_ICON_MS = 30.0
#: how long the word that a file is complete may come after the file
_FILE_S = 10.0
#: an answer of at most this size ends with its head
_SMALL_BYTES = 64 * 1024
_TEXTUAL = ("json", "html", "xml", "text/plain", "x-www-form-urlencoded")


class RequestWatch(BrowserMeter):
    """A meter that also remembers the requests; hand it to `replay.campaign_job.Ports` and ask `observed()` after `collect`."""

    def __init__(self, now_ms: Callable[[], float] = lambda: time.time() * 1000) -> None:
        super().__init__()
        self._now_ms = now_ms
        self._guard = threading.Condition()
        self._ended_files: dict[str, tuple[float, int | None]] = {}
        self._seen: dict[str, Observed] = {}
        self._by_navigation: dict[str, Observed] = {}
        self._driver: Driver | None = None
        self.left_out = 0

    def watch(self, driver: Driver) -> None:
        """Subscribe; before the first page, so that nothing is missed."""
        self._driver = driver
        driver.network.add_data_collector(["response"], _BODY_BYTES)
        for name in ("before_request", "response_started", "response_completed"):
            driver.network.add_event_handler(name, lambda event, name=name: self.see(name, event))
        driver.browsing_context.add_event_handler("download_end", self.see_download)

    def see(self, name: str, event: Any) -> None:
        """One event, as Selenium hands it over."""
        told = _plain(event)
        request = told.get("request") or {}
        with self._guard:
            known = self._known(str(request.get("request", "")), told, request)
            if known is None:
                return
            if name != "before_request":
                self._answer(known, told, request, complete=name == "response_completed")

    def see_download(self, event: Any) -> None:
        """A file is complete: the answer to its navigation ended now."""
        told = _plain(getattr(event, "download_params", None) or event)
        with self._guard:
            self._ended_files[str(told.get("navigation"))] = self._now_ms(), file_size(str(told.get("filepath")))
            self._guard.notify_all()

    def collect(self) -> None:
        """Fetch the bodies that may hold values; while the browser is still there."""
        assert self._driver is not None  # noqa: S101 (watch comes before)
        with self._guard:
            self._guard.wait_for(self._files_told, _FILE_S)
            for navigation, (end_ms, size) in self._ended_files.items():
                if (file := self._by_navigation.get(navigation)) is not None:
                    file.download, file.end_ms, file.size = True, end_ms, size or file.size
            wanted = [(key, one) for key, one in self._seen.items() if _may_hold_values(one)]
        for key, one in wanted:
            try:
                data = _plain(self._driver.network.get_data("response", request=key))
            except exceptions.WebDriverException:
                continue  # evicted, or too large: then no value is taken from it
            value = data.get("bytes", data)
            text = str(value.get("value", ""))
            one.content = base64.b64decode(text).decode("utf-8", "replace") if value.get("type") == "base64" else text

    def observed(self) -> list[Observed]:
        """All requests that reached the network or the cache, in the order of their begin."""
        with self._guard:
            pages = [one for one in self._seen.values() if one.document and not one.download]
            icons = [icon for icon in map(icon_of, pages) if icon is not None]
            return sorted([*self._seen.values(), *icons], key=lambda one: one.begin_ms)

    def _files_told(self) -> bool:
        """Whether the end of every file is told; the file itself may be there before."""
        return all(
            navigation in self._ended_files
            for navigation, one in self._by_navigation.items()
            if one.answers and header(one.answers[-1], "content-disposition").startswith("attachment")
        )

    def _known(self, key: str, told: Mapping[str, Any], request: Mapping[str, Any]) -> Observed | None:
        known = self._seen.get(key)
        url = str(request.get("url", "")).partition("#")[0]
        if known is not None or not url.startswith(("http:", "https:")):
            return known
        if len(self._seen) >= _MOST:
            self.left_out += 1
            return None
        headers = _headers(request.get("headers"))
        known = Observed(
            method=str(request.get("method", "GET")),
            url=url,
            final_url=url,
            begin_ms=float((request.get("timings") or {}).get("timeOrigin") or told.get("timestamp") or self._now_ms()),
            headers=headers,
            body=request.get("goog:postData"),
            document=request.get("destination") in ("document", "iframe", "frame"),
            action_id=_parent(header(headers, "traceparent")),
        )
        self._seen[key] = known
        if told.get("navigation"):
            self._by_navigation[str(told["navigation"])] = known
        return known

    def _answer(self, known: Observed, told: Mapping[str, Any], request: Mapping[str, Any], *, complete: bool) -> None:
        response = told.get("response") or {}
        timings = request.get("timings") or {}
        headers = _headers(response.get("headers"))
        if complete or not known.answers or known.final_url != response.get("url"):
            if known.final_url == response.get("url") and known.answers:
                known.answers[-1] = headers
            else:
                known.answers.append(headers)
        known.status = int(response.get("status") or 0)
        known.final_url = str(response.get("url") or known.final_url).partition("#")[0]
        if response.get("fromCache"):
            known.source = "cache"
        elif known.status == 304 or header(_headers(request.get("headers")), "if-none-match"):
            known.source = "revalidated"
        head_ms = float(timings.get("timeOrigin") or known.begin_ms) + float(timings.get("responseEnd") or 0)
        known.head_ms = max(known.begin_ms, head_ms)
        length = header(headers, "content-length")
        size = int(length) if length.isdigit() else None
        if complete:
            known.size = (
                size if size is not None else max(0, int(response.get("bodySize") or 0) - int(response.get("headersSize") or 0))
            )
            known.end_ms = known.head_ms if (known.size or 0) <= _SMALL_BYTES else max(known.head_ms, self._now_ms())
        elif known.end_ms is None:
            known.size = size


def icon_of(page: Observed) -> Observed | None:
    """The request for a page's icon, which follows the page; None for what is no page, or brings its icon along."""
    if page.end_ms is None or "html" not in header(page.answers[-1] if page.answers else (), "content-type"):
        return None
    named = _ICON.search(page.content or "")
    link = _HREF.search(named[0]) if named else None
    url = urljoin(page.final_url, link[1] if link else "/favicon.ico")
    if not url.startswith(("http:", "https:")):
        return None
    begin_ms = page.end_ms + _ICON_MS
    return Observed(
        method="GET",
        url=url,
        final_url=url,
        begin_ms=begin_ms,
        headers=(("Accept", "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"), ("Referer", page.final_url)),
        head_ms=begin_ms,
        end_ms=begin_ms,
        icon=True,
        action_id=page.action_id,
    )


def _may_hold_values(one: Observed) -> bool:
    kind = header(one.answers[-1], "content-type") if one.answers else ""
    return one.source == "network" and not one.download and any(word in kind for word in _TEXTUAL)


def _parent(traceparent: str) -> str | None:
    parts = traceparent.split("-")
    return parts[2] if len(parts) == 4 else None


def _headers(told: Any) -> Headers:
    found: dict[str, tuple[str, str]] = {}
    for one in told or ():
        value = one.get("value")
        text = str(value.get("value", "")) if isinstance(value, Mapping) else str(value)
        found[str(one.get("name", "")).lower()] = (str(one.get("name", "")), text)
    return tuple(found.values())


def _plain(thing: Any) -> dict[str, Any]:
    """Selenium hands over mappings, or objects with the fields in other spelling."""
    return dict(thing) if isinstance(thing, Mapping) else dict(vars(thing))
