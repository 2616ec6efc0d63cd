"""The next points to ship: what each kind of record has behind its cursor, as lines, with the cursors that they lead to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from sidecar.errors import InvalidRecordError
from sidecar.model.outbox import ActionRow, Outbox, Refused
from sidecar.model.points import Point, PointContext, Related, to_line, to_points
from sidecar.model.records import Action, Gap, Marker, Rating, Record, Request, Sample, Session, Transfer
from sidecar.ship.crowd import CROWD_NOTE, Crowd, day_group, week_group
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
SHARES: Mapping[type[Record], int] = {Action: 500, Marker: 500, Gap: 200, Transfer: 200, Rating: 100, Request: 1500, Sample: 750}


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

    def __init__(self, journal: ShippedJournal, context: PointContext, grace_ns: int, min_group: int = 1) -> None:
        self._journal = journal
        self._context = context
        self._grace_ns = grace_ns
        self._thinner = Thinner()
        self._min_group = min_group
        self._crowd = Crowd(min_group, journal.note(CROWD_NOTE))
        self._crowd_note = self._crowd.note

    @property
    def held_groups(self) -> int:
        """Groups of real people that are too small to be shipped."""
        return self._crowd.waiting

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
        if (note := self._crowd.note) != self._crowd_note:
            cursors[CROWD_NOTE] = self._crowd_note = note
        return Batch(lines=lines, cursors=cursors, full=full, oldest_ns=min(oldest, default=None), unsayable=unsayable)

    def _read(self, kind: type[Record], after: int, share: int, now_ns: int) -> list[tuple[int, list[Point]]]:
        """Positions of one kind with the points of the record there."""
        context = self._context
        if kind is Action:
            return self._actions(after, share, now_ns - self._grace_ns)
        if kind is Rating:
            return self._ratings(after, share)
        if kind is Sample:
            return [(position, self._thinned(sample)) for position, sample in self._journal.read(Sample, after, share)]
        found = self._journal.read(kind, after, share)
        sessions = self._journal.find(Session, {record.session for _, record in found if isinstance(record, Marker | Transfer)})
        actions = self._journal.find(
            Action, {record.action_id for _, record in found if isinstance(record, Transfer) and record.action_id}
        )
        told = [(position, record, _related(record, sessions, actions)) for position, record in found]
        # Only replayed sessions measure transfers; what somebody else sends as one would be a person's.
        return [
            (position, [] if kind is Transfer and self._is_person(related) else to_points(record, context, position, related))
            for position, record, related in told
        ]

    def _is_person(self, related: Related) -> bool:
        return self._min_group > 1 and _is_real(related)

    def _actions(self, after: int, share: int, unsettled_before_ns: int) -> list[tuple[int, list[Point]]]:
        """Real people's actions pass in company only; the first that makes the company brings those before it."""

        def told(row: ActionRow) -> list[Point]:
            return to_points(row.action, self._context, row.number, Related(session=row.session, usage=row.usage))

        def group(row: ActionRow) -> str:
            return day_group(row.action.action, row.action.start_ns)

        def earlier(wanted: str, first: int, last: int) -> Iterator[ActionRow]:
            at = first - 1
            while page := self._journal.ended_actions(at, share, unsettled_before_ns):
                for position, row in page:
                    if position >= last:
                        return
                    if row.action.source == "extension" and group(row) == wanted:
                        yield row
                at = page[-1][0]

        found: list[tuple[int, list[Point]]] = []
        for position, row in self._journal.ended_actions(after, share, unsettled_before_ns):
            points = told(row)
            if row.action.source == "extension":
                mine = group(row)
                passes, first = self._crowd.may_pass(
                    mine,
                    row.action.session,
                    position,
                    lambda a, b, mine=mine: [one.action.session for one in earlier(mine, a, b)],  # type: ignore[misc]
                )
                before = [point for one in earlier(mine, first, position) for point in told(one)] if first else []
                points = [*before, *points] if passes else []
            found.append((position, points))
        return found

    def _ratings(self, after: int, share: int) -> list[tuple[int, list[Point]]]:
        """As for actions; a rating whose session is not known is taken for a real person's."""

        def page(at: int) -> list[tuple[int, Rating, Related]]:
            read = self._journal.read(Rating, at, share)
            sessions = self._journal.find(Session, {rating.session for _, rating in read})
            actions = self._journal.find(Action, {rating.action_id for _, rating in read if rating.action_id})
            return [(position, rating, _related(rating, sessions, actions)) for position, rating in read]

        def earlier(wanted: str, first: int, last: int) -> Iterator[tuple[int, Rating, Related]]:
            at = first - 1
            while read := page(at):
                for position, rating, related in read:
                    if position >= last:
                        return
                    if _is_real(related) and week_group(related.action, rating.time_ns) == wanted:
                        yield position, rating, related
                at = read[-1][0]

        found: list[tuple[int, list[Point]]] = []
        for position, rating, related in page(after):
            points = to_points(rating, self._context, position, related)
            if _is_real(related):
                mine = week_group(related.action, rating.time_ns)
                passes, first = self._crowd.may_pass(
                    mine,
                    rating.session,
                    position,
                    lambda a, b, mine=mine: [one.session for _, one, _ in earlier(mine, a, b)],  # type: ignore[misc]
                )
                before = (
                    [p for at, one, about in earlier(mine, first, position) for p in to_points(one, self._context, at, about)]
                    if first
                    else []
                )
                points = [*before, *points] if passes else []
            found.append((position, points))
        return found

    def _thinned(self, sample: Sample) -> list[Point]:
        taken = self._thinner.take(sample)
        return to_points(taken[0], self._context, related=Related(usage_percent_max=taken[1])) if taken else []


def _related(record: Record, sessions: Mapping[str, Session], actions: Mapping[str, Action]) -> Related:
    if isinstance(record, Marker):
        return Related(session=sessions.get(record.session))
    if isinstance(record, Transfer | Rating):
        action = actions.get(record.action_id or "")
        return Related(session=sessions.get(record.session), action=action.action if action else None)
    return Related()


def _is_real(related: Related) -> bool:
    return related.session is None or related.session.source != "replay"
