"""Protocol replay on the practice system: a session that the browser played once, played by another account without a browser.

The proxy's log is the judge: per action the same requests. Only of the pages' icons, which the browser asks for when it likes, is
nothing but the number the same.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from replay.browser import opened
from replay.campaign_job import Job, Ports
from replay.chromium import BrowserOptions, BrowserPaths, host_of
from replay.http.engine import HttpEngine, system_clock
from replay.http.make import record
from replay.http.played import SessionFailedError
from replay.http.recording import Recording
from replay.http.session import play_session
from replay.http.transport import Connections
from replay.lab.folders import StateFolder
from replay.player import Time
from replay.results import Repetition
from replay.scenario import load_scenario
from replay.values import Values
from sidecar.journal.memory import MemoryJournal
from sidecar.model.records import Marker, Session
from tests.support.campaign_fakes import Notes
from tests.support.http_replay import prepare_viewer
from tests.support.marker_fakes import serving, url_of
from tests.support.replay_fakes import RecordingMarkers
from tests.support.replay_site import Line, Site, site

pytestmark = pytest.mark.browser

#: asked for by the browser itself some time after each page
ICON = "/favicon.ico"
#: at once, without browsers
USERS = 6
#: those of its actions that the channel of these tests knows, too
KNOWN = ("login", "page_load")
#: who plays whose scenario without a browser
OTHER = {"researcher": "radiologist", "radiologist": "researcher"}
#: what the server makes up: it differs from session to session
MADE_UP = re.compile(r"/search/xs_[0-9a-f]+|/profile/\w+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Twice:
    """One scenario as the browser played it, and as another account played it without one."""

    file: Path
    text: str
    names: dict[str, str]
    told: RecordingMarkers
    browser: list[Line]
    http: list[Line]
    by_browser: Repetition
    by_http: Repetition

    def routes(self, lines: list[Line], names: dict[str, str]) -> Counter[tuple[str, str, str, int]]:
        """Requests by action, method, route and status."""
        return Counter(
            (names.get(line.action_id or "", "none"), line.method, MADE_UP.sub("/…", line.path), line.status)
            for line in lines
            if line.path != ICON
        )


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("http-lab"), users=USERS) as running:
        yield running


@pytest.fixture(scope="module")
def researcher(lab: Site, paths: BrowserPaths, tmp_path_factory: pytest.TempPathFactory) -> Twice:
    return played_twice("researcher", lab, paths, tmp_path_factory.mktemp("researcher"))


@pytest.fixture(scope="module")
def radiologist(lab: Site, paths: BrowserPaths, tmp_path_factory: pytest.TempPathFactory) -> Twice:
    prepare_viewer(lab)
    return played_twice("radiologist", lab, paths, tmp_path_factory.mktemp("radiologist"))


@pytest.fixture(params=["researcher", "radiologist"])
def twice(request: pytest.FixtureRequest) -> Twice:
    found: Twice = request.getfixturevalue(request.param)
    return found


def played_twice(role: str, lab: Site, paths: BrowserPaths, folder: Path) -> Twice:
    """By the browser, whose requests are recorded, and by another account without one."""
    scenario = load_scenario(role)

    def job(account: str) -> Job:
        return Job(
            run="e2e",
            setup="lan",
            site=lab.url,
            scenario=scenario,
            values=Values(scenario, {"pace": "40"}, lab.environment(account)),
            options=BrowserOptions(paths=paths, hosts=(host_of(lab.url),), window=scenario.window, visible=False),
            repetition=1,
            attempt=1,
            session=secrets.token_hex(16),
            seed=1,
            folder=folder,
        )

    def ports(markers: RecordingMarkers) -> Ports:
        return Ports(browser=opened, markers=markers, watcher=Notes(), clock=Time.system(), versions={})

    first, second = RecordingMarkers(), RecordingMarkers()
    recorded = job(role)
    recording, by_browser = record(recorded, ports(first))
    file = folder / f"{role}.requests.json"
    recording.save(file)
    again = job(OTHER[role])
    by_http = HttpEngine(Recording.load(file))(again, ports(second))
    assert by_http.failure is None, by_http.failure
    return Twice(
        file=file,
        text=file.read_text(),
        names=first.names | second.names,
        told=second,
        browser=lab.lines_of(recorded.session, "/app/action/LogoutUser"),
        http=lab.lines_of(again.session, "/app/action/LogoutUser"),
        by_browser=by_browser,
        by_http=by_http,
    )


def test_the_server_sees_the_same_requests_per_action(twice: Twice) -> None:
    assert twice.routes(twice.http, twice.names) == twice.routes(twice.browser, twice.names)
    assert len(twice.http) > 30
    assert [line.path for line in twice.http].count(ICON) == [line.path for line in twice.browser].count(ICON)


def test_every_action_is_told(twice: Twice) -> None:
    expected = [action.action for action in twice.by_browser.actions]
    assert [(phase, name) for phase, name, _ in twice.told.told] == [
        (phase, name) for name in expected for phase in ("begin", "end")
    ]
    assert [action.outcome for action in twice.by_http.actions] == ["completed"] * len(expected)
    assert [step.step for step in twice.by_http.steps] == ["http"] * len(expected)


def test_the_same_bytes_are_downloaded(twice: Twice) -> None:
    def downloaded(result: Repetition) -> list[int | str]:
        return [action.attributes["bytes"] for action in result.actions if action.action == "download"]

    assert downloaded(twice.by_http) == downloaded(twice.by_browser)
    assert bool(downloaded(twice.by_http)) == (twice.by_http.role == "researcher")

    def sent(lines: list[Line]) -> int:
        return sum(line.sent_bytes for line in lines if line.path != ICON)

    assert sent(twice.http) > 1_000_000
    assert sent(twice.http) == pytest.approx(sent(twice.browser), rel=0.001)  # the proxy counts the frames of a chunked answer


def test_the_file_holds_no_account_and_no_session(twice: Twice, lab: Site) -> None:
    raw = json.loads(twice.text)
    said = json.dumps({**raw, "scenario": "", "role": ""})
    for hidden in (*lab.lab.users, *lab.lab.users.values(), "JSESSIONID", "Mozilla"):
        assert hidden not in said
    assert "XNAT_PASSWORD" in said


def test_a_wrong_password_is_named_without_a_browser(researcher: Twice, lab: Site) -> None:
    async def play() -> None:
        async with Connections() as transport:
            account = {"XNAT_USER": "researcher", "XNAT_PASSWORD": "guessed"}
            clock = system_clock()
            markers = RecordingMarkers()
            await play_session(
                Recording.load(researcher.file),
                account,
                clock,
                markers,
                site=lab.url,
                session="ab" * 16,
                transport=transport,
                pace=40,
            )

    with pytest.raises(SessionFailedError) as failed:
        asyncio.run(play())
    assert (failed.value.failure.kind, failed.value.failure.name) == ("account", "login")


def test_a_campaign_needs_no_browser_once_requests_are_recorded(researcher: Twice, lab: Site, tmp_path: Path) -> None:
    role = researcher.by_browser.role
    command = [sys.executable, "-m", "sidecar", "replay", role, "--engine", "http", "--requests", str(researcher.file)]
    command += ["--url", lab.url, "--setup", "lan", "--run-id", "r1", "--out", str(tmp_path), "--markers", "none", "--no-route"]
    command += ["--set", "pace=40", "--chromium", "/not/there"]
    done = subprocess.run(
        command, env={**os.environ, **lab.environment(role)}, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((tmp_path / "r1" / "repetition-001" / "result.json").read_text())
    assert result["versions"]["engine"] == "http"
    assert json.loads((tmp_path / "r1" / "repetition-001" / "transfers.json").read_text())["whole"]["down_bytes"] > 1_000_000


def test_many_users_are_complete_sessions_and_no_marker_is_lost(radiologist: Twice, lab: Site, tmp_path: Path) -> None:
    """The command that plays many browsers plays many users without one: accounts, arrivals, folders, markers, lateness."""
    journal = MemoryJournal()
    with serving(journal=journal) as served:
        command = [sys.executable, "-m", "sidecar", "replay", "radiologist", "--engine", "http", "--requests"]
        command += [str(radiologist.file), "--url", lab.url, "--setup", "lan", "--run-id", "r1", "--out", str(tmp_path)]
        command += ["--users", str(USERS), "--arrivals", "ramp:1s", "--markers", url_of(served.server), "--no-route"]
        command += ["--accounts", str(StateFolder(Path(lab.lab.directory)).accounts_file), "--set", "pace=20", "--seed", "4"]
        done = subprocess.run([*command, "--chromium", "/not/there"], capture_output=True, text=True, timeout=200, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        markers = [marker for _, marker in journal.read(Marker, limit=10**6)]
        clients = {told.session: told.client for _, told in journal.read(Session, limit=1000)}
    assert f"requests of {USERS} users were begun late by" in done.stderr
    folder = tmp_path / "r1" / "repetition-001"
    whole = json.loads((folder / "result.json").read_text())
    assert (whole["users"]["finished"], whole["users"]["failed"]) == (USERS, [])
    assert whole["users"]["schedule_s"] == [round(place / (USERS - 1), 3) for place in range(USERS)]
    results = [json.loads(file.read_text()) for file in sorted(folder.glob("user-*/result.json"))]
    assert [one["failure"] for one in results] == [None] * USERS
    expected = Counter((line.method, MADE_UP.sub("/…", line.path)) for line in radiologist.http if line.path != ICON)
    for number, one in enumerate(results, 1):
        assert clients[one["session"]] == f"replay.user-{number:02d}"
        assert one["late"]["requests"] == len(Recording.load(radiologist.file).requests)
        lines = lab.lines_of(one["session"], "/app/action/LogoutUser")
        asked = Counter((line.method, MADE_UP.sub("/…", line.path)) for line in lines if line.path != ICON)
        assert asked == expected
        ids = sorted(action["action_id"] for action in one["actions"] if action["action"] in KNOWN)
        mine = [marker for marker in markers if marker.session == one["session"] and marker.action in KNOWN]
        for phase in ("begin", "end"):
            assert sorted(marker.action_id for marker in mine if marker.phase == phase) == ids
    assert list((tmp_path / "r1" / "outbox").iterdir()) == []
