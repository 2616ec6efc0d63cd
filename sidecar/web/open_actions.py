"""Actions that have begun and not ended, as the API tells them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sidecar.journal.queries import ActionFilter
from sidecar.model.records import Marker, Session


def open_json(
    begun: Iterable[Marker], sessions: Mapping[str, Session], wanted: ActionFilter, told_of: Collection[str | None]
) -> list[dict[str, Any]]:
    """Begin markers that `wanted` selects; of real persons only those in `told_of`, whom the answer tells of anyhow."""
    rows = []
    for marker in begun:
        session = sessions.get(marker.session)
        source = session.source if session else "extension"
        if (
            (source == "replay" or marker.session in told_of)
            and wanted.action in (None, marker.action)
            and wanted.session in (None, marker.session)
            and wanted.source in (None, source, "replay" if source == "replay" else "real")
            and wanted.run in (None, session.run if session else None)
        ):
            rows.append(
                {
                    "action_id": marker.action_id,
                    "action": marker.action,
                    "session": marker.session,
                    "role": session.role if session else None,
                    "scenario": session.scenario if session else None,
                    "source": source,
                    "start_ns": marker.wall_ns + (marker.offset_ns or 0),
                }
            )
    return rows
