"""Selections that both the journal and the reader make, on any connection."""

# ruff: noqa: S608  (every name in these statements is a constant of this package)
from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from sidecar.journal.rows import TABLE
from sidecar.model.outbox import ActionRow
from sidecar.model.records import Action, ActionUsage, Record, Session

R = TypeVar("R", bound=Record)

#: an action's usage is computed: by its rows, or by the note that no container could be seen
SETTLED = "(t.settled OR EXISTS (SELECT 1 FROM notes WHERE key = 'settled/' || t.action_id AND value = CAST(t.end_ns AS TEXT)))"


def rows_by_id(connection: sqlite3.Connection, kind: type[R], ids: Iterable[str]) -> dict[str, R]:
    """Sessions or actions by their ids."""
    table = TABLE[kind]
    key = table.key[0]
    make = table.reader()
    sql = table.select((f"t.{key}",)) + f"WHERE t.{key} IN (SELECT value FROM json_each(?))"
    return {row[-1]: make(row) for row in connection.execute(sql, (json.dumps(list(ids)),))}


def actions_by(connection: sqlite3.Connection, where: str, parameters: Sequence[Any]) -> list[tuple[int, bool, ActionRow]]:
    """Actions with session and usage by a clause on `actions t`; each with its last change and whether its usage is computed."""
    found = connection.execute(
        TABLE[Action].select(("t.changed", SETTLED, "t.number")) + where,
        parameters,
    ).fetchall()
    make = TABLE[Action].reader()
    actions: list[tuple[int, bool, int, Action]] = [(row[-3], bool(row[-2]), row[-1], make(row)) for row in found]
    sessions = rows_by_id(connection, Session, {action.session for *_, action in actions if action.session is not None})
    usages = usages_of(connection, [action.action_id for *_, action in actions])
    return [
        (
            changed,
            settled,
            ActionRow(
                number=number,
                action=action,
                session=sessions.get(action.session) if action.session is not None else None,
                usage=usages.get(action.action_id, {}),
            ),
        )
        for changed, settled, number, action in actions
    ]


def usages_of(connection: sqlite3.Connection, action_ids: Iterable[str]) -> dict[str, dict[str, ActionUsage]]:
    """Usage by action id and container."""
    table = TABLE[ActionUsage]
    make = table.reader()
    sql = table.select() + "WHERE t.action_id IN (SELECT value FROM json_each(?)) ORDER BY t.action_id, t.container"
    usages: dict[str, dict[str, ActionUsage]] = {}
    for row in connection.execute(sql, (json.dumps(list(action_ids)),)):
        usage: ActionUsage = make(row)
        usages.setdefault(usage.action_id, {})[usage.container] = usage
    return usages
