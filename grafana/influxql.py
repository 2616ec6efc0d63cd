"""InfluxQL as text, always with a time filter, and the query of a panel, since the SDK has none for InfluxDB."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.common import DataSourceRef

#: the variable of every board; alerts have no variables and use UID
UID = "tracemark"
DATASOURCE = DataSourceRef(type_val="influxdb", uid="${datasource}")
#: an action that began so long before the window may still reach into it; no action lasts longer (see the catalogue's at_most_ms)
LONGEST_ACTION = "15m"
#: gaps last longer: a sidecar may be off for a weekend
LONGEST_GAP = "7d"

ResultFormat = Literal["time_series", "table"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Query(Dataquery):
    """One target of a panel, an annotation or an alert, in the datasource's own JSON."""

    text: str
    ref: str = "A"
    result: ResultFormat = "time_series"
    alias: str = ""
    datasource: DataSourceRef = DATASOURCE

    def to_json(self) -> dict[str, object]:
        """The target as the InfluxDB datasource reads it."""
        told: dict[str, object] = {
            "refId": self.ref,
            "datasource": self.datasource,
            "rawQuery": True,
            "resultFormat": self.result,
            "query": self.text,
        }
        return told | ({"alias": self.alias} if self.alias else {})


def select(
    columns: Sequence[str],
    measurement: str,
    where: Sequence[str] = (),
    *,
    group: Sequence[str] = (),
    every: str = "",
    fill: str = "",
    tail: str = "",
) -> str:
    """A SELECT inside the dashboard's time range: `group` are tags, `every` a bucket of time, `fill` what an empty one gets."""
    return _text(columns, f'"{measurement}"', ("$timeFilter", *where), group, every, fill, tail)


def select_from(
    inner: str,
    columns: Sequence[str],
    *,
    where: Sequence[str] = (),
    group: Sequence[str] = (),
    every: str = "",
    fill: str = "",
    tail: str = "",
) -> str:
    """A SELECT over a SELECT; the outer one needs the time range too, or its buckets would begin in 1970."""
    return _text(columns, f"({inner})", ("$timeFilter", *where), group, every, fill, tail)


def touching(columns: Sequence[str], measurement: str, where: Sequence[str], longest: str, tail: str = "") -> str:
    """What touches the window, also what began before it: `$timeFilter` alone would lose that."""
    window = (f"time >= ${{__from}}ms - {longest}", "time <= ${__to}ms", *where)
    return _text(columns, f'"{measurement}"', window, (), "", "", tail)


def tag_values(measurement: str, tag: str, where: Sequence[str] = ()) -> str:
    """The values of a tag; without a time InfluxDB 3 answers for the last day only."""
    return f'SHOW TAG VALUES FROM "{measurement}" WITH KEY = "{tag}" WHERE {" AND ".join(("$timeFilter", *where))}'


def _text(
    columns: Sequence[str], origin: str, where: Sequence[str], group: Sequence[str], every: str, fill: str, tail: str
) -> str:
    by = ([f"time({every})"] if every else []) + [f'"{tag}"' for tag in group]
    parts = [f"SELECT {', '.join(columns)}", f"FROM {origin}", f"WHERE {' AND '.join(where)}"]
    parts += [f"GROUP BY {', '.join(by)}"] if by else []
    parts += [f"fill({fill})"] if fill else []
    parts += [tail] if tail else []
    return " ".join(parts)
