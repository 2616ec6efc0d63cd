"""Protocol replay: what an action costs the server beside the browser's, and how many users one core plays.

    python -m tests.bench.http_replay [--pairs N] [--alone] [--users N …] [--scenario NAME …]

Server cost: browser and http engine play the same scenario in pairs, alone on the practice system, in turn the one and the other
first; CPU time of its processes (web, database and proxy, children included) by `tests.bench.http_cost`. All cores are kept busy
meanwhile (`tests.bench.neighbour`; not with --alone), since only one of the two engines is a large neighbour itself. Their
requests are compared, too, by the proxy's log. Users per core: the client on one core against a server on the other that hands
out canned answers (those of the practice system, recorded in this run, download included), with the think times of the scenario.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import secrets
import statistics
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from replay.browser import opened
from replay.campaign_job import Job, Ports, play_repetition
from replay.campaign_markers import NoMarkers
from replay.chromium import BrowserOptions, BrowserPaths, host_of
from replay.http.engine import HttpEngine
from replay.http.make import record
from replay.http.recording import Recording
from replay.player import MarkerSink, Time
from replay.results import Repetition
from replay.scenario import load_scenario
from replay.scenario_shape import Scenario
from replay.values import Values
from tests.bench.http_cost import Cost, CostMarkers, Server, Spread, spaced
from tests.bench.http_crowd import users_per_core
from tests.bench.neighbour import neighbours
from tests.support.campaign_fakes import Notes
from tests.support.http_replay import prepare_viewer
from tests.support.replay_site import Line, Site, site

#: how long the server's use at rest is watched
_REST_S = 4.0
#: what the server makes up: it differs from session to session
_MADE_UP = re.compile(r"/search/xs_[0-9a-f]+|/profile/\w+")
_LAST = "/app/action/LogoutUser"
#: so many pairs more are played where some fail
_SPARE = 3
Found = dict[str, list[tuple[Cost, Cost]]]


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    wanted = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    wanted.add_argument("--pairs", type=int, default=9, help="sessions of each engine; 0: no costs (default: %(default)s)")
    wanted.add_argument("--alone", action="store_true", help="leave the cores idle where neither client nor server uses them")
    wanted.add_argument("--pause", type=float, default=0.7, metavar="S", help="before each action (default: %(default)s)")
    wanted.add_argument("--pace", type=float, default=10.0, help="of everything else in these sessions (default: %(default)s)")
    wanted.add_argument("--users", type=int, nargs="*", default=[50, 200, 300], help="(default: 50 200 300)")
    wanted.add_argument("--raw", type=Path, metavar="FILE", help="write every pair's costs, a JSON line each")
    wanted.add_argument("--scenario", nargs="*", default=["researcher", "radiologist"])
    given = wanted.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder, site(Path(folder, "lab")) as lab:
        prepare_viewer(lab)
        for name in given.scenario:
            play = Play(lab, name, given.pause, given.pace, Path(folder))
            recording = play.recorded()
            if given.pairs:
                with neighbours(not given.alone):
                    costs(play, recording, given.pairs, given.raw)
            if given.users:
                real = Play(lab, name, None, given.pace, Path(folder)).recorded()
                asyncio.run(users_per_core(real, lab.environment(name), lab.url, given.users, Path(folder)))


class Play:
    """One scenario on the practice system: with a pause of `pause_s` before each action, or (None) with its own."""

    def __init__(self, lab: Site, name: str, pause_s: float | None, pace: float, folder: Path) -> None:
        self.lab = lab
        self.name = name
        self._pace = pace
        self._folder = folder
        scenario = load_scenario(name)
        self._scenario: Scenario = scenario if pause_s is None else spaced(scenario, pause_s, pace)

    def job(self) -> Job:
        """One session of it."""
        return Job(
            run="bench",
            setup="lan",
            site=self.lab.url,
            scenario=self._scenario,
            values=Values(self._scenario, {"pace": str(self._pace)}, self.lab.environment(self.name)),
            options=BrowserOptions(
                paths=BrowserPaths.find(os.environ), hosts=(host_of(self.lab.url),), window=self._scenario.window, visible=False
            ),
            repetition=1,
            attempt=1,
            session=secrets.token_hex(16),
            seed=1,
            folder=self._folder,
        )

    @staticmethod
    def ports(markers: MarkerSink) -> Ports:
        """What it is played with."""
        return Ports(browser=opened, markers=markers, watcher=Notes(), clock=Time.system(), versions={})

    def recorded(self) -> Recording:
        """What its browser requests."""
        return record(self.job(), self.ports(NoMarkers()))[0]


def costs(play: Play, recording: Recording, pairs: int, raw: Path | None) -> None:
    """Print what each action costs the server, by both engines in turn."""
    parts = play.lab.lab.pid_files
    server = Server({part.rpartition("xnat-")[2]: int(Path(parts[part]).read_text().split()[0]) for part in parts}, _REST_S)
    engines: dict[str, Callable[[Job, Ports], Repetition]] = {"browser": play_repetition, "http": HttpEngine(recording)}
    found: Found = defaultdict(list)
    differing: Counter[str] = Counter()
    restless = failed = 0
    for turn in range(pairs + _SPARE):
        cost: dict[str, list[Cost]] = {}
        asked: dict[str, Counter[str]] = {}
        for engine in sorted(engines, reverse=turn % 2 == 1):
            markers, job = CostMarkers(server), play.job()
            result = engines[engine](job, play.ports(markers))
            if result.failure is not None:
                print(f"  a pair does not count, {engine}: {result.failure}", flush=True)
                break
            time.sleep(1.0)  # its connections are closed
            whole = markers.done()
            cost[engine] = [*markers.cost, Cost(action="whole session", whole=whole, inside=whole)]
            asked[engine] = asked_for(play.lab.lines_of(job.session, _LAST), markers)
            restless += markers.restless
        if len(cost) < len(engines):
            failed += 1
            continue
        for browser, http in zip(cost["browser"], cost["http"], strict=True):
            found[browser.action].append((browser, http))
        differing += (asked["browser"] - asked["http"]) + (asked["http"] - asked["browser"])
        if raw is not None:
            with raw.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"scenario": play.name, **{name: list(map(asdict, cost[name])) for name in cost}}) + "\n")
        if turn - failed + 1 == pairs:
            break
    if not found:
        raise SystemExit(f"{play.name}: no pair could be played")
    print(f"{play.name}: {len(recording.requests)} requests, {turn - failed + 1} pairs")
    print(f"  {sum(differing.values())} requests were not the same in both of a pair; {restless} actions began before rest")
    for what, count in differing.most_common(5):
        print(f"    {count} x {what}")
    asking = {request.phase for request in recording.requests}
    actions = [(number, phase.action) for number, phase in enumerate(recording.phases) if phase.action is not None]
    report(found, {f"{place} {action}" for place, (number, action) in enumerate(actions, 1) if number not in asking})


def asked_for(lines: Sequence[Line], markers: CostMarkers) -> Counter[str]:
    """What the proxy was asked for: action, method, route, status and (but for pages, whose tokens differ) bytes."""
    return Counter(f"{markers.name(one.action_id)}: {one.method} {_MADE_UP.sub('/…', one.path)} {one.status}" for one in lines)


def report(found: Found, silent: set[str]) -> None:
    """A line per action: CPU milliseconds of both, and the ratio of pairs with its interval."""
    some = Spread.of([1.0] * len(next(iter(found.values()))))
    print(f"  CPU ms per action with its aftermath: medians (web part), median of the pairs' ratios ({some.probability:.0%})")
    print(f"  {'action':<18}{'browser':>14}{'http':>14}   {'http / browser':<22}{'web alone':<22}until its end alone")
    for action, pairs in found.items():
        both = [statistics.median(sum(pair[side].whole.values()) for pair in pairs) for side in (0, 1)]
        web = [statistics.median(pair[side].whole["web"] for pair in pairs) for side in (0, 1)]
        head = f"  {action:<18}{both[0]:>8.1f} ({web[0]:3.0f}){both[1]:>8.1f} ({web[1]:3.0f})"
        if action in silent:
            print(f"{head}   asks for nothing", flush=True)
            continue
        ratios = [
            ratio(pairs, lambda one: sum(one.whole.values())),
            ratio(pairs, lambda one: one.whole["web"]),
            ratio(pairs, lambda one: sum(one.inside.values())),
        ]
        print(head + "   " + "".join(f"{one:<22}" for one in ratios), flush=True)


def ratio(pairs: Sequence[tuple[Cost, Cost]], size: Callable[[Cost], float]) -> str:
    """http by browser, over pairs."""
    known = [size(http) / size(browser) for browser, http in pairs if size(browser) > 0]
    return str(Spread.of(known)) if known else "-"


if __name__ == "__main__":
    main()
