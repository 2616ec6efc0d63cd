"""How numbers and pages look, the same in every report: digits, units, aligned text, the colours of both modes. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

_BINARY = ("B", "KiB", "MiB", "GiB", "TiB")
_DECIMAL = ("B/s", "kB/s", "MB/s", "GB/s")


def digits(value: float, significant: int = 3) -> str:
    """Three significant digits without an exponent."""
    if value == 0:
        return "0"
    return f"{value:.{min(6, max(0, significant - 1 - math.floor(math.log10(abs(value)))))}f}"


def percent(value: float | None) -> str:
    """Percent, without its sign: a decimal below ten."""
    return "-" if value is None else f"{value:.0f}" if abs(value) >= 10 else f"{value:.1f}"


def size(value: float | None) -> str:
    """Bytes in binary units, as `docker stats` shows them."""
    if value is None:
        return "-"
    unit = 0
    while abs(value) >= 1024 and unit < len(_BINARY) - 1:
        value /= 1024
        unit += 1
    return f"{value:.0f} {_BINARY[unit]}" if unit == 0 else f"{digits(value)} {_BINARY[unit]}"


def rate_unit(highest: float) -> tuple[float, str]:
    """The decimal unit in which rates up to this one (bytes per second) read well: its size and its name."""
    step = 0
    while step < len(_DECIMAL) - 1 and highest >= 1000 ** (step + 1):
        step += 1
    return 1000.0**step, _DECIMAL[step]


def interval(estimate: float, low: float | None, high: float | None) -> str:
    """Estimate and interval: `12.4 (10.1-14.7)`."""
    return f"{digits(estimate)} ({'-' if low is None or high is None else f'{digits(low)}-{digits(high)}'})"


def nice(value: float, least: float) -> float:
    """The next of 1, 2, 4, 6, 8 or 10 times a power of ten, so that quarters of it read well."""
    value = max(value, least)
    power = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in (1, 2, 4, 6, 8, 10) if factor * power >= value - 1e-9)


def aligned(heads: Sequence[str], lines: Sequence[Sequence[str]], names: int = 1) -> str:
    """Aligned columns below heads of one or two lines; the first `names` columns to the left, numbers to the right."""
    tops = [head.partition("\n") for head in heads]
    rows = [[top for top, _, _ in tops], [below for _, _, below in tops], *lines]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        placed = enumerate(zip(cells, widths, strict=True))
        return "  ".join(cell.ljust(wide) if at < names else cell.rjust(wide) for at, (cell, wide) in placed).rstrip()

    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    return "\n".join([*filter(None, map(line, rows[:2])), rule, *map(line, lines), ""])


#: the look of a self-contained page: colours of both modes (contrast AA), type, tables
STYLE = """
:root{color-scheme:light dark;--page:#fff;--plot:#f8fafc;--ink:#17202a;--ink2:#52606d;--line:#d5dce4;--cpu:#0b5cad;
--memory:#b3261e;--gap:#7b8794;--alpha:.24}
@media (prefers-color-scheme:dark){:root{--page:#12181f;--plot:#0e1318;--ink:#e4eaf0;--ink2:#a3afbb;--line:#2b3641;
--cpu:#6cb4ff;--memory:#ff8f86;--gap:#8793a0;--alpha:.36}}
@media print{:root{color-scheme:light}}
body{max-width:1160px;margin:0 auto;padding:24px 20px 60px;background:var(--page);color:var(--ink);
font:14px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif;font-variant-numeric:tabular-nums}
h1{margin:0;font-size:22px}h2{margin:34px 0 8px;font-size:16px}p{margin:4px 0}li{margin:4px 0}
header p,.legend,small,caption{color:var(--ink2)}
table{width:100%;margin:10px 0 22px;border-collapse:collapse;font-size:13px}
caption{padding:4px 0;text-align:left;font-weight:600}
th,td{padding:3px 8px;text-align:right;white-space:nowrap;font-weight:400}
th:first-child,.name,th.name{text-align:left}th:first-child{width:200px}
tbody th{font-weight:600}thead th{border-bottom:1px solid var(--line);vertical-align:bottom;font-weight:600}
th small{display:block;font-weight:400}tr.first>*{border-top:1px solid var(--line)}
.cpu{color:var(--cpu)}.memory{color:var(--memory)}
.swatch{width:10px;height:10px;margin-right:5px;vertical-align:-1px}
"""
