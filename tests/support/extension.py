"""Chromium and Firefox with the built extension, and a content script that stands for the page side."""

from __future__ import annotations

import base64
import importlib.util
import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service as ChromeService
from selenium.webdriver.common.by import By

from tests.support.extension_drivers import bound, firefox_service, geckodriver, settled
from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "extension"
BROWSERS = ("chromium", "firefox")
GECKO_ID = "extension@tracemark"
#: Firefox would draw one for each profile
FIREFOX_UUID = "11111111-2222-4333-8444-555555555555"

#: stands for the page side: every trusted click on a button tells one action, begun at the click and ended 20 ms later
PAGE_SIDE = """
(() => {
  const own = globalThis.tracemark;
  if (own.started) return;
  own.started = true;
  let port = null, state = {};
  const unsent = [];
  const dial = () => {
    port = own.browser.connect();
    port.onMessage.addListener((message) => {
      if (message.type === "state") state = message;
      if (message.type === "stored") unsent.splice(0, unsent.length, ...unsent.filter((one) => one.batch !== message.batch));
      document.documentElement.dataset.recording = state.recording;
      document.documentElement.dataset.open = JSON.stringify(state.open ?? []);
    });
    port.onDisconnect.addListener(() => { port = null; if (state.recording) setTimeout(dial, 200); });
    port.postMessage({type: "hello", top: self === top});
    for (const batch of unsent) port.postMessage({...batch, again: true});
  };
  let count = 0;
  const tell = (items) => {
    if (!state.recording) return;
    const clock = {wall_ms: Date.now(), mono_ms: performance.timeOrigin + performance.now()};
    const batch = {type: "items", items, clock, batch: ++count};
    unsent.push(batch);
    if (!port) dial(); else try { port.postMessage(batch); } catch { dial(); }
  };
  const id = () => Array.from(crypto.getRandomValues(new Uint8Array(8)), (one) => one.toString(16).padStart(2, "0")).join("");
  document.addEventListener("click", (event) => {
    const action = event.target.dataset?.action;
    if (!action || !event.isTrusted) return;
    const item = {action_id: id(), action, wall_ms: performance.timeOrigin + event.timeStamp, mono_ms: event.timeStamp};
    tell([{...item, phase: "begin", attrs: {}}]);
    if (action === "download") {
      port.postMessage({type: "await_download", action_id: item.action_id});
      return;
    }
    if (event.target.dataset.stays) return;
    tell([{...item, phase: "end", wall_ms: item.wall_ms + 20, attrs: {evidence: "rendered", label: "secret", images: 3}}]);
  }, {capture: true, passive: true});
  dial();
})();
"""


def load_package() -> ModuleType:
    """`extension/package.py`, which is a program and no part of a package."""
    spec = importlib.util.spec_from_file_location("extension_package", SOURCE / "package.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def carry(build: Path, **settings: Any) -> Path:
    """Let the packages of a build carry settings, as a policy would."""
    for defaults in build.glob("*/defaults.json"):
        defaults.write_text(json.dumps(json.loads(defaults.read_text(encoding="utf-8")) | settings), encoding="utf-8")
    return build


def build_whole(folder: Path, settings: Mapping[str, Any], **baked: Any) -> Path:
    """The extension as it is, with settings that a policy would carry."""
    package = load_package()
    package.build(folder, package.Baked(**baked))
    return carry(folder, **settings)


def build_for_test(folder: Path, key: Path | None = None, permissions: tuple[str, ...] = (), **baked: Any) -> Path:
    """The extension with PAGE_SIDE for its page side; optional `permissions` are required instead, for nobody can be asked."""
    package = load_package()
    source = folder / "source"
    shutil.copytree(SOURCE, source)
    manifest = json.loads((source / "manifest.json").read_text(encoding="utf-8"))
    manifest["permissions"] += permissions
    manifest["optional_permissions"] = [one for one in manifest["optional_permissions"] if one not in permissions]
    (source / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    sites = source / "lib" / "sites.js"
    listed = json.dumps(["lib/browser.js", "lib/rules.js", "content.js"])  # the background reads the rules, too
    text = sites.read_text(encoding="utf-8")
    begin = text.index("export const CONTENT_FILES")
    sites.write_text(
        f"{text[:begin]}export const CONTENT_FILES = {listed};{text[text.index('];', begin) + 2 :]}", encoding="utf-8"
    )
    (source / "content.js").write_text(PAGE_SIDE, encoding="utf-8")
    package.build(folder / "build", package.Baked(**baked), key, source)
    return folder / "build"


class Tagged:
    """One browser with the extension; its own pages open in a tab."""

    def __init__(self, driver: webdriver.Chrome | webdriver.Firefox, kind: str) -> None:
        self.driver = driver
        self.kind = kind

    def click(self, element: str) -> None:
        self.driver.find_element(By.ID, element).click()

    def go(self, url: str, recording: bool | None = True) -> None:
        """Load a page, and wait until the content script knows whether it records (None: do not wait)."""
        self.driver.get(url)
        if recording is not None:
            self.wait_recording(recording)

    def wait_recording(self, recording: bool) -> None:
        wanted = str(recording).lower()
        wait_until(lambda: self.recording() == wanted, f"the page side to be told recording: {wanted}, not {self.recording()}")

    def recording(self) -> str | None:
        value: str | None = self.driver.execute_script("return document.documentElement.dataset.recording ?? null")
        return value

    def own_page(self, name: str) -> None:
        """Open one of the extension's own pages in a new tab."""
        self.driver.switch_to.new_window("tab")
        self.driver.get(self.base() + name)

    def close_tab(self) -> None:
        self.driver.close()
        self.driver.switch_to.window(self.driver.window_handles[0])

    def ask(self, message: Mapping[str, Any]) -> Any:
        """What the background answers one of its own pages."""
        if not self.driver.current_url.startswith(self.base()):
            raise AssertionError("open one of the extension's own pages first")
        script = (
            "const [message, done] = arguments;"
            "const {runtime} = globalThis.browser ?? globalThis.chrome;"
            "runtime.sendMessage(message).then(done, (error) => done({error: String(error)}));"
        )
        return self.driver.execute_async_script(script, dict(message))

    def base(self) -> str:
        """`chrome-extension://ID/` or `moz-extension://UUID/`."""
        return self.base_in(self.kind)

    @staticmethod
    def base_in(kind: str) -> str:
        """The same for a kind of browser."""
        if kind == "firefox":
            return f"moz-extension://{FIREFOX_UUID}/"
        key = json.loads((SOURCE / "manifest.json").read_text(encoding="utf-8"))["key"]
        return f"chrome-extension://{load_package().extension_id(base64.b64decode(key))}/"

    def kill_background(self) -> None:
        """End the background as the browser does when it is idle, only at once."""
        if isinstance(self.driver, webdriver.Chrome):
            here = self.driver.current_window_handle
            self.own_page("manifest.json")  # a page of the same origin that asks nothing of the background
            self.driver.execute_cdp_cmd("ServiceWorker.enable", {})
            self.driver.execute_cdp_cmd("ServiceWorker.stopAllWorkers", {})
            self.driver.close()
            self.driver.switch_to.window(here)
            return
        with self.driver.context("chrome"):
            self.driver.execute_async_script(
                f"const done = arguments[0]; const {{extension}} = WebExtensionPolicy.getByID('{GECKO_ID}');"
                "extension.terminateBackground({ignoreDevToolsAttached: true, disableResetIdleForTest: true})"
                ".then(() => done(), () => done());"
            )

    @contextmanager
    def full_disk(self, profile: Path) -> Iterator[None]:
        """Nothing more can be written to the profile's disk meanwhile, which must be its own: a browser with policies."""
        driver = self.driver.service.process.pid
        filler = Path(f"/proc/{driver}/root{profile}/filler")
        with filler.open("wb", buffering=0) as file:
            with suppress(OSError):
                while file.write(bytes(1 << 20)):
                    pass
            with suppress(OSError):
                while file.write(bytes(512)):
                    pass
        try:
            yield
        finally:
            filler.unlink()

    def quit(self) -> None:
        self.driver.quit()


def _chromium(extension: Path | None, profile: Path, downloads: Path, policies: Path | None = None) -> webdriver.Chrome:
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("Chromium or its driver is not there: install chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1200,900", f"--user-data-dir={profile}"):
        options.add_argument(argument)
    if extension is not None:
        options.add_argument(f"--load-extension={extension}")
    if policies is not None:
        driver = bound(driver, policies, "/etc/chromium/policies", profile.parent, profile)
        options.add_experimental_option("excludeSwitches", ["disable-background-networking"])
    options.add_experimental_option(
        "prefs",
        {
            "download.default_directory": str(downloads),
            "download.prompt_for_download": False,
            "extensions.ui.developer_mode": True,
        },
    )
    return settled(webdriver.Chrome(options=options, service=ChromeService(driver)))


def _firefox(extension: Path | None, profile: Path, downloads: Path, policies: Path | None = None) -> webdriver.Firefox:
    program = shutil.which("firefox-esr")
    if program is None:
        pytest.skip("Firefox is not there: install firefox-esr")
    options = webdriver.FirefoxOptions()
    options.binary_location = program
    options.add_argument("-headless")
    options.add_argument("-remote-allow-system-access")
    options.add_argument("-profile")
    options.add_argument(str(profile))
    preferences: dict[str, str | int | bool] = {
        "browser.download.folderList": 2,
        "browser.download.dir": str(downloads),
        "browser.helperApps.neverAsk.saveToDisk": "application/zip",
        "xpinstall.signatures.required": False,
        "extensions.webextensions.uuids": json.dumps({GECKO_ID: FIREFOX_UUID}),
        "datareporting.policy.dataSubmissionEnabled": False,
    }
    for name, value in preferences.items():
        options.set_preference(name, value)
    profile.mkdir(parents=True, exist_ok=True)
    program = geckodriver(profile.parent)
    if policies is not None:
        program = bound(program, policies, "/etc/firefox/policies", profile.parent, profile)
    driver = webdriver.Firefox(options=options, service=firefox_service(program, profile.parent))
    if extension is not None:
        driver.install_addon(str(extension), temporary=True)
    return driver


@contextmanager
def tagged(kind: str, extension: Path | None, folder: Path, policies: Path | None = None) -> Iterator[Tagged]:
    """A browser with the extension of a build loaded (None: a policy brings it); `folder` keeps its profile for the next one."""
    downloads = folder / "downloads"
    downloads.mkdir(parents=True, exist_ok=True)
    start = _chromium if kind == "chromium" else _firefox
    profile = folder / f"profile-{kind}"
    driver: webdriver.Chrome | webdriver.Firefox = start(extension and extension / kind, profile, downloads, policies)
    browser = Tagged(driver, kind)
    browser.driver.set_script_timeout(60)
    try:
        yield browser
    finally:
        browser.quit()


def markers_in(journal: Path) -> list[tuple[str, int, str, str, str]]:
    """(session, seq, action_id, action, phase) of every marker in a journal, in the order of storing."""
    if not journal.exists():
        return []
    with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as opened:
        with suppress(sqlite3.OperationalError):
            rows = opened.execute(
                "SELECT session, seq, action_id, (SELECT name FROM names WHERE no = action),"
                " (SELECT name FROM names WHERE no = phase) FROM markers ORDER BY position"
            ).fetchall()
            return [tuple(row) for row in rows]
    return []


def node_tests(*files: Path) -> subprocess.CompletedProcess[str]:
    """`node --test` over these files; skips where node is missing."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not there: install nodejs")
    return subprocess.run([node, "--test", *map(str, files)], capture_output=True, text=True, timeout=120, check=False, cwd=ROOT)
