"""Lines become requests: each format, each absence, each refusal; and nothing about people stays."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.collect.log_formats import FORMATS, LineReader, Refused, detect_format, parse_line
from sidecar.collect.log_times import ClfTimes, DurationUnit, LocalTimes
from sidecar.collect.log_values import query_format, shape_of
from sidecar.model.faults import InvalidRecordError
from sidecar.model.records import Request, Server
from tests.support.access_log import tm1

CASES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "cases" / "access-logs" / "lines.json").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_line_is_read_as_its_case_says(case: dict[str, Any]) -> None:
    zone = ZoneInfo(case["zone"]) if "zone" in case else None
    got = parse_line(case["format"], case["line"], server=case["server"], zone=zone, unit=case.get("unit", "ms"))
    if case.get("refused"):
        assert isinstance(got, Refused)
        return
    assert isinstance(got, Request)
    assert got.server == case["server"]
    assert {name: getattr(got, name) for name in case["request"]} == case["request"]
    assert detect_format([case["line"]], case["server"]) == case["format"]


def test_every_format_has_a_case() -> None:
    assert {case["format"] for case in CASES if not case.get("refused")} == set(FORMATS)


def test_each_line_has_its_own_trace_content_type_and_status() -> None:
    reader = LineReader("nginx")
    got = []
    for trace, kind, status in (("a", "text/html", 200), ("a", "text/css", 304), ("b", "text/html", 200), ("-", "-", 404)):
        line = tm1(1795341170, 0.1, "GET", "/", status=status, content_type=kind, trace=f"00-{trace * 32}-{trace * 16}-01")
        found = reader.read("tm1", line.rstrip("\n"))
        assert found is not None
        got.append((found[0].session, found[0].action_id, found[0].content_type, found[0].status))
    assert got == [
        ("a" * 32, "a" * 16, "text/html", 200),
        ("a" * 32, "a" * 16, "text/css", 304),
        ("b" * 32, "b" * 16, "text/html", 200),
        (None, None, None, 404),
    ]


def test_a_format_that_is_none_is_named() -> None:
    with pytest.raises(InvalidRecordError, match="log format 'squid' is unknown: use one of tm1"):
        parse_line("squid", "x")  # type: ignore[arg-type]


CANARY = "ZzCanaryzZ"
CLF = "{0} - {0} [22/Nov/2026:09:52:50 +0000] "
XNAT = "2022-09-30 13:47:11,466 - {0} {0} "
WITH_CANARIES: list[tuple[Server, str]] = [
    ("nginx", CLF + '"GET /{0}/data/projects/{0}?q={0} HTTP/1.1" 200 1 "http://{0}/" "{0}"'),
    ("nginx", "{0} " + CLF + '"GET http://{0}/{0};jsessionid={0} HTTP/1.1" 200 1 "{0}" "{0}" "{0}" rt=0.1'),
    ("nginx", CLF + f'"{CANARY.upper()} /{{0}} HTTP/1.1" 200 1 "-" "-"'),
    ("nginx", CLF + '"GET /app/template/{0}.vm/{0}/{0} {0}" 200 1 "-" "-"'),
    ("tomcat", CLF + '"GET /app/action/DisplayItemAction/{0}/{0}/search_value/{0} HTTP/1.0" 200 16 4026 4025 {0} "{0}" "{0}"'),
    ("xnat", XNAT + 'GET https://{0}/data/subjects/{0}?x={0} "{0}" {0}'),
    ("xnat", XNAT + 'GET SCREEN: {0} "{0}" [search_value={0}]'),
    ("xnat", XNAT + 'POST Authentication "{0}" FAILED ({0}): {0}'),
    (
        "nginx",
        tm1(1795341170.25, 0.1, "GET", "/data/projects/{0}/files/{0}", query_format="{0}", content_type="{0}", trace="{0}"),
    ),
    ("nginx", tm1(1795341170.25, 0.1, CANARY, "/xapi/users/{0}")),
]


@pytest.mark.parametrize(("server", "line"), WITH_CANARIES)
def test_nothing_that_a_line_says_about_people_is_in_its_request(server: Server, line: str) -> None:
    reader = LineReader(server)
    line = line.format(CANARY).rstrip("\n")
    kind = reader.detect(line)
    assert kind is not None, "the canaries must be in a line that is read"
    found = reader.read(kind, line)
    assert found is not None
    assert CANARY.lower() not in repr(found[0]).lower()


@given(st.text(max_size=300))
def test_the_shape_of_a_line_tells_none_of_its_words(text: str) -> None:
    shape = shape_of(text)
    assert len(shape) <= 120
    assert not any(sign.isalpha() and sign != "a" for sign in shape)
    assert not any(sign.isdigit() and sign != "9" for sign in shape)


def test_the_shape_shows_the_form() -> None:
    assert shape_of('192.168.0.1 - john [x] "GET /a" 200') == '9.9.9.9 - a [a] "a /a" 9'


@given(st.binary(max_size=400), st.sampled_from(FORMATS), st.sampled_from(["nginx", "tomcat", "xnat"]))
def test_rubbish_is_refused_and_never_raises(rubbish: bytes, kind: Any, server: Any) -> None:
    reader = LineReader(server)
    assert reader.detect(rubbish.decode("latin-1")) in (None, *FORMATS)
    reader.read(kind, rubbish.decode("latin-1"))


@given(st.datetimes(datetime(1980, 1, 1), datetime(2100, 1, 1)), st.integers(-14 * 60, 14 * 60))
def test_clf_times_are_the_calendar_s(at: datetime, zone_minutes: int) -> None:
    sign, minutes = "-" if zone_minutes < 0 else "+", abs(zone_minutes)
    text = f"{at:%d/%b/%Y:%H:%M:%S} {sign}{minutes // 60:02}{minutes % 60:02}"
    expected = (int(at.replace(tzinfo=UTC).timestamp()) - zone_minutes * 60) * 10**9
    times = ClfTimes()
    assert times.ns("01/Jan/2000:00:00:00 +0000") == 946684800 * 10**9
    assert times.ns(text) == times.ns(text) == expected


def test_the_hour_that_comes_twice_is_told_by_the_log_s_own_order() -> None:
    times = LocalTimes(ZoneInfo("Europe/Rome"))
    lines = [f"2026-10-25 0{hour}:{minute:02}:00,000" for hour, minute in ((1, 59), (2, 0), (2, 59), (2, 0), (2, 59), (3, 0))]
    got = [times.ns(line) for line in lines]
    assert [after - before for before, after in pairwise(got)] == [seconds * 10**9 for seconds in (60, 59 * 60, 60, 59 * 60, 60)]


def test_local_means_this_machine_s_zone() -> None:
    expected = int(datetime(2024, 6, 21, 13, 18, 47).timestamp() * 1000) + 123
    assert LocalTimes().ns("2024-06-21 13:18:47,123") == expected * 10**6


def unit_after(values: list[tuple[int, int | None]], spacing_s: float = 15.0, status: int = 200) -> str | None:
    unit = DurationUnit()
    for number, (value, commit_ms) in enumerate(values):
        unit.observe(value, commit_ms, status, int(1.8e18 + number * spacing_s * 1e9))
    return unit.unit


def test_what_can_be_decided_about_the_unit_of_tomcat_s_duration() -> None:
    assert unit_after([(3, None), (0, None), (12, None)]) == "ms", "no request is answered in 12 microseconds"
    assert unit_after([(3, None), (0, None)]) is None, "two are no proof"
    assert unit_after([(4026242, 4025), (900000, 890), (150000, 140), (33000, 30), (11500, 11)]) == "us", "%F is in ms"
    assert unit_after([(4026, 4025), (900, 890), (150, 140)]) == "ms", "%F is in ms"
    assert unit_after([(9_000, 11), (60_000, 12), (500_000, 20)]) is None, "three long downloads after a quick commit may be ms"
    assert unit_after([(4_000_000, None)] * 5) == "us", "five requests of more than an hour"
    assert unit_after([(200_000, None)] * 110, spacing_s=0.01) == "us", "as ms these would be more requests than threads"
    assert unit_after([(350, None)] * 200) == "us", "among 200 there is always one answered in less than 20 ms"
    assert unit_after([(350, None)] * 199) is None
    assert unit_after([(0, None)] * 50, status=400) is None, "Tomcat writes 0 for a request that it could not read"


def test_a_decided_unit_is_overturned_by_proof() -> None:
    unit = DurationUnit()
    decided = []
    for values in ([350] * 600, [5] * 3):
        for number, value in enumerate(values):
            unit.observe(value, None, 200, int(1.8e18 + number * 1e9))
        decided.append(unit.unit)
    assert decided == ["us", "ms"]


def test_a_unit_that_was_set_is_not_argued_with() -> None:
    unit = DurationUnit("us")
    for _ in range(10):
        unit.observe(1, None, 200, 10**18)
    assert unit.ns == 1000


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/a?format=zip", "zip"),
        ("/a?x=1&format=json&y=2", "json"),
        ("/a?dateformat=x", None),
        ("/a", None),
        ("/format=zip", None),
    ],
)
def test_the_query_s_format(target: str, expected: str | None) -> None:
    assert query_format(target) == expected
