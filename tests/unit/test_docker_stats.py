"""The Docker collector against a fake engine: the life of containers, their samples and their gaps."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sidecar.collect.docker_engine import Limits
from sidecar.collect.lifecycle import NOT_RUNNING
from tests.support.docker_bench import ID, OTHER, SECOND, START, Bench, event, found, frame
from tests.support.waiting import wait_until


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


def test_the_first_frame_is_left_out_and_the_next_ones_become_samples(bench: Bench) -> None:
    bench.engine.limits_of[ID] = Limits(memory_bytes=5000, cpus=1.5, cgroup_parent="/xnat")
    bench.start()
    bench.feed(ID, frame(1, 700, first=True))
    bench.feed(ID, frame(2, 1.0))
    bench.feed(ID, frame(3, 1.5))
    wait_until(lambda: len(bench.sink.samples()) == 2, "two samples")
    samples = bench.sink.samples()
    assert [(s.time_ns, s.cpu_total_ns, s.cpu_percent, s.memory_bytes) for s in samples] == [
        ((START + 2) * SECOND, 10**9, 100.0, 900),
        ((START + 3) * SECOND, 15 * 10**8, 150.0, 900),
    ]
    assert {s.container_id for s in samples} == {ID}
    (info,) = bench.collector.containers()
    assert (info.name, info.state, info.memory_limit_bytes, info.cpu_limit, info.cgroup_parent) == (
        "xnat-web",
        "running",
        5000,
        1.5,
        "/xnat",
    )
    assert bench.health("frames_first") == 1
    assert bench.sink.gaps() == []


def test_stop_and_start_on_one_stream_leave_a_gap_between_the_events(bench: Bench) -> None:
    bench.start()
    bench.feed(ID, frame(1, 1, first=True))
    bench.feed(ID, frame(2, 1))
    bench.engine.send("events", event("die", 2.5))
    wait_until(lambda: bench.state() == "exited", "the end")
    bench.feed(ID, frame(2.4, 1.1))  # read before the end, arrived after it
    bench.feed(ID, frame(0, 0, stopped=True))
    bench.engine.send("events", event("start", 5.0))
    wait_until(lambda: bench.state() == "running", "the start")
    bench.feed(ID, frame(5.5, 0.2))
    wait_until(lambda: len(bench.sink.samples()) == 3, "the samples")
    assert [s.cpu_total_ns for s in bench.sink.samples()] == [10**9, 11 * 10**8, 2 * 10**8], "counters start anew"
    assert [(g.start_ns, g.end_ns, g.reason) for g in bench.sink.gaps("xnat-web")] == [
        (START * SECOND + 25 * 10**8, (START + 5) * SECOND, NOT_RUNNING)
    ]
    assert bench.engine.opened(ID) == 1, "the stream is held through a stop"
    assert bench.health("frames_not_running") == 1


def test_stopped_frames_alone_open_a_gap_that_the_next_real_frame_ends(bench: Bench) -> None:
    bench.start()
    bench.feed(ID, frame(1, 1, first=True))
    bench.feed(ID, frame(2, 1))
    bench.feed(ID, frame(0, 0, stopped=True))
    bench.feed(ID, frame(0, 0, stopped=True))
    bench.feed(ID, frame(9, 0.1))
    gaps = wait_until(lambda: [gap for gap in bench.sink.gaps() if gap.end_ns], "the gap's end")
    assert [(g.start_ns, g.end_ns) for g in gaps] == [((START + 2) * SECOND, (START + 9) * SECOND)]
    assert [s.cpu_percent for s in bench.sink.samples()] == [100.0, 10.0]


def test_pause_is_no_gap(bench: Bench) -> None:
    bench.start()
    bench.engine.send("events", event("pause", 1))
    wait_until(lambda: bench.state() == "paused", "the pause")
    bench.feed(ID, frame(1, 1, first=True))
    bench.feed(ID, frame(2, 1))
    bench.engine.send("events", event("unpause", 3))
    wait_until(lambda: bench.state() == "running", "the end of the pause")
    assert len(bench.sink.samples()) == 1
    assert bench.sink.gaps() == []


def test_rename_goes_on_under_the_new_name_or_out_of_the_choice(bench: Bench) -> None:
    bench.start()
    bench.feed(ID, frame(1, 1, first=True))
    bench.engine.send("events", event("rename", 2, name="xnat-core", oldName="/xnat-web"))
    wait_until(lambda: bench.state("xnat-core"), "the new name")
    bench.feed(ID, frame(2, 1))
    wait_until(lambda: bench.sink.samples("xnat-core"), "a sample under the new name")
    bench.engine.send("events", event("rename", 3, name="elsewhere", oldName="/xnat-core"))
    wait_until(lambda: not bench.collector.containers(), "the container to leave the choice")
    wait_until(lambda: bench.health("streams") == 0, "its stream to close")


def test_a_container_renamed_into_the_choice_is_found_by_the_next_list(bench: Bench) -> None:
    bench.engine.listed = []
    bench.start()
    bench.engine.listed = [found(name="xnat-new")]
    bench.engine.send("events", event("rename", 3, name="xnat-new", oldName="/other"))
    bench.clock.advance(1)
    wait_until(lambda: bench.state("xnat-new") == "running", "the renamed container")


def test_a_new_container_is_found_by_its_start_and_by_label(bench: Bench) -> None:
    bench.start()
    bench.engine.listed += [found(OTHER, "job-1")]
    bench.engine.send("events", event("start", 1, OTHER, "job-1", sample="yes"))
    wait_until(lambda: bench.engine.opened(OTHER), "a stream for the new container")
    assert bench.state("job-1") == "running"


def test_removal_ends_the_stream_and_the_container(bench: Bench) -> None:
    bench.start()
    bench.engine.send("events", event("die", 1))
    bench.engine.listed = []
    bench.engine.send("events", event("destroy", 2))
    wait_until(lambda: not bench.collector.containers(), "the removal")
    gaps = wait_until(lambda: [gap for gap in bench.sink.gaps() if gap.end_ns], "the gap's end")
    assert [(g.start_ns, g.end_ns) for g in gaps] == [((START + 1) * SECOND, (START + 2) * SECOND)], "what is gone is not absent"


def test_the_slow_list_corrects_what_events_did_not_tell(bench: Bench) -> None:
    bench.start()
    bench.engine.listed = [found(state="exited"), found(OTHER, "xnat-db")]
    bench.list_again()
    wait_until(lambda: bench.state("xnat-db") == "running" and bench.state() == "exited", "the corrected states")
    assert wait_until(lambda: bench.sink.gaps("xnat-web"), "the gap")[0].end_ns is None
    bench.engine.listed = [found(OTHER, "xnat-db")]
    bench.list_again()
    wait_until(lambda: bench.state() is None, "the removal")


def test_a_choice_that_fits_nothing_is_said_once(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.engine.listed = [found(name="nginx")]
    with caplog.at_level("WARNING"):
        bench.start()
        bench.list_again()
        bench.list_again()
    assert [record.getMessage().split(":")[0] for record in caplog.records] == ["no container fits TRACEMARK_CONTAINERS"]


def test_stop_ends_open_gaps_at_that_time(bench: Bench) -> None:
    bench.engine.listed = [found(state="exited")]
    bench.start()
    wait_until(lambda: bench.sink.gaps(), "the gap")
    bench.clock.advance(3)
    bench.end()
    assert [(g.start_ns, g.end_ns) for g in bench.sink.gaps()] == [(START * SECOND, (START + 3) * SECOND)]
    assert bench.engine.opened(ID) == 0, "a stopped container needs no stream"
