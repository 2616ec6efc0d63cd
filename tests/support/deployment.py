"""The lab under the override, running: how its parts are asked, and what its InfluxDB holds after a demo run."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from grafana.alerts import TARGETS_S
from replay.lab.info import LabInfo
from tests.support.deploy import Compose, ask, execute, inspect
from tests.support.grafana import Asked, interpolate

_WHY_NONE: Mapping[str, Sequence[str]] = {
    "nobody was there but two replayed sessions": [
        "tracemark-baseline: Real people against replayed sessions A",
        "tracemark-baseline: Durations: real people A",
        "tracemark-overview: Duration against the baseline A",
        *(f"alert: tracemark-slow-{action.replace('_', '-')} A" for action in TARGETS_S),
        "alert: tracemark-regression A",
    ],
    "nobody was asked how it felt": ["tracemark-experience: Ratings A", "tracemark-experience: Mean rating A"],
    "no run is named as the baseline": ["tracemark-baseline: Verdict on the newest run A", "alert: tracemark-verdict A"],
    "one session of each kind tells no capacity; the line beside says so": [
        "tracemark-overview: Headroom A",
        *(f"tracemark-overview: Users now and users that fit {line}" for line in ("Fit", "Low", "High")),
        "alert: tracemark-headroom A",
    ],
    "no packets were captured": ["tracemark-network: Retransmitted packets A", "tracemark-network: Retransmissions over time A"],
    "nothing went wrong": [
        "tracemark-experience: Cancelled or unfinished A",
        "tracemark-network: Route changes A",
        "tracemark-self: Gaps A",
        *(f"tracemark-{board}: annotation Gaps" for board in ("overview", "requests", "resources", "self")),
        "alert: tracemark-gap A",
        "alert: tracemark-gap-lasts A",
    ],
    "neither scenario does that": ["tracemark-resources: annotation ANNOTATE", "tracemark-resources: annotation UPLOAD"],
    "XNAT's containers have no memory limit": ["tracemark-overview: Memory of its limit A"],
    "some kernels tell nothing of block devices": [f"tracemark-resources: Block devices {way}" for way in ("Read", "Written")],
}
#: queries that may have no rows after two replayed sessions -> why
NOT_AFTER_A_DEMO = {query: why for why, those in _WHY_NONE.items() for query in those}


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """The lab under the override, and how to ask its parts."""

    lab: LabInfo
    compose: Compose
    http_port: int

    @property
    def channel(self) -> str:
        """The marker channel behind the site's own address."""
        return f"ws{self.lab.url.removeprefix('http')}/tracemark/markers"

    def api(self, path: str) -> Any:
        """What the sidecar's API answers; None while it answers nothing."""
        status, body = ask(f"http://127.0.0.1:{self.http_port}{path}")
        return json.loads(body) if status == 200 else None

    def reader(self) -> tuple[str, str]:
        """Where InfluxDB is, and the token for dashboards."""
        influxdb = self.compose.container("tracemark-influxdb")
        token = execute(influxdb, "cat", "/run/tracemark/read-token/token").output.strip()
        addresses = [network["IPAddress"] for network in inspect(influxdb)["NetworkSettings"]["Networks"].values()]
        return f"http://{addresses[0]}:8086", token

    def influxql(self, query: str, bucket: str = "tracemark") -> list[list[Any]]:
        """The rows that InfluxDB answers to who has the token for dashboards."""
        return [row for one in series(self.reader(), query, bucket) for row in one["values"]]


def series(reader: tuple[str, str], query: str, bucket: str) -> list[dict[str, Any]]:
    """What InfluxDB answers, by series; nothing while it is not there."""
    url, token = reader
    status, body = ask(f"{url}/query?{urlencode({'q': query, 'db': bucket})}", headers={"Authorization": f"Token {token}"})
    assert status in (0, 200, 502), (status, body)
    answer = json.loads(body)["results"][0] if status == 200 else {}
    assert "error" not in answer, (answer, query)
    found: list[dict[str, Any]] = answer.get("series", [])
    return found


def rows(reader: tuple[str, str], asked: Asked, from_ms: int, to_ms: int) -> list[dict[str, Any]]:
    """What a query gives in the shape that its panel needs: a series with the columns that it names, and a value in it."""
    bucket = "tracemark_long" if asked.board == "tracemark-long" else "tracemark"
    found = series(reader, interpolate(asked, from_ms, to_ms), bucket)
    named = set() if " FROM (" in asked.text else set(re.findall(r'AS "([^"]+)"', asked.text))
    for one in found:
        assert named <= set(one["columns"]), asked
    return [one for one in found if any(cell is not None for row in one["values"] for cell in row[1:])]
