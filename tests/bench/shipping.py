"""Speed of shipping to a real InfluxDB beside the client library's own point objects."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from influxdb_client import InfluxDBClient
from influxdb_client import Point as ClientPoint
from influxdb_client.client.write_api import SYNCHRONOUS

from sidecar.clock import SystemClock
from sidecar.journal.sqlite import SqliteJournal
from sidecar.model.points import PointContext, to_line, to_points
from sidecar.model.records import Record
from sidecar.ship.influx import InfluxStore
from sidecar.ship.shipper import Shipper
from tests.support import journal as make
from tests.support.influx import BUCKET, TOKEN, Influx, running_influx
from tests.support.journal import SECOND, T0

_CONTEXT = PointContext(site="bench", engine_host="host")


def main(argv: Sequence[str] | None = None) -> int:
    """Print points per second, by the clock and per second of own CPU time, and their ratios to the client's point objects."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--records", type=int, default=20_000)
    count: int = parser.parse_args(argv).records
    frames: list[Record] = [
        make.sample(
            T0 + n // 5 * SECOND + n,
            container=f"xnat-{n % 5}",
            source="docker",
            cpu_total_ns=n,
            cpu_percent=n * 0.1,
            memory_bytes=n,
            memory_limit_bytes=2**40,
            rx_bytes=n,
            tx_bytes=n,
            block_read_bytes=n,
        )
        for n in range(count // 4)
    ]
    requests: list[Record] = [make.request(T0 + n * 10**6, route=f"/{n % 17}") for n in range(count)]
    with tempfile.TemporaryDirectory() as name, running_influx(Path(name)) as influx:
        print(f"{'way':<44} {'points/s':>10} {'CPU ms per 1 000':>17} {'CPU to peer':>12}")
        peer = _measure("peer: client's Point objects, 5 000 a call", lambda: _client(influx, requests), None)
        _measure("lines alone: requests", lambda: _lines(requests), peer)
        _measure("lines alone: frames", lambda: _lines(frames), peer)
        _measure("shipped from the journal: requests", lambda: _ship(influx, requests, Path(name) / "r.sqlite"), peer)
        _measure("shipped from the journal: frames", lambda: _ship(influx, frames, Path(name) / "f.sqlite"), peer)
    return 0


def _measure(way: str, work: Callable[[], tuple[int, float, float]], peer: float | None) -> float:
    points, wall_s, cpu_s = work()
    cost = cpu_s * 1e6 / points
    print(f"{way:<44} {points / wall_s:>10,.0f} {cost:>17.2f} {(cost / peer if peer else 1):>12.2f}")
    return cost


def _client(influx: Influx, records: Sequence[Record]) -> tuple[int, float, float]:
    influx.create("peer")
    with InfluxDBClient(influx.url, TOKEN, org="lab") as client:
        api = client.write_api(write_options=SYNCHRONOUS)
        points = [point for tie, record in enumerate(records) for point in to_points(record, _CONTEXT, tie)]
        wall, cpu = time.perf_counter(), time.process_time()
        for start in range(0, len(points), 5000):
            made = []
            for point in points[start : start + 5000]:
                built = ClientPoint(point.measurement).time(point.time_ns)
                for name, value in point.tags:
                    built.tag(name, value)
                for name, field in point.fields.items():
                    built.field(name, field)
                made.append(built)
            api.write("peer", "lab", made)
        return len(points), time.perf_counter() - wall, time.process_time() - cpu


def _lines(records: Sequence[Record]) -> tuple[int, float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    points = 0
    for tie, record in enumerate(records):
        for point in to_points(record, _CONTEXT, tie):
            to_line(point)
            points += 1
    return points, time.perf_counter() - wall, time.process_time() - cpu


def _ship(influx: Influx, records: Sequence[Record], path: Path) -> tuple[int, float, float]:
    with SqliteJournal(path) as journal:
        for start in range(0, len(records), 5000):
            journal.append(records[start : start + 5000])
        store = InfluxStore(influx.url, TOKEN, "lab", BUCKET)
        shipper = Shipper(journal, store, SystemClock(), _CONTEXT)
        wall, cpu = time.perf_counter(), time.process_time()
        while not shipper.step():
            pass
        took = time.perf_counter() - wall, time.process_time() - cpu
        store.close()
        return int(shipper.health()["shipped_points"]), *took


if __name__ == "__main__":
    raise SystemExit(main())
