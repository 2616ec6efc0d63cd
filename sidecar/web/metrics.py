"""The sidecar about itself in Prometheus' text format. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

Health = Mapping[str, Mapping[str, int | float | str]]
#: which parts are ready, and a line about each
Ready = Mapping[str, tuple[bool, str]]


def prometheus(health: Health, ready: Ready, version: str) -> str:
    """One gauge or counter per number that a part tells about itself, labelled with the part; text is left out.

    A name that ends in `_total` is a counter. Every series of a name stands together, as the format wants it.
    """
    series: dict[str, list[tuple[str, int | float]]] = {}
    for part, told in health.items():
        for name, value in told.items():
            if isinstance(value, (int, float)):
                series.setdefault(f"tracemark_{_name(name)}", []).append((part, value))
    lines = [
        "# HELP tracemark_build_info Version of the running sidecar.",
        "# TYPE tracemark_build_info gauge",
        f'tracemark_build_info{{version="{_label(version)}"}} 1',
        "# HELP tracemark_part_ready Whether a part of the sidecar does its work (1) or not (0).",
        "# TYPE tracemark_part_ready gauge",
        *(f'tracemark_part_ready{{part="{_label(part)}"}} {int(ok)}' for part, (ok, _) in sorted(ready.items())),
    ]
    for name in sorted(series):
        kind = "counter" if name.endswith("_total") else "gauge"
        lines += [f"# HELP {name} {name.removeprefix('tracemark_').replace('_', ' ')}, by part.", f"# TYPE {name} {kind}"]
        lines += [f'{name}{{part="{_label(part)}"}} {_number(value)}' for part, value in series[name]]
    return "\n".join(lines) + "\n"


def _name(text: str) -> str:
    return re.sub(r"[^a-zA-Z0-9_]", "_", text)


def _label(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: int | float) -> str:
    return str(int(value)) if isinstance(value, int) else repr(value).replace("inf", "Inf").replace("nan", "NaN")
