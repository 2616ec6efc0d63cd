"""The command line of `tracemark replay`, and how the browser is started; no browser runs here."""

from __future__ import annotations

import contextlib
import json
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from replay import cli
from replay.campaign import CampaignFailedError
from replay.campaign_folder import RunMismatchError
from replay.campaign_job import play_repetition
from replay.campaign_markers import Channel
from replay.chromium import BrowserMissingError, BrowserOptions, BrowserPaths, arguments, host_of
from replay.http.recording import Phase, Recording, Request
from replay.route_model import Route
from replay.scenario_shape import ScenarioError
from sidecar.model.faults import UsageFault
from tests.support.campaign_fakes import PATHS, CampaignBrowser
from tests.support.replay_fakes import click


class Desk:
    """The command with a browser in memory; `browsers` are those that were opened."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.browsers: list[CampaignBrowser] = []
        self.closed = 0
        self.options: list[BrowserOptions] = []
        self.obstacle: str | None = None
        self.downloads = folder / "downloads"
        self.downloads.mkdir()

    @contextlib.contextmanager
    def opened(self, options: BrowserOptions) -> Iterator[Any]:
        self.options.append(options)
        browser = CampaignBrowser(self.downloads)
        if self.obstacle:
            browser.obstacles = [self.obstacle] * 10_000
        self.browsers.append(browser)
        try:
            yield browser
        finally:
            self.closed += 1

    def kept(self, run: str) -> list[str]:
        return sorted(path.name for path in (self.folder / "out" / run).glob("repetition-*"))


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    desk = Desk(tmp_path)
    monkeypatch.setattr(cli, "opened", desk.opened)
    monkeypatch.setattr(cli, "trace", lambda host, *, port, method: Route((host, str(port)), "udp", 1))
    monkeypatch.setattr(BrowserPaths, "find", classmethod(lambda *_: PATHS))
    for name in ("TRACEMARK_TOKEN_FILE", "TRACEMARK_TOKEN", "TRACEMARK_REPLAY_HOSTS"):
        monkeypatch.delenv(name, raising=False)
    return desk


def run(desk: Desk, *more: str, steps: tuple[dict[str, Any], ...] = (click(action="login"),), host: str = "site.test") -> int:
    file = desk.folder / "tried.json"
    raw = {"format": 1, "scenario": "tried", "role": "tester", "steps": steps, "parameters": {"term": "a"}, "hosts": ["sso.test"]}
    file.write_text(json.dumps(raw))
    line = [str(file), "--url", "http://site.test:8080/xnat", "--setup", "vpn", "--out", str(desk.folder / "out")]
    return cli.main([*line, "--allow-host", host, "--markers", "none", *more])


def test_a_run_is_played_and_summed_up(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(desk, "--repetitions", "2", "--run-id", "exp-1", "--seed", "10") == 0
    assert desk.kept("exp-1") == ["repetition-001", "repetition-002"]
    folder = desk.folder / "out" / "exp-1"
    result = json.loads((folder / "repetition-002" / "result.json").read_text())
    assert (result["run"], result["setup"], result["repetition"], result["seed"]) == ("exp-1", "vpn", 2, 12)
    assert len(result["session"]) == 32
    assert result["versions"]["selenium"]
    assert (len(desk.browsers), desk.closed) == (2, 2)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["seed"], manifest["host"], manifest["site"]) == (10, "site.test", "http://site.test:8080/xnat")
    assert manifest["routes"][0]["hops"] == ["site.test", "8080"]
    assert len(manifest["scenario_sha256"]) == 64
    summary = json.loads((folder / "summary.json").read_text())
    assert [(row["action"], row["count"]) for row in summary["rows"]] == [("login", 2), ("session", 2)]
    out = capsys.readouterr().out
    assert "exp-1: tried, setup vpn, 2 of 2 repetitions" in out
    assert "LOGIN" in out


def test_a_run_is_finished_with_its_own_seed(desk: Desk) -> None:
    run(desk, "--run-id", "exp-1")
    seed = json.loads((desk.folder / "out" / "exp-1" / "manifest.json").read_text())["seed"]
    assert run(desk, "--run-id", "exp-1", "--repetitions", "2") == 0
    assert len(desk.browsers) == 2
    result = json.loads((desk.folder / "out" / "exp-1" / "repetition-002" / "result.json").read_text())
    assert result["seed"] == seed + 2


@pytest.mark.parametrize(
    ("more", "words"),
    [(["--setup", "wan"], "--setup vpn, not wan"), (["--seed", "3"], "--seed"), (["--set", "term=b"], "--set")],
)
def test_another_experiment_under_the_same_name_is_refused(desk: Desk, more: list[str], words: str) -> None:
    run(desk, "--run-id", "exp-1", "--seed", "2")
    with pytest.raises(RunMismatchError, match=words):
        run(desk, "--run-id", "exp-1", *more)


def test_another_scenario_under_the_same_name_is_refused(desk: Desk) -> None:
    run(desk, "--run-id", "exp-1")
    with pytest.raises(RunMismatchError, match="another content of the scenario"):
        run(desk, "--run-id", "exp-1", steps=(click(action="logout"),))


def test_another_recording_or_another_engine_under_the_same_name_is_refused(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    file = desk.folder / "tried.requests.json"
    home = Request(phase=0, method="GET", url="/", headers={})
    recorded = Recording(scenario="tried", role="tester", parameters={}, requests=(home,), phases=(Phase(action="page_load"),))

    def player(*_: object) -> Any:
        if not file.exists():  # as a browser would make it
            recorded.save(file)
        return play_repetition

    monkeypatch.setattr(cli, "player", player)
    http = ("--engine", "http", "--requests", str(file), "--run-id", "exp-1")
    assert run(desk, *http) == 0
    manifest = json.loads((desk.folder / "out" / "exp-1" / "manifest.json").read_text())
    assert (manifest["engine"], len(manifest["requests_sha256"])) == ("http", 64)
    assert run(desk, *http, "--repetitions", "2") == 0
    with pytest.raises(RunMismatchError, match="--engine http, not browser"):
        run(desk, "--run-id", "exp-1")
    replace(recorded, pace=2.0).save(file)
    known = manifest["requests_sha256"][:12]
    with pytest.raises(RunMismatchError, match=rf"another recording of requests \(--requests\) {known}…, not "):
        run(desk, *http)


def test_the_browser_may_reach_the_site_and_what_the_scenario_names(desk: Desk) -> None:
    run(desk)
    assert desk.options[0].hosts == ("site.test", "sso.test")


def test_a_failing_run_ends_with_its_summary_and_its_evidence(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.obstacle = "is covered by div"
    with pytest.raises(CampaignFailedError, match=r"repetition 1 failed at step 1 \(go\)") as failed:
        run(desk, "--run-id", "bad", "--attempts", "2", steps=(click(action="login", timeout_s=0.01),))
    assert failed.value.exit_status == 1
    assert (len(desk.browsers), desk.closed) == (2, 2)
    (first, second) = sorted((desk.folder / "out" / "bad" / "failed").iterdir())
    assert "is covered by div" in json.loads((second / "result.json").read_text())["error"]
    told = capsys.readouterr()
    assert "0 of 1 repetitions" in told.out
    assert "2 attempts failed; the evidence is in the folder failed/" in told.out
    assert "replay: repetition 1 failed" in told.err
    assert first.name == "repetition-001-attempt-1"


def test_sigterm_closes_the_browser_too_and_the_run_can_be_finished(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(signal.SIGTERM)

    def killed(self: CampaignBrowser, **_: object) -> None:
        signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(CampaignBrowser, "click", killed)
        with pytest.raises(KeyboardInterrupt):
            run(desk, "--run-id", "exp-1")
    assert desk.closed == 1
    assert signal.getsignal(signal.SIGTERM) == before
    assert "--run-id exp-1 goes on where it stopped" in capsys.readouterr().err
    assert run(desk, "--run-id", "exp-1") == 0
    assert desk.kept("exp-1") == ["repetition-001"]


def test_the_token_comes_from_a_file_or_the_environment(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens: list[str] = []

    def channel(url: str, *, token: str, **rest: Any) -> Any:
        tokens.append(token)
        return Channel("none", token=token, **rest)

    monkeypatch.setattr(cli, "Channel", channel)
    monkeypatch.setenv("TRACEMARK_TOKEN", "from-variable")
    run(desk)
    secret = desk.folder / "token"
    secret.write_text("from-file\n")
    monkeypatch.setenv("TRACEMARK_TOKEN_FILE", str(secret))
    run(desk, "--run-id", "two")
    run(desk, "--run-id", "three", "--token", "given")
    assert tokens == ["from-variable", "from-file", "given"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--url", "site.test"], "'site.test' is no address"),
        (["--url", "http://reader:word@site.test"], "--url holds a query or a user name"),
        (["--repetitions", "0"], "--repetitions 0 is too few"),
        (["--attempts", "0"], "--attempts 0 is too few"),
        (["--timeout", "-1"], "--timeout -1 is too few"),
        (["--run-id", "a b"], "--run-id 'a b' is no name"),
        (["--timeout", "nan"], "--timeout nan is too few"),
        (["--repetitions", "many"], "argument --repetitions: invalid int value: 'many': see `tracemark replay --help`"),
        (["--setup", "mars"], "invalid choice: 'mars'"),
        (["--markers", "here"], "--markers 'here' is no marker channel: write ws://HOST:PORT/markers, or none"),
        (["--markers", "ws://["], "is no marker channel"),
        (["--markers", "ws://127.0.0.1:99999/markers"], "is no marker channel"),
        (["--url", "http://["], "'http://[' is no address"),
        (["--url", "http://site.test:port"], "'http://site.test:port' is no address"),
        (["--url", "http://site.test/#top"], "--url holds a query"),
        (["--sidecar", "http://["], "'http://[' is no address of a sidecar"),
        (["--grid", "http://["], "--grid 'http://[' is no address of a grid"),
        (["--trust", "/no/such.pem", "--dry-run"], "the certificate /no/such.pem cannot be read"),
        (["--allow-host", "site.test:8080"], "'site.test:8080' is no host that could be allowed"),
        (["--set", "term"], "--set 'term' is no NAME=VALUE"),
        (["--set", "nobody=1"], "has no parameter 'nobody'"),
        (["--url", "http://other.test"], "other.test is not among the hosts that sessions may be played on"),
    ],
)
def test_wrong_use_is_refused_before_anything_happens(desk: Desk, more: list[str], words: str) -> None:
    with pytest.raises(UsageFault) as refused:
        run(desk, *more)
    assert words in str(refused.value)
    assert desk.browsers == []
    assert not (desk.folder / "out").exists()


def test_a_pace_that_is_none_is_refused_before_a_browser_starts(desk: Desk) -> None:
    for pace in ("0", "-1", "nan"):
        with pytest.raises(UsageFault, match="parameter pace must be a number"):
            cli.main(["researcher", "--url", "http://127.0.0.1", "--setup", "lan", "--set", f"pace={pace}", "--dry-run"])


def test_what_is_missing_is_named(desk: Desk) -> None:
    with pytest.raises(UsageFault, match="--setup is missing"):
        cli.main(["researcher", "--url", "http://127.0.0.1"])
    with pytest.raises(UsageFault, match="SCENARIO is missing"):
        cli.main(["--url", "http://127.0.0.1"])


def test_a_host_may_be_allowed_by_the_environment_or_a_word(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACEMARK_REPLAY_HOSTS", "first.test, *.lab.test")
    assert run(desk, "--url", "http://x.lab.test", "--run-id", "a") == 0
    assert run(desk, "--url", "http://never.test", "--yes-this-host", "--run-id", "b") == 0


def test_a_dry_run_says_all_and_does_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("XNAT_USER", raising=False)
    line = ["researcher", "--url", "http://127.0.0.1:1/xnat", "--setup", "lan", "--repetitions", "7"]
    assert cli.main([*line, "--out", str(desk.folder / "out"), "--capture", "--dry-run"]) == 0
    text = capsys.readouterr().out
    for words in (
        "http://127.0.0.1:1/xnat",
        "from XNAT_USER, XNAT_PASSWORD",
        "sessions  7",
        "creates   nothing",
        "packets   captured",
        "10. click css=button.do-scan-download:not(.disabled) (download) [download]",
        "Nothing was done",
    ):
        assert words in text
    assert desk.browsers == []
    assert not (desk.folder / "out").exists()


def test_a_missing_credential_is_said_before_a_browser_starts(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XNAT_USER", raising=False)
    with pytest.raises(ScenarioError, match="needs the environment variable XNAT_USER"):
        cli.main(["researcher", "--url", "http://127.0.0.1", "--setup", "lan", "--out", str(desk.folder / "out")])
    assert desk.browsers == []


def test_help_has_an_example_and_the_scenarios(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "tracemark replay radiologist --url" in text
    assert "radiologist, researcher" in text


def test_programs_are_found_in_order_and_missed_by_their_package() -> None:
    there = {"/opt/driver": "/opt/driver", "chromedriver": "/usr/bin/chromedriver", "google-chrome": "/usr/bin/google-chrome"}
    found = BrowserPaths.find({}, which=there.get)
    assert found == BrowserPaths(driver="/usr/bin/chromedriver", browser="/usr/bin/google-chrome")
    assert BrowserPaths.find({"SE_CHROMEDRIVER": "/opt/driver"}, which=there.get).driver == "/opt/driver"
    with pytest.raises(BrowserMissingError, match="install the package chromium-driver"):
        BrowserPaths.find({}, which=lambda _name: None)
    with pytest.raises(BrowserMissingError, match="install the package chromium,"):
        BrowserPaths.find({}, which={"chromedriver": "/usr/bin/chromedriver"}.get)


@pytest.mark.parametrize("root", [True, False])
def test_the_sandbox_is_left_out_for_root_only(root: bool) -> None:
    options = BrowserOptions(paths=PATHS, hosts=("site.test",), window=(1280, 800), visible=not root)
    line = arguments(options, "/tmp/profile", root=root)
    assert ("--no-sandbox" in line) is root
    assert ("--headless=new" in line) is root
    assert "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE site.test" in line
    assert "--window-size=1280,800" in line


@pytest.mark.parametrize("url", ["", "site", "ftp://site", "http://"])
def test_only_http_addresses_are_sites(url: str) -> None:
    with pytest.raises(UsageFault, match="is no address of a site"):
        host_of(url)
    assert host_of("https://xnat.example.org:8443/xnat") == "xnat.example.org"
