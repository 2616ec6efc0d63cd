"""The HTTP API: answers, paging, and what it does not tell of few people."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from flask import Blueprint
from flask.testing import FlaskClient

from sidecar.clock import ManualClock
from sidecar.model.records import Action, Transfer
from sidecar.web.app import create_app
from tests.support.records import marker, session
from tests.support.web import Lab, S, Site, site
from tests.support.web_api import T0, get, rows_of

# -- answers


def test_containers_tell_the_journals_last_sample_and_the_engines_state(client: FlaskClient) -> None:
    rows = {row["name"]: row for row in get(client, "/api/v1/containers")["rows"]}  # type: ignore[attr-defined]
    assert list(rows) == ["xnat-db", "xnat-new", "xnat-nginx", "xnat-web"]
    assert rows["xnat-web"]["state"] == "running"
    assert rows["xnat-web"]["memory_limit_bytes"] == 4096 << 20
    assert rows["xnat-web"]["last_sample"]["time_ns"] == T0 + 120 * S - S // 10
    assert rows["xnat-new"]["last_sample"] is None
    assert rows["xnat-db"]["state"] is None


def test_samples_are_down_sampled_with_mean_and_max(client: FlaskClient) -> None:
    body = get(client, f"/api/v1/samples?container=xnat-web&from={T0}&to={T0 + 60 * S}&step=5s")
    assert (body["container"], body["step_ns"]) == ("xnat-web", 5 * S)
    rows = body["rows"]
    assert isinstance(rows, list)
    assert [row["time_ns"] for row in rows] == [T0 + i * 5 * S for i in range(12)]
    assert all(row["cpu_percent_max"] >= row["cpu_percent"] for row in rows)


def test_actions_carry_their_session_and_what_each_container_used(client: FlaskClient) -> None:
    rows = get(client, f"/api/v1/actions?from={T0}&action=open_viewer")["rows"]
    assert isinstance(rows, list)
    (row,) = rows
    assert (row["role"], row["setup"], row["run"], row["outcome"]) == ("radiologist", "lan", "run-1", "completed")
    assert row["clock_offset_ns"] == 1_200_000
    assert set(row["usage"]) == {"xnat-db", "xnat-nginx", "xnat-web"}
    assert row["usage"]["xnat-web"]["cpu_seconds"] > 10
    assert row["usage"]["xnat-web"]["sent_bytes"] == 88 << 20


def test_lists_are_paged_until_there_is_no_more(client: FlaskClient) -> None:
    whole = get(client, f"/api/v1/actions?from={T0}")["rows"]
    for path in ("actions", "requests"):
        seen: list[object] = []
        cursor = ""
        while True:
            page = get(client, f"/api/v1/{path}?from={T0}&limit=3{cursor}")
            rows = page["rows"]
            assert isinstance(rows, list)
            assert len(rows) <= 3
            seen += rows
            if page["next_cursor"] is None:
                break
            cursor = f"&cursor={page['next_cursor']}"
        assert isinstance(whole, list)
        assert len(seen) == len(whole)
        starts = [row["start_ns"] for row in seen]  # type: ignore[index]
        assert starts == sorted(starts)


def test_requests_tell_no_session(client: FlaskClient) -> None:
    rows = get(client, f"/api/v1/requests?from={T0}&limit=1")["rows"]
    assert isinstance(rows, list)
    assert {"start_ns", "duration_ns", "server", "method", "route", "status", "sent_bytes", "action_id"} <= set(rows[0])
    assert "session" not in rows[0]


def test_usage_has_rows_intervals_and_idle_use(client: FlaskClient) -> None:
    body = get(client, f"/api/v1/usage?from={T0}")
    rows = body["rows"]
    assert isinstance(rows, list)
    web = {row["action"]: row for row in rows if row["container"] == "xnat-web"}
    assert list(web)[:3] == ["login", "page_load", "filter_search"]
    assert web["page_load"]["cpu_seconds"]["low"] < web["page_load"]["cpu_seconds"]["high"]
    assert web["open_viewer"]["cpu_seconds"]["low"] is None
    idle = body["idle"]
    assert isinstance(idle, dict)
    assert 0.02 < idle["xnat-web"] < 0.06
    assert float(str(body["total_cpu_seconds"])) > float(str(body["unattributed_cpu_seconds"])) > 0
    assert body["method"] == "window sum"
    tables = body["tables"]
    assert isinstance(tables, list)
    assert [table["title"] for table in tables] == ["researcher", "radiologist"]


def test_transfers_tell_their_action_and_the_experiment(tmp_path: Path) -> None:
    with site(tmp_path, ManualClock(T0 + 60 * S)) as made:
        one = replace(session("s-replayed", run="run-1"), setup="wan", repetition=3)
        sizes: Any = {"duration_ns": S, "down_bytes": 900, "up_bytes": 30}
        captured = Transfer(
            session="s-replayed", action_id="action-01", start_ns=T0, packets=9, retransmitted=2, out_of_order=1, lost=0, **sizes
        )
        browsed = Transfer(
            session="s-replayed", action_id=None, start_ns=T0 + 1, packets=None, retransmitted=None, method="browser", **sizes
        )
        done = Action(
            action_id="action-01",
            action="login",
            session="s-replayed",
            source="replay",
            start_ns=T0,
            duration_ns=S,
            outcome="completed",
        )
        made.journal.append([one, done, captured, browsed])
        client = create_app(made.parts()).test_client()
        first = get(client, f"/api/v1/transfers?from={T0}&run=run-1&limit=1")
        (row,) = rows_of(first)
        assert (row["action"], row["method"], row["setup"], row["run"], row["repetition"]) == (
            "login",
            "capture",
            "wan",
            "run-1",
            3,
        )
        assert (row["packets"], row["retransmitted"], row["out_of_order"], row["lost"]) == (9, 2, 1, 0)
        (row,) = rows_of(get(client, f"/api/v1/transfers?from={T0}&cursor={first['next_cursor']}"))
        assert (row["action"], row["method"], row["packets"], row["down_bytes"]) == (None, "browser", None, 900)
        assert get(client, f"/api/v1/transfers?from={T0}&run=another")["rows"] == []


def test_gaps_tell_their_reason(client: FlaskClient) -> None:
    rows = get(client, f"/api/v1/gaps?from={T0}")["rows"]
    assert rows == [
        {
            "part": "cgroup",
            "subject": "xnat-db",
            "start_ns": T0 + 60 * S,
            "end_ns": T0 + 70 * S,
            "reason": "container restarted",
        }
    ]
    assert get(client, f"/api/v1/gaps?from={T0}&to={T0 + S}")["rows"] == []


def test_the_catalogue_gives_every_action_a_label_and_a_colour(client: FlaskClient) -> None:
    rows = get(client, "/api/v1/catalogue")["rows"]
    assert isinstance(rows, list)
    assert len(rows) == 11
    assert all(re.fullmatch("#[0-9A-Fa-f]{6}", row["colour"]) and row["label"] and len(row["mark"]) == 2 for row in rows)


def test_another_part_can_add_paths(filled: Site) -> None:
    more = Blueprint("more", __name__)
    more.add_url_rule("/api/v1/tickets", view_func=lambda: "ticket", methods=["POST"])
    filled.more = (more,)
    try:
        assert create_app(filled.parts()).test_client().post("/api/v1/tickets").text == "ticket"
    finally:
        filled.more = ()


# -- few people


def test_usage_of_few_real_persons_is_not_told(tmp_path: Path) -> None:
    with site(tmp_path, ManualClock(T0 + 900 * S)) as made:
        lab = Lab(T0, T0 + 900 * S)
        for number in range(4):
            lab.sit("researcher", 200.0 * number, source="extension")
        lab.fill(made.journal, lab.samples(T0, T0 + 900 * S, S))
        body = get(create_app(made.parts()).test_client(), f"/api/v1/usage?from={T0}")
        assert body["rows"] == []
        assert body["tables"] == []
        assert "login" in body["suppressed"]  # type: ignore[operator]
        made.min_group = 4
        assert get(create_app(made.parts()).test_client(), f"/api/v1/usage?from={T0}")["rows"] != []


def test_actions_of_few_real_persons_are_counted_and_not_told(tmp_path: Path) -> None:
    with site(tmp_path, ManualClock(T0 + 900 * S)) as made:
        lab = Lab(T0, T0 + 900 * S)
        for number in range(4):
            lab.sit("researcher", 150.0 * number, source="extension")
        lab.sit("radiologist", 700.0, source="replay")
        lab.fill(made.journal, [])
        client = create_app(made.parts()).test_client()
        body = get(client, f"/api/v1/actions?from={T0}")
        rows = body["rows"]
        assert {row["source"] for row in rows} == {"replay"}  # type: ignore[attr-defined]
        assert body["suppressed"] == len(lab.actions) - len(rows)  # type: ignore[arg-type]
        made.min_group = 4
        client = create_app(made.parts()).test_client()
        body = get(client, f"/api/v1/actions?from={T0}")
        assert len(body["rows"]) == len(lab.actions)  # type: ignore[arg-type]
        one = next(row["session"] for row in body["rows"] if row["source"] == "extension")  # type: ignore[attr-defined]
        body = get(client, f"/api/v1/actions?from={T0}&session={one}")
        assert body["rows"] == [], "one person's sitting is nobody's business"


def test_an_action_that_has_not_ended_is_told_where_the_range_reaches_to_now(tmp_path: Path) -> None:
    with site(tmp_path, ManualClock(T0 + 900 * S)) as made:
        made.journal.append([session("session-1", source="replay"), session("session-2", source="extension", role=None)])
        made.open_actions = [marker("a" * 16, "begin", 880, 1), marker("b" * 16, "begin", 890, 1, session="session-2")]
        client = create_app(made.parts()).test_client()

        def told(query: str) -> list[str]:
            rows: Any = get(client, f"/api/v1/actions?{query}")["open"]
            return [row["action_id"][0] for row in rows]

        assert told("from=-1m") == ["a"], "one real person alone is not told of"
        assert told("from=-1m&action=login") == []
        assert told("from=-1m&source=real") == []
        assert told(f"from={T0}&to={T0 + 800 * S}") == []
