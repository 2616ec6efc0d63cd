"""Gestures: what is done in which order, and that the action begins right before the input that counts."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.keyboard import chords
from replay.scenario_shape import Pace, ScenarioError, Step
from replay.settle import NotSettledError
from replay.steps import STEPS, Played, Stage
from replay.steps_viewer import bursts, varied
from replay.values import Values
from sidecar.model.faults import UsageFault
from tests.support.replay_fakes import ENVIRONMENT, FakeBrowser, FakeTime, click, scenario, seen, viewer


def play(page: FakeBrowser, raw: dict[str, object], time: FakeTime | None = None, speed: float = 1.0) -> Played:
    loaded = scenario(raw, parameters={"password": "${env:XNAT_PASSWORD}"})
    clock = time or FakeTime()
    stage = Stage(
        eyes=page,
        hands=page,
        waiter=clock.waiter(),
        values=Values(loaded, {}, ENVIRONMENT),
        site="http://site/xnat",
        random=random.Random(1),
        pause=clock.pause,
        speed=speed,
    )
    step: Step = loaded.steps[0]
    return STEPS[step.kind](stage, step, lambda: page.did.append("START"))


@pytest.fixture
def page(tmp_path: Path) -> FakeBrowser:
    return FakeBrowser(tmp_path)


def test_a_click_begins_with_the_pointer_in_place(page: FakeBrowser) -> None:
    played = play(page, click())
    assert page.did == ["aim go", "START", "click"]
    assert played.found is not None
    assert played.found.rank == 0


def test_nothing_begins_while_the_element_is_covered(page: FakeBrowser) -> None:
    page.obstacles = ["is covered by div#backdrop"] * 3
    time = FakeTime()
    play(page, click(), time)
    assert page.did == ["aim go", "START", "click"]
    assert len(time.pauses) == 3


def test_an_element_that_stays_covered_is_said(page: FakeBrowser) -> None:
    page.obstacles = ["is covered by div#backdrop"] * 1000
    with pytest.raises(NotSettledError, match="css=#go is covered by div#backdrop"):
        play(page, click(timeout_s=1))
    assert "START" not in page.did


def test_a_broken_locator_names_all_that_was_tried(page: FakeBrowser) -> None:
    page.elements = {}
    with pytest.raises(NotSettledError, match="css=#go: none; id=go: none"):
        play(page, click(targets=["css=#go", "id=go"], timeout_s=1))
    assert page.did == []


def test_an_address_is_below_the_context_path(page: FakeBrowser) -> None:
    play(page, {"step": "open", "path": "/app/template/Login.vm"})
    assert page.did == ["START", "go http://site/xnat/app/template/Login.vm"]


def test_typing_replaces_what_was_there_and_takes_braces_as_letters(page: FakeBrowser) -> None:
    page.elements["css=#go"] = [seen("filled")]
    play(page, {"step": "type", "targets": ["css=#go"], "text": "a{ENTER}"})
    assert page.did == ["aim filled", "START", "click", "keys {CTRL+A}", "keys a{{ENTER}"]


def test_a_credential_is_typed_from_the_environment(page: FakeBrowser) -> None:
    play(page, {"step": "type", "targets": ["css=#go"], "text": "${password}", "secret": True})
    assert page.did[-1] == "keys secret-word"


def test_keys_and_waiting_begin_at_once(page: FakeBrowser) -> None:
    play(page, {"step": "press", "keys": "{PAGE_DOWN}"})
    play(page, {"step": "wait"})
    assert page.did == ["START", "keys {PAGE_DOWN}", "START"]


@pytest.mark.parametrize(
    ("step", "did"),
    [
        ({"step": "click", "targets": ["css=#go"], "at": [3, 4]}, ["aim go at (3.0, 4.0)", "START", "click"]),
        (
            {"step": "click", "targets": ["css=#go"], "button": "middle", "hold": "CTRL"},
            ["aim go", "START", "click middle with CTRL"],
        ),
        ({"step": "double_click", "targets": ["css=#go"]}, ["aim go", "START", "click click"]),
        ({"step": "hover", "targets": ["css=#go"]}, ["START", "aim go"]),
        ({"step": "drag", "targets": ["css=#go"], "by": [5, -6]}, ["aim go", "START", "drag 5 -6 left"]),
        ({"step": "resize", "size": [800, 600]}, ["START", "resize 800 600"]),
        ({"step": "enter_frame", "targets": ["css=#go"]}, ["START", "enter_frame go"]),
        ({"step": "leave_frame"}, ["START", "leave_frame top"]),
        ({"step": "tab", "path": "/VIEWER"}, ["START", "tab /VIEWER"]),
        ({"step": "close_tab"}, ["START", "close_tab"]),
    ],
)
def test_every_step_gets_ready_before_it_begins(page: FakeBrowser, step: dict[str, object], did: list[str]) -> None:
    play(page, step)
    assert page.did == did


def test_a_tab_that_is_not_there_yet_is_waited_for(page: FakeBrowser) -> None:
    page.obstacles = ["none of 1 tabs shows /VIEWER"] * 3
    time = FakeTime()
    play(page, {"step": "tab", "path": "/VIEWER"}, time)
    assert page.did == ["START", "tab /VIEWER"]
    assert len(time.pauses) == 3


def test_notches_are_turned_one_by_one_at_their_pace(page: FakeBrowser) -> None:
    time = FakeTime()
    played = play(page, {"step": "wheel", "targets": ["css=#go"], "notches": -6, "notches_per_s": 2}, time)
    assert page.did == ["aim go", "START", *["wheel -1"] * 6]
    assert played.ticks == 6
    assert time.now_s == pytest.approx(3, rel=0.3)


def test_a_command_that_cannot_be_played_is_named(page: FakeBrowser) -> None:
    with pytest.raises(ScenarioError, match="the command executeScript cannot be played: record the input"):
        play(page, {"step": "unsupported", "command": "executeScript", "because": "record the input"})


def test_a_pause_of_its_own_length_is_kept(page: FakeBrowser) -> None:
    time = FakeTime()
    play(page, {"step": "wait", "seconds": 2.5}, time, speed=10)
    assert time.now_s == 2.5


SCROLL: dict[str, object] = {
    "step": "scroll",
    "targets": ["css=#go"],
    "pace": [{"share": 0.5, "notches_per_s": 2}, {"share": 0.5, "notches_per_s": 20, "burst": 5}],
}


def with_wheel(page: FakeBrowser, index: int, count: int, per_notch: int = 1) -> None:
    """A viewer in which the wheel works."""
    page.viewer = viewer(index=index, count=count)

    def turn(what: str) -> None:
        if what.startswith("wheel") and page.viewer is not None:
            at = page.viewer["index"] + per_notch * int(what.split()[1])
            page.viewer["index"] = min(count, max(1, at))

    page.on_input = turn


def test_scrolling_reaches_the_last_slice_slowly_first_then_fast(page: FakeBrowser) -> None:
    with_wheel(page, index=1, count=21)
    time = FakeTime()
    played = play(page, SCROLL, time)
    assert page.viewer is not None
    assert page.viewer["index"] == 21
    assert page.did[:3] == ["aim go", "START", "wheel 1"]
    assert [what for what in page.did if what.startswith("wheel")] == ["wheel 1"] * 10 + ["wheel 5"] * 2
    assert played.ticks == 20
    assert time.now_s == pytest.approx(10 / 2 + 10 / 20, rel=0.3)


def test_scrolling_from_far_down_goes_back_to_the_first_slice_before(page: FakeBrowser) -> None:
    with_wheel(page, index=15, count=20)
    played = play(page, SCROLL)
    wheels = [int(what.split()[1]) for what in page.did if what.startswith("wheel")]
    assert sum(notch for notch in wheels if notch < 0) <= -14
    assert page.viewer is not None
    assert page.viewer["index"] == 20
    assert played.ticks == sum(map(abs, wheels))


def test_notches_that_the_viewer_swallows_are_turned_again(page: FakeBrowser) -> None:
    with_wheel(page, index=1, count=10)
    swallow, turn = iter([True, False] * 50), page.on_input
    page.on_input = lambda what: None if what.startswith("wheel") and next(swallow) else turn(what)
    play(page, SCROLL)
    assert page.viewer is not None
    assert page.viewer["index"] == 10


def test_a_wheel_that_moves_nothing_ends_in_words(page: FakeBrowser) -> None:
    with_wheel(page, index=1, count=10, per_notch=0)
    with pytest.raises(NotSettledError, match="notches of the wheel led to slice 1 of 10"):
        play(page, SCROLL)


def test_a_higher_pace_shortens_all_pauses(page: FakeBrowser) -> None:
    with_wheel(page, index=1, count=21)
    time = FakeTime()
    play(page, SCROLL, time, speed=10)
    assert time.now_s == pytest.approx((10 / 2 + 10 / 20) / 10, rel=0.3)


@given(st.integers(1, 2000), st.integers(0, 2**32), st.lists(st.floats(0.05, 1), min_size=1, max_size=4))
def test_stretches_cover_their_shares_and_the_last_one_goes_on(slices: int, seed: int, shares: list[float]) -> None:
    paces = [Pace(share=share, notches_per_s=10, variation=0.5, burst=3) for share in shares]
    plan = bursts(paces, slices, random.Random(seed))
    wanted = sum(max(1, round(share * slices)) for share in shares[:-1])
    turned = 0
    while turned < wanted:
        notches, seconds = next(plan)
        assert 1 <= notches <= 3
        assert notches / 10 * 0.5 <= seconds <= notches / 10 * 1.5
        turned += notches
    assert turned == wanted
    assert [next(plan)[0] for _ in range(3)] == [3, 3, 3]


@given(st.floats(0.01, 100), st.floats(0, 1), st.integers(0, 2**32))
def test_pauses_vary_within_their_bounds_and_repeat_with_their_seed(seconds: float, variation: float, seed: int) -> None:
    pause = varied(seconds, variation, random.Random(seed))
    assert seconds * (1 - variation) * 0.999999 <= pause <= seconds * (1 + variation) * 1.000001
    assert pause == varied(seconds, variation, random.Random(seed))


def test_keys_chords_and_braces() -> None:
    assert list(chords("a{{b")) == [["a"], ["{"], ["b"]]
    assert list(chords("{ENTER}")) == [["\ue007"]]
    assert list(chords("x{CTRL+A}")) == [["x"], ["\ue009", "a"]]
    with pytest.raises(UsageFault, match=r"\{NONSENSE\} is no key"):
        list(chords("{NONSENSE}"))


@given(st.text())
def test_typed_text_arrives_letter_by_letter(text: str) -> None:
    assert "".join(key for chord in chords(text.replace("{", "{{")) for key in chord) == text
