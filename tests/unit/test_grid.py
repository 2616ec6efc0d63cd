"""The grid without a grid: its status page, and how a node's downloads become files here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from replay.failures import ConnectionFailedError
from replay.grid import Grid, GridBrowser, GridError
from tests.support.http_serving import serving
from tests.support.sidecar import free_port


class Node:
    """A driver whose node has received these files; `sizes` is False for an old grid, which tells names only."""

    def __init__(self, *, sizes: bool = True) -> None:
        self.files: dict[str, int] = {}
        self.sizes = sizes
        self.handlers: dict[str, Any] = {}
        self.asked = 0
        self.fetched: list[str] = []
        self.browsing_context = SimpleNamespace(add_event_handler=self.handlers.__setitem__)
        self.switch_to = SimpleNamespace(default_content=lambda: None)

    def execute(self, command: str, _parameters: object = None) -> dict[str, Any]:
        assert command == "getDownloadableFiles"
        self.asked += 1
        files = [{"name": name, "size": size} for name, size in self.files.items()]
        return {"value": {"names": list(self.files), **({"files": files} if self.sizes else {})}}

    def execute_script(self, _script: str, *_values: object) -> str:
        return "seen"

    def download_file(self, name: str, folder: str) -> None:
        self.fetched.append(name)
        Path(folder, name).write_bytes(b"x" * self.files[name])

    def begins(self) -> None:
        self.handlers["download_will_begin"](SimpleNamespace())

    def ends(self, status: str = "complete") -> None:
        self.handlers["download_end"](SimpleNamespace(download_params=SimpleNamespace(status=status, navigation="n")))


def sizes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in folder.iterdir()}


def test_a_node_s_downloads_are_seen_as_they_grow_without_being_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("replay.grid.LIST_EVERY_S", 0.0)
    node = Node()
    browser = GridBrowser(node, tmp_path)  # type: ignore[arg-type]
    assert browser.run("anything") == "seen"
    assert node.asked == 0  # while nothing is received nobody asks
    node.begins()
    for size in (1000, 460_000_000):
        node.files = {"exam.zip.crdownload": size}
        browser.run("anything")
        assert sizes(tmp_path) == {"exam.zip.crdownload": size}
    node.files = {"exam.zip": 459_900_000}
    node.ends()
    assert sizes(tmp_path) == {"exam.zip": 459_900_000}
    assert (tmp_path / "exam.zip").stat().st_blocks == 0
    assert (node.fetched, browser.broken_downloads()) == ([], 0)
    asked = node.asked
    browser.run("anything")
    assert node.asked == asked


def test_a_download_that_breaks_off_is_counted_and_gone(tmp_path: Path) -> None:
    node = Node()
    browser = GridBrowser(node, tmp_path)  # type: ignore[arg-type]
    node.begins()
    node.files = {"exam.zip.crdownload": 5}
    browser.list_downloads()
    node.files = {}
    node.ends("canceled")
    assert (browser.broken_downloads(), sizes(tmp_path)) == (1, {})


def test_an_old_grid_sends_the_file_itself(tmp_path: Path) -> None:
    node = Node(sizes=False)
    browser = GridBrowser(node, tmp_path)  # type: ignore[arg-type]
    node.files = {"exam.zip.crdownload": 7}
    browser.list_downloads()
    assert sizes(tmp_path) == {}
    node.files = {"exam.zip": 9}
    browser.list_downloads()
    browser.list_downloads()
    assert (sizes(tmp_path), node.fetched) == ({"exam.zip": 9}, ["exam.zip"])


def test_names_from_a_node_do_not_leave_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "downloads"
    folder.mkdir()
    node = Node()
    browser = GridBrowser(node, folder)  # type: ignore[arg-type]
    node.files = {"../outside": 5, "/tmp/outside": 5, "inside": 5}
    browser.list_downloads()
    assert sizes(folder) == {"inside": 5}
    assert not (tmp_path / "outside").exists()


@pytest.fixture
def status() -> Iterator[SimpleNamespace]:
    page = SimpleNamespace(body=b"", url="")

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(page.body)))
            self.end_headers()
            self.wfile.write(page.body)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    page.url = f"http://127.0.0.1:{server.server_port}"
    with serving(server):
        yield page


def test_the_grid_s_slots_for_chrome_are_counted(status: SimpleNamespace) -> None:
    def node(availability: str, *browsers: str) -> dict[str, Any]:
        return {"availability": availability, "slots": [{"stereotype": {"browserName": name}} for name in browsers]}

    nodes = [node("UP", "chrome", "chrome", "firefox"), node("DOWN", "chrome"), node("UP", "chrome")]
    status.body = json.dumps({"value": {"ready": True, "nodes": nodes}}).encode()
    assert Grid(status.url + "/").slots() == 3


@pytest.mark.parametrize("body", [b"hello", b"{}", b'{"value": {"ready": true}}', b"[]"])
def test_what_is_no_grid_is_named(status: SimpleNamespace, body: bytes) -> None:
    status.body = body
    with pytest.raises(GridError, match=r"answers, but is no Selenium Grid 4: correct --grid"):
        Grid(status.url).slots()


def test_a_grid_that_is_away_is_named() -> None:
    with pytest.raises(ConnectionFailedError, match=r"the grid at http://127.0.0.1:\d+ cannot be reached .*refused"):
        Grid(f"http://127.0.0.1:{free_port()}").slots()
