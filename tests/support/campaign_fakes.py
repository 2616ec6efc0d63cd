"""A campaign's surroundings in memory: routes, captures, a marker channel, and browsers that behave as the test says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from replay.campaign import Campaign, Plan, Tools
from replay.campaign_folder import Manifest, RunFolder, opened_run
from replay.campaign_job import Ports
from replay.campaign_markers import Channel, Told
from replay.campaign_patience import Limits
from replay.chromium import BrowserOptions, BrowserPaths
from replay.failures import Kind
from replay.results import ActionResult, Repetition
from replay.route_model import Route
from replay.scenario_shape import Scenario
from replay.transfers_browser import BrowserMeter
from replay.trouble import ERROR_PAGE, STATUS_PAGE
from replay.values import Values
from sidecar.model.faults import Fault
from tests.support.replay_fakes import ENVIRONMENT, FakeBrowser, FakeTime, click, scenario

PATHS = BrowserPaths(driver="/bin/driver", browser="/bin/chromium")
HOME = ("10.0.0.1", "10.0.0.2")
DETOUR = ("10.0.0.1", "10.0.9.9", "10.0.0.2")


class CampaignBrowser(FakeBrowser):
    """A page that may be the browser's error page, and a console."""

    def __init__(self, downloads: Path) -> None:
        super().__init__(downloads)
        self.error_code = ""
        self.said = ""
        self.broken = 0
        self.lines: list[str] = []

    def run(self, script: str, *arguments: object) -> Any:
        if script == ERROR_PAGE:
            return self.error_code
        if script == STATUS_PAGE:
            return {"status": self.page["status"], "said": self.said}
        return super().run(script, *arguments)

    def meter(self, meter: BrowserMeter) -> None: ...

    def broken_downloads(self) -> int:
        return self.broken

    def log(self) -> list[str]:
        return list(self.lines)


class Notes:
    """Keeps what a person is told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.begun: list[tuple[int, int]] = []
        self.steps: list[str] = []
        self.ended: list[str] = []

    def begin(self, number: int, attempt: int, finished_ns: list[int]) -> None:
        self.begun.append((number, attempt))

    def step(self, number: int, name: str) -> None:
        self.steps.append(name)

    def action(self, ended: ActionResult) -> None:
        self.ended.append(ended.action)

    def say(self, text: str) -> None:
        self.said.append(text)


class NoSizes:
    """Records nothing; `faults` are raised at the end of a recording, one after the other."""

    def __init__(self) -> None:
        self.meter = None
        self.faults: list[Fault] = []
        self.recordings = 0

    @contextmanager
    def recording(self, folder: Path) -> Iterator[NoSizes]:
        self.recordings += 1
        yield self
        if self.faults:
            raise self.faults.pop(0)

    def kind_of(self, error: Fault) -> Kind | None:
        return "capture"

    def measure(self, result: Repetition, told: Told) -> Mapping[str, Any]:
        return {"source": "capture", "whole": {"duration_ns": 10**9, "down_bytes": 5, "down_rate": 5.0}, "windows": {}}


class Field:
    """Everything around a campaign. `behave` is told each browser before it plays, with its number from 1."""

    def __init__(self, folder: Path, *steps: Mapping[str, Any], **limits: Any) -> None:
        self.out = folder / "out"
        self.downloads = folder / "downloads"
        self.downloads.mkdir()
        self.scenario: Scenario = scenario(*(steps or (click(action="login", timeout_s=1),)))
        self.limits = Limits(**{"repetitions": 1, **limits})
        self.time = FakeTime()
        #: one for each trace; those behind the last are as the last
        self.routes: list[tuple[str | None, ...] | Fault] = []
        self._last_route: tuple[str | None, ...] = HOME
        self.notes = Notes()
        self.recorder = NoSizes()
        self.browsers: list[CampaignBrowser] = []
        self.behave: Callable[[CampaignBrowser, int], object] = lambda _browser, _number: None
        self.markers_url = "none"

    def run(self, **manifest: Any) -> RunFolder:
        """Play, or go on with, the run; the folder is closed when this returns."""
        with opened_run(self.out, self.manifest(**manifest)) as folder:
            plan = Plan(
                scenario=self.scenario,
                values=Values(self.scenario, {}, ENVIRONMENT),
                options=BrowserOptions(paths=PATHS, hosts=("site",), window=(800, 600), visible=False),
                limits=self.limits,
                hidden=("secret-word",),
            )
            tools = Tools(
                ports=self._ports,
                channel=Channel(self.markers_url, token="", outbox=folder.outbox, say=self.notes.say),
                recorder=self.recorder,
                progress=self.notes,
                trace=self._trace,
                clock=self.time.clock(),
            )
            Campaign(plan, folder, tools).run()
            return folder

    def manifest(self, **fields: Any) -> Manifest:
        usual: dict[str, Any] = {
            "run": "r1", "setup": "lan", "scenario": "test", "role": "tester", "scenario_sha256": "0" * 64, "parameters": {},
            "seed": 10, "site": "http://site", "host": "site", "users": 1, "capture": False, "markers": "none", "created_ns": 1,
            "repetitions": self.limits.repetitions,
        }  # fmt: skip
        return Manifest(**{**usual, **fields})

    def kept(self, *parts: str) -> list[str]:
        """The names of the folders there."""
        folder = self.out.joinpath("r1", *parts)
        return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []

    def result(self, *parts: str) -> Repetition:
        return Repetition.load(self.out.joinpath("r1", *parts))

    def _ports(self, told: Told) -> Ports:
        return Ports(browser=self._opened, markers=told, watcher=self.notes, clock=self.time.clock(), versions={"tracemark": "1"})

    @contextmanager
    def _opened(self, options: BrowserOptions) -> Iterator[CampaignBrowser]:
        browser = CampaignBrowser(self.downloads)
        self.browsers.append(browser)
        self.behave(browser, len(self.browsers))
        yield browser

    def _trace(self, method: str) -> Route:
        hops = self.routes.pop(0) if self.routes else self._last_route
        if isinstance(hops, Fault):
            raise hops
        self._last_route = hops
        return Route(hops, "udp", 1)
