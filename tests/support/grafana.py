"""The committed boards and alerts as queries, and what Grafana makes of them: variables, intervals, expressions."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

GRAFANA = Path(__file__).resolve().parents[2] / "grafana"
#: the window of the made-up site, and the moment at which it is looked at
START_MS, NOW_MS = 1_700_000_000_000, 1_700_001_300_000

#: Grafana's steps of an automatic interval: up to the first (not included), the second is taken; milliseconds
_STEPS: Sequence[tuple[float, int]] = (
    (10, 1), (15, 10), (35, 20), (75, 50), (150, 100), (350, 200), (750, 500), (1500, 1000), (3500, 2000), (7500, 5000),
    (12500, 10000), (17500, 15000), (25000, 20000), (45000, 30000), (90000, 60000), (210000, 120000), (450000, 300000),
    (750000, 600000), (1050000, 900000), (1500000, 1200000), (2700000, 1800000), (5400000, 3600000), (9000000, 7200000),
    (16200000, 10800000), (32400000, 21600000), (86400000, 43200000), (604800000, 86400000), (1814400000, 604800000),
    (3628800000, 2592000000),
)  # fmt: skip
_UNITS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One committed query and where it stands; `single` has the values of variables that hold one."""

    board: str
    place: str
    text: str
    table: bool = True
    alias: str = ""
    single: Mapping[str, str]
    multi: frozenset[str] = frozenset()
    window_ms: int | None = None
    points: int | None = None
    least_ms: int = 1000

    def __str__(self) -> str:
        return f"{self.board}: {self.place}"


#: what the variables of one value hold on the made-up site
CHOSEN = {
    "site": "lab",
    "samples": "cgroup",
    "source": ".*",
    "server": "nginx",
    "run": "run-2",
    "baseline": "run-1",
    "container": "xnat-web",
    "scope": "action",
}


def boards() -> Iterator[dict[str, Any]]:
    """The committed boards."""
    for path in sorted((GRAFANA / "dashboards").glob("*.json")):
        yield json.loads(path.read_text(encoding="utf-8"))


def rules() -> list[dict[str, Any]]:
    """The committed alert rules."""
    told = yaml.safe_load((GRAFANA / "provisioning/alerting/tracemark-rules.yaml").read_text(encoding="utf-8"))
    return [rule for group in told["groups"] for rule in group["rules"]]


def duration_ms(text: str) -> int:
    """Milliseconds of a duration such as 15m."""
    return int(text[:-1]) * _UNITS[text[-1]]


def round_interval(milliseconds: float) -> int:
    """The interval that Grafana makes of a window divided by the points that a panel asks for."""
    return next((taken for below, taken in _STEPS if milliseconds < below), 31_536_000_000)


def queries() -> list[Asked]:
    """Every query of every panel, variable, annotation and alert."""
    found: list[Asked] = []
    for board in boards():
        variables = board["templating"]["list"]
        multi = frozenset(one["name"] for one in variables if one.get("multi"))
        known: dict[str, Any] = {"board": board["uid"], "single": CHOSEN, "multi": multi}
        found += [
            Asked(place=f"variable {one['name']}", text=one["query"], **known) for one in variables if one["type"] == "query"
        ]
        for panel in board["panels"]:
            window_ms = duration_ms(panel["timeFrom"]) if "timeFrom" in panel else None
            for target in panel.get("targets", ()):
                found.append(
                    Asked(
                        place=f"{panel['title']} {target['refId']}",
                        text=target["query"],
                        table=target["resultFormat"] == "table",
                        alias=target.get("alias", ""),
                        window_ms=window_ms,
                        points=panel.get("maxDataPoints"),
                        least_ms=duration_ms(panel.get("interval", "1s")),
                        **known,
                    )
                )
        found += [
            Asked(place=f"annotation {one['name']}", text=one["target"]["query"], **known)
            for one in board["annotations"].get("list", ())
            if one["datasource"]["type"] == "influxdb"
        ]
    return found + [asked for rule in rules() for _, asked in rule_queries(rule)]


def rule_queries(rule: Mapping[str, Any]) -> list[tuple[str, Asked]]:
    """The queries of one alert rule, by ref id."""
    return [
        (
            step["refId"],
            Asked(
                board="alert",
                place=f"{rule['uid']} {step['refId']}",
                text=step["model"]["query"],
                table=step["model"]["resultFormat"] == "table",
                single={},
                window_ms=1000 * step["relativeTimeRange"]["from"],
            ),
        )
        for step in rule["data"]
        if step["datasourceUid"] != "__expr__"
    ]


Labels = tuple[tuple[str, str], ...]


def evaluate(rule: Mapping[str, Any], ask: Callable[[Asked], list[dict[str, Any]]]) -> dict[Labels, bool]:
    """Whether a rule's condition holds, for each series, as Grafana's expressions say; empty where there is no data."""
    known: dict[str, Any] = {ref: ask(asked) for ref, asked in rule_queries(rule)}
    for model in (step["model"] for step in rule["data"] if step["datasourceUid"] == "__expr__"):
        if model["type"] == "reduce":
            reduce = _REDUCERS[model["reducer"]]
            values = {_labels(one): [row[1] for row in one["values"] if row[1] is not None] for one in known[model["expression"]]}
            known[model["refId"]] = {labels: reduce(every) for labels, every in values.items() if every}
        elif model["type"] == "math":
            left, right = (known[ref] for ref in re.findall(r"\$([A-Z])", model["expression"]))
            known[model["refId"]] = {labels: left[labels] / right[labels] for labels in left.keys() & right.keys()}
        else:
            (condition,) = model["conditions"]
            (limit,) = condition["evaluator"]["params"]
            wrong = {"gt": float.__gt__, "lt": float.__lt__}[condition["evaluator"]["type"]]
            values = known[model["expression"]]
            known[model["refId"]] = {labels: wrong(float(value), float(limit)) for labels, value in values.items()}
    judged: dict[Labels, bool] = known[rule["condition"]]
    return judged


_REDUCERS: Mapping[str, Callable[[list[float]], float]] = {
    "last": lambda every: every[-1],
    "max": max,
    "mean": statistics.fmean,
    "sum": sum,
}


def _labels(series: Mapping[str, Any]) -> Labels:
    return tuple(sorted(series.get("tags", {}).items()))


def interpolate(asked: Asked, from_ms: int = START_MS, to_ms: int = NOW_MS) -> str:
    """The text that InfluxDB would get. Raises AssertionError for a variable that the board does not have."""
    if asked.window_ms is not None:
        from_ms = to_ms - asked.window_ms
    interval = max(asked.least_ms, round_interval((to_ms - from_ms) / (asked.points or 1000)))
    text = asked.text.replace("$timeFilter", f"time >= {from_ms}ms and time <= {to_ms}ms")
    text = text.replace("$__interval_ms", str(interval)).replace("$__interval", f"{interval}ms")
    text = text.replace("${__from}", str(from_ms)).replace("${__to}", str(to_ms))

    def value(found: re.Match[str]) -> str:
        name = found[1] or found[3]
        if name in asked.multi and found[2] != "raw":
            return ".*"
        assert name in asked.single, f"{asked}: there is no variable {name}"
        return asked.single[name]

    return re.sub(r"\$\{(\w+)(?::(\w+))?\}|\$(\w+)", value, text)
