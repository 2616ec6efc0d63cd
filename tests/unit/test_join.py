"""Joining an action with its samples and requests."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.analysis.join import Curve, counter, covered, cpu, cpu_at, join, overlaps, requests_of, source_of
from sidecar.model.records import Action, Request, Sample, SampleSource, Source

S = 1_000_000_000
T0 = 1_700_000_000 * S


def sample(at_s: float, cpu_s: float, *, source: SampleSource = "cgroup", container_id: str = "a", **more: int | None) -> Sample:
    return Sample(
        container="web",
        container_id=container_id,
        source=source,
        time_ns=T0 + round(at_s * S),
        cpu_total_ns=round(cpu_s * S),
        **more,
    )


def action(start_s: float, length_s: float, *, source: Source = "replay", session: str | None = "session-1") -> Action:
    return Action(
        action_id="action-01",
        action="open_viewer",
        session=session,
        source=source,
        start_ns=T0 + round(start_s * S),
        duration_ns=round(length_s * S),
        outcome="completed",
    )


def request(at_s: float, sent: int | None = 100, **more: object) -> Request:
    fields: dict[str, object] = {
        "server": "nginx",
        "start_ns": T0 + round(at_s * S),
        "duration_ns": 1,
        "method": "GET",
        "route": "/data",
        "status": 200,
        "sent_bytes": sent,
    }
    return Request(**(fields | more))  # type: ignore[arg-type]


# -- the edges


def test_an_edge_between_two_samples_is_interpolated() -> None:
    samples = [sample(0, 10), sample(1, 11), sample(2, 13), sample(3, 13)]
    assert cpu_at(samples, T0 + S // 2) == pytest.approx(0.5)
    usage = join(action(0.5, 1.0), samples, [], 0)
    assert usage.cpu_seconds == pytest.approx(0.5 + 1.0)
    assert usage.cpu_percent_mean == pytest.approx(150)
    assert (usage.samples, usage.sample_source, usage.hz) == (1, "cgroup", 1.0)


def test_an_action_that_begins_before_its_samples_has_no_cpu_seconds_rather_than_zero() -> None:
    samples = [sample(1, 1), sample(2, 2)]
    usage = join(action(0.5, 1.0), samples, [], 0)
    assert usage.cpu_seconds is None
    assert usage.cpu_percent_peak is None
    assert usage.sample_source is None
    assert not covered(samples, T0 + S // 2, T0 + S)
    assert covered(samples, T0 + S, T0 + 2 * S)


def test_an_edge_inside_a_long_absence_is_unknown_but_an_absence_between_the_edges_does_no_harm() -> None:
    samples = [sample(0, 0), sample(1, 1), sample(61, 31), sample(62, 31)]
    assert join(action(30, 31.5), samples, [], 0).cpu_seconds is None
    assert join(action(0.5, 61), samples, [], 0).cpu_seconds == pytest.approx(30.5)


def test_a_falling_counter_is_a_restart_and_counts_from_zero() -> None:
    samples = [sample(0, 100), sample(1, 101), sample(2, 0.25), sample(3, 0.5)]
    assert join(action(0, 3), samples, [], 0).cpu_seconds == pytest.approx(1.5)


def test_a_new_container_under_the_same_name_counts_from_zero_even_when_its_counter_is_higher() -> None:
    samples = [sample(0, 1), sample(1, 2), sample(2, 5, container_id="b")]
    assert join(action(0, 2), samples, [], 0).cpu_seconds == pytest.approx(6)


# -- what is derived


def test_the_peak_is_over_one_step_and_its_duration_above_half_the_way_from_the_mean() -> None:
    # 10 samples a second; 0.2 cores, but 3 cores from second 1 to 1.5
    rates = [0.2] * 10 + [3.0] * 5 + [0.2] * 25
    samples, total = [sample(0, 0)], 0.0
    for index, rate in enumerate(rates, start=1):
        total += rate * 0.1
        samples.append(sample(index * 0.1, total))
    usage = join(action(0.05, 3.5), samples, [], 2)
    assert usage.cpu_percent_peak == pytest.approx(300)
    assert usage.peak_duration_s == pytest.approx(0.5)
    assert usage.hz == pytest.approx(10)
    assert usage.overlapped == 2


def test_an_extra_sample_a_millisecond_later_makes_no_peak() -> None:
    samples = [sample(0, 0), sample(0.1, 0.01), sample(0.101, 0.014), sample(0.2, 0.02), sample(0.201, 0.024)]
    peak = join(action(0, 0.201), samples, [], 0).cpu_percent_peak
    assert peak is not None
    assert peak < 20


def test_the_ticks_of_proc_make_no_peak() -> None:
    # a steady 5 % of a core, which /proc tells as one tick of 10 ms in every second sample
    samples = [sample(i / 10, (i // 2) / 100, source="proc") for i in range(41)]
    usage = join(action(0, 4), samples, [], 0)
    assert usage.cpu_percent_mean == pytest.approx(5)
    assert usage.cpu_percent_peak is not None
    assert usage.cpu_percent_peak <= 6


def test_memory_peak_and_rise_are_against_the_begin_also_in_an_action_shorter_than_a_step() -> None:
    samples = [sample(i, i, memory_bytes=m) for i, m in enumerate([100, 100, 500, 200])]
    usage = join(action(1, 2), samples, [], 0)
    assert (usage.memory_bytes_peak, usage.memory_rise_bytes) == (500, 400)
    short = join(action(1.25, 0.5), samples, [], 0)
    assert (short.memory_bytes_peak, short.memory_rise_bytes) == (400, 200)


def test_exact_samples_win_over_frames_and_network_bytes_come_from_frames() -> None:
    exact = [sample(i / 10, i / 10) for i in range(31)]
    frames = [sample(i, i * 0.9, source="docker", rx_bytes=1000 * i, tx_bytes=10 * i) for i in range(4)]
    usage = join(action(1, 1), [*frames, *exact], [], 0)
    assert usage.sample_source == "cgroup"
    assert usage.cpu_seconds == pytest.approx(1.0)
    assert (usage.rx_bytes, usage.tx_bytes) == (1000, 10)


def test_frames_serve_where_exact_samples_do_not_cover_the_action() -> None:
    exact = [sample(i / 10, i / 10) for i in range(11)]
    frames = [sample(i, i * 0.9, source="docker") for i in range(4)]
    assert source_of([*exact, *frames], T0 + S // 2, T0 + S) == "cgroup"
    usage = join(action(0.5, 2), [*exact, *frames], [], 0)
    assert usage.sample_source == "docker"
    assert usage.cpu_seconds == pytest.approx(1.8)
    assert usage.rx_bytes is None


def test_samples_of_two_containers_are_refused() -> None:
    other = Sample(container="db", container_id="b", source="cgroup", time_ns=T0, cpu_total_ns=0)
    with pytest.raises(ValueError, match="one container"):
        join(action(0, 1), [sample(0, 0), other], [], 0)


def test_without_samples_the_requests_are_still_counted() -> None:
    usage = join(action(0, 1), [], [request(0.5, action_id="action-01")], 0, container="web")
    assert (usage.container, usage.cpu_seconds, usage.requests, usage.sent_bytes) == ("web", None, 1, 100)


# -- requests


def test_a_request_that_names_an_action_belongs_to_it_and_to_no_other() -> None:
    late = request(9, action_id="action-01")
    foreign = request(0.5, action_id="action-02", session="session-1")
    assert requests_of(action(0, 1), [late, foreign]) == [late]


def test_a_request_that_names_only_its_session_belongs_to_what_was_open_when_it_began() -> None:
    inside, before = request(0.5, session="session-1"), request(-0.5, session="session-1")
    other = request(0.5, session="session-2")
    assert requests_of(action(0, 1), [before, inside, other]) == [inside]


def test_a_request_that_names_nobody_counts_for_people_and_not_for_the_replayer() -> None:
    nameless = request(0.5)
    assert requests_of(action(0, 1, source="extension"), [nameless]) == [nameless]
    assert requests_of(action(0, 1, source="access-log", session=None), [nameless]) == [nameless]
    assert requests_of(action(0, 1, source="replay"), [nameless]) == []


def test_a_request_seen_by_two_servers_is_counted_once() -> None:
    seen = [request(0.5, server=server, session="session-1") for server in ("xnat", "tomcat", "nginx")]
    usage = join(action(0, 1), [sample(0, 0), sample(1, 1)], seen, 0)
    assert (usage.requests, usage.sent_bytes) == (1, 100)


def test_only_actions_that_share_time_overlap() -> None:
    def other(start_s: float, length_s: float, name: str) -> Action:
        return Action(
            action_id=name,
            action="play",
            session=None,
            source="replay",
            start_ns=T0 + round(start_s * S),
            duration_ns=round(length_s * S),
            outcome="completed",
        )

    mine = action(1, 1)
    assert overlaps(mine, [mine, other(0, 1, "before-01"), other(2, 1, "after-001")]) == 0
    assert overlaps(mine, [other(0, 1.1, "tail-0001"), other(0, 9, "around-01"), other(1.5, 0.1, "within-01")]) == 3


# -- laws

STEPS = st.lists(
    st.tuples(st.integers(1, 3 * S), st.one_of(st.integers(0, 40 * S), st.just(-1))),  # nanoseconds on, rise or a restart
    min_size=1,
    max_size=30,
)


def window(start_ns: int, end_ns: int) -> Action:
    return replace(action(0, 0), start_ns=start_ns, duration_ns=end_ns - start_ns)


@st.composite
def walks(draw: st.DrawFn) -> list[Sample]:
    time_ns, total = T0, draw(st.integers(0, 10**15))
    samples = [Sample(container="web", container_id="a", source="cgroup", time_ns=time_ns, cpu_total_ns=total)]
    for step_ns, rise in draw(STEPS):
        time_ns += step_ns
        total = draw(st.integers(0, total)) if rise < 0 else total + rise
        samples.append(Sample(container="web", container_id="a", source="cgroup", time_ns=time_ns, cpu_total_ns=total))
    return samples


def total_of(samples: list[Sample]) -> int:
    """The counter difference by its definition, restarts included."""
    pairs = pairwise(samples)
    return sum(b.cpu_total_ns - a.cpu_total_ns if b.cpu_total_ns >= a.cpu_total_ns else b.cpu_total_ns for a, b in pairs)


@given(samples=walks(), data=st.data())
def test_a_partition_of_a_window_conserves_its_cpu_time(samples: list[Sample], data: st.DataObject) -> None:
    start, end = samples[0].time_ns, samples[-1].time_ns
    cuts = sorted({start, end, *data.draw(st.lists(st.integers(start, end), max_size=12))})
    parts = [join(window(a, b), samples, [], 0) for a, b in pairwise(cuts)]
    assert all(part.cpu_seconds is not None and part.cpu_seconds >= 0 for part in parts)
    assert sum(part.cpu_seconds or 0 for part in parts) == pytest.approx(total_of(samples) / 1e9, rel=1e-9, abs=1e-9)
    # and to the nanosecond before the seconds become floats
    curve = cpu(samples)
    exact = [curve.between(a, b) for a, b in pairwise(cuts)]
    assert sum(value or 0 for value in exact) == total_of(samples)


@given(samples=walks(), data=st.data())
def test_the_order_of_the_samples_changes_nothing(samples: list[Sample], data: st.DataObject) -> None:
    start = data.draw(st.integers(samples[0].time_ns, samples[-1].time_ns))
    end = data.draw(st.integers(start, samples[-1].time_ns))
    shuffled = data.draw(st.permutations(samples))
    assert join(window(start, end), shuffled, [], 0) == join(window(start, end), samples, [], 0)


@given(samples=walks(), data=st.data())
def test_the_peak_is_never_below_the_mean_and_its_time_never_longer_than_the_action(
    samples: list[Sample], data: st.DataObject
) -> None:
    start = data.draw(st.integers(samples[0].time_ns, samples[-1].time_ns - 1))
    end = data.draw(st.integers(start + 1, samples[-1].time_ns))
    usage = join(window(start, end), samples, [], 0)
    assert usage.cpu_percent_mean is not None
    assert usage.cpu_percent_peak is not None
    assert usage.peak_duration_s is not None
    assert usage.cpu_percent_peak >= usage.cpu_percent_mean >= 0
    assert 0 < usage.peak_duration_s <= (end - start) / 1e9


def test_a_counter_that_some_samples_lack_is_read_from_those_that_have_it() -> None:
    samples = [sample(0, 0, throttled_ns=0), sample(1, 1), sample(2, 2, throttled_ns=S)]
    assert counter(samples, lambda one: one.throttled_ns) == Curve([T0, T0 + 2 * S], [0, S])
    assert join(action(0, 2), samples, [], 0).throttled_seconds == 1.0
