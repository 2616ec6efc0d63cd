"""The life of the chosen containers as the engine tells it: lists, events and frames in, samples and gaps out. No I/O, no thread.

Containers are known by their full id and filed under their name. What Docker does on the stream (API 1.41): it goes on through
rename, pause and restart; while a container is stopped it carries empty frames of the year 1; it ends with the container's
removal. Counters start at 0 after every start.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from sidecar.collect.absence import Absences, TimeOrder
from sidecar.collect.docker_engine import Found, Limits
from sidecar.collect.frames import Json, is_first, is_stopped, parse_frame
from sidecar.collect.select import Chosen
from sidecar.model.faults import InvalidRecordError
from sidecar.model.records import Gap, Sample

#: the events that change what is known; others are not asked for
EVENTS = ("start", "die", "pause", "unpause", "rename", "update", "destroy")
_ALIVE = ("running", "paused", "restarting")
_STATE_AFTER = {"start": "running", "unpause": "running", "pause": "paused", "die": "exited"}

NOT_RUNNING = "the container is not running"
ENGINE_AWAY = "the Docker engine does not answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerInfo:
    """A chosen container for those who show or read it; None is: no limit, or not known."""

    name: str
    id: str
    state: str
    image: str
    memory_limit_bytes: int | None
    cpu_limit: float | None
    cgroup_parent: str | None


@dataclass(slots=True)
class FrameCounts:
    """What became of the frames."""

    frames: int = 0
    first: int = 0
    not_running: int = 0
    malformed: int = 0


class Containers:
    """The chosen containers and their states; every gap that begins or ends is told to `tell`."""

    def __init__(self, chosen: Chosen, tell: Callable[[Gap], None]) -> None:
        self._chosen = chosen
        self._known: dict[str, Found] = {}
        self._limits: dict[str, Limits] = {}
        self._fresh: set[str] = set()
        self._absences = Absences("docker", tell)
        self._order = TimeOrder(self._absences)
        self.counts = FrameCounts()

    @property
    def refused_times(self) -> int:
        """Frames left out because their time was not after the last one's."""
        return self._order.refused

    def listed(self, found: list[Found], now_ns: int) -> None:
        """What a full list says: corrects whatever the events did not tell."""
        self._absences.end("", now_ns)
        chosen = {one.id: one for one in found if self._chosen(one.name, one.labels)}
        for gone in self._known.keys() - chosen.keys():
            self._forget(gone, now_ns)
        for one in chosen.values():
            self._is(one, now_ns)

    def happened(self, event: Json) -> None:
        """One event of the engine's stream, by its own time; others than EVENTS are ignored."""
        action, time_ns = event.get("Action"), event.get("timeNano")
        actor = event.get("Actor")
        if not isinstance(time_ns, int) or not isinstance(actor, dict):
            return
        container_id, attributes = str(actor.get("ID")), actor.get("Attributes") or {}
        known = self._known.get(container_id)
        name = str(attributes.get("name") or container_id[:12]).lstrip("/")
        labels = known.labels if known else attributes
        if action == "destroy":
            self._forget(container_id, time_ns)
        elif action == "update":
            self._limits.pop(container_id, None)
        elif action == "rename" and not self._chosen(name, labels):
            self._forget(container_id, time_ns)
        elif action in ("start", "rename") and self._chosen(name, labels):
            # A container that is renamed into the choice is taken in by the next list, which knows its state and labels.
            if known or action == "start":
                state = _STATE_AFTER.get(str(action), known.state if known else "")
                image = known.image if known else str(attributes.get("image") or "")
                self._is(Found(id=container_id, name=name, state=state, image=image, labels=labels), time_ns)
        elif known and action in _STATE_AFTER:
            self._is(replace(known, state=_STATE_AFTER[str(action)]), time_ns)

    def opened(self, container_id: str) -> None:
        """A new stream is held for the container: its first frame will be left out."""
        self._fresh.add(container_id)

    def frame(self, container_id: str, raw: Json, now_ns: int) -> Sample | None:
        """The sample to keep of a frame, None if there is none to keep."""
        known = self._known.get(container_id)
        if known is None:
            return None
        self.counts.frames += 1
        if container_id in self._fresh:
            self._fresh.discard(container_id)
            if is_first(raw):
                self.counts.first += 1
                return None
        if is_stopped(raw):
            self.counts.not_running += 1
            last = self._order.last_ns(known.name)
            self._absences.begin(known.name, now_ns if last is None else last, NOT_RUNNING)
            return None
        try:
            sample = parse_frame(raw, known.name, container_id)
        except InvalidRecordError:
            sample = None
        if sample is None:
            self.counts.malformed += 1
            return None
        if not self._order.admit(known.name, sample.time_ns):
            return None
        # A last frame from before the end may come after the event: it does not mean that the container runs again.
        self._absences.end(known.name, sample.time_ns, only_after_begin=known.state not in _ALIVE)
        return sample

    def engine_away(self, now_ns: int) -> None:
        """The engine has gone: from the last sample on nothing is known of whoever was running ("": nobody knows who)."""
        running = [known.name for known in self._known.values() if known.state in _ALIVE]
        for name in running or [""]:
            last = self._order.last_ns(name)
            self._absences.begin(name, now_ns if last is None else last, ENGINE_AWAY)

    def ended(self, now_ns: int) -> None:
        """Nobody looks any longer: every open gap ends, as far as can be told."""
        self._absences.end_all(now_ns)

    def alive(self) -> frozenset[str]:
        """Ids of the chosen containers that run or pause: each needs a stream."""
        return frozenset(one.id for one in self._known.values() if one.state in _ALIVE)

    def ids(self) -> frozenset[str]:
        """Ids of all chosen containers."""
        return frozenset(self._known)

    def without_limits(self) -> frozenset[str]:
        """Ids whose limits must be asked for (again)."""
        return frozenset(self._known.keys() - self._limits.keys())

    def set_limits(self, container_id: str, limits: Limits) -> None:
        self._limits[container_id] = limits

    def infos(self) -> list[ContainerInfo]:
        """The chosen containers in the order of their names."""
        infos = []
        for one in sorted(self._known.values(), key=lambda one: one.name):
            limits = self._limits.get(one.id, Limits())
            infos.append(
                ContainerInfo(
                    name=one.name,
                    id=one.id,
                    state=one.state,
                    image=one.image,
                    memory_limit_bytes=limits.memory_bytes,
                    cpu_limit=limits.cpus,
                    cgroup_parent=limits.cgroup_parent,
                )
            )
        return infos

    def _is(self, now: Found, time_ns: int) -> None:
        before = self._known.get(now.id)
        self._known[now.id] = now
        if before and before.name != now.name:
            self._absences.end(before.name, time_ns)
        if now.state not in _ALIVE:
            self._absences.begin(now.name, time_ns, NOT_RUNNING)
        elif before and before.state not in _ALIVE:
            self._absences.end(now.name, time_ns)

    def _forget(self, container_id: str, time_ns: int) -> None:
        if gone := self._known.pop(container_id, None):
            self._limits.pop(container_id, None)
            self._fresh.discard(container_id)
            if all(other.name != gone.name for other in self._known.values()):
                self._absences.end(gone.name, time_ns)
                self._order.forget(gone.name)
