"""Verdicts where the truth is known: nothing changed, one action did, everything did; and what must not matter."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.analysis.compare import EVERYTHING, Change, Comparison, Repetition, compare
from sidecar.analysis.compare_stats import holm
from sidecar.analysis.summary import student_tail
from tests.support.replays import ACTIONS, replays

SEEDS = range(40)


def the(told: Comparison, action: str, metric: str) -> Change:
    (found,) = (one for one in told.changes if (one.action, one.metric) == (action, metric))
    return found


def test_nothing_changed_and_hardly_ever_is_worse_said() -> None:
    """22 tests in each experiment: about 5 % of the experiments may cry wolf (26 of 400 did)."""
    told = [compare(*replays(seed)) for seed in range(80)]
    assert sum(one.verdict == "worse" for one in told) <= 0.13 * len(told)
    changes = [change for one in told for change in one.changes if change.action != EVERYTHING]
    covered = sum(change.low <= 0 <= change.high for change in changes) / len(changes)
    assert 0.85 <= covered <= 0.95
    assert sum(change.verdict == "same" for change in changes) / len(changes) > 0.8
    assert all(one.interleaved for one in told)


@pytest.mark.parametrize(("metric", "place", "amount"), [("cpu", 0, 0.10), ("duration", 1, 0.15)])
def test_a_regression_is_found_and_only_where_it_is(metric: str, place: int, amount: float) -> None:
    told = [compare(*replays(seed, {(place, "action_4"): amount})) for seed in SEEDS]
    found = [the(one, "action_4", metric) for one in told]
    assert sum(change.verdict == "worse" for change in found) >= 0.9 * len(found)
    assert fmean(change.change for change in found) == pytest.approx(amount, abs=0.02)
    elsewhere = [change for one in told for change in one.changes if change.action != "action_4" and change.verdict == "worse"]
    assert len(elsewhere) <= 4


def test_everything_slower_is_said_of_everything_and_of_no_single_action() -> None:
    told = [compare(*replays(seed, everything=0.10)) for seed in SEEDS]
    assert sum(the(one, EVERYTHING, "cpu").verdict == "worse" for one in told) >= 0.9 * len(told)
    single = sum(change.verdict == "worse" for one in told for change in one.changes if change.action != EVERYTHING)
    assert single <= 4


def test_a_stored_baseline_is_judged_with_more_doubt() -> None:
    told = [compare(*replays(seed, {(0, "action_4"): 0.20}, in_turn=False)) for seed in SEEDS]
    assert not any(one.interleaved for one in told)
    assert sum(the(one, "action_4", "cpu").verdict == "worse" for one in told) >= 0.8 * len(told)
    assert {the(one, EVERYTHING, "cpu").verdict for one in told} == {"not enough data"}
    mixed = compare(*replays(3, everything=0.15, in_turn=False))
    assert any(note.startswith("all actions +1") for note in mixed.notes)
    turn = the(compare(*replays(1)), "action_4", "cpu")
    other = the(compare(*replays(1, in_turn=False)), "action_4", "cpu")
    assert other.high - other.low > turn.high - turn.low


def test_sides_mirror_and_units_and_order_do_not_matter() -> None:
    baseline, candidate = replays(7, {(0, "action_4"): 0.25})
    told, swapped = compare(baseline, candidate), compare(candidate, baseline)
    assert (the(told, "action_4", "cpu").verdict, the(swapped, "action_4", "cpu").verdict) == ("worse", "better")
    for change in told.changes:
        assert 1 + the(swapped, change.action, change.metric).change == pytest.approx(1 / (1 + change.change))

    def scaled(side: list[Repetition]) -> list[Repetition]:
        return [
            replace(
                one,
                values={name: ((cpu or 0) * 1000, seconds / 60) for name, (cpu, seconds) in reversed(list(one.values.items()))},
            )
            for one in reversed(side)
        ]

    again = compare(scaled(baseline), scaled(candidate))
    for one, two in zip(told.changes, again.changes, strict=True):
        assert (one.action, one.metric, one.verdict) == (two.action, two.metric, two.verdict)
        assert (one.change, one.low, one.high) == pytest.approx((two.change, two.low, two.high))


def test_too_few_restarts_or_repetitions_give_an_interval_and_no_verdict() -> None:
    for told in (compare(*replays(1, everything=0.5, blocks=2, each=20)), compare(*replays(1, everything=0.5, blocks=5, each=4))):
        assert told.verdict == "not enough data"
        assert {change.verdict for change in told.changes} == {"not enough data"}
        assert the(told, EVERYTHING, "cpu").change == pytest.approx(0.5, abs=0.15)
        assert all(change.more for change in told.changes)
        assert any(note.startswith("no verdict below 3 restarts with 5 repetitions") for note in told.notes)


def test_nothing_to_compare_is_said() -> None:
    baseline, _ = replays(1)
    for told in (compare(baseline, []), compare([], []), compare(baseline[:1], baseline[:1])):
        assert (told.verdict, told.changes) == ("not enough data", ())
        assert told.notes[0].startswith("nothing to compare")


@pytest.mark.parametrize("each", [6, 20])
def test_the_interval_of_one_restart_knows_that_restarts_differ(each: int) -> None:
    """One start a side says nothing of other starts; without that knowledge 86 of 100 intervals held 90."""
    changes = [change for seed in range(60) for change in compare(*replays(seed, blocks=1, each=each)).changes]
    covered = sum(change.low <= 0 <= change.high for change in changes) / len(changes)
    assert 0.88 <= covered <= 0.96


def test_an_action_that_was_seen_too_rarely_gets_no_verdict() -> None:
    baseline, candidate = replays(2, {(0, "action_4"): 0.5}, each=8)
    seen: dict[int, int] = {}
    rare = []
    for one in candidate:
        seen[one.block] = seen.get(one.block, 0) + 1
        keep = seen[one.block] in (2, 5, 7)  # three of seven after the warm-up
        rare.append(one if keep else replace(one, values={k: v for k, v in one.values.items() if k != "action_4"}))
    told = compare(baseline, rare)
    change = the(told, "action_4", "cpu")
    assert (change.verdict, change.repetitions) == ("not enough data", 15)
    assert change.low > 0.2  # the interval is there all the same
    assert the(told, "action_5", "cpu").verdict != "not enough data"


def test_a_missing_restart_is_not_made_up_for_by_repetitions() -> None:
    told = compare(*replays(1, blocks=1, each=30))
    assert min(change.more or 0 for change in told.changes) >= 10


def test_restarts_that_one_side_alone_has_are_told() -> None:
    baseline, candidate = replays(1)
    told = compare(baseline, [one for one in candidate if one.block < 3])
    assert "one side has 2 more restarts than the other: its last ones are not used" in told.notes


def test_an_action_without_cpu_is_compared_by_duration_alone() -> None:
    baseline, candidate = replays(1)
    blind = [replace(one, values={name: (None, seconds) for name, (_, seconds) in one.values.items()}) for one in candidate]
    told = compare(baseline, blind)
    assert {change.metric for change in told.changes} == {"duration"}
    assert any(note.startswith("cpu: not compared") for note in told.notes)


def test_equal_values_are_the_same() -> None:
    values = dict.fromkeys(ACTIONS, (1.0, 2.0))
    side = [
        Repetition(block=block, start_ns=1000 * block + 10 * n, end_ns=1000 * block + 10 * n + 9, values=values)
        for block in range(3)
        for n in range(6)
    ]
    told = compare(side, side)
    assert told.verdict == "same"
    assert {change.change for change in told.changes} == {0.0}


@pytest.mark.parametrize(
    ("t", "freedom", "p"),
    [(0.0, 5, 0.5), (2.015, 5, 0.05), (1.812, 10, 0.05), (63.657, 1, 0.005), (-1.812, 10, 0.95), (3.0, 1e9, 0.00135)],
)
def test_the_tail_of_student_is_the_tables(t: float, freedom: float, p: float) -> None:
    assert student_tail(t, freedom) == pytest.approx(p, rel=2e-3)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_holm_rejects_no_more_than_single_tests_and_at_least_what_bonferroni_does(values: list[float]) -> None:
    named = {(str(n), "cpu"): p for n, p in enumerate(values)}
    rejected = holm(named, 0.05)
    assert {name for name, p in named.items() if p <= 0.05 / len(values)} <= rejected
    assert rejected <= {name for name, p in named.items() if p <= 0.05}
    assert not any(math.isnan(p) for p in values)
