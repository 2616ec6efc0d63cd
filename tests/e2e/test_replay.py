"""Both scenarios in a real Chromium on the practice system: markers, labels of requests, the download, the last slice."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from replay.browser import opened
from replay.chromium import BrowserOptions, BrowserPaths, host_of
from replay.player import NO_ACTION, Player, StepError, Time
from replay.results import Repetition
from replay.scenario import load_scenario
from replay.scenario_shape import Scenario
from replay.values import Values
from tests.support.campaign_fakes import Notes
from tests.support.replay_fakes import RecordingMarkers, click, scenario
from tests.support.replay_site import Line, Site, site

pytestmark = pytest.mark.browser

SLICES = {"2": 60, "3": 80}
LOGIN = {"step": "open", "name": "open the site", "path": "/app/template/Login.vm", "expect": [{"kind": "page"}]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What one repetition left behind; `ids` are the action ids in the order of the actions."""

    markers: RecordingMarkers
    result: Repetition
    kept: Path

    @property
    def ids(self) -> list[str]:
        return [action.action_id for action in self.result.actions]

    def attributes(self, action: str) -> dict[str, int | str]:
        """Those of the end of this action."""
        (found,) = [attributes for phase, name, attributes in self.markers.told if (phase, name) == ("end", action)]
        return found


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("replay-lab")) as running:
        yield running


def play(
    lab: Site,
    paths: BrowserPaths,
    played: Scenario,
    role: str,
    out: Path,
    environment: dict[str, str] | None = None,
) -> Played:
    """Play one repetition at forty times the pace of a person and keep the downloads."""
    values = Values(played, {"pace": "40"}, environment or lab.environment(role))
    result = Repetition(
        run="e2e", setup="lan", scenario=played.name, role=role, repetition=1, session=os.urandom(16).hex(), seed=1,
        started_ns=1, versions={},
    )  # fmt: skip
    done = Played(markers=RecordingMarkers(), result=result, kept=out)
    options = BrowserOptions(paths=paths, hosts=(host_of(lab.url),), window=played.window, visible=False)
    with opened(options) as browser:
        try:
            player = Player(site=lab.url, evidence=out, clock=Time.system(), watcher=Notes())
            player.play(played, values, browser, done.markers, result)
        finally:
            for file in browser.downloads.iterdir():
                shutil.copy(file, out)
    return done


@pytest.fixture(scope="module")
def researcher(lab: Site, paths: BrowserPaths, tmp_path_factory: pytest.TempPathFactory) -> Played:
    return play(lab, paths, load_scenario("researcher"), "researcher", tmp_path_factory.mktemp("researcher"))


@pytest.fixture(scope="module")
def radiologist(lab: Site, paths: BrowserPaths, tmp_path_factory: pytest.TempPathFactory) -> Played:
    return play(lab, paths, load_scenario("radiologist"), "radiologist", tmp_path_factory.mktemp("radiologist"))


def begun_and_ended(told: list[tuple[str, str, dict[str, int | str]]]) -> list[str]:
    """The actions in order, after checking that each ended exactly once and before the next began."""
    assert [phase for phase, _, _ in told] == ["begin", "end"] * (len(told) // 2)
    begins, ends = [name for _, name, _ in told[::2]], [name for _, name, _ in told[1::2]]
    assert begins == ends
    return begins


def test_the_researcher_s_actions_begin_and_end_once_in_order(researcher: Played) -> None:
    assert begun_and_ended(researcher.markers.told) == [
        "page_load", "login", "page_load", "filter_search", "page_load", "download", "logout",
    ]  # fmt: skip


def test_the_radiologist_s_actions_begin_and_end_once_in_order(radiologist: Played) -> None:
    assert begun_and_ended(radiologist.markers.told) == [
        "page_load", "login", "filter_search", "page_load", "open_viewer", "change_scan", "play", "scroll", "page_load", "logout",
    ]  # fmt: skip


def test_the_download_is_a_whole_zip_with_all_slices(researcher: Played) -> None:
    (file,) = researcher.kept.glob("*.zip")
    assert researcher.attributes("download") == {"bytes": file.stat().st_size, "evidence": "download"}
    with zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
        slices = Counter(name.split("/scans/")[1].split("/")[0] for name in archive.namelist() if name.endswith(".dcm"))
    assert {scan.split("-")[0]: count for scan, count in slices.items()} == SLICES


def by_action(lines: list[Line], played: Played) -> dict[str, list[Line]]:
    """The requests of each action; an action played more than once has all of its requests."""
    found: dict[str, list[Line]] = {}
    for action in played.result.actions:
        found.setdefault(action.action, []).extend(line for line in lines if line.action_id == action.action_id)
    return found


def test_every_request_of_the_researcher_is_labelled_with_its_action(lab: Site, researcher: Played) -> None:
    lines = lab.lines_of(researcher.result.session, "/app/action/LogoutUser")
    assert {line.action_id for line in lines} <= {*researcher.ids, NO_ACTION}
    of = by_action(lines, researcher)
    assert ("POST", "/login") in [(line.method, line.path) for line in of["login"]]
    assert "/app/template/Index.vm" in [line.path for line in of["login"]]
    assert "/app/action/QuickSearchAction" in [line.path for line in of["filter_search"]]
    assert "/REST/search" in [line.path for line in of["filter_search"]]
    (download,) = [line for line in of["download"] if line.path.endswith("/files")]
    assert download.sent_bytes >= researcher.attributes("download")["bytes"]  # type: ignore[operator]
    assert "/app/action/LogoutUser" in [line.path for line in of["logout"]]


def test_every_slice_is_labelled_with_the_action_that_fetched_it(lab: Site, radiologist: Played) -> None:
    lines = lab.lines_of(radiologist.result.session, "/app/action/LogoutUser")
    of = by_action(lines, radiologist)
    assert "/VIEWER" in [line.path for line in of["open_viewer"]]
    slices = {name: {line.path for line in of[name] if "/files/" in line.path} for name in ("open_viewer", "change_scan")}
    assert len([path for path in slices["open_viewer"] if "/scans/2/" in path]) == SLICES["2"]
    # The middle slice was fetched for the thumbnail when the viewer opened.
    assert len([path for path in slices["change_scan"] if "/scans/3/" in path]) == SLICES["3"] - 1


def test_nothing_reaches_the_site_without_a_label(lab: Site, researcher: Played, radiologist: Played) -> None:
    known = {researcher.result.session, radiologist.result.session}
    begin_s = min(played.result.actions[0].begin_ns for played in (researcher, radiologist)) / 1e9
    lab.lines_of(radiologist.result.session, "/app/action/LogoutUser")
    sessions = {line.session for line in lab.lines() if line.time_s >= begin_s}
    assert known <= sessions
    assert None not in sessions


def test_the_viewer_s_actions_tell_what_was_seen(radiologist: Played) -> None:
    opened_viewer = radiologist.attributes("open_viewer")
    action = next(one for one in radiologist.result.actions if one.action == "open_viewer")
    assert opened_viewer["images"] == SLICES["2"]
    assert action.duration_ns is not None
    assert 0 < int(opened_viewer["first_image_ns"]) <= action.duration_ns
    assert radiologist.attributes("change_scan") == {"images": SLICES["3"], "evidence": "requests"}
    assert int(radiologist.attributes("play")["images"]) >= 10
    scrolled = radiologist.attributes("scroll")
    # It passes at least half of the stack: from there the expectation "slice: last" has seen the counter at the end.
    assert int(scrolled["ticks"]) >= SLICES["3"] // 2
    assert int(scrolled["images"]) >= SLICES["3"] // 4


def test_the_best_locators_of_the_shipped_scenarios_fit_the_viewer_and_the_pages(researcher: Played, radiologist: Played) -> None:
    fallbacks = [(step.name, step.locator) for played in (researcher, radiologist) for step in played.result.steps if step.rank]
    assert fallbacks == []


def failing(lab: Site, paths: BrowserPaths, out: Path, *steps: dict[str, Any], password: str | None = None) -> tuple[Played, str]:
    """Play steps of which one fails; what was recorded until then, and the error's words."""
    played = scenario(*steps, parameters={"user": "${env:XNAT_USER}", "password": "${env:XNAT_PASSWORD}", "pace": 1})
    environment = lab.environment("researcher") | ({"XNAT_PASSWORD": password} if password else {})
    markers: list[Played] = []
    original = Player.play

    def keep(self: Player, *given: Any) -> None:
        markers.append(Played(markers=given[3], result=given[4], kept=out))
        original(self, *given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Player, "play", keep)
        with pytest.raises(StepError) as failed:
            play(lab, paths, played, "researcher", out, environment)
    return markers[0], str(failed.value)


def test_a_broken_locator_leaves_words_and_a_picture_and_no_open_action(lab: Site, paths: BrowserPaths, tmp_path: Path) -> None:
    play_on = click(name="play", action="play", part="begin", targets=["id=loginButton"], timeout_s=30)
    stop = click(name="stop", action="play", part="end", targets=["css=.gone", "id=gone"], timeout_s=1)
    done, words = failing(lab, paths, tmp_path, LOGIN, play_on, stop)
    assert words.startswith("test.json: step 3 (stop): after 1 s: no usable element: css=.gone: none; id=gone: none")
    assert done.markers.told == [("begin", "play", {}), ("cancel", "play", {})]
    assert done.result.screenshot is not None
    picture = tmp_path / done.result.screenshot
    assert str(picture) in words
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_refused_login_is_said_at_once_without_the_password(lab: Site, paths: BrowserPaths, tmp_path: Path) -> None:
    raw = load_scenario("researcher")
    shipped = {step.name: step for step in raw.steps}
    assert shipped["log in"].refuse
    steps: list[dict[str, Any]] = [
        LOGIN,
        {"step": "type", "targets": ["id=username"], "text": "${user}"},
        {"step": "type", "targets": ["id=password"], "text": "${password}", "secret": True},
        click(
            name="log in",
            targets=["id=loginButton"],
            action="login",
            expect=[{"kind": "page", "path": shipped["log in"].expect[0].options["path"]}],
            refuse=[{"kind": "page", "path": shipped["log in"].refuse[0].options["path"], "because": "check the password"}],
        ),
    ]
    done, words = failing(lab, paths, tmp_path, *steps, password="wrong-word")
    assert "step 4 (log in): the site does not take the account (Login attempt failed. Please try again.): check the p" in words
    assert "wrong-word" not in words
    assert done.result.failure is not None
    assert done.result.failure.kind == "account"
    assert [phase for phase, _, _ in done.markers.told] == ["begin", "cancel"]
