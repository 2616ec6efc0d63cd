"""What the journal keeps for shipping and settling beside records; the port itself stands in the shared kernel."""

from __future__ import annotations

from sidecar.model.outbox import ActionRow, Outbox, Refused

__all__ = ["KEPT_ASIDE", "ActionRow", "Outbox", "Refused", "settled_note"]

#: how many refused points are kept to be looked at; all are counted
KEPT_ASIDE = 10_000


def settled_note(action_id: str) -> str:
    """Key of the note that says that an action was settled although no container could be seen.

    Its value is the action's `end_ns` as text, so that a later end settles anew.
    """
    return f"settled/{action_id}"
