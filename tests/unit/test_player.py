"""One repetition: markers, labels of requests, results, and what happens when a step fails."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from replay.player import Player, StepError, traceparent
from replay.results import Repetition
from replay.values import Values
from tests.support.campaign_fakes import CampaignBrowser, Notes
from tests.support.replay_fakes import ENVIRONMENT, FakeTime, RecordingMarkers, click, scenario, viewer

SESSION = "0af7651916cd43dd8448eb211c80319c"


class Stand:
    """A player with everything it needs, in memory."""

    def __init__(self, folder: Path, *steps: dict[str, Any], time: FakeTime | None = None, **parameters: Any) -> None:
        self.folder = folder
        downloads = folder / "downloads"
        downloads.mkdir()
        self.browser = CampaignBrowser(downloads)
        self.markers = RecordingMarkers()
        self.time = time or FakeTime()
        self.scenario = scenario(*steps, parameters={"password": "${env:XNAT_PASSWORD}", **parameters})
        self.notes = Notes()
        self.result = Repetition(
            run="r1", setup="lan", scenario="test", role="tester", repetition=1, session=SESSION, seed=7, started_ns=1,
            versions={},
        )  # fmt: skip

    def play(self) -> None:
        player = Player(site="http://site/", evidence=self.folder, clock=self.time.clock(), watcher=self.notes)
        player.play(self.scenario, Values(self.scenario, {}, ENVIRONMENT), self.browser, self.markers, self.result)


def test_the_header_is_w3c_trace_context() -> None:
    assert traceparent(SESSION) == f"00-{SESSION}-0000000000000001-01"


def test_an_action_begins_right_before_its_input_and_ends_when_its_effect_is_there(tmp_path: Path) -> None:
    stand = Stand(tmp_path, click(action="login", expect=[{"kind": "page"}]))
    stand.time = FakeTime((2.0, lambda: stand.browser.show("/home")))
    stand.play()
    assert stand.markers.told == [("begin", "login", {}), ("end", "login", {"evidence": "navigation"})]
    no_action, login = "label 0000000000000001", "label 0000000000000002"
    assert stand.browser.did == [no_action, "aim go", login, "click", no_action]
    (action,) = stand.result.actions
    assert action.duration_ns == pytest.approx(2e9, rel=0.02)
    assert (action.action, action.outcome) == ("login", "completed")
    assert (stand.notes.steps, stand.notes.ended) == (["go"], ["login"])


def test_a_step_without_an_action_marks_nothing(tmp_path: Path) -> None:
    stand = Stand(tmp_path, click())
    stand.play()
    assert stand.markers.told == []
    assert [step.locator for step in stand.result.steps] == ["css=#go"]


def test_an_action_over_several_steps_is_one_action(tmp_path: Path) -> None:
    stand = Stand(
        tmp_path,
        click(action="play", part="begin"),
        click(action="play", part="inside"),
        click(action="play", part="end", expect=[{"kind": "icon", "targets": ["css=#go"], "name": "play"}]),
    )
    stand.browser.viewer, stand.browser.icon = viewer(images=4), "play"
    clicks: list[str] = []

    def paint(what: str) -> None:
        if what == "click" and stand.browser.viewer is not None:
            clicks.append(what)
            stand.browser.viewer["images"] += 10

    stand.browser.on_input = paint
    stand.play()
    assert stand.markers.told == [("begin", "play", {}), ("end", "play", {"evidence": "state", "images": 30})]
    assert len(clicks) == 3


def test_the_first_image_is_told_from_the_begin_of_the_action(tmp_path: Path) -> None:
    stand = Stand(tmp_path, click(action="open_viewer", expect=[{"kind": "slices"}]))
    first_ms = 1_700_000_000_000 + 1500.0
    shown = viewer(count=60, origin_ms=2.0, first_image_ms=first_ms)
    stand.time = FakeTime((3.0, lambda: setattr(stand.browser, "viewer", shown)))
    stand.play()
    _, (phase, _, attributes) = stand.markers.told
    assert phase == "end"
    assert attributes == {"images": 60, "evidence": "requests", "first_image_ns": 1_500_000_000}


def test_notches_are_told_with_the_scroll(tmp_path: Path) -> None:
    step = {
        "step": "scroll",
        "targets": ["css=#go"],
        "pace": [{}],
        "action": "scroll",
        "expect": [{"kind": "slice", "at": "last"}],
    }
    stand = Stand(tmp_path, step)
    stand.browser.viewer = viewer(count=4)

    def turn(what: str) -> None:
        if what.startswith("wheel") and stand.browser.viewer is not None:
            stand.browser.viewer["index"] += 1
            stand.browser.viewer["images"] += 1

    stand.browser.on_input = turn
    stand.play()
    assert stand.markers.told[-1] == ("end", "scroll", {"evidence": "rendered", "images": 3, "ticks": 3})


def test_thinking_is_a_varied_pause_that_the_seed_repeats_and_the_pace_shortens(tmp_path: Path) -> None:
    pauses = {}
    for name, pace in (("a", 1), ("b", 1), ("c", 4)):
        folder = tmp_path / name
        folder.mkdir()
        stand = Stand(folder, click(think={"seconds": 8, "variation": 0.5}), pace=pace)
        stand.play()
        pauses[name] = stand.time.now_s
    assert 4 <= pauses["a"] <= 12
    assert pauses["a"] == pauses["b"] == pytest.approx(4 * pauses["c"])


def test_a_failing_step_cancels_its_action_leaves_a_picture_and_says_all(tmp_path: Path) -> None:
    stand = Stand(
        tmp_path, click(name="go home", action="login", expect=[{"kind": "page", "path": "Index"}], timeout_s=1), click()
    )
    with pytest.raises(StepError) as failed:
        stand.play()
    words = str(failed.value)
    assert "test.json: step 1 (go home): after 1 s: still the page / (complete)" in words
    assert stand.markers.told == [("begin", "login", {}), ("cancel", "login", {})]
    assert stand.result.actions[0].outcome == "cancelled"
    assert stand.result.screenshot == "screenshot.png"
    assert stand.result.failure is not None
    assert (stand.result.failure.kind, stand.result.failure.step) == ("element", 1)
    assert (tmp_path / stand.result.screenshot).read_bytes() == b"picture"
    assert str(tmp_path / stand.result.screenshot) in words
    assert len([what for what in stand.browser.did if what == "click"]) == 1


def test_an_interruption_cancels_the_open_action(tmp_path: Path) -> None:
    stand = Stand(tmp_path, click(action="login"))

    def interrupt(what: str) -> None:
        if what == "click":
            raise KeyboardInterrupt

    stand.browser.on_input = interrupt
    with pytest.raises(KeyboardInterrupt):
        stand.play()
    assert [phase for phase, _, _ in stand.markers.told] == ["begin", "cancel"]


def test_a_result_holds_times_and_versions_but_nothing_that_was_typed(tmp_path: Path) -> None:
    typed = {"step": "type", "targets": ["css=#go"], "text": "${password}", "secret": True, "name": "password"}
    stand = Stand(tmp_path, typed, click(action="login"))
    stand.play()
    assert "keys secret-word" in stand.browser.did
    text = stand.result.save(tmp_path).read_text()
    saved = json.loads(text)
    assert "secret-word" not in text
    assert (saved["format"], saved["seed"], saved["error"]) == (1, 7, None)
    assert [step["name"] for step in saved["steps"]] == ["password", "go"]
    assert saved["actions"][0]["begin_ns"] <= saved["steps"][1]["input_ns"] <= saved["steps"][1]["settled_ns"]


def receiving(folder: Path, name: str, size: int) -> Path:
    """A file that the browser is receiving."""
    path = folder / f"{name}.crdownload"
    path.write_bytes(b"x" * size)
    return path


DOWNLOAD = click(action="download", timeout_s=1800, expect=[{"kind": "download", "name": r"\.zip$"}])


def test_a_download_that_breaks_off_is_said_at_once(tmp_path: Path) -> None:
    stand = Stand(tmp_path, DOWNLOAD)
    stand.time = FakeTime(
        (5.0, lambda: receiving(stand.browser.downloads, "exam.zip", 10)),
        (20.0, lambda: (stand.browser.downloads / "exam.zip.crdownload").unlink()),
    )
    with pytest.raises(StepError, match=r"step 1 \(go\): the download exam.zip broke off"):
        stand.play()
    assert stand.time.now_s < 22
    assert stand.result.failure is not None
    assert stand.result.failure.kind == "connection"
    assert stand.markers.told[-1][0] == "cancel"


def test_a_download_that_stands_still_is_not_waited_for(tmp_path: Path) -> None:
    stand = Stand(tmp_path, DOWNLOAD)
    grown = {at: partial(receiving, stand.browser.downloads, "exam.zip", int(at)) for at in (1.0, 40.0, 90.0)}
    stand.time = FakeTime(*grown.items())
    with pytest.raises(StepError, match=r"exam.zip stands still at 90 bytes for 6\d s"):
        stand.play()
    assert 150 <= stand.time.now_s < 153


def test_a_download_that_gets_its_name_is_none_of_these(tmp_path: Path) -> None:
    stand = Stand(tmp_path, DOWNLOAD, click(name="later", expect=[{"kind": "page", "path": "/home"}], timeout_s=60))
    stand.time = FakeTime(
        (1.0, lambda: receiving(stand.browser.downloads, "exam.zip", 10)),
        (9.0, lambda: (stand.browser.downloads / "exam.zip.crdownload").rename(stand.browser.downloads / "exam.zip")),
        (30.0, lambda: stand.browser.show("/home")),
    )
    stand.play()
    assert stand.result.actions[0].attributes["bytes"] == 10


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        ("ERR_CONNECTION_REFUSED", "connection", "the site cannot be reached (ERR_CONNECTION_REFUSED)"),
        ("net::ERR_CERT_DATE_INVALID", "certificate", "the site's certificate is not trusted (ERR_CERT_DATE_INVALID)"),
    ],
)
def test_the_browsers_error_page_is_noticed_in_a_second(tmp_path: Path, code: str, kind: str, words: str) -> None:
    stand = Stand(tmp_path, click(expect=[{"kind": "page", "path": "never"}], timeout_s=60))
    stand.browser.error_code = code
    with pytest.raises(StepError, match=re.escape(words)):
        stand.play()
    assert stand.time.now_s < 1
    assert stand.result.failure is not None
    assert stand.result.failure.kind == kind


def test_a_disk_without_room_is_not_taken_for_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand = Stand(tmp_path, DOWNLOAD)
    stand.time = FakeTime(
        (1.0, lambda: receiving(stand.browser.downloads, "exam.zip", 10)),
        (2.0, lambda: (stand.browser.downloads / "exam.zip.crdownload").unlink()),
    )
    monkeypatch.setattr("shutil.disk_usage", lambda _folder: type("Usage", (), {"free": 4096}))
    with pytest.raises(StepError, match=r"there is no room for the download exam.zip in .*: make room there, or set TMPDIR"):
        stand.play()


def test_an_error_page_is_not_taken_for_the_page_that_was_expected(tmp_path: Path) -> None:
    stand = Stand(tmp_path, click(action="page_load", expect=[{"kind": "page"}]))
    stand.browser.on_input = lambda what: stand.browser.show("/") if what == "click" else None
    stand.browser.error_code = "ERR_CONNECTION_RESET"
    with pytest.raises(StepError, match="ERR_CONNECTION_RESET"):
        stand.play()
    assert stand.markers.told[-1] == ("cancel", "page_load", {})
