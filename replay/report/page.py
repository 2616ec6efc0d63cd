"""Runs side by side as one self-contained page: box plots as inline SVG, tables, method; no script, nothing fetched. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from html import escape
from itertools import groupby

from replay.report import usage
from replay.report.boxes import figure
from replay.report.plots import actions_of, plots_of
from replay.report.runs import Run, notes_of
from replay.summary import SESSION, Quartiles, Row
from sidecar.model.catalogue import load_catalogue
from sidecar.model.display import STYLE, digits, rate_unit

METHOD = (
    "A repetition is one pass of a scenario by one virtual user, its log-in included. All repetitions of a run share one route:"
    " when the route changed, what was finished before does not count.",
    "Throughput: all bytes at the IP layer in one direction, divided by the time from the repetition's first packet to its last"
    " one. Where nothing was captured, sizes are what the browser says it sent and received, without what lies below HTTP; the"
    " table of runs says so.",
    "Duration of an action: from its begin marker to its end marker, by the monotonic clock of the machine that played it.",
    "Boxes reach from the lower to the upper quartile (linear interpolation, R's type 7) with a line at the median; whiskers"
    " reach to the furthest values within 1.5 interquartile ranges of the box, circles are values beyond. Of fewer than five"
    " values each is drawn, without a box. An axis is logarithmic, and says so, where values are more than 25-fold apart.",
    "CPU time is what the sidecar attributed to an action above idle, with a 90 % interval; percent are of one core. Memory is"
    " the kernel's usage without inactive file cache.",
)
_UNASKED = (
    "<p>What the actions cost the server is not known here: no sidecar was asked. Name one with <code>--sidecar URL</code>.</p>"
)


def render(runs: Sequence[Run], *, made_ns: int, version: str) -> str:
    """The page; `runs` are in the order of `read_runs`."""
    scenarios = [(name, list(of)) for name, of in groupby(runs, key=lambda run: run.manifest.scenario)]
    title = "Tracemark replay report: " + (runs[0].manifest.run if len(runs) == 1 else f"{len(runs)} runs")
    hosts = ", ".join(dict.fromkeys(run.manifest.host for run in runs))
    made = datetime.fromtimestamp(made_ns // 10**9, UTC).strftime("%Y-%m-%d %H:%M")
    notes = "".join(f"<li>{escape(note)}</li>" for note in notes_of(runs))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{STYLE}{_STYLE}</style>
</head>
<body>
<header>
<h1>{escape(title)}</h1>
<p>{escape(hosts)} · made {made} UTC by Tracemark {escape(version)}</p>
</header>
<section>
<h2>Runs</h2>
{_runs(runs)}
{f'<ul class="notes">{notes}</ul>' if notes else ""}
</section>
{"".join(_scenario(name, of) for name, of in scenarios)}
<section>
<h2>Method and limits</h2>
<ul>{"".join(f"<li>{escape(sentence)}</li>" for sentence in METHOD)}</ul>
</section>
</body>
</html>
"""


def _scenario(name: str, runs: Sequence[Run]) -> str:
    plots = plots_of(runs)
    named = [(run.setup, run.usage) for run in runs if run.usage]
    parts = [f"<section><h2>{escape(name.replace('_', ' ').capitalize())}</h2>"]
    if not plots:
        parts.append("<p>No repetition is finished yet: give the same <code>tracemark replay</code> command again to go on.</p>")
    rates = [figure(plot) for plot in plots if plot.unit != "s"]
    if rates:
        parts.append(f'<div class="pair">{"".join(rates)}</div>')
    parts += [figure(plot) for plot in plots if plot.unit == "s"]
    if plots:
        parts.append(_actions(runs))
    if named:
        parts.append(_usage(named))
    elif plots:
        parts.append(_UNASKED)
    return "".join([*parts, "</section>"])


def _runs(runs: Iterable[Run]) -> str:
    said = {"capture": "packet capture", "browser": "browser", "mixed": "capture and browser", "none": "none"}
    lines = []
    for run in runs:
        known, summary = run.manifest, run.summary
        hops = "not traced" if known.route is None else f"{len(known.route.hops)} hop{'s' * (len(known.route.hops) != 1)}"
        changed = f", changed {len(known.routes) - 1}×" if len(known.routes) > 1 else ""
        finished = f"{summary.finished} of {summary.wanted}" + (" (unfinished)" if run.unfinished else "")
        finished += f", {summary.users} users each" if summary.users > 1 else ""
        began = datetime.fromtimestamp(run.from_ns // 10**9, UTC).strftime("%Y-%m-%d %H:%M")
        cells = (known.scenario, run.setup, finished, str(summary.failed), str(summary.discarded), hops + changed)
        lines.append([known.run, *cells, said[summary.source], began])
    heads = [
        "Run", "Scenario", "Setup", "Repetitions\nfinished", "Attempts\nfailed", "Repetitions\ndiscarded", "Route",
        "Sizes from", "Begin\nUTC",
    ]  # fmt: skip
    return _table("", heads, lines, names=3)


def _actions(runs: Sequence[Run]) -> str:
    order = [*actions_of(runs), SESSION]
    rows = sorted(
        (
            (order.index(row.action), at, run, row)
            for at, run in enumerate(runs)
            for row in run.summary.rows
            if row.action in order
        ),
        key=lambda one: one[:2],
    )
    lines, before = [], None
    for _, _, run, row in rows:
        name = "" if row.action == before else "whole session" if row.action == SESSION else usage.label(row.action)
        before = row.action
        lines.append(
            [name, run.setup, str(row.count), _seconds(row.duration_s), _rate(row.down_rate), _rate(row.up_rate), _again(row)]
        )
    heads = [
        "Operation", "Setup", "n", "Duration s\np50 (p25-p75)", "Down\np50 (p25-p75)", "Up\np50 (p25-p75)",
        "Sent again\nor late",
    ]  # fmt: skip
    return _table("Durations, throughput and retransmissions per action", heads, lines, names=2, swatches=True)


def _usage(named: Sequence[tuple[str, Sequence[usage.UsageRow]]]) -> str:
    lines, before = [], None
    for action, container, setup, row in usage.in_order(named):
        name = "" if action == before else usage.label(action)
        before = action
        lines.append([name, container, setup, *(show(row) for _, show, _ in usage.COLUMNS)])
    heads = ["Operation", "Container", "Setup", *(head for head, _, _ in usage.COLUMNS)]
    classes = ["name", "name", "name", *(colour for _, _, colour in usage.COLUMNS)]
    return _table("Server load per action, as the sidecar saw it", heads, lines, names=3, swatches=True, classes=classes)


def _table(
    caption: str,
    heads: Sequence[str],
    lines: Sequence[Sequence[str]],
    *,
    names: int,
    swatches: bool = False,
    classes: Sequence[str] = (),
) -> str:
    def kind(at: int) -> str:
        own = classes[at] if at < len(classes) else ""
        return f' class="{own}"' if own else ' class="name"' if at < names else ""

    head = "".join(
        f'<th scope="col"{kind(at)}>{escape(top)}{f"<small>{escape(below)}</small>" if below else ""}</th>'
        for at, (top, _, below) in enumerate(one.partition("\n") for one in heads)
    )
    body = []
    for cells in lines:
        first = f'<th scope="row">{_swatch(cells[0]) if swatches else ""}{escape(cells[0])}</th>'
        rest = "".join(f"<td{kind(at)}>{escape(cell)}</td>" for at, cell in enumerate(cells[1:], start=1))
        body.append(f"<tr{' class=first' if cells[0] else ''}>{first}{rest}</tr>")
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    table = f"<table>{title}<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"
    return f'<div class="wide" tabindex="0" role="region" aria-label="{escape(caption or "Runs")}">{table}</div>'


def _swatch(label: str) -> str:
    colour = next((action.colour for action in load_catalogue().actions if action.label == label), None)
    if colour is None:
        return ""
    return f'<svg class="swatch" viewBox="0 0 1 1" aria-hidden="true"><rect width="1" height="1" fill="{escape(colour)}"/></svg>'


def _quartiles(value: Quartiles | None, show: Callable[[float], str], unit: str = "") -> str:
    return "-" if value is None else f"{show(value.median)}{unit} ({show(value.q1)}-{show(value.q3)})"


def _seconds(value: Quartiles | None) -> str:
    return _quartiles(value, digits)


def _rate(value: Quartiles | None) -> str:
    scale, unit = rate_unit(value.median if value else 0)
    return _quartiles(value, lambda rate: digits(rate / scale), f" {unit}")


def _again(row: Row) -> str:
    return "-" if row.retransmitted is None else str(row.retransmitted)


_STYLE = """
.wide{overflow-x:auto}.wide:focus-visible{outline:2px solid var(--cpu)}.notes{margin:0 0 14px;padding-left:18px}
.pair{display:grid;grid-template-columns:1fr 1fr;gap:0 36px}
figure{margin:14px 0 22px}figcaption{font-weight:600}figcaption small{font-weight:400}
.row{display:grid;grid-template-columns:minmax(110px,190px) 1fr 190px;column-gap:12px;align-items:center}
.pair .row{grid-template-columns:minmax(70px,140px) 1fr 170px}
.row b small{font-weight:400;overflow-wrap:anywhere}
.row span{color:var(--ink2);font-size:12px;text-align:right;white-space:nowrap}
.group{margin-top:8px;font-weight:600}.row svg{display:block;width:100%;overflow:visible}
.row svg text{font-size:11px;fill:var(--ink2)}.row .plot{fill:var(--plot)}.row .grid{stroke:var(--line);stroke-width:.6}
.row .line{stroke:var(--ink);stroke-width:1.2}.row .median{stroke:var(--ink);stroke-width:2.4}
.row .box{fill:var(--gap);fill-opacity:.55;stroke:var(--ink);stroke-width:1}
.row .value{fill:var(--page);stroke:var(--ink);stroke-width:1.2}
@media (max-width:900px){.pair{grid-template-columns:1fr}}
@media (max-width:640px){body{padding:16px 12px 40px}.row,.pair .row{grid-template-columns:1fr auto}
.row>svg{grid-column:1/-1;grid-row:2}.row.axis>*:not(svg){display:none}}
"""
