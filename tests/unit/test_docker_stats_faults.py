"""The Docker collector against a fake engine: what it does when something is away, closed, full or wrong."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sidecar.collect.lifecycle import ENGINE_AWAY
from tests.support.docker_bench import ID, OTHER, SECOND, START, Bench, event, frame
from tests.support.waiting import wait_until


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


def test_a_stream_that_ends_alone_is_opened_again(bench: Bench) -> None:
    bench.start()
    bench.feed(ID, frame(1, 1, first=True))
    bench.engine.end(ID)
    wait_until(lambda: bench.health("streams") == 0, "the end of the stream")
    bench.clock.advance(1)
    wait_until(lambda: bench.engine.opened(ID) == 2, "a new stream")
    bench.feed(ID, frame(5, 1, first=True))
    assert bench.health("frames_first") == 2


def test_a_container_that_goes_between_list_and_stream_is_no_fault(bench: Bench) -> None:
    bench.engine.listed = []
    bench.start()
    bench.engine.send("events", event("start", 1, OTHER, "xnat-short"))  # its stream answers 404
    wait_until(lambda: bench.engine.opened(OTHER), "the stream")
    bench.clock.advance(1)
    wait_until(lambda: not bench.collector.containers(), "the container to be forgotten")
    assert bench.fault is None


def test_an_engine_that_goes_leaves_gaps_until_it_is_back(bench: Bench) -> None:
    bench.start()
    bench.feed(ID, frame(1, 1, first=True))
    bench.feed(ID, frame(2, 1))
    wait_until(lambda: bench.sink.samples(), "a sample")
    bench.clock.advance(5)
    bench.engine.die()
    bench.joined()
    assert bench.fault is not None
    assert bench.fault.retry
    assert [(g.subject, g.start_ns, g.end_ns, g.reason) for g in bench.sink.gaps()] == [
        ("xnat-web", (START + 2) * SECOND, None, ENGINE_AWAY)
    ]
    assert bench.health("state") == "away"
    assert bench.state() == "running", "as last heard of: the cgroup reader goes on with it"
    bench.engine.away = False
    bench.start()
    bench.feed(ID, frame(20, 3, first=True))
    bench.feed(ID, frame(21, 4))
    wait_until(lambda: len(bench.sink.samples()) == 2, "a sample after the return")
    assert [(g.start_ns, g.end_ns) for g in bench.sink.gaps()] == [((START + 2) * SECOND, (START + 21) * SECOND)]
    assert bench.health("connections") == 2


def test_an_engine_away_from_the_start_is_one_gap_of_everything(bench: Bench) -> None:
    bench.engine.away = True
    bench.start()
    bench.joined()
    bench.clock.advance(7)
    bench.start()
    bench.joined()
    bench.clock.advance(1)
    bench.engine.away = False
    bench.start()
    wait_until(lambda: bench.state() == "running", "the engine")
    bench.feed(ID, frame(10, 3, first=True))
    bench.clock.advance(5)
    bench.end()
    assert [(g.subject, g.start_ns, g.end_ns) for g in bench.sink.gaps()] == [("", START * SECOND, (START + 8) * SECOND)]


def test_a_silent_stream_of_events_that_a_proxy_ends_is_opened_again(bench: Bench) -> None:
    bench.start()
    bench.clock.advance(600)
    bench.engine.end("events")
    wait_until(lambda: bench.engine.opened("events") == 2, "a new stream of events")
    assert bench.fault is None


def test_a_proxy_that_forbids_is_named_with_the_remedy(bench: Bench) -> None:
    bench.engine.status = 403
    bench.start()
    bench.joined()
    assert "allow GET for /containers, /events" in str(bench.fault)


def test_a_full_sink_drops_samples_counts_them_and_keeps_the_gaps(bench: Bench) -> None:
    bench.start()
    bench.feed(ID, frame(1, 1, first=True))
    bench.sink.full = True
    bench.engine.send("events", event("die", 1.5))
    bench.engine.send("events", event("start", 1.6))
    bench.feed(ID, frame(2, 1))
    wait_until(lambda: bench.health("samples_dropped") == 1, "the drop")
    bench.sink.full = False
    bench.feed(ID, frame(3, 1))
    bench.feed(ID, frame(4, 1))
    wait_until(lambda: len(bench.sink.samples()) == 2, "the next samples")
    assert [gap.end_ns is None for gap in bench.sink.told_gaps()] == [True, False], "begin and end, once each"


def test_a_clock_set_back_a_little_waits_and_leaves_a_gap(bench: Bench) -> None:
    bench.start()
    bench.feed(ID, frame(9, 1, first=True))
    for second, cpu in ((10, 1), (8, 2), (9, 3), (10, 4), (11, 5)):
        bench.feed(ID, frame(second, cpu))
    wait_until(lambda: len(bench.sink.samples()) == 2, "the samples")
    assert [s.time_ns // SECOND - START for s in bench.sink.samples()] == [10, 11], "times rise"
    assert [s.cpu_total_ns // SECOND for s in bench.sink.samples()] == [1, 5], "and no CPU is lost"
    assert [(g.start_ns // SECOND - START, (g.end_ns or 0) // SECOND - START) for g in bench.sink.gaps()] == [(8, 11)]
    assert bench.health("frames_out_of_order") == 3


def test_a_clock_set_back_far_is_believed_at_once(bench: Bench) -> None:
    bench.start()
    bench.feed(ID, frame(8000, 1, first=True))
    for second, cpu in ((8001, 1), (10, 2), (11, 3)):
        bench.feed(ID, frame(second, cpu))
    wait_until(lambda: len(bench.sink.samples()) == 3, "the samples")
    assert [(g.start_ns // SECOND - START, (g.end_ns or 0) // SECOND - START) for g in bench.sink.gaps()] == [(10, 8001)]


def test_a_line_that_is_no_frame_is_counted(bench: Bench) -> None:
    bench.start()
    wait_until(lambda: bench.engine.opened(ID), "a stream")
    bench.engine._peers[ID][-1].sendall(b"{broken\n[1]\n")
    wait_until(lambda: bench.health("frames_malformed") == 2, "the count")
    assert bench.sink.samples() == []
