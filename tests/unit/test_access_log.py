"""A server's log as a source: trouble is told once and outlived, rubbish is counted, actions survive a crash."""

from __future__ import annotations

import logging
import os
import random
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from sidecar.clock import SystemClock
from sidecar.collect.access_log import SHAPES, LogCollector
from sidecar.collect.infer import Inference
from sidecar.collect.log_formats import MAX_LINE, LineReader
from sidecar.collect.routes import Routes
from sidecar.model.catalogue import load_catalogue
from sidecar.model.records import Request
from tests.support.access_log import Following, HastyClock, RememberingSink, combined, tm1
from tests.support.waiting import wait_until

T = 1_795_341_170


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "xnat.access.log"


def append(path: Path, *lines: str) -> None:
    with path.open("a", encoding="latin-1") as file:
        file.write("".join(lines))


def test_a_log_that_is_absent_is_told_once_waited_for_and_leaves_a_gap(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    following = Following(path)
    with caplog.at_level(logging.WARNING):
        following.poll(50)
    assert [record.getMessage() for record in caplog.records] == [
        f"log {path} is not there: check the setting and the mount; it is read as soon as it appears"
    ]
    (gap,) = following.sink.gaps
    assert (gap.part, gap.subject, gap.end_ns) == ("access-log", "nginx", None)
    assert str(following.health["trouble"]).startswith(f"log {path} is not there")
    append(path, combined(1))
    following.poll()
    (gap,) = following.sink.gaps
    assert gap.end_ns is not None
    assert gap.end_ns - gap.start_ns == pytest.approx(10e9, rel=0.1)
    assert following.sent == [1]
    assert "trouble" not in following.health


def test_a_folder_that_is_absent_and_a_glob_without_a_match(tmp_path: Path) -> None:
    for pattern in (tmp_path / "away" / "access.log", tmp_path / "localhost_access_log.*.txt"):
        following = Following(pattern)
        following.poll()
        assert f"log {pattern} is not there" in str(following.health["trouble"])


@pytest.mark.parametrize("glob", [False, True])
def test_a_log_that_may_not_be_read_names_the_remedy(path: Path, monkeypatch: pytest.MonkeyPatch, glob: bool) -> None:
    append(path, combined(1))
    really_open = os.open
    closed = True

    def guarded(name: str, flags: int, *rest: int) -> int:
        if closed and str(name) == str(path):
            raise PermissionError(13, "Permission denied", str(name))
        return really_open(name, flags, *rest)

    monkeypatch.setattr(os, "open", guarded)
    following = Following(f"{path}*" if glob else path, server="tomcat")
    following.poll(3)
    assert "UMASK=0022" in str(following.health["trouble"])
    closed = False
    following.poll()
    assert following.sent == [1]
    assert "trouble" not in following.health


def test_a_log_that_is_no_file_names_the_remedy(tmp_path: Path) -> None:
    following = Following(tmp_path)
    following.poll()
    assert "is no plain file: let the server write its access log to a file" in str(following.health["trouble"])


def test_a_log_that_vanishes_is_read_to_its_end_and_its_absence_is_a_gap(path: Path) -> None:
    append(path, combined(1))
    following = Following(path)
    following.poll()
    append(path, combined(2))
    path.unlink()
    following.poll(2)
    assert following.sent == [1, 2]
    assert len(following.sink.gaps) == 1


def test_a_gap_that_the_sink_refuses_is_told_again(path: Path) -> None:
    following = Following(path)
    following.sink.refuse = 1
    following.poll(3)
    assert len(following.sink.gaps) == 1


def test_binary_rubbish_is_refused_and_counted_and_lines_between_are_read(path: Path) -> None:
    rubbish = random.Random(7).randbytes(200_000).replace(b"\n", b"\0") + b"\n"
    pieces = [rubbish[start : start + 5_000] + b"\n" for start in range(0, 200_000, 5_000)]
    path.write_bytes(pieces[0] + combined(1).encode() + b"".join(pieces[1:]) + combined(2).encode())
    following = Following(path)
    following.poll()
    assert following.sent == [1, 2]
    assert following.health["refused_lines"] == 40
    assert str(following.health["refused_shapes"]).count(" | ") < SHAPES


def test_shapes_of_refused_lines_are_bounded_and_say_nothing(path: Path) -> None:
    append(path, *(f"{'?' * 0}Patient {'-' * (n % 20 + 1)}x{'!' * n} Smith {n}\n" for n in range(500)))
    append(path, *(f"a{chr(33 + n % 15)}b{chr(33 + n // 15 % 15)}Smith {n}\n" for n in range(225)))
    following = Following(path)
    following.poll()
    shapes = str(following.health["refused_shapes"])
    assert following.health["refused_lines"] == 725
    assert len(shapes) < SHAPES * 130
    assert "Smith" not in shapes


def test_a_very_long_line_is_counted_and_the_next_one_read(path: Path) -> None:
    too_long = combined(9, "/" + "x" * MAX_LINE)
    append(path, too_long, combined(1), too_long, "x" * 2 * MAX_LINE + "\n", combined(2))
    following = Following(path)
    following.poll()
    assert following.sent == [1, 2]
    assert (following.health["too_long_lines"], following.health["refused_lines"]) == (3, 0)


def test_a_format_that_changes_within_a_file(path: Path) -> None:
    append(path, combined(1), tm1(T, 0.1, "GET", "/", sent=2), combined(3), "rubbish\n", tm1(T, 0.1, "GET", "/", sent=4))
    following = Following(path)
    following.poll()
    assert following.sent == [1, 2, 3, 4]
    assert following.health["format"] == "tm1"
    assert following.health["refused_lines"] == 1


def test_lines_with_carriage_returns_and_blank_lines(path: Path) -> None:
    append(path, combined(1).replace("\n", "\r\n"), "\n", "\r\n", combined(2))
    following = Following(path)
    following.poll()
    assert following.sent == [1, 2]
    assert following.health["refused_lines"] == 0


def test_whoever_asked_is_told_of_requests_that_the_sink_took(path: Path) -> None:
    told: list[int | None] = []

    def on_requests(requests: Sequence[Request]) -> None:
        told.extend(request.sent_bytes for request in requests)

    append(path, combined(1), combined(2))
    following = Following(path, on_requests=on_requests)
    following.sink.refuse = 1
    following.poll()
    assert told == [1, 2]


def test_health_says_what_is_not_known_about_tomcat_s_durations(tmp_path: Path) -> None:
    path = tmp_path / "localhost_access_log.2026-11-22.txt"
    line = '10.0.0.1 - - [22/Nov/2026:09:52:50 +0000] "GET /data HTTP/1.0" 200 16 {}\n'
    append(path, *(line.format(value) for value in (350, 800)))
    following = Following(tmp_path / "localhost_access_log.*.txt", server="tomcat")
    following.poll()
    assert (following.health["duration_unit"], following.health["durations_left_out"]) == ("undecided", 2)
    append(path, *(line.format(value) for value in (3, 4, 5, 350)))
    following.poll()
    assert following.health["duration_unit"] == "ms"
    assert [request.duration_ns for request in following.sink.requests][-2:] == [5_000_000, 350_000_000]


def viewer(at_s: float) -> list[str]:
    uri = "/data/archive/projects/P/subjects/S/experiments/L/scans/1/resources/DICOM/files/{}.dcm"
    return [
        tm1(at_s + 0.1, 0.1, "GET", "/VIEWER"),
        tm1(at_s + 0.6, 0.1, "GET", "/xapi/viewer/projects/P/experiments/E", content_type="application/json"),
        *(tm1(at_s + 1 + n * 0.1, 0.05, "GET", uri.format(n), content_type="application/dicom") for n in range(20)),
    ]


@pytest.mark.parametrize("crash_after", range(0, 22, 3))
def test_an_inferred_action_survives_a_crash_at_any_line(path: Path, crash_after: int) -> None:
    clock = HastyClock(wall_ns=T * 10**9)
    following = Following(path, clock=clock, inference=lambda: Inference(load_catalogue(), "nginx"))
    lines = viewer(T)
    append(path, combined(1), *lines[:crash_after])
    following.poll()
    following.sink.forgetting = crash_after % 2 == 1
    following.poll()
    following.restart()
    append(path, *lines[crash_after:])
    following.poll()
    clock.advance(60)
    following.poll(2)
    (action,) = following.sink.actions
    assert (action.action, action.start_ns, action.duration_ns) == ("open_viewer", T * 10**9, 2_900_000_000)
    assert following.collector.behind_bytes == 0
    assert len(following.sink.requests) == 23


def test_an_action_is_handed_over_when_the_log_is_quiet_and_again_when_refused(path: Path) -> None:
    clock = HastyClock(wall_ns=T * 10**9)
    following = Following(path, clock=clock, inference=lambda: Inference(load_catalogue(), "nginx"))
    append(path, *viewer(T))
    following.poll()
    assert following.sink.actions == []
    assert following.health["actions_open"] == 1
    clock.advance(60)
    following.sink.refuse = 1
    following.poll()
    assert following.sink.actions == []
    following.poll()
    assert [action.action for action in following.sink.actions] == ["open_viewer"]
    assert following.health["actions_inferred"] == 1


def test_a_context_path_is_a_setting_of_the_reader(path: Path) -> None:
    clock = HastyClock(wall_ns=T * 10**9)
    following = Following(
        path,
        clock=clock,
        reader=lambda: LineReader("nginx", Routes("/xnat")),
        inference=lambda: Inference(load_catalogue(), "nginx"),
    )
    append(path, tm1(T, 1.0, "GET", "/xnat/REST/projects/P/files", query_format="zip"))
    following.poll()
    clock.advance(60)
    following.poll()
    assert [action.action for action in following.sink.actions] == ["download"]
    assert following.sink.requests[0].route == "/REST/projects/{}/files"


CANARY = "QqCanaryqQ"


def test_no_word_about_people_is_in_anything_that_leaves_the_collector(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    append(
        path,
        combined(1, f"/data/projects/{CANARY}/subjects/{CANARY}?q={CANARY}").replace("agent", CANARY).replace("10.0.0.9", CANARY),
        combined(2, f"/VIEWER?experimentId={CANARY}&experimentLabel={CANARY}"),
        combined(3, f"/data/experiments/{CANARY}/scans/1/files/{CANARY}"),
        f"{CANARY} refused {CANARY}\n",
        tm1(T, 0.1, "GET", f"/{CANARY}", query_format=CANARY, content_type=f"text/{CANARY}!", trace=CANARY),
    )
    clock = HastyClock(wall_ns=T * 10**9 + 10**12)
    following = Following(path, clock=clock, inference=lambda: Inference(load_catalogue(), "nginx"))
    with caplog.at_level(logging.DEBUG):
        following.poll(3)
    told = repr(following.sink.records) + repr(following.sink.notes) + repr(dict(following.health)) + caplog.text
    assert len(following.sink.requests) == 4
    assert following.sink.actions
    assert CANARY.lower() not in told.lower()


def test_it_runs_until_it_is_stopped_and_sees_what_is_written_meanwhile(path: Path) -> None:
    append(path, combined(1))
    sink, stop = RememberingSink(), threading.Event()
    collector = LogCollector("nginx", str(path), sink, SystemClock(), sink.notes.get)
    thread = threading.Thread(target=collector.run, args=(stop,))
    thread.start()
    try:
        wait_until(lambda: len(sink.records) == 1, "the first line")
        append(path, combined(2))
        wait_until(lambda: len(sink.records) == 2, "the second line")
    finally:
        stop.set()
        thread.join(60)
    assert not thread.is_alive()
    assert collector.health()["files"] == 0
