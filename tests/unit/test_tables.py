"""Usage tables for a terminal, as JSON and as CSV."""

from __future__ import annotations

import csv
import io
import json

import pytest

from sidecar.analysis.summary import Estimate
from sidecar.analysis.usage import UsageTable, usage_table
from sidecar.model.catalogue import load_catalogue
from sidecar.model.display import digits, percent, size
from sidecar.report.tables import as_csv, interval, label, render
from tests.unit.test_usage import ORDER, row

LABELS = {action.name: action.label for action in load_catalogue().actions}


def study() -> UsageTable:
    """Three researchers and two radiologists."""
    rows = []
    for i in range(3):
        name = f"session-{i}"
        rows += [
            row("page_load", 0.3 + i / 100, at=100 * i, session=name),
            row("page_load", 0.01, at=100 * i + 9, session=name, container="db"),
            row("download", 20.0 + i, at=100 * i + 20, length=25, session=name, cpu_percent_peak=500.0, peak_duration_s=2.0),
            row("logout", 0.1, at=100 * i + 60, length=0.8, session=name),
        ]
    rows += [
        row("open_viewer", 30.0 + i, at=1000 + 99 * i, length=15, session=f"viewer-{i}", role="radiologist") for i in range(2)
    ]
    return usage_table(rows, order=ORDER)


def test_the_terminal_shows_the_two_tables_of_the_study() -> None:
    text = render(study(), "table", LABELS)
    first, second = text.split("Table 2.")
    assert "Table 1. Server load during researcher interactions." in first
    assert "radiologist interactions" in second
    assert "OPEN VIEWER" in second
    assert "OPEN VIEWER" not in first
    lines = [line for line in first.splitlines() if line.startswith("DOWNLOAD & LOGOUT")]
    assert len(lines) == 1
    assert "25.8 (25.8)" in lines[0]
    assert "21.1" in lines[0]
    assert "500 (2.0)" in lines[0]


def test_columns_are_aligned_and_every_number_has_a_unit() -> None:
    lines = render(study(), "table", LABELS).splitlines()
    top, below, rule, *rows = lines[1:7]
    assert set(rule) == {"-"}
    assert max(len(line) for line in rows) == len(rule)
    for heading, how in (("Duration s", "p50 (p95)"), ("CPU-s", "mean (90 %)"), ("Consumption %", "mean"), ("Peak %", "p50 (s)")):
        assert below[: top.index(heading) + len(heading)].endswith(how)
    end = top.index("CPU-s") + len("CPU-s")
    assert all(line[end - 1] == ")" and line[end] == " " for line in rows)
    assert rows[0].rstrip().endswith(" B")


def test_an_operation_is_named_once_and_its_containers_below_each_other() -> None:
    lines = render(study(), "table", LABELS).splitlines()
    named = [number for number, line in enumerate(lines) if line.startswith("PAGE LOAD")]
    assert len(named) == 1
    assert lines[named[0]].split()[2] == "db"
    assert lines[named[0] + 1].split()[0] == "web"


def test_json_is_the_answer_of_the_api() -> None:
    assert json.loads(render(study(), "json", LABELS)) == json.loads(json.dumps(study().as_json()))


def test_csv_has_a_line_per_table_action_and_container_and_leaves_the_unknown_empty() -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(study()))))
    assert {line["table"] for line in rows} == {"all", "researcher", "radiologist"}
    (alone,) = [line for line in rows if (line["table"], line["action"], line["container"]) == ("researcher", "download", "web")]
    assert float(alone["cpu_seconds"]) == pytest.approx(21)
    assert float(alone["cpu_seconds_low"]) < 21 < float(alone["cpu_seconds_high"])
    table = usage_table([row("login", None)])
    (unknown,) = list(csv.DictReader(io.StringIO(as_csv(table))))[:1]
    assert (unknown["count"], unknown["measured"], unknown["cpu_seconds"]) == ("1", "0", "")


def test_actions_of_sessions_without_a_role_stand_in_a_table_of_their_own() -> None:
    text = render(usage_table([row("login", source="access-log"), row("logout")]), "table", LABELS)
    assert "Server load during other sessions' actions." in text
    assert "Server load during user actions." in render(usage_table([row("login", source="access-log")]), "table", LABELS)


def test_no_action_is_said_and_not_an_empty_grid() -> None:
    assert render(usage_table([]), "table", LABELS) == "No completed action in this range.\n"


def test_the_warning_about_overlap_is_printed() -> None:
    assert "overlapped with others" in " ".join(render(usage_table([row("login", overlapped=1)]), "table", LABELS).split())


def test_numbers_read_well() -> None:
    assert [digits(value) for value in (0, 0.01234, 0.5, 12.345, 1234.5)] == ["0", "0.0123", "0.500", "12.3", "1234"]
    assert [percent(value) for value in (None, 2.34, 34.5)] == ["-", "2.3", "34"]
    assert [size(value) for value in (None, 512, 1536, 2.5 * 2**30)] == ["-", "512 B", "1.50 KiB", "2.50 GiB"]
    assert interval(None) == "-"
    assert interval(Estimate(3, None, None)) == "3.00 (-)"
    assert interval(Estimate(3, 2, 4)) == "3.00 (2.00-4.00)"
    assert label("download_logout", LABELS) == "DOWNLOAD & LOGOUT"
    assert label("new_one", LABELS) == "NEW ONE"
