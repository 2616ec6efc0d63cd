"""Alerts: one table of rules, each with its query, its threshold and what to do; no variables, since rules have none.

Buckets have a fixed width (rules know no panel), and every query has the time filter. Series of different sources of samples
stay apart; the notification is grouped by container, so that one container is one message.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from grafana.influxql import select
from grafana.signals.common import REAL, REPLAYED, tag

#: seconds that 95 of 100 actions may take; a site that wants others copies the rule
TARGETS_S: Mapping[str, int] = {
    "login": 5,
    "page_load": 5,
    "filter_search": 5,
    "open_viewer": 15,
    "change_scan": 8,
}
#: how much slower than the baseline is a regression
REGRESSION = 1.5
_CONTAINER = ("site", "container_name", "source")
_MINUTES = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A query over the last `since_s` seconds, reduced to one number per series."""

    text: str
    since_s: int
    reduce: str = "max"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One rule: it fires when the number (or, with two queries, their quotient) has been on the wrong side of `limit` "
    "for `lasts`."""

    uid: str
    title: str
    asks: Sequence[Ask]
    wrong: str
    limit: float
    lasts: str
    summary: str
    runbook: str
    board: str
    panel: str
    severity: str = "warning"
    no_data: str = "OK"
    #: what Grafana takes it for when the question itself fails
    on_error: str = "KeepLast"
    labels: Mapping[str, str] = field(default_factory=dict)


_MEMORY = select(['max("usage_percent")'], "docker_container_mem", group=_CONTAINER, every="1m", fill="none")
_CPU = select(
    ['mean("usage_percent") / mean("online_cpus")'],
    "docker_container_cpu",
    (tag("source", "docker"),),
    group=_CONTAINER,
    every="1m",
    fill="none",
)
_THROTTLED = select(
    ['non_negative_derivative(max("throttling_throttled_time"), 1s) / 10000000'],
    "docker_container_cpu",
    group=(*_CONTAINER, "engine_host"),
    every="1m",
    fill="none",
)
_BEHIND = select(['max("behind_s")'], "tracemark_self", (tag("part", "ship"),), group=("site",), every="1m", fill="none")
# Empty buckets count as 0 and the window is a day: a sidecar that falls silent beside another one keeps its series, at 0. Two
# buckets at once, because the newest has only just begun.
_SILENT = select(
    ['moving_average(count("cpu_seconds"), 2)'],
    "tracemark_self",
    (tag("part", "sidecar"),),
    group=("site",),
    every="5m",
    fill="0",
)
_SHORT = select(['max("short")'], "headroom", group=("site", "engine_host"), every="1m", fill="none")
_PROVEN = select(['count("code")'], "verdict", ('"code" = 1',), group=("site", "action", "metric"), every="1m", fill="none")
_GAPS = select(['count("reason")'], "gap", group=("site", "part"), every="1m", fill="none")
_BLIND = select(['count("reason")'], "gap", ('"lasting" = true',), group=("site", "part"), every="1d", fill="none")
_DROPPED = select(
    ['non_negative_difference(max("dropped"))'],
    "tracemark_self",
    (tag("part", "journal"),),
    group=("site",),
    every="1m",
    fill="none",
)


def _p95(where: Sequence[str], every: str) -> str:
    return select(['percentile("duration_ms", 95)'], "action", where, group=("site", "action"), every=every, fill="none")


def _slow(action: str, target_s: int) -> Alert:
    return Alert(
        uid=f"tracemark-slow-{action.replace('_', '-')}",
        title=f"p95 of {action} over {target_s} s",
        asks=[Ask(text=_p95((REAL, tag("action", action)), "15m"), since_s=30 * _MINUTES, reduce="last")],
        wrong="gt",
        limit=target_s * 1000,
        lasts="5m",
        summary=f"{action}: 95 of 100 take longer than {target_s} s",
        runbook="Open the board Experience and see whether all actions are slow (the server) or this one (its route). "
        "On Resources and actions, look at that time: is CPU at its limit, is a container throttled, does memory sit "
        "at its limit? "
        "On Requests, compare time in the server with time on the wire: a slow wire is not the server's.",
        board="tracemark-experience",
        panel="p95 of durations",
        labels={"action": action},
    )


def alerts() -> tuple[Alert, ...]:
    """All rules."""
    return (
        Alert(
            uid="tracemark-memory-limit",
            title="Container near its memory limit",
            asks=[Ask(text=_MEMORY, since_s=5 * _MINUTES, reduce="last")],
            wrong="gt",
            limit=90,
            lasts="5m",
            summary="A container uses more than 90 % of its memory limit",
            runbook="At 100 % the kernel kills the container's process. See on Overview which container it is and on What "
            "actions cost which "
            "actions raise its memory. For xnat-web compare the limit with Java's -Xmx: the limit must leave room above it. "
            "Raise the limit, or lower -Xmx; a steady rise over days is a leak: restart at a quiet hour and report it.",
            board="tracemark-overview",
            panel="Memory of its limit",
            severity="critical",
        ),
        Alert(
            uid="tracemark-cpu-saturated",
            title="CPU saturated",
            asks=[Ask(text=_CPU, since_s=5 * _MINUTES, reduce="last")],
            wrong="gt",
            limit=90,
            lasts="10m",
            summary="A container keeps more than 90 % of the machine's cores busy",
            runbook="Open Resources and actions: which actions are open meanwhile? Many users: the machine is at its capacity. "
            "None: look for a "
            "job of XNAT (archiving, pipelines) or a request that does not end (board Requests, routes that took most in all).",
            board="tracemark-overview",
            panel="CPU",
        ),
        Alert(
            uid="tracemark-cpu-throttled",
            title="CPU throttled",
            asks=[Ask(text=_THROTTLED, since_s=5 * _MINUTES, reduce="last")],
            wrong="gt",
            limit=20,
            lasts="10m",
            summary="A container waits more than 20 % of the time because of its CPU limit",
            runbook="The container's CPU limit (cpus in the compose file) makes users wait while the machine may be idle. "
            "Raise the limit or "
            "remove it; Throttled by a CPU limit on Resources and actions tells whether it helped.",
            board="tracemark-resources",
            panel="Throttled by a CPU limit",
        ),
        *(_slow(action, target_s) for action, target_s in TARGETS_S.items()),
        Alert(
            uid="tracemark-regression",
            title="Slower than the baseline",
            asks=[
                Ask(text=_p95((REAL,), "1h"), since_s=60 * _MINUTES, reduce="last"),
                Ask(text=_p95((REPLAYED,), "1d"), since_s=7 * 24 * 60 * _MINUTES, reduce="mean"),
            ],
            wrong="gt",
            limit=REGRESSION,
            lasts="30m",
            summary=f"Real p95 is more than {REGRESSION} times that of the replayed sessions of the last seven days",
            runbook="Open Baseline: is one action slower or all? Replay the scenario now: if the replay is slower too, the "
            "server has changed "
            "(see deployments on Overview); if it is as before, it is load or the users' network. `tracemark compare` "
            "says what is proven.",
            board="tracemark-baseline",
            panel="Real people against replayed sessions",
        ),
        Alert(
            uid="tracemark-verdict",
            title="Regression against the baseline",
            asks=[Ask(text=_PROVEN, since_s=10 * _MINUTES, reduce="last")],
            wrong="gt",
            limit=0,
            lasts="0s",
            summary="The newest replayed run is proven to be worse than the baseline",
            runbook="Open Baseline, table Verdict on the newest run: one action, or all of them? What changed between the two "
            "runs (deployments on Overview)? One action: its requests on Requests. All: the machine or the load; replay both in "
            "turn to know. When the change is wanted, name the new run in TRACEMARK_BASELINE_RUN.",
            board="tracemark-baseline",
            panel="Verdict on the newest run",
        ),
        Alert(
            uid="tracemark-headroom",
            title="Headroom below what is wanted",
            asks=[Ask(text=_SHORT, since_s=10 * _MINUTES, reduce="last")],
            wrong="gt",
            limit=0,
            lasts="10m",
            summary="Fewer users than TRACEMARK_HEADROOM_LEAST still fit until the first limit",
            runbook="Users until the first limit on Overview names the container and the resource that end first. cpu limit: "
            "raise it in the compose file. cpu: move other work away, or add cores. memory: raise the limit above Java's -Xmx. "
            "network: see Network. Then look whether one action costs more than it did (What actions cost).",
            board="tracemark-overview",
            panel="Users until the first limit",
        ),
        Alert(
            uid="tracemark-gap",
            title="Gap in what is seen",
            asks=[Ask(text=_GAPS, since_s=10 * _MINUTES)],
            wrong="gt",
            limit=0,
            lasts="0s",
            summary="A part of Tracemark could not see for a while",
            runbook="Open Tracemark itself, table Gaps: it names the part and the reason. docker: is the engine or the socket "
            "proxy there? "
            "access-log: may the sidecar still read the log folder? Then run tracemark check on the machine.",
            board="tracemark-self",
            panel="Gaps",
        ),
        Alert(
            uid="tracemark-gap-lasts",
            title="Gap that lasts",
            asks=[Ask(text=_BLIND, since_s=7 * 24 * 60 * _MINUTES, reduce="sum")],
            wrong="gt",
            limit=0,
            lasts="10m",
            summary="A part of Tracemark has seen nothing for ten minutes or more",
            runbook="Open Tracemark itself, table Gaps: where lasts still is true, part and reason say what to do. docker: start "
            "the engine or tracemark-socket-proxy. nginx_log, tomcat_log, xnat_log: the file is gone or may not be read; "
            "tracemark check names it and the remedy. Curves and costs of that time have a gap and no guess.",
            board="tracemark-self",
            panel="Gaps",
        ),
        Alert(
            uid="tracemark-lag",
            title="Delivery lags",
            asks=[Ask(text=_BEHIND, since_s=5 * _MINUTES, reduce="last")],
            wrong="gt",
            limit=300,
            lasts="10m",
            summary="Points reach InfluxDB more than five minutes late",
            runbook="After an outage this is normal and falls. If it rises, InfluxDB is slower than what is written: look at "
            "its disk and memory. "
            "Nothing is lost before the journal's retention (TRACEMARK_RETENTION_DAYS).",
            board="tracemark-self",
            panel="Delivery lag",
        ),
        Alert(
            uid="tracemark-dropped",
            title="Records dropped",
            asks=[Ask(text=_DROPPED, since_s=10 * _MINUTES)],
            wrong="gt",
            limit=0,
            lasts="0s",
            summary="The sidecar's queue was full and records were dropped",
            runbook="The disk of the journal is too slow or full: look at Journal queue on Tracemark itself and at the disk. "
            "Samples are dropped "
            "first, a gap tells from when to when; markers come again.",
            board="tracemark-self",
            panel="Lost in the journal",
        ),
        Alert(
            uid="tracemark-silent",
            title="No data from the sidecar",
            asks=[Ask(text=_SILENT, since_s=24 * 60 * _MINUTES, reduce="last")],
            wrong="lt",
            limit=0.1,
            lasts="1m",
            summary="Nothing has come from the sidecar for five minutes, or InfluxDB does not answer",
            runbook="Is the sidecar running (docker compose ps tracemark), does it reach InfluxDB (its log names the reason), "
            "is its token still "
            "valid? tracemark check tells all three. Is InfluxDB running, and does Grafana's datasource test well? What the "
            "sidecar collects meanwhile waits in its journal and is delivered later.",
            board="tracemark-self",
            panel="CPU and memory of the sidecar",
            severity="critical",
            no_data="Alerting",
            on_error="Alerting",
        ),
    )
