"""Pairing of markers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.model.actions import pair, touched
from sidecar.model.records import Action, Marker, Phase

SESSION = "session-one"
START = 1_700_000_000_000_000_000
SECOND = 10**9


def marker(
    phase: Phase,
    seq: int,
    at_s: float,
    *,
    action_id: str = "a" * 16,
    session: str = SESSION,
    offset: tuple[int, int] | None = (0, 1000),
    wall_step_ns: int = 0,
    action: str = "open_viewer",
    attributes: Mapping[str, int | str] | None = None,
) -> Marker:
    at_ns = round(at_s * SECOND)
    return Marker(
        session=session,
        seq=seq,
        action_id=action_id,
        action=action,
        phase=phase,
        wall_ns=START + at_ns + wall_step_ns,
        mono_ns=at_ns + 77,
        offset_ns=offset[0] if offset else None,
        offset_error_ns=offset[1] if offset else None,
        received_ns=START + at_ns + 5_000_000,
        attributes=attributes or {},
    )


def only(*markers: Marker, vanished: Mapping[str, int] | None = None) -> Action:
    (action,) = pair(markers, sources={SESSION: "replay"}, vanished=vanished).actions
    return action


def test_begin_and_end_are_an_action_in_the_sidecars_time() -> None:
    action = only(
        marker("begin", 1, 2.0, offset=(5_000_000, 300_000), attributes={"ticks": 1}),
        marker("end", 2, 4.5, offset=(5_100_000, 400_000), attributes={"images": 40, "evidence": "rendered"}),
    )
    assert action == Action(
        action_id="a" * 16,
        action="open_viewer",
        session=SESSION,
        source="replay",
        start_ns=START + 2 * SECOND + 5_000_000,
        duration_ns=2_500_000_000,
        outcome="completed",
        clock_offset_ns=5_000_000,
        clock_error_ns=300_000,
        attributes={"ticks": 1, "images": 40, "evidence": "rendered"},
    )


def test_the_offset_with_the_smaller_error_counts() -> None:
    action = only(marker("begin", 1, 2.0, offset=(9_000_000, 900_000)), marker("end", 2, 3.0, offset=(5_000_000, 100_000)))
    assert (action.start_ns, action.clock_offset_ns, action.clock_error_ns) == (
        START + 2 * SECOND + 5_000_000,
        5_000_000,
        100_000,
    )


def test_the_end_gives_the_offset_when_the_begin_came_before_the_first_pong() -> None:
    action = only(marker("begin", 1, 2.0, offset=None), marker("end", 2, 3.0, offset=(5_000_000, 100_000)))
    assert (action.start_ns, action.clock_offset_ns) == (START + 2 * SECOND + 5_000_000, 5_000_000)


def test_without_any_offset_the_clients_time_stands_and_nothing_is_claimed() -> None:
    action = only(marker("begin", 1, 2.0, offset=None), marker("end", 2, 3.0, offset=None))
    assert (action.start_ns, action.clock_offset_ns, action.clock_error_ns) == (START + 2 * SECOND, None, None)


@pytest.mark.parametrize("step_s", [-3600, 3600])
@pytest.mark.parametrize("better_end", [False, True])
def test_a_wall_clock_that_is_set_during_the_action_changes_neither_start_nor_duration(step_s: int, better_end: bool) -> None:
    step_ns = step_s * SECOND
    action = only(
        marker("begin", 1, 2.0, offset=(0, 1000)),
        marker("end", 2, 5.0, wall_step_ns=step_ns, offset=(-step_ns, 500 if better_end else 2000)),
    )
    assert (action.start_ns, action.duration_ns) == (START + 2 * SECOND, 3 * SECOND)


def test_a_monotonic_clock_that_starts_anew_leaves_the_wall_clock() -> None:
    end = replace(marker("end", 2, 5.0), mono_ns=3)
    assert only(marker("begin", 1, 2.0), end).duration_ns == 3 * SECOND
    assert only(marker("begin", 1, 2.0), replace(end, wall_ns=START)).duration_ns == 0


def test_a_cancelled_action_says_so() -> None:
    assert only(marker("begin", 1, 2.0), marker("cancel", 2, 3.0)).outcome == "cancelled"


def test_the_first_end_counts() -> None:
    action = only(marker("begin", 1, 2.0), marker("cancel", 5, 9.0), marker("end", 3, 3.0), marker("begin", 4, 8.0))
    assert (action.outcome, action.start_ns, action.duration_ns) == ("completed", START + 2 * SECOND, SECOND)


def test_an_end_without_a_begin_is_counted_and_no_action() -> None:
    pairing = pair([marker("end", 2, 3.0), marker("cancel", 4, 3.0, action_id="b" * 16)], sources={})
    assert (pairing.actions, pairing.open, pairing.orphans) == ((), (), 2)


def test_an_action_of_minutes_is_whole() -> None:
    assert only(marker("begin", 1, 0), marker("end", 900, 1800.0)).duration_ns == 1800 * SECOND


def test_an_open_action_waits_while_its_session_lives_and_ends_with_it() -> None:
    begin = marker("begin", 1, 2.0, offset=(5_000_000, 300_000))
    assert pair([begin], sources={}).open == (begin,)
    action = only(begin, vanished={SESSION: START + 62 * SECOND + 5_000_000})
    assert (action.outcome, action.duration_ns) == ("unfinished", 60 * SECOND)
    assert only(begin, vanished={SESSION: START}).duration_ns == 0


def test_an_end_that_comes_after_all_replaces_the_unfinished_action() -> None:
    assert only(marker("begin", 1, 2.0), marker("end", 2, 3.0), vanished={SESSION: START}).outcome == "completed"


def test_a_session_that_nobody_introduced_counts_as_a_person() -> None:
    (action,) = pair([marker("begin", 1, 2.0), marker("end", 2, 3.0)], sources={}).actions
    assert action.source == "extension"


def test_sessions_are_not_mixed_up_even_if_their_action_ids_are_the_same() -> None:
    pairing = pair([marker("begin", 1, 2.0), marker("end", 2, 3.0, session="session-two")], sources={})
    assert (len(pairing.actions), len(pairing.open), pairing.orphans) == (0, 1, 1)


@pytest.mark.parametrize("wall_ns", [0, 2**63 - 1])
def test_times_at_the_edge_of_the_range_make_a_valid_action(wall_ns: int) -> None:
    offset = -5 if wall_ns == 0 else 5
    begin = replace(marker("begin", 1, 0, offset=(offset, 0)), wall_ns=wall_ns, mono_ns=0)
    action = only(begin, replace(begin, seq=2, phase="end", mono_ns=2**63 - 1))
    assert 0 <= action.start_ns <= action.end_ns < 2**63


def test_touched_names_every_id_once() -> None:
    assert touched([marker("begin", 1, 0), marker("end", 2, 1), marker("begin", 3, 1, action_id="b" * 16)]) == (
        "a" * 16,
        "b" * 16,
    )


@st.composite
def histories(draw: st.DrawFn) -> list[Marker]:
    """What clients send when all goes well: every action begins, and most of them end, some after others began."""
    markers: list[Marker] = []
    for number in range(draw(st.integers(0, 6))):
        session = draw(st.sampled_from((SESSION, "session-two")))
        begin_s = draw(st.integers(0, 100))
        error_ns = draw(st.integers(0, 3))
        known = {"action_id": f"{number:016x}", "session": session, "offset": (draw(st.integers(-5, 5)), error_ns)}
        markers.append(marker("begin", len(markers) + 1, begin_s, **known))  # type: ignore[arg-type]
        how = draw(st.sampled_from(("end", "cancel", "none")))
        if how != "none":
            end_s = begin_s + draw(st.integers(0, 100))
            markers.append(marker(how, len(markers) + 1, end_s, **known))  # type: ignore[arg-type]
    return markers


@given(histories(), st.data())
def test_order_and_repetition_change_nothing(history: list[Marker], data: st.DataObject) -> None:
    repeated = history + data.draw(st.lists(st.sampled_from(history), max_size=8)) if history else history
    shuffled = data.draw(st.permutations(repeated))
    assert pair(shuffled, sources={}) == pair(history, sources={})


@given(histories(), st.data())
def test_loss_changes_only_the_actions_whose_markers_are_lost(history: list[Marker], data: st.DataObject) -> None:
    kept = [marker for marker in history if data.draw(st.booleans())]
    lost_ids = {marker.action_id for marker in history} - {
        action_id
        for action_id in {marker.action_id for marker in history}
        if all(marker in kept for marker in history if marker.action_id == action_id)
    }
    whole = [action for action in pair(history, sources={}).actions if action.action_id not in lost_ids]
    pairing = pair(kept, sources={})
    assert [action for action in pairing.actions if action.action_id not in lost_ids] == whole
    assert len(pairing.actions) + len(pairing.open) + pairing.orphans == len({(m.session, m.action_id) for m in kept})


@given(histories())
def test_pairing_by_touched_ids_gives_what_pairing_everything_gives(history: list[Marker]) -> None:
    """The service pairs again, commit by commit, all markers of the ids that a commit touched."""
    stored: list[Marker] = []
    actions: dict[str, Action] = {}
    for new in history:
        stored.append(new)
        ids = touched([new])
        for action in pair([known for known in stored if known.action_id in ids], sources={}).actions:
            actions[action.action_id] = action
    assert sorted(actions.values(), key=lambda action: action.action_id) == sorted(
        pair(history, sources={}).actions, key=lambda action: action.action_id
    )


@given(histories(), st.integers(-200, 200))
def test_no_action_is_negative_and_vanished_sessions_leave_none_open(history: list[Marker], last_seen_s: int) -> None:
    last_seen_ns = START + last_seen_s * SECOND
    pairing = pair(history, sources={}, vanished={SESSION: last_seen_ns, "session-two": last_seen_ns})
    assert not pairing.open
    assert all(action.duration_ns >= 0 for action in pairing.actions)
