"""What was transferred, as reports for the sidecar: from a capture, and from the browser's own events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from replay.packets.model import CaptureMetrics, Metrics, Throughput
from replay.transfers import (
    CaptureBrokenError,
    Exchange,
    browser_json,
    fields_of,
    reports_of_browser,
    reports_of_capture,
    tell,
)
from replay.transfers_browser import COMPLETED, DOWNLOADED, FAILED, BrowserMeter
from sidecar.model.messages import TransferReport
from sidecar.model.wire import decode, encode

T0 = 1_700_000_000_000_000_000
MS = 1_000_000
LOGIN, DOWNLOAD, IDLE = "1111111111111111", "2222222222222222", "3333333333333333"


@dataclass
class Played:
    action_id: str
    begin_ns: int
    duration_ns: int | None


class Heard:
    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []

    def transfer(self, **fields: Any) -> None:
        self.told.append(fields)


def captured(broken: str | None = None) -> CaptureMetrics:
    login = Metrics(first_ns=T0, last_ns=T0 + 5, down_packets=3, up_packets=2, down_bytes=900, up_bytes=400, up_retransmitted=1)
    download = Metrics(
        first_ns=T0 + 10, last_ns=T0 + 90, down_packets=70, up_packets=20, down_bytes=90_000, down_out_of_order=2, down_lost=3
    )
    whole = Metrics(first_ns=T0, last_ns=T0 + 90, down_packets=73, up_packets=22, down_bytes=90_900, up_bytes=400)
    return CaptureMetrics(
        whole=whole,
        windows={LOGIN: login, DOWNLOAD: download, IDLE: Metrics()},
        connections=(),
        throughput=Throughput(None, 1, (), ()),
        packets_read=95,
        snapped=0,
        link_type="EN10MB",
        dissector="own",
        broken=broken,
    )


# from a capture


def test_each_action_has_a_report_and_the_repetition_too() -> None:
    reports = reports_of_capture(captured(), offset_ns=1000)
    assert [report.action_id for report in reports] == [LOGIN, DOWNLOAD, None]  # nothing is said of an action without a packet
    assert [report.start_ns for report in reports] == [T0 + 1000, T0 + 1010, T0 + 1000]
    assert {report.method for report in reports} == {"capture"}
    login, download, whole = reports
    assert (login.duration_ns, login.down_bytes, login.up_bytes, login.packets, login.retransmitted) == (5, 900, 400, 5, 1)
    assert (download.out_of_order, download.lost) == (2, 3)
    assert (whole.duration_ns, whole.packets) == (90, 95)


def test_a_capture_without_packets_says_nothing() -> None:
    metrics = captured()
    object.__setattr__(metrics, "windows", {})
    object.__setattr__(metrics, "whole", Metrics())
    assert reports_of_capture(metrics) == ()


def test_a_broken_capture_is_not_summed_up() -> None:
    with pytest.raises(CaptureBrokenError, match=r"block 7 is cut.*repeat the repetition"):
        reports_of_capture(captured("block 7 is cut"))


def test_the_reports_are_messages_of_the_channel() -> None:
    browsed = reports_of_browser([Exchange(start_ns=T0, end_ns=T0 + 9, down_bytes=5, up_bytes=6)], [])
    for report in (*reports_of_capture(captured()), *browsed):
        assert decode(encode(report)) == report


def test_only_what_is_known_is_told() -> None:
    heard = Heard()
    tell(reports_of_browser([Exchange(start_ns=T0, end_ns=T0 + 9, down_bytes=5, up_bytes=6)], []), heard)
    assert heard.told == [{"start_ns": T0, "duration_ns": 9, "down_bytes": 5, "up_bytes": 6, "method": "browser"}]
    assert fields_of(reports_of_capture(captured())[-1]).keys() >= {"packets", "retransmitted", "out_of_order", "lost", "method"}


# from the browser


def timings(start_ms: float, end_ms: float) -> dict[str, float]:
    return {"timeOrigin": T0 // MS, "requestStart": start_ms, "responseEnd": end_ms}


def answer(start_ms: float, end_ms: float, *, received: int, cached: bool = False, body: int = 0) -> dict[str, Any]:
    return {
        "request": {"headersSize": 100, "bodySize": body, "timings": timings(start_ms, end_ms), "cookies": ["secret"]},
        "response": {"bytesReceived": received, "headersSize": 50, "fromCache": cached, "url": "https://x/?secret"},
    }


def test_answers_count_and_the_cache_does_not() -> None:
    meter = BrowserMeter()
    meter.take(COMPLETED, answer(1, 5, received=3000))
    meter.take(COMPLETED, answer(2, 9, received=4000, cached=True))
    meter.take(COMPLETED, answer(3, 4, received=0, body=700))  # a redirect has a head and nothing else
    assert meter.exchanges() == (
        Exchange(start_ns=T0 + 1 * MS, end_ns=T0 + 5 * MS, down_bytes=3000, up_bytes=100),
        Exchange(start_ns=T0 + 3 * MS, end_ns=T0 + 4 * MS, down_bytes=50, up_bytes=800),
    )


@pytest.mark.parametrize(
    ("method", "status", "length", "counted"),
    [
        ("GET", 200, "30000", 30_000),
        ("GET", 200, "3", 3928),  # with what the browser itself counted of the head
        ("GET", 200, "many", 3928),
        ("HEAD", 200, "30000", 3928),
        ("GET", 304, "30000", 3928),
    ],
)
def test_an_answer_of_which_only_a_part_was_there_counts_as_long_as_it_announced_itself(
    method: str, status: int, length: str, counted: int
) -> None:
    meter = BrowserMeter()
    told = answer(1, 5, received=3928)
    told["request"]["method"] = method
    announced = {"name": "Content-Length", "value": {"type": "string", "value": length}}
    date = {"name": "Date", "value": {"type": "string", "value": "today"}}
    told["response"] |= {"status": status, "headers": [date, announced]}
    meter.take(COMPLETED, told)
    assert [one.down_bytes for one in meter.exchanges()] == [counted]


def test_a_download_has_the_size_of_its_file() -> None:
    meter = BrowserMeter(size_of={"/d/a.zip": 460_000_000}.get)
    request = answer(10, 12, received=0)["request"]
    meter.take(FAILED, {"navigation": "n1", "request": request})
    meter.take(FAILED, {"navigation": "n2", "request": request})  # one that really failed
    ended = {"navigation": "n1", "timestamp": T0 // MS + 9000, "filepath": "/d/a.zip"}
    meter.take(DOWNLOADED, {"download_params": ended})
    meter.take(DOWNLOADED, {"download_params": ended | {"navigation": "n3"}})
    meter.take(DOWNLOADED, {"download_params": {"navigation": "n2", "timestamp": 1, "filepath": None}})
    whole = Exchange(start_ns=T0 + 10 * MS, end_ns=T0 + 9000 * MS, down_bytes=460_000_000, up_bytes=100)
    assert meter.exchanges() == (whole,)
    meter.take(COMPLETED, answer(10, 12, received=197) | {"navigation": "n4"})  # called complete at its head, then failed
    meter.take(FAILED, {"navigation": "n4", "request": request})
    meter.take(DOWNLOADED, {"download_params": ended | {"navigation": "n4"}})
    meter.take(COMPLETED, answer(10, 12, received=197) | {"navigation": "n1"})  # or the other way round, and late
    assert meter.exchanges() == (whole, whole)
    meter.take(DOWNLOADED, {"download_params": ended | {"navigation": "n5"}})  # the two events may come in either order
    assert meter.exchanges() == (whole, whole)
    meter.take(FAILED, {"navigation": "n5", "request": request})
    assert meter.exchanges() == (whole, whole, whole)


@pytest.mark.parametrize(
    "event", [{}, None, {"request": {}, "navigation": "n1"}, {"request": {"timings": {"timeOrigin": 0}}, "response": {}}]
)
@pytest.mark.parametrize("name", [COMPLETED, FAILED, DOWNLOADED])
def test_an_event_that_cannot_be_understood_is_left_out(name: str, event: object) -> None:
    meter = BrowserMeter(size_of=lambda _path: 1)
    meter.take(name, event)
    meter.take(DOWNLOADED, {"download_params": {"navigation": "n1", "timestamp": 1, "filepath": "/d/a"}})
    assert meter.exchanges() == ()


def test_an_exchange_belongs_to_the_action_in_which_it_began() -> None:
    exchanges = [
        Exchange(start_ns=T0 + 10, end_ns=T0 + 40, down_bytes=1, up_bytes=10),
        Exchange(start_ns=T0 + 15, end_ns=T0 + 20, down_bytes=2, up_bytes=20),
        Exchange(start_ns=T0 + 30, end_ns=T0 + 35, down_bytes=4, up_bytes=40),
        Exchange(start_ns=T0 + 99, end_ns=T0 + 100, down_bytes=8, up_bytes=80),
    ]
    actions = [Played(LOGIN, T0 + 10, 10), Played(DOWNLOAD, T0 + 20, 20), Played(IDLE, T0 + 60, None)]
    login, download, whole = reports_of_browser(exchanges, actions, offset_ns=-5)
    assert (login.action_id, login.start_ns, login.duration_ns, login.down_bytes, login.up_bytes) == (LOGIN, T0 + 5, 30, 3, 30)
    assert (download.action_id, download.duration_ns, download.down_bytes) == (DOWNLOAD, 5, 4)
    assert (whole.action_id, whole.duration_ns, whole.down_bytes, whole.up_bytes) == (None, 90, 15, 150)
    assert {report.method for report in (login, download, whole)} == {"browser"}
    assert {report.packets for report in (login, download, whole)} == {None}


def test_the_result_file_says_that_the_browser_told_it() -> None:
    told = browser_json(
        [
            TransferReport(
                action_id=LOGIN, start_ns=T0, duration_ns=2_000_000_000, down_bytes=100, up_bytes=10, method="browser"
            ),
            TransferReport(start_ns=T0, duration_ns=0, down_bytes=100, up_bytes=10, method="browser"),
        ]
    )
    assert told["source"] == "browser"
    assert told["windows"][LOGIN]["down_rate"] == 50
    assert told["whole"]["down_rate"] is None
    assert browser_json([]) == {"source": "browser", "whole": None, "windows": {}}
