"""Reasons not to wait any longer for a step's effect: the browser shows an error page, or a download has broken off."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from replay.failures import ConnectionFailedError, DiskError, page_failure
from replay.sight import Eyes, NotReadyError
from sidecar.model.faults import Fault

#: how often somebody looks while a step waits
LOOK_EVERY_S = 0.5
#: a download that does not grow for so long has broken off, whatever the browser still hopes for
STALLED_S = 60.0
#: the browser's names for a file that is being received
PARTIAL = ".crdownload"
#: a disk with less room than this is full
_ROOM = 1024 * 1024
#: the error page's code, an empty text on every other page; a page that is no document yet is none
ERROR_PAGE = """if (location.protocol !== 'chrome-error:') return '';
return document.querySelector('.error-code, #error-code')?.textContent.trim() || 'an error page';"""
#: what the page that is shown says about itself after a failure: its HTTP status, and the message of a log-in page
STATUS_PAGE = """const said = document.querySelector('.message, .error, .alert, #login_form [role=alert]');
return {status: performance.getEntriesByType('navigation')[0]?.responseStatus ?? 0,
        said: (said?.textContent ?? '').replace(/\\s+/g, ' ').trim().slice(0, 160)};"""


class Lookout:
    """Looks during the pauses of one repetition."""

    def __init__(self, eyes: Eyes, downloads: Path, broken: Callable[[], int], monotonic: Callable[[], float]) -> None:
        self._eyes = eyes
        self._downloads = downloads
        self._broken = broken
        self._monotonic = monotonic
        self._next_s = monotonic() + LOOK_EVERY_S
        self._partial: dict[str, tuple[int, float]] = {}
        self._gone: set[str] = set()
        self._complete = self._count()

    def look(self) -> None:
        """Look, unless that was done just now; raises ConnectionFailedError, CertificateError or DiskError."""
        now_s = self._monotonic()
        if now_s < self._next_s:
            return
        self._next_s = now_s + LOOK_EVERY_S
        self.look_at_page()
        self._look_at_downloads(now_s)

    def look_at_page(self) -> None:
        """Raise ConnectionFailedError or CertificateError when it is the browser's error page, which looks like any page."""
        try:
            code = self._eyes.run(ERROR_PAGE)
        except NotReadyError:
            return
        if isinstance(code, str) and code:
            raise page_failure(code)

    def _look_at_downloads(self, now_s: float) -> None:
        if self._broken():
            raise self._broken_off("a download")
        here = {path.name: _size(path) for path in self._downloads.iterdir() if path.name.endswith(PARTIAL)}
        complete = self._count()
        if complete > self._complete:
            self._complete = complete
            self._gone.clear()  # what is gone has become a whole file
            self._partial = {name: seen for name, seen in self._partial.items() if name in here}
        for name in self._gone - here.keys():
            # Listing and renaming may cross: it counts as gone when the next look finds no whole file either.
            raise self._broken_off(f"the download {name.removesuffix(PARTIAL)}")
        self._gone = self._partial.keys() - here.keys()
        for name, size in here.items():
            known, since_s = self._partial.get(name, (-1, now_s))
            if size == known and now_s - since_s >= STALLED_S:
                what = f"the download {name.removesuffix(PARTIAL)} stands still at {size} bytes for {now_s - since_s:.0f} s"
                raise ConnectionFailedError(what, "look at the network and the site")
            self._partial[name] = (size, since_s if size == known else now_s)

    def _broken_off(self, what: str) -> Fault:
        if shutil.disk_usage(self._downloads).free < _ROOM:
            return DiskError(f"there is no room for {what} in {self._downloads}", "make room there, or set TMPDIR")
        return ConnectionFailedError(f"{what} broke off", "look at the network and the site")

    def _count(self) -> int:
        return sum(1 for path in self._downloads.iterdir() if not path.name.endswith(PARTIAL) and _size(path) > 0)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # renamed between listing and looking
        return 0
