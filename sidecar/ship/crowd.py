"""No real person alone: real people's actions and ratings leave for InfluxDB in company only.

Dashboards can be asked anything, so what must not be shown must not be there. A group is one class of actions of one day (UTC),
or the ratings of one class in one week. Its records are held back until at least `min_group` people stand behind it; then all of
it is shipped, what was held back too. Replayed sessions are nobody and are exempt, and so is what the access log tells, which
knows no person. What never finds company stays in the journal.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

#: key of the note that holds the groups: where the first record of each one stands in the journal, 0 for those that are shipped
CROWD_NOTE = "ship/crowd"
_DAY_NS = 86_400 * 10**9
#: groups that are remembered: a month of all classes of actions
_MOST_GROUPS = 400

#: (position, person) of every record of a group from a position up to another
People = Callable[[int, int], Iterable[str | None]]


def day_group(action: str, time_ns: int) -> str:
    """The group of an action."""
    return f"action/{time_ns // _DAY_NS}/{action}"


def week_group(action: str | None, time_ns: int) -> str:
    """The group of a rating: ratings are rare."""
    return f"rating/{time_ns // (7 * _DAY_NS)}/{action or ''}"


class Crowd:
    """Tells which records may be shipped; names nobody in what it remembers beyond this run."""

    def __init__(self, min_group: int, note: str | None) -> None:
        self._min_group = min_group
        self._groups: dict[str, int] = json.loads(note) if note else {}
        self._people: dict[str, set[str | None]] = {}

    @property
    def note(self) -> str:
        """What is to be kept in the journal under CROWD_NOTE."""
        while len(self._groups) > _MOST_GROUPS:
            del self._groups[next(iter(self._groups))]  # the one that came first; forgotten, it is held back
        return json.dumps(self._groups, separators=(",", ":"))

    @property
    def waiting(self) -> int:
        """Groups that are held back."""
        return sum(first > 0 for first in self._groups.values())

    def may_pass(self, group: str, person: str | None, position: int, people: People) -> tuple[bool, int]:
        """Whether the record at that position may be shipped, and from which position on its group is due with it (0: it alone).

        `people` reads who stands behind the group's earlier records, for a group that was begun by an earlier run.
        """
        if self._min_group <= 1:
            return True, 0
        first = self._groups.setdefault(group, position)
        if first == 0:
            return True, 0
        if group not in self._people:
            self._people[group] = set(people(first, position))
        self._people[group].add(person)
        if len(self._people[group]) < self._min_group:
            return False, 0
        del self._people[group]
        self._groups[group] = 0
        return True, first
