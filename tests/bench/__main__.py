"""Runs the benchmarks one after another: figures and ratios measured in one run, no verdicts.

python -m tests.bench [NAME …]
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

#: module of this package -> what it measures
BENCHMARKS = {
    "sampling": "CPU and memory of the collectors beside `docker stats`",
    "markers": "markers acknowledged per second, and how long an acknowledgement takes",
    "access_log": "log lines read and stored per second",
    "journal": "rows stored and read per second",
    "packets": "packets read per second, beside tshark and pyshark",
    "shipping": "points shipped to InfluxDB per second",
    "extension_cost": "what tagging costs the page beside none and Faro",
    "http_replay": "protocol replay: server cost per action beside the browser, users per core",
}


def main(names: Sequence[str]) -> int:
    unknown = set(names) - set(BENCHMARKS)
    if unknown:
        print(f"no such benchmark: {', '.join(sorted(unknown))}; there are: {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    for name in names or BENCHMARKS:
        print(f"\n== {name}: {BENCHMARKS[name]}", flush=True)
        importlib.import_module(f"tests.bench.{name}").main([])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
