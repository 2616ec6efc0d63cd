"""Every alert rule over a real InfluxDB: it fires for a site where its condition holds, and not where it just does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import pytest

from sidecar.model.points import PointContext, to_line, to_points
from sidecar.model.records import Gap
from tests.support.grafana import NOW_MS, Asked, evaluate, interpolate, rules
from tests.support.influx import Influx, running_influx

pytestmark = pytest.mark.influx
S = 10**9
NOW_NS = NOW_MS * 10**6
RULES = {rule["uid"]: rule for rule in rules()}
#: the lines of one site that make one rule's number what it is said to be
Lines = Callable[[str, float], Sequence[str]]


def every(seconds: int, step: int) -> Iterator[int]:
    """Times of the last `seconds`, in ns."""
    return iter(range(NOW_NS - seconds * S, NOW_NS, step * S))


def container(site: str) -> str:
    return f"container_name=xnat-web,engine_host=h,site={site},source=docker"


def memory(site: str, percent: float) -> Sequence[str]:
    return [f"docker_container_mem,{container(site)} usage_percent={percent} {time}" for time in every(600, 10)]


def cpu(site: str, percent_of_machine: float) -> Sequence[str]:
    fields = f"usage_percent={percent_of_machine * 4},online_cpus=4i"
    return [f"docker_container_cpu,cpu=cpu-total,{container(site)} {fields} {time}" for time in every(600, 10)]


def throttled(site: str, percent: float) -> Sequence[str]:
    head = f"docker_container_cpu,cpu=cpu-total,{container(site)} throttling_throttled_time="
    return [f"{head}{round((time - NOW_NS + 600 * S) * percent / 100)}i {time}" for time in every(600, 10)]


def durations(source: str, action: str, seconds: int, site: str, duration_ms: float) -> Sequence[str]:
    """Twenty actions of one class, all as long."""
    head = f"action,action={action},engine_host=h,site={site},source={source}"
    return [f"{head} duration_ms={duration_ms} {time}" for time in every(seconds, seconds // 20)]


def slower(site: str, times: float) -> Sequence[str]:
    replayed = durations("replay", "upload", 4 * 3600, site, 1000)
    return [*replayed, *durations("extension", "upload", 1200, site, 1000 * times)]


def own(part: str, field: str, site: str, value: float) -> Sequence[str]:
    return [f"tracemark_self,engine_host=h,part={part},site={site} {field}={value} {time}" for time in every(240, 10)]


def dropped(site: str, each: float) -> Sequence[str]:
    head = f"tracemark_self,engine_host=h,part=journal,site={site} dropped="
    return [f"{head}{7 + each * number} {time}" for number, time in enumerate(every(600, 60))]


def short(site: str, users: float) -> Sequence[str]:
    return [f"headroom,engine_host=h,site={site} short={users} {time}" for time in every(600, 60)]


def verdict(site: str, code: float) -> Sequence[str]:
    return [f"verdict,action=login,engine_host=h,metric=cpu,site={site} code={code:.0f}i {NOW_NS - 60 * S}"]


def gap(site: str, ago_s: float) -> Sequence[str]:
    """A gap that began so long ago; one of ten seconds."""
    return _gap(site, round(ago_s), 10)


def lasting(site: str, lasts: float) -> Sequence[str]:
    """A gap that began two hours ago, and lasts still or not."""
    return _gap(site, 7200, None if lasts else 60)


def _gap(site: str, ago_s: int, length_s: int | None) -> Sequence[str]:
    start_ns = NOW_NS - ago_s * S
    end_ns = None if length_s is None else start_ns + length_s * S
    told = Gap(part="docker", subject="xnat-web", start_ns=start_ns, end_ns=end_ns, reason="the engine was away")
    lines = [to_line(point) for point in to_points(told, PointContext(site=site, engine_host="h"))]
    return [line for line in lines if line]


def silent(site: str, minutes: float) -> Sequence[str]:
    """A sidecar that told of itself for half an hour, until so many minutes ago."""
    head = f"tracemark_self,engine_host=h,part=sidecar,site={site} cpu_seconds="
    return [f"{head}{number} {time}" for number, time in enumerate(every(1800, 10)) if time < NOW_NS - minutes * 60 * S]


#: rule -> how its lines are made, a number for which it must fire, and one for which it must not
CASES: Mapping[str, tuple[Lines, float, float]] = {
    "tracemark-memory-limit": (memory, 90.5, 89.5),
    "tracemark-cpu-saturated": (cpu, 91, 89),
    "tracemark-cpu-throttled": (throttled, 22, 18),
    "tracemark-slow-login": (partial(durations, "extension", "login", 1800), 5001, 4999),
    "tracemark-slow-page-load": (partial(durations, "extension", "page_load", 1800), 5001, 4999),
    "tracemark-slow-filter-search": (partial(durations, "access-log", "filter_search", 1800), 5001, 4999),
    "tracemark-slow-open-viewer": (partial(durations, "extension", "open_viewer", 1800), 15001, 14999),
    "tracemark-slow-change-scan": (partial(durations, "extension", "change_scan", 1800), 8001, 7999),
    "tracemark-regression": (slower, 1.6, 1.4),
    "tracemark-verdict": (verdict, 1, 0),
    "tracemark-headroom": (short, 0.5, 0),
    "tracemark-gap": (gap, 300, 900),
    "tracemark-gap-lasts": (lasting, 1, 0),
    "tracemark-lag": (partial(own, "ship", "behind_s"), 301, 299),
    "tracemark-dropped": (dropped, 3, 0),
    "tracemark-silent": (silent, 12, 0),
}
#: rules whose question has no rows at all where nothing is wrong
NOTHING_TO_TELL = {"tracemark-verdict", "tracemark-gap", "tracemark-gap-lasts"}


@pytest.fixture(scope="module")
def influx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influx]:
    """One database; each case has two sites of its own in it."""
    with running_influx(tmp_path_factory.mktemp("alerts")) as influx:
        influx.create("alerts")
        for uid, (lines, wrong, fine) in CASES.items():
            influx.write("alerts", *lines(f"{uid}.wrong", wrong), *lines(f"{uid}.fine", fine))
        yield influx


def test_there_is_a_case_for_every_rule() -> None:
    assert CASES.keys() == RULES.keys()


@pytest.mark.parametrize("uid", CASES)
def test_a_rule_fires_where_its_condition_holds_and_nowhere_else(influx: Influx, uid: str) -> None:
    def asked(one: Asked) -> list[dict[str, Any]]:
        return influx.query(interpolate(one, to_ms=NOW_MS), "alerts")

    judged = {dict(labels)["site"]: wrong for labels, wrong in evaluate(RULES[uid], asked).items()}
    assert judged.get(f"{uid}.wrong") is True
    assert judged.get(f"{uid}.fine", False) is False
    assert (f"{uid}.fine" in judged) is (uid not in NOTHING_TO_TELL), "the site where nothing is wrong was not judged at all"


def test_no_data_at_all_is_an_alert_of_one_rule(influx: Influx) -> None:
    influx.create("nothing")
    judged = {
        uid: evaluate(rule, lambda one: influx.query(interpolate(one, to_ms=NOW_MS), "nothing")) for uid, rule in RULES.items()
    }
    assert set(map(str, judged.values())) == {"{}"}
    assert [uid for uid, rule in RULES.items() if rule["noDataState"] == "Alerting"] == ["tracemark-silent"]
