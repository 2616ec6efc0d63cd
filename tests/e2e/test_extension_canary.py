"""A word of its own in every place that holds content; none of them, in any form, leaves the page or is kept outside of it.

The whole extension in Chromium and Firefox, a real sidecar that says all it can, the practice system and its nginx. Searched are
the extension's socket, its storage (through its own page, and as files), the sidecar's journal, log and what it ships.

Not searched: nginx's own log. Our format has `$uri`, which holds labels: it is the site's log on the site's machine, and routes
are made of its paths when the sidecar reads it. The test feeds this log to the sidecar, asserts that the words stand there, and
that none of them comes through to the journal. XNAT's and Tomcat's own logs are the site's in the same way.

In Firefox the sidecar has a host name of its own: a browser sends the cookies of a host to all its ports, and Firefox does so
with an extension's WebSocket, too. No extension can prevent that; behind the site's name nginx takes the cookie off.
"""

from __future__ import annotations

import base64
import copy
import io
import json
import os
import sqlite3
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Keys

from tests.support.canary import Canaries, Store, Tap, forms
from tests.support.extension import BROWSERS, FIREFOX_UUID, Tagged
from tests.support.extension_page import Person
from tests.support.extension_page_steps import Visit
from tests.support.extension_together import Journal, Place, build, chromium, firefox, overview, place, truth_extension
from tests.support.lab_web import dicom_slice
from tests.support.waiting import wait_until

pytestmark = pytest.mark.browser

#: free text of DICOM, all of it planted
TAGS = ("PatientName", "PatientID", "PatientComments", "OtherPatientNames", "InstitutionName", "InstitutionAddress",
        "ReferringPhysicianName", "OperatorsName", "StationName", "StudyDescription", "SeriesDescription", "StudyID",
        "AccessionNumber", "ProtocolName", "ImageComments")  # fmt: skip
PLANT = """
const [words, quiet] = arguments;
document.title = words.title;
document.cookie = `kanarie=${words.cookie}; path=/`;
localStorage.setItem("kanarie", words.storage);
const all = "a, button, input, select, label, th, td, li, h1, h2, option, form, canvas, div, section";
for (const one of document.querySelectorAll(all)) {
  one.setAttribute("aria-label", words.aria);
  one.setAttribute("data-kanarie", words.data);
}
for (const one of document.querySelectorAll("input")) one.placeholder = words.placeholder;
if (!quiet) for (const one of document.querySelectorAll("h1, h2, th, td, a, button")) one.append(` ${words.text}`);
"""
#: everything that the extension keeps, as its own page can read it
KEPT = """
const done = arguments[0], {storage} = globalThis.browser ?? globalThis.chrome;
const asked = (request) => new Promise((good, bad) => { request.onsuccess = () => good(request.result); request.onerror = bad; });
(async () => {
  const kept = {local: await storage.local.get(null), session: await storage.session.get(null), databases: {}};
  for (const {name} of await indexedDB.databases()) {
    const database = await asked(indexedDB.open(name));
    for (const store of database.objectStoreNames) {
      kept.databases[`${name}/${store}`] = await asked(database.transaction(store).objectStore(store).getAll());
    }
    database.close();
  }
  kept.caches = await caches.keys();
  kept.page = {...localStorage};
  return JSON.stringify(kept);
})().then(done, (error) => done(String(error)));"""
#: puts a word where the search must find it
PUT = """
const [word, done] = arguments, {storage} = globalThis.browser ?? globalThis.chrome;
(async () => {
  await storage.local.set({control: word});
  const request = indexedDB.open("tracemark");
  await new Promise((good) => (request.onsuccess = good));
  const change = request.result.transaction("counters", "readwrite", {durability: "strict"});
  change.objectStore("counters").put({word}, "control");
  await new Promise((good) => (change.oncomplete = good));
  request.result.close();
})().then(() => done(true), (error) => done(String(error)));"""


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place(tmp_path_factory.mktemp("canary"), f"canary-{os.getpid()}-") as running:
        yield running


def exam(where: Place, canaries: Canaries) -> str:
    """An exam with a word in every text of its DICOM files and in each of its labels, in the archive; its id."""
    content = io.BytesIO()
    study = f"1.2.826.0.1.3680043.10.77.{os.getpid()}"
    with zipfile.ZipFile(content, "w") as archive:
        for number in (2, 3):
            for instance in range(1, 11):
                archive.writestr(
                    f"{canaries('file in the archive')}/{number}-{instance}.dcm", dicom(canaries, study, number, instance)
                )
    labels = {"project": "COVID19_CT", "subject": canaries("subject label"), "session": canaries("session label")}
    query = urllib.parse.urlencode({"import-handler": "DICOM-zip", "prearchive_code": "1", **labels})
    said = ask(where, f"/data/services/import?{query}", content.getvalue())
    assert canaries("session label") in said
    path = f"/data/projects/COVID19_CT/subjects/{labels['subject']}/experiments/{labels['session']}?format=json"
    found: str = json.loads(ask(where, path))["items"][0]["data_fields"]["ID"]
    return found


def dicom(canaries: Canaries, study: str, number: int, instance: int) -> bytes:
    """One slice, with a word in each text."""
    made = dicom_slice(
        patient="x", study=study, series=f"{study}.{number}", series_number=number, instance=instance, description="x"
    )
    for tag in TAGS:
        setattr(
            made,
            tag,
            canaries(f"DICOM {tag}")[:16] if tag in ("StudyID", "AccessionNumber", "StationName") else canaries(f"DICOM {tag}"),
        )
    content = io.BytesIO()
    made.save_as(content, enforce_file_format=True)
    return content.getvalue()


def ask(where: Place, path: str, body: bytes | None = None) -> str:
    """What the practice system answers a researcher's program."""
    request = urllib.request.Request(where.url + path, data=body, headers={"Content-Type": "application/zip"})
    word = base64.b64encode(f"researcher:{where.lab.users['researcher']}".encode()).decode()
    request.add_header("Authorization", f"Basic {word}")
    with urllib.request.urlopen(request, timeout=30) as answer:
        text: str = answer.read().decode()
        return text


class Planter(Visit):
    """A person whose every page is full of words before anything is done there."""

    def __init__(self, person: Person, where: Place, canaries: Canaries) -> None:
        super().__init__(person, where.lab)
        self.canaries = canaries

    def plant(self, quiet: bool = False) -> None:
        """Put the words into the page as it is."""
        places = ("title", "cookie", "storage", "aria", "data", "placeholder", "text")
        self.person.run(PLANT, {place: self.canaries(f"page {place}") for place in places}, quiet)

    def everything(self, exam_id: str, folder: Path) -> None:
        """All actions of the catalogue, with words wherever one can be typed."""
        word, person = self.canaries, self.person
        person.driver.get(f"{self.url}/app/template/Login.vm?{word('query name')}={word('query value')}#{word('fragment')}")
        self._at_login = True
        self.plant()
        self.log_in(user=word("user name"), password=word("password"))
        self.plant()
        self.log_in(way="enter")
        self.plant()
        person.driver.get(f"{self.url}/data/projects/COVID19_CT/subjects/{word('URL part')}")
        person.driver.get(f"{self.url}/app/template/Index.vm?{word('another query')}=1")
        self.plant()
        self.project()
        self.plant()
        self.tab()
        self.sort()
        self.filter(word("filter"))
        self.clear_filter()
        self.csv()
        person.find("#searchValue").send_keys(word("search, not sent"), Keys.BACKSPACE)
        self.quick_search(word("search"))
        self.session_page(exam_id)
        self.plant()
        self.download_scans()
        self.viewer(exam_id)
        self.upload_canaries(folder)
        self.log_out()

    def session_page(self, exam_id: str) -> None:
        """The page of the exam."""
        since = self.person.now()
        self.person.driver.get(f"{self.url}/data/experiments/{exam_id}")
        self._loaded("/experiments/", since)

    def viewer(self, exam_id: str) -> None:
        """Everything that is done with images."""
        self.session_page(exam_id)
        self.open_viewer()
        self.plant(quiet=True)  # a script of its own draws it, and would stumble over foreign texts
        self.scroll_by_wheel(5)
        self.change_by_click(1)
        self.play(0.5)
        self.measure()
        self.home_in_viewer()

    def upload_canaries(self, folder: Path) -> None:
        """A file with a word for a name and words within."""
        archive = folder / f"{self.canaries('upload file name')}.zip"
        with zipfile.ZipFile(archive, "w") as packed:
            packed.writestr(
                f"{self.canaries('file within the upload')}.dcm", dicom(self.canaries, "1.2.826.0.1.3680043.10.78", 1, 1)
            )
        self.upload(archive)


def kept_by(tagged: Tagged) -> bytes:
    """What the extension keeps, through its own page."""
    here = tagged.driver.current_window_handle
    tagged.own_page("manifest.json" if tagged.kind == "chromium" else "popup.html")
    try:
        text: str = tagged.driver.execute_async_script(KEPT)
        assert text.startswith("{"), text
        return json.dumps(json.loads(text), ensure_ascii=False).encode()
    finally:
        tagged.driver.close()
        tagged.driver.switch_to.window(here)


def files_of(profile: Path, identity: str) -> bytes:
    """The files in which the browser keeps what the extension stores."""
    found = [path for path in profile.rglob("*") if path.is_file() and identity in str(path)]
    assert found, f"no file of {identity} in {profile}"
    return b"\n".join(read(path) for path in found)


def read(path: Path) -> bytes:
    with suppress(FileNotFoundError):  # a browser tidies up
        return path.read_bytes()
    return b""


def journal_of(path: Path) -> dict[str, bytes]:
    """The journal's files as they are, and every value of every row."""
    files = [Path(f"{path}{end}") for end in ("", "-wal", "-shm")]
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as opened:
        tables = [name for (name,) in opened.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = [row for table in tables for row in opened.execute(f'SELECT * FROM "{table}"')]  # noqa: S608 (its own names)
    return {"the journal's files": b"".join(read(file) for file in files), "the journal's rows": repr(rows).encode()}


def connections_of(net_log: Path, base: str) -> set[str]:
    """Hosts that Chromium was asked for on the extension's behalf, from the browser's own log of its network."""
    events: list[Any] = []
    for line in net_log.read_text(encoding="utf-8", errors="replace").splitlines():
        with suppress(ValueError):
            events.append(json.loads(line.rstrip(",")))
    asked = [one.get("params", {}) for one in events if isinstance(one, dict)]
    mine = [one for one in asked if str(one.get("initiator", "")).startswith(base.rstrip("/")) and "url" in one]
    return {urllib.parse.urlsplit(one["url"]).netloc for one in mine if not one["url"].startswith(base)}


@pytest.mark.parametrize("kind", BROWSERS)
def test_no_word_of_any_page_leaves_it(kind: str, where: Place, tmp_path: Path) -> None:
    canaries = Canaries()
    with Store().running() as store, Tap(where.sidecar.markers).running() as tap:
        where.sidecar.stop()
        where.sidecar.settings |= {
            "TRACEMARK_LOG_LEVEL": "debug",
            "TRACEMARK_INFLUX_URL": store.url,
            "TRACEMARK_INFLUX_TOKEN": "any",
            "TRACEMARK_MIN_GROUP": "1",
            "TRACEMARK_CONTEXT_PATH": where.lab.context_path,
            **{f"TRACEMARK_{name.upper()}_LOG": path for name, path in where.lab.log_files.items()},
        }
        where.sidecar.start()
        exam_id = exam(where, canaries)
        tapped = Place(lab=where.lab, sidecar=copy.copy(where.sidecar))
        tapped.sidecar.markers = tap.address if kind == "chromium" else tap.address.replace("127.0.0.1", "localhost")
        net_log = tmp_path / "net.json"
        built = build(tmp_path / "extension", tapped, auth="token", permissions=("downloads",)) / kind
        extensions = [truth_extension(tmp_path / "truth"), built]
        downloads = tmp_path / "downloads"
        downloads.mkdir()
        journal = Journal(where.sidecar.journal)
        if kind == "chromium":
            driver: Any = chromium(extensions, tmp_path, downloads, (f"--log-net-log={net_log}",))
        else:
            driver = firefox(extensions, tmp_path, downloads, {})
        try:
            driver.set_script_timeout(20)
            person = Person(driver, journal, downloads)
            tagged = Tagged(driver, kind)
            wait_until(lambda: overview(person, kind)["recording"], "the extension to be ready", 40)
            Planter(person, where, canaries).everything(exam_id, tmp_path)
            names = {"login", "logout", "page_load", "filter_search", "download", "open_viewer", "change_scan", "scroll", "play",
                     "annotate", "upload"}  # fmt: skip
            wait_until(
                lambda: names <= {one.action for one in journal.actions() if one.phase == "end"},
                f"every action, not without {names - {one.action for one in journal.actions()}}",
                40,
            )
            where.sidecar.kill()  # from here on the outbox holds something
            Planter(person, where, canaries).log_in(user=canaries("user name"), password=canaries("password"))
            wait_until(lambda: overview(person, kind)["unsent"]["count"] > 0, "something in the outbox", 40)
            profile = tmp_path / "profile" if kind == "chromium" else Path(driver.capabilities["moz:profile"])
            identity = tagged.base().split("/")[2] if kind == "chromium" else FIREFOX_UUID
            searched = {
                **tap.heard(),
                "what the extension keeps": kept_by(tagged),
                "the extension's files": files_of(profile, identity),
                **journal_of(where.sidecar.journal),
                "the sidecar's log": where.sidecar.said.encode(),
                "what is shipped": bytes(store.written),
            }
            assert canaries.found_in(searched) == []
            assert b"filter_search" in searched["the socket's messages"], "the tap hears"
            assert b"open_viewer" in searched["the journal's rows"]
            assert b"action" in searched["what is shipped"]

            log = {"nginx's log": b"".join(read(Path(path)) for path in Path("/").glob(where.lab.log_files["nginx"].lstrip("/")))}
            in_log = {line.partition(" in ")[0] for line in canaries.found_in(log)}
            assert {"URL part", "session label"} & in_log, "paths hold labels there, and the sidecar has read them"
            assert not {"query value", "password", "search"} & in_log, "but no query and nothing that was sent"

            # the search finds what is there
            control = canaries("control")
            tagged.own_page("manifest.json" if kind == "chromium" else "popup.html")
            assert tagged.driver.execute_async_script(PUT, control) is True
            tagged.driver.close()
            tagged.driver.switch_to.window(tagged.driver.window_handles[0])
            found = canaries.found_in({"kept": kept_by(tagged)})
            assert "control in kept as text" in found
            wait_until(lambda: canaries.found_in({"files": files_of(profile, identity)}), "the word in the files", 20)
        finally:
            driver.quit()
            journal.close()
            where.sidecar.start()
        if kind == "chromium":
            assert connections_of(net_log, tagged.base()) == {tap.address}, "it speaks to the sidecar alone"


def test_the_search_finds_a_word_in_every_form_and_in_a_masked_stream() -> None:
    """Without this, finding nothing would mean nothing."""
    canaries = Canaries()
    word = canaries("here")
    for form, needle in forms(word).items():
        assert f"here in there as {form}" in canaries.found_in({"there": b"before " + needle + b" after"}), form
    for before in (b"", b"a", b"ab", b"abc"):
        encoded = base64.b64encode(before + word.encode() + b" and more")
        assert any("base64" in one for one in canaries.found_in({"there": encoded})), before
    tap = Tap("127.0.0.1:1")
    mask = b"\x01\x02\x03\x04"
    masked = bytes(byte ^ mask[place % 4] for place, byte in enumerate(word.encode()))
    frame = bytes([0x81, 0x80 | len(masked)]) + mask + masked
    tap.streams.append((bytearray(b"GET / HTTP/1.1\r\n\r\n" + frame), bytearray()))
    assert canaries.found_in(tap.heard()) == [
        "here in the socket's messages as text",
        "here in the socket's messages as URL-encoded",
        "here in the socket's messages as form-encoded",
    ]
