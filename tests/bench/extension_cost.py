"""What tagging costs the page: no extension, ours, and Grafana's Faro web SDK on the same pages, in turns.

    python -m tests.bench.extension_cost [--rounds N] [--only ours ...] [--calls]

A round is a person's way by native input: project, search, session, viewer, scrolling, other scans, playing. Times are CPU times
of the page's main thread, so that a machine that does other things too changes them little: all of it by Chromium's metrics, the
scripts' by its trace of the calls into them, with all that they call. Faro's wrappers around the page's own functions
are no such calls: its figure is a lower bound. It instruments the page as its documentation has it and posts to this machine.
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
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import WebDriverException

from replay.lab.folders import cache_directory
from tests.support.extension import SOURCE, load_package
from tests.support.extension_page import FILES, Person, Truth
from tests.support.extension_page_steps import Visit
from tests.support.extension_together import Journal, Place, build, chromium, overview, place, truth_extension
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


#: the calls from the browser into scripts, and loading them
CALLS = ("FunctionCall", "EvaluateScript", "v8.compile")
TRACED = "devtools.timeline,v8,-*"


@dataclass
class Cost:
    """What one round of one variant came to; milliseconds."""

    thread_ms: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    script_ms: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    lasted_ms: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    long_tasks: list[float] = field(default_factory=list)
    inputs_ms: list[float] = field(default_factory=list)
    calls_ms: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """From before an action's input until it was over, by the machine's monotonic clock."""

    action: str
    from_us: int
    to_us: int


class Meter:
    """Measures one action after the other in one browser."""

    def __init__(self, person: Person, cost: Cost) -> None:
        self._driver: webdriver.Chrome = person.driver  # type: ignore[assignment]
        self._cost = cost
        self.windows: list[Window] = []
        self._driver.execute_cdp_cmd("Performance.enable", {})

    def _thread_ms(self) -> float:
        told = self._driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
        return next(float(one["value"]) * 1000 for one in told if one["name"] == "ThreadTime")

    def measure(self, act: Callable[[], Truth]) -> None:
        """One action."""
        before_ms, from_us = self._thread_ms(), time.monotonic_ns() // 1000
        truth = act()
        self.windows.append(Window(action=truth.action, from_us=from_us, to_us=time.monotonic_ns() // 1000))
        spent_ms = self._thread_ms()
        self._cost.thread_ms[truth.action].append(spent_ms - before_ms if spent_ms >= before_ms else spent_ms)  # a new process
        if truth.end_ms is not None:
            self._cost.lasted_ms[truth.action].append(truth.end_ms - truth.begin_ms)

    def page_tells(self) -> None:
        """Long tasks and input delays of this document."""
        found = self._driver.execute_async_script(OBSERVED)
        self._cost.long_tasks += found["longtask"]
        self._cost.inputs_ms += found["event"]


def weigh(trace: Path, windows: Sequence[Window], script: str | None, cost: Cost) -> None:
    """What the pages' main threads did in each window; `script`: a part of the scripts' addresses."""
    events: list[dict[str, Any]] = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
    threads = {
        (one["pid"], one["tid"]) for one in events if one["name"] == "thread_name" and one["args"]["name"] == "CrRendererMain"
    }
    events = [one for one in events if one.get("ph") == "X" and (one["pid"], one["tid"]) in threads]
    calls = [
        one
        for one in events
        if one["name"] in CALLS and script is not None and (script in address(one) or (script != "/faro.js" and heard(one)))
    ]
    for window in windows:
        cost.script_ms[window.action].append(0.0)
        for one in within(calls, window):
            spent_ms = one.get("tdur", 0) / 1000
            cost.script_ms[window.action][-1] += spent_ms
            data = one["args"].get("data", {})
            where = f"{address(one).rpartition('/')[2]}:{data.get('lineNumber', 0) + 1}"
            cost.calls_ms[f"{one['name']} {data.get('functionName', '')} {where}"].append(spent_ms)


def address(event: Mapping[str, Any]) -> str:
    """The address of the script that a call is into."""
    args = event.get("args", {})
    return str(args.get("data", {}).get("url") or args.get("fileName") or args.get("url") or "")


def heard(event: Mapping[str, Any]) -> bool:
    """A call of the browser's own that hands a message to an extension's script; pages have no other of the kind here."""
    return event["name"] == "FunctionCall" and not address(event)


def within(events: Sequence[dict[str, Any]], window: Window) -> list[dict[str, Any]]:
    """Those that begin in the window and are not part of another one of them."""
    found: list[dict[str, Any]] = []
    until: dict[tuple[int, int], float] = {}
    for one in sorted(events, key=lambda each: (each["ts"], -each["dur"])):
        thread = (one["pid"], one["tid"])
        if window.from_us <= one["ts"] < window.to_us and one["ts"] >= until.get(thread, 0):
            found.append(one)
            until[thread] = one["ts"] + one["dur"]
    return found


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
def browser(folder: Path, variant: str, where: Place, collector: Collector, trace: Path) -> Iterator[Person]:
    """A browser of this variant, which leaves a trace of all that it did."""
    extensions = [truth_extension(folder / "truth")]
    if variant == "ours":
        extensions.append(build(folder / "extension", where, auth="token") / "chromium")
    if variant == "faro":
        extensions.append(faro_extension(folder / "faro", collector))
    downloads = folder / "downloads"
    downloads.mkdir()
    tracing = ("", "-file=" + str(trace), "-format=json", "-duration=0")
    arguments = tuple(f"--trace-startup{one or '=' + TRACED}" for one in tracing)
    driver = chromium(extensions, folder, downloads, arguments)
    driver.set_script_timeout(20)
    journal = Journal(where.sidecar.journal)
    try:
        person = Person(driver, journal, downloads)
        if variant == "ours":
            overview(person, "chromium")  # it answers when it is ready for the first page
        yield person
    finally:
        with suppress(WebDriverException):
            driver.execute_cdp_cmd("Browser.close", {})  # the driver would not wait for the trace
        wait_until(lambda: trace.exists() and trace.read_bytes().rstrip().endswith(b"}"), "the trace", 60)
        driver.quit()
        journal.close()


def address_of(variant: str) -> str | None:
    """What is in the addresses of a variant's scripts."""
    if variant == "ours":
        key = json.loads((SOURCE / "manifest.json").read_text(encoding="utf-8"))["key"]
        return str(load_package().extension_id(base64.b64decode(key)))
    return "/faro.js" if variant == "faro" else None


def one_round(folder: Path, variant: str, where: Place, collector: Collector, cost: Cost) -> None:
    """A fresh browser, one person's way, and how many messages it took."""
    posts, trace = collector.posts, folder / "trace.json"
    with browser(folder, variant, where, collector, trace) as person:
        meter = Meter(person, cost)
        walk(Visit(person, where.lab), meter)
        journal = person.collector
        assert isinstance(journal, Journal)
        if variant == "ours":
            wait_until(lambda: len(journal.actions()) >= ACTIONS, "the markers to arrive")
        cost.messages += len(journal.items()) if variant == "ours" else collector.posts - posts
    weigh(trace, meter.windows, address_of(variant), cost)


def report(costs: Mapping[str, Cost], rounds: int, say: Callable[[str], None]) -> None:
    """The table: CPU time of the main thread per action (medians) and that of the scripts alone (means), and what is aimed at."""
    scripts = [name for name in costs if name != "none"]
    say(f"{rounds} rounds of {ACTIONS} actions each; milliseconds of CPU in the page's main thread, of it in the script")
    say(f"{'action':<14}" + "".join(f"{name:>12}" for name in costs) + "".join(f"{f'script {name}':>14}" for name in scripts))
    for action in next(iter(costs.values())).thread_ms:
        line = "".join(f"{statistics.median(cost.thread_ms[action]):>12.1f}" for cost in costs.values())
        say(f"{action:<14}{line}" + "".join(f"{statistics.mean(costs[name].script_ms[action]):>14.2f}" for name in scripts))
    for name in scripts:
        every = [one for values in costs[name].script_ms.values() for one in values]
        mean, p95 = statistics.mean(every), percentile(every, 0.95)
        say(f"script of {name}: mean {mean:.2f} ms an action (aim: at most 2), p95 {p95:.2f}")
    for name, cost in costs.items():
        inp = percentile(cost.inputs_ms, 0.98) if cost.inputs_ms else 0.0
        say(
            f"{name}: {len(cost.long_tasks) / rounds:.1f} long tasks a round ({sum(cost.long_tasks) / rounds:.0f} ms), "
            f"input answered p98 {inp:.0f} ms, {cost.messages / rounds / ACTIONS:.2f} messages an action"
        )
    if "none" in costs:
        base = [one for values in costs["none"].lasted_ms.values() for one in values]
        for name in scripts:
            lasted = [one for values in costs[name].lasted_ms.values() for one in values]
            ratio = percentile(lasted, 0.95) / percentile(base, 0.95)
            say(f"{name}: p95 of how long actions lasted, beside none: {ratio:.3f} (aim: 0.97 to 1.03)")
    texts = ["".join((SOURCE / file).read_text(encoding="utf-8") for file in FILES), faro_bundle()]
    sizes = [len(gzip.compress(text.encode())) for text in texts]
    say(f"bytes of script, gzip: ours {sizes[0]}, Faro {sizes[1]}, ratio {sizes[0] / sizes[1]:.2f} (aim: 0.33)")


def report_calls(cost: Cost, rounds: int, say: Callable[[str], None]) -> None:
    """Where the script's time goes, a round: milliseconds, calls, the longest."""
    for call, spent_ms in sorted(cost.calls_ms.items(), key=lambda one: -sum(one[1]))[:30]:
        say(f"{sum(spent_ms) / rounds:8.2f} {len(spent_ms) / rounds:8.1f} {max(spent_ms):8.2f}  {call}")


def percentile(values: Sequence[float], share: float) -> float:
    """The value at this share of the sorted values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def main(argv: Sequence[str]) -> None:
    """Play the rounds, the variants in turns, and print the table."""
    parser = argparse.ArgumentParser(description="what tagging costs the page: none, ours, Faro")
    parser.add_argument("--rounds", type=int, default=6, help="rounds of each variant (default 6)")
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=VARIANTS, help="not all three")
    parser.add_argument("--calls", action="store_true", help="also where the time of our script goes")
    options = parser.parse_args(argv)
    variants, rounds = options.only, options.rounds
    costs = {name: Cost() for name in variants}
    collector = Collector()
    with tempfile.TemporaryDirectory(prefix="tracemark-cost-") as work:
        with place(Path(work), "cost-") as where:
            for number in range(rounds):
                for turn in range(len(variants)):
                    variant = variants[(number + turn) % len(variants)]
                    folder = Path(work, f"{number}-{variant}")
                    folder.mkdir()
                    one_round(folder, variant, where, collector, costs[variant])
    collector.close()
    report(costs, rounds, print)
    if options.calls:
        report_calls(costs["ours"], rounds, print)


if __name__ == "__main__":
    main(sys.argv[1:])
