"""The journal in memory: the public fake, held to the same tests as the file."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from sidecar.errors import InvalidRecordError, JournalFullError
from sidecar.journal.rows import TABLE, TABLES
from sidecar.model.outbox import KEPT_ASIDE, ActionRow, Refused, settled_note
from sidecar.model.records import Action, ActionUsage, Gap, Record, Session

R = TypeVar("R", bound=Record)


@dataclass(slots=True)
class _Watch:
    number: int
    changed: int
    settled: bool


@dataclass(slots=True)
class _Kind:
    by_position: dict[int, Record] = field(default_factory=dict)
    position_of: dict[tuple[Any, ...], int] = field(default_factory=dict)


class MemoryJournal:
    """Implements `Journal` and `Outbox` without a file. While `full` is set, every append raises JournalFullError."""

    def __init__(self) -> None:
        self.full = False
        self.refused: list[Refused] = []
        self._lock = threading.RLock()
        self._kinds: dict[type[Any], _Kind] = {table.kind: _Kind() for table in TABLES}
        self._watched: dict[str, _Watch] = {}
        self._notes: dict[str, str] = {}
        self._position = 0

    def append(self, records: Sequence[Record], notes: Mapping[str, str] | None = None) -> int:
        for record in records:
            if type(record) not in TABLE:
                raise InvalidRecordError(
                    f"the journal has no table for {type(record).__name__}", "append records of the model only"
                )
        with self._lock:
            self._need_room()
            order = {table.kind: place for place, table in enumerate(TABLES)}
            new = sum(self._store(record) for record in sorted(records, key=lambda record: order[type(record)]))
            self._notes.update(notes or {})
            return new

    def read(self, kind: type[R], after: int = 0, limit: int = 1000) -> list[tuple[int, R]]:
        with self._lock:
            found = [item for item in self._kinds[kind].by_position.items() if item[0] > after]
            return cast("list[tuple[int, R]]", found[:limit])

    def note(self, key: str) -> str | None:
        with self._lock:
            return self._notes.get(key)

    def ended_actions(self, after: int, limit: int, unsettled_before_ns: int) -> list[tuple[int, ActionRow]]:
        with self._lock:
            changed = sorted((watch.changed, action_id) for action_id, watch in self._watched.items() if watch.changed > after)
            actions = self.find(Action, [action_id for _, action_id in changed[:limit]])
            ready: list[tuple[int, ActionRow]] = []
            for position, action_id in changed[:limit]:
                action, watch = actions[action_id], self._watched[action_id]
                settled = watch.settled or self._notes.get(settled_note(action_id)) == str(action.end_ns)
                if not settled and action.end_ns > unsettled_before_ns:
                    break
                ready.append((position, self._row(action, watch.number)))
            return ready

    def find(self, kind: type[R], ids: Iterable[str]) -> dict[str, R]:
        with self._lock:
            table = self._kinds[kind]
            return {
                name: cast("R", table.by_position[table.position_of[(name,)]]) for name in ids if (name,) in table.position_of
            }

    def set_aside(self, refused: Sequence[Refused], notes: Mapping[str, str]) -> None:
        with self._lock:
            self._need_room()
            self.refused = [*self.refused, *refused][-KEPT_ASIDE:]
            self._notes.update(notes)

    def _need_room(self) -> None:
        if self.full:
            raise JournalFullError("no space is left for the journal", "free some space")

    def _store(self, record: Record) -> bool:
        table, kind = TABLE[type(record)], self._kinds[type(record)]
        self._position += 1
        position = self._position
        key = tuple(getattr(record, name) for name in table.key) or (position,)
        old = kind.position_of.get(key)
        changed = old is None
        if old is not None:
            before = kind.by_position[old]
            may = table.replaces and not (isinstance(before, Gap) and before.end_ns is not None)
            if may and before != record:
                del kind.by_position[old]
                changed = True
        if changed:
            kind.by_position[position] = record
            kind.position_of[key] = position
        self._watch(record, position, changed)
        return old is None

    def _watch(self, record: Record, position: int, changed: bool) -> None:
        if isinstance(record, Action) and changed:
            watch = self._watched.setdefault(record.action_id, _Watch(len(self._watched) + 1, position, False))
            watch.changed, watch.settled = position, False
        elif isinstance(record, ActionUsage):
            watched = self._watched.get(record.action_id)
            if watched is not None and (changed or not watched.settled):
                watched.changed, watched.settled = position, True

    def _row(self, action: Action, number: int) -> ActionRow:
        sessions = self.find(Session, [action.session] if action.session else [])
        usages = [u for u in self._kinds[ActionUsage].by_position.values() if isinstance(u, ActionUsage)]
        return ActionRow(
            number=number,
            action=action,
            session=sessions.get(action.session or ""),
            usage={u.container: u for u in sorted(usages, key=lambda u: u.container) if u.action_id == action.action_id},
        )
