"""When virtual users arrive: laws of the schedule, and what a pattern that cannot be understood is told."""

from __future__ import annotations

import itertools
import statistics
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.users import PROFILES, ArrivalsError, Pattern, arrivals, seed_of

PATTERNS = st.sampled_from(
    ["at-once", "ramp:60s", "ramp:1.5min", "poisson:2/min", "poisson:0.5/s", "day:clinic", "day:office@1h"]
)


@given(PATTERNS, st.integers(0, 60), st.integers(0, 2**40))
def test_the_same_seed_gives_the_same_times_and_they_never_fall(text: str, n: int, seed: int) -> None:
    times = arrivals(text, n, seed)
    assert times == arrivals(Pattern.parse(text), n, seed)
    assert len(times) == n
    assert all(0 <= earlier <= later for earlier, later in itertools.pairwise((0.0, *times)))


@given(st.integers(2, 200), st.floats(0.1, 5000), st.integers(0, 9))
def test_a_ramp_is_even_from_its_begin_to_its_end(n: int, seconds: float, seed: int) -> None:
    times = arrivals(f"ramp:{seconds:.3f}s", n, seed)
    span_s = float(f"{seconds:.3f}")
    assert times[0] == 0
    assert times[-1] == pytest.approx(span_s)
    assert all(later - earlier == pytest.approx(span_s / (n - 1)) for earlier, later in itertools.pairwise(times))


@pytest.mark.parametrize(("text", "per_s"), [("poisson:2/min", 2 / 60), ("poisson:90/h", 90 / 3600), ("poisson:3/s", 3.0)])
def test_poisson_gaps_have_the_mean_and_the_spread_of_their_rate(text: str, per_s: float) -> None:
    gaps = [later - earlier for seed in range(40) for earlier, later in itertools.pairwise((0.0, *arrivals(text, 100, seed)))]
    assert statistics.fmean(gaps) == pytest.approx(1 / per_s, rel=0.05)
    assert statistics.stdev(gaps) == pytest.approx(1 / per_s, rel=0.08)  # that of an exponential is its mean


def test_other_seeds_give_other_times_where_chance_plays_a_part() -> None:
    assert len({arrivals("poisson:2/min", 5, seed) for seed in range(20)}) == 20
    assert len({arrivals("day:clinic", 5, seed) for seed in range(20)}) == 20


def test_a_day_has_its_busy_hours_only_and_users_come_as_its_weights_say(tmp_path: Path) -> None:
    file = tmp_path / "ward.txt"
    file.write_text("# from midnight\n" + "0 " * 8 + "1, 3\n" + "0;" * 10 + "0 0 0 0\n")
    pattern = Pattern.parse(f"day:{file}")
    assert pattern.span_s == 2 * 3600
    times = arrivals(pattern, 4000, 1)
    assert 0 <= times[0] <= times[-1] <= 7200
    assert sum(1 for at_s in times if at_s > 3600) == pytest.approx(3000, rel=0.04)
    pressed = Pattern.parse(f"day:{file}@10min")
    assert pressed.span_s == 600
    assert arrivals(pressed, 7, 5) == pytest.approx([at_s / 12 for at_s in arrivals(pattern, 7, 5)])


def test_the_built_in_days_have_24_hours_and_a_busiest_one_of_a_tenth_to_a_seventh() -> None:
    for weights in PROFILES.values():
        assert len(weights) == 24
        assert 0.1 <= max(weights) / sum(weights) <= 0.15


@given(st.integers(0, 2**31), st.integers(1, 10_000), st.integers(1, 500), st.integers(1, 10_000), st.integers(1, 500))
def test_no_two_users_of_a_run_play_with_the_same_seed(seed: int, a: int, user_a: int, b: int, user_b: int) -> None:
    """Whatever their repetitions: a campaign gives repetition n the seed SEED + n."""
    assert (seed_of(seed + a, user_a) == seed_of(seed + b, user_b)) == ((a, user_a) == (b, user_b))


def test_the_first_user_plays_as_a_single_one_would() -> None:
    assert seed_of(17, 1) == 17


@pytest.mark.parametrize(
    "text",
    ["", "soon", "at-once:3", "ramp", "ramp:", "ramp:60", "ramp:-1s", "poisson:2", "poisson:0/min", "poisson:2/day", "day:",
     f"ramp:{'9' * 400}s", f"poisson:{'9' * 400}/s", "day:clinic@", "day:clinic@0s", "day:clinic@noon", "day:/no/such/file"],
)  # fmt: skip
def test_a_pattern_that_is_none_is_told_what_to_write(text: str) -> None:
    with pytest.raises(ArrivalsError, match=r"write at-once, ramp:60s, poisson:2/min, or day:NAME"):
        Pattern.parse(text)


@pytest.mark.parametrize(
    ("words", "why"),
    [("1 2 3", "3 weights, not 24"), ("x " * 24, "more than numbers"), ("0 " * 24, "one above it"), ("-1 " * 24, "from 0"),
     ("nan " * 24, "from 0"), ("1e308 " * 24, "from 0")],
)  # fmt: skip
def test_a_profile_that_is_none_is_named(tmp_path: Path, words: str, why: str) -> None:
    file = tmp_path / "day"
    file.write_text(words)
    with pytest.raises(ArrivalsError, match=why):
        Pattern.parse(f"day:{file}")
