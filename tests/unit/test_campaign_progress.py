"""The bar on a terminal, and lines elsewhere."""

from __future__ import annotations

import io

import pytest

from replay.campaign_progress import Bar, Silent, shown, time_left_s


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("finished_s", "repetitions", "elapsed_s", "left_s"),
    [([], 3, 5, None), ([10], 3, 4, 16), ([10, 20], 3, 5, 10), ([10], 3, 40, 10), ([10, 20], 2, 0, 15)],
)
def test_time_left_is_what_the_finished_ones_took(
    finished_s: list[int], repetitions: int, elapsed_s: float, left_s: float | None
) -> None:
    assert time_left_s([one * 10**9 for one in finished_s], repetitions, elapsed_s) == left_s


def test_on_a_terminal_repetition_step_and_time_left_are_shown() -> None:
    out, now_s = Terminal(), [0.0]
    with shown(out, 4, 3, lambda: now_s[0]) as progress:
        assert isinstance(progress, Bar)
        progress.begin(2, 1, [60 * 10**9])
        now_s[0] = 10.0
        progress.step(2, "log [in]")
        progress.say("the route changed [again]")
        progress._progress.refresh()
    text = out.getvalue()
    assert "2/4: step 2/3 log [in]" in text
    assert "2:50 left" in text
    assert "replay: the route changed [again]" in text


def test_elsewhere_only_what_a_person_should_know_is_said() -> None:
    out = io.StringIO()
    with shown(out, 4, 3) as progress:
        assert isinstance(progress, Silent)
        progress.begin(1, 1, [])
        progress.step(1, "log in")
        progress.say("the route changed")
    assert out.getvalue() == "replay: the route changed\n"
