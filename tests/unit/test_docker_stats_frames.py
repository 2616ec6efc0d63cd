"""Frames, times and the choice of containers: pure readers over cases of our own and of others."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.collect.frames import cpu_percent, memory_limit, memory_used, parse_frame, parse_time
from sidecar.collect.lines import LineProtocol
from sidecar.collect.select import parse_selectors
from sidecar.errors import CollectError, SettingError

OWN_CASES = sorted((Path(__file__).parents[1] / "cases" / "docker-stats").glob("*.json"))

#: what the README beside the shared cases says of each file: CPU percent, memory without cache, limit
SHARED = {
    "v1-telegraf-e2173b94.json": (0.0, 0, 18935443456),
    "v1-telegraf-9bc6faf9.json": (0.0, 0, 18935443456),
    "v1-percpu-4-online-2.json": (400.0, 1111, 2000),
    "stopped-empty-object.json": (None, None, None),
    "v2-ecs-tasks-map.json": (0.0, 303104, 4051226624),
    "v1-docker-1.27.json": (0.089305, 647168, 2095874048),
    "hassio-container_stats.json": (2160.0, 60000000, 4000000000),
    "hassio-container_stats_cgroupv1.json": (540.0, 59700000, 4000000000),
    "hassio-container_stats_cgroupv2.json": (540.0, 59700000, 4000000000),
    "windows-ecs.json": (None, 85532672, None),
    "goclient-1.json": (0.0, 6537216, 67108864),
    "goclient-2.json": (0.0, 6537216, 67108864),
    "goclient-3.json": (0.0, 16674816, 67353382912),
    "goclient-4.json": (0.0, 16674816, 67353382912),
}
#: frames without a time that can be stored: none at all, or before 1970 (the hand-made Windows frame)
NO_TIME = {"stopped-empty-object.json", "hassio-container_stats.json", "windows-ecs.json"}


def frame_of(path: Path) -> dict[str, Any]:
    raw: dict[str, Any] = json.loads(path.read_text())
    if path.name == "v2-ecs-tasks-map.json":  # one object keyed by container id
        (raw,) = raw.values()
    return raw


@pytest.mark.parametrize("path", OWN_CASES, ids=lambda path: path.stem)
def test_own_case(path: Path) -> None:
    case = json.loads(path.read_text())
    sample = parse_frame(case["frame"], "xnat-web")
    if case["sample"] is None:
        assert sample is None
    else:
        assert sample is not None
        found = dataclasses.asdict(sample)
        assert {name: found[name] for name in case["sample"]} == case["sample"], case["why"]
        assert (found["container"], found["container_id"], found["source"]) == ("xnat-web", "aa" * 32, "docker")


def test_there_are_own_cases() -> None:
    assert len(OWN_CASES) >= 7


def test_every_shared_frame_reads_as_its_readme_says(shared_cases: Path) -> None:
    folder = shared_cases / "docker-stats"
    assert {path.name for path in folder.glob("*.json")} == SHARED.keys(), (
        "a case came or went: say what a correct reader makes of it"
    )
    for name, (percent, memory, limit) in SHARED.items():
        raw = frame_of(folder / name)
        stats = raw.get("memory_stats", {})
        assert cpu_percent(raw.get("cpu_stats", {}), raw.get("precpu_stats", {})) == pytest.approx(percent, abs=5e-7), name
        assert memory_used(stats) == memory, name
        assert memory_limit(stats.get("limit")) == limit, name
        sample = parse_frame(raw, "case")
        if name in NO_TIME:
            assert sample is None, name
        else:
            assert sample is not None, name
            assert sample.cpu_percent == pytest.approx(percent, abs=5e-7), name
            assert (sample.memory_bytes, sample.memory_limit_bytes) == (memory, limit), name


def test_shared_frames_beyond_cpu_and_memory(shared_cases: Path) -> None:
    def read(name: str) -> Any:
        return parse_frame(frame_of(shared_cases / "docker-stats" / name), "case")

    hand_made = read("v1-percpu-4-online-2.json")
    assert hand_made.time_ns == 1777297794493486224, "15:49:54 at +02:00"
    assert hand_made.online_cpus == 2, "not the four entries of percpu_usage"
    assert hand_made.pids is None, "an empty pids_stats is unknown"
    ecs = read("v2-ecs-tasks-map.json")
    assert (ecs.block_read_bytes, ecs.block_write_bytes) == (None, None), "null lists are unknown"
    assert ecs.cpu_total_ns == 34818000
    both = read("goclient-1.json")
    assert (both.rx_bytes, both.tx_packets) == (648, 8), "networks and the old network are the same bytes: counted once"
    assert both.block_read_bytes == 428795731968
    recorded = read("hassio-container_stats_cgroupv1.json")
    assert (recorded.block_read_bytes, recorded.block_write_bytes) == (555053056, 9285632), "Total, Sync and Async are not added"
    assert recorded.pids == 87


def test_windows_counts_in_hundreds_of_nanoseconds(shared_cases: Path) -> None:
    raw = frame_of(shared_cases / "docker-stats" / "windows-ecs.json") | {"read": "2026-03-01T10:00:00Z"}
    sample = parse_frame(raw, "case")
    assert sample is not None
    assert (sample.cpu_total_ns, sample.cpu_percent, sample.memory_bytes) == (10_000, None, 85532672)


@given(st.integers(0, 2**62), st.integers(-14 * 60, 14 * 60))
def test_time_reads_back_to_the_nanosecond(time_ns: int, zone_minutes: int) -> None:
    seconds, rest = divmod(time_ns, 10**9)
    local = datetime.fromtimestamp(seconds, UTC) + timedelta(minutes=zone_minutes)
    if not 1970 <= local.year <= 9999:
        return
    sign, minutes = ("+", zone_minutes) if zone_minutes >= 0 else ("-", -zone_minutes)
    zone = f"{sign}{minutes // 60:02}:{minutes % 60:02}" if zone_minutes else "Z"
    fraction = f".{rest:09}".rstrip("0").rstrip(".")
    assert parse_time(f"{local:%Y-%m-%dT%H:%M:%S}{fraction}{zone}") == time_ns


@pytest.mark.parametrize(
    "text", [None, "", "0001-01-01T00:00:00Z", "1969-12-31T23:59:59.9Z", "2026-03-01T10:00:00", "2026-03-01T10:00:00.xZ", 5]
)
def test_what_is_no_time(text: object) -> None:
    assert parse_time(text) is None


@given(st.lists(st.binary(min_size=1).filter(lambda line: b"\n" not in line and line.strip()), max_size=6), st.data())
def test_lines_come_out_under_any_chunking(lines: list[bytes], data: st.DataObject) -> None:
    answer = b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + b"".join(line + b"\n" for line in lines)
    protocol, found, at = LineProtocol(), [], 0
    while at < len(answer):
        size = data.draw(st.integers(1, len(answer) - at))
        found += protocol.feed(answer[at : at + size])
        at += size
    assert (protocol.status, found) == (200, lines)


@pytest.mark.parametrize(
    "answer", [b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"x" * (4 * 2**20 + 1)]
)
def test_what_is_no_engine_is_named(answer: bytes) -> None:
    with pytest.raises(CollectError, match="Docker"):
        LineProtocol().feed(answer)


@pytest.mark.parametrize(
    ("selectors", "name", "labels", "expected"),
    [
        (["name:xnat-*"], "xnat-web", {}, True),
        (["name:xnat-*"], "web", {}, False),
        (["name:xnat-*"], "XNAT-web", {}, False),
        (["label:team"], "a", {"team": ""}, True),
        (["label:team=red"], "a", {"team": "blue"}, False),
        (["label:team=a=b"], "a", {"team": "a=b"}, True),
        (["service:web"], "p-web-1", {"com.docker.compose.service": "web"}, True),
        (["service:web"], "web", {}, False),
        (["name:x", "service:web"], "p", {"com.docker.compose.service": "web"}, True),
    ],
)
def test_choice(selectors: list[str], name: str, labels: dict[str, str], expected: bool) -> None:
    assert parse_selectors(selectors)(name, labels) is expected


@pytest.mark.parametrize("selector", ["xnat-*", "image:nginx", "name:", "label:", "label:=x", ""])
def test_a_selector_that_chooses_nothing_is_refused(selector: str) -> None:
    with pytest.raises(SettingError, match="name:GLOB"):
        parse_selectors([selector])


def test_no_selector_at_all_is_refused() -> None:
    with pytest.raises(SettingError, match=r"name:\*"):
        parse_selectors([])
