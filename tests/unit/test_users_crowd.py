"""Many virtual users through `tracemark replay`: folders, accounts, failures, Ctrl-C, resuming; browsers live in memory."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from replay import cli
from replay.accounts import AccountsError
from replay.campaign import CampaignFailedError
from replay.campaign_folder import RunMismatchError
from replay.chromium import BrowserOptions, BrowserPaths
from replay.failures import Failure, Kind
from replay.marker_client import ChannelRefusedError
from replay.results import Repetition
from replay.route_model import Route
from replay.users_crowd import failure_over
from replay.users_machine import doubts, free_memory
from sidecar.journal.memory import MemoryJournal
from sidecar.model.faults import UsageFault
from sidecar.model.records import Marker, Session
from tests.support.campaign_fakes import PATHS, CampaignBrowser
from tests.support.marker_fakes import serving, url_of
from tests.support.replay_fakes import click

TYPE = {"step": "type", "name": "user", "targets": ["css=#go"], "text": "${user}"}
GO = click(name="log in", action="login", timeout_s=0.2)


class Desk:
    """The command with browsers in memory. `behave` is told each browser, who opened it being known only later."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run_folder = folder / "out" / "r1"
        self.browsers: list[CampaignBrowser] = []
        self.closed = 0
        self.behave: Callable[[CampaignBrowser, int], object] = lambda _browser, _number: None
        self._lock = threading.Lock()
        self.accounts = folder / "accounts"
        self.accounts.write_text("".join(f"load{number}:word{number}\n" for number in range(1, 5)))
        self.accounts.chmod(0o600)

    @contextlib.contextmanager
    def opened(self, _options: BrowserOptions) -> Iterator[Any]:
        with self._lock:
            number = len(self.browsers) + 1
            downloads = self.folder / f"downloads-{number}"
            downloads.mkdir()
            browser = CampaignBrowser(downloads)
            self.browsers.append(browser)
        self.behave(browser, number)
        try:
            yield browser
        finally:
            with self._lock:
                self.closed += 1

    def run(self, *more: str, users: int = 3, accounts: str | None = None) -> int:
        file = self.folder / "tried.json"
        raw = {
            "format": 1,
            "scenario": "tried",
            "role": "tester",
            "steps": [TYPE, GO],
            "parameters": {"user": "${env:XNAT_USER}"},
        }
        file.write_text(json.dumps(raw))
        line = [str(file), "--url", "http://localhost:1", "--setup", "lan", "--out", str(self.folder / "out"), "--run-id", "r1"]
        line += ["--users", str(users), "--accounts", accounts or str(self.accounts), "--seed", "7", "--markers", "none"]
        return cli.main([*line, *more])

    def session(self, user: int, repetition: str = "repetition-001") -> Repetition:
        return Repetition.load(self.run_folder / repetition / f"user-{user:02d}")

    def whole(self, *parts: str) -> Repetition:
        return Repetition.load(self.run_folder.joinpath(*parts or ("repetition-001",)))

    def names(self, *parts: str) -> list[str]:
        return sorted(path.name for path in self.run_folder.joinpath(*parts).iterdir() if path.is_dir())


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    desk = Desk(tmp_path)
    monkeypatch.setattr(cli, "opened", desk.opened)
    monkeypatch.setattr(cli, "trace", lambda host, *, port, method: Route((host, str(port)), "udp", 1))
    monkeypatch.setattr(BrowserPaths, "find", classmethod(lambda *_: PATHS))
    for name in (
        "TRACEMARK_TOKEN_FILE",
        "TRACEMARK_TOKEN",
        "TRACEMARK_REPLAY_HOSTS",
        "XNAT_USER",
        "XNAT_PASSWORD",
        "XNAT_USER_1",
    ):
        monkeypatch.delenv(name, raising=False)
    return desk


def block(browser: CampaignBrowser) -> None:
    """It never gets to its element."""
    browser.obstacles = ["is covered by div"] * 10_000


def block_user(name: str) -> Callable[[CampaignBrowser, int], None]:
    """Who is known by its browser's first input: the account's name."""

    def behave(browser: CampaignBrowser, _number: int) -> None:
        browser.on_input = lambda what: block(browser) if what == f"keys {name}" else None

    return behave


def test_each_user_has_a_folder_a_session_a_seed_and_an_account_of_its_own(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    assert desk.run("--repetitions", "2") == 0
    assert desk.names() == ["outbox", "repetition-001", "repetition-002"]
    assert desk.names("repetition-002") == ["user-01", "user-02", "user-03"]
    sessions = [desk.session(user, f"repetition-00{number}") for number in (1, 2) for user in (1, 2, 3)]
    assert [(one.repetition, one.user) for one in sessions] == [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3)]
    assert len({one.session for one in sessions}) == len({one.seed for one in sessions}) == 6
    assert sessions[0].seed == 8
    typed = [what for browser in desk.browsers for what in browser.did if what.startswith("keys load")]
    assert sorted(typed) == sorted(["keys load1", "keys load2", "keys load3"] * 2)
    whole = desk.whole()
    assert (whole.user, whole.session, whole.failure) == (0, "", None)
    expected = {"wanted": 3, "finished": 3, "failed": [], "arrivals": "at-once", "schedule_s": [0.0, 0.0, 0.0]}
    assert whole.users == expected
    assert json.loads((desk.run_folder / "repetition-001" / "user-02" / "transfers.json").read_text())["source"] == "browser"
    summary = json.loads((desk.run_folder / "summary.json").read_text())
    assert [(row["action"], row["count"]) for row in summary["rows"]] == [("login", 6), ("session", 6)]
    assert (summary["finished"], summary["users"], summary["failed_users"]) == (2, 3, 0)
    assert "3 users in each repetition" in capsys.readouterr().out
    assert not [path for path in desk.run_folder.rglob("*") if path.is_file() and b"word" in path.read_bytes()]


def test_users_come_when_their_pattern_says(desk: Desk) -> None:
    assert desk.run("--arrivals", "ramp:0.3s") == 0
    began_ns = [desk.session(user).started_ns for user in (1, 2, 3)]
    whole = desk.whole()
    assert whole.users is not None
    assert whole.users["schedule_s"] == [0.0, 0.15, 0.3]
    for at_s, start_ns in zip(whole.users["schedule_s"], began_ns, strict=True):
        assert start_ns >= whole.started_ns + at_s * 1e9


def test_the_failure_of_one_user_does_not_stop_the_others(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.behave = block_user("load2")
    assert desk.run("--failed-users", "1") == 0
    assert len(desk.browsers) == 3
    assert desk.names() == ["outbox", "repetition-001"]
    whole = desk.whole()
    assert whole.users is not None
    assert (whole.users["finished"], whole.users["failed"]) == (2, [2])
    failed = desk.session(2).failure
    assert failed is not None
    assert (failed.kind, failed.name) == ("element", "log in")
    assert (desk.run_folder / "repetition-001" / "user-02" / "screenshot.png").exists()
    assert [desk.session(user).failure for user in (1, 3)] == [None, None]
    summary = json.loads((desk.run_folder / "summary.json").read_text())
    assert [(row["action"], row["count"]) for row in summary["rows"]] == [("login", 2), ("session", 2)]
    told = capsys.readouterr()
    assert "1 session of users failed, and in no row" in told.out
    assert "user 2 failed at step 2 (log in)" in told.err


def test_more_failed_users_than_may_make_the_repetition_fail_and_be_played_again(desk: Desk) -> None:
    desk.behave = lambda browser, number: block_user("load3")(browser, number) if number <= 3 else None
    assert desk.run() == 0
    assert len(desk.browsers) == 6
    assert desk.names("failed") == ["repetition-001-attempt-1"]
    failed = desk.whole("failed", "repetition-001-attempt-1")
    assert failed.failure is not None
    assert failed.failure.what.startswith("1 of 3 users failed, user 3:")
    assert desk.session(3, "failed/repetition-001-attempt-1").failure is not None
    assert desk.whole().attempt == 2


def test_a_repetition_that_always_fails_ends_the_campaign(desk: Desk) -> None:
    desk.behave = block_user("load1")
    with pytest.raises(CampaignFailedError, match=r"repetition 1 failed at step 2 \(log in\): 1 of 3 users failed, user 1:"):
        desk.run("--attempts", "2")
    assert len(desk.browsers) == 6


def test_an_interrupt_closes_all_browsers_leaves_nothing_half_and_is_made_good_by_the_same_command(desk: Desk) -> None:
    together = threading.Barrier(3, timeout=30)

    def behave(browser: CampaignBrowser, number: int) -> None:
        block(browser)  # they would wait
        if number > 3:
            together.wait()
        if number == 6:
            raise KeyboardInterrupt

    desk.behave = lambda _browser, _number: None
    assert desk.run() == 0
    desk.behave = behave
    with pytest.raises(KeyboardInterrupt):
        desk.run("--repetitions", "2")
    assert (len(desk.browsers), desk.closed) == (6, 5)  # the sixth was never open
    assert desk.names() == ["outbox", "repetition-001"]
    desk.behave = lambda _browser, _number: None
    assert desk.run("--repetitions", "2") == 0
    assert len(desk.browsers) == 9
    assert desk.names() == ["outbox", "repetition-001", "repetition-002"]


def test_every_user_is_told_to_the_sidecar_with_its_number(desk: Desk) -> None:
    journal = MemoryJournal()
    with serving(journal=journal) as served:
        assert desk.run("--markers", url_of(served.server)) == 0
    known = {session.session: session for _, session in journal.read(Session, limit=100)}
    for user in (1, 2, 3):
        one = desk.session(user)
        told = known[one.session]
        assert (told.client, told.run, told.repetition, told.setup) == (f"replay.user-0{user}", "r1", 1, "lan")
        phases = [marker.phase for _, marker in journal.read(Marker, limit=100) if marker.session == one.session]
        assert phases == ["begin", "end"]
        assert told.outcome is None
    (attempt,) = {session.attempt for session in known.values()}
    assert attempt is not None
    assert len(known) == 4, "the users', and that of the attempt, which says what became of it"
    assert (known[attempt].client, known[attempt].outcome) == ("replay", "finished")


def test_a_sidecar_that_is_away_gets_every_user_later(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("replay.campaign_markers.FIRST_WAIT_S", 0.1)
    monkeypatch.setattr("replay.campaign_markers.AWAY_WAIT_S", 0.1)
    assert desk.run("--markers", "ws://127.0.0.1:9/markers") == 0
    journal = MemoryJournal()
    with serving(journal=journal) as served:
        assert cli.main(["--deliver", str(desk.run_folder), "--markers", url_of(served.server)]) == 0
    clients = {one.session: one.client for _, one in journal.read(Session, limit=100) if one.outcome is None}
    assert clients == {desk.session(user).session: f"replay.user-0{user}" for user in (1, 2, 3)}
    assert len(list(journal.read(Marker, limit=100))) == 6
    assert list((desk.run_folder / "outbox").iterdir()) == []


def test_a_sidecar_that_refuses_us_stops_everybody(desk: Desk) -> None:
    desk.behave = lambda browser, _number: block(browser)
    with serving({"token": "the right one, which is long enough"}) as served:
        with pytest.raises(ChannelRefusedError):
            desk.run("--markers", url_of(served.server))
    assert len(desk.browsers) == desk.closed == 0
    assert desk.names() == ["outbox"]


def test_accounts_are_shared_only_when_that_is_said(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(AccountsError, match="5 users, but 4 accounts"):
        desk.run(users=5)
    assert not desk.browsers
    assert desk.run("--share-accounts", users=5) == 0
    assert "5 users share 4 accounts" in capsys.readouterr().err


def test_another_crowd_is_another_experiment(desk: Desk) -> None:
    desk.run()
    for more, words in (
        (["--users", "2"], "--users 3, not 2"),
        (["--arrivals", "ramp:1s"], "--arrivals at-once, not ramp:1s"),
        (["--failed-users", "1"], "--failed-users"),
    ):
        with pytest.raises(RunMismatchError, match=words):
            desk.run(*more)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--users", "0"], "--users 0 is too few"),
        (["--failed-users", "3"], "write 0 to 2"),
        (["--users", "1", "--arrivals", "ramp:1s"], "--arrivals is for several users"),
        (["--arrivals", "soon"], "no arrival pattern"),
        (["--grid", "grid:4444"], "no address of a grid"),
        (["--grid", "http://me:word@grid"], "no address of a grid"),
        (["--grid", "http://grid:4444", "--capture"], "exclude each other"),
    ],
)
def test_options_that_do_not_go_together_are_told_so(desk: Desk, more: list[str], words: str) -> None:
    with pytest.raises(UsageFault, match=words):
        desk.run(*more)
    assert not desk.run_folder.exists()


def test_a_dry_run_says_who_would_come(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert desk.run("--dry-run", "--arrivals", "poisson:2/min", "--repetitions", "2", "--grid", "http://grid:4444") == 0
    told = capsys.readouterr().out
    assert f"users     3, poisson:2/min, with accounts from {desk.accounts}" in told
    assert "sessions  6" in told
    assert "grid at http://grid:4444" in told
    assert not desk.browsers


def session(user: int, kind: Kind | None) -> Repetition:
    failure = None if kind is None else Failure(kind=kind, what=f"it was {kind}", remedy="do")
    return Repetition(
        run="r", setup="lan", scenario="s", role="t", repetition=1, session="", seed=1, started_ns=1, versions={}, user=user,
        failure=failure,
    )  # fmt: skip


def test_the_failure_over_all_is_the_one_that_patience_helps_least() -> None:
    mixed = [session(1, "connection"), session(2, None), session(3, "element"), session(4, "account"), session(5, "connection")]
    over = failure_over(mixed, 2)
    assert over is not None
    assert (over.kind, over.what) == ("account", "4 of 5 users failed, user 4: it was account")
    assert failure_over(mixed, 4) is None
    without = failure_over([session(1, "connection"), session(2, "element")], 0)
    assert without is not None
    assert without.kind == "element"


def test_browsers_that_do_not_fit_are_doubted_beforehand() -> None:
    free = free_memory("MemTotal:  9 kB\nMemAvailable:    2048000 kB\n")
    assert free == 2_097_152_000
    assert doubts(2, free, 2) == []
    memory, cores = doubts(10, free, 2)
    assert "10 browsers take about 4.0 GB and 2.1 GB are free: no more than 5 fit" in memory
    assert "10 browsers at once on 2 cores" in cores
    assert free_memory("") is None
    assert len(doubts(10, None, 16)) == 0
