"""Minutes in a real InfluxDB: what InfluxQL makes of the raw points, the roll-ups say too; outages and retention."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.clock import ManualClock
from sidecar.journal.queries import Reader
from sidecar.journal.sqlite import SqliteJournal
from sidecar.model.points import PointContext
from sidecar.model.records import Record
from sidecar.ship.buckets import TwoBuckets
from sidecar.ship.influx import InfluxStore
from sidecar.ship.rollup import REQUESTS_NOTE, SAMPLES_NOTE, Rollup
from sidecar.ship.rollup_points import MINUTE_NS, minute_of
from sidecar.ship.shipper import Shipper
from tests.support import journal as make
from tests.support.influx import TOKEN, Influx
from tests.support.journal import SECOND

pytestmark = pytest.mark.influx
CONTEXT = PointContext(site="lab", engine_host="host 1")
M0 = minute_of(make.T0)
MINUTES = 5
ROLLED_UP = ("docker_container_cpu_1m", "docker_container_mem_1m", "docker_container_net_1m", "http_request_1m")


def store(influx: Influx, bucket: str, token: str = TOKEN) -> InfluxStore:
    return InfluxStore(influx.url, token, "lab", bucket)


def clock() -> ManualClock:
    return ManualClock(M0 + (MINUTES + 1) * MINUTE_NS)


def drain(part: Rollup | Shipper) -> None:
    for _ in range(1000):
        pause = part.step()
        if pause >= 1:
            assert part.health()["reachable"], part.health()["last_error"]
            return
    raise AssertionError("it does not end")


def some_minutes() -> list[Record]:
    """Frames of two containers, one of which is restarted in the third minute and away in the fourth; and requests."""
    records: list[Record] = []
    for n in range(MINUTES * 60 + 1):
        for name, cores in (("xnat-web", 5), ("xnat-db", 1)):
            restarted = name == "xnat-db" and n >= 150
            if name == "xnat-db" and 170 <= n < 250:
                continue
            since = n - 150 if restarted else n
            records.append(
                make.sample(
                    M0 + n * SECOND,
                    container=name,
                    container_id="new" if restarted else "old",
                    source="docker",
                    cpu_total_ns=since * cores * SECOND // 10 + n % 7 * 10**7,
                    cpu_percent=cores * 10.0,
                    memory_bytes=1000 + n,
                    memory_limit_bytes=4000,
                    rx_bytes=since * 300,
                    tx_bytes=since * 100,
                )
            )
    records += [
        make.request(M0 + n * SECOND // 4 + n, duration_ns=n % 97 * 10**6, status=200 + n % 2 * 204, route=f"/data/{n % 3}")
        for n in range(MINUTES * 240)
    ]
    return records


def column(series: dict[str, Any], name: str) -> list[Any]:
    at = series["columns"].index(name)
    return [row[at] for row in series["values"]]


def test_roll_ups_say_what_influxql_makes_of_the_raw_points(
    influx: Influx, bucket: str, journal: SqliteJournal, reader: Reader
) -> None:
    journal.append(some_minutes())
    drain(Shipper(journal, store(influx, bucket), clock(), CONTEXT))
    drain(Rollup(journal, reader, store(influx, bucket), clock(), CONTEXT))
    when = f"time >= {M0} AND time < {M0 + MINUTES * MINUTE_NS}"
    raw = influx.query(
        f"SELECT mean(usage), max(usage) FROM docker_container_mem WHERE {when} GROUP BY time(1m), container_name fill(none)",  # noqa: S608
        bucket,
    )
    rolled = influx.query(
        f"SELECT usage_mean, usage_max FROM docker_container_mem_1m WHERE {when} GROUP BY container_name",  # noqa: S608
        bucket,
    )
    assert [series["tags"] for series in raw] == [series["tags"] for series in rolled]
    for ours, theirs in zip(rolled, raw, strict=True):
        assert column(ours, "time") == column(theirs, "time")
        assert column(ours, "usage_max") == column(theirs, "max")
        assert column(ours, "usage_mean") == [int(value) for value in column(theirs, "mean")]
    (requests,) = influx.query(
        f"SELECT sum(requests) AS count, sum(sent_bytes) AS sent, max(duration_ms) AS slowest FROM http_request WHERE {when}",  # noqa: S608
        bucket,
    )
    (minutes,) = influx.query(
        "SELECT sum(requests) AS count, sum(sent_bytes_sum) AS sent, max(duration_ms_max) AS slowest "  # noqa: S608
        f"FROM http_request_1m WHERE {when}",
        bucket,
    )
    assert minutes["values"][0][1:] == requests["values"][0][1:]
    assert minutes["values"][0][1] == MINUTES * 240
    # A container without restart: the minutes' CPU time is what its counter did.
    (spread,) = influx.query(
        f"SELECT last(usage_total) - first(usage_total) FROM docker_container_cpu WHERE container_name = 'xnat-web' AND {when}",  # noqa: S608
        bucket,
    )
    (used,) = influx.query(
        f"SELECT sum(cpu_seconds) FROM docker_container_cpu_1m WHERE container_name = 'xnat-web' AND {when}",  # noqa: S608
        bucket,
    )
    # The last minute is closed with the sample at its end, which the window of the raw points leaves out.
    assert used["values"][0][1] == pytest.approx(spread["values"][0][1] / 1e9, abs=0.6)


def test_a_gap_is_drawn_as_one_and_a_restart_is_not_negative(
    influx: Influx, bucket: str, journal: SqliteJournal, reader: Reader
) -> None:
    journal.append(some_minutes())
    drain(Rollup(journal, reader, store(influx, bucket), clock(), CONTEXT))
    when = f"time >= {M0} AND time < {M0 + MINUTES * MINUTE_NS}"
    for name, field in (("docker_container_cpu_1m", "usage_percent_mean"), ("docker_container_net_1m", "rx_bytes_per_s_mean")):
        (curve,) = influx.query(
            f"SELECT mean({field}) FROM {name} WHERE container_name = 'xnat-db' AND {when} GROUP BY time(1m) fill(null)",  # noqa: S608
            bucket,
        )
        values = column(curve, "mean")
        assert [value is None for value in values] == [False, False, False, True, False]
        assert all(value >= 0 for value in values if value is not None)


def test_an_outage_and_a_second_run_change_nothing(influx: Influx, bucket: str, journal: SqliteJournal, reader: Reader) -> None:
    journal.append(some_minutes())
    rollup = Rollup(journal, reader, store(influx, bucket), clock(), CONTEXT)
    influx.stop()
    try:
        assert rollup.step() == 1
        assert "502" in str(rollup.health()["last_error"])
    finally:
        influx.start()
    drain(rollup)
    before = {name: influx.points(name, bucket) for name in ROLLED_UP}
    assert {name: len(points) for name, points in before.items()} == {
        "docker_container_cpu_1m": 9,
        "docker_container_mem_1m": 9,
        "docker_container_net_1m": 9,
        "http_request_1m": MINUTES * 6,
    }
    journal.append([], {SAMPLES_NOTE: "0", REQUESTS_NOTE: "0"})
    drain(Rollup(journal, reader, store(influx, bucket), clock(), CONTEXT))
    assert {name: influx.points(name, bucket) for name in ROLLED_UP} == before


def test_a_wrong_token_is_named_and_nothing_is_lost(influx: Influx, bucket: str, journal: SqliteJournal, reader: Reader) -> None:
    journal.append(some_minutes())
    wrong = Rollup(journal, reader, store(influx, bucket, "guess-me"), clock(), CONTEXT)
    assert wrong.step() == 60
    assert "TRACEMARK_INFLUX_TOKEN" in str(wrong.health()["last_error"])
    drain(Rollup(journal, reader, store(influx, bucket), clock(), CONTEXT))
    assert len(influx.points("docker_container_cpu_1m", bucket)) == 9


def test_the_long_bucket_holds_the_results_and_not_the_raw_points(
    influx: Influx, bucket: str, journal: SqliteJournal, reader: Reader
) -> None:
    long = f"{bucket}_long"
    influx.create(long)
    journal.append([*some_minutes(), make.session(), make.action(start_ns=M0), make.usage()])
    both = TwoBuckets(store(influx, bucket), store(influx, long))
    drain(Shipper(journal, both, clock(), CONTEXT))
    drain(Rollup(journal, reader, both, clock(), CONTEXT))
    told = {name: measurements(influx, name) for name in (bucket, long)}
    assert told[long] == {*ROLLED_UP, "action"}
    assert told[bucket] > told[long]


def measurements(influx: Influx, bucket: str) -> set[str]:
    (series,) = influx.query("SHOW MEASUREMENTS", bucket)
    return {row[0] for row in series["values"]}
