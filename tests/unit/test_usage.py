"""The usage table and the numbers in it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.analysis.join import Curve
from sidecar.analysis.load import load, quiet
from sidecar.analysis.summary import mean_interval, percentile, spread, student_quantile, student_tail
from sidecar.analysis.usage import usage_table
from sidecar.model.records import Action, ActionUsage, Outcome, Session, Source

S = 1_000_000_000
ORDER = ("login", "page_load", "download", "open_viewer", "logout")


@dataclass(frozen=True)
class Row:
    action: Action
    session: Session | None
    usage: Mapping[str, ActionUsage] = field(default_factory=dict)


def used(action_id: str, container: str, cpu: float | None, **more: object) -> ActionUsage:
    fields: dict[str, object] = {
        "cpu_percent_mean": None,
        "cpu_percent_peak": 50.0,
        "peak_duration_s": 1.0,
        "memory_bytes_peak": 1000,
        "memory_rise_bytes": 10,
        "rx_bytes": None,
        "tx_bytes": None,
        "throttled_seconds": None,
        "samples": 20,
        "hz": 10.0,
        "sample_source": "cgroup",
        "overlapped": 0,
        "requests": 4,
        "sent_bytes": 400,
    }
    return ActionUsage(action_id=action_id, container=container, cpu_seconds=cpu, **(fields | more))  # type: ignore[arg-type]


def row(
    name: str,
    cpu: float | None = 1.0,
    *,
    at: int = 0,
    length: float = 2.0,
    session: str = "session-1",
    role: str | None = "researcher",
    source: Source = "replay",
    outcome: Outcome = "completed",
    container: str = "web",
    **more: object,
) -> Row:
    action = Action(
        action_id=f"{name}-{session}-{at}",
        action=name,
        session=None if source == "access-log" else session,
        source=source,
        start_ns=at * S,
        duration_ns=round(length * S),
        outcome=outcome,
    )
    sitting = Session(session=session, source=source, client="test", started_ns=0, role=role)
    return Row(action, None if source == "access-log" else sitting, {container: used(action.action_id, container, cpu, **more)})


# -- numbers


def test_percentiles_are_those_of_the_textbook() -> None:
    assert percentile([1, 2, 3, 4], 0.5) == 2.5
    assert percentile([10], 0.95) == 10
    assert percentile([0, 10], 0.95) == pytest.approx(9.5)


# two-sided 90 %, from printed tables
@pytest.mark.parametrize(
    ("freedom", "quantile"), [(1, 6.314), (2, 2.920), (3, 2.353), (4, 2.132), (5, 2.015), (9, 1.833), (30, 1.697), (1000, 1.646)]
)
def test_students_quantile_agrees_with_the_printed_tables(freedom: int, quantile: float) -> None:
    assert student_quantile(0.95, freedom) == pytest.approx(quantile, rel=0.005)


@pytest.mark.parametrize("freedom", [1, 1.01, 1.5, 2, 2.9, 3, 4.7, 30])
def test_beyond_a_quantile_lies_what_it_says(freedom: float) -> None:
    """Degrees of freedom of a comparison are fractions, and with two restarts few."""
    assert student_tail(student_quantile(0.95, freedom), freedom) == pytest.approx(0.05, rel=0.005)


def test_the_interval_covers_the_true_mean_about_as_often_as_it_promises() -> None:
    draw = random.Random(7)
    inside = 0
    for _ in range(1000):
        estimate = mean_interval([draw.gauss(10, 2) for _ in range(5)])
        assert estimate is not None
        assert estimate.low is not None
        assert estimate.high is not None
        inside += estimate.low <= 10 <= estimate.high
    assert 0.87 < inside / 1000 < 0.93


def test_one_value_has_no_interval_and_none_has_no_estimate() -> None:
    alone = mean_interval([3.0])
    assert alone is not None
    assert (alone.estimate, alone.low, alone.high) == (3.0, None, None)
    assert mean_interval([]) is None
    assert spread([]) is None


def test_an_interval_of_what_cannot_be_negative_is_not_negative() -> None:
    estimate = mean_interval([0.0, 0.1, 5.0])
    assert estimate is not None
    assert estimate.low == 0.0


# -- load


def test_idle_is_what_was_used_while_no_action_was_open() -> None:
    curve = Curve([0, 10 * S, 20 * S, 30 * S], [0, S, 9 * S, 10 * S])  # 0.1 cores, 0.8, 0.1
    found = load("web", curve, [(10 * S, 15 * S), (12 * S, 20 * S)], 0, 30 * S)
    assert found is not None
    assert found.idle_cores == pytest.approx(0.1)
    assert found.total_cpu_seconds == pytest.approx(10)
    assert found.unattributed_cpu_seconds == pytest.approx(2)
    assert load("web", curve, [(-S, 40 * S)], 0, 30 * S).idle_cores is None  # type: ignore[union-attr]
    assert load("web", Curve([0], [0]), [], 0, S) is None


INTERVALS = st.lists(st.tuples(st.integers(-50, 150), st.integers(0, 60)).map(lambda pair: (pair[0], pair[0] + pair[1])))


@given(busy=INTERVALS)
def test_quiet_stretches_are_exactly_the_instants_that_no_action_holds(busy: list[tuple[int, int]]) -> None:
    stretches = quiet(busy, 0, 100)
    for instant in range(100):
        in_action = any(start <= instant < end for start, end in busy)
        assert any(start <= instant < end for start, end in stretches) is not in_action


# -- the table


def test_a_row_summarises_the_completed_actions_of_one_kind_on_one_container() -> None:
    rows = [
        row("open_viewer", 4.0, at=0, length=10, memory_bytes_peak=5000, cpu_percent_peak=100.0),
        row("open_viewer", 6.0, at=20, length=10, session="session-2", memory_bytes_peak=7000, cpu_percent_peak=500.0),
        row("open_viewer", 9.0, at=40, outcome="cancelled"),
    ]
    (found,) = usage_table(rows, order=ORDER).rows
    assert (found.action, found.container, found.count, found.measured) == ("open_viewer", "web", 2, 2)
    assert found.duration_s.p50 == 10
    assert found.cpu_seconds is not None
    assert found.cpu_seconds.estimate == 5.0
    assert found.cpu_seconds.low == pytest.approx(0.0, abs=1.4)
    assert found.cpu_seconds.high is not None
    assert found.cpu_seconds.high > 5
    assert found.cpu_percent_mean == pytest.approx(50)
    assert (found.cpu_percent_peak, found.cpu_percent_peak_max) == (300, 500)
    assert found.memory_bytes_peak == 7000
    assert found.sent_bytes == 400


def test_an_action_without_samples_counts_but_is_not_a_zero() -> None:
    table = usage_table([row("login", 2.0), row("login", None, at=9, session="session-2")])
    (found,) = table.rows
    assert (found.count, found.measured) == (2, 1)
    assert found.cpu_seconds is not None
    assert found.cpu_seconds.estimate == 2.0
    assert any("did not cover" in note for note in table.notes)


def test_rows_stand_in_the_order_of_the_catalogue() -> None:
    rows = [row(name, at=index * 10) for index, name in enumerate(["logout", "open_viewer", "login", "new_one"])]
    assert [found.action for found in usage_table(rows, order=ORDER).rows] == ["login", "open_viewer", "logout", "new_one"]


@given(order=st.permutations(range(8)))
def test_the_order_of_the_actions_changes_nothing(order: list[int]) -> None:
    rows = [row(("login", "download", "logout")[i % 3], i + 0.1, at=i * 10, session=f"session-{i % 2}") for i in range(8)]
    assert usage_table([rows[i] for i in order]) == usage_table(rows)


def test_the_researchers_table_shows_download_and_logout_as_their_sum_per_session() -> None:
    rows = [
        row("download", 10.0, at=0, length=30, cpu_percent_peak=500.0, peak_duration_s=2.0, session="session-1"),
        row("logout", 0.5, at=40, length=1, session="session-1"),
        row("download", 20.0, at=0, length=40, cpu_percent_peak=500.0, peak_duration_s=2.0, session="session-2"),
        row("logout", 0.5, at=50, length=1, session="session-2"),
        row("logout", 0.1, at=99, length=1, session="session-3"),  # had no download: it is in LOGOUT and not in the sum
        row("logout", 0.3, at=10, length=1, role="radiologist", session="session-4"),
    ]
    table = usage_table(rows, order=ORDER)
    assert [one.title for one in table.tables] == ["researcher", "radiologist"]
    researcher, radiologist = table.tables
    assert [found.action for found in researcher.rows] == ["download", "logout", "download_logout"]
    both = researcher.rows[-1]
    assert both.count == 2
    assert both.cpu_seconds is not None
    assert both.cpu_seconds.estimate == pytest.approx((10.5 + 20.5) / 2)
    assert both.duration_s.mean == pytest.approx(36)
    assert (both.cpu_percent_peak, both.peak_duration_s) == (500.0, 2.0)
    assert both.cpu_percent_mean == pytest.approx(100 * 31 / 72)
    assert both.sent_bytes == 800
    assert [found.action for found in radiologist.rows] == ["logout"]
    assert "download_logout" not in [found.action for found in table.rows]


# -- people


def people(number: int, *, again: int = 1) -> list[Row]:
    return [
        row("login", session=f"person-{i}", at=i * 10 + j, source="extension", role=None)
        for i in range(number)
        for j in range(again)
    ]


def test_fewer_real_persons_than_the_smallest_group_are_not_shown_however_often_they_acted() -> None:
    table = usage_table(people(4, again=10), min_group=5)
    assert table.rows == ()
    assert table.suppressed == ("login",)
    assert "fewer than 5 real persons" in " ".join(table.notes)


def test_enough_real_persons_are_shown() -> None:
    table = usage_table(people(5), min_group=5)
    assert [found.count for found in table.rows] == [5]
    assert table.suppressed == ()


def test_replayed_sessions_are_shown_and_few_people_beside_them_are_left_out_of_their_numbers() -> None:
    table = usage_table([*people(4), row("login", 7.0)], min_group=5)
    (found,) = table.rows
    assert found.count == 1
    assert found.cpu_seconds is not None
    assert found.cpu_seconds.estimate == 7.0


def test_a_role_with_few_real_persons_is_not_shown_even_where_all_roles_together_are() -> None:
    rows = [row("login", session=f"person-{i}", at=i, source="extension", role="a" if i < 2 else "b") for i in range(7)]
    table = usage_table(rows, min_group=5)
    assert [found.count for found in table.rows] == [7]
    assert [one.title for one in table.tables] == ["b"]


def test_actions_of_the_access_log_have_no_person_and_are_shown() -> None:
    assert len(usage_table([row("login", source="access-log")], min_group=5).rows) == 1


# -- what is said beside the numbers


def test_overlapping_actions_are_counted_and_the_reader_is_warned() -> None:
    table = usage_table([row("login", overlapped=2), row("login", at=50)])
    assert table.rows[0].overlapped == 1
    assert any("1 of 2 actions overlapped" in note and "too high" in note for note in table.notes)
    assert not any("overlapped" in note for note in usage_table([row("login")]).notes)


def test_the_json_form_has_the_fields_of_the_interface() -> None:
    curve = Curve([0, 100 * S], [0, 10 * S])
    loads = [found for name in ("web", "db") if (found := load(name, curve, [(0, 50 * S)], 0, 100 * S))]
    answer = usage_table([row("login")], loads=loads).as_json()
    assert answer["method"] == "window sum"
    assert answer["idle"] == {"db": pytest.approx(0.1), "web": pytest.approx(0.1)}
    assert answer["total_cpu_seconds"] == pytest.approx(20)
    assert answer["unattributed_cpu_seconds"] == pytest.approx(10)
    assert answer["rows"][0]["duration_s"] == {"mean": 2.0, "p50": 2.0, "p95": 2.0, "min": 2.0, "max": 2.0}
    assert answer["rows"][0]["cpu_seconds"] == {"estimate": 1.0, "low": None, "high": None}
    assert usage_table([]).as_json()["total_cpu_seconds"] is None
