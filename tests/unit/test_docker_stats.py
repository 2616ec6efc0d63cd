"""The Docker collector against a fake engine: life cycle, gaps, faults, clocks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from sidecar.clock import ManualClock
from sidecar.collect.docker_engine import Found, Limits
from sidecar.collect.docker_stats import DockerCollector, parse_selectors
from sidecar.collect.lifecycle import ENGINE_AWAY, NOT_RUNNING
from sidecar.errors import EngineGoneError
from tests.support.engine import FakeEngine, ListSink
from tests.support.waiting import wait_until

START = 1_700_000_000
SECOND = 10**9
ID = "c1" * 32
OTHER = "c2" * 32


def found(container_id: str = ID, name: str = "xnat-web", state: str = "running") -> Found:
    return Found(id=container_id, name=name, state=state, image="xnat:1", labels={})


def frame(second: float, cpu_s: float, *, first: bool = False, stopped: bool = False) -> dict[str, Any]:
    """A frame read `second` seconds after START; the machine's two cores counted on."""
    moment = datetime.fromtimestamp(START + second, UTC)
    zero = {"cpu_usage": {"total_usage": 0}}
    now = {
        "cpu_usage": {"total_usage": round(cpu_s * 1e9)},
        "system_cpu_usage": round((1000 + 2 * second) * 1e9),
        "online_cpus": 2,
    }
    before = {"cpu_usage": {"total_usage": 0}, "system_cpu_usage": round((998 + 2 * second) * 1e9), "online_cpus": 2}
    return {
        "read": "0001-01-01T00:00:00Z" if stopped else moment.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "cpu_stats": zero if stopped else now,
        "precpu_stats": zero if first or stopped else before,
        "memory_stats": {} if stopped else {"usage": 1000, "limit": 5000, "stats": {"inactive_file": 100}},
    }


def event(action: str, second: float, container_id: str = ID, name: str = "xnat-web", **attributes: str) -> dict[str, Any]:
    return {
        "Type": "container",
        "Action": action,
        "Actor": {"ID": container_id, "Attributes": {"name": name, "image": "xnat:1", **attributes}},
        "timeNano": round((START + second) * 1e9),
    }


class Bench:
    """A collector that runs against a fake engine."""

    def __init__(self) -> None:
        self.engine = FakeEngine()
        self.engine.listed = [found()]
        self.sink = ListSink()
        self.clock = ManualClock(wall_ns=START * SECOND)
        self.collector = DockerCollector(
            self.engine, parse_selectors(["name:xnat-*", "label:sample"]), self.sink, self.clock, gather_s=0, turn_s=0.02
        )
        self.stop = threading.Event()
        self.fault: EngineGoneError | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        connections = self.health("connections")
        self.stop.clear()
        self.fault = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        wait_until(lambda: self.health("connections") > connections or self.fault, "the collector to connect")

    def end(self) -> None:
        self.stop.set()
        self.joined()

    def joined(self) -> None:
        assert self._thread
        self._thread.join(20)
        assert not self._thread.is_alive()

    def health(self, name: str) -> Any:
        return self.collector.health()[name]

    def feed(self, container_id: str, raw: dict[str, Any]) -> None:
        """Send a frame and wait until the collector has taken it."""
        wait_until(lambda: self.engine.opened(container_id), "a stream")
        taken = self.health("frames")
        self.engine.send(container_id, raw)
        wait_until(lambda: self.health("frames") > taken, "the frame")

    def list_again(self) -> None:
        lists = self.engine.lists
        self.clock.advance(31)
        wait_until(lambda: self.engine.lists > lists, "another list")

    def state(self, name: str = "xnat-web") -> str | None:
        return {info.name: info.state for info in self.collector.containers()}.get(name)

    def _run(self) -> None:
        try:
            self.collector.run(self.stop)
        except EngineGoneError as error:
            self.fault = error


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    if bench._thread:
        bench.end()
    bench.engine.close()


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
    wait_until(lambda: bench.sink.samples(), "the next sample")
    assert len(bench.sink.gaps()) == 1


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
