"""Where roll-ups and what is kept long go: the second bucket, and the parts of the service."""

from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.clock import ManualClock
from sidecar.config import load
from sidecar.errors import SettingError, ShipLaterError
from sidecar.service import Service
from sidecar.ship.buckets import TwoBuckets
from sidecar.ship.memory import MemoryStore
from tests.support.journal import T0

LINES = [
    f"docker_container_cpu,container_name=xnat-web usage_total=1i {T0}",
    f"docker_container_cpu_1m,container_name=xnat-web cpu_seconds=1.0 {T0}",
    f'action,action=login text="an action, http_request_1m" {T0}',
    f"action_event,action=login seq=1i {T0}",
    f"transfer,action=login packets=1i {T0}",
    f'gap,part=docker reason="a reason" {T0}',
]


def names(store: MemoryStore) -> list[str]:
    return sorted(measurement for measurement, _, _ in store.points)


def test_what_is_small_and_the_result_is_in_both_buckets() -> None:
    every, long = MemoryStore(), MemoryStore()
    both = TwoBuckets(every, long)
    both.write(LINES)
    both.write(LINES[:1])
    assert len(names(every)) == 6
    assert names(long) == ["action", "docker_container_cpu_1m", "gap", "transfer"]
    assert long.calls == [4]


def test_an_outage_of_the_second_bucket_is_an_outage() -> None:
    every, long = MemoryStore(), MemoryStore()
    long.faults = [ShipLaterError("the long bucket is away", "make it")]
    both = TwoBuckets(every, long)
    with pytest.raises(ShipLaterError, match="the long bucket is away"):
        both.write(LINES)
    both.write(LINES)
    assert (len(names(every)), len(names(long))) == (6, 4)


@pytest.mark.parametrize("bucket", ["", "tracemark_long"])
@pytest.mark.parametrize("url", ["", "http://127.0.0.1:9"])
def test_the_service_rolls_up_where_there_is_an_influxdb(tmp_path: Path, url: str, bucket: str) -> None:
    config = load(
        {
            "TRACEMARK_JOURNAL": str(tmp_path / "journal.sqlite"),
            "TRACEMARK_HTTP": "127.0.0.1:0",
            "TRACEMARK_MARKERS": "127.0.0.1:0",
            "TRACEMARK_DOCKER": "off",
            "TRACEMARK_CGROUP": "off",
            "TRACEMARK_INFLUX_URL": url,
            "TRACEMARK_INFLUX_LONG_BUCKET": bucket,
        }
    )
    service = Service(config, ManualClock())
    try:
        assert ("rollup" in [part.name for part in service.parts]) is bool(url)
        assert ("rollup" in service.health()) is bool(url)
        assert isinstance(service._store(), TwoBuckets) is bool(url and bucket)
    finally:
        assert service.stop()


def test_a_bucket_whose_name_would_be_split_is_refused() -> None:
    with pytest.raises(SettingError, match="TRACEMARK_INFLUX_LONG_BUCKET=tracemark/long is not valid"):
        load({"TRACEMARK_INFLUX_LONG_BUCKET": "tracemark/long"})
