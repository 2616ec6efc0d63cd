"""What shipping asks of a journal beside the port: ended actions with their usage, look-ups, and a place for refused points."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from sidecar.model.records import Action, ActionUsage, Record, Session

R = TypeVar("R", bound=Record)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionRow:
    """One ended action with all that is known about it.

    `number` counts actions in the order in which they first came and never changes; `usage` is by container; `cursor` continues
    a list after this row.
    """

    number: int
    action: Action
    session: Session | None
    usage: Mapping[str, ActionUsage] = field(default_factory=dict)

    @property
    def cursor(self) -> str:
        return f"{self.action.start_ns}-{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """One line of line protocol that the store does not take, and why."""

    time_ns: int
    line: str
    reason: str


class Outbox(Protocol):
    """The journal as shipping sees it, beside `Journal`."""

    def ended_actions(self, after: int, limit: int, unsettled_before_ns: int) -> list[tuple[int, ActionRow]]:
        """Actions that changed, or whose usage changed, after that position, in the order of their last change.

        Stops before an action whose usage is still to be computed, unless it ended before `unsettled_before_ns`.
        """

    def find(self, kind: type[R], ids: Iterable[str]) -> dict[str, R]:
        """Sessions or actions by their ids; those that are not there are left out."""

    def set_aside(self, refused: Sequence[Refused], notes: Mapping[str, str]) -> None:
        """Keep refused points (the newest of them: the number is bounded) and commit the notes with them."""


#: how many refused points are kept to be looked at; all are counted
KEPT_ASIDE = 10_000


def settled_note(action_id: str) -> str:
    """Key of the note that says that an action was settled although no container could be seen.

    Its value is the action's `end_ns` as text, so that a later end settles anew.
    """
    return f"settled/{action_id}"
