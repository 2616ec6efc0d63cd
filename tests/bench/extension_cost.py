"""What tagging costs the page: no extension, ours, and Grafana's Faro web SDK on the same pages, in turns.

    python -m tests.bench.extension_cost [--rounds N] [--only ours ...] [--calls]

A round is a person's way by native input in a fresh browser: project, search, session, viewer, scrolling, other scans, playing;
what is done later because of an action counts for it, until the next one begins. Times are CPU times of the page's main thread,
so that a machine that does other things too changes them less: all of it by Chromium's metrics, the scripts' by its trace of the
calls into them, with all that they call. Not in the scripts' figure is the browser's own work around them, such as making a
script's world in a new document: see the whole thread's. Faro's wrappers around the page's own functions are no such calls, so
that its figure is a lower bound. It instruments the page as its documentation has it and posts to this machine.
"""

from __future__ import annotations

import argparse
import gzip
import random
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from selenium import webdriver

from tests.bench.page_trace import Call, Trace, Window, within
from tests.bench.page_variants import VARIANTS, Collector, address_of, browser, faro_bundle
from tests.support.extension import SOURCE
from tests.support.extension_page import Person, Truth
from tests.support.extension_page_steps import Visit
from tests.support.extension_together import Journal, Place, place
from tests.support.waiting import wait_until

#: that are measured in one round
ACTIONS = 10
#: what an action still makes the page do after the last one
SETTLE_S = 2.5
RESAMPLES = 1000


@dataclass
class Round:
    """What one round of one variant came to; milliseconds, of each action in turn."""

    thread_ms: list[tuple[str, float]] = field(default_factory=list)
    script_ms: list[tuple[str, float]] = field(default_factory=list)
    lasted_ms: list[float] = field(default_factory=list)
    long_tasks: list[float] = field(default_factory=list)
    inputs_ms: list[float] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    loaded: set[str] = field(default_factory=set)
    sent: int = 0
    messages: int = 0

    @property
    def script_mean(self) -> float:
        """Milliseconds of script per action."""
        return statistics.mean(spent for _, spent in self.script_ms)

    @property
    def thread_sum(self) -> float:
        """Milliseconds of the main thread in the whole round."""
        return sum(spent for _, spent in self.thread_ms)


class Meter:
    """Measures one action after the other in one browser."""

    def __init__(self, person: Person, told: Round) -> None:
        self._driver: webdriver.Chrome = person.driver  # type: ignore[assignment]
        self._told = told
        self._begun: tuple[str, float, int] | None = None
        self.windows: list[Window] = []
        self._driver.execute_cdp_cmd("Performance.enable", {})

    def _thread_ms(self) -> float:
        told = self._driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
        return next(float(one["value"]) * 1000 for one in told if one["name"] == "ThreadTime")

    def measure(self, action: str, act: Callable[[], Truth]) -> None:
        """One action."""
        self._over()
        self._begun = (action, self._thread_ms(), time.monotonic_ns() // 1000)
        truth = act()
        assert truth.end_ms is not None
        self._told.lasted_ms.append(truth.end_ms - truth.begin_ms)

    def settle(self) -> None:
        """What the last action leaves to be done."""
        time.sleep(SETTLE_S)
        self._over()
        found = self._driver.execute_script("return window.meter()")
        self._told.long_tasks, self._told.inputs_ms = found["longtask"], found["event"]

    def _over(self) -> None:
        if self._begun is None:
            return
        action, before_ms, from_us = self._begun
        self.windows.append(Window(action=action, from_us=from_us, to_us=time.monotonic_ns() // 1000))
        spent_ms = self._thread_ms()
        self._told.thread_ms.append((action, spent_ms - before_ms if spent_ms >= before_ms else spent_ms))  # a new process


def walk(visit: Visit, meter: Meter) -> None:
    """One person's way."""
    visit.log_in()
    meter.measure("page_load", visit.project)
    meter.measure("filter_search", visit.quick_search)
    meter.measure("page_load", visit.session)
    meter.measure("open_viewer", visit.open_viewer)
    meter.measure("scroll", lambda: visit.scroll_by_wheel(20))
    meter.measure("scroll", lambda: visit.scroll_by_keys(-10))
    meter.measure("change_scan", lambda: visit.change_by_click(1))
    meter.measure("scroll", lambda: visit.scroll_by_wheel(20))
    meter.measure("change_scan", lambda: visit.change_by_click(0))
    meter.measure("play", lambda: visit.play(1.0))
    meter.settle()


def one_round(folder: Path, variant: str, where: Place, collector: Collector) -> Round:
    """A fresh browser, one person's way, and how many messages it took."""
    told, posts, trace = Round(), collector.posts, folder / "trace.json"
    with browser(folder, variant, where, collector, trace) as person:
        meter = Meter(person, told)
        walk(Visit(person, where.lab), meter)
        journal = person.collector
        assert isinstance(journal, Journal)
        if variant == "ours":
            wait_until(lambda: len(journal.actions()) >= ACTIONS, "the markers to arrive", 30)
        told.sent = len(journal.items()) if variant == "ours" else collector.posts - posts
    seen, script = Trace(trace), address_of(variant)
    told.calls = seen.calls(script, meter.windows, heard=variant != "faro")
    told.loaded = seen.loaded(script) if script else set()
    told.messages = sum(one.cause == "message" for one in told.calls)
    for window in meter.windows:
        told.script_ms.append((window.action, sum(one.spent_ms for one in within(told.calls, window))))
    return told


def by_action(pairs: Sequence[tuple[str, float]]) -> dict[str, list[float]]:
    """The values of each action."""
    found: dict[str, list[float]] = defaultdict(list)
    for action, value in pairs:
        found[action].append(value)
    return found


def spread(values: Sequence[float], form: str = ".2f") -> str:
    """The median of the rounds, and the least and the most of them."""
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def percentile(values: Sequence[float], share: float) -> float:
    """The value at this share of the sorted values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def p95_ratio(rounds: Sequence[Round], base: Sequence[Round]) -> str:
    """The 95th percentile of durations beside none's, and where 95 % of such ratios lie when the rounds are drawn anew."""

    def ratio(some: Sequence[Round], others: Sequence[Round]) -> float:
        lasted, based = ([value for one in group for value in one.lasted_ms] for group in (some, others))
        return percentile(lasted, 0.95) / percentile(based, 0.95)

    chance = random.Random(0)
    drawn = [ratio(chance.choices(rounds, k=len(rounds)), chance.choices(base, k=len(base))) for _ in range(RESAMPLES)]
    return f"{ratio(rounds, base):.3f} ({percentile(drawn, 0.025):.3f} to {percentile(drawn, 0.975):.3f})"


def report(costs: Mapping[str, Sequence[Round]], say: Callable[[str], None]) -> None:
    """The tables: CPU time of the main thread per action and of it the scripts', and what is aimed at."""
    number = len(next(iter(costs.values())))
    say(f"{number} rounds of {ACTIONS} actions; medians of CPU milliseconds in the page's main thread, and of it in the script")
    say(f"{'action':<14}" + "".join(f"{name:>10}" for name in costs) + "".join(f"{f'script {name}':>14}" for name in costs))
    threads = {name: by_action([pair for one in rounds for pair in one.thread_ms]) for name, rounds in costs.items()}
    scripts = {name: by_action([pair for one in rounds for pair in one.script_ms]) for name, rounds in costs.items()}
    for action in next(iter(threads.values())):
        spent = "".join(f"{statistics.median(threads[name][action]):>10.1f}" for name in costs)
        say(f"{action:<14}{spent}" + "".join(f"{statistics.median(scripts[name][action]):>14.2f}" for name in costs))
    say("of the rounds, the median (least to most):")
    base = costs.get("none")
    for name, rounds in costs.items():
        say(f"{name}: script {spread([one.script_mean for one in rounds])} ms an action (aim: at most 2)")
        tasks, sums = [len(one.long_tasks) for one in rounds], [sum(one.long_tasks) for one in rounds]
        say(f"{name}: long tasks a round {spread(tasks, '.1f')}, their sum {spread(sums, '.0f')} ms")
        slowest = [max(one.inputs_ms, default=0) for one in rounds]
        say(f"{name}: slowest input of a round {spread(slowest, '.0f')} ms (0: below 16)")
        if name == "none":
            continue
        sent = "markers" if name == "ours" else "posts"
        say(f"{name}: {sent} per action {spread([one.sent / ACTIONS for one in rounds])}")
        if name == "ours":
            say(f"ours: messages from the page, as many back, per action {spread([one.messages / ACTIONS for one in rounds])}")
        if base is not None:
            more = [(one.thread_sum - bare.thread_sum) / ACTIONS for one, bare in zip(rounds, base, strict=True)]
            say(f"{name}: main thread beside none's of the same turn {spread(more, '+.1f')} ms an action")
            added = [len(one.long_tasks) - len(bare.long_tasks) for one, bare in zip(rounds, base, strict=True)]
            say(f"{name}: long tasks beside none's of the same turn {spread(added, '+.1f')} a round (aim: none)")
            say(f"{name}: p95 of how long actions lasted, beside none {p95_ratio(rounds, base)} (aim: 0.97 to 1.03)")
    if "ours" in costs:
        report_bytes(set().union(*(one.loaded for one in costs["ours"])), say)


def report_bytes(loaded: set[str], say: Callable[[str], None]) -> None:
    """The scripts that were really loaded into pages, as they are."""
    names = sorted(one.split("/", 3)[3] for one in loaded)
    texts = ["".join((SOURCE / name).read_text(encoding="utf-8") for name in names), faro_bundle()]
    whole, packed = [len(one.encode()) for one in texts], [len(gzip.compress(one.encode())) for one in texts]
    say(f"loaded into pages: {', '.join(names)}")
    say(f"bytes of script, gzip (plain): ours with its comments {packed[0]} ({whole[0]}), Faro minified {packed[1]} ({whole[1]})")
    say(f"their ratio: {packed[0] / packed[1]:.3f} (aim: at most 0.333)")


def report_calls(rounds: Sequence[Round], say: Callable[[str], None]) -> None:
    """Where our script's time goes, a round: milliseconds, calls, one call, the longest, what they came from."""
    kinds: dict[str, list[float]] = defaultdict(list)
    for one in (call for told in rounds for call in told.calls):
        kinds[one.cause].append(one.spent_ms)
    for cause, spent in sorted(kinds.items(), key=lambda pair: -sum(pair[1])):
        often, mean = len(spent) / len(rounds), statistics.mean(spent)
        say(f"{often * mean:8.2f} {often:8.1f} {mean:8.3f} {max(spent):8.2f}  {cause}")


def main(argv: Sequence[str]) -> None:
    """Play the rounds, the variants in turns, and print the table."""
    parser = argparse.ArgumentParser(description="what tagging costs the page: none, ours, Faro")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each variant (default 5: five to six minutes)")
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=VARIANTS, help="not all three")
    parser.add_argument("--calls", action="store_true", help="also where the time of our script goes")
    options = parser.parse_args(argv)
    variants, begun = options.only, time.monotonic()
    costs: dict[str, list[Round]] = {name: [] for name in variants}
    collector = Collector()
    with tempfile.TemporaryDirectory(prefix="tracemark-cost-") as work:
        with place(Path(work), "cost-") as where:
            for number in range(options.rounds):
                for turn in range(len(variants)):
                    variant = variants[(number + turn) % len(variants)]
                    folder = Path(work, f"{number}-{variant}")
                    folder.mkdir()
                    costs[variant].append(one_round(folder, variant, where, collector))
    collector.close()
    report(costs, print)
    if options.calls and "ours" in costs:
        report_calls(costs["ours"], print)
    print(f"it took {time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
