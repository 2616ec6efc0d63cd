"""`tracemark replay` as people run it, in a real browser: a whole campaign in the lab, and each way in which one can go wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from replay.browser import opened
from replay.chromium import BrowserMissingError, BrowserOptions, BrowserPaths, BrowserVersionError
from sidecar.journal.memory import MemoryJournal
from sidecar.model.records import Action, Marker, Session, Transfer
from tests.support.marker_fakes import Served, serving, url_of
from tests.support.replay_fakes import click
from tests.support.replay_site import Site, site
from tests.support.sidecar import free_port
from tests.support.unreliable_site import unreliable_site
from tests.support.waiting import wait_until

pytestmark = pytest.mark.browser

OPEN = {
    "step": "open",
    "name": "open the site",
    "path": "/",
    "action": "page_load",
    "expect": [{"kind": "page"}],
    "timeout_s": 60,
}
LOGIN = click(
    name="log in",
    targets=["id=go"],
    action="login",
    expect=[{"kind": "page", "path": "/home"}],
    refuse=[{"kind": "page", "path": "/enter", "because": "check the password"}],
    timeout_s=60,
)
DOWNLOAD = click(
    name="download", targets=["id=exam"], action="download", expect=[{"kind": "download", "name": "zip$"}], timeout_s=600
)


#: a driver that speaks as one does that does not fit the browser
MISFIT = """
import json, os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/shutdown":
            os._exit(0)
        self.tell(200, {"ready": True, "message": "ready"})

    def do_POST(self):
        words = "session not created: This version of ChromeDriver only supports Chrome version 99"
        self.tell(500, {"error": "session not created", "message": words, "stacktrace": ""})

    def tell(self, status, value):
        body = json.dumps({"value": value}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

port = next(int(word.partition("=")[2]) for word in sys.argv if word.startswith("--port="))
HTTPServer(("127.0.0.1", port), Answer).serve_forever()
"""


@pytest.fixture(autouse=True)
def programs() -> BrowserPaths:
    try:
        return BrowserPaths.find(os.environ)
    except BrowserMissingError as missing:
        pytest.skip(str(missing))


class Command:
    """`tracemark replay` with a scenario of these steps."""

    def __init__(self, folder: Path, url: str, *steps: Mapping[str, Any]) -> None:
        self.out = folder / "out"
        self.run_folder = self.out / "r1"
        file = folder / "tried.json"
        file.write_text(json.dumps({"format": 1, "scenario": "tried", "role": "tester", "steps": steps}))
        self.line = [sys.executable, "-m", "sidecar", "replay", str(file), "--url", url, "--setup", "lan", "--run-id", "r1"]
        self.line += ["--out", str(self.out), "--markers", "none"]
        self.told = ""

    def run(self, *more: str) -> int:
        """Run it to its end; its exit status."""
        done = subprocess.run([*self.line, *more], capture_output=True, text=True, timeout=100, check=False)
        self.told = done.stdout + done.stderr
        return done.returncode

    def failures(self) -> list[dict[str, Any]]:
        """The failures of all attempts, after checking that each left its evidence."""
        found = []
        for folder in sorted((self.run_folder / "failed").iterdir()):
            assert (folder / "screenshot.png").read_bytes().startswith(b"\x89PNG")
            assert "token=" not in (folder / "browser.log").read_text()
            found.append(json.loads((folder / "result.json").read_text())["failure"])
        return found


def test_a_site_that_is_away_is_waited_for_until_the_time_out(tmp_path: Path) -> None:
    command = Command(tmp_path, f"http://127.0.0.1:{free_port()}", OPEN)
    assert command.run("--timeout", "1") == 1
    assert "repetition 1 failed at step 1 (open the site): the site cannot be reached (ERR_CONNECTION_REFUSED)" in command.told
    assert "0 of 1 repetitions" in command.told
    assert {one["kind"] for one in command.failures()} == {"connection"}
    assert json.loads((command.run_folder / "summary.json").read_text())["failed"] == len(command.failures()) >= 1


def test_a_certificate_that_nobody_trusts_ends_it_at_once(tmp_path: Path) -> None:
    with unreliable_site(tls=tmp_path) as broken:
        command = Command(tmp_path, broken.url, OPEN)
        assert command.run() == 1
    assert "the site's certificate is not trusted (ERR_CERT_AUTHORITY_INVALID)" in command.told
    assert [one["kind"] for one in command.failures()] == ["certificate"]


def test_a_locked_account_ends_it_at_once(tmp_path: Path) -> None:
    with unreliable_site() as broken:
        command = Command(tmp_path, broken.url, OPEN, LOGIN)
        assert command.run("--repetitions", "3") == 1
        assert broken.seen.count("/enter") == 1
    assert "does not take the account (Your account has been locked.): have the account unlocked" in command.told
    assert [(one["kind"], one["step"], one["name"]) for one in command.failures()] == [("account", 2, "log in")]


def test_a_download_that_breaks_off_is_played_again(tmp_path: Path) -> None:
    with unreliable_site() as broken:
        broken.breaks = 1
        command = Command(tmp_path, broken.url, OPEN, DOWNLOAD)
        assert command.run() == 0, command.told
    assert "a download broke off" in command.told
    assert [(one["kind"], one["step"]) for one in command.failures()] == [("connection", 2)]
    manifest = json.loads((command.run_folder / "manifest.json").read_text())
    assert manifest["exam_bytes"] == 400_002
    transfers = json.loads((command.run_folder / "repetition-001" / "transfers.json").read_text())
    assert transfers["source"] == "browser"
    assert transfers["whole"]["down_bytes"] > 400_000


def test_a_driver_of_another_version_is_named(programs: BrowserPaths, tmp_path: Path) -> None:
    driver = tmp_path / "chromedriver"
    driver.write_text(f"#!{sys.executable}\n{MISFIT}")
    driver.chmod(0o755)
    paths = BrowserPaths(driver=str(driver), browser=programs.browser)
    options = BrowserOptions(paths=paths, hosts=("127.0.0.1",), window=(800, 600), visible=False)
    with pytest.raises(BrowserVersionError, match=r"is of another version than the browser .*only supports Chrome version 99"):
        with opened(options):
            pytest.fail("it opened")


def test_a_browser_that_is_missing_is_named_before_anything_is_done(tmp_path: Path) -> None:
    command = Command(tmp_path, "http://127.0.0.1:1", OPEN)
    assert command.run("--chromium", "/no/such/browser") == 2
    assert "/no/such/browser is not there: install the package chromium" in command.told
    assert not command.out.exists()


def lab_command(lab: Site, folder: Path, scenario: str, *more: str) -> list[str]:
    line = [sys.executable, "-m", "sidecar", "replay", scenario, "--url", lab.url, "--setup", "lan", "--run-id", "r1"]
    return [*line, "--out", str(folder / "out"), "--set", "pace=40", "--seed", "4", *more]


def finished(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "out" / "r1").glob("repetition-???"))


def test_a_campaign_that_is_interrupted_is_finished_by_the_same_command_and_told_whole(tmp_path: Path) -> None:
    """Ctrl-C in mid-run, the sidecar away for the first repetition: in the end N repetitions, each told once, none twice."""
    port = free_port()
    with site(tmp_path / "lab") as lab:
        environment = {**os.environ, **lab.environment("researcher")}
        url = f"ws://127.0.0.1:{port}/markers"
        line = lab_command(lab, tmp_path, "researcher", "--repetitions", "2", "--markers", url)
        with (tmp_path / "first.txt").open("w") as told:
            process = subprocess.Popen(line, env=environment, stdout=told, stderr=subprocess.STDOUT)
            wait_until(lambda: finished(tmp_path) == ["repetition-001"] or process.poll() is not None, "one repetition", 120)
            part = tmp_path / "out" / "r1" / "repetition-002.part"
            wait_until(lambda: part.exists() or process.poll() is not None, "the next one to begin", 60)
            process.send_signal(signal.SIGINT)
            assert process.wait(90) == 130
        told_first = (tmp_path / "first.txt").read_text()
        assert "no answer from the marker channel" in told_first
        assert "the same command with --run-id r1 goes on where it stopped" in told_first
        assert finished(tmp_path) == ["repetition-001"]
        assert not part.exists()
        journal = MemoryJournal()
        with serving(journal=journal, port=port) as served:
            assert subprocess.run(line, env=environment, timeout=240, check=False).returncode == 0
            assert url_of(served.server) == url
            check_told(tmp_path, served)


def check_told(folder: Path, served: Served) -> None:
    assert finished(folder) == ["repetition-001", "repetition-002"]
    assert list((folder / "out" / "r1" / "outbox").iterdir()) == []
    results = [json.loads((folder / "out" / "r1" / name / "result.json").read_text()) for name in finished(folder)]
    assert [one["seed"] for one in results] == [5, 6]
    markers = [marker for _, marker in served.journal.read(Marker, limit=10**6)]
    known = {session.session: session for _, session in served.journal.read(Session, limit=10**6)}
    for one in results:
        assert (known[one["session"]].run, known[one["session"]].repetition) == ("r1", one["repetition"])
        told = [marker for marker in markers if marker.session == one["session"]]
        # the channel of these tests knows five actions only
        ids = [action["action_id"] for action in one["actions"] if action["action"] in ("login", "page_load")]
        for phase in ("begin", "end"):
            assert sorted(marker.action_id for marker in told if marker.phase == phase) == sorted(ids)
        transfers = [transfer for _, transfer in served.journal.read(Transfer, limit=10**6) if transfer.session == one["session"]]
        assert {transfer.method for transfer in transfers} == {"browser"}
        assert None in {transfer.action_id for transfer in transfers}
    assert len({(marker.session, marker.seq) for marker in markers}) == len(markers)
    assert not [action for _, action in served.journal.read(Action) if action.outcome == "unfinished"]
