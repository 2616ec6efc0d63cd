"""The Docker collector on a bench: a fake engine before it, a list behind it, a manual clock beside it."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any

from sidecar.clock import ManualClock
from sidecar.collect.docker_engine import Found
from sidecar.collect.docker_stats import DockerCollector, parse_selectors
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

    def close(self) -> None:
        if self._thread:
            self.end()
        self.engine.close()

    def joined(self) -> None:
        assert self._thread
        self._thread.join(60)
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
