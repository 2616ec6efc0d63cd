"""One minute as points: means, peaks and sums, and what is left out."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.model.points import SCHEMA, Point, PointContext, from_line, to_line
from sidecar.model.records import Request, Sample
from sidecar.ship.rollup_points import HOLE_NS, MINUTE_NS, RequestMinute, minute_of, minute_points
from tests.support import journal as make
from tests.support.journal import SECOND

CONTEXT = PointContext(site="lab", engine_host="host 1")
M0 = minute_of(make.T0)


def minute(samples: list[Sample], minute_ns: int = M0) -> dict[str, dict[str, Any]]:
    return {point.measurement: dict(point.fields) for point in minute_points(samples, minute_ns, CONTEXT)}


def steady(first: int, last: int, hz: int = 1, cores: float = 0.5, **more: Any) -> list[Sample]:
    """Samples from second `first` to `last` of the minute that use so many cores."""
    return [
        make.sample(M0 + tick * SECOND // hz, cpu_total_ns=round((tick / hz + 100) * cores * SECOND), **more)
        for tick in range(first * hz, last * hz + 1)
    ]


def test_a_steady_minute() -> None:
    fields = minute(steady(-1, 61, hz=10))["docker_container_cpu_1m"]
    assert fields == {
        "usage_percent_mean": pytest.approx(50),
        "usage_percent_max": pytest.approx(50),
        "cpu_seconds": pytest.approx(30),
        "samples": 600,
        "covered_s": 60,
    }


def test_a_peak_is_in_the_maximum_and_its_work_in_the_sum() -> None:
    rows = [make.sample(M0 + n * SECOND, cpu_total_ns=(2 if n > 30 else 0) * SECOND) for n in range(61)]
    fields = minute(rows)["docker_container_cpu_1m"]
    assert fields["usage_percent_max"] == pytest.approx(200)
    assert fields["usage_percent_mean"] == pytest.approx(2 / 60 * 100)
    assert fields["cpu_seconds"] == pytest.approx(2)


def test_a_peak_between_two_samples_of_one_instant_is_noise() -> None:
    rows = sorted([*steady(0, 60), make.sample(M0 + 30 * SECOND + 10**6, cpu_total_ns=65 * SECOND + 4 * 10**6)], key=_time)
    assert minute(rows)["docker_container_cpu_1m"]["usage_percent_max"] == pytest.approx(50, rel=0.01)


def _time(sample: Sample) -> int:
    return sample.time_ns


def test_a_minute_without_samples_has_no_point() -> None:
    assert minute([*steady(-10, -1), *steady(70, 80)]) == {}
    assert minute([]) == {}


def test_a_hole_is_left_out_and_told() -> None:
    fields = minute([*steady(0, 10), *steady(10 + HOLE_NS // SECOND + 1, 60)])["docker_container_cpu_1m"]
    assert fields["covered_s"] == 60 - 16
    assert fields["usage_percent_mean"] == pytest.approx(50)
    assert fields["cpu_seconds"] == pytest.approx(22)


def test_a_sample_alone_knows_memory_and_nothing_of_use() -> None:
    told = minute([make.sample(M0 + SECOND, memory_bytes=7, rx_bytes=9)])
    assert told == {"docker_container_mem_1m": {"usage_mean": 7, "usage_max": 7, "samples": 1}}


@pytest.mark.parametrize("new_id", ["c0ffee", "decaf"])
def test_a_restart_is_not_negative_use(new_id: str) -> None:
    before = steady(0, 30, rx_bytes=5000)
    after = [
        make.sample(M0 + n * SECOND, container_id=new_id, cpu_total_ns=(n - 31) * SECOND, rx_bytes=(n - 31) * 100)
        for n in range(31, 61)
    ]
    told = minute([*before, *after])
    cpu, net = told["docker_container_cpu_1m"], told["docker_container_net_1m"]
    assert cpu["cpu_seconds"] == pytest.approx(15 + 29)
    assert cpu["covered_s"] == net["covered_s"] == 59
    assert net["rx_bytes_sum"] == 2900
    assert net["rx_bytes_per_s_max"] == pytest.approx(100)
    assert all(value >= 0 for fields in told.values() for value in fields.values())


def test_a_counter_that_falls_alone_is_left_out_alone() -> None:
    rows = [make.sample(M0 + n * SECOND, cpu_total_ns=n * SECOND, rx_bytes=n if n < 30 else n - 30) for n in range(61)]
    told = minute(rows)
    assert told["docker_container_net_1m"]["rx_bytes_sum"] == 59
    assert told["docker_container_cpu_1m"]["cpu_seconds"] == pytest.approx(60)


def test_memory_and_throttling() -> None:
    rows = [
        make.sample(M0 + n * SECOND, cpu_total_ns=n, memory_bytes=100 + n, memory_limit_bytes=1000, throttled_ns=n * SECOND // 10)
        for n in range(60)
    ]
    told = minute(rows)
    assert told["docker_container_mem_1m"] == {
        "usage_mean": 129,
        "usage_max": 159,
        "usage_percent_mean": pytest.approx(12.95),
        "usage_percent_max": pytest.approx(15.9),
        "limit": 1000,
        "samples": 60,
    }
    assert told["docker_container_cpu_1m"]["throttled_seconds"] == pytest.approx(5.9)


def test_points_bear_the_tags_of_the_raw_ones_and_the_minutes_start() -> None:
    points = minute_points(steady(0, 60, source="docker", memory_bytes=1, rx_bytes=1), M0, CONTEXT)
    assert {point.time_ns for point in points} == {M0}
    assert {point.measurement: dict(point.tags) for point in points} == {
        f"docker_container_{name}_1m": {
            "site": "lab",
            "engine_host": "host 1",
            "container_name": "xnat-web",
            "source": "docker",
            **more,
        }
        for name, more in (("cpu", {"cpu": "cpu-total"}), ("mem", {}), ("net", {"network": "total"}))
    }


steps = st.lists(st.tuples(st.integers(1, 14 * SECOND), st.integers(0, 10**11), st.integers(0, 10**9)), min_size=1, max_size=40)


@given(start=st.integers(0, MINUTE_NS - 1), steps=steps)
def test_the_minutes_share_out_what_the_counters_did(start: int, steps: list[tuple[int, int, int]]) -> None:
    rows = [make.sample(M0 + start, cpu_total_ns=0, rx_bytes=0)]
    for took, used, received in steps:
        last = rows[-1]
        rows.append(
            make.sample(
                last.time_ns + took, cpu_total_ns=last.cpu_total_ns + used, rx_bytes=(last.rx_bytes or 0) + received, tx_bytes=1
            )
        )
    minutes = range(M0, rows[-1].time_ns + 1, MINUTE_NS)
    told = [minute(rows, one) for one in minutes]
    cpu = [fields["docker_container_cpu_1m"] for fields in told if "docker_container_cpu_1m" in fields]
    assert math.isclose(sum(fields["cpu_seconds"] for fields in cpu), rows[-1].cpu_total_ns / 1e9, rel_tol=1e-9, abs_tol=1e-9)
    assert math.isclose(sum(fields["covered_s"] for fields in cpu), (rows[-1].time_ns - rows[0].time_ns) / 1e9, rel_tol=1e-9)
    assert all(0 <= fields["usage_percent_mean"] <= fields["usage_percent_max"] for fields in cpu)
    net = [fields["docker_container_net_1m"] for fields in told if "docker_container_net_1m" in fields]
    assert abs(sum(fields["rx_bytes_sum"] for fields in net) - (rows[-1].rx_bytes or 0)) <= len(net)


def keeps_to_the_schema(point: Point) -> None:
    measurement = SCHEMA[point.measurement]
    assert set(dict(point.tags)) <= set(measurement.tags)
    for name, value in point.fields.items():
        assert type(value) is measurement.type_of(name), name
    assert from_line(to_line(point)) == point


@given(samples=st.lists(make.samples, max_size=6))
def test_points_of_samples_keep_to_the_schema(samples: list[Sample]) -> None:
    rows = sorted(samples, key=_time)
    for start in {minute_of(sample.time_ns) for sample in rows}:
        for point in minute_points(rows, start, CONTEXT):
            keeps_to_the_schema(point)


# -- requests


def requests(rows: list[Request]) -> dict[tuple[str, ...], dict[str, Any]]:
    made = RequestMinute(M0, CONTEXT)
    for row in rows:
        made.add([row])
    told = {}
    for point in made.points():
        keeps_to_the_schema(point)
        tags = dict(point.tags)
        told[tuple(tags.get(name, "") for name in ("server", "route", "status_class"))] = dict(point.fields)
    return told


def test_requests_by_server_route_and_class_of_status() -> None:
    told = requests(
        [
            *(make.request(M0 + n, duration_ns=n * 10**6, upstream_ns=n * 10**5) for n in range(1, 101)),
            make.request(M0, status=404, method="HEAD"),
            make.request(M0, status=None, route=None, duration_ns=None, sent_bytes=None),
        ]
    )
    assert told["nginx", "/data/projects/{}", "2xx"] == {
        "requests": 100,
        "duration_ms_mean": pytest.approx(50.5),
        "duration_ms_max": 100.0,
        "duration_ms_p95": 95.0,
        "upstream_ms_mean": pytest.approx(5.05),
        "upstream_ms_max": 10.0,
        "sent_bytes_sum": 51200,
    }
    assert told["nginx", "/data/projects/{}", "4xx"]["requests"] == 1
    assert told["nginx", "", ""] == {"requests": 1}


@given(durations=st.lists(st.integers(0, 10**12), min_size=1, max_size=50))
def test_at_least_95_of_100_are_not_slower_than_the_p95(durations: list[int]) -> None:
    (fields,) = requests([make.request(M0, duration_ns=duration) for duration in durations]).values()
    p95 = fields["duration_ms_p95"]
    milliseconds = [duration / 1e6 for duration in durations]
    assert p95 in milliseconds
    assert sum(one <= p95 for one in milliseconds) >= 0.95 * len(durations)
    assert sum(one < p95 for one in milliseconds) < 0.95 * len(durations)
