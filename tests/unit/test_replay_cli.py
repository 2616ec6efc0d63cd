"""The command line of `tracemark replay`, and how the browser is started; no browser runs here."""

from __future__ import annotations

import contextlib
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from replay import cli
from replay.chromium import BrowserMissingError, BrowserOptions, BrowserPaths, arguments, host_of
from replay.player import StepError
from replay.results import Repetition
from replay.scenario_shape import ScenarioError
from sidecar.model.faults import Fault, UsageFault
from tests.support.replay_fakes import FakeBrowser, RecordingMarkers, click

PATHS = BrowserPaths(driver="/bin/driver", browser="/bin/chromium")


class Desk:
    """The command with a browser in memory; `browsers` are those that were opened, `markers` one per repetition."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.browsers: list[FakeBrowser] = []
        self.closed = 0
        self.markers: list[RecordingMarkers] = []
        self.runs: list[tuple[str, str, int]] = []
        self.options: list[BrowserOptions] = []
        self.obstacle: str | None = None

    @contextlib.contextmanager
    def opened(self, options: BrowserOptions) -> Iterator[Any]:
        self.options.append(options)
        browser = FakeBrowser(self.folder)
        if self.obstacle:
            browser.obstacles = [self.obstacle] * 10_000
        self.browsers.append(browser)
        try:
            yield browser
        finally:
            self.closed += 1

    @contextlib.contextmanager
    def marked(self, url: str, token: str, result: Any) -> Iterator[RecordingMarkers]:
        self.runs.append((url, token, result.repetition))
        self.markers.append(RecordingMarkers())
        yield self.markers[-1]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    desk = Desk(tmp_path)
    monkeypatch.setattr(cli, "opened", desk.opened)
    monkeypatch.setattr(cli, "_marked", desk.marked)
    monkeypatch.setattr(BrowserPaths, "find", classmethod(lambda *_: PATHS))
    monkeypatch.delenv("TRACEMARK_TOKEN_FILE", raising=False)
    monkeypatch.delenv("TRACEMARK_TOKEN", raising=False)
    return desk


def run(desk: Desk, *more: str, steps: tuple[dict[str, Any], ...] = (click(action="login"),)) -> int:
    file = desk.folder / "tried.json"
    raw = {"format": 1, "scenario": "tried", "role": "tester", "steps": steps, "parameters": {"term": "a"}, "hosts": ["sso.test"]}
    file.write_text(json.dumps(raw))
    line = [str(file), "--url", "http://site.test:8080/xnat", "--setup", "vpn", "--out", str(desk.folder / "out"), *more]
    return cli.main(line)


def test_every_repetition_has_its_own_browser_session_and_result(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(desk, "--repetitions", "2", "--run-id", "exp-1", "--seed", "10") == 0
    results = [json.loads(path.read_text()) for path in sorted((desk.folder / "out").glob("*.json"))]
    assert [(one["run"], one["setup"], one["repetition"], one["seed"]) for one in results] == [
        ("exp-1", "vpn", 1, 11),
        ("exp-1", "vpn", 2, 12),
    ]
    assert len({one["session"] for one in results}) == 2
    assert all(len(one["session"]) == 32 and one["versions"]["selenium"] for one in results)
    assert (len(desk.browsers), desk.closed) == (2, 2)
    assert [markers.told[0][:2] for markers in desk.markers] == [("begin", "login")] * 2
    assert desk.runs == [("ws://127.0.0.1:8051/markers", "", 1), ("ws://127.0.0.1:8051/markers", "", 2)]
    assert "tried 2/2: login" in capsys.readouterr().out


def test_the_browser_may_reach_the_site_and_what_the_scenario_names(desk: Desk) -> None:
    run(desk)
    assert desk.options[0].hosts == ("site.test", "sso.test")


def test_a_failing_repetition_ends_the_run_closes_the_browser_and_leaves_its_result(desk: Desk) -> None:
    desk.obstacle = "is covered by div"
    with pytest.raises(StepError) as failed:
        run(desk, "--repetitions", "3", steps=(click(action="login", timeout_s=0.01),))
    assert failed.value.exit_status == 1
    assert "tried.json: step 1 (go)" in str(failed.value)
    assert (len(desk.browsers), desk.closed) == (1, 1)
    (file,) = (desk.folder / "out").glob("*.json")
    assert "is covered by div" in json.loads(file.read_text())["error"]


def test_sigterm_closes_the_browser_too(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGTERM)

    def killed(self: FakeBrowser) -> None:
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(FakeBrowser, "click", killed)
    with pytest.raises(KeyboardInterrupt):
        run(desk)
    assert desk.closed == 1
    assert [phase for phase, _, _ in desk.markers[0].told] == ["begin", "cancel"]
    assert signal.getsignal(signal.SIGTERM) == before


def test_the_token_comes_from_a_file_or_the_environment(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACEMARK_TOKEN", "from-variable")
    run(desk)
    secret = desk.folder / "token"
    secret.write_text("from-file\n")
    monkeypatch.setenv("TRACEMARK_TOKEN_FILE", str(secret))
    run(desk)
    run(desk, "--token", "given")
    assert [token for _, token, _ in desk.runs] == ["from-variable", "from-file", "given"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--url", "site.test"], "'site.test' is no address"),
        (["--repetitions", "0"], "--repetitions 0 is too few"),
        (["--run-id", "a b"], "--run-id 'a b' is no name"),
        (["--set", "term"], "--set 'term' is no NAME=VALUE"),
        (["--set", "nobody=1"], "has no parameter 'nobody'"),
    ],
)
def test_wrong_use_is_refused_before_a_browser_starts(desk: Desk, more: list[str], words: str) -> None:
    with pytest.raises(UsageFault) as refused:
        run(desk, *more)
    assert words in str(refused.value)
    assert desk.browsers == []


def test_a_missing_credential_is_said_before_a_browser_starts(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XNAT_USER", raising=False)
    with pytest.raises(ScenarioError, match="needs the environment variable XNAT_USER"):
        cli.main(["researcher", "--url", "http://site.test", "--setup", "lan", "--out", str(desk.folder)])
    assert desk.browsers == []


def test_help_has_an_example_and_the_scenarios(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "tracemark replay radiologist --url" in text
    assert "radiologist, researcher" in text


def test_without_a_sidecar_the_channel_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Absent:
        def __init__(self, *_: object, **__: object) -> None:
            self.ended = False

        def start(self) -> None:
            raise Fault("no answer from the marker channel", "start the sidecar")

        def close(self) -> bool:
            return False

    monkeypatch.setattr(cli, "MarkerClient", Absent)
    result: Any = None
    with pytest.raises(Fault, match="no answer from the marker channel"):
        with cli._marked("ws://127.0.0.1:9/markers", "", _result()):
            result = "played"
    assert result is None


def test_markers_that_were_not_acknowledged_fail_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    class Deaf:
        def __init__(self, *_: object, session: str, token: str) -> None:
            self.session = session

        def start(self) -> None: ...

        def run(self, *_: object, **__: object) -> None: ...

        def close(self) -> bool:
            return False

    monkeypatch.setattr(cli, "MarkerClient", Deaf)
    with pytest.raises(cli.UndeliveredError, match="has not acknowledged all markers"):
        with cli._marked("ws://127.0.0.1:9/markers", "", _result()):
            pass


def _result() -> Any:
    return Repetition(
        run="r", setup="lan", scenario="s", role="t", repetition=1, session="0" * 32, seed=1, started_ns=1, versions={}
    )


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
