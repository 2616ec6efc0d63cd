"""The Docker collector: holds one stats stream per chosen container and hands every frame on as a Sample, once a second.

One thread and one selector serve all streams and the engine's events. A full list every now and then corrects what events missed.
"""

from __future__ import annotations

import json
import logging
import selectors
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from sidecar.clock import Clock
from sidecar.collect.docker_engine import DockerEngine, Engine, Found, Limits, forbidden
from sidecar.collect.frames import cpu_percent, memory_used, parse_frame, parse_time
from sidecar.collect.lifecycle import EVENTS, ContainerInfo, Containers
from sidecar.collect.lines import LineStream
from sidecar.collect.outlet import Outlet
from sidecar.collect.select import Chosen, parse_selectors
from sidecar.errors import CollectError, EngineGoneError
from sidecar.model.records import Record
from sidecar.model.sink import Sink

__all__ = [
    "ContainerInfo",
    "DockerCollector",
    "DockerEngine",
    "Engine",
    "Found",
    "Limits",
    "cpu_percent",
    "memory_used",
    "parse_frame",
    "parse_selectors",
    "parse_time",
]

_EVENTS_PATH = "events?filters=" + quote(json.dumps({"type": ["container"], "event": list(EVENTS)}))
#: lists out of turn, and streams of events that end, come at most this often
_RARELY_NS = 10**9


class DockerCollector:
    """Samples the chosen containers from the engine's frames; `run` ends only by `stop` or with EngineGoneError."""

    def __init__(
        self,
        engine: Engine,
        chosen: Chosen,
        sink: Sink,
        clock: Clock,
        *,
        list_every_s: float = 30.0,
        gather_s: float = 0.1,
        turn_s: float = 0.25,
    ) -> None:
        """`gather_s` is how long a frame waits for others, to be handed on together; `turn_s` how soon a stop is noticed."""
        self._engine = engine
        self._clock = clock
        self._list_every_ns = round(list_every_s * 1e9)
        self._gather_s = gather_s
        self._turn_s = turn_s
        self._log = logging.getLogger(__name__)
        self._outlet = Outlet(sink)
        self._containers = Containers(chosen, self._outlet.tell)
        self._infos: tuple[ContainerInfo, ...] = ()
        self._said: tuple[str, ...] | None = None
        self._streams: dict[str, LineStream] = {}
        self._events: LineStream | None = None
        self._list_due_ns = 0
        self._listed_ns = 0
        self._events_opened_ns = 0
        self._connected = False
        self._connections = 0
        self._last_ns: int | None = None

    def run(self, stop: threading.Event) -> None:
        """Collect until `stop` is set; raises EngineGoneError when the engine is away, and may then be called again."""
        with selectors.DefaultSelector() as selector:
            try:
                self._open_events(selector)
                self._list(selector)
                self._connected = True
                self._connections += 1
                while not stop.is_set():
                    self._turn(selector, stop)
                self._containers.ended(self._clock.wall_ns())
            except CollectError:
                self._containers.engine_away(self._clock.wall_ns())
                raise
            finally:
                self._connected = False
                self._outlet.put([])
                self._close_all()

    def containers(self) -> list[ContainerInfo]:
        """The chosen containers as last heard of, by name; while the engine is away, as they were before."""
        return list(self._infos)

    def health(self) -> Mapping[str, int | float | str]:
        """Counters of this collector since it was made."""
        counts = self._containers.counts
        lag = 0.0 if self._last_ns is None else max(0.0, (self._clock.wall_ns() - self._last_ns) / 1e9)
        return {
            "state": "connected" if self._connected else "away",
            "containers": len(self._infos),
            "streams": len(self._streams),
            "connections": self._connections,
            "frames": counts.frames,
            "frames_first": counts.first,
            "frames_not_running": counts.not_running,
            "frames_malformed": counts.malformed,
            "frames_out_of_order": self._containers.refused_times,
            **self._outlet.counts(),
            "last_sample_age_s": round(lag, 3),
        }

    def _turn(self, selector: selectors.BaseSelector, stop: threading.Event) -> None:
        ready = selector.select(self._turn_s)
        if ready and self._gather_s:
            stop.wait(self._gather_s)
            ready = selector.select(0)
        ready.sort(key=lambda item: item[0].data is not None)  # events first: a frame is judged by what is known by then
        samples: list[Record] = []
        for key, _ in ready:
            stream = key.fileobj
            if not isinstance(stream, LineStream) or stream not in (self._events, self._streams.get(key.data)):
                continue  # closed by an event of this same turn
            lines = self._receive(stream)
            if key.data is None:
                self._take_events(selector, lines)
            else:
                samples += self._take_frames(selector, key.data, lines)
        self._outlet.put(samples)
        if self._clock.mono_ns() >= self._list_due_ns:
            self._list(selector)

    def _receive(self, stream: LineStream) -> list[bytes] | None:
        try:
            lines = stream.receive()
        except EngineGoneError:
            return None  # ended the hard way; whether the engine has gone shows at the next list
        if stream.status in (401, 403):
            raise forbidden(getattr(self._engine, "endpoint", "Docker"))
        return lines if stream.status in (None, 200) else None

    def _take_events(self, selector: selectors.BaseSelector, lines: list[bytes] | None) -> None:
        if lines is None:
            # A proxy may end a stream that was silent for long; an engine that went away does not answer again.
            if self._clock.mono_ns() - self._events_opened_ns < _RARELY_NS:
                raise EngineGoneError("the Docker engine ends the stream of events at once", "look at the engine and its log")
            self._open_events(selector)
            self._list_due_ns = 0
            return
        for event in map(_decode, lines):
            self._containers.happened(event or {})
            if event and event.get("Action") == "rename":
                self._list_soon()
        if lines:
            self._hold_streams(selector)

    def _take_frames(self, selector: selectors.BaseSelector, container_id: str, lines: list[bytes] | None) -> list[Record]:
        if lines is None:
            self._close(selector, container_id)
            self._list_soon()
            return []
        now_ns = self._clock.wall_ns()
        samples: list[Record] = []
        for line in lines:
            raw = _decode(line)
            if raw is None:
                self._containers.counts.malformed += 1
            elif sample := self._containers.frame(container_id, raw, now_ns):
                samples.append(sample)
                self._last_ns = sample.time_ns
        return samples

    def _open_events(self, selector: selectors.BaseSelector) -> None:
        if self._events:
            selector.unregister(self._events)
            self._events.close()
            self._events = None
        self._events = self._engine.open(_EVENTS_PATH)
        self._events_opened_ns = self._clock.mono_ns()
        selector.register(self._events, selectors.EVENT_READ, None)

    def _list_soon(self) -> None:
        self._list_due_ns = min(self._list_due_ns, self._listed_ns + _RARELY_NS)

    def _list(self, selector: selectors.BaseSelector) -> None:
        self._containers.listed(self._engine.containers(), self._clock.wall_ns())
        self._listed_ns = self._clock.mono_ns()
        self._list_due_ns = self._listed_ns + self._list_every_ns
        self._hold_streams(selector)

    def _hold_streams(self, selector: selectors.BaseSelector) -> None:
        for container_id in self._streams.keys() - self._containers.ids():
            self._close(selector, container_id)
        for container_id in self._containers.alive() - self._streams.keys():
            stream = self._engine.open(f"containers/{container_id}/stats?stream=1")
            self._streams[container_id] = stream
            self._containers.opened(container_id)
            selector.register(stream, selectors.EVENT_READ, container_id)
        for container_id in self._containers.without_limits():
            self._containers.set_limits(container_id, self._engine.limits(container_id))
        self._infos = tuple(self._containers.infos())
        self._say(tuple(info.name for info in self._infos))

    def _say(self, names: tuple[str, ...]) -> None:
        if names == self._said:
            return
        self._said = names
        if names:
            self._log.info("sampling %s", ", ".join(names))
        else:
            self._log.warning("no container fits TRACEMARK_CONTAINERS: start one, or choose others (all: name:*)")

    def _close(self, selector: selectors.BaseSelector, container_id: str) -> None:
        if stream := self._streams.pop(container_id, None):
            selector.unregister(stream)
            stream.close()

    def _close_all(self) -> None:
        for stream in self._streams.values():
            stream.close()
        self._streams.clear()
        if self._events:
            self._events.close()
            self._events = None


def _decode(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
