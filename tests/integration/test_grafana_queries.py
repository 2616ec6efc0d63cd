"""Every query of boards and alerts, asked of a real InfluxDB that the real shipper has filled."""

from __future__ import annotations

import re
import statistics
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest

from sidecar.model.catalogue import load_catalogue
from sidecar.model.records import Action, Session
from tests.support.grafana import NOW_MS, START_MS, Asked, evaluate, interpolate, queries, rules
from tests.support.grafana_site import HIDDEN, LONELY, MIN_GROUP, T0, MadeUpSite
from tests.support.influx import BUCKET, Influx, running_influx
from tests.support.web import S

pytestmark = pytest.mark.influx
QUERIES = queries()
#: what the newest run of the made-up site does at a higher price
DEARER = load_catalogue().names[4]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> MadeUpSite:
    return MadeUpSite(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def influx(tmp_path_factory: pytest.TempPathFactory, site: MadeUpSite) -> Iterator[Influx]:
    with running_influx(tmp_path_factory.mktemp("influx")) as influx:
        site.ship(influx)
        yield influx


def ask(influx: Influx, asked: Asked, from_ms: int = START_MS, to_ms: int = NOW_MS) -> list[dict[str, Any]]:
    return influx.query(interpolate(asked, from_ms, to_ms), BUCKET)


def the(board: str, place: str) -> Asked:
    (found,) = (asked for asked in QUERIES if asked.board == f"tracemark-{board}" and asked.place == place)
    return found


def table(series: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [one.get("tags", {}) | dict(zip(one["columns"], row, strict=True)) for one in series for row in one["values"]]


@pytest.mark.parametrize("asked", QUERIES, ids=str)
def test_every_query_returns_what_its_panel_shows(influx: Influx, asked: Asked) -> None:
    series = ask(influx, asked)
    assert series, "no rows"
    rows = table(series)
    if asked.text.startswith("SHOW"):
        assert all(row["value"] for row in rows)
        return
    empty = {column for column in series[0]["columns"] if all(dict(row).get(column) is None for row in rows)}
    assert not empty, f"columns without any value: {empty}"
    names = re.findall(r'AS "([^"]+)"', asked.text.rpartition(" FROM (")[0] or asked.text)
    if " FROM (" not in asked.text:
        assert set(names) <= set(series[0]["columns"])
    for tag in re.findall(r"\$tag_(\w+)", asked.alias):
        assert all(one["tags"][tag] for one in series)
    if not asked.table:
        assert all(set(one["columns"]) >= {"time"} and len(one["columns"]) > 1 for one in series)


def test_regions_are_the_actions_that_touch_the_window(influx: Influx, site: MadeUpSite) -> None:
    """Also those that began before it, and those that cover it."""
    longest = max(site.lab.actions, key=lambda action: action.duration_ns)
    from_ms = longest.start_ns // 10**6 + 2000
    to_ms = longest.end_ns // 10**6 - 2000
    assert to_ms > from_ms, "a window inside the longest action"
    found = [
        (row["title"], row["timeEnd"])
        for asked in QUERIES
        if asked.board == "tracemark-resources" and asked.place.startswith("annotation") and "Gaps" not in asked.place
        for row in table(influx.query(interpolate(asked, from_ms, to_ms), BUCKET))
    ]
    wanted = [
        (action.action, max(action.end_ns // 10**6, action.start_ns // 10**6 + 1))
        for action in site.lab.actions
        if action.start_ns // 10**6 <= to_ms and action.end_ns // 10**6 >= from_ms
    ]
    assert sorted(found) == sorted(wanted)
    assert (longest.action, longest.end_ns // 10**6) in found


def test_gaps_that_began_long_ago_or_last_are_drawn(influx: Influx) -> None:
    rows = table(ask(influx, the("resources", "annotation Gaps")))
    assert sorted(row["text"] for row in rows) == [
        "docker xnat-web: the engine was restarted",
        "nginx_log nginx: the log cannot be read",
        "sidecar: the sidecar was not running",
    ]
    assert {row["text"]: row["timeEnd"] for row in rows}["nginx_log nginx: the log cannot be read"] is None
    # After its end the old one is not drawn any more, the one that lasts is.
    later = table(ask(influx, the("resources", "annotation Gaps"), START_MS + 1_150_000))
    assert [row["text"] for row in later] == ["nginx_log nginx: the log cannot be read"]


@pytest.mark.parametrize("place", ["CPU and memory of $container CPU", "CPU and memory of $container Memory", "Network In"])
def test_a_gap_is_drawn_as_a_gap(influx: Influx, place: str) -> None:
    rows = [row for row in table(ask(influx, the("resources", place))) if row["container_name"] == "xnat-web"]
    (value,) = {*rows[0]} - {"time", "container_name"}
    hidden = [row[value] for row in rows if HIDDEN[0] + 2 * S <= row["time"] < HIDDEN[1] - 2 * S]
    assert len(hidden) > 10
    assert all(one is None for one in hidden)
    before = [row[value] for row in rows if HIDDEN[0] - 100 * S <= row["time"] < HIDDEN[0]]
    assert sum(one is not None for one in before) > 40


def test_rates_are_per_second(influx: Influx) -> None:
    for place, wanted in (
        ("Network In", 2_000),
        ("Network Out", 50_000),
        ("Block devices Read", 4_096),
        ("Block devices Written", 8_192),
    ):
        rows = table(ask(influx, the("resources", place)))
        known = [row["mean"] for row in rows if row["container_name"] == "xnat-db" and row["mean"] is not None]
        assert statistics.fmean(known) == pytest.approx(wanted, rel=0.01), place
    throttled = [
        row["mean"] for row in table(ask(influx, the("resources", "Throttled by a CPU limit A"))) if row["mean"] is not None
    ]
    assert statistics.fmean(throttled) == pytest.approx(5, rel=0.05)


def test_costs_are_those_of_the_journal(influx: Influx, site: MadeUpSite) -> None:
    rows = {row["action"]: row for row in table(ask(influx, the("costs", "$container A")))}
    points = influx.points("action")
    values = defaultdict(list)
    for point in points:
        if "cpu_seconds_xnat-web" in point.fields:  # unknown where the action lies in the gap
            values[dict(point.tags)["action"]].append(float(point.fields["cpu_seconds_xnat-web"]))
    assert rows.keys() == values.keys() == {action.action for action in site.lab.actions}
    assert sum(map(len, values.values())) < len(points) == len(site.lab.actions)
    for name, every in values.items():
        row = rows[name]
        assert row["n"] == len(every)
        assert row["CPU"] == pytest.approx(statistics.fmean(every))
        if len(every) == 1:
            assert row["CPU low"] is None
        else:
            half = 1.645 * statistics.stdev(every) / len(every) ** 0.5
            assert (row["CPU low"], row["CPU high"]) == pytest.approx((row["CPU"] - half, row["CPU"] + half))


def test_people_and_replayed_sessions_are_told_apart(influx: Influx, site: MadeUpSite) -> None:
    rows = {place: table(ask(influx, the("baseline", f"Real people against replayed sessions {place}"))) for place in "AB"}
    replayed = sum(action.source == "replay" for action in site.lab.actions)
    assert sum(row["n baseline"] for row in rows["B"]) == replayed
    assert sum(row["n real"] for row in rows["A"]) == len(site.lab.actions) - replayed


def test_variables_offer_what_there_is(influx: Influx) -> None:
    def offered(board: str, name: str) -> list[str]:
        return sorted(row["value"] for row in table(ask(influx, the(board, f"variable {name}"))))

    assert offered("resources", "container") == ["xnat-db", "xnat-nginx", "xnat-web"]
    assert offered("resources", "samples") == ["cgroup", "docker"]
    assert offered("resources", "setup") == ["lan", "vpn"]
    assert offered("baseline", "run") == ["run-1", "run-2"]
    assert offered("network", "role") == ["radiologist", "researcher"]
    assert offered("overview", "site") == ["lab"]


def test_eight_hours_of_ten_containers_are_at_most_2000_points_a_series(influx: Influx) -> None:
    """One a second of each, as shipped."""
    influx.create("long")
    begin_s, hours = T0 // S, 8 * 3600
    for container in range(10):
        head = (
            f"docker_container_cpu,container_name=c{container},cpu=cpu-total,engine_host=h,site=lab,source=cgroup usage_percent="
        )
        network = f"docker_container_net,container_name=c{container},network=total,engine_host=h,site=lab,source=docker rx_bytes="
        lines = [f"{head}{second % 200} {(begin_s + second) * S}" for second in range(hours)]
        if container == 0:
            lines += [f"{network}{second * 10}i {(begin_s + second) * S}" for second in range(hours)]
        influx.write("long", *lines)
    window = (begin_s * 1000, (begin_s + hours) * 1000)
    cpu = influx.query(interpolate(the("resources", "CPU and memory of $container CPU"), *window), "long")
    assert len(cpu) == 10
    for series in cpu:
        assert 500 < len(series["values"]) <= 2000
        known = [mean for _, mean in series["values"] if mean is not None]
        assert statistics.fmean(known) == pytest.approx(99.5, abs=0.5)
    (network_in,) = influx.query(interpolate(the("resources", "Network In"), *window), "long")
    assert 500 < len(network_in["values"]) <= 2000
    assert {mean for _, mean in network_in["values"]} <= {10, None}


def test_no_answer_over_eight_hours_has_more_than_2000_points_a_series(influx: Influx) -> None:
    """Empty buckets are points, too: the window alone makes them."""
    from_ms = NOW_MS - 8 * 3_600_000
    longest = {str(asked): max(len(one["values"]) for one in ask(influx, asked, from_ms, NOW_MS)) for asked in QUERIES}
    assert {place: points for place, points in longest.items() if points > 2000} == {}
    assert max(longest.values()) > 900


def test_the_long_view_tells_the_same_as_single_samples(influx: Influx) -> None:
    """Ten whole minutes, from roll-ups and from samples."""
    window = (START_MS + 600_000, START_MS + 1_200_000 - 1)
    means = [
        statistics.fmean(
            row["mean"] for row in table(ask(influx, asked, *window)) if row["container_name"] == "xnat-nginx" and row["mean"]
        )
        for asked in (the("long", "CPU Mean"), the("resources", "CPU and memory of $container CPU"))
    ]
    assert means[0] == pytest.approx(means[1], rel=0.02)


def firing(influx: Influx, now_ms: int) -> dict[str, list[dict[str, str]]]:
    """Rules whose condition holds for some series, with these series' labels."""
    judged = {rule["uid"]: evaluate(rule, lambda asked: ask(influx, asked, to_ms=now_ms)) for rule in rules()}
    return {
        uid: [dict(labels) for labels, wrong in every.items() if wrong] for uid, every in judged.items() if any(every.values())
    }


def test_nobody_is_seen_alone(influx: Influx, site: MadeUpSite) -> None:
    """What fewer people do than make a group is nowhere in InfluxDB, so no board and nobody who asks it can show it."""
    assert len([record for record in site.lonely if isinstance(record, Action)]) == MIN_GROUP - 1
    every = {dict(point.tags)["action"] for point in influx.points("action") if dict(point.tags)["source"] == "extension"}
    assert every
    assert LONELY not in every
    alone = {record.session for record in site.lonely if isinstance(record, Session)}
    for measurement in ("action", "action_event", "rating", "transfer", "http_request"):
        assert not [point for point in influx.points(measurement) if point.fields.get("session") in alone], measurement
    real = [point for point in influx.points("action_event") if dict(point.tags)["source"] == "extension"]
    assert real
    assert not any("action" in dict(point.tags) or "action_id" in point.fields for point in real)


def test_ratings_are_those_that_were_given(influx: Influx) -> None:
    (row,) = (row for row in table(ask(influx, the("experience", "Ratings A"))) if row["role"] == "researcher")
    assert (row["action"], row["n"]) == ("login", 3)
    assert 2 <= row["worst"] <= row["mean"] <= 5


def test_headroom_tells_what_fits_beside_who_is_there(influx: Influx) -> None:
    (row,) = table(ask(influx, the("overview", "Users until the first limit A")))
    assert row["low"] <= row["headroom"] <= row["high"]
    assert row["headroom"] == pytest.approx(max(0, row["users that fit"] - row["users now"]))
    assert (row["first to end"], row["resource"]) == ("the machine", "cpu")
    assert row["because"].startswith("the machine, cpu: ")


def test_the_verdict_names_the_action_that_became_dearer(influx: Influx) -> None:
    rows = table(ask(influx, the("baseline", "Verdict on the newest run A")))
    assert {(row["action"], row["metric"]) for row in rows if row["verdict"] == "worse"} == {(DEARER, "cpu")}
    (row,) = (row for row in rows if (row["action"], row["metric"]) == (DEARER, "cpu"))
    assert row["low"] < 40 < row["high"] + 8
    assert (row["run"], row["baseline"], row["restarts"]) == ("after", "before", 5)


def test_a_run_that_began_again_is_a_route_change(influx: Influx) -> None:
    (row,) = table(ask(influx, the("network", "Route changes A")))
    assert (row["run"], row["setup"], row["role"], row["route changes"]) == ("run-2", "lan", "researcher", 1)


def test_alerts_fire_for_what_is_wrong_and_for_nothing_else(influx: Influx) -> None:
    """On the made-up site the viewer is slow and a log cannot be read."""
    assert firing(influx, NOW_MS) == {
        "tracemark-slow-open-viewer": [{"site": "lab", "action": "open_viewer"}],
        "tracemark-gap": [{"site": "lab", "part": "nginx_log"}],
        "tracemark-gap-lasts": [{"site": "lab", "part": "nginx_log"}],
        "tracemark-verdict": [{"site": "lab", "action": DEARER, "metric": "cpu"}],
    }
