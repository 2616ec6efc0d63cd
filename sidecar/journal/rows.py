"""Records to rows and back: one description per kind of record, in the order in which kinds are stored."""

# ruff: noqa: S608  (every name in these statements is a constant of this package)
from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any

from sidecar.model.records import Action, ActionUsage, Gap, Marker, Rating, Record, Request, Sample, Session, Transfer

Names = Mapping[str | None, int | None]


#: one for all rows: `json.dumps` with options builds a new one at every call
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def _to_json(value: Mapping[str, int | str]) -> str:
    return _ENCODER.encode(dict(value)) if value else "{}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Where records of one kind live. Columns bear the names of the record's attributes.

    `key` are the attributes that identify a record (empty: every record is new); `named` those kept as numbers of the table
    `names`; `as_json` those kept as JSON text. A record whose key is there already is left alone, or replaces it if `replaces`.
    `only_if` is SQL: a condition on the row that may be replaced. A watched table has the columns `changed` and `settled`.
    """

    kind: type[Record]
    name: str
    key: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    as_json: tuple[str, ...] = ()
    replaces: bool = False
    only_if: str = ""
    is_watched: bool = False

    @property
    def attributes(self) -> tuple[str, ...]:
        return tuple(field.name for field in fields(self.kind))

    @property
    def insert(self) -> str:
        columns = (*self.attributes, "position", *(("changed",) if self.is_watched else ()))
        values = [self._parameter("position" if name == "changed" else name) for name in columns]
        return f"INSERT INTO {self.name} ({', '.join(columns)}) VALUES ({', '.join(values)}) ON CONFLICT DO NOTHING"

    @property
    def update(self) -> str:
        """Replace the row of the same key where it differs: an equal record changes nothing, not even its position."""
        rest = [name for name in self.attributes if name not in self.key]
        old, new, position = ", ".join(rest), ", ".join(map(self._parameter, rest)), self._parameter("position")
        watched = f", changed = {position}, settled = 0" if self.is_watched else ""
        same_key = " AND ".join(f"{name} = {self._parameter(name)}" for name in self.key)
        return (
            f"UPDATE {self.name} SET ({old}, position) = ({new}, {position}){watched} "
            f"WHERE {same_key} AND ({old}) IS NOT ({new}) {self.only_if}"
        )

    def _parameter(self, name: str) -> str:
        return f"?{(*self.attributes, 'position').index(name) + 1}"

    def select(self, extra: Sequence[str] = ()) -> str:
        """`SELECT` of all attributes in their order, then `extra`, from this table under the alias `t`."""
        columns = [
            f"(SELECT name FROM names WHERE no = t.{name})" if name in self.named else f"t.{name}" for name in self.attributes
        ]
        return f"SELECT {', '.join((*columns, *extra))} FROM {self.name} t "

    def words(self, records: Sequence[Record]) -> set[str | None]:
        """All strings of these records that must have a number."""
        return {value for name in self.named for value in set(map(attrgetter(name), records))}

    def rows(self, records: Sequence[Record], names: Names, position: int) -> Iterator[tuple[Any, ...]]:
        """Rows in the order of `insert`'s parameters, made column by column: the loop runs in C."""
        columns: list[Iterable[Any]] = []
        for name in self.attributes:
            column: Iterable[Any] = map(attrgetter(name), records)
            if name in self.named:
                column = map(names.__getitem__, column)
            elif name in self.as_json:
                column = map(_to_json, column)
            columns.append(column)
        return zip(*columns, range(position, position + len(records)), strict=True)

    def reader(self) -> Callable[[Sequence[Any]], Any]:
        """A function from a row of `select` (extra columns ignored) to the record."""
        attributes, kind = self.attributes, self.kind
        texts = [attributes.index(name) for name in self.as_json]
        if not texts:
            return lambda row: kind(**dict(zip(attributes, row, strict=False)))

        def read(row: Sequence[Any]) -> Any:
            values = list(row)
            for index in texts:
                values[index] = json.loads(values[index])
            return kind(**dict(zip(attributes, values, strict=False)))

        return read


TABLES: tuple[Table, ...] = (
    Table(
        kind=Sample,
        name="samples",
        key=("container", "source", "time_ns"),
        named=("container", "container_id", "source"),
    ),
    Table(kind=Request, name="requests", named=("server", "method", "route", "content_type")),
    Table(kind=Session, name="sessions", key=("session",), replaces=True),
    Table(kind=Marker, name="markers", key=("session", "seq"), named=("action", "phase"), as_json=("attributes",)),
    Table(kind=Transfer, name="transfers"),
    Table(kind=Rating, name="ratings"),
    Table(
        kind=Gap,
        name="gaps",
        key=("part", "subject", "start_ns"),
        replaces=True,
        only_if="AND end_ns IS NULL",
    ),
    Table(
        kind=Action,
        name="actions",
        key=("action_id",),
        as_json=("attributes",),
        replaces=True,
        is_watched=True,
    ),
    Table(kind=ActionUsage, name="usages", key=("action_id", "container"), replaces=True),
)
TABLE: Mapping[type[Any], Table] = {table.kind: table for table in TABLES}
