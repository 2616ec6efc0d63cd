"""Boards as committed: each panel explained, whole and in the colours of the actions; and the figures of the study."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from sidecar.config import load
from sidecar.model.catalogue import load_catalogue
from sidecar.model.points import PointContext, to_points
from sidecar.model.records import Action
from tests.support.grafana import GRAFANA, boards, queries

BOARDS = {board["uid"]: board for board in boards()}
QUERIES = queries()
PANELS = [(uid, panel) for uid, board in BOARDS.items() for panel in board["panels"]]
TABLES = [(uid, panel) for uid, panel in PANELS if panel.get("transformations")]
every_panel = pytest.mark.parametrize(("uid", "panel"), PANELS, ids=[f"{uid}: {panel['title']}" for uid, panel in PANELS])


# boards


def test_boards_are_those_that_were_asked_for() -> None:
    assert {uid: board["title"] for uid, board in BOARDS.items()} == {
        "tracemark-overview": "Overview",
        "tracemark-resources": "Resources and actions",
        "tracemark-costs": "What actions cost",
        "tracemark-network": "Network",
        "tracemark-requests": "Requests",
        "tracemark-baseline": "Baseline",
        "tracemark-experience": "Experience",
        "tracemark-long": "Long view",
        "tracemark-self": "Tracemark itself",
    }


@pytest.mark.parametrize("uid", BOARDS)
def test_a_board_is_classic_linked_and_has_a_place_for_each_panel(uid: str) -> None:
    board = BOARDS[uid]
    assert (board["schemaVersion"], board.get("id"), board["editable"], board["tags"]) == (42, None, False, ["tracemark"])
    (link,) = board["links"]
    assert (link["type"], link["tags"], link["includeVars"], link["keepTime"]) == ("dashboards", ["tracemark"], True, True)
    assert [panel["id"] for panel in board["panels"]] == list(range(1, len(board["panels"]) + 1))
    taken = Counter(
        (x, y)
        for place in (panel["gridPos"] for panel in board["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    )
    assert set(taken.values()) == {1}
    assert max(x for x, _ in taken) == 23


@every_panel
def test_a_panel_is_explained_and_has_units(uid: str, panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["description"].endswith((".", "?"))
    if panel["type"] in ("timeseries", "stat", "barchart", "histogram"):
        assert panel["fieldConfig"]["defaults"]["unit"]
    if panel["type"] == "table":
        united = [
            one["matcher"] for one in panel["fieldConfig"]["overrides"] if any(p["id"] == "unit" for p in one["properties"])
        ]
        for name in columns(panel):
            if name not in WITHOUT_UNIT:
                assert any(fits(matcher, name) for matcher in united), name


#: columns of words, and numbers that are part of a link
WITHOUT_UNIT = {
    "Time", "action", "source", "role", "setup", "run", "outcome", "route", "method", "status_class", "container_name", "part",
    "subject", "reason", "metric", "verdict", "baseline", "first to end", "resource", "because", "lasts still", "to",
}  # fmt: skip


def columns(panel: dict[str, Any]) -> set[str]:
    """Names of the columns that a table's queries give, before anything is renamed."""
    found = {"Time"}
    for target in panel["targets"]:
        outer = target["query"].partition(" FROM ")[0]
        found |= set(re.findall(r'AS "([^"]+)"', outer))
        found |= set(re.findall(r'(?:SELECT|,) "(\w+)"(?=,|$)', outer))
        if " GROUP BY " in target["query"]:
            found |= set(re.findall(r'"(\w+)"', target["query"].rpartition(" GROUP BY ")[2]))  # the last: of the outer query
    return found


def fits(matcher: dict[str, str], name: str) -> bool:
    if matcher["id"] == "byName":
        return matcher["options"] == name
    return re.search(matcher["options"].strip("/"), name) is not None


@pytest.mark.parametrize(("uid", "panel"), TABLES, ids=[f"{uid}: {panel['title']}" for uid, panel in TABLES])
def test_transformations_and_overrides_name_columns_that_there_are(uid: str, panel: dict[str, Any]) -> None:
    there = columns(panel)
    for step in panel["transformations"]:
        options = step["options"]
        named = {*options.get("indexByName", ()), *options.get("renameByName", ()), *options.get("fields", ())}
        named |= {options["byField"]} if "byField" in options else set()
        named |= {one["field"] for one in options.get("sort", ())}
        named |= {one["targetField"] for one in options.get("conversions", ())}
        if "binary" in options:
            named |= {options["binary"][side]["matcher"]["options"] for side in ("left", "right")}
        assert named <= there
        there |= {options["alias"]} if "alias" in options else set()
    for override in panel["fieldConfig"]["overrides"]:
        assert any(fits(override["matcher"], name) for name in there), override["matcher"]


def test_links_lead_to_boards_and_variables_that_there_are() -> None:
    text = json.dumps(list(BOARDS.values()))
    for uid, query in re.findall(r"/d/([\w-]+)\?([^\"]+)", text):
        variables = {one["name"] for one in BOARDS[uid]["templating"]["list"]}
        assert set(re.findall(r"var-(\w+)=", query)) <= variables
    assert {uid for uid, _ in re.findall(r"/d/([\w-]+)\?([^\"]+)", text)} == {
        "tracemark-resources",
        "tracemark-costs",
        "tracemark-requests",
    }


def test_a_region_leads_to_its_action() -> None:
    """A region has no data link: its text has links, relative to the board that it is on."""
    did = Action(
        action_id="action-01", action="open_viewer", session="session-1", source="replay",
        start_ns=10**18, duration_ns=3 * 10**9, outcome="completed",
    )  # fmt: skip
    (point,) = to_points(did, PointContext(site="lab", engine_host="host"))
    links = re.findall(r'<a href="\.\./([\w-]+)\?([^"]+)">', str(point.fields["linked"]))
    assert [uid for uid, _ in links] == ["tracemark-costs", "tracemark-resources"]
    assert "var-action" in links[0][1]
    assert {one["name"] for one in BOARDS["tracemark-costs"]["templating"]["list"]} >= {"action"}
    assert links[0][1] == "var-action=open_viewer"
    begin, end = (int(ms) for ms in re.findall(r"=(\d+)", links[1][1]))
    assert begin <= 10**12 < 10**12 + 3000 <= end <= 10**12 + 15_000
    entry = next(one for one in BOARDS["tracemark-resources"]["annotations"]["list"] if one["name"] == "OPEN VIEWER")
    assert '"linked" AS "text"' in entry["target"]["query"]


def test_cpu_is_blue_on_the_left_and_memory_red_on_the_right() -> None:
    (panel,) = (panel for _, panel in PANELS if panel["title"] == "CPU and memory of $container")
    cpu, memory = ({p["id"]: p["value"] for p in one["properties"]} for one in panel["fieldConfig"]["overrides"])
    assert (cpu["unit"], cpu["color"]["fixedColor"], cpu["custom.axisPlacement"]) == ("percent", "#0072B2", "left")
    assert (memory["unit"], memory["color"]["fixedColor"], memory["custom.axisPlacement"]) == ("bytes", "#C44E52", "right")


def test_each_class_of_actions_has_regions_in_its_own_colour() -> None:
    found = {one["name"]: one for one in BOARDS["tracemark-resources"]["annotations"]["list"]}
    for action in load_catalogue().actions:
        entry = found[action.label]
        assert (entry["iconColor"], entry["enable"]) == (action.colour, True)
        target = entry["target"]
        assert (target["rawQuery"], target["resultFormat"]) == (True, "table")
        # The names that Grafana's mapper looks for; a column called id would merge events, fromAnnotations would make points.
        assert re.findall(r'AS "(\w+)"', target["query"]) == ["timeEnd", "text", "title"]
        assert '"id"' not in target["query"]
        assert "fromAnnotations" not in target
        assert '"time_end" >= ${__from}' in target["query"]


@every_panel
def test_gaps_stay_open(uid: str, panel: dict[str, Any]) -> None:
    if panel["type"] == "timeseries" and panel["fieldConfig"]["defaults"]["custom"]["drawStyle"] == "line":
        assert panel["fieldConfig"]["defaults"]["custom"]["spanNulls"] == 5000
        assert all(re.search(r"fill\((null|0|none)\)$", target["query"]) for target in panel["targets"])


# the study


def test_every_figure_and_table_of_the_study_has_its_panel() -> None:
    readme = (GRAFANA / "README.md").read_text(encoding="utf-8")
    table = readme.partition("## The study's figures and tables\n")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line.startswith("|")][2:]
    titles = {(board["title"], panel["title"]) for board in BOARDS.values() for panel in board["panels"]}
    for row in rows:
        assert (row[2], row[3]) in titles, row
    told = {row[0] for row in rows}
    assert told == {"Fig 7 A, B", "Fig 7 C, D", "Fig 8 A, B", "Fig 9 A to D", "Table 1", "Table 2"}


#: what the study's figure or table shows -> texts that the queries of its panel must have, and variables that its board must have
SHOWN: Mapping[str, tuple[Sequence[str], Sequence[str]]] = {
    "Fig 7 A, B": (('mean("usage_percent")', 'max("usage")', 'GROUP BY time($__interval), "container_name"'), ("container",)),
    "Fig 7 C, D": (('mean("usage_percent")', 'max("usage")'), ("container",)),
    "Fig 8 A, B": (("down_bytes", "25) AS", "50) -", "75) -", 'GROUP BY "setup"'), ("role", "scope", "setup")),
    "Fig 9 A to D": (('mean("usage_percent")', 'max("usage")'), ("container", "run")),
    "Table 1": (
        ("cpu_seconds_", "CPU low", "CPU high", "CPU mean", "CPU peak", "peak lasts", "memory peak", "duration"),
        ("run",),
    ),
    "Table 2": (
        ("cpu_seconds_", "CPU low", "CPU high", "CPU mean", "CPU peak", "peak lasts", "memory peak", "duration"),
        ("run",),
    ),
}


@pytest.mark.parametrize("figure", SHOWN)
def test_the_panel_of_a_figure_asks_for_what_the_figure_shows(figure: str) -> None:
    readme = (GRAFANA / "README.md").read_text(encoding="utf-8")
    (row,) = (line for line in readme.splitlines() if line.startswith(f"| {figure} |"))
    _, _, board_title, panel_title = [cell.strip() for cell in row.strip("|").split("|")]
    (board,) = (board for board in BOARDS.values() if board["title"] == board_title)
    (panel,) = (panel for panel in board["panels"] if panel["title"] == panel_title)
    text = " ".join(target["query"] for target in panel["targets"])
    texts, variables = SHOWN[figure]
    assert [one for one in texts if one not in text] == []
    assert set(variables) <= {one["name"] for one in board["templating"]["list"]}
    if figure.startswith(("Fig 7", "Fig 9")):
        assert panel["repeat"] == "container"
        assert any('"timeEnd"' in one["target"]["query"] for one in board["annotations"]["list"] if "target" in one)


def test_the_targets_of_alerts_are_those_of_capacity() -> None:
    from grafana.alerts import TARGETS_S

    assert load({})["targets"] == TARGETS_S


def test_no_board_shows_whose_an_action_is() -> None:
    """Sessions make lanes and are counted; no panel's column, name or link tells one."""
    for asked in QUERIES:
        if '"session"' in asked.text and "count(distinct" not in asked.text:
            assert asked.place == "Actions by session A"
    (panel,) = (panel for _, panel in PANELS if panel["title"] == "Actions by session")
    assert "session" not in json.dumps(panel["fieldConfig"])
