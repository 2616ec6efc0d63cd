"""The whole extension in a real browser: as it is packed, with a real sidecar; what it told is read from the sidecar's journal.

`extension_truth.js` comes into the page by an extension of its own, which knows nothing of ours.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service as ChromeService

from replay.lab import stack
from replay.lab.info import LabInfo
from replay.lab.options import LabOptions, Sidecar
from sidecar.errors import JournalError
from sidecar.journal.queries import Reader
from sidecar.model.records import Marker
from tests.support.extension import FIREFOX_UUID, GECKO_ID, SOURCE, Tagged, load_package, markers_in
from tests.support.extension_drivers import firefox_service, geckodriver, settled
from tests.support.extension_page import TRUTH, Person, Told
from tests.support.sidecar import SidecarProcess

CONTEXT_PATH = "/xnat"
TOKEN = "token-of-this-practice-system"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A practice system whose nginx leads to a sidecar of its own."""

    lab: LabInfo
    sidecar: SidecarProcess

    @property
    def url(self) -> str:
        return self.lab.url + CONTEXT_PATH


@contextmanager
def place(folder: Path, prefix: str) -> Iterator[Place]:
    """Both as processes, on free ports; they end with the context."""
    sidecar = SidecarProcess(folder, {"TRACEMARK_TOKEN": TOKEN})
    options = LabOptions(
        directory=folder / "lab", exam_size="small", name_prefix=prefix, processes=True, port=0, context_path=CONTEXT_PATH,
        sidecar=Sidecar(sidecar.http, sidecar.markers),
    )  # fmt: skip
    lab = stack.up(options, print)
    try:
        sidecar.settings |= {"TRACEMARK_XNAT_URL": lab.url + CONTEXT_PATH}
        sidecar.start()
        try:
            yield Place(lab=lab, sidecar=sidecar)
        finally:
            sidecar.stop()
    finally:
        stack.down(options.directory, print, purge=True)


class Journal:
    """What the sidecar has stored since this was made, as actions."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reader = Reader(path)
        self._before = {(session, seq) for session, seq, *_ in markers_in(path)}

    def markers(self) -> list[Marker]:
        """All markers, by session and number."""
        sessions = {session for session, *_ in markers_in(self._path)}
        with suppress(JournalError):
            found = self._reader.markers_of_sessions(sorted(sessions))
            return [one for one in found if (one.session, one.seq) not in self._before]
        return []

    def items(self) -> list[dict[str, Any]]:
        """The markers in the form that the page told them."""
        names = ("bytes", "images", "ticks", "first_image_ns", "evidence")
        return [
            {
                "action_id": one.action_id, "action": one.action, "phase": one.phase, "wall_ms": one.wall_ns / 1e6,
                "attrs": {name: one.attributes[name] for name in names if name in one.attributes},
            }
            for one in self.markers()
        ]  # fmt: skip

    def actions(self) -> list[Told]:
        """The actions that the markers amount to, by their begin; a marker without its begin is a fault."""
        return Told.of(self.items())

    def close(self) -> None:
        """Stop reading."""
        self._reader.close()


def build(folder: Path, where: Place, *, auth: str, permissions: tuple[str, ...] = ()) -> Path:
    """The packages for this place; optional `permissions` are required instead, for nobody can be asked."""
    package = load_package()
    source = folder / "source"
    shutil.copytree(SOURCE, source)
    manifest = json.loads((source / "manifest.json").read_text(encoding="utf-8"))
    manifest["permissions"] += permissions
    manifest["optional_permissions"] = [one for one in manifest["optional_permissions"] if one not in permissions]
    (source / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    channel = (
        f"{where.url.replace('http', 'ws', 1)}/tracemark/markers" if auth == "ticket" else f"ws://{where.sidecar.markers}/markers"
    )
    baked = package.Baked(sites=(where.lab.url,), context_path=CONTEXT_PATH, sidecar_url=channel)
    package.build(folder / "build", baked, None, source)
    for defaults in (folder / "build").glob("*/defaults.json"):  # what a policy would carry
        values = json.loads(defaults.read_text(encoding="utf-8")) | {"auth": auth, "consent": "given", "token": TOKEN}
        defaults.write_text(json.dumps(values), encoding="utf-8")
    return folder / "build"


def truth_extension(folder: Path) -> Path:
    """The page's own log as an extension that runs in the page's world."""
    folder.mkdir(parents=True)
    (folder / "truth.js").write_text(TRUTH, encoding="utf-8")
    manifest = {
        "manifest_version": 3, "name": "truth", "version": "1",
        "browser_specific_settings": {"gecko": {"id": "truth@tracemark"}},
        "host_permissions": ["http://127.0.0.1/*"],
        "content_scripts": [{"matches": ["http://127.0.0.1/*"], "js": ["truth.js"], "run_at": "document_start", "world": "MAIN"}],
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def chromium(extensions: list[Path], folder: Path, downloads: Path, more: tuple[str, ...] = ()) -> webdriver.Chrome:
    """A Chromium with these extensions and `more` arguments; its profile stays in `folder` for the next one."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    loaded = ",".join(map(str, extensions))
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1280,900",
                     "--no-proxy-server", f"--load-extension={loaded}", f"--user-data-dir={folder / 'profile'}",
                     *more):  # fmt: skip
        options.add_argument(argument)
    prefs = {"download.default_directory": str(downloads), "profile.default_content_setting_values.automatic_downloads": 1,
             "credentials_enable_service": False, "profile.password_manager_leak_detection": False}  # fmt: skip
    options.add_experimental_option("prefs", prefs)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return settled(webdriver.Chrome(service=ChromeService(shutil.which("chromedriver") or ""), options=options))


def firefox(
    extensions: list[Path], folder: Path, downloads: Path, preferences: Mapping[str, Any], profile: Path | None = None
) -> webdriver.Firefox:
    """A Firefox with these extensions; with a `profile` they and what they keep stay there for the next one."""
    options = webdriver.FirefoxOptions()
    options.binary_location = shutil.which("firefox-esr") or ""
    for argument in ("-headless", "-remote-allow-system-access", "-width=1280", "-height=900"):
        options.add_argument(argument)
    if profile is not None:
        profile.mkdir(exist_ok=True)
        options.add_argument("-profile")
        options.add_argument(str(profile))
    for name, value in {
        "browser.download.folderList": 2,
        "browser.download.dir": str(downloads),
        "browser.download.always_ask_before_handling_new_types": False,
        "xpinstall.signatures.required": False,
        "extensions.webextensions.uuids": json.dumps({GECKO_ID: FIREFOX_UUID}),
        "datareporting.policy.dataSubmissionEnabled": False,
        "signon.rememberSignons": False,
        **preferences,
    }.items():
        options.set_preference(name, value)
    driver = webdriver.Firefox(options=options, service=firefox_service(geckodriver(folder), folder))
    for extension in extensions:
        driver.install_addon(str(extension), temporary=profile is None)
    return driver


@contextmanager
def browsing(
    kind: str,
    folder: Path,
    where: Place,
    *,
    auth: str,
    permissions: tuple[str, ...] = (),
    preferences: Mapping[str, Any] | None = None,
) -> Iterator[Person]:
    """A browser of this kind with the packed extension, connected to the sidecar of the place."""
    downloads = folder / "downloads"
    downloads.mkdir(parents=True)
    extension = build(folder / "extension", where, auth=auth, permissions=permissions) / kind
    extensions = [truth_extension(folder / "truth"), extension]
    journal = Journal(where.sidecar.journal)
    driver: webdriver.Chrome | webdriver.Firefox | None = None
    try:
        if kind == "chromium":
            driver = chromium(extensions, folder, downloads)
        else:
            driver = firefox(extensions, folder, downloads, preferences or {})
        driver.set_script_timeout(60)
        person = Person(driver, journal, downloads)
        overview(person, kind)  # it answers when it is ready for the first page
        yield person
    finally:
        if driver is not None:
            driver.quit()
        journal.close()


#: each browser another way in, and another way in which downloads are seen to end
WAYS = {"chromium": ("token", ("downloads",)), "firefox": ("ticket", ("webRequest",))}


def overview(person: Person, kind: str) -> dict[str, Any]:
    """What the popup would show."""
    tagged = Tagged(person.driver, kind)
    here = person.driver.current_window_handle
    tagged.own_page("popup.html")
    try:
        found: dict[str, Any] = tagged.ask({"type": "overview"})
        return found
    finally:
        person.driver.close()
        person.driver.switch_to.window(here)
