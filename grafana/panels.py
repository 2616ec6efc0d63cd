"""How things are drawn: one function per kind of panel. Units everywhere, gaps as gaps, no gauges, no pies."""

from __future__ import annotations

from collections.abc import Sequence

from grafana_foundation_sdk.models import (
    barchart,
    common,
    dashboard,
    histogram,
    stat,
    statetimeline,
    table,
    text,
    timeseries,
)

from grafana import style
from grafana.influxql import DATASOURCE, Query
from grafana.looks import Look, action_names, order, step

#: buckets that a curve asks for; Grafana rounds the interval, by less than half: at most 1751 points come
MAX_POINTS = 1000
#: a hole up to this long is a late sample, not a gap
SHORT_MS = 5000

_LEGEND = common.VizLegendOptions(
    display_mode=common.LegendDisplayMode.LIST, placement=common.LegendPlacement.BOTTOM, show_legend=True, calcs=[]
)
_TOOLTIP = common.VizTooltipOptions(mode=common.TooltipDisplayMode.MULTI, sort=common.SortOrder.DESCENDING)


def _panel(
    kind: str,
    title: str,
    about: str,
    queries: Sequence[Query],
    options: object,
    defaults: dashboard.FieldConfig,
    looks: Sequence[Look],
) -> dashboard.Panel:
    return dashboard.Panel(
        type_val=kind,
        title=title,
        description=about,
        datasource=DATASOURCE,
        targets=list(queries),
        options=options,
        field_config=dashboard.FieldConfigSource(defaults=defaults, overrides=[look.override() for look in looks]),
    )


def curves(
    title: str,
    about: str,
    queries: Sequence[Query],
    *,
    unit: str,
    looks: Sequence[Look] = (),
    axis: str = "",
    points: bool = False,
    interval: str = "1s",
    low: float | None = 0,
) -> dashboard.Panel:
    """Curves over time. Empty buckets come as nulls and stay holes unless they are short; `points` is for what is rare."""
    custom = timeseries.FieldConfig(
        draw_style=common.GraphDrawStyle.POINTS if points else common.GraphDrawStyle.LINE,
        line_width=1,
        fill_opacity=0 if points else 8,
        show_points=common.VisibilityMode.ALWAYS if points else common.VisibilityMode.NEVER,
        point_size=5,
        span_nulls=SHORT_MS,
        axis_label=axis or None,
    )
    defaults = dashboard.FieldConfig(
        unit=unit, min_val=low, custom=custom, color=dashboard.FieldColor(mode=dashboard.FieldColorModeId.PALETTE_CLASSIC_BY_NAME)
    )
    made = _panel("timeseries", title, about, queries, timeseries.Options(legend=_LEGEND, tooltip=_TOOLTIP), defaults, looks)
    made.max_data_points = MAX_POINTS
    made.interval = interval
    return made


def rows(
    title: str,
    about: str,
    queries: Sequence[Query],
    *,
    looks: Sequence[Look],
    steps: Sequence[dashboard.DataTransformerConfig],
    actions: bool = True,
    since: str = "",
) -> dashboard.Panel:
    """A table; a cell without a value stays empty. `since` is a window of its own."""
    defaults = dashboard.FieldConfig(
        decimals=2,
        mappings=action_names() if actions else None,
        custom=common.TableFieldOptions(align=common.FieldTextAlignment.AUTO, inspect=False),
    )
    options = table.Options(cell_height=common.TableCellHeight.SM)
    options.footer = None  # the SDK's footer is of an older Grafana
    made = _panel("table", title, about, queries, options, defaults, looks)
    made.transformations = list(steps)
    made.time_from = since or None
    return made


def number(
    title: str,
    about: str,
    queries: Sequence[Query],
    *,
    unit: str,
    since: str = "",
    limits: tuple[float, float] | None = None,
    none: str = "none seen",
) -> dashboard.Panel:
    """One number, or one per series; `since` is a window of its own, `limits` where it turns orange and vermilion."""
    steps = [dashboard.Threshold(value=None, color="text")]
    steps += [
        dashboard.Threshold(value=at, color=colour) for at, colour in zip(limits or (), (style.WARN, style.BAD), strict=False)
    ]
    defaults = dashboard.FieldConfig(
        unit=unit, no_value=none, thresholds=dashboard.ThresholdsConfig(mode=dashboard.ThresholdsMode.ABSOLUTE, steps=steps)
    )
    options = stat.Options(
        graph_mode=common.BigValueGraphMode.NONE,
        color_mode=common.BigValueColorMode.VALUE,
        justify_mode=common.BigValueJustifyMode.AUTO,
        text_mode=common.BigValueTextMode.AUTO,
        reduce_options=common.ReduceDataOptions(values=False, calcs=["lastNotNull"], fields=""),
        orientation=common.VizOrientation.AUTO,
        percent_change_color_mode=common.PercentChangeColorMode.STANDARD,
    )
    made = _panel("stat", title, about, queries, options, defaults, ())
    made.time_from = since or None
    return made


def lanes(title: str, about: str, query: Query, link: tuple[str, str]) -> dashboard.Panel:
    """Actions as bars, a lane for each session and class: what overlaps in one lane would be cut."""
    # The session makes the lane and is not shown: it would tell which actions are one person's.
    labels = "${__field.labels.lane}"
    defaults = dashboard.FieldConfig(
        display_name=labels, mappings=action_names(), custom=statetimeline.FieldConfig(fill_opacity=70, line_width=0)
    )
    options = statetimeline.Options(
        merge_values=False,
        row_height=0.9,
        show_value=common.VisibilityMode.AUTO,
        align_value=common.TimelineValueAlignment.LEFT,
        legend=_LEGEND,
        tooltip=common.VizTooltipOptions(mode=common.TooltipDisplayMode.SINGLE, sort=common.SortOrder.NONE),
    )
    made = _panel("state-timeline", title, about, [query], options, defaults, [Look(named="/.*/", link=link)])
    made.transformations = [
        step("sortBy", sort=[{"field": "Time"}]),  # asked newest first, for the limit; bars are drawn from left to right
        step("convertFieldType", conversions=[{"targetField": "timeEnd", "destinationType": "time"}]),
        step("partitionByValues", fields=["session", "lane"], keepFields=False, naming={"asLabels": True}),
    ]
    return made


def boxes(title: str, about: str, query: Query, *, by: str, unit: str, colour: str) -> dashboard.Panel:
    """Quartiles per group as stacked bars; the line between the two colours is the median. Grafana has no box plot of its own."""
    defaults = dashboard.FieldConfig(
        unit=unit, custom=barchart.FieldConfig(fill_opacity=80, line_width=1), mappings=action_names()
    )
    options = barchart.Options(
        x_field=by,
        orientation=common.VizOrientation.HORIZONTAL,
        stacking=common.StackingMode.NORMAL,
        show_value=common.VisibilityMode.NEVER,
        legend=_LEGEND,
        tooltip=_TOOLTIP,
    )
    made = _panel("barchart", title, about, [query], options, defaults, [
        Look(named="q1", clear=True),
        Look(named="q1 to median", colour=colour),
        Look(named="median to q3", colour=f"{colour}99"),
        Look(named="/^(min|max)$/", hidden=True),
    ])  # fmt: skip
    made.transformations = [order(by, "q1", "q1 to median", "median to q3", "min", "max")]
    return made


def stacks(
    title: str,
    about: str,
    query: Query,
    *,
    by: str,
    unit: str,
    looks: Sequence[Look] = (),
    steps: Sequence[dashboard.DataTransformerConfig],
) -> dashboard.Panel:
    """Parts of a whole per group, as stacked bars."""
    defaults = dashboard.FieldConfig(
        unit=unit,
        mappings=action_names(),
        custom=barchart.FieldConfig(fill_opacity=80, line_width=0),
        color=dashboard.FieldColor(mode=dashboard.FieldColorModeId.PALETTE_CLASSIC_BY_NAME),
    )
    options = barchart.Options(
        x_field=by,
        orientation=common.VizOrientation.HORIZONTAL,
        stacking=common.StackingMode.NORMAL,
        show_value=common.VisibilityMode.NEVER,
        legend=_LEGEND,
        tooltip=_TOOLTIP,
    )
    made = _panel("barchart", title, about, [query], options, defaults, looks)
    made.transformations = list(steps)
    return made


def distribution(title: str, about: str, query: Query, *, unit: str, colour: str) -> dashboard.Panel:
    """How often each value came."""
    defaults = dashboard.FieldConfig(
        unit=unit,
        custom=histogram.FieldConfig(fill_opacity=70, line_width=1),
        color=dashboard.FieldColor(mode=dashboard.FieldColorModeId.FIXED, fixed_color=colour),
    )
    return _panel(
        "histogram", title, about, [query], histogram.Options(legend=_LEGEND, tooltip=_TOOLTIP, bucket_count=30), defaults, ()
    )


def words(content: str) -> dashboard.Panel:
    """A short text on the board itself."""
    return dashboard.Panel(
        type_val="text",
        title="",
        description="",
        transparent=True,
        options=text.Options(mode=text.TextMode.MARKDOWN, content=content),
    )


def alert_list(title: str, about: str, folder_uid: str, folder: str) -> dashboard.Panel:
    """Alerts of our folder that fire or wait; the SDK has no model for this panel."""
    options = {
        "viewMode": "list",
        "groupMode": "default",
        "groupBy": [],
        "maxItems": 20,
        "sortOrder": 1,
        "dashboardAlerts": False,
        "alertName": "",
        "alertInstanceLabelFilter": "",
        "folder": {"uid": folder_uid, "title": folder},
        "stateFilter": {"firing": True, "pending": True, "noData": True, "normal": False, "error": True, "recovering": True},
    }
    return dashboard.Panel(type_val="alertlist", title=title, description=about, options=options)
