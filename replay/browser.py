"""Chromium under WebDriver: the only module that knows Selenium.

It gives eyes (`find`, `run`) and hands (`go`, `aim`, `click`, `keys`, `wheel`), and labels every request of every tab with a
`traceparent`. The header is set over WebDriver BiDi, because that reaches new tabs from their first request on. As it would go to
every host, no host but the site's (and those that the scenario names) can be resolved.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.common import exceptions
from selenium.webdriver import ActionChains
from selenium.webdriver.common.actions.wheel_input import ScrollOrigin
from selenium.webdriver.common.proxy import Proxy, ProxyType
from selenium.webdriver.remote.client_config import ClientConfig
from selenium.webdriver.remote.remote_connection import RemoteConnection
from urllib3.exceptions import HTTPError

from replay.chromium import BrowserOptions, BrowserPaths, ReapedService, arguments, host_of
from replay.keyboard import chords
from replay.locate import STRATEGIES, Locator, Seen
from replay.settle import Waiter
from replay.sight import NotReadyError
from sidecar.model.faults import Fault, UsageFault

_NOTCH = 100
#: how often Selenium looks for the answer to a BiDi command; its own default of 0.1 s would stand before every action
_BIDI_POLL_S = 0.003
_AIM = """
const box = arguments[0].getClientRects()[0];
if (!box || !box.width || !box.height) return "has no size";
const x = box.x + box.width / 2, y = box.y + box.height / 2;
if (x < 0 || y < 0 || x >= innerWidth || y >= innerHeight) return "is outside the window";
const top = document.elementFromPoint(x, y);
if (top === arguments[0] || arguments[0].contains(top)) return {x: Math.round(x), y: Math.round(y)};
return "is covered by " + (top ? top.tagName.toLowerCase() + (top.id ? "#" + top.id : "") : "nothing");"""
#: one question for all elements: asking the driver about each of a listing's rows would take seconds
_SEEN = """
return arguments[0].map((one) => [
  one.getClientRects().length > 0 && one.checkVisibility({opacityProperty: true, visibilityProperty: true}),
  !one.matches(":disabled")]);"""
_GONE = (exceptions.InvalidSessionIdException, exceptions.NoSuchWindowException, exceptions.SessionNotCreatedException)


class BrowserGoneError(Fault):
    """The browser could not be started, or is gone in the middle of a session."""


class Browser:
    """One browser with a fresh profile; made by `opened`. Downloads arrive in `downloads`."""

    def __init__(self, driver: webdriver.Remote, downloads: Path) -> None:
        self._driver = driver
        self._pointer = ScrollOrigin.from_viewport(0, 0)
        self.downloads = downloads

    # eyes

    def find(self, locator: Locator) -> Sequence[Seen]:
        """All elements that fit, with what a person sees of them."""
        with _translated():
            elements = self._driver.find_elements(STRATEGIES[locator.strategy], locator.value)
            states = self._driver.execute_script(_SEEN, elements) if elements else []
            pairs = zip(elements, states, strict=True)
            return [Seen(element=one, visible=visible, enabled=enabled) for one, (visible, enabled) in pairs]

    def run(self, script: str, *values: object) -> Any:
        """What a script that only reads returns."""
        with _translated():
            return self._driver.execute_script(script, *values)

    # hands

    def go(self, url: str) -> None:
        """Type an address."""
        with _translated():
            self._driver.get(url)

    def aim(self, element: Any) -> str | None:
        """Bring the element into view and the pointer onto it, or say why not."""
        with _translated():
            place = self._driver.execute_script(_AIM, element)
            if place == "is outside the window":
                self._chain().scroll_to_element(element).perform()
                place = self._driver.execute_script(_AIM, element)
            if isinstance(place, str):
                return place
            self._pointer = ScrollOrigin.from_viewport(place["x"], place["y"])
            chain = self._chain()
            chain.w3c_actions.pointer_action.move_to_location(place["x"], place["y"])  # type: ignore[no-untyped-call]
            chain.perform()
            return None

    def click(self) -> None:
        """Press and release the left button where the pointer is."""
        with _translated():
            self._chain().click().perform()

    def keys(self, text: str) -> None:
        """Type; `{ENTER}` is a key, `{CTRL+A}` a chord, `{{` a brace."""
        chain = self._chain()
        for chord in chords(text):
            for key in chord[:-1]:
                chain.key_down(key)
            chain.send_keys(chord[-1])
            for key in reversed(chord[:-1]):
                chain.key_up(key)
        with _translated():
            chain.perform()

    def wheel(self, notches: int) -> None:
        """Turn the wheel in the middle of what the pointer was last aimed at."""
        chain = self._chain()
        for _ in range(abs(notches)):
            chain.scroll_from_origin(self._pointer, 0, _NOTCH if notches > 0 else -_NOTCH)
        with _translated():
            chain.perform()

    # the rest

    def label(self, traceparent: str) -> None:
        """Send this header with every request from now on, in all tabs."""
        with _translated():
            value = {"type": "string", "value": traceparent}
            self._driver.network.set_extra_headers(headers=[{"name": "traceparent", "value": value}])

    def watch(self, script: str) -> None:
        """Run this function in every document that is opened from now on, before its own scripts."""
        with _translated():
            self._driver.script.pin(script)

    def screenshot(self, path: Path) -> bool:
        """Leave a picture of the page; False when there is none to take."""
        try:
            return bool(self._driver.save_screenshot(str(path)))
        except (exceptions.WebDriverException, HTTPError, OSError):
            return False

    def versions(self) -> dict[str, str]:
        """The browser's and the driver's version."""
        known = self._driver.capabilities
        return {
            "browser": f"{known.get('browserName', 'chrome')} {known.get('browserVersion', '')}".strip(),
            "driver": str(known.get("chrome", {}).get("chromedriverVersion", "")).partition(" ")[0],
        }

    def _chain(self) -> ActionChains:
        return ActionChains(self._driver, duration=0)


@contextmanager
def opened(options: BrowserOptions) -> Iterator[Browser]:
    """A browser with a fresh profile and an empty download folder; both are removed and no process stays, whatever happens."""
    if options.visible and sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise UsageFault("there is no screen for a visible browser", "leave out --visible, or set DISPLAY")
    with tempfile.TemporaryDirectory(prefix="tracemark-browser-", ignore_cleanup_errors=True) as folder:
        downloads = Path(folder, "downloads")
        downloads.mkdir()
        service = ReapedService(options.paths.driver)
        try:
            driver = _start(service, options, Path(folder, "profile"), downloads)
            try:
                yield Browser(driver, downloads)
            finally:
                with suppress(exceptions.WebDriverException, HTTPError, OSError):  # it may be gone already
                    driver.quit()
        finally:
            service.stop()


def _start(service: ReapedService, options: BrowserOptions, profile: Path, downloads: Path) -> webdriver.Remote:
    chrome = webdriver.ChromeOptions()
    chrome.binary_location = options.paths.browser
    chrome.enable_bidi = True
    chrome.page_load_strategy = "none"  # every wait is ours, with its own condition and deadline
    chrome.unhandled_prompt_behavior = "accept"
    for argument in arguments(options, str(profile), root=hasattr(os, "geteuid") and os.geteuid() == 0):
        chrome.add_argument(argument)
    chrome.add_experimental_option(
        "prefs",
        {
            "credentials_enable_service": False,
            "download.default_directory": str(downloads),
            "download.prompt_for_download": False,
            "profile.default_content_setting_values.automatic_downloads": 1,
            "profile.password_manager_enabled": False,
            "profile.password_manager_leak_detection": False,
        },
    )
    try:
        service.start()
        client = ClientConfig(
            remote_server_addr=service.service_url,
            proxy=Proxy({"proxyType": ProxyType.DIRECT}),  # the driver is on this machine, whatever proxy the site needs
            websocket_interval=_BIDI_POLL_S,
        )
        return webdriver.Remote(command_executor=RemoteConnection(client_config=client), options=chrome)
    except (exceptions.WebDriverException, HTTPError, OSError) as error:
        raise BrowserGoneError(f"the browser does not start ({_first_line(error)})", "try it by hand") from error


@contextmanager
def _translated() -> Iterator[None]:
    """Selenium's errors in our words: a page that is changing, or a browser that is gone."""
    try:
        yield
    except _GONE as error:
        raise BrowserGoneError("the browser is gone", "look for a crash or a lack of memory, then play again") from error
    except exceptions.WebDriverException as error:
        if "disconnected" in str(error) or "not reachable" in str(error):
            raise BrowserGoneError("the browser is gone", "look for a crash or a lack of memory, then play again") from error
        raise NotReadyError(_first_line(error)) from error
    except (HTTPError, OSError) as error:
        raise BrowserGoneError("the browser's driver is gone", "play again") from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def screenshot(url: str, path: Path, *, ready: str, window: tuple[int, int] = (1280, 1600), timeout_s: float = 30.0) -> None:
    """Leave a picture of a page as soon as an element that fits the CSS selector `ready` is there; Fault when it never is."""
    options = BrowserOptions(paths=BrowserPaths.find(os.environ), hosts=(host_of(url),), window=window, visible=False)
    with opened(options) as browser:
        browser.go(url)
        wanted = Locator(strategy="css", value=ready)
        Waiter(time.monotonic, time.sleep).until(lambda: (browser.find(wanted) or None, f"{wanted} is not there"), timeout_s)
        if not browser.screenshot(path):
            raise BrowserGoneError(f"no picture of {url}", "look whether the folder can be written")
