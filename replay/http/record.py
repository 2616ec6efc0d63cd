"""Watches over WebDriver BiDi what a browser requests while it plays a repetition, bodies included.

BiDi does not tell of the icon that Chromium asks for after each page: it is added here.
"""

from __future__ import annotations

import base64
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urljoin

from selenium.common import exceptions

from replay.http.observed import Observed, header
from replay.http.told import BEFORE, COMPLETED, FAILED, STARTED, Told
from replay.transfers_browser import BrowserMeter, Driver, file_size

#: bodies are kept up to this size; a value that the server hands out stands in a page or a listing
_BODY_BYTES = 2_000_000
#: requests kept of one repetition; what is beyond is counted in `left_out`
_MOST = 50_000
_ICON = re.compile(r"<link\b[^>]*\brel=[\"']?(?:shortcut )?icon\b[^>]*>", re.IGNORECASE)
_HREF = re.compile(r"\bhref=[\"']?([^\"'\s>]+)", re.IGNORECASE)
#: Chromium asks for the icon so long after the page, about
_ICON_MS = 30.0
#: how long the word that an answer or a file is complete may come after it
_TOLD_S = 10.0
_TEXTUAL = ("json", "html", "xml", "text/plain", "x-www-form-urlencoded")


class RequestWatch(BrowserMeter):
    """A meter that also remembers the requests; hand it to `replay.campaign_job.Ports` and ask `observed()` after `collect`."""

    def __init__(self, now_ms: Callable[[], float] = lambda: time.time() * 1000) -> None:
        super().__init__()
        self._now_ms = now_ms
        self._guard = threading.Condition()
        self._told: dict[str, Told] = {}
        self._by_navigation: dict[str, str] = {}
        self._complete_files: dict[str, tuple[float, int | None]] = {}  # by navigation
        self._driver: Driver | None = None
        #: requests beyond what is kept, and answers whose body could not be read any more
        self.left_out = 0
        self.unread = 0

    def watch(self, driver: Driver) -> None:
        """Subscribe; before the first page, so that nothing is missed."""
        self._driver = driver
        driver.network.add_data_collector(["response"], _BODY_BYTES)
        for name in (BEFORE, STARTED, COMPLETED, FAILED):
            driver.network.add_event_handler(name, lambda event, name=name: self.see(name, event))
        driver.browsing_context.add_event_handler("download_end", self.see_download)

    def see(self, name: str, event: Any) -> None:
        """One event, as Selenium hands it over: a mapping or an object, and not always in the order in which things happened."""
        told = _plain(event)
        request = told.get("request") or {}
        key = str(request.get("request", ""))
        if not str(request.get("url", "")).startswith(("http:", "https:")):
            return
        with self._guard:
            if key not in self._told:
                if len(self._told) >= _MOST:
                    self.left_out += name == BEFORE
                    return
                self._told[key] = Told()
            self._told[key].take(name, told, self._now_ms())
            if told.get("navigation"):
                self._by_navigation[str(told["navigation"])] = key
            self._guard.notify_all()

    def see_download(self, event: Any) -> None:
        """A file is complete: the answer to its navigation ended now."""
        told = _plain(getattr(event, "download_params", None) or event)
        with self._guard:
            self._complete_files[str(told.get("navigation"))] = self._now_ms(), file_size(str(told.get("filepath")))
            self._guard.notify_all()

    def collect(self) -> None:
        """Fetch the bodies that may hold values; while the browser is still there."""
        with self._guard:
            self._guard.wait_for(self._all_told, _TOLD_S)
            for navigation, file in self._complete_files.items():
                if navigation in self._by_navigation:
                    self._told[self._by_navigation[navigation]].file = file
            wanted = [(key, one) for key, one in self._told.items() if _may_hold_values(one)]
        for _ in range(2):  # a browser that was too busy the first time may answer the second time
            wanted = [(key, one) for key, one in wanted if not self._read(key, one)]
        self.unread = len(wanted)

    def observed(self) -> list[Observed]:
        """All requests that reached the network or the cache, in the order of their begin."""
        with self._guard:
            seen = [one for one in (told.observed() for told in self._told.values()) if one is not None]
        icons = [icon_of(one) for one in seen if one.document and not one.download]
        return sorted([*seen, *filter(None, icons)], key=lambda one: one.begin_ms)

    def _read(self, key: str, one: Told) -> bool:
        """Whether the body could be read: one that is too large, or that the browser dropped, cannot."""
        assert self._driver is not None  # noqa: S101 (watch comes before)
        try:
            data = _plain(self._driver.network.get_data("response", request=key))
        except exceptions.WebDriverException:
            return False
        value = data.get("bytes", data)
        text = str(value.get("value", ""))
        one.content = base64.b64decode(text).decode("utf-8", "replace") if value.get("type") == "base64" else text
        return True

    def _all_told(self) -> bool:
        """Whether the end of every request and of every file is told; the answer itself may be there before."""
        files = {self._by_navigation[one] for one in self._complete_files if one in self._by_navigation}
        return all(key in files if one.attached else one.over for key, one in self._told.items())


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


def unread_notes(count: int) -> Sequence[str]:
    """What a recording says about answers that could not be read."""
    return [f"{count} answers could not be read from the browser: a value in them is not recognised"] if count else []


def _may_hold_values(one: Told) -> bool:
    seen = one.observed()
    return (
        seen is not None
        and seen.source == "network"
        and not seen.download
        and not one.attached
        and (seen.size is None or seen.size <= _BODY_BYTES)
        and any(word in one.kind for word in _TEXTUAL)
    )


def _plain(thing: Any) -> dict[str, Any]:
    """Selenium hands over mappings, or objects with the fields in other spelling."""
    return dict(thing) if isinstance(thing, Mapping) else dict(vars(thing))
