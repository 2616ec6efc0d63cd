"""How single columns and series look, and what is done to rows before they are drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.models import dashboard

from sidecar.model.catalogue import load_catalogue

Override = dashboard.DashboardFieldConfigSourceOverrides


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How a named column or series differs from its panel's default; `named` is its name, or a regular expression in slashes."""

    named: str
    unit: str = ""
    colour: str = ""
    right: bool = False
    axis: str = ""
    hidden: bool = False
    title: str = ""
    link: tuple[str, str] | None = None
    width: int = 0
    dashed: bool = False
    clear: bool = False

    def override(self) -> Override:
        """The same as Grafana has it."""
        found = {
            "unit": self.unit or None,
            "color": {"mode": "fixed", "fixedColor": self.colour} if self.colour else None,
            "custom.axisPlacement": "right" if self.right else "left" if self.axis else None,
            "custom.axisLabel": self.axis or None,
            "custom.axisColorMode": "series" if self.axis and self.colour else None,
            "custom.hideFrom": {"legend": True, "tooltip": False, "viz": self.hidden} if self.hidden or self.clear else None,
            "custom.hidden": True if self.hidden else None,  # the same for tables, up to Grafana 12
            "custom.fillOpacity": 0 if self.clear else None,
            "custom.lineWidth": 0 if self.clear else None,
            "displayName": self.title or None,
            "links": [{"title": self.link[0], "url": self.link[1]}] if self.link else None,
            "custom.width": self.width or None,
            "custom.lineStyle": {"fill": "dash", "dash": [6, 4]} if self.dashed else None,
        }
        regex = self.named.startswith("/")
        return Override(
            matcher=dashboard.MatcherConfig(id_val="byRegexp" if regex else "byName", options=self.named),
            properties=[
                dashboard.DynamicConfigValue(id_val=key, value=value) for key, value in found.items() if value is not None
            ],
        )


def step(name: str, **options: object) -> dashboard.DataTransformerConfig:
    """One transformation."""
    return dashboard.DataTransformerConfig(id_val=name, options=options)


def order(
    *columns: str, drop: Sequence[str] = ("Time",), rename: Mapping[str, str] | None = None
) -> dashboard.DataTransformerConfig:
    """Columns in that order, without those that say nothing; the backend's order of tags is not stable."""
    return step(
        "organize",
        excludeByName=dict.fromkeys(drop, True),
        indexByName={name: number for number, name in enumerate(columns)},
        renameByName=dict(rename or {}),
    )


def side_by_side(left: str, right: str, *more: str) -> list[dashboard.DataTransformerConfig]:
    """Two queries per action as one table with the ratio of two columns, the largest first."""
    return [
        order("action"),
        step("joinByField", byField="action", mode="outer"),
        step(
            "calculateField",
            mode="binary",
            alias="ratio",
            binary={
                "left": {"matcher": {"id": "byName", "options": left}},
                "operator": "/",
                "right": {"matcher": {"id": "byName", "options": right}},
            },
        ),
        step("sortBy", sort=[{"field": "ratio", "desc": True}]),
        order("action", left, right, "ratio", *more),
    ]


def action_names() -> list[dashboard.ValueMapping]:
    """Every action under its label and in its colour."""
    return [
        dashboard.ValueMap(
            options={
                action.name: dashboard.ValueMappingResult(text=action.label, color=action.colour, index=number)
                for number, action in enumerate(load_catalogue().actions)
            }
        )
    ]


def action_looks() -> list[Look]:
    """Every series that has an action's name, under its label and in its colour."""
    return [Look(named=action.name, colour=action.colour, title=action.label) for action in load_catalogue().actions]
