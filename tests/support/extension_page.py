"""The extension's page side in a real Chromium: packed alone, with a background of a few lines that hands everything to the test.

`extension_truth.js` runs in the page itself and knows nothing of the extension: it notes native input, what the practice system's
own scripts have drawn, and every slice that has arrived. Times are milliseconds since the epoch.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol

import pytest
from selenium import webdriver
from selenium.common import exceptions
from selenium.webdriver import ActionChains
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.actions.wheel_input import ScrollOrigin
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from replay.chromium import BrowserMissingError, BrowserPaths
from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
EXTENSION = ROOT / "extension"
FILES = ("lib/browser.js", "lib/rules.js", "lib/evidence.js", "lib/viewer.js", "lib/endings.js", "lib/tagger.js",
         "lib/port.js", "content.js")  # fmt: skip
CATALOGUE = ROOT / "sidecar" / "model" / "catalogue.json"
BACKGROUND = """
import {pageRules} from "./lib/page_rules.js";
const ports = new Set(), open = [], watched = [];
let state = STATE;
state.rules = pageRules(state.rules);
const hand = (items) => fetch("COLLECTOR", {method: "POST", body: JSON.stringify(items)});
const stateOf = (tab) => ({type: "state", ...state, open: open.map((one) => ({...one, own: one.tab === tab}))});
chrome.runtime.onConnect.addListener((port) => {
  const tab = port.sender.tab.id;
  ports.add(port);
  port.onDisconnect.addListener(() => ports.delete(port));
  port.onMessage.addListener((message) => {
    if (message.type === "open" || message.type === "hello") port.postMessage(stateOf(tab));
    if (message.type === "await_download") watched.push(message.action_id);
    if (message.type !== "items") return;
    port.postMessage({type: "stored", batch: message.batch});
    for (const item of message.items) {
      const at = open.findIndex((one) => one.action_id === item.action_id);
      if (item.phase === "begin") open.push({action_id: item.action_id, action: item.action, begun_wall_ms: item.wall_ms, tab});
      else if (at >= 0) open.splice(at, 1);
    }
    hand(message);
  });
});
const files = new Map();
chrome.downloads.onCreated.addListener((item) => files.set(item.id, null));
chrome.downloads.onChanged.addListener(async ({id, state: changed}) => {
  if (!files.has(id) || !changed || changed.current === "in_progress") return;
  const [item] = await chrome.downloads.search({id});
  const action_id = watched.shift() ?? "nobody", phase = changed.current === "complete" ? "end" : "cancel";
  open.splice(open.findIndex((one) => one.action_id === action_id), 1);
  hand({items: [{action_id, action: "download", phase, wall_ms: Date.parse(item.endTime), mono_ms: null,
                 attrs: {bytes: item.fileSize, evidence: "download"}}]});
});
chrome.runtime.onMessage.addListener((message) => {
  if (message.reload) chrome.runtime.reload();
  state = {...state, ...message};
  for (const port of ports) port.postMessage(stateOf(port.sender.tab.id));
});
"""
#: lets a test speak to the background through the page's document: it is no part of the extension
SWITCH = 'document.addEventListener("test-state", (event) => chrome.runtime.sendMessage(JSON.parse(event.detail)));'
TRUTH = (Path(__file__).with_name("extension_truth.js")).read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One action as the extension told it; `end_ms` is None while it is open."""

    action: str
    begin_ms: float
    end_ms: float | None
    phase: str | None
    attrs: dict[str, Any]

    @classmethod
    def of(cls, items: list[dict[str, Any]]) -> list[Told]:
        """The actions that these markers amount to, by their begin."""
        over = {item["action_id"]: item for item in items if item["phase"] != "begin"}
        found = []
        for item in items:
            if item["phase"] != "begin":
                continue
            last = over.get(item["action_id"])
            end_ms, phase, attrs = (last["wall_ms"], last["phase"], last["attrs"]) if last else (None, None, {})
            found.append(cls(action=item["action"], begin_ms=item["wall_ms"], end_ms=end_ms, phase=phase, attrs=attrs))
        return sorted(found, key=lambda told: told.begin_ms)


class Teller(Protocol):
    """Where a test reads what the extension has told."""

    def items(self) -> list[dict[str, Any]]:
        """All markers so far."""

    def actions(self) -> list[Told]:
        """The actions that they amount to, by their begin."""


class Collector:
    """Receives what the background hands over."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        keep = self.messages

        class Answer(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                keep.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self._http.server_port}/"
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)
        self._thread.start()

    def items(self) -> list[dict[str, Any]]:
        """All markers so far."""
        return [item for message in list(self.messages) for item in message["items"]]

    def actions(self) -> list[Told]:
        """The actions that the markers amount to, by their begin."""
        return Told.of(self.items())

    def close(self) -> None:
        """Stop listening."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


def pack(folder: Path, collector: Collector, *, state: dict[str, Any] | None = None) -> Path:
    """Writes the unpacked extension into the folder."""
    actions = [{"name": one["name"], "dom": one["dom"]} for one in json.loads(CATALOGUE.read_text())["actions"]]
    known = {
        "recording": True,
        "context_path": None,
        "rules": {"version": 1, "actions": actions},
        "downloads": True,
        **(state or {}),
    }
    for name in (*FILES, "lib/page_rules.js"):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((EXTENSION / name).read_bytes())
    (folder / "switch.js").write_text(SWITCH)
    background = BACKGROUND.replace("STATE", json.dumps(known)).replace("COLLECTOR", collector.url)
    (folder / "background.js").write_text(background)
    manifest = {
        "manifest_version": 3, "name": "page side", "version": "1", "permissions": ["downloads"],
        "host_permissions": ["http://127.0.0.1/*"], "background": {"service_worker": "background.js", "type": "module"},
        "content_scripts": [{"matches": ["http://127.0.0.1/*", "http://localhost/*"], "js": [*FILES, "switch.js"],
                             "run_at": "document_start", "all_frames": True, "match_origin_as_fallback": True}],
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


class Person:
    """Native input in a browser, and what the page knows to be true of it."""

    def __init__(self, driver: webdriver.Chrome | webdriver.Firefox, collector: Teller, downloads: Path) -> None:
        self.driver = driver
        self.collector = collector
        self.downloads = downloads
        #: Firefox's driver begins a drag and never drops
        self.drags = isinstance(driver, webdriver.Chrome)

    def find(self, selector: str) -> WebElement:
        """The first element that is there and shown."""

        def look() -> WebElement | None:
            with suppress(exceptions.StaleElementReferenceException):
                return next((one for one in self.driver.find_elements(By.CSS_SELECTOR, selector) if one.is_displayed()), None)
            return None

        found = wait_until(look, selector)
        assert found is not None
        return found

    def click(self, selector: str) -> None:
        """Click the element."""
        self.find(selector).click()

    def act(self) -> ActionChains:
        """A chain of native input."""
        return ActionChains(self.driver, duration=0)

    def wheel(self, notches: int) -> None:
        """Turn the wheel over the pane."""
        chain, origin = self.act(), ScrollOrigin.from_element(self.find(".viewport-element"))
        for _ in range(abs(notches)):
            chain.scroll_from_origin(origin, 0, 100 if notches > 0 else -100)
        chain.perform()

    def run(self, script: str, *values: Any) -> Any:
        """What a script returns."""
        return self.driver.execute_script(script, *values)

    def truth(self) -> list[tuple[str, float, Any]]:
        """What this tab has noted so far, of all its documents: (what, time, detail)."""
        rows = self.run("return window.truth ? window.truth.all() : []")
        return [(row[0], row[1], row[2]) for row in rows or ()]  # Firefox gives none while a document is left

    def answers(self, since_ms: float) -> list[tuple[float, float, str]]:
        """The requests of this tab that began since then and are over, by their begin: (begin, end, path)."""
        rows = self.run("return window.truth ? window.truth.all() : []")
        return sorted((row[3], row[1], str(row[2])) for row in rows or () if row[0] == "answer" and row[3] >= since_ms)

    def until(self, what: str, since_ms: float, detail: str = "") -> float:
        """The time of the first such row since then, as soon as there is one; `what` may name two kinds, as `one|other`."""

        kinds = what.split("|")

        def look() -> float | None:
            with suppress(exceptions.WebDriverException):
                rows = self.truth()
                return next(
                    (t for kind, t, about in rows if kind in kinds and t >= since_ms and re.search(detail, str(about))), None
                )
            return None

        found = wait_until(look, f"{what} {detail}")
        assert found is not None
        return found

    def quiet(self, what: str, since_ms: float, detail: str = "", still_ms: float = 700) -> float:
        """The time of the last such row, once there has been none for a while."""
        self.until(what, since_ms, detail)

        def look() -> float | None:
            with suppress(exceptions.WebDriverException):
                rows = self.truth()  # none while a document is left
                times = [t for kind, t, about in rows if kind == what and t >= since_ms and re.search(detail, str(about))]
                return max(times) if times and self.now() - max(times) > still_ms else None
            return None

        found = wait_until(look, f"the last {what}")
        assert found is not None
        return found

    def now(self) -> float:
        """The page's clock."""
        return float(self.run("return performance.timeOrigin + performance.now()"))

    def complaints(self) -> list[str]:
        """What the browser's console holds against anybody."""
        assert isinstance(self.driver, webdriver.Chrome), "Firefox's console cannot be read"
        entries = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [str(entry["message"]) for entry in entries if entry["level"] == "SEVERE"]

    def switch(self, **state: Any) -> None:
        """Tell the background another state."""
        self.run("document.dispatchEvent(new CustomEvent('test-state', {detail: arguments[0]}))", json.dumps(state))

    def told(self, action: str, since_ms: float, phase: str | None = "end") -> Told:
        """The action of that name since then, as soon as the extension has told its end (or begin, with phase None)."""

        def look() -> Told | None:
            for one in self.collector.actions():
                if one.action == action and one.begin_ms >= since_ms - 50 and (phase is None or one.phase == phase):
                    return one
            return None

        return wait_until(look, f"{phase} of {action}; told: {self.collector.actions()[-5:]}") or pytest.fail("unreachable")


@contextmanager
def browsing(folder: Path, *, state: dict[str, Any] | None = None) -> Iterator[Person]:
    """A Chromium with the page side loaded; skips where it is not installed."""
    try:
        paths = BrowserPaths.find(os.environ)
    except BrowserMissingError as missing:
        pytest.skip(str(missing))
    collector = Collector()
    extension, downloads = folder / "extension", folder / "downloads"
    downloads.mkdir()
    pack(extension, collector, state=state)
    options = webdriver.ChromeOptions()
    options.binary_location = paths.browser
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1280,900",
                     "--no-proxy-server", f"--load-extension={extension}", f"--user-data-dir={folder / 'profile'}"):  # fmt: skip
        options.add_argument(argument)
    prefs = {"download.default_directory": str(downloads), "profile.default_content_setting_values.automatic_downloads": 1,
             "credentials_enable_service": False, "profile.password_manager_leak_detection": False}  # fmt: skip
    options.add_experimental_option("prefs", prefs)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = None
    try:
        driver = webdriver.Chrome(service=Service(paths.driver), options=options)
        driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": TRUTH})
        yield Person(driver, collector, downloads)
    finally:
        if driver is not None:
            driver.quit()
        collector.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What really happened; `end_ms` None where the page alone cannot know it."""

    action: str
    begin_ms: float
    end_ms: float | None
