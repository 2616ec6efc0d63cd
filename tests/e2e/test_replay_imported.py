"""Recordings of other programs, imported and played on the practice system from log-in to log-out."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from replay.browser import opened
from replay.chromium import BrowserOptions, BrowserPaths, host_of
from replay.player import Player, StepError, Time
from replay.results import ActionResult, Repetition
from replay.scenario import load_scenario, parse
from replay.scenario_cli import main
from replay.scenario_shape import Scenario
from replay.values import Values
from tests.support.replay_fakes import RecordingMarkers
from tests.support.replay_site import Site, site

pytestmark = pytest.mark.browser

RECORDINGS = Path(__file__).parents[1] / "cases" / "recordings"


@dataclass(slots=True)
class Watched:
    """Keeps how far the play came."""

    steps: list[str] = field(default_factory=list)

    def step(self, number: int, name: str) -> None:
        self.steps.append(f"{number} {name}")

    def action(self, ended: ActionResult) -> None:
        """Nothing to do."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("imported-lab")) as running:
        yield running


def a_result(played: Scenario, role: str) -> Repetition:
    """An empty result."""
    return Repetition(
        run="imported", setup="lan", scenario=played.name, role=role, repetition=1, session=os.urandom(16).hex(), seed=1,
        started_ns=1, versions={},
    )  # fmt: skip


def play(
    lab: Site, paths: BrowserPaths, played: Scenario, role: str, out: Path
) -> tuple[RecordingMarkers, Repetition, list[Path]]:
    """Play it once at forty times a person's pace; what was downloaded is in `out`."""
    result = a_result(played, role)
    markers = RecordingMarkers()
    options = BrowserOptions(paths=paths, hosts=(host_of(lab.url),), window=played.window, visible=False)
    with opened(options) as browser:
        player = Player(site=lab.url, evidence=out, clock=Time.system(), watcher=Watched())
        player.play(played, Values(played, {"pace": "40"}, lab.environment(role)), browser, markers, result)
        files = [file.rename(out / file.name) for file in browser.downloads.iterdir()]
    return markers, result, files


def imported(file: str, out: Path, *options: str) -> Scenario:
    """What `tracemark scenario import` makes of a recording."""
    assert main(["import", str(RECORDINGS / file), "--out", str(out), *options]) == 0
    assert "typed-by-hand" not in out.read_text()
    assert "reader-typed-this" not in out.read_text()
    return load_scenario(str(out))


def actions(markers: RecordingMarkers) -> list[str]:
    """The actions that came to their end, in order."""
    return [action for phase, action, _ in markers.told if phase == "end"]


def test_a_selenium_ide_recording_is_played_from_log_in_to_log_out(lab: Site, paths: BrowserPaths, tmp_path: Path) -> None:
    played = imported("reader.side", tmp_path / "reader.yaml")
    markers, result, files = play(lab, paths, played, "researcher", tmp_path)
    assert actions(markers) == ["page_load", "login", "filter_search", "download", "logout"]
    ranks = {step.name: step.rank for step in result.steps if step.rank}
    assert ranks == {"type": 1}  # the field's id is not there any more: its name still finds it
    assert len(files) == 1
    with zipfile.ZipFile(files[0]) as archive:
        assert archive.testzip() is None


def test_a_devtools_recording_is_played_from_log_in_to_log_out(lab: Site, paths: BrowserPaths, tmp_path: Path) -> None:
    played = imported("viewer.json", tmp_path / "viewer.json")
    assert played.role == "radiologist"
    markers, _, _ = play(lab, paths, played, "radiologist", tmp_path)
    assert actions(markers) == ["page_load", "login", "filter_search", "open_viewer", "play", "page_load", "logout"]


BROKEN: list[tuple[dict[str, object], str]] = [
    ({"step": "unsupported", "command": "executeScript", "because": "record it"}, "the command executeScript cannot be played"),
    ({"step": "click", "targets": ["css=[[", "xpath=//["]}, "no locator can be read: css=[[: cannot be read; xpath=//["),
    ({"step": "click", "targets": ["id=gone", "css=.gone"], "timeout_s": 0.2}, "id=gone: none; css=.gone: none"),
]


def test_what_cannot_be_played_names_its_step_and_leaves_a_picture(lab: Site, paths: BrowserPaths, tmp_path: Path) -> None:
    opening = {"step": "open", "path": "/app/template/Login.vm", "expect": [{"kind": "page"}]}
    options = BrowserOptions(paths=paths, hosts=(host_of(lab.url),), window=(800, 600), visible=False)
    with opened(options) as browser:
        for number, (step, words) in enumerate(BROKEN):
            out = tmp_path / str(number)
            out.mkdir()
            raw = {"format": 1, "scenario": "broken", "role": "tester", "steps": [opening, {**step, "name": "the broken one"}]}
            played = parse(raw, "broken.json")
            player = Player(site=lab.url, evidence=out, clock=Time.system(), watcher=Watched())
            with pytest.raises(StepError) as failed:
                player.play(played, Values(played, {}, {}), browser, RecordingMarkers(), a_result(played, "tester"))
            assert "broken.json: step 2 (the broken one): " in str(failed.value)
            assert words in str(failed.value)
            (picture,) = out.glob("*.png")
            assert picture.read_bytes().startswith(b"\x89PNG")
            assert str(picture) in str(failed.value)
