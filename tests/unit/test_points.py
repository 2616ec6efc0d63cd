"""Records to points, points to lines and back."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.errors import InvalidRecordError
from sidecar.model.points import SCHEMA, Point, PointContext, Related, from_line, self_point, to_line, to_points
from sidecar.model.records import Record, Session
from tests.support import journal as make
from tests.support.journal import SECOND, T0

CONTEXT = PointContext(site="lab", engine_host="host 1")


def points(record: Record, tie: int = 0, **related: object) -> dict[str, Point]:
    return {point.measurement: point for point in to_points(record, CONTEXT, tie, Related(**related))}  # type: ignore[arg-type]


# the schema


def test_the_measurements_of_the_interface() -> None:
    assert set(SCHEMA) == {
        "docker_container_cpu",
        "docker_container_mem",
        "docker_container_net",
        "docker_container_blkio",
        "http_request",
        "action",
        "action_event",
        "transfer",
        "gap",
        "tracemark_self",
        "docker_container_cpu_1m",
        "docker_container_mem_1m",
        "docker_container_net_1m",
        "http_request_1m",
        "rating",
        "headroom",
        "verdict",
    }


@pytest.mark.parametrize("name", sorted(SCHEMA))
def test_tags_and_fields_share_no_name_and_persons_are_no_tags(name: str) -> None:
    measurement = SCHEMA[name]
    assert {"site", "engine_host"} <= set(measurement.tags)
    assert not set(measurement.tags) & set(measurement.fields)
    assert not set(measurement.tags) & {"session", "action_id", "path", "container_id", "user"}


@given(
    record=make.records,
    tie=st.integers(0, 10**9),
    session=st.none() | make.sessions,
    usage=st.dictionaries(st.sampled_from(["xnat-web", "xnat-db"]), make.usages),
)
def test_points_keep_to_the_schema_and_survive_the_line(
    record: Record, tie: int, session: Session | None, usage: dict[str, object]
) -> None:
    for point in to_points(record, CONTEXT, tie, Related(session=session, usage=usage, action="login")):  # type: ignore[arg-type]
        measurement = SCHEMA[point.measurement]
        tags = dict(point.tags)
        assert set(tags) <= set(measurement.tags)
        assert (tags["site"], tags["engine_host"]) == ("lab", "host 1")
        for name, value in point.fields.items():
            assert type(value) is measurement.type_of(name), name
        assert from_line(to_line(point)) == point


# samples


def test_a_frame_becomes_telegrafs_four_measurements() -> None:
    frame = make.sample(
        source="docker",
        cpu_percent=12.5,
        cpu_total_ns=100,
        cpu_user_ns=60,
        cpu_system_ns=40,
        system_cpu_ns=1000,
        online_cpus=2,
        throttled_periods=3,
        throttled_ns=9,
        memory_bytes=50,
        memory_usage_bytes=70,
        memory_limit_bytes=200,
        rx_bytes=1,
        tx_bytes=2,
        rx_packets=3,
        tx_packets=4,
        block_read_bytes=5,
        block_write_bytes=6,
    )
    made = points(frame)
    shared = {"site": "lab", "engine_host": "host 1", "container_name": "xnat-web", "source": "docker"}
    assert dict(made["docker_container_cpu"].tags) == shared | {"cpu": "cpu-total"}
    assert made["docker_container_cpu"].fields == {
        "usage_percent": 12.5,
        "usage_total": 100,
        "usage_in_usermode": 60,
        "usage_in_kernelmode": 40,
        "usage_system": 1000,
        "online_cpus": 2,
        "throttling_throttled_periods": 3,
        "throttling_throttled_time": 9,
        "container_id": "c0ffee",
    }
    assert made["docker_container_mem"].fields == {
        "usage": 50,
        "usage_with_cache": 70,
        "usage_percent": 25.0,
        "limit": 200,
        "container_id": "c0ffee",
    }
    assert dict(made["docker_container_net"].tags) == shared | {"network": "total"}
    assert made["docker_container_net"].fields["tx_packets"] == 4
    assert dict(made["docker_container_blkio"].tags) == shared | {"device": "total"}
    assert made["docker_container_blkio"].fields["io_service_bytes_recursive_write"] == 6
    assert {point.time_ns for point in made.values()} == {T0}


def test_what_is_unknown_is_left_out() -> None:
    made = points(make.sample())
    assert set(made) == {"docker_container_cpu"}
    assert made["docker_container_cpu"].fields == {"usage_total": 5, "container_id": "c0ffee"}


def test_a_limit_of_zero_gives_no_percentage() -> None:
    assert "usage_percent" not in points(make.sample(memory_bytes=1, memory_limit_bytes=0))["docker_container_mem"].fields


# actions


def test_an_action_is_one_point_with_all_results() -> None:
    made = points(
        make.action(duration_ns=1_234_567_000, source="replay", attributes={"bytes": 7, "first_image_ns": 2_000_000}),
        session=make.session(source="replay", role="reader", setup="lan", run="run-1", repetition=2),
        usage={
            "xnat-web": make.usage(),
            "xnat-db": make.usage(container="xnat-db", cpu_seconds=0.25, cpu_percent_peak=90.0, memory_bytes_peak=None),
        },
    )["action"]
    assert dict(made.tags) == {
        "site": "lab",
        "engine_host": "host 1",
        "action": "login",
        "source": "replay",
        "role": "reader",
        "setup": "lan",
        "run": "run-1",
    }
    fields = made.fields
    assert (fields["duration_ms"], fields["time_end"]) == (1234.567, (T0 + 1_234_567_000) // 10**6)
    assert fields["text"] == "LOGIN 1.23 s (completed)"
    assert fields["tags"] == "login,replay,reader,lan"
    assert (fields["session"], fields["action_id"], fields["repetition"]) == ("session-1", "action-01", 2)
    assert (fields["bytes"], fields["first_image_ms"]) == (7, 2.0)
    assert (fields["cpu_seconds"], fields["cpu_seconds_xnat-web"], fields["cpu_seconds_xnat-db"]) == (0.75, 0.5, 0.25)
    assert fields["cpu_percent_peak"] == 90.0
    assert fields["memory_bytes_peak"] == 1 << 30
    assert "memory_bytes_peak_xnat-db" not in fields
    assert (fields["requests"], fields["sent_bytes"]) == (3, 4096)


def test_an_action_without_length_still_is_a_region() -> None:
    fields = points(make.action(duration_ns=0))["action"].fields
    assert fields["time_end"] == T0 // 10**6 + 1
    assert not any(name.startswith("cpu_") for name in fields)


def test_actions_of_one_instant_are_different_points() -> None:
    times = {points(make.action(), tie=number)["action"].time_ns for number in range(1000)}
    assert len(times) == 1000
    assert all(0 <= time_ns - T0 < 1000 for time_ns in times)


def test_the_identity_of_an_action_stays_when_it_changes() -> None:
    first = points(make.action(outcome="unfinished"), tie=4)["action"]
    again = points(make.action(duration_ns=5 * SECOND), tie=4, usage={"xnat-web": make.usage()})["action"]
    assert first[:2] == again[:2]
    assert first.time_ns == again.time_ns


# the rest


def test_requests_of_one_millisecond_are_different_points() -> None:
    made = [points(make.request(), tie=n)["http_request"] for n in range(5000)]
    assert len({point.time_ns for point in made}) == 5000
    assert all(0 <= point.time_ns - T0 < 10**6 for point in made)
    exact = points(make.request(T0 + 123_456_789), tie=5)["http_request"]
    assert exact.time_ns == T0 + 123_456_005


def test_a_request() -> None:
    made = points(make.request(status=404, upstream_ns=5_000_000, session="0" * 32, action_id="a" * 16))["http_request"]
    assert dict(made.tags)["status_class"] == "4xx"
    assert dict(made.tags)["route"] == "/data/projects/{}"
    assert made.fields == {
        "requests": 1,
        "duration_ms": 12.0,
        "status": 404,
        "sent_bytes": 512,
        "upstream_ms": 5.0,
        "session": "0" * 32,
        "action_id": "a" * 16,
    }


def test_a_line_that_tells_nothing_still_counts() -> None:
    bare = make.request(duration_ns=None, method=None, route=None, status=None, sent_bytes=None)
    assert points(bare)["http_request"].fields == {"requests": 1}


@pytest.mark.parametrize("route", ["/a\nb", "/a\\", "/a\r\n"])
def test_a_route_that_line_protocol_cannot_say_is_mended(route: str) -> None:
    line = to_line(points(make.request(route=route))["http_request"])
    assert "\n" not in line
    assert from_line(line).tags


def test_a_marker_stands_at_its_corrected_time() -> None:
    made = points(make.marker(wall_ns=T0, offset_ns=-5_000_000), tie=3, session=make.session(role="reader"))["action_event"]
    assert made.time_ns == T0 - 5_000_000 + 3
    assert dict(made.tags)["phase"] == "begin"
    assert made.fields["wall_ns"] == T0


def test_a_real_persons_marker_says_that_somebody_is_there_and_not_what_was_done() -> None:
    real = points(make.marker(), session=make.session(source="extension", role="reader"))["action_event"]
    assert {name for name, _ in real.tags} == {"site", "engine_host", "phase", "source"}
    assert not {"action_id", "setup", "run"} & set(real.fields)
    played = points(make.marker(), session=make.session(source="replay", role="reader"))["action_event"]
    assert {("action", make.marker().action), ("role", "reader")} <= set(played.tags)
    assert played.fields["action_id"] == make.marker().action_id


def test_a_rating_names_nobody() -> None:
    made = points(make.rating(score=4), action="open_viewer", session=make.session(source="extension", role="reader"))["rating"]
    assert made.fields == {"ratings": 1, "score": 4}
    assert dict(made.tags) | {"action": "open_viewer", "role": "reader", "source": "extension"} == dict(made.tags)


def test_a_gap_that_lasts_and_one_that_is_over_are_the_same_point() -> None:
    lasting, over = points(make.gap())["gap"], points(make.gap(end_ns=T0 + SECOND))["gap"]
    assert (lasting.tags, lasting.time_ns) == (over.tags, over.time_ns)
    assert (lasting.fields["lasting"], over.fields["lasting"]) == (True, False)
    assert over.fields["duration_ms"] == 1000.0
    assert "time_end" not in lasting.fields


def test_own_health_is_floats_and_words() -> None:
    point = self_point("writer", {"depth": 3, "commit_ms_p50": 0.5, "last_error": "none"}, CONTEXT, T0)
    assert dict(point.tags)["part"] == "writer"
    assert point.fields == {"depth": 3.0, "commit_ms_p50": 0.5, "last_error": "none"}
    assert type(point.fields["depth"]) is float


# line protocol


def line(**fields: object) -> str:
    return to_line(Point("m", (("k", "v"),), fields, 1))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1i"),
        (-(2**63), "-9223372036854775808i"),
        (True, "true"),
        (1.0, "1.0"),
        (1e300, "1e+300"),
        ('say "a\\b"', '"say \\"a\\\\b\\""'),
        ("a,b =c", '"a,b =c"'),
        ("", '""'),
    ],
)
def test_values(value: object, text: str) -> None:
    assert line(f=value) == f"m,k=v f={text} 1"


def test_names_and_tags_are_escaped() -> None:
    point = Point("a, b", (("k ,=", "v ,=\\x"),), {"f ,=": 1}, 1)
    assert to_line(point) == r"a\,\ b,k\ \,\==v\ \,\=\x f\ \,\==1i 1"
    assert from_line(to_line(point)) == point


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf, 2**63, -(2**63) - 1])
def test_what_is_no_value_is_left_out(value: object) -> None:
    assert line(f=value, g=1) == "m,k=v g=1i 1"
    assert line(f=value) == ""


@pytest.mark.parametrize("bad", ["", "a\n", "a\\", "#a"])
def test_what_cannot_be_said_is_an_error(bad: str) -> None:
    point = Point("m", (("k", "v"),), {"f": 1}, 1)
    for broken in (point._replace(measurement=bad), point._replace(fields={bad: 1})):
        with pytest.raises(InvalidRecordError, match="line protocol"):
            to_line(broken)


@pytest.mark.parametrize("text", ["", "m", "m f=1", "m f= 1", "m f=1i x", 'm f="a 1', "m,k f=1 1", "m,=v f=1 1", "m f=1x 1"])
def test_what_is_not_line_protocol_is_refused(text: str) -> None:
    with pytest.raises(InvalidRecordError, match="not line protocol"):
        from_line(text)


_plain = st.text(st.characters(codec="utf-8", exclude_characters="\n"), min_size=1, max_size=8).filter(
    lambda text: not text.endswith("\\") and not text.startswith("#")
)
_values = (
    st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans()
    | st.text(st.characters(codec="utf-8"), max_size=12)
)
_points = st.builds(
    Point,
    measurement=_plain,
    tags=st.dictionaries(_plain, _plain, max_size=3).map(lambda tags: tuple(sorted(tags.items()))),
    fields=st.dictionaries(_plain, _values, min_size=1, max_size=4),
    time_ns=st.integers(-(2**63), 2**63 - 1),
)


@given(point=_points)
def test_any_point_survives_the_line(point: Point) -> None:
    again = from_line(to_line(point))
    assert again == point
    assert [type(value) for value in again.fields.values()] == [type(value) for value in point.fields.values()]


@given(time_ns=st.integers(0, 2**63 - 1), tie=st.integers(0, 10**12))
def test_a_tie_moves_a_request_by_less_than_a_millisecond(time_ns: int, tie: int) -> None:
    point = points(replace(make.request(), start_ns=time_ns), tie=tie)["http_request"]
    assert abs(point.time_ns - time_ns) < 10**6
    assert point.time_ns < 2**63
