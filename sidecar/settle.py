"""Settling: markers become actions, and an ended action is joined with its samples and requests, once they are in."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping

from sidecar.analysis.join import SOURCES, covered, join, overlaps
from sidecar.clock import Clock
from sidecar.journal.base import Journal
from sidecar.journal.queries import Reader
from sidecar.model.actions import pair, touched
from sidecar.model.outbox import settled_note
from sidecar.model.records import Action, ActionUsage, Marker, Record, Request, Sample, Session, Source
from sidecar.model.sink import Sink

#: after its end an action waits this long for its log lines (nginx writes them at completion, the tailer looks every 0.2 s)
SETTLE_DELAY_NS = 2_000_000_000
#: and no longer than this for samples that do not come (a container that was removed, a source that is away)
GRACE_NS = 10_000_000_000
#: a session that is not connected and has told nothing for so long has vanished: its open actions end as unfinished
VANISHED_NS = 300_000_000_000
#: samples this far around an action are looked at, so that both of its edges lie between two samples
MARGIN_NS = 3_000_000_000
#: sessions older than this are not looked at again for open actions
MEMORY_NS = 86_400_000_000_000
_PAUSE_S = 0.25
_RARELY_NS = 10_000_000_000
_MARKERS_AT_ONCE = 5000
CURSOR = "settle/markers"


def complete(samples: Mapping[str, Collection[Sample]], action: Action) -> bool:
    """Whether the samples of every container that was seen at the action's time are in."""
    return bool(samples) and all(covered(rows, action.start_ns, action.end_ns) for rows in samples.values())


def usages(
    action: Action, samples: Mapping[str, Collection[Sample]], requests: Iterable[Request], overlapped: int
) -> list[ActionUsage]:
    """The action joined with each container's samples."""
    requests = list(requests)
    return [join(action, list(rows), requests, overlapped, container=name) for name, rows in sorted(samples.items())]


def same_kind(action: Action, others: Iterable[Action]) -> list[Action]:
    """The others that were told in the same way: an action inferred from the log may be the shadow of a marked one."""
    inferred = action.source == "access-log"
    return [other for other in others if (other.source == "access-log") == inferred]


class Settler:
    """Pairs new markers into actions and settles what has ended; `wake` it when markers were committed.

    `connected` names the sessions on the marker channel now; `behind` tells whether an access log still has a backlog.
    """

    def __init__(
        self,
        journal: Journal,
        reader: Reader,
        sink: Sink,
        clock: Clock,
        *,
        connected: Callable[[], Collection[str]],
        behind: Callable[[], bool],
    ) -> None:
        self._journal = journal
        self._reader = reader
        self._sink = sink
        self._clock = clock
        self._connected = connected
        self._behind = behind
        self._position = int(journal.note(CURSOR) or 0)
        self._open: dict[str, Marker] = {}
        self._orphans = 0
        self._settled = 0
        self._unseen = 0
        self._vanished: set[str] = set()
        self._looked_ns: int | None = None

    def run(self, stop: threading.Event) -> None:
        """Settle until `stop` is set."""
        while not stop.is_set():
            if not self.step():
                self._clock.wait(stop, _PAUSE_S)

    def health(self) -> Mapping[str, int | float | str]:
        """Counters about settling."""
        return {
            "actions_open": len(self._open),
            "actions_settled": self._settled,
            "actions_without_samples": self._unseen,
            "markers_without_begin": self._orphans,
        }

    def open_actions(self) -> list[Marker]:
        """The begin markers of actions that have not ended yet, as far as they came since the start; from any thread."""
        return list(self._open.values())

    def step(self) -> bool:
        """Do what there is to do now; whether there may be more at once."""
        more = self._pair_new()
        now_ns = self._clock.mono_ns()
        if self._looked_ns is None or now_ns - self._looked_ns >= _RARELY_NS:
            self._looked_ns = now_ns
            self._end_vanished()
        self._settle()
        return more

    def _pair_new(self) -> bool:
        rows = self._journal.read(Marker, after=self._position, limit=_MARKERS_AT_ONCE)
        if not rows:
            return False
        markers = self._reader.markers_of(touched(marker for _, marker in rows))
        pairing = pair(markers, sources=self._sources(markers))
        if not self._sink.put(list(pairing.actions), {CURSOR: str(rows[-1][0])}):
            return False
        self._position = rows[-1][0]
        self._orphans += pairing.orphans
        for action in pairing.actions:
            self._open.pop(action.action_id, None)
        self._open |= {marker.action_id: marker for marker in pairing.open}
        return len(rows) == _MARKERS_AT_ONCE

    def _sources(self, markers: Iterable[Marker]) -> dict[str, Source]:
        known = self._reader.find(Session, {marker.session for marker in markers})
        return {name: session.source for name, session in known.items()}

    def _end_vanished(self) -> None:
        now_ns = self._clock.wall_ns()
        connected = set(self._connected())
        known = {row.session for row in self._reader.sessions(max(0, now_ns - MEMORY_NS), now_ns)}
        self._vanished &= known - connected  # one that came back may vanish again
        candidates = known - connected - self._vanished
        markers = self._reader.markers_of_sessions(candidates)
        last: dict[str, int] = {}
        for marker in markers:
            last[marker.session] = max(last.get(marker.session, 0), marker.received_ns)
        gone = {session: seen_ns for session, seen_ns in last.items() if now_ns - seen_ns > VANISHED_NS}
        if not gone:
            return
        theirs = [marker for marker in markers if marker.session in gone]
        ended = [
            action
            for action in pair(theirs, sources=self._sources(theirs), vanished=gone).actions
            if action.outcome == "unfinished"
        ]
        if self._sink.put(ended):
            self._vanished |= set(gone)
            for action in ended:
                self._open.pop(action.action_id, None)

    def _settle(self) -> None:
        now_ns = self._clock.wall_ns()
        waiting = self._reader.unsettled(now_ns - SETTLE_DELAY_NS)
        if not waiting or self._behind():
            return
        names = self._reader.container_names()
        for action in waiting:
            samples = self._samples(names, action)
            late = now_ns > action.end_ns + GRACE_NS
            if not complete(samples, action) and not late:
                continue
            self._put(action, samples)

    def _samples(self, names: Iterable[str], action: Action) -> dict[str, list[Sample]]:
        start_ns, end_ns = max(0, action.start_ns - MARGIN_NS), action.end_ns + MARGIN_NS
        found: dict[str, list[Sample]] = {}
        for name in names:
            for source in SOURCES:
                rows = self._reader.sample_rows(name, source, start_ns, end_ns)
                # The reader adds the neighbours outside: a container that was only seen long ago is not one of this action's.
                if any(start_ns <= row.time_ns <= end_ns for row in rows):
                    found.setdefault(name, []).extend(rows)
        return found

    def _put(self, action: Action, samples: Mapping[str, Collection[Sample]]) -> None:
        others = same_kind(action, self._reader.overlapping(action.start_ns, action.end_ns))
        overlapped = overlaps(action, others)
        if action.source != "access-log":
            overlapped += sum(self._begun(marker) < action.end_ns for marker in self._open.values())
        named = self._reader.requests_of([action.action_id])
        timed = self._reader.requests(action.start_ns, max(action.end_ns, action.start_ns + 1))
        requests = {id(request): request for request in named} | {
            id(request): request for request in timed if request.action_id != action.action_id
        }
        records: list[Record] = list(usages(action, samples, requests.values(), overlapped))
        notes = {} if records else {settled_note(action.action_id): str(action.end_ns)}
        if self._sink.put(records, notes):
            self._settled += 1
            self._unseen += not records

    @staticmethod
    def _begun(marker: Marker) -> int:
        return marker.wall_ns + (marker.offset_ns or 0)
