"""Chromium under WebDriver; only this module and those that it is made of know Selenium.

It gives eyes (`find`, `run`) and hands (`replay.gestures`), and labels every request of every tab with a
`traceparent`. The header is set over WebDriver BiDi, because that reaches new tabs from their first request on. As it would go to
every host, no host but the site's (and those that the scenario names) can be resolved.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.common import exceptions
from selenium.webdriver.common.proxy import Proxy, ProxyType
from selenium.webdriver.remote.client_config import ClientConfig
from selenium.webdriver.remote.command import Command
from selenium.webdriver.remote.remote_connection import RemoteConnection
from urllib3.exceptions import HTTPError

from replay.chromium import BrowserOptions, BrowserPaths, BrowserVersionError, ReapedService, arguments, host_of
from replay.driver_faults import BrowserGoneError, first_line, translated
from replay.failures import disk_fault
from replay.gestures import Gestures
from replay.locate import Locator, Seen
from replay.player import NO_ACTION
from replay.private_folder import private_folder
from replay.seek import elements_of
from replay.settle import Waiter
from replay.transfers_browser import BrowserMeter
from sidecar.model.faults import UsageFault

__all__ = ["Browser", "BrowserGoneError", "opened", "screenshot"]

#: how often Selenium looks for the answer to a BiDi command; its own default of 0.1 s would stand before every action
BIDI_POLL_S = 0.003
#: how long Selenium's thread may take to see that the driver has closed the BiDi connection
_LISTENER_S = 5.0
#: one question for all elements: asking the driver about each of a listing's rows would take seconds
_SEEN = """
return arguments[0].map((one) => [
  one.getClientRects().length > 0 && one.checkVisibility({opacityProperty: true, visibilityProperty: true}),
  !one.matches(":disabled")]);"""
#: an address and what follows its path: a query may hold a token or a search word
_QUERY = re.compile(r"(https?://[^\s\"'?#]*)[?#][^\s\"']*")
#: how chromedriver says that it does not fit
_MISFIT = re.compile(r"only supports Chrome version (\d+)|version must be")


class Browser(Gestures):
    """One browser with a fresh profile; made by `opened`. Downloads arrive in `downloads`."""

    def __init__(self, driver: webdriver.Remote, downloads: Path, extension: str | None = None) -> None:
        super().__init__(driver)
        self.downloads = downloads
        #: the id of the extension that was loaded
        self.extension = extension
        self._broken: list[str] = []  # appended to by Selenium's thread
        with translated():
            driver.browsing_context.add_event_handler("download_end", self._download_ended)

    # eyes

    def find(self, locator: Locator) -> Sequence[Seen]:
        """All elements that fit, with what a person sees of them."""
        with self._in_frame():
            elements = elements_of(self._driver, locator)
            states = self._driver.execute_script(_SEEN, elements) if elements else []
            pairs = zip(elements, states, strict=True)
            return [Seen(element=one, visible=visible, enabled=enabled) for one, (visible, enabled) in pairs]

    def run(self, script: str, *values: object) -> Any:
        """What a script that only reads returns."""
        with self._in_frame():
            return self._driver.execute_script(script, *values)

    # the rest

    def label(self, traceparent: str) -> None:
        """Send this header with every request from now on, in all tabs; with an extension, which draws its own ids of actions,
        the session alone.
        """
        named = traceparent if self.extension is None else session_alone(traceparent)
        with translated():
            value = {"type": "string", "value": named}
            self._driver.network.set_extra_headers(headers=[{"name": "traceparent", "value": value}])

    def watch(self, script: str) -> None:
        """Run this function in every document that is opened from now on, before its own scripts."""
        with translated():
            self._driver.script.pin(script)

    def broken_downloads(self) -> int:
        """How many downloads have broken off, or were stopped, so far."""
        return len(self._broken)

    def _download_ended(self, event: Any) -> None:
        ended = getattr(event, "download_params", event)
        if getattr(ended, "status", None) == "canceled":
            self._broken.append(str(getattr(ended, "navigation", "")))

    def meter(self, meter: BrowserMeter) -> None:
        """Tell this meter of every request from now on."""
        with translated():
            meter.watch(self._driver)

    def screenshot(self, path: Path) -> bool:
        """Leave a picture of the page; False when there is none to take."""
        try:
            return bool(self._driver.save_screenshot(str(path)))
        except (exceptions.WebDriverException, HTTPError, OSError):
            return False

    def log(self) -> list[str]:
        """What the browser's console holds since the last time somebody asked; without the queries of addresses."""
        try:
            entries = self._driver.execute(Command.GET_LOG, {"type": "browser"})["value"]
        except (exceptions.WebDriverException, HTTPError, OSError):
            return []
        return [
            " ".join((str(one["timestamp"]), one["level"], one["source"], without_queries(one["message"]))) for one in entries
        ]

    def versions(self) -> dict[str, str]:
        """The browser's and the driver's version."""
        known = self._driver.capabilities
        return {
            "browser": f"{known.get('browserName', 'chrome')} {known.get('browserVersion', '')}".strip(),
            "driver": str(known.get("chrome", {}).get("chromedriverVersion", "")).partition(" ")[0],
        }


def session_alone(traceparent: str) -> str:
    """The header for the same session and no action."""
    version, session, _, flags = traceparent.split("-")
    return f"{version}-{session}-{NO_ACTION}-{flags}"


def without_queries(text: str) -> str:
    """The text with every address in it cut behind its path."""
    return _QUERY.sub(r"\1", text)


@contextmanager
def opened(options: BrowserOptions) -> Iterator[Browser]:
    """A browser with a fresh profile and an empty download folder; both are removed and no process stays, whatever happens.

    What an earlier process that was killed has left of these goes, too.
    """
    if options.visible and sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise UsageFault("there is no screen for a visible browser", "leave out --visible, or set DISPLAY")
    with _private_folder() as folder:
        downloads, temporary = folder / "downloads", folder / "tmp"
        downloads.mkdir()
        temporary.mkdir()
        service = ReapedService(options.paths.driver, temporary)
        try:
            driver = _start(service, options, folder / "profile", downloads)
            try:
                yield Browser(driver, downloads, _install(driver, options.extension))
            finally:
                end_session(driver)
        finally:
            service.stop()


@contextmanager
def _private_folder() -> Iterator[Path]:
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(private_folder())
        except OSError as error:
            raise disk_fault(error) from error
        yield folder


def chrome_options(options: BrowserOptions, given: Sequence[str], downloads: Path | None) -> webdriver.ChromeOptions:
    """What every browser of ours is asked for; `given` is its command line, `downloads` None where a grid's node has its own."""
    chrome = webdriver.ChromeOptions()
    chrome.binary_location = options.paths.browser
    chrome.enable_bidi = True
    chrome.page_load_strategy = "none"  # every wait is ours, with its own condition and deadline
    chrome.unhandled_prompt_behavior = "accept"
    for argument in given:
        chrome.add_argument(argument)
    chrome.add_experimental_option(
        "prefs",
        {
            "credentials_enable_service": False,
            **({"download.default_directory": str(downloads)} if downloads is not None else {}),
            "download.prompt_for_download": False,
            "profile.default_content_setting_values.automatic_downloads": 1,
            "profile.password_manager_enabled": False,
            "profile.password_manager_leak_detection": False,
        },
    )
    return chrome


def end_session(driver: webdriver.Remote) -> None:
    """Close the browser; one that is gone already is closed.

    The driver ends the session before Selenium does, which closes the BiDi connection from its side. When Selenium closes it from
    ours, while its own thread is waiting on it, that thread notices after 10 s only, and the browser stays open for as long.
    """
    listener = getattr(getattr(driver, "_websocket_connection", None), "_ws_thread", None)
    with suppress(exceptions.WebDriverException, HTTPError, OSError):
        driver.execute(Command.QUIT)
        if listener is not None:
            listener.join(_LISTENER_S)
    with suppress(exceptions.WebDriverException, HTTPError, OSError):
        driver.quit()


def _start(service: ReapedService, options: BrowserOptions, profile: Path, downloads: Path) -> webdriver.Remote:
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    chrome = chrome_options(options, arguments(options, str(profile), root=root), downloads)
    try:
        service.start()
    except (exceptions.WebDriverException, OSError) as error:  # Selenium names what stands before it: the reaper
        remedy = f"try `{options.paths.driver} --version` by hand; look for a lack of memory or room"
        raise BrowserGoneError(f"the driver {options.paths.driver} does not start", remedy) from error
    try:
        client = ClientConfig(
            remote_server_addr=service.service_url,
            proxy=Proxy({"proxyType": ProxyType.DIRECT}),  # the driver is on this machine, whatever proxy the site needs
            websocket_interval=BIDI_POLL_S,
        )
        return webdriver.Remote(command_executor=RemoteConnection(client_config=client), options=chrome)
    except (exceptions.WebDriverException, HTTPError, OSError) as error:
        if _MISFIT.search(str(error)):
            what = f"the driver {options.paths.driver} is of another version than the browser ({first_line(error)})"
            raise BrowserVersionError(what, "install both from one place, or give --chromedriver and --chromium") from error
        remedy = f"try `{options.paths.browser} --headless --dump-dom about:blank` by hand; look for a lack of memory or room"
        raise BrowserGoneError(f"the browser does not start ({first_line(error)})", remedy) from error


def _install(driver: webdriver.Remote, extension: Path | None) -> str | None:
    """Load an unpacked extension over WebDriver BiDi: Google Chrome itself takes no --load-extension any more. Its id."""
    if extension is None:
        return None
    try:
        return str(driver.webextension.install(path=str(extension))["extension"])
    except (exceptions.WebDriverException, HTTPError, OSError, RuntimeError) as error:
        raise BrowserVersionError(
            f"this browser loads no extension ({first_line(error)})", "use Chromium, or Google Chrome 149 or newer"
        ) from error


def screenshot(url: str, path: Path, *, ready: str, window: tuple[int, int] = (1280, 1600), timeout_s: float = 30.0) -> None:
    """Leave a picture of a page as soon as an element that fits the CSS selector `ready` is there; Fault when it never is."""
    options = BrowserOptions(paths=BrowserPaths.find(os.environ), hosts=(host_of(url),), window=window, visible=False)
    with opened(options) as browser:
        browser.go(url)
        wanted = Locator(strategy="css", value=ready)
        Waiter(time.monotonic, time.sleep).until(lambda: (browser.find(wanted) or None, f"{wanted} is not there"), timeout_s)
        if not browser.screenshot(path):
            raise BrowserGoneError(f"no picture of {url}", "look whether the folder can be written")
