"""`tracemark replay`: plays a scenario in a real browser, repetition after repetition, and tells the sidecar what it does."""

from __future__ import annotations

import argparse
import os
import platform
import re
import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

from replay.browser import opened
from replay.chromium import BrowserOptions, BrowserPaths, host_of
from replay.marker_client import MarkerClient
from replay.player import MarkerSink, Player, Time
from replay.results import Repetition
from replay.scenario import load_scenario, names
from replay.scenario_shape import Scenario
from replay.values import Values, texts_of
from sidecar.model.faults import Fault, UsageFault

EXAMPLE = """example:
  XNAT_USER=reader XNAT_PASSWORD=… tracemark replay radiologist --url https://xnat.example.org --setup lan --repetitions 10
"""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_MARKERS = "ws://127.0.0.1:8051/markers"


class UndeliveredError(Fault):
    """Markers that the sidecar has not acknowledged."""


class NoMarkers:
    """Tells nobody: for trying a scenario without a sidecar."""

    def begin(self, action: str) -> str:  # noqa: ARG002 (the protocol's)
        """A fresh id."""
        return secrets.token_hex(8)

    def end(self, action_id: str, **attributes: int | str) -> None:
        """Nothing to do."""

    def cancel(self, action_id: str) -> None:
        """Nothing to do."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    wanted = argparse.ArgumentParser(
        prog="tracemark replay",
        description="Plays a scenario in Chromium with native input and marks every action for the sidecar.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    wanted.add_argument("scenario", metavar="SCENARIO", help=f"{', '.join(names())}, or a file")
    wanted.add_argument("--url", required=True, help="the site, with its context path if it has one")
    wanted.add_argument("--setup", required=True, choices=("lan", "vpn", "wan"), help="how this machine reaches the site")
    wanted.add_argument("--repetitions", type=int, default=1, metavar="N", help="how often to play it (default: %(default)s)")
    wanted.add_argument("--run-id", metavar="ID", help="name of the experiment (default: made from the time)")
    wanted.add_argument(
        "--out", type=Path, default=Path("replay-results"), metavar="DIR", help="for results (default: %(default)s)"
    )
    wanted.add_argument("--markers", default=_MARKERS, metavar="URL", help="marker channel, or none (default: %(default)s)")
    wanted.add_argument("--token", help="of the marker channel; better in TRACEMARK_TOKEN or TRACEMARK_TOKEN_FILE")
    wanted.add_argument("--seed", type=int, help="repeats the variation of an earlier run; repetition n uses SEED + n")
    wanted.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a parameter of the scenario; repeatable"
    )
    wanted.add_argument("--visible", action="store_true", help="show the browser")
    wanted.add_argument("--chromium", metavar="FILE", help="the browser's program (default: found on PATH)")
    wanted.add_argument("--chromedriver", metavar="FILE", help="its driver (default: SE_CHROMEDRIVER, or found on PATH)")
    return wanted


def main(argv: Sequence[str] | None = None) -> int:
    """Play all repetitions; 0 when each came to its end. Raises Fault for the first that does not: the rest is not played."""
    arguments = parser().parse_args(argv)
    scenario = load_scenario(arguments.scenario)
    values = Values(scenario, _pairs(arguments.set), os.environ)
    values.check(texts_of(scenario))
    run = arguments.run_id or time.strftime("run-%Y%m%dT%H%M%SZ", time.gmtime())
    if not _NAME.fullmatch(run):
        raise UsageFault(f"--run-id {run!r} is no name", "use letters, digits, '_', '.', '-'")
    if arguments.repetitions < 1:
        raise UsageFault(f"--repetitions {arguments.repetitions} is too few", "write at least 1")
    options = BrowserOptions(
        paths=BrowserPaths.find(os.environ, arguments.chromedriver, arguments.chromium),
        hosts=(host_of(arguments.url), *scenario.hosts),
        window=scenario.window,
        visible=arguments.visible,
    )
    token = arguments.token or _token(os.environ)
    arguments.out.mkdir(parents=True, exist_ok=True)
    seed = arguments.seed if arguments.seed is not None else secrets.randbelow(2**31)
    with _sigterm_as_interrupt():
        for number in range(1, arguments.repetitions + 1):
            result = Repetition(
                run=run,
                setup=arguments.setup,
                scenario=scenario.name,
                role=scenario.role,
                repetition=number,
                session=secrets.token_hex(16),
                seed=seed + number,
                started_ns=time.time_ns(),
                versions=versions(),
            )
            say = _progress(f"{scenario.name} {number}/{arguments.repetitions}")
            player = Player(site=arguments.url, out=arguments.out, clock=Time.system(), say=say)
            with _marked(arguments.markers, token, result) as sink:
                _play(player, scenario, values, options, sink, result, arguments.out)
            print(summary(result, arguments.repetitions))
    return 0


def summary(result: Repetition, repetitions: int) -> str:
    """One line about a finished repetition."""
    actions = ", ".join(f"{one.action} {one.duration_ns / 1e9:.2f} s" for one in result.actions if one.duration_ns is not None)
    return f"{result.scenario} {result.repetition}/{repetitions}: {actions}"


def versions() -> dict[str, str]:
    """What played, for the result."""
    packages = {name: metadata.version(name) for name in ("tracemark", "selenium")}
    return {**packages, "python": platform.python_version(), "system": f"{platform.system()} {platform.release()}"}


def _play(
    player: Player,
    scenario: Scenario,
    values: Values,
    options: BrowserOptions,
    sink: MarkerSink,
    result: Repetition,
    out: Path,
) -> None:
    try:
        with opened(options) as browser:
            result.versions = {**result.versions, **browser.versions()}
            player.play(scenario, values, browser, sink, result)
    except Fault as error:
        result.error = result.error or str(error)
        raise
    except KeyboardInterrupt:
        result.error = "stopped by hand"
        raise
    finally:
        result.save(out)


@contextmanager
def _marked(url: str, token: str, result: Repetition) -> Iterator[MarkerSink]:
    """The marker channel for one repetition; it has delivered everything when this is left without an error."""
    if url == "none":
        yield NoMarkers()
        return
    client = MarkerClient(url, session=result.session, token=token)
    delivered = False
    try:
        client.start()
        client.run(result.run, setup=result.setup, scenario=result.scenario, role=result.role, repetition=result.repetition)
        yield client
    finally:
        delivered = client.close()
    if not delivered:
        raise UndeliveredError("the sidecar has not acknowledged all markers", f"see its log at {url}, then play again")


def _pairs(given: Sequence[str]) -> Mapping[str, str]:
    pairs = {}
    for text in given:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise UsageFault(f"--set {text!r} is no NAME=VALUE", "write for example --set term=COVID_000")
        pairs[name] = value
    return pairs


def _token(environment: Mapping[str, str]) -> str:
    file = environment.get("TRACEMARK_TOKEN_FILE")
    if file is None:
        return environment.get("TRACEMARK_TOKEN", "")
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise UsageFault(f"TRACEMARK_TOKEN_FILE cannot be read ({error.strerror})", "name a file with the token") from error


def _progress(head: str) -> Callable[[str], None]:
    def say(text: str) -> None:
        if sys.stderr.isatty():
            print(f"{head}: {text}", file=sys.stderr)

    return say


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """Whoever ends us gets the browser closed, too."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    earlier = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, earlier)
