"""What every board has around its panels: variables, regions, links, and the places of panels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from grafana_foundation_sdk.models import common, dashboard

from grafana import style
from grafana.influxql import DATASOURCE, UID, Query, tag_values
from grafana.signals import actions
from grafana.signals.common import SITE
from sidecar.model.catalogue import load_catalogue

#: the folder of boards and alerts, and the tag that links boards to each other
FOLDER, FOLDER_UID, TAG = "Tracemark", "tracemark", "tracemark"
#: what is pushed into Grafana's own store (deployments, replayed runs) carries this tag
PUSHED_TAG = "tracemark"
WIDTH = 24

Variable = dashboard.VariableModel
Annotation = dashboard.AnnotationQuery
#: panels side by side: their height, and each with its width
Shelf = tuple[int, Sequence[tuple[dashboard.Panel, int]]]

_ALL = dashboard.VariableOption(selected=True, text=["All"], value=["$__all"])


def _variable(**given: Any) -> Variable:
    # The SDK would write what belongs to interval variables into every one.
    return Variable(auto=None, auto_min=None, auto_count=None, **given)


def _query(
    name: str, label: str, measurement: str, tag: str, about: str, *, many: bool, where: Sequence[str] = (SITE,)
) -> Variable:
    text = tag_values(measurement, tag, where)
    return _variable(
        type_val=dashboard.VariableType.QUERY,
        name=name,
        label=label,
        description=about,
        datasource=DATASOURCE,
        query=text,
        refresh=dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED,
        sort=dashboard.VariableSort.ALPHABETICAL_ASC,
        multi=many,
        include_all=many,
        all_value=".*" if many else None,
        current=_ALL if many else None,
    )


DATASOURCES = _variable(
    type_val=dashboard.VariableType.DATASOURCE,
    name="datasource",
    label="Data source",
    query="influxdb",
    current=dashboard.VariableOption(selected=True, text="Tracemark", value=UID),
)


def sites(measurement: str) -> Variable:
    """Which XNAT is looked at, of those that have that measurement."""
    return _query("site", "Site", measurement, "site", "The XNAT that is looked at.", many=False, where=())


def of_containers(measurement: str = "docker_container_cpu") -> tuple[Variable, ...]:
    """Variables of a board that draws containers of that measurement."""
    about = (
        "Where samples come from: cgroup (10 a second, the mean of each second), docker (frames, one a second), proc (plain "
        "processes). They tell of the same containers; one is drawn."
    )
    return (
        DATASOURCES,
        sites(measurement),
        _query("container", "Container", measurement, "container_name", "Containers to draw.", many=True),
        _query("samples", "Samples", measurement, "source", about, many=False),
    )


def servers(measurement: str = "http_request") -> Variable:
    """Which access log is shown."""
    return _query("server", "Access log", measurement, "server", "Each log has every request; one is shown.", many=False)


ACTIONS = _query("action", "Action", "action", "action", "Classes of actions.", many=True)
SOURCES = _variable(
    type_val=dashboard.VariableType.CUSTOM,
    name="source",
    label="Source",
    description="Real people (extension, access log), replayed sessions, or both.",
    query="all : .*, real : extension|access-log, replay : replay",
    current=dashboard.VariableOption(selected=True, text="all", value=".*"),
    options=[
        dashboard.VariableOption(selected=text == "all", text=text, value=value)
        for text, value in (("all", ".*"), ("real", "extension|access-log"), ("replay", "replay"))
    ],
)
SETUPS = _query("setup", "Setup", "action", "setup", "Network of the experiment: lan, vpn or wan.", many=True)
RUNS = _query("run", "Run", "action", "run", "Experiments.", many=True)
ONE_RUN = _query("run", "Run", "action", "run", "The experiment that is judged.", many=False)
BASELINE_RUN = _query("baseline", "Baseline", "action", "run", "The experiment that it is compared with.", many=False)
ROLES = _query("role", "Role", "transfer", "role", "Role of the scenario: researcher or radiologist.", many=True)
SCOPE = _query("scope", "Transfers of", "transfer", "scope", "Single actions, or whole repetitions.", many=False)
ROUTES = _query("route", "Route", "http_request", "route", "Paths without ids.", many=True)

OF_CONTAINERS = of_containers()
CONTAINERS = OF_CONTAINERS[2]
OF_ACTIONS = (ACTIONS, SOURCES, SETUPS, RUNS)


def action_regions() -> list[Annotation]:
    """One entry for each class of actions: an entry has one colour, and each action has its own everywhere."""
    return [
        _annotation(action.label, action.colour, Query(text=actions.regions(action.name), ref="Anno", result="table"))
        for action in load_catalogue().actions
    ]


def gap_regions() -> Annotation:
    """Where nothing was seen."""
    return _annotation("Gaps", style.GAP, Query(text=actions.GAP_REGIONS, ref="Anno", result="table"))


def pushed() -> Annotation:
    """Deployments and replayed runs that were pushed into Grafana's own store."""
    target = dashboard.AnnotationTarget(limit=100, match_any=False, tags=[PUSHED_TAG], type_val="tags")
    return Annotation(
        name="Deployments and runs",
        datasource=common.DataSourceRef(type_val="grafana", uid="-- Grafana --"),
        icon_color=style.SERVER,
        target=target,  # type: ignore[arg-type]  # the SDK's own target of this datasource is no Dataquery
        built_in=None,
    )


def _annotation(name: str, colour: str, query: Query) -> Annotation:
    return Annotation(name=name, datasource=DATASOURCE, icon_color=colour, target=query, built_in=None)


def frame(
    uid: str,
    title: str,
    about: str,
    *,
    variables: Sequence[Variable],
    shelves: Sequence[Shelf],
    annotations: Sequence[Annotation] = (),
    since: str = "now-1h",
    refresh: str = "10s",
) -> dashboard.Dashboard:
    """A board: shelves from top to bottom, panels numbered in reading order."""
    return dashboard.Dashboard(
        uid=uid,
        title=title,
        description=about,
        tags=[TAG],
        editable=False,
        graph_tooltip=dashboard.DashboardCursorSync.CROSSHAIR,
        time=dashboard.DashboardDashboardTime(from_val=since, to="now"),
        refresh=refresh,
        timepicker=dashboard.TimePickerConfig(refresh_intervals=["5s", "10s", "30s", "1m", "5m", "15m"]),
        templating=dashboard.DashboardDashboardTemplating(list_val=list(variables)),
        annotations=dashboard.AnnotationContainer(list_val=list(annotations)),
        links=[
            dashboard.DashboardLink(
                title="Tracemark",
                type_val=dashboard.DashboardLinkType.DASHBOARDS,
                icon="dashboard",
                tooltip="The other boards, with the same time and choices",
                tags=[TAG],
                as_dropdown=True,
                include_vars=True,
                keep_time=True,
            )
        ],
        panels=list(_placed(shelves)),
    )


def _placed(shelves: Sequence[Shelf]) -> list[dashboard.Panel]:
    placed: list[dashboard.Panel] = []
    top = 0
    for height, panels in shelves:
        left = 0
        for panel, width in panels:
            panel.id_val = len(placed) + 1
            panel.grid_pos = dashboard.GridPos(h=height, w=width, x=left, y=top)
            placed.append(panel)
            left += width
        if left != WIDTH:
            raise ValueError(f"a shelf is {left} wide and must be {WIDTH}: {[panel.title for panel, _ in panels]}")
        top += height
    return placed
