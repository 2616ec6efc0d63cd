"""Several virtual users at once with real browsers in the lab, and one of them on a Selenium Grid."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from replay.chromium import BrowserPaths
from replay.lab.folders import StateFolder
from sidecar.journal.memory import MemoryJournal
from sidecar.model.records import Marker, Session
from tests.support.grid import running_grid
from tests.support.marker_fakes import serving, url_of
from tests.support.replay_site import Site, site
from tests.support.waiting import wait_until

pytestmark = pytest.mark.browser

USERS = 3
#: those steps of the researcher's that are light: log in, search, log out
_LIGHT = ("open the site", "user", "password", "log in", "search words", "search", "log out")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("users-lab"), users=USERS) as running:
        yield running


class Command:
    """`tracemark replay` for three users, whose browsers have their profiles below a folder that is known."""

    def __init__(self, lab: Site, folder: Path, profiles: Path, scenario: str, *more: str) -> None:
        self.run_folder = folder / "out" / "r1"
        self.profiles = profiles
        accounts = StateFolder(Path(lab.lab.directory)).accounts_file
        self.line = [sys.executable, "-m", "sidecar", "replay", scenario, "--url", lab.url, "--setup", "lan", "--run-id", "r1"]
        self.line += ["--out", str(folder / "out"), "--set", "pace=40", "--seed", "4", "--no-route", "--accounts", str(accounts)]
        self.line += more
        self.environment = {**os.environ, "TMPDIR": str(self.profiles)}

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(self.line, env=self.environment, stderr=subprocess.PIPE, text=True)

    def run(self) -> str:
        """Run it to its good end; what it said."""
        done = subprocess.run(self.line, env=self.environment, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def results(self) -> list[dict[str, Any]]:
        files = sorted(self.run_folder.glob("repetition-001/user-*/result.json"))
        return [json.loads(file.read_text()) for file in files]

    def browsers(self) -> list[int]:
        """The processes that were started with a profile of ours."""
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and str(self.profiles).encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:  # it has ended
                continue
        return found


@pytest.fixture
def profiles() -> Iterator[Path]:
    """A folder of a short name: the browser makes a socket in it, whose path may have 107 letters only."""
    with tempfile.TemporaryDirectory(prefix="users-") as folder:
        yield Path(folder)


@pytest.fixture
def light(tmp_path: Path) -> str:
    """A scenario of the light steps; its first search is from the start page, which has the same field."""
    source = json.loads(resources.files("replay").joinpath("scenarios/researcher.json").read_text(encoding="utf-8"))
    steps = [step for step in source["steps"] if step["name"] in _LIGHT]
    assert len(steps) == len(_LIGHT)
    file = tmp_path / "light.json"
    file.write_text(json.dumps({**source, "scenario": "light", "steps": steps}))
    return str(file)


def test_users_at_once_are_complete_sessions_also_after_an_interrupt(
    lab: Site, light: str, tmp_path: Path, profiles: Path
) -> None:
    """Ctrl-C while all play ends every browser; the same command then plays all of them, and no marker is lost."""
    journal = MemoryJournal()
    with serving(journal=journal) as served:
        command = Command(lab, tmp_path, profiles, light, "--users", str(USERS), "--markers", url_of(served.server))
        process = command.start()
        part = command.run_folder / "repetition-001.part"
        started = f"{USERS} browsers that run"
        wait_until(lambda: len(list(part.glob("user-*"))) == USERS and len(command.browsers()) >= USERS, started, 60)
        process.send_signal(signal.SIGINT)
        assert "goes on where it stopped" in process.communicate(timeout=90)[1]
        assert process.returncode == 130
        assert command.browsers() == []
        assert command.results() == []
        assert not part.exists()
        assert f"{USERS} browsers at once" in command.run() or (os.cpu_count() or 1) >= USERS
        check_told(command, journal)
        sessions = [session for _, session in journal.read(Session, limit=1000)]
        (whole,) = [one for one in sessions if one.outcome is not None]
        users = Counter(one.attempt for one in sessions if one.outcome is None)
        # of the attempt that was interrupted those who had come to say who they are, at most once each
        assert (whole.outcome, users.pop(whole.attempt)) == ("finished", USERS)
        assert len(users) <= 1
        assert users.total() <= USERS
    logins = {line.session for line in lab.lines() if line.path == "/login"}
    assert {one["session"] for one in command.results()} <= logins
    assert command.browsers() == []


def check_told(command: Command, journal: MemoryJournal) -> None:
    results = command.results()
    assert [(one["user"], one["failure"]) for one in results] == [(1, None), (2, None), (3, None)]
    assert len({one["session"] for one in results}) == len({one["seed"] for one in results}) == USERS
    assert list((command.run_folder / "outbox").iterdir()) == []
    known = {session.session: session for _, session in journal.read(Session, limit=1000)}
    markers = [marker for _, marker in journal.read(Marker, limit=10**6)]
    for one in results:
        told = known[one["session"]]
        expected = ("r1", 1, "lan", f"replay.user-0{one['user']}")
        assert (told.run, told.repetition, told.setup, told.client) == expected
        actions = [action["action"] for action in one["actions"]]
        assert actions == ["page_load", "login", "filter_search", "logout"]
        # the channel of these tests knows five actions only
        ids = [action["action_id"] for action in one["actions"] if action["action"] in ("login", "page_load")]
        for phase in ("begin", "end"):
            mine = [marker.action_id for marker in markers if marker.session == one["session"] and marker.phase == phase]
            assert sorted(mine) == sorted(ids)


def test_a_session_on_a_grid_is_as_any_other(lab: Site, paths: BrowserPaths, tmp_path: Path, profiles: Path) -> None:
    """Labels, markers, and a download that stays on the node: the whole scenario of the researcher."""
    folder = tmp_path / "grid"
    folder.mkdir()
    with running_grid(folder, paths) as grid:
        command = Command(
            lab, tmp_path, profiles, "researcher", "--grid", grid.url, "--markers", "none", "--chromedriver", "/no/such/driver"
        )
        command.run()
        assert grid.slots() == 2
    result = json.loads((command.run_folder / "repetition-001" / "result.json").read_text())
    assert result["failure"] is None
    (download,) = [action for action in result["actions"] if action["action"] == "download"]
    sent = [line.sent_bytes for line in lab.lines() if line.action_id == download["action_id"]]
    assert 1_000_000 < download["attributes"]["bytes"] <= max(sent)
    transfers = json.loads((command.run_folder / "repetition-001" / "transfers.json").read_text())
    assert transfers["whole"]["down_bytes"] > download["attributes"]["bytes"]
    labelled = {line.action_id for line in lab.lines() if line.session == result["session"]}
    assert {action["action_id"] for action in result["actions"]} <= labelled
    manifest = json.loads((command.run_folder / "manifest.json").read_text())
    assert (manifest["grid"], manifest["routes"]) == (grid.url, [])
