"""The estimate of the sidecar's clock."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from replay.clock_offset import WINDOW_NS, Exchange, Offset, OffsetEstimator

SECOND = 10**9
MS = 10**6


def exchange(sent_ns: int, there_ns: int, back_ns: int, *, offset_ns: int, at_sidecar_ns: int = 0) -> Exchange:
    """A ping whose ways took so long, to a sidecar whose clock is `offset_ns` ahead of our monotonic one."""
    arrived_ns = sent_ns + there_ns
    return Exchange(
        sent_mono_ns=sent_ns,
        received_mono_ns=arrived_ns + at_sidecar_ns + back_ns,
        t1_ns=arrived_ns + offset_ns,
        t2_ns=arrived_ns + at_sidecar_ns + offset_ns,
    )


def estimator(*exchanges: Exchange) -> OffsetEstimator:
    result = OffsetEstimator()
    for one in exchanges:
        assert result.add(one)
    return result


def test_nothing_is_known_before_the_first_exchange() -> None:
    assert OffsetEstimator().at(5, 5) is None


def test_equal_ways_give_the_offset_exactly_and_half_of_them_as_its_bound() -> None:
    known = estimator(exchange(1000, 4 * MS, 4 * MS, offset_ns=50, at_sidecar_ns=7))
    assert known.at(wall_ns=8_001_007, mono_ns=8_001_007) == Offset(offset_ns=50, error_ns=4 * MS)


def test_the_shortest_way_counts() -> None:
    known = estimator(
        exchange(0, 9 * MS, 1 * MS, offset_ns=0),
        exchange(SECOND, 1 * MS, 1 * MS, offset_ns=0),
        exchange(2 * SECOND, 1 * MS, 9 * MS, offset_ns=0),
    )
    offset = known.at(2 * SECOND, 2 * SECOND)
    assert offset is not None
    assert abs(offset.offset_ns) < MS / 10
    assert offset.error_ns < 1.1 * MS


def test_an_old_exchange_gives_way_to_a_fresh_one_for_clocks_drift() -> None:
    known = estimator(exchange(0, 1 * MS, 1 * MS, offset_ns=0), exchange(WINDOW_NS - SECOND, 2 * MS, 2 * MS, offset_ns=3 * MS))
    offset = known.at(WINDOW_NS, WINDOW_NS)
    assert offset is not None
    assert offset.offset_ns == 3 * MS


def test_exchanges_of_more_than_ten_minutes_ago_are_forgotten() -> None:
    known = estimator(exchange(0, 1, 1, offset_ns=0), exchange(WINDOW_NS + SECOND, 500 * MS, 500 * MS, offset_ns=0))
    offset = known.at(WINDOW_NS, WINDOW_NS + 2 * SECOND)
    assert offset is not None
    assert offset.error_ns >= 500 * MS


def test_our_wall_clock_may_be_set_and_the_corrected_time_stays_the_same() -> None:
    known = estimator(exchange(0, MS, MS, offset_ns=50 * SECOND))
    before, after = known.at(100 * SECOND, 3 * SECOND), known.at(0, 3 * SECOND)
    assert before is not None
    assert after is not None
    assert 100 * SECOND + before.offset_ns == 0 + after.offset_ns == 53 * SECOND


def test_a_step_of_the_sidecars_clock_is_noticed_and_what_was_known_is_dropped() -> None:
    known = estimator(exchange(0, MS, MS, offset_ns=0), exchange(20 * SECOND, 2 * MS, 2 * MS, offset_ns=-3600 * SECOND))
    offset = known.at(21 * SECOND, 21 * SECOND)
    assert offset is not None
    assert offset.offset_ns == -3600 * SECOND
    assert known.steps == 1


def test_an_exchange_during_which_a_clock_was_set_is_left_out() -> None:
    known = OffsetEstimator()
    assert not known.add(Exchange(sent_mono_ns=0, received_mono_ns=10, t1_ns=100, t2_ns=99))
    assert not known.add(Exchange(sent_mono_ns=0, received_mono_ns=10, t1_ns=100, t2_ns=200))
    assert known.at(0, 0) is None


@given(
    st.integers(-(10**18), 10**18),
    st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**9)), min_size=1, max_size=20),
)
def test_the_true_offset_is_always_within_the_bound(offset_ns: int, ways: list[tuple[int, int, int]]) -> None:
    known = OffsetEstimator()
    now_ns = 0
    for pause_ns, there_ns, back_ns in ways:
        assert known.add(exchange(now_ns + pause_ns, there_ns, back_ns, offset_ns=offset_ns))
        now_ns += pause_ns + there_ns + back_ns
        estimate = known.at(now_ns, now_ns)
        assert estimate is not None
        assert abs(estimate.offset_ns - offset_ns) <= estimate.error_ns + 1
    assert known.steps == 0
