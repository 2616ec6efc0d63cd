"""What the extension told is compared with what the replayer did, action by action."""

from __future__ import annotations

from replay.results import ActionResult
from replay.tagger_compare import Told, compare, rows_of

MS = 1_000_000


def scrolled(begin_ms: int, duration_ms: int, ticks: int) -> ActionResult:
    return ActionResult(
        action="scroll",
        action_id="0" * 16,
        begin_ns=begin_ms * MS,
        duration_ns=duration_ms * MS,
        outcome="completed",
        attributes={"ticks": ticks},
    )


def told(begin_ms: int, end_ms: int, ticks: int, action: str = "scroll") -> Told:
    return Told(action=action, begin_ns=begin_ms * MS, end_ns=end_ms * MS, ticks=ticks)


def counts(truths: list[ActionResult], found: list[Told]) -> tuple[int, int, int]:
    """(found, missed, wrong) over all."""
    row = rows_of(compare(truths, found))[-1]
    return row.found, row.missed, row.wrong


def test_a_scroll_whose_wheel_stood_still_for_longer_than_ends_it_is_one_in_two_parts() -> None:
    """As a busy machine played it: back to the first slice, then nothing for 1.4 s, then to the last one."""
    (one,) = compare([scrolled(0, 21_700, 130)], [told(20, 10_930, 60), told(12_360, 21_590, 70)])
    assert (one.found, one.wrong, one.parts) == (True, False, 2)
    assert (one.begin_error_ms, one.end_error_ms) == (20, -110)


def test_an_action_told_in_two_although_the_wheel_was_turning_is_wrong() -> None:
    assert counts([scrolled(0, 21_700, 130)], [told(20, 10_930, 60), told(11_900, 21_590, 70)]) == (1, 0, 1)


def test_parts_must_be_the_whole_notch_for_notch() -> None:
    assert counts([scrolled(0, 21_700, 130)], [told(20, 10_930, 60), told(12_360, 21_590, 50)]) == (1, 0, 1)


def test_what_lies_outside_of_the_step_is_no_part_of_it() -> None:
    assert counts([scrolled(0, 10_000, 130)], [told(20, 8_000, 60), told(9_900, 11_000, 70)]) == (1, 0, 1)


def test_two_steps_are_two_actions() -> None:
    assert counts([scrolled(0, 2000, 60), scrolled(4000, 2000, 70)], [told(20, 1900, 60), told(4020, 5900, 70)]) == (2, 0, 0)


def test_an_action_with_another_end_is_never_joined() -> None:
    play = ActionResult(action="play", action_id="0" * 16, begin_ns=0, duration_ns=9000 * MS, outcome="completed")
    assert counts([play], [told(10, 3000, 0, "play"), told(6000, 8900, 0, "play")]) == (1, 0, 1)
