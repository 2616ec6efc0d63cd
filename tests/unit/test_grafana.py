"""What is committed for Grafana: generated from the code, with queries and rules that are true to the schema of InfluxDB."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from grafana import build
from grafana.panels import MAX_POINTS
from grafana.provision import ENVIRONMENT
from sidecar.clock import ManualClock
from sidecar.config import load
from sidecar.model.measurements import SCHEMA
from sidecar.service import Service
from tests.support.grafana import GRAFANA, Asked, boards, interpolate, queries, round_interval, rules

BOARDS = {board["uid"]: board for board in boards()}
QUERIES = queries()
PANELS = [(uid, panel) for uid, board in BOARDS.items() for panel in board["panels"]]
every_query = pytest.mark.parametrize("asked", QUERIES, ids=str)


@pytest.fixture(scope="module")
def own_health(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, set[str]]:
    """What the parts of a real sidecar tell of themselves, by part."""
    folder = tmp_path_factory.mktemp("own")
    settings = {
        "TRACEMARK_JOURNAL": str(folder / "journal.sqlite"),
        "TRACEMARK_DOCKER": f"unix://{folder / 'no.sock'}",
        "TRACEMARK_NGINX_LOG": str(folder / "access.log"),
        "TRACEMARK_INFLUX_URL": "http://127.0.0.1:9",
        "TRACEMARK_HTTP": "127.0.0.1:0",
        "TRACEMARK_MARKERS": "127.0.0.1:0",
    }
    service = Service(load(settings), ManualClock())
    try:
        return {part: set(health) for part, health in service.health().items()}
    finally:
        service.stop()


# generated


def test_what_is_committed_is_what_is_generated() -> None:
    assert build.differences() == []


def test_a_board_that_was_edited_by_hand_is_named(tmp_path: Path) -> None:
    shutil.copytree(GRAFANA / "dashboards", tmp_path / "dashboards")
    shutil.copytree(GRAFANA / "provisioning", tmp_path / "provisioning")
    assert build.differences(tmp_path) == []
    edited = tmp_path / "dashboards/tracemark-overview.json"
    edited.write_text(edited.read_text().replace("Are we fine?", "Are we well?"))
    (tmp_path / "dashboards/mine.json").write_text("{}")
    (tmp_path / "provisioning/datasources/tracemark.yaml").unlink()
    assert build.differences(tmp_path) == [
        "provisioning/datasources/tracemark.yaml is missing",
        "dashboards/mine.json is not generated: remove it, boards are changed in grafana/*.py",
        "dashboards/tracemark-overview.json was edited by hand or is old",
    ]
    build.write(tmp_path)
    assert build.differences(tmp_path) == ["dashboards/mine.json is not generated: remove it, boards are changed in grafana/*.py"]


def test_the_command_checks_from_anywhere(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, GRAFANA / "build.py", "--check"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# queries


def quoted(text: str) -> set[str]:
    """Names in double quotes that must be in the schema: not those that a query inside gives to the one around it."""
    inner = text.partition(" FROM (")[2]
    return set(re.findall(r'"([^"]+)"', re.sub(r'AS "[^"]+"', "", text))) - set(re.findall(r'AS "([^"]+)"', inner))


@every_query
def test_names_are_those_of_the_schema(asked: Asked, own_health: Mapping[str, set[str]]) -> None:
    text = asked.text.replace("${container:raw}", "xnat-web")
    measurements = set(re.findall(r'FROM "(\w+)"', text))
    assert measurements
    assert measurements <= SCHEMA.keys()
    known = {name for measurement in measurements for name in (*SCHEMA[measurement].tags, *SCHEMA[measurement].fields)}
    if "tracemark_self" in measurements:
        part = re.search(r"\"part\" = '(\w+)'", text)
        told = own_health.values() if part is None else [own_health[part[1]]]
        known |= {field for fields in told for field in fields}
    per_container = [prefix for name in measurements for prefix in SCHEMA[name].per_container]
    unknown = {
        name for name in quoted(text) - measurements - known if not any(name == f"{prefix}xnat-web" for prefix in per_container)
    }
    assert not unknown
    for pattern in re.findall(r"\(/\^(\w+)/\)", text):
        assert pattern in per_container


@every_query
def test_no_query_is_without_a_time(asked: Asked) -> None:
    for clause in re.split(r"\bSELECT\b|\bSHOW TAG VALUES\b", asked.text)[1:]:
        where = clause.partition(" WHERE ")[2] or asked.text.rpartition(" WHERE ")[2]
        assert where.startswith(("$timeFilter", "time >= ${__from}ms - ")), clause


@every_query
def test_variables_are_those_of_the_board(asked: Asked) -> None:
    assert "$" not in interpolate(asked).replace("/^.*$/", "").replace(")$/", "").replace("$/", "")


@every_query
def test_one_source_of_samples_is_chosen(asked: Asked) -> None:
    """Frames and cgroup reads tell of the same counters: mixed in one series they could seem to fall."""
    if "docker_container" in asked.text and asked.text.startswith("SELECT"):
        chosen = re.search(r"\"source\" = '(\$samples|docker)'", asked.text)
        assert chosen or re.search(r'GROUP BY [^()]*(\([^)]*\))?[^()]*"source"', asked.text)


# how many points


def test_curves_ask_for_few_enough_points() -> None:
    asked = [panel["maxDataPoints"] for _, panel in PANELS if panel["type"] == "timeseries"]
    assert set(asked) == {MAX_POINTS}
    assert 8 * 3_600_000 // round_interval(8 * 3_600_000 / MAX_POINTS) == 960


@every_query
def test_rows_that_are_not_summed_up_are_limited(asked: Asked) -> None:
    if (
        asked.text.startswith("SELECT")
        and " GROUP BY " not in asked.text
        and not re.search(r"\w\(", asked.text.partition(" FROM ")[0])
    ):
        limit = re.search(r" ORDER BY time DESC LIMIT (\d+)$", asked.text)
        assert limit
        assert int(limit[1]) <= 2000


@given(st.integers(1_000, 800 * 86_400_000))
def test_no_window_gives_more_than_2000_points(window_ms: int) -> None:
    interval = max(1000, round_interval(window_ms / MAX_POINTS))
    assert window_ms / interval + 1 <= 2000


# alerts and provisioning


def test_rules_are_whole() -> None:
    found = rules()
    assert len({rule["uid"] for rule in found}) == len(found) >= 8
    for rule in found:
        assert all(len(rule["annotations"][name]) > 20 for name in ("summary", "runbook"))
        (panel,) = (one for one in BOARDS[rule["dashboardUid"]]["panels"] if one["id"] == rule["panelId"])
        assert panel["title"]
        assert rule["notification_settings"]["receiver"] == "Tracemark"
        refs = [step["refId"] for step in rule["data"]]
        assert len(set(refs)) == len(refs)
        assert rule["condition"] == refs[-1]
        for number, step in enumerate(rule["data"]):
            model = step["model"]
            assert model["refId"] == step["refId"]
            named = re.findall(r"\$?([A-Z])\b", model.get("expression", ""))
            assert set(named) <= set(refs[:number])
            assert bool(named) is (step["datasourceUid"] == "__expr__")
    # One rule, and not all of them at once, tells that nothing comes or that InfluxDB does not answer.
    told = {rule["uid"]: (rule["noDataState"], rule["execErrState"]) for rule in found}
    assert told.pop("tracemark-silent") == ("Alerting", "Alerting")
    assert set(told.values()) == {("OK", "KeepLast")}


def test_nothing_of_the_site_is_replaced() -> None:
    for path in (GRAFANA / "provisioning").rglob("*.yaml"):
        told = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert not {"policies", "resetPolicies", "deleteRules", "deleteContactPoints", "prune", "deleteDatasources"} & told.keys()
        assert told["apiVersion"] == 1
        assert not any(one.get("isDefault") for one in told.get("datasources", ()))
    groups = yaml.safe_load((GRAFANA / "provisioning/alerting/tracemark-rules.yaml").read_text(encoding="utf-8"))["groups"]
    assert [(group["name"], group["folder"]) for group in groups] == [("Tracemark", "Tracemark")]


def test_variables_of_the_environment_are_those_that_are_told() -> None:
    used = set()
    for path in (GRAFANA / "provisioning").rglob("*.yaml"):
        used |= set(re.findall(r"\$\{?(TRACEMARK_\w+)", path.read_text(encoding="utf-8")))
    assert used == ENVIRONMENT.keys()
    readme = (GRAFANA / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(TRACEMARK_\w+)` \| (.+) \|$", readme, re.MULTILINE) == list(ENVIRONMENT.items())


def test_the_datasource_asks_influxql_of_all_versions() -> None:
    sources = yaml.safe_load((GRAFANA / "provisioning/datasources/tracemark.yaml").read_text(encoding="utf-8"))["datasources"]
    assert [source["uid"] for source in sources] == ["tracemark", "tracemark-long"]
    for source in sources:
        assert (source["type"], source["access"], source["editable"]) == ("influxdb", "proxy", False)
        assert (source["jsonData"]["version"], source["jsonData"]["timeInterval"]) == ("InfluxQL", "1s")
        assert source["secureJsonData"] == {"httpHeaderValue1": "Token ${TRACEMARK_GRAFANA_INFLUX_TOKEN}"}
