"""Browsers on a Selenium Grid 4 in place of this machine's: WebDriver and BiDi through the grid, downloads by its own list.

A node keeps what its browser receives (managed downloads). Only names and sizes are fetched while it does: bringing an exam here
through the grid would be a second transfer inside the one that is measured. A grid that is too old to tell sizes sends the file.
"""

from __future__ import annotations

import json
import socket
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.common import exceptions
from selenium.webdriver.remote.client_config import ClientConfig
from selenium.webdriver.remote.command import Command
from selenium.webdriver.remote.remote_connection import RemoteConnection
from urllib3.exceptions import HTTPError

from replay.address import taken_apart
from replay.browser import BIDI_POLL_S, Browser, chrome_options, end_session
from replay.chromium import BrowserOptions, BrowserPaths, arguments
from replay.driver_faults import BrowserGoneError, first_line, translated
from replay.failures import ConnectionFailedError
from replay.sight import NotReadyError
from replay.trouble import PARTIAL
from sidecar.model.faults import UsageFault

#: nothing is started on this machine
NO_PROGRAMS = BrowserPaths(driver="", browser="")
#: how often the node is asked how far a download is
LIST_EVERY_S = 0.5
#: a session may wait in the grid's queue for so long before it begins
QUEUE_S = 600
_STATUS_S = 10


class GridError(UsageFault):
    """A grid that cannot play what is asked for."""

    kind = "version"


class Grid:
    """A Selenium Grid 4 by the address of its hub or router; raises GridError for what is no such address."""

    def __init__(self, url: str) -> None:
        parts = taken_apart(url, "http", "https")
        if parts is None or "@" in parts.netloc or parts.query:
            raise GridError(f"--grid {url!r} is no address of a grid", "write for example --grid http://grid.example.org:4444")
        self.url = url.rstrip("/")

    def slots(self) -> int:
        """How many Chrome sessions its nodes carry at once; raises ConnectionFailedError, or GridError when it is no grid."""
        try:
            with urllib.request.urlopen(f"{self.url}/status", timeout=_STATUS_S) as answer:  # noqa: S310 (http or https, checked)
                nodes = json.load(answer)["value"]["nodes"]
            stereotypes = [slot["stereotype"] for node in nodes if node["availability"] == "UP" for slot in node["slots"]]
            return sum(1 for one in stereotypes if one.get("browserName") == "chrome")
        except OSError as error:
            raise ConnectionFailedError(
                f"the grid at {self.url} cannot be reached ({error})", "start it, or correct --grid"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise GridError(f"{self.url} answers, but is no Selenium Grid 4", "correct --grid") from error

    @contextmanager
    def opened(self, options: BrowserOptions) -> Iterator[GridBrowser]:
        """A browser with a fresh profile on one of the nodes; its session ends with this, whatever happens."""
        with tempfile.TemporaryDirectory(prefix="tracemark-grid-", ignore_cleanup_errors=True) as folder:
            driver = self._start(options)
            try:
                yield GridBrowser(driver, Path(folder))
            finally:
                _end(driver)

    def _start(self, options: BrowserOptions) -> webdriver.Remote:
        chrome = chrome_options(options, arguments(options, None, root=False), None)
        chrome.enable_downloads = True
        client = ClientConfig(remote_server_addr=self.url, timeout=QUEUE_S, websocket_interval=BIDI_POLL_S)
        try:
            driver = webdriver.Remote(command_executor=RemoteConnection(client_config=client), options=chrome)
        except (HTTPError, OSError) as error:
            raise ConnectionFailedError(
                f"the grid at {self.url} cannot be reached ({first_line(error)})", "start it, or correct --grid"
            ) from error
        except exceptions.WebDriverException as error:
            what = f"the grid at {self.url} starts no browser ({first_line(error)})"
            raise BrowserGoneError(what, "give it a node with chrome that has a free slot") from error
        missing = [name for name in ("webSocketUrl", "se:downloadsEnabled") if not driver.capabilities.get(name)]
        if missing:
            _end(driver)
            raise GridError(
                f"the grid at {self.url} gives no {missing[0]}", "use Selenium Grid 4 with enable-managed-downloads on its nodes"
            )
        return driver


def _end(driver: webdriver.Remote) -> None:
    """End a session. Its BiDi connection ends first and from our side: a grid leaves it open, and Selenium would wait 10 s."""
    connection: Any = driver
    for part in ("_websocket_connection", "_ws", "sock", "sock"):
        connection = getattr(connection, part, None)
    if connection is not None:
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
    end_session(driver)


class GridBrowser(Browser):
    """A browser on a node. `downloads` shows what its node has received: files of the same names and sizes, without content."""

    def __init__(self, driver: webdriver.Remote, downloads: Path) -> None:
        self._receiving = 0
        self._listed_s = 0.0
        self._listing = threading.Lock()
        super().__init__(driver, downloads)
        with translated():
            driver.browsing_context.add_event_handler("download_will_begin", self._download_begins)

    def run(self, script: str, *values: object) -> Any:
        """What a script that only reads returns; from time to time this looks at the node's downloads, too."""
        if self._receiving > 0 and time.monotonic() - self._listed_s >= LIST_EVERY_S:
            with translated():
                self.list_downloads()
        return super().run(script, *values)

    def list_downloads(self) -> None:
        """Make `downloads` as the node's folder is now; raises Selenium's errors."""
        with self._listing:
            self._listed_s = time.monotonic()
            told = self._driver.execute(Command.GET_DOWNLOADABLE_FILES)["value"]
            names = [name for name in told["names"] if Path(name).name == name]
            sizes = {one["name"]: int(one["size"]) for one in told.get("files") or []}
            for name in names:
                if name in sizes:
                    with (self.downloads / name).open("ab") as stand_in:
                        stand_in.truncate(sizes[name])
                elif not name.endswith(PARTIAL) and not (self.downloads / name).exists():
                    self._driver.download_file(name, str(self.downloads))
            for path in self.downloads.iterdir():
                if path.name not in names:
                    path.unlink()

    def _download_begins(self, _event: Any) -> None:
        self._receiving += 1

    def _download_ended(self, event: Any) -> None:
        super()._download_ended(event)
        self._receiving -= 1
        with suppress(NotReadyError, BrowserGoneError), translated():  # whoever plays will notice
            self.list_downloads()
