"""What Grafana is provisioned with: datasource, dashboard provider, alert rules, contact point. JSON's values as YAML's text.

Grafana replaces `$NAME` in these files by the environment, except in a rule's annotations and models. Nothing of the
site is replaced: folder, group and uids are ours, rules name their receiver themselves, and the tree of notification policies is
not touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from grafana.alerts import Alert, Ask, alerts
from grafana.boards import boards
from grafana.frame import FOLDER, FOLDER_UID
from grafana.influxql import UID

#: name of the contact point that is ours
RECEIVER = "Tracemark"
#: where the boards' JSON is mounted
DASHBOARDS = "/etc/grafana/tracemark/dashboards"
#: variables of the environment that these files need, and what they are for
ENVIRONMENT: Mapping[str, str] = {
    "TRACEMARK_GRAFANA_INFLUX_URL": "InfluxDB as Grafana reaches it: http://influxdb:8086; 3.x listens on 8181",
    "TRACEMARK_GRAFANA_INFLUX_PRODUCT": "InfluxDB OSS 1.x, InfluxDB OSS 2.x or InfluxDB OSS 3.x",
    "TRACEMARK_GRAFANA_INFLUX_BUCKET": "database (1.x, 3.x) or bucket (2.x)",
    "TRACEMARK_GRAFANA_INFLUX_LONG_BUCKET": "the same for what is kept long; the first one again where there is none",
    "TRACEMARK_GRAFANA_INFLUX_TOKEN": "read token (2.x, 3.x), or user:password (1.8 and newer); $__file{/path} reads "
    "it from a file",
    "TRACEMARK_GRAFANA_ALERT_TYPE": "kind of contact point: email, webhook, slack, teams, …",
    "TRACEMARK_GRAFANA_ALERT_URL": "where a webhook, slack or teams contact point posts; any URL where the kind is email",
    "TRACEMARK_GRAFANA_ALERT_ADDRESSES": "addresses of an email contact point; any address otherwise",
}


def provisioning() -> Mapping[str, str]:
    """Path below this folder to text."""
    return {
        "provisioning/datasources/tracemark.yaml": _yaml(
            "One file for InfluxDB 1.8, 2.x and 3.x: all of them take `Authorization: Token` and answer InfluxQL at /query.",
            datasources(),
        ),
        "provisioning/dashboards/tracemark.yaml": _yaml(f"Boards from {DASHBOARDS}, read-only in the browser.", provider()),
        "provisioning/alerting/tracemark-rules.yaml": _yaml("What to do is in each rule's annotation `runbook`.", rules()),
        "provisioning/alerting/tracemark-contact-point.yaml": _yaml(
            "Our own contact point; the site's policies stay as they are. An empty variable stops Grafana: give all three.",
            contact_point(),
        ),
    }


def datasources() -> dict[str, Any]:
    """All of recent days, and what is kept long."""
    made = [
        _datasource("Tracemark", UID, "$TRACEMARK_GRAFANA_INFLUX_BUCKET"),
        _datasource("Tracemark long", f"{UID}-long", "$TRACEMARK_GRAFANA_INFLUX_LONG_BUCKET"),
    ]
    return {"apiVersion": 1, "datasources": made}


def _datasource(name: str, uid: str, bucket: str) -> dict[str, Any]:
    return {
        "name": name,
        "uid": uid,
        "type": "influxdb",
        "access": "proxy",
        "url": "$TRACEMARK_GRAFANA_INFLUX_URL",
        "editable": False,
        "jsonData": {
            "product": "$TRACEMARK_GRAFANA_INFLUX_PRODUCT",
            "version": "InfluxQL",
            "dbName": bucket,
            "httpMode": "POST",
            "timeInterval": "1s",  # Grafana's default of 10 s would hide single seconds
            "httpHeaderName1": "Authorization",
        },
        "secureJsonData": {"httpHeaderValue1": "Token ${TRACEMARK_GRAFANA_INFLUX_TOKEN}"},
    }


def provider() -> dict[str, Any]:
    """Where boards are read from, and the folder that they stand in."""
    return {
        "apiVersion": 1,
        "providers": [
            {
                "name": "tracemark",
                "orgId": 1,
                "type": "file",
                "folder": FOLDER,
                "folderUid": FOLDER_UID,
                "disableDeletion": False,
                "allowUiUpdates": False,
                "updateIntervalSeconds": 30,
                "options": {"path": DASHBOARDS},
            }
        ],
    }


def contact_point() -> dict[str, Any]:
    """Who is told; settings that a kind does not know are ignored by it."""
    settings = {
        "url": "$TRACEMARK_GRAFANA_ALERT_URL",
        "addresses": "$TRACEMARK_GRAFANA_ALERT_ADDRESSES",
        "httpMethod": "POST",
    }
    return {
        "apiVersion": 1,
        "contactPoints": [
            {
                "orgId": 1,
                "name": RECEIVER,
                "receivers": [{"uid": "tracemark-alerts", "type": "$TRACEMARK_GRAFANA_ALERT_TYPE", "settings": settings}],
            }
        ],
    }


def rules() -> dict[str, Any]:
    """The rules in a group of their own."""
    panels = {(board.uid, panel.title): panel.id_val for board in boards() for panel in board.panels or ()}
    made = [_rule(alert, panels[alert.board, alert.panel]) for alert in alerts()]
    return {
        "apiVersion": 1,
        "groups": [{"orgId": 1, "name": "Tracemark", "folder": FOLDER, "interval": "1m", "rules": made}],
    }


def _rule(alert: Alert, panel_id: int | None) -> dict[str, Any]:
    refs = iter("ABCDEF")
    asked = [(next(refs), ask) for ask in alert.asks]
    data = [_asked(ref, ask) for ref, ask in asked]
    reduced = []
    for source, ask in asked:
        reduced.append(next(refs))
        data.append(_expression(reduced[-1], type="reduce", expression=source, reducer=ask.reduce, settings={"mode": "dropNN"}))
    judged = reduced[0]
    if len(reduced) == 2:
        judged = next(refs)
        data.append(_expression(judged, type="math", expression=f"${reduced[0]} / ${reduced[1]}"))
    condition = next(refs)
    evaluator = {"type": alert.wrong, "params": [alert.limit]}
    data.append(_expression(condition, type="threshold", expression=judged, conditions=[{"evaluator": evaluator}]))
    return {
        "uid": alert.uid,
        "title": alert.title,
        "condition": condition,
        "for": alert.lasts,
        "noDataState": alert.no_data,
        "execErrState": alert.on_error,
        "labels": {"severity": alert.severity, "product": "tracemark", **alert.labels},
        "annotations": {"summary": alert.summary, "runbook": alert.runbook},
        "dashboardUid": alert.board,
        "panelId": panel_id,
        "data": data,
        "notification_settings": {"receiver": RECEIVER, "group_by": ["grafana_folder", "alertname", "container_name"]},
    }


def _asked(letter: str, ask: Ask) -> dict[str, Any]:
    return {
        "refId": letter,
        "datasourceUid": UID,
        "relativeTimeRange": {"from": ask.since_s, "to": 0},
        "model": {
            "refId": letter,
            "datasource": {"type": "influxdb", "uid": UID},
            "rawQuery": True,
            "resultFormat": "time_series",
            "query": ask.text,
            "intervalMs": 1000,
            "maxDataPoints": 1000,
        },
    }


def _expression(letter: str, **model: Any) -> dict[str, Any]:
    return {
        "refId": letter,
        "datasourceUid": "__expr__",
        "relativeTimeRange": {"from": 0, "to": 0},
        "model": {"refId": letter, "datasource": {"type": "__expr__", "uid": "__expr__"}, **model},
    }


def _yaml(comment: str, value: Mapping[str, Any]) -> str:
    told = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=120)
    return f"# Written by grafana/build.py.\n# {comment}\n{told}"
