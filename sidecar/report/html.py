"""The report: one self-contained page of tables, curves, method and limits; no script, nothing fetched. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape

from sidecar.analysis.usage import COMBINED, COMBINED_OF, UsageRow, UsageTable
from sidecar.model.display import STYLE, digits
from sidecar.model.records import Action, Gap
from sidecar.report.svg import Look, Row, chart
from sidecar.report.tables import COLUMNS, label


@dataclass(frozen=True, slots=True, kw_only=True)
class Meta:
    """What the report is about; times in epoch nanoseconds, shown in UTC."""

    site: str
    version: str
    from_ns: int
    to_ns: int
    made_ns: int
    looks: Mapping[str, Look]
    run: str | None = None


def render_report(
    usage: UsageTable, series: Mapping[str, Sequence[Row]], actions: Sequence[Action], meta: Meta, gaps: Sequence[Gap] = ()
) -> str:
    """The page. `series` has each container's rows of `/api/v1/samples`; real people's actions must be left out by the caller
    where they are too few to be shown.
    """
    span = (meta.from_ns, max(meta.to_ns, meta.from_ns + 1))
    title = f"Tracemark report: {meta.site}" + (f", run {meta.run}" if meta.run else "")
    curves = "".join(
        f"<figure><figcaption><b>{escape(name)}</b> "
        '<span class="cpu">CPU, % of one core</span> <span class="memory">memory</span></figcaption>'
        f"{chart(name, rows, actions, gaps, meta.looks, span)}</figure>"
        for name, rows in series.items()
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<svg width="0" height="0" aria-hidden="true"><defs>
<pattern id="gap" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
<rect width="2" height="6" class="hatch"/></pattern>
</defs></svg>
<header>
<h1>{escape(title)}</h1>
<p>{_when(meta.from_ns)} to {_when(meta.to_ns)} UTC · {len(actions)} actions · made {_when(meta.made_ns)} UTC by Tracemark
{escape(meta.version)}</p>
</header>
<section>
<h2>What each action cost</h2>
{_tables(usage, meta)}
</section>
<section>
<h2>Resources over time</h2>
<p class="legend">{_legend(actions, meta)}</p>
{curves or "<p>No samples in this time.</p>"}
</section>
<section>
<h2>Load of the containers</h2>
{_loads(usage)}
</section>
<section>
<h2>Method and limits</h2>
{_method(usage)}
</section>
</body>
</html>
"""


def _when(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns // 10**9, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _tables(usage: UsageTable, meta: Meta) -> str:
    tables = [
        _table(f"Table {number}. Server load during {one.title} interactions", one.rows, meta)
        for number, one in enumerate(usage.tables, start=1)
    ]
    if not tables and usage.rows:
        tables = [_table("Server load during user actions", usage.rows, meta)]
    return "".join(tables) or "<p>No completed action in this time.</p>"


def _table(caption: str, rows: Sequence[UsageRow], meta: Meta) -> str:
    labels = {name: look.label for name, look in meta.looks.items()}
    heads = [text.partition("\n") for text, _ in COLUMNS]
    head = '<th scope="col">Operation</th><th scope="col" class="name">Container</th>' + "".join(
        f'<th scope="col">{escape(name)}<small>{escape(how)}</small></th>' for name, _, how in heads
    )
    body = []
    before = None
    for row in rows:
        first = row.action != before
        before = row.action
        name = f"{_swatch(row.action, meta)}{escape(label(row.action, labels))}" if first else ""
        cells = "".join(f"<td>{escape(show(row))}</td>" for _, show in COLUMNS)
        first_line = ' class="first"' if first else ""
        head_cells = f'<th scope="row">{name}</th><td class="name">{escape(row.container)}</td>'
        body.append(f"<tr{first_line}>{head_cells}{cells}</tr>")
    title = f"<caption>{escape(caption)}</caption>"
    return f"<table>{title}<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"


def _swatch(action: str, meta: Meta) -> str:
    parts = COMBINED_OF if action == COMBINED else (action,)
    colours = [meta.looks[name].colour for name in parts if name in meta.looks]
    return "".join(
        f'<svg class="swatch" viewBox="0 0 1 1" aria-hidden="true"><rect width="1" height="1" fill="{escape(colour)}"/></svg>'
        for colour in colours
    )


def _legend(actions: Sequence[Action], meta: Meta) -> str:
    seen = {action.action for action in actions}
    return " ".join(
        f"<span>{_swatch(name, meta)}{escape(look.label)}</span>" for name, look in meta.looks.items() if name in seen
    )


def _loads(usage: UsageTable) -> str:
    rows = "".join(
        f'<tr class="first"><th scope="row">{escape(one.container)}</th><td>{digits(one.total_cpu_seconds)}</td>'
        f"<td>{digits(one.unattributed_cpu_seconds)}</td>"
        f"<td>{'-' if one.idle_cores is None else f'{one.idle_cores:.3f}'}</td></tr>"
        for one in usage.loads
    )
    head = (
        "<tr><th>Container</th><th>CPU-s<small>in all</small></th><th>CPU-s<small>while no action was open</small></th>"
        "<th>Idle use<small>cores</small></th></tr>"
    )
    return f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>" if rows else "<p>No samples in this time.</p>"


METHOD = (
    "Every action has a begin and an end, told by the browser (extension or replay) or inferred from the access log. The"
    " browser's clock is brought to the sidecar's by an offset that was measured on the channel.",
    "CPU time is the difference of the container's own counter between begin and end, read between two samples by linear"
    " interpolation. A counter that falls is a restart: from there it counts from zero.",
    "Percent are of one core: 100 % is one core busy. The peak is the highest step between two samples; beside it stands the"
    " time spent above half the way from the mean to it.",
    "Memory is the kernel's usage without inactive file cache, as docker stats shows it. Sent bytes are those of the answers in"
    " the outermost access log.",
    "A gap in a curve is a known absence. An action whose edges the samples do not cover has no CPU-seconds; that is not zero.",
)


def _method(usage: UsageTable) -> str:
    return "<ul>" + "".join(f"<li>{escape(sentence)}</li>" for sentence in (*METHOD, *usage.notes)) + "</ul>"


_STYLE = (
    STYLE
    + """figure{margin:14px 0}figcaption span{margin-left:12px}figure svg{display:block;width:100%}
svg text{font-size:11px}svg text.cpu{fill:var(--cpu)}svg text.memory{fill:var(--memory)}svg text.time{fill:var(--ink2)}
svg .plot{fill:var(--plot)}svg .grid{stroke:var(--line);stroke-width:.6}
svg path{fill:none;stroke-width:1.5;stroke-linejoin:round}svg path.cpu{stroke:var(--cpu)}svg path.memory{stroke:var(--memory)}
.region{opacity:var(--alpha)}.region:hover{opacity:.6}.hatch{fill:var(--gap)}
.legend span{margin-right:14px}
"""
)
