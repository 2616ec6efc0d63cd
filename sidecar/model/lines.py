"""Points and line protocol, both ways.

The syntax: https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from sidecar.model.faults import InvalidRecordError

Value = int | float | str | bool
Tags = tuple[tuple[str, str], ...]
INT64: Final = 2**63
#: series whose texts are kept at hand; more than a site has, and bounded whatever comes
_SERIES: Final = 4096


class Point(NamedTuple):
    """One point. Tags are sorted by key; a field's Python type is its type in InfluxDB for good."""

    measurement: str
    tags: Tags
    fields: Mapping[str, Value]
    time_ns: int


def to_line(point: Point) -> str:
    """One line of line protocol, nanoseconds; "" when no field remains.

    Fields that are None, NaN, infinite, or integers past 64 bits are left out. Raises InvalidRecordError for what line protocol
    cannot say: an empty name, a line break in a name or tag, a backslash at the end of one.
    """
    fields = ",".join(f"{_key(name)}={text}" for name, value in point.fields.items() if (text := _field(value)) is not None)
    return f"{head(point.measurement, point.tags)} {fields} {point.time_ns}" if fields else ""


@lru_cache(maxsize=_SERIES)
def head(measurement: str, tags: Tags) -> str:
    """Measurement and tags of a line: the same for all points of a series."""
    return ",".join((_name(measurement, _MEASUREMENT), *(f"{_name(name)}={_name(value)}" for name, value in tags if value)))


_MEASUREMENT = str.maketrans({",": "\\,", " ": "\\ "})
_KEY = str.maketrans({",": "\\,", " ": "\\ ", "=": "\\="})
_TEXT = str.maketrans({'"': '\\"', "\\": "\\\\"})


@lru_cache(maxsize=_SERIES)
def _key(text: str) -> str:
    return _name(text)


def _name(text: str, table: Mapping[int, str] = _KEY) -> str:
    if not text or "\n" in text or text.endswith("\\") or text.startswith("#"):
        raise InvalidRecordError(
            f"{text[:40]!r} cannot be a name or tag in line protocol", "leave out line breaks, '#' in front and '\\' at the end"
        )
    return text.translate(table)


def _field(value: Value | None) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value}i" if -INT64 <= value < INT64 else None
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else None
    return None if value is None else f'"{value.translate(_TEXT)}"'


def from_line(text: str) -> Point:
    """The point that a line of line protocol says, with its time in nanoseconds. Raises InvalidRecordError for anything else."""
    try:
        series, rest = _until(text, 0, " ")
        measurement, at = _until(series, 0, ",", "")
        tags = []
        for part in _split(series[at:], ","):
            name, after = _until(part, 0, "=")
            tags.append((_plain(name), _plain(part[after:])))
        fields: dict[str, Value] = {}
        while True:
            name, rest = _until(text, rest, "=")
            value, rest = _value(text, rest)
            fields[_plain(name)] = value
            if text[rest] == " ":
                return Point(_plain(measurement), tuple(sorted(tags)), fields, int(text[rest + 1 :]))
            rest += 1
    except (ValueError, IndexError) as error:
        raise InvalidRecordError(f"{text[:60]!r} is not line protocol", "write: measurement,tag=a field=1i 1700000000") from error


def _until(text: str, start: int, *ends: str) -> tuple[str, int]:
    """Text up to the first unescaped end, and the index past it; the end "" is the end of the text."""
    at = start
    while at < len(text):
        if text[at] == "\\" and at + 1 < len(text) and text[at + 1] in ",= ":
            at += 1
        elif text[at] in ends:
            return text[start:at], at + 1
        at += 1
    if "" not in ends:
        raise ValueError(ends)
    return text[start:], at


def _split(text: str, by: str) -> list[str]:
    parts = []
    at = 0
    while at < len(text):
        part, at = _until(text, at, by, "")
        parts.append(part)
    return parts


def _plain(text: str) -> str:
    if not text:
        raise ValueError(text)
    for sign in ",= ":
        text = text.replace(f"\\{sign}", sign)
    return text


def _value(text: str, start: int) -> tuple[Value, int]:
    if text[start] == '"':
        at, plain = start + 1, []
        while text[at] != '"':
            if text[at] == "\\" and text[at + 1] in '"\\':
                at += 1
            plain.append(text[at])
            at += 1
        return "".join(plain), at + 1
    at = start
    while text[at] not in ", ":
        at += 1
    word = text[start:at]
    if word in ("t", "T", "true", "True", "TRUE"):
        return True, at
    if word in ("f", "F", "false", "False", "FALSE"):
        return False, at
    return (int(word[:-1]) if word.endswith("i") else float(word)), at
