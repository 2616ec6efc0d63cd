"""Runs the benchmarks one after another, each in a process of its own: figures and ratios measured in one run, no verdicts.

python -m tests.bench [--full] [NAME …]

They are cut short, so that all of them together take some minutes; with --full each is as long as it is by itself.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What a module of this package measures, and the options that make it short."""

    measures: str
    short: tuple[str, ...]


BENCHMARKS: Mapping[str, Benchmark] = {
    "sampling": Benchmark("CPU and memory of the collectors beside `docker stats`", ("--seconds", "5")),
    "markers": Benchmark(
        "markers acknowledged per second, and how long an acknowledgement takes", ("--seconds", "2", "--connections", "50")
    ),
    "access_log": Benchmark("log lines read and stored per second", ("--lines", "100000")),
    "journal": Benchmark("rows stored and read per second", ("--rows", "20000")),
    "packets": Benchmark("packets read per second, beside tshark and pyshark", ("--megabytes", "40")),
    "shipping": Benchmark("points shipped to InfluxDB per second", ("--records", "4000")),
    "extension_cost": Benchmark("what tagging costs the page beside none and Faro", ("--rounds", "1")),
    "http_replay": Benchmark(
        "protocol replay: server cost per action beside the browser, users per core",
        ("--pairs", "1", "--users", "10", "--scenario", "researcher"),
    ),
}


def main(argv: Sequence[str]) -> int:
    """Run what is named, or all; 1 when one of them could not be run to its end, which keeps none of the others from it."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="figures and ratios, no verdicts")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"not all of {', '.join(BENCHMARKS)}")
    parser.add_argument("--full", action="store_true", help="not cut short: half an hour and more")
    chosen = parser.parse_args(argv)
    if unknown := set(chosen.names) - set(BENCHMARKS):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}; there are: {', '.join(BENCHMARKS)}")
    outcomes = []
    for name in chosen.names or BENCHMARKS:
        benchmark = BENCHMARKS[name]
        print(f"\n== {name}: {benchmark.measures}", flush=True)
        began_s = time.monotonic()
        options = () if chosen.full else benchmark.short
        status = subprocess.run([sys.executable, "-m", f"tests.bench.{name}", *options], check=False).returncode
        outcomes.append((name, time.monotonic() - began_s, status))
    print(f"\n{'benchmark':<16} {'seconds':>8}  ended")
    for name, took_s, status in outcomes:
        print(f"{name:<16} {took_s:>8.0f}  {'well' if status == 0 else f'with {status}: see above'}")
    return int(any(status for *_, status in outcomes))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
