"""What tagging costs the page: no extension, ours, and Grafana's Faro web SDK on the same pages, in turns.

    python -m tests.bench.extension_cost [--rounds N]

A round is a person's way by native input: project, search, session, viewer, scrolling, other scans, playing. Times in the page's
main thread come from Chromium itself (`Performance.getMetrics`), those of the scripts alone from V8's sampling profiler, by the
address of the script. Faro instruments the page as its documentation has it and posts to a collector on this machine.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import json
import os
import statistics
import sys
import tarfile
import tempfile
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from selenium import webdriver

from replay.lab.folders import cache_directory
from tests.support.extension import SOURCE, load_package
from tests.support.extension_page import FILES, Person, Truth
from tests.support.extension_page_steps import Visit
from tests.support.extension_together import Journal, Place, _chromium, build, overview, place, truth_extension
from tests.support.waiting import wait_until

FARO = "grafana-faro-web-sdk-2.12.1"
VARIANTS = ("none", "ours", "faro")
#: that are measured in one round
ACTIONS = 10
START_FARO = """
GrafanaFaroWebSdk.initializeFaro({url: "%s", app: {name: "lab", version: "1"},
  instrumentations: GrafanaFaroWebSdk.getWebInstrumentations({captureConsole: true})});
"""
#: what the page itself can tell of long tasks and of how soon input was answered
OBSERVED = """
const done = arguments[arguments.length - 1], found = {longtask: [], event: []};
const observers = [["longtask", {}], ["event", {durationThreshold: 16}]].map(([type, more]) => {
  const one = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (type === "longtask" || entry.interactionId) found[type].push(entry.duration);
  });
  one.observe({type, buffered: true, ...more});
  return one;
});
setTimeout(() => { for (const one of observers) one.disconnect(); done(found); }, 100);
"""


@dataclass
class Cost:
    """What one round of one variant came to; milliseconds."""

    tasks_ms: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    script_ms: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    lasted_ms: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    long_tasks: list[float] = field(default_factory=list)
    inputs_ms: list[float] = field(default_factory=list)
    messages: int = 0


class Collector:
    """Takes what Faro posts, from any page, and counts."""

    def __init__(self) -> None:
        self.posts = 0
        outer = self

        class Answer(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"] or 0))
                outer.posts += 1
                self._allow()

            def do_OPTIONS(self) -> None:
                self._allow()

            def _allow(self) -> None:
                self.send_response(202)
                for name in ("Origin", "Headers", "Methods"):
                    self.send_header(f"Access-Control-Allow-{name}", "*")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self._http.server_port}/collect"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


def faro_bundle() -> str:
    """The SDK as npm has it, from the cache that `make setup` fills."""
    archive = cache_directory(os.environ) / "npm" / f"{FARO}.tgz"
    with tarfile.open(archive) as tar:
        member = tar.extractfile("package/dist/bundle/faro-web-sdk.iife.js")
        assert member is not None
        return member.read().decode()


def faro_extension(folder: Path, collector: Collector) -> Path:
    """The SDK brought into the page's own world as a site would load it, before the page's scripts."""
    folder.mkdir(parents=True)
    (folder / "faro.js").write_text(faro_bundle() + START_FARO % collector.url, encoding="utf-8")
    script = {"matches": ["http://127.0.0.1/*"], "js": ["faro.js"], "run_at": "document_start", "world": "MAIN"}
    manifest = {"manifest_version": 3, "name": "faro", "version": "1", "content_scripts": [script]}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


class Meter:
    """Measures one action after the other in one browser."""

    def __init__(self, person: Person, cost: Cost, script: str | None) -> None:
        self._driver: webdriver.Chrome = person.driver  # type: ignore[assignment]
        self._cost = cost
        self._script = script
        for command, values in (
            ("Performance.enable", {}),
            ("Profiler.enable", {}),
            ("Profiler.setSamplingInterval", {"interval": 100}),
        ):
            self._driver.execute_cdp_cmd(command, values)

    def _tasks_ms(self) -> float:
        told = self._driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
        return next(float(one["value"]) * 1000 for one in told if one["name"] == "TaskDuration")

    def measure(self, act: Callable[[], Truth]) -> None:
        """One action, from before its input until it is over."""
        before_ms = self._tasks_ms()
        self._driver.execute_cdp_cmd("Profiler.start", {})
        truth = act()
        profile = self._driver.execute_cdp_cmd("Profiler.stop", {})["profile"]
        after_ms = self._tasks_ms()
        name = truth.action
        # A new document may count from zero.
        self._cost.tasks_ms[name].append(after_ms - before_ms if after_ms >= before_ms else after_ms)
        self._cost.script_ms[name].append(in_scripts_ms(profile, self._script))
        if truth.end_ms is not None:
            self._cost.lasted_ms[name].append(truth.end_ms - truth.begin_ms)

    def page_tells(self) -> None:
        """Long tasks and input delays of this document."""
        found = self._driver.execute_async_script(OBSERVED)
        self._cost.long_tasks += found["longtask"]
        self._cost.inputs_ms += found["event"]


def in_scripts_ms(profile: Mapping[str, Any], part: str | None) -> float:
    """Time in functions of scripts whose address holds `part`, and in what they call."""
    if part is None:
        return 0.0
    nodes = {node["id"]: node for node in profile["nodes"]}
    inside: set[int] = set()

    def enter(node: Mapping[str, Any], within: bool) -> None:
        within = within or part in node["callFrame"]["url"]
        if within:
            inside.add(node["id"])
        for child in node.get("children", ()):
            enter(nodes[child], within)

    enter(profile["nodes"][0], within=False)
    pairs = zip(profile.get("samples", ()), profile.get("timeDeltas", ()), strict=True)
    return float(sum(delta for sample, delta in pairs if sample in inside)) / 1000


def walk(visit: Visit, meter: Meter) -> None:
    """One person's way."""
    visit.log_in()
    for act in (visit.project, visit.quick_search, visit.session):
        meter.measure(act)
    meter.page_tells()
    meter.measure(visit.open_viewer)
    for act in (
        lambda: visit.scroll_by_wheel(20),
        lambda: visit.scroll_by_keys(-10),
        lambda: visit.change_by_click(1),
        lambda: visit.scroll_by_wheel(20),
        lambda: visit.change_by_click(0),
        lambda: visit.play(1.0),
    ):
        meter.measure(act)
    meter.page_tells()


@contextmanager
def browser(folder: Path, variant: str, where: Place, collector: Collector) -> Iterator[tuple[Person, str | None]]:
    """A browser of this variant, and what the address of its scripts holds."""
    extensions, script = [truth_extension(folder / "truth")], None
    if variant == "ours":
        extensions.append(build(folder / "extension", where, auth="token") / "chromium")
        key = json.loads((SOURCE / "manifest.json").read_text(encoding="utf-8"))["key"]
        script = load_package().extension_id(base64.b64decode(key))
    if variant == "faro":
        extensions.append(faro_extension(folder / "faro", collector))
        script = "/faro.js"
    downloads = folder / "downloads"
    downloads.mkdir()
    driver = _chromium(extensions, folder, downloads)
    driver.set_script_timeout(20)
    journal = Journal(where.sidecar.journal)
    try:
        person = Person(driver, journal, downloads)
        if variant == "ours":
            wait_until(lambda: overview(person, "chromium")["status"], "the extension to be ready")
        yield person, script
    finally:
        driver.quit()
        journal.close()


def one_round(folder: Path, variant: str, where: Place, collector: Collector, cost: Cost) -> None:
    """A fresh browser, one person's way, and how many messages it took."""
    posts = collector.posts
    with browser(folder, variant, where, collector) as (person, script):
        walk(Visit(person, where.lab), Meter(person, cost, script))
        journal = person.collector
        assert isinstance(journal, Journal)
        if variant == "ours":
            wait_until(lambda: len(journal.actions()) >= ACTIONS, "the markers to arrive")
        cost.messages += len(journal.items()) if variant == "ours" else collector.posts - posts


def report(costs: Mapping[str, Cost], rounds: int, say: Callable[[str], None]) -> None:
    """The table: medians per action, and what is aimed at."""
    say(f"{rounds} rounds of {ACTIONS} actions each; milliseconds, medians")
    say(f"{'action':<14}" + "".join(f"{f'{name} main thread':>20}" for name in VARIANTS) + "   script: ours    faro")
    for action in costs["none"].tasks_ms:
        tasks = [statistics.median(costs[name].tasks_ms[action]) for name in VARIANTS]
        ours, faro = (statistics.median(costs[name].script_ms[action]) for name in ("ours", "faro"))
        say(f"{action:<14}" + "".join(f"{one:>20.1f}" for one in tasks) + f"{ours:>16.2f}{faro:>8.2f}")
    for name in ("ours", "faro"):
        every = [one for values in costs[name].script_ms.values() for one in values]
        say(f"script of {name}: mean {statistics.mean(every):.2f} ms an action (aim: at most 2), most {max(every):.2f}")
    for name in VARIANTS:
        cost = costs[name]
        inp = percentile(cost.inputs_ms, 0.98) if cost.inputs_ms else 0.0
        say(
            f"{name}: {len(cost.long_tasks) / rounds:.1f} long tasks a round ({sum(cost.long_tasks) / rounds:.0f} ms), "
            f"input answered p98 {inp:.0f} ms, {cost.messages / rounds / ACTIONS:.2f} messages an action"
        )
    base = [one for values in costs["none"].lasted_ms.values() for one in values]
    for name in ("ours", "faro"):
        lasted = [one for values in costs[name].lasted_ms.values() for one in values]
        ratio = percentile(lasted, 0.95) / percentile(base, 0.95)
        say(f"{name}: p95 of how long actions lasted, beside none: {ratio:.3f} (aim: 0.97 to 1.03)")
    texts = ["".join((SOURCE / file).read_text(encoding="utf-8") for file in FILES), faro_bundle()]
    sizes = [len(gzip.compress(text.encode())) for text in texts]
    say(f"bytes of script, gzip: ours {sizes[0]}, Faro {sizes[1]}, ratio {sizes[0] / sizes[1]:.2f} (aim: 0.33)")


def percentile(values: Sequence[float], share: float) -> float:
    """The value at this share of the sorted values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def main(argv: Sequence[str]) -> None:
    """Play the rounds, the variants in turns, and print the table."""
    parser = argparse.ArgumentParser(description="what tagging costs the page: none, ours, Faro")
    parser.add_argument("--rounds", type=int, default=6, help="rounds of each variant (default 6)")
    rounds = parser.parse_args(argv).rounds
    costs = {name: Cost() for name in VARIANTS}
    collector = Collector()
    with tempfile.TemporaryDirectory(prefix="tracemark-cost-") as work:
        with place(Path(work), "cost-") as where:
            for number in range(rounds):
                for turn in range(len(VARIANTS)):
                    variant = VARIANTS[(number + turn) % len(VARIANTS)]
                    folder = Path(work, f"{number}-{variant}")
                    folder.mkdir()
                    one_round(folder, variant, where, collector, costs[variant])
    collector.close()
    report(costs, rounds, print)


if __name__ == "__main__":
    main(sys.argv[1:])
