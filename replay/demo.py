"""`tracemark demo`: the whole path once, with real parts: lab, sidecar, a researcher, a radiologist, usage tables, live page."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from replay.browser import screenshot
from replay.campaign_folder import MANIFEST
from replay.lab import stack
from replay.lab.folders import state_directory
from replay.lab.info import LabInfo
from replay.scenario import load_scenario
from sidecar.model.faults import Fault

EXAMPLE = """examples:
  tracemark demo                          stays open until Ctrl-C
  tracemark demo --exit --out out         leaves out/usage.json, journal.sqlite, page.png, report.html
  tracemark demo --exam-size 460MB        the study's exam
"""
SCENARIOS = ("researcher", "radiologist")
#: how long the parts may take before the demo gives up and says which one it waited for
READY_S = 30.0
SETTLED_S = 60.0
STOP_S = 15.0


@dataclass(frozen=True, slots=True)
class Sidecar:
    """A running `tracemark serve`."""

    process: subprocess.Popen[bytes]
    url: str
    markers: str
    journal: Path

    def ready(self) -> bool:
        """Whether it answers and every part of it does its work."""
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=5) as answer:  # noqa: S310  (our own http address)
                return bool(answer.status == 200)
        except OSError:
            return False

    def get(self, path: str, **query: str | int) -> Any:
        """One JSON answer of its HTTP API; Fault when it does not answer."""
        url = f"{self.url}{path}" + (f"?{urllib.parse.urlencode(query)}" if query else "")
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310  (always our own http address)
                return json.load(answer)
        except (OSError, ValueError) as error:
            raise Fault(f"the sidecar does not answer at {url} ({error})", "see its messages above") from error


def _say(text: str) -> None:
    print(f"demo: {text}", flush=True)


def settings_for(lab: LabInfo, journal: Path, http: str, markers: str) -> dict[str, str]:
    """The sidecar's settings that make it watch a lab: containers by name, or plain processes by their pid files."""
    settings = {
        "TRACEMARK_HTTP": http,
        "TRACEMARK_MARKERS": markers,
        "TRACEMARK_JOURNAL": str(journal),
        "TRACEMARK_SITE": "lab",
        "TRACEMARK_XNAT_URL": lab.url,
        "TRACEMARK_CONTEXT_PATH": lab.context_path,
        "TRACEMARK_CONTAINERS": ",".join(f"name:{name}" for name in lab.containers),
    }
    settings |= {f"TRACEMARK_{name.upper()}_LOG": path for name, path in lab.log_files.items()}
    if lab.mode == "processes":
        settings["TRACEMARK_DOCKER"] = "off"
        settings["TRACEMARK_PROCESSES"] = ",".join(f"{name}={path}" for name, path in lab.pid_files.items())
    return settings


def start_sidecar(settings: Mapping[str, str]) -> Sidecar:
    """Start `tracemark serve` and wait until it is ready; Fault when it ends or does not become ready."""
    process = subprocess.Popen([sys.executable, "-m", "sidecar", "serve"], env={**os.environ, **settings})
    sidecar = Sidecar(
        process,
        f"http://{settings['TRACEMARK_HTTP']}",
        f"ws://{settings['TRACEMARK_MARKERS']}/markers",
        Path(settings["TRACEMARK_JOURNAL"]),
    )
    deadline = time.monotonic() + READY_S
    pause = threading.Event()
    while True:
        if process.poll() is not None:
            raise Fault(f"the sidecar ended with status {process.returncode}", "see its message above")
        if sidecar.ready():
            return sidecar
        if time.monotonic() > deadline:
            stop_sidecar(sidecar)
            raise Fault(f"the sidecar is not ready after {READY_S:g} s", "run `tracemark check`")
        pause.wait(0.1)


def stop_sidecar(sidecar: Sidecar) -> None:
    """End it as a service manager would: SIGTERM, and SIGKILL only when that does not help."""
    if sidecar.process.poll() is None:
        sidecar.process.send_signal(signal.SIGTERM)
    try:
        sidecar.process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        sidecar.process.kill()
        sidecar.process.wait()


def play(lab: LabInfo, sidecar: Sidecar, scenario: str, out: Path, visible: bool, more: Sequence[str] = ()) -> None:
    """Play one scenario, as `tracemark replay` does, in the folder `out/<scenario>/demo`; Fault when it fails.

    A browser gives up all it is loading when a network interface of its machine comes or goes, and containers that start
    elsewhere on this machine do that: the campaign then cancels what was begun and plays it again, as it always does.
    """
    if (out / scenario / "demo" / MANIFEST).exists():
        shutil.rmtree(out / scenario / "demo")  # an earlier demo's: the same run would go on there and have nothing to play
    command = [sys.executable, "-m", "sidecar", "replay", scenario, "--url", lab.url + lab.context_path, "--setup", "lan"]
    command += ["--run-id", "demo", "--markers", sidecar.markers, "--out", str(out / scenario), "--attempts", "4", *more]
    if visible:
        command.append("--visible")
    secrets = {"XNAT_USER": scenario, "XNAT_PASSWORD": lab.users[scenario]}
    if subprocess.run(command, env={**os.environ, **secrets}, check=False).returncode != 0:
        raise Fault(f"the scenario {scenario} failed", f"see the evidence in {out / scenario / 'demo' / 'failed'}")


def expected_actions() -> list[str]:
    """The catalogue actions of both scenarios, in their order."""
    actions: dict[str, None] = {}
    for name in SCENARIOS:
        actions |= dict.fromkeys(load_scenario(name).actions())
    return list(actions)


def missing_rows(usage: Mapping[str, Any], containers: Sequence[str]) -> list[str]:
    """Which action × container has no CPU figure, or not for each time that it was done, as `download × xnat-web`."""
    known = {(row["action"], row["container"]) for row in usage["rows"] if row["cpu_seconds"]["estimate"] is not None}
    missing = [f"{action} × {name}" for action in expected_actions() for name in containers if (action, name) not in known]
    return missing or [f"{row['action']} × {row['container']}" for row in usage["rows"] if row["measured"] < row["count"]]


def await_usage(sidecar: Sidecar, containers: Sequence[str]) -> tuple[Any, list[str]]:
    """The usage table once every action is joined with its samples, or when that takes too long; and what is missing."""
    deadline = time.monotonic() + SETTLED_S
    pause = threading.Event()
    while True:
        usage = sidecar.get("/api/v1/usage", source="replay", run="demo")
        missing = missing_rows(usage, containers)
        if not missing or time.monotonic() > deadline:
            return usage, missing
        pause.wait(0.5)


def save_journal(source: Path, target: Path) -> None:
    """Copy a journal that may be in use."""
    target.unlink(missing_ok=True)
    with sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True) as reading, sqlite3.connect(target) as writing:
        reading.backup(writing)
    reading.close()
    writing.close()


def print_tables(journal: Path) -> None:
    """Print the usage tables as `tracemark usage` does."""
    subprocess.run([sys.executable, "-m", "sidecar", "usage", "--journal", str(journal), "--run", "demo"], check=True)


def _tagger(arguments: argparse.Namespace) -> list[str]:
    """The options of `tracemark replay` that say who tells the markers."""
    given = ["--tagger", arguments.tagger]
    return [*given, "--extension", arguments.extension] if arguments.extension else given


@contextmanager
def _lab(arguments: argparse.Namespace) -> Iterator[LabInfo]:
    directory = Path(arguments.lab) if arguments.lab else state_directory(os.environ)
    options = stack.LabOptions(
        directory=directory,
        exam_size=arguments.exam_size,
        processes=arguments.processes,
        port=arguments.port,
        name_prefix=arguments.name_prefix,
    )
    ours = not any(part.state == "running" for part in stack.status(options.directory))
    lab = stack.up(options, _say)
    try:
        yield lab
    finally:
        if ours:
            stack.down(options.directory, _say)


def run(arguments: argparse.Namespace, work: Path) -> int:
    """Everything between the first and the last line of the demo."""
    out = Path(arguments.out).absolute() if arguments.out else None
    results = (out or work) / "replay"
    with _lab(arguments) as lab:
        journal = work / "journal.sqlite"
        sidecar = start_sidecar(settings_for(lab, journal, arguments.http, arguments.markers))
        try:
            started_ns = time.time_ns()
            _say(f"the live page is at {sidecar.url}")
            for scenario in SCENARIOS:
                _say(f"a {scenario} is at work")
                play(lab, sidecar, scenario, results, arguments.visible, _tagger(arguments))
            usage, missing = await_usage(sidecar, lab.containers)
            print_tables(journal)
            if out:
                (out / "usage.json").write_text(json.dumps(usage, indent=2) + "\n", encoding="utf-8")
                query = urllib.parse.urlencode({"from": started_ns, "to": time.time_ns()})
                screenshot(f"{sidecar.url}/?{query}", out / "page.png", ready="[data-ready='true']")
            if not arguments.exit:
                _say(f"the live page stays open at {sidecar.url}; Ctrl-C ends the demo")
                sidecar.process.wait()
        except KeyboardInterrupt:
            _say("ending")
            missing = []
        finally:
            stop_sidecar(sidecar)
        if out:
            save_journal(journal, out / "journal.sqlite")
            report = [sys.executable, "-m", "sidecar", "report", "--journal", str(journal), "--run", "demo"]
            subprocess.run([*report, "--out", str(out / "report.html")], check=True)
            _say(f"left in {out}: usage.json, journal.sqlite, page.png, report.html")
    if missing:
        raise Fault(f"no usage for {', '.join(missing)}", "see the gaps on the live page, or run `tracemark check`")
    return 0


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="tracemark demo", description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--exit", action="store_true", help="end after the tables instead of keeping the page open")
    parser.add_argument("--out", metavar="DIR", help="leave usage.json, journal.sqlite, page.png and report.html there")
    parser.add_argument(
        "--exam-size", default="100MB", help="small, 460MB (the study's exam), or any <n>MB (default: %(default)s)"
    )
    parser.add_argument("--processes", action="store_true", help="run the lab as plain processes even where Docker answers")
    parser.add_argument("--visible", action="store_true", help="show the browser")
    parser.add_argument(
        "--tagger", choices=("replay", "extension"), default="replay",
        help="who tells the markers; with extension a table compares them with what was played (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--extension", metavar="DIR", help="the extension's source (default: extension/ beside this package)")
    parser.add_argument("--http", default="127.0.0.1:8050", help="where the live page listens (default: %(default)s)")
    parser.add_argument("--markers", default="127.0.0.1:8051", help="where the marker channel listens (default: %(default)s)")
    parser.add_argument("--port", type=int, default=None, help="port of the lab's nginx (default: a free one)")
    parser.add_argument("--lab", metavar="DIR", default=None, help="the lab's state folder (default: as `tracemark lab up`)")
    parser.add_argument("--name-prefix", metavar="P", default="", help="before the containers' names, beside another lab or XNAT")
    arguments = parser.parse_args(argv)
    if arguments.out:
        Path(arguments.out).mkdir(parents=True, exist_ok=True)
    # SIGTERM must clean up as Ctrl-C does: containers and browsers are not children that die with us.
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))
    work = Path(tempfile.mkdtemp(prefix="tracemark-demo-"))
    try:
        return run(arguments, work)
    finally:
        shutil.rmtree(work, ignore_errors=True)
