"""Shipping to a real InfluxDB, read back as dashboards read: by InfluxQL over GET /query."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from sidecar.clock import ManualClock
from sidecar.errors import ShipLaterError, ShipRefusedError
from sidecar.journal.sqlite import SqliteJournal
from sidecar.model.points import SCHEMA, Point, PointContext, Related, to_line, to_points
from sidecar.model.records import Gap, Marker, Record, Request, Sample, Transfer
from sidecar.ship.influx import InfluxStore
from sidecar.ship.memory import MemoryStore
from sidecar.ship.shipper import Shipper, Store
from tests.support import journal as make
from tests.support.influx import BUCKET, TOKEN, Influx
from tests.support.journal import SECOND, T0

pytestmark = pytest.mark.influx
CONTEXT = PointContext(site="lab", engine_host="host 1, rack=2")


def store(influx: Influx, bucket: str, token: str = TOKEN, at: str = "", timeout_s: float = 10) -> InfluxStore:
    return InfluxStore(influx.at(at) if at else influx.url, token, "lab", bucket, timeout_s=timeout_s)


def shipper(journal: SqliteJournal, target: InfluxStore) -> Shipper:
    return Shipper(journal, target, ManualClock(T0 + 3600 * SECOND), CONTEXT, jitter=lambda: 0.5)


def drain(ship: Shipper) -> None:
    for _ in range(1000):
        if ship.step():
            assert ship.health()["reachable"], ship.health()["last_error"]
            return
    raise AssertionError("shipping does not end")


def an_hour_of_everything() -> list[Record]:
    records: list[Record] = [make.session(role="reader", setup="lan", run="run-1", repetition=3), make.session("session-2")]
    for second in range(60):
        for name in ("xnat-web", "xnat-db"):
            records.append(
                make.sample(
                    T0 + second * SECOND + 123_456_789,
                    container=name,
                    source="docker",
                    cpu_total_ns=second * 10**8,
                    cpu_percent=second * 1.1,
                    memory_bytes=2**33 + second,
                    memory_limit_bytes=9223372036854771712,
                    rx_bytes=second,
                    tx_bytes=2**62 + second,
                    block_read_bytes=second,
                )
            )
            records += [
                make.sample(T0 + second * SECOND + tenth * SECOND // 10, container=name, cpu_total_ns=second * 10**8 + tenth)
                for tenth in range(10)
            ]
    odd = '/data/{},a=b c/"q"/\\x/ünï/😀'
    records += [
        make.request(T0 + n // 50 * 10**6, route=odd if n % 7 == 0 else "/data/{}", status=200 + n % 3) for n in range(700)
    ]
    records += [make.marker(n, wall_ns=T0 + n // 9, action_id=f"action-{n:03}", offset_ns=-n) for n in range(1, 90)]
    for n in range(40):
        records.append(make.action(f"action-{n:03}", T0 + n // 20, attributes={"images": n, "evidence": "rendered"}))
        records.append(make.usage(f"action-{n:03}", cpu_seconds=n / 3))
        records.append(make.usage(f"action-{n:03}", "xnat-db", cpu_percent_mean=None))
    records += [make.transfer(T0 + n // 3, session="session-2") for n in range(9)]
    records += [make.gap(), make.gap(T0, T0 + SECOND, subject="", reason='a "reason"\nof two lines, with \\ in it')]
    return records


def expected(journal: SqliteJournal) -> list[Point]:
    """The points of everything in the journal, of samples those of the frames."""
    points: list[Point] = []
    session = make.session(role="reader", setup="lan", run="run-1", repetition=3)
    for kind in (Request, Gap):
        for position, record in journal.read(kind, limit=10**6):
            points += to_points(record, CONTEXT, position)
    for position, marker in journal.read(Marker, limit=10**6):
        points += to_points(marker, CONTEXT, position, Related(session=session))
    for position, transfer in journal.read(Transfer, limit=10**6):
        points += to_points(transfer, CONTEXT, position, Related(session=make.session("session-2"), action="login"))
    for _, sample in journal.read(Sample, limit=10**6):
        if sample.source == "docker":
            points += to_points(sample, CONTEXT)
    for _, row in journal.ended_actions(0, 10**6, 0):
        points += to_points(row.action, CONTEXT, row.number, Related(session=row.session, usage=row.usage))
    return points


def by_measurement(points: list[Point]) -> dict[str, list[Point]]:
    return {
        name: sorted((point for point in points if point.measurement == name), key=lambda point: (point.time_ns, point.tags))
        for name in SCHEMA
    }


def test_what_influxdb_holds_is_what_the_journal_holds(influx: Influx, bucket: str, journal: SqliteJournal) -> None:
    journal.append(an_hour_of_everything())
    # A transfer of an action that is known.
    journal.append([make.action("action-01", T0 - SECOND), make.usage("action-01")])
    ship = shipper(journal, store(influx, bucket))
    drain(ship)
    wanted = by_measurement(expected(journal))
    for name, points in wanted.items():
        found = [point for point in influx.points(name, bucket) if dict(point.tags).get("source") != "cgroup"]
        assert found == points, name
    assert Counter({name: len(points) for name, points in wanted.items() if points}) == {
        "docker_container_cpu": 120,
        "docker_container_mem": 120,
        "docker_container_net": 120,
        "docker_container_blkio": 120,
        "http_request": 700,
        "action": 41,
        "action_event": 89,
        "transfer": 9,
        "gap": 2,
    }
    # Ten samples a second become one point.
    fast = [point for point in influx.points("docker_container_cpu", bucket) if dict(point.tags)["source"] == "cgroup"]
    assert len(fast) == 120
    assert sum("usage_percent_max" in point.fields for point in fast) == 118
    assert ship.health()["refused_points"] == 0
    # Again, from the beginning: nothing changes.
    before = {name: influx.points(name, bucket) for name in SCHEMA}
    journal.append([], {f"ship/{kind}": "0" for kind in ("request", "marker", "action", "transfer", "gap")})
    drain(ship)
    assert {name: influx.points(name, bucket) for name in SCHEMA} == before


def test_dashboards_can_ask(influx: Influx, bucket: str, journal: SqliteJournal) -> None:
    journal.append(
        [make.session(role="reader"), make.action(duration_ns=2 * SECOND), make.usage(), make.usage(container="xnat-db")]
    )
    drain(shipper(journal, store(influx, bucket)))
    start_ms = T0 // 10**6
    (regions,) = influx.query(
        'SELECT "time_end" AS "timeEnd", "text", "tags", "action" AS "title" FROM "action" '  # noqa: S608
        f'WHERE time >= {start_ms}ms - 15m AND "time_end" >= {start_ms} AND "role" =~ /^.*$/',
        bucket,
    )
    assert regions["columns"] == ["time", "timeEnd", "text", "tags", "title"]
    assert regions["values"][0][1:] == [T0 // 10**6 + 2000, "LOGIN 2.00 s (completed)", "login,extension,reader", "login"]
    (costs,) = influx.query('SELECT mean(/^cpu_seconds_/) FROM "action" GROUP BY "action"', bucket)
    assert dict(zip(costs["columns"], costs["values"][0], strict=True)) | {"time": 0} == {
        "time": 0,
        "mean_cpu_seconds_xnat-web": 0.5,
        "mean_cpu_seconds_xnat-db": 0.5,
    }
    for key in ("session", "action_id"):
        assert influx.query(f'SHOW TAG VALUES WITH KEY = "{key}"', bucket) == []


def test_an_outage_loses_nothing(influx: Influx, bucket: str, journal: SqliteJournal) -> None:
    journal.append([make.request(T0 + n * SECOND) for n in range(100)])
    ship = shipper(journal, store(influx, bucket))
    influx.stop()
    try:
        assert ship.step() == 1.0
        assert "502" in str(ship.health()["last_error"])
        journal.append([make.request(T0 + n * SECOND) for n in range(100, 200)])
    finally:
        influx.start()
    drain(ship)
    drain(ship)
    assert len(influx.points("http_request", bucket)) == 200


def test_a_wrong_token_is_named_and_what_waits_is_shipped_with_the_right_one(
    influx: Influx, bucket: str, journal: SqliteJournal
) -> None:
    journal.append([make.request()])
    wrong = shipper(journal, store(influx, bucket, token="guess-me"))
    assert wrong.step() == 60
    assert "TRACEMARK_INFLUX_TOKEN" in str(wrong.health()["last_error"])
    assert "guess-me" not in str(wrong.health())
    drain(shipper(journal, store(influx, bucket)))
    assert len(influx.points("http_request", bucket)) == 1


def test_an_unknown_bucket_is_named(influx: Influx) -> None:
    with pytest.raises(ShipLaterError, match=r"404: (database|bucket \"absent\") not found.*TRACEMARK_INFLUX_BUCKET") as caught:
        store(influx, "absent").write(["m f=1"])
    assert caught.value.after_s == 60


@pytest.mark.parametrize(
    ("place", "after_s", "words"),
    [
        ("forbidden", 60.0, "insufficient permissions.*give the token write permission"),
        ("limited", 7.0, "429: org has exceeded"),
        ("failing", 0.0, "503: unavailable"),
        ("full", None, "507: no space left on device.*the journal keeps the points"),
        ("page", 60.0, "this is not InfluxDB"),
        ("moved", 60.0, "301.*this is not InfluxDB"),
    ],
)
def test_other_answers_say_when_to_come_back(influx: Influx, bucket: str, place: str, after_s: float | None, words: str) -> None:
    """Fixed answers of the front: this server cannot be brought to give them."""
    with pytest.raises(ShipLaterError, match=words) as caught:
        store(influx, bucket, at=place).write(["m f=1"])
    assert caught.value.after_s == after_s


def test_nobody_listens(influx: Influx) -> None:
    port = influx._silent.getsockname()[1]
    nobody = InfluxStore("http://127.0.0.1:9", "", "lab", BUCKET)
    with pytest.raises(ShipLaterError, match=r"does not answer .*start it"):
        nobody.write(["m f=1"])
    with pytest.raises(ShipLaterError, match="does not answer"):
        InfluxStore(f"http://127.0.0.1:{port}", "", "lab", BUCKET, timeout_s=0.1).write(["m f=1"])


def test_a_server_too_slow_is_given_up(influx: Influx, bucket: str) -> None:
    with pytest.raises(ShipLaterError, match=r"does not answer \(ReadTimeoutError\)"):
        store(influx, bucket, at="slow", timeout_s=0.2).write(["m f=1"])


def test_a_batch_too_large_is_halved_until_it_fits(influx: Influx, bucket: str, journal: SqliteJournal) -> None:
    journal.append([make.request(T0 + n * SECOND) for n in range(100)])
    ship = shipper(journal, store(influx, bucket, at="small"))
    drain(ship)
    assert len(influx.points("http_request", bucket)) == 100
    assert ship.health()["refused_points"] == 0


def test_of_a_partial_write_the_rest_is_stored_and_the_poison_set_aside(
    influx: Influx, bucket: str, journal: SqliteJournal
) -> None:
    series = to_line(to_points(make.request(route="/bad"), CONTEXT)[0]).split(" requests=")[0]
    # A measurement that another program has filled with words where we have numbers.
    influx.write(bucket, f'{series} duration_ms="fast" {T0 // (86_400 * SECOND) * 86_400 * SECOND + 5}')
    journal.append([make.request(T0 + n * SECOND, duration_ns=None if n % 10 else 5) for n in range(100)])
    ship = shipper(journal, store(influx, bucket))
    drain(ship)
    assert ship.health()["refused_points"] == 10
    assert len(influx.points("http_request", bucket)) == 91
    kept = journal.fetch("SELECT line, reason FROM set_aside", ())
    assert len(kept) == 10
    assert all("duration_ms=5e-06" in line and "field type conflict" in reason for line, reason in kept)


def test_a_line_that_is_none_is_refused(influx: Influx, bucket: str) -> None:
    with pytest.raises(ShipRefusedError, match="unable to parse"):
        store(influx, bucket).write(["m f=1 1", "nonsense", "m f=2 2"])


# the port Store: the fake in memory keeps what the real one keeps


@pytest.fixture(params=["memory", "influx"])
def either(request: pytest.FixtureRequest, influx: Influx, bucket: str) -> tuple[Store, Callable[[], list[Point]]]:
    if request.param == "memory":
        memory = MemoryStore()
        return memory, lambda: memory.of("m")
    return store(influx, bucket), lambda: influx.points("m", bucket)


def test_points_are_kept_by_measurement_tags_and_time(either: tuple[Store, Callable[[], list[Point]]]) -> None:
    target, points = either
    target.write(["m,k=a f=1i,g=2.5 1", "m,k=b f=1i 1", "m,k=a f=1i 2"])
    target.write(["m,k=a f=3i 1"])
    assert points() == [
        Point("m", (("k", "a"),), {"f": 3, "g": 2.5}, 1),
        Point("m", (("k", "b"),), {"f": 1}, 1),
        Point("m", (("k", "a"),), {"f": 1}, 2),
    ]


def test_a_call_with_nonsense_is_refused(either: tuple[Store, Callable[[], list[Point]]]) -> None:
    with pytest.raises(ShipRefusedError, match="unable to parse"):
        either[0].write(["m f=1 1", "nonsense"])
