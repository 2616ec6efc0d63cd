"""The replayer's browser by itself: native input, a label on every request of the site and of no other, nothing left behind."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from replay.browser import Browser, BrowserGoneError, opened, screenshot
from replay.chromium import BrowserMissingError, BrowserOptions, BrowserPaths
from replay.harm import HarmfulStepError, check_element
from replay.locate import Locator
from replay.sight import NotReadyError
from tests.support.waiting import wait_until

pytestmark = pytest.mark.browser

PAGE = b"""<!doctype html><title>page</title><body style="height: 3000px">
<input id="field"><button id="fetch">fetch</button><button id="download">download</button>
<a id="next" href="/next">next</a><a id="tab" href="/tab" target="_blank">tab</a>
<div style="position: relative"><button id="covered">covered</button>
<div id="cover" style="position: absolute; inset: 0"></div></div>
<button id="below" style="position: absolute; top: 2500px">below</button>
<iframe src="/frame"></iframe><img src="http://other.test:PORT/stranger"><img src="http://127.0.0.2:PORT/stranger">
<script>
const events = [];
for (const kind of ["mousedown", "mouseup", "click", "keydown", "input", "wheel"])
  addEventListener(kind, (event) => events.push([kind, event.isTrusted, event.target.id]), {capture: true, passive: true});
document.getElementById("fetch").onclick = () => fetch("/fetched");
document.getElementById("download").onclick = () => {
  const frame = document.createElement("iframe");
  frame.src = "/file.zip";
  document.body.append(frame);
};
</script>"""


class Server:
    """A site that keeps the path and the traceparent of every request, on every loopback address."""

    def __init__(self) -> None:
        self.got: list[tuple[str, str | None]] = []
        keep = self.got

        class Answer(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                keep.append((self.path, self.headers.get("traceparent")))
                file = self.path == "/file.zip"
                body = (
                    b"PK" * 1000
                    if file
                    else PAGE.replace(b"PORT", str(port).encode())
                    if self.path == "/"
                    else b"<title>t</title>"
                )
                self.send_response(200)
                self.send_header("Content-Type", "application/zip" if file else "text/html")
                if file:
                    self.send_header("Content-Disposition", "attachment; filename=file.zip")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self._http = ThreadingHTTPServer(("0.0.0.0", 0), Answer)  # noqa: S104
        port = self._http.server_port
        self.url = f"http://127.0.0.1:{port}"
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)
        self._thread.start()

    def labels(self, path: str) -> list[str | None]:
        """The traceparents of the requests to this path, once there is one."""
        return wait_until(lambda: [label for got, label in self.got if got == path], f"a request to {path}")

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


@pytest.fixture(scope="module")
def options() -> BrowserOptions:
    try:
        paths = BrowserPaths.find(os.environ)
    except BrowserMissingError as missing:
        pytest.skip(str(missing))
    return BrowserOptions(paths=paths, hosts=("127.0.0.1",), window=(1000, 700), visible=False)


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.close()


@pytest.fixture(scope="module")
def browser(options: BrowserOptions) -> Iterator[Browser]:
    with opened(options) as running:
        yield running


def on_page(browser: Browser, server: Server) -> Callable[[str], None]:
    """Open the page and return a function that clicks the element of an id."""
    browser.go(server.url + "/")
    wait_until(lambda: browser.find(Locator.parse("id=below")), "the page")
    wait_until(lambda: browser.run("return document.readyState") == "complete", "the whole page")

    def click(name: str) -> None:
        (element,) = browser.find(Locator.parse(f"id={name}"))
        assert browser.aim(element.element) is None
        browser.click()

    return click


def events(browser: Browser) -> list[list[Any]]:
    """What the page has heard so far."""
    found: list[list[Any]] = browser.run("return events")
    return found


def test_all_input_is_native(browser: Browser, server: Server) -> None:
    click = on_page(browser, server)
    click("field")
    browser.keys("a{{b{ENTER}")
    assert browser.run("return document.getElementById('field').value") == "a{b"
    browser.wheel(2)
    wait_until(lambda: browser.run("return scrollY") > 0, "the page to scroll")
    click("below")
    wait_until(lambda: ["click", True, "below"] in events(browser), "the click on what was below")
    heard = events(browser)
    assert {kind for kind, _, _ in heard} >= {"mousedown", "mouseup", "click", "keydown", "input", "wheel"}
    assert all(trusted for _, trusted, _ in heard)


def test_what_a_person_could_not_click_is_not_clicked(browser: Browser, server: Server) -> None:
    on_page(browser, server)
    (covered,) = browser.find(Locator.parse("id=covered"))
    assert browser.aim(covered.element) == "is covered by div#cover"


def test_the_label_is_on_pages_frames_fetches_downloads_and_new_tabs(browser: Browser, server: Server) -> None:
    browser.label("first")
    click = on_page(browser, server)
    assert server.labels("/") == ["first"]
    assert server.labels("/frame") == ["first"]
    browser.label("second")
    click("fetch")
    click("download")
    assert server.labels("/fetched") == ["second"]
    assert server.labels("/file.zip") == ["second"]

    def received() -> list[bytes]:
        # Chromium puts an empty file there to hold the name, until what it has received is moved to it
        return list(filter(None, (path.read_bytes() for path in browser.downloads.glob("*.zip"))))

    assert wait_until(received, "the file") == [b"PK" * 1000]
    browser.label("third")
    click("tab")
    assert server.labels("/tab") == ["third"]
    click("next")
    assert server.labels("/next") == ["third"]


def test_no_other_host_is_reached(browser: Browser, server: Server) -> None:
    on_page(browser, server)
    wait_until(lambda: browser.run("return [...document.images].every((one) => one.complete)"), "the strange images to fail")
    assert browser.run("return [...document.images].map((one) => one.naturalWidth)") == [0, 0]
    assert [path for path, _ in server.got if path == "/stranger"] == []


def test_the_version_of_browser_and_driver_are_known(browser: Browser) -> None:
    versions = browser.versions()
    assert versions["browser"].startswith("chrom")
    assert versions["driver"].split(".")[0].isdigit()


def own_processes() -> set[int]:
    """All processes of this machine that are below this one, dead ones too."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
    below, todo = set(), [os.getpid()]
    while todo:
        parent = todo.pop()
        children = {pid for pid, its_parent in parents.items() if its_parent == parent}
        below |= children
        todo += children
    return below


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_neither_processes_nor_files_stay(options: BrowserOptions, server: Server) -> None:
    before = own_processes()
    with ExitStack() as stack:
        browser = stack.enter_context(opened(options))
        browser.go(server.url + "/")
        started = own_processes() - before
        assert len(started) > 3
        assert browser.downloads.is_dir()
    wait_until(lambda: not [pid for pid in started if Path(f"/proc/{pid}").exists()], "all of its processes to be gone")
    assert not browser.downloads.parent.exists()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_a_browser_that_dies_is_said_and_cleaned_up(options: BrowserOptions, server: Server) -> None:
    before = own_processes()
    started: set[int] = set()

    def use_and_lose() -> None:
        with opened(options) as browser:
            browser.go(server.url + "/")
            started.update(own_processes() - before)
            kill(started)
            wait_until(lambda: look(browser), "the loss to be noticed")

    with pytest.raises(BrowserGoneError, match="the browser is gone"):
        use_and_lose()
    wait_until(lambda: not [pid for pid in started if Path(f"/proc/{pid}").exists()], "all of its processes to be gone")


def look(browser: Browser) -> bool:
    """Look at the page once; a look may fail while the page changes."""
    with suppress(NotReadyError):
        browser.run("return 1")
    return False


def kill(pids: set[int]) -> None:
    """End those of these processes that are the browser itself."""
    for pid in pids:
        try:
            name = Path(f"/proc/{pid}/comm").read_text().strip()
        except FileNotFoundError:
            continue
        if name == "chromium":
            os.kill(pid, 9)


def test_all_that_driver_and_browser_leave_is_in_one_folder_that_goes(
    server: Server, options: BrowserOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory(prefix="tm-") as short:  # pytest's own paths are too long for Chromium's socket
        monkeypatch.setattr(tempfile, "tempdir", short)
        with opened(options) as browser:
            on_page(browser, server)
            (folder,) = Path(short).iterdir()
            assert browser.downloads.parent == folder
            assert list((folder / "tmp").iterdir()), "Chromium's own temporary files"
        assert list(Path(short).iterdir()) == []


def test_a_browser_starts_below_a_folder_with_a_long_name(
    server: Server, options: BrowserOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / "a-folder-for-temporary-files-whose-name-is-as-long-as-some-systems-make-it"
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with opened(options) as browser:
        on_page(browser, server)


#: markup -> whether pressing `#it` deletes something
PRESSED = {
    '<a id="it" href="/app/action/DeleteXnat">go</a>': True,
    '<a href="#" onclick="XNAT.remove()"><span id="it">go</span></a>': True,
    '<button id="it">Delete this session</button>': True,
    '<form action="/data/services/prearchive/delete"><input type="submit" id="it" value="go"></form>': True,
    '<form action="/data/services/prearchive/delete"><input id="it" value="delete"></form>': False,
    '<form action="/search"><input type="submit" id="it" value="Search"></form>': False,
    '<a id="it" href="/data/projects">Download</a>': False,
    '<table><tr id="it"><td>row</td><td><button>Delete</button></td></tr></table>': False,
}


def test_what_would_delete_is_seen_before_it_is_pressed(browser: Browser, server: Server) -> None:
    on_page(browser, server)
    for markup, deletes in PRESSED.items():
        browser.run("document.querySelector('#try')?.remove()")
        browser.run("document.body.insertAdjacentHTML('afterbegin', `<div id=try>${arguments[0]}</div>`)", markup)
        (seen,) = browser.find(Locator.parse("id=it"))
        browser.run("arguments[0].focus()", seen.element)
        focused = browser.run("return document.activeElement === arguments[0]", seen.element)
        for element in (seen.element, *([None] if focused else [])):
            told = pytest.raises(HarmfulStepError, match="deletes something") if deletes else nullcontext()
            with told:
                check_element(browser, element, may_delete=False)
            check_element(browser, element, may_delete=True)


def test_a_browser_that_cannot_start_is_said(options: BrowserOptions) -> None:
    broken = BrowserOptions(
        paths=BrowserPaths(driver=options.paths.driver, browser="/bin/false"),
        hosts=("127.0.0.1",),
        window=(800, 600),
        visible=False,
    )
    with pytest.raises(BrowserGoneError, match="the browser does not start"), opened(broken):
        pass
    broken = replace(broken, paths=BrowserPaths(driver="/bin/false", browser=options.paths.browser))
    with (
        pytest.raises(BrowserGoneError, match=r"the driver /bin/false does not start: try `/bin/false --version`"),
        opened(broken),
    ):
        pass


def test_a_picture_of_a_page(server: Server, tmp_path: Path, options: BrowserOptions) -> None:
    screenshot(server.url + "/", tmp_path / "page.png", ready="#below")
    assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")
