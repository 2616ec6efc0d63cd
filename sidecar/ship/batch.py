"""The next points to ship: what each kind of record has behind its cursor, as lines, with the cursors that they lead to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from sidecar.errors import InvalidRecordError
from sidecar.model.outbox import Outbox, Refused
from sidecar.model.points import Point, PointContext, Related, to_line, to_points
from sidecar.model.records import Action, Gap, Marker, Record, Request, Sample, Session, Transfer
from sidecar.ship.thinning import Thinner

R = TypeVar("R", bound=Record)


class Readable(Protocol):
    """The part of the port `Journal` that shipping reads."""

    def read(self, kind: type[R], after: int = 0, limit: int = 1000) -> list[tuple[int, R]]:
        """Records of one kind behind a position."""

    def note(self, key: str) -> str | None:
        """The last committed note of that key."""


class ShippedJournal(Readable, Outbox, Protocol):
    """The journal as shipping sees it."""


#: kinds in the order in which they are shipped, and how many of each one batch takes: some thousand lines in all, the few and
#: telling ones first, so that a backlog of samples holds nothing up
SHARES: Mapping[type[Record], int] = {Action: 500, Marker: 500, Gap: 200, Transfer: 200, Request: 1500, Sample: 750}


def cursor_note(kind: type[Record]) -> str:
    """Key of the note that holds the position up to which a kind is shipped."""
    return f"ship/{kind.__name__.lower()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Lines to write and the cursors to commit when they are written; `full` when more waits behind it."""

    lines: Sequence[str]
    cursors: Mapping[str, str]
    full: bool
    oldest_ns: int | None
    unsayable: Sequence[Refused] = ()


class Batcher:
    """Makes batches; remembers nothing but what `Thinner` does."""

    def __init__(self, journal: ShippedJournal, context: PointContext, grace_ns: int) -> None:
        self._journal = journal
        self._context = context
        self._grace_ns = grace_ns
        self._thinner = Thinner()

    def next(self, now_ns: int) -> Batch:
        """What is to be shipped now; an action waits for its usage until it ended `grace_ns` ago."""
        lines: list[str] = []
        cursors: dict[str, str] = {}
        unsayable: list[Refused] = []
        full = False
        oldest: list[int] = []
        for kind, share in SHARES.items():
            after = int(self._journal.note(cursor_note(kind)) or 0)
            found = self._read(kind, after, share, now_ns)
            if not found:
                continue
            cursors[cursor_note(kind)] = str(found[-1][0])
            full = full or len(found) == share
            for point in (point for _, points in found for point in points):
                try:
                    line = to_line(point)
                except InvalidRecordError as error:
                    unsayable.append(Refused(time_ns=now_ns, line=repr(point), reason=str(error)))
                    continue
                if line:
                    lines.append(line)
                    oldest.append(point.time_ns)
        return Batch(lines=lines, cursors=cursors, full=full, oldest_ns=min(oldest, default=None), unsayable=unsayable)

    def _read(self, kind: type[Record], after: int, share: int, now_ns: int) -> list[tuple[int, list[Point]]]:
        """Positions of one kind with the points of the record there."""
        context = self._context
        if kind is Action:
            rows = self._journal.ended_actions(after, share, now_ns - self._grace_ns)
            return [
                (position, to_points(row.action, context, row.number, Related(session=row.session, usage=row.usage)))
                for position, row in rows
            ]
        if kind is Sample:
            return [(position, self._thinned(sample)) for position, sample in self._journal.read(Sample, after, share)]
        found = self._journal.read(kind, after, share)
        sessions = self._journal.find(Session, {record.session for _, record in found if isinstance(record, Marker | Transfer)})
        actions = self._journal.find(
            Action, {record.action_id for _, record in found if isinstance(record, Transfer) and record.action_id}
        )
        return [
            (position, to_points(record, context, position, _related(record, sessions, actions))) for position, record in found
        ]

    def _thinned(self, sample: Sample) -> list[Point]:
        taken = self._thinner.take(sample)
        return to_points(taken[0], self._context, related=Related(usage_percent_max=taken[1])) if taken else []


def _related(record: Record, sessions: Mapping[str, Session], actions: Mapping[str, Action]) -> Related:
    if isinstance(record, Marker):
        return Related(session=sessions.get(record.session))
    if isinstance(record, Transfer):
        action = actions.get(record.action_id or "")
        return Related(session=sessions.get(record.session), action=action.action if action else None)
    return Related()
