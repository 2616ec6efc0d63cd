"""`make demo` as a newcomer runs it, with real containers, a real browser and a real viewer; and the same without Docker."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from replay.demo import play, settings_for, start_sidecar, stop_sidecar
from replay.lab import stack
from replay.lab.command import run
from replay.lab.containers import engine_answers
from replay.lab.options import LabOptions
from replay.scenario import load_scenario
from sidecar.journal.sqlite import SqliteJournal
from sidecar.model.records import Action, ActionUsage, Marker
from tests.support.sidecar import free_port
from tests.support.waiting import wait_until

CONTAINERS = ("xnat-web", "xnat-db", "xnat-nginx")
ACTIONS = {name: load_scenario(name).actions() for name in ("researcher", "radiologist")}


class Demo:
    """One `tracemark demo` that leaves its results in a folder."""

    def __init__(self, folder: Path, *more: str) -> None:
        self.out = folder / "out"
        self.http = f"127.0.0.1:{free_port()}"
        addresses = ["--http", self.http, "--markers", f"127.0.0.1:{free_port()}", "--port", str(free_port())]
        self.arguments = ["--exit", "--out", str(self.out), "--lab", str(folder / "lab"), *addresses, *more]
        self.text = ""

    def run(self) -> None:
        """Run it to its end, which must be a good one."""
        clean = {key: value for key, value in os.environ.items() if not key.startswith("TRACEMARK_") or key == "TRACEMARK_CACHE"}
        process = subprocess.Popen(
            [sys.executable, "-m", "sidecar", "demo", *self.arguments],
            env=clean,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            self.text, _ = process.communicate(timeout=400)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGTERM)
            self.text, _ = process.communicate(timeout=60)
            raise
        assert process.returncode == 0, self.text

    @property
    def usage(self) -> Any:
        return json.loads((self.out / "usage.json").read_text(encoding="utf-8"))

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(f"{(self.out / 'journal.sqlite').as_uri()}?mode=ro", uri=True)
        try:
            return connection.execute(sql, values).fetchall()
        finally:
            connection.close()


def check(demo: Demo, sample_source: str, prefix: str = "") -> None:
    """What everybody who runs the demo relies on."""
    containers = tuple(prefix + name for name in CONTAINERS)
    table = {(row["action"], row["container"]): row for row in demo.usage["rows"]}
    for action in {name for names in ACTIONS.values() for name in names}:
        for container in containers:
            row = table[action, container]
            assert row["cpu_seconds"]["estimate"] is not None, f"{action} on {container} has no CPU figure"
    for container in containers:
        # Over all actions: a busy machine may hold a reading up for as long as a short one lasts.
        rows = [row for (_, name), row in table.items() if name == container]
        lasted_s = sum(row["duration_s"]["mean"] * row["measured"] for row in rows)
        samples = sum(row["hz"] * row["duration_s"]["mean"] * row["measured"] for row in rows)
        assert samples / lasted_s > 5, f"{container} was sampled at {samples / lasted_s:.1f} Hz only"
    web, database, nginx = (table["download", name]["cpu_seconds"]["estimate"] for name in containers)
    assert web > database + nginx, "a download is compression in xnat-web"
    assert table["download", containers[0]]["sent_bytes"] > 5_000_000
    assert table["open_viewer", containers[0]]["requests"] > 50, "the viewer fetches a slice a request"
    assert "Table 1. Server load during researcher interactions." in demo.text
    assert "Table 2. Server load during radiologist interactions." in demo.text
    report = (demo.out / "report.html").read_text(encoding="utf-8")
    assert "OPEN VIEWER" in report
    assert "<polyline" in report or "<path" in report
    picture = (demo.out / "page.png").read_bytes()
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", picture[16:24])
    assert width >= 1280
    assert height >= 700
    assert len(picture) > 40_000, "the page is empty"
    with SqliteJournal(demo.out / "journal.sqlite") as journal:
        usages = [usage for _, usage in journal.read(ActionUsage)]
    assert {usage.sample_source for usage in usages} == {sample_source}
    requests = demo.rows("SELECT count(*) FROM requests WHERE session IS NOT NULL AND action_id IS NOT NULL")
    assert requests[0][0] > 200, "requests name their session and action"


def leftovers(names: Sequence[str]) -> list[str]:
    """Containers of the lab that still exist."""
    told = subprocess.run(["docker", "ps", "-a", "--format", "{{.Names}}"], capture_output=True, text=True, check=True)
    return [name for name in told.stdout.split() if name in names]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where a test has its lab, whose archive and database (elsewhere, where PostgreSQL may be) go with the test."""
    yield tmp_path
    stack.down(tmp_path / "lab", print, purge=True)


@pytest.mark.engine
@pytest.mark.browser
def test_the_demo_in_containers(folder: Path) -> None:
    assert engine_answers(run) is None, "no Docker engine answers: run the tests through `make test`"
    prefix = f"demo-{os.getpid()}-"  # a lab or an XNAT with the usual names may be up on this engine
    demo = Demo(folder, "--exam-size", "small", "--name-prefix", prefix)
    demo.run()
    check(demo, "cgroup", prefix)
    assert leftovers([prefix + name for name in CONTAINERS]) == []


@pytest.mark.browser
def test_the_demo_as_plain_processes(folder: Path) -> None:
    prefix = f"demo-{os.getpid()}-"
    demo = Demo(folder, "--exam-size", "small", "--processes", "--name-prefix", prefix)
    demo.run()
    check(demo, "cgroup", prefix)
    assert "as plain processes" in demo.text


@pytest.mark.browser
def test_killing_the_sidecar_in_mid_scenario_loses_no_marker_and_repeats_none(folder: Path) -> None:
    options = LabOptions(
        directory=folder / "lab", exam_size="small", processes=True, port=0, name_prefix=f"killed-{os.getpid()}-"
    )
    lab = stack.up(options, print)
    try:
        addresses = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        settings = settings_for(lab, folder / "journal.sqlite", *addresses)
        sidecar = start_sidecar(settings)
        results = folder / "results"
        player = ThreadPoolExecutor(1).submit(play, lab, sidecar, "radiologist", results, False)
        try:
            for so_many in (1, 3, 6):
                wait_until(partial(reached, folder / "journal.sqlite", so_many, player), f"{so_many} actions", 120)
                sidecar.process.kill()
                sidecar.process.wait()
                sidecar = start_sidecar(settings)
            player.result(timeout=180)
        finally:
            stop_sidecar(sidecar)
    finally:
        stack.down(options.directory, print)
    (result,) = [json.loads(path.read_text(encoding="utf-8")) for path in results.rglob("result.json")]
    told = sorted(action["action_id"] for action in result["actions"])
    assert len(told) == sum(step.begins for step in load_scenario("radiologist").steps)
    with SqliteJournal(sidecar.journal) as journal:
        markers = [marker for _, marker in journal.read(Marker)]
        actions = [action for _, action in journal.read(Action) if action.source == "replay"]
    for phase in ("begin", "end"):
        assert sorted(marker.action_id for marker in markers if marker.phase == phase) == told
    assert sorted(marker.seq for marker in markers) == list(range(markers[0].seq, markers[0].seq + len(markers)))
    assert sorted(action.action_id for action in actions) == told


def reached(journal: Path, so_many: int, player: Future[None]) -> bool:
    """Whether a journal in use has so many actions, or there will be no more."""
    connection = sqlite3.connect(f"{journal.as_uri()}?mode=ro", uri=True)
    try:
        count: int = connection.execute("SELECT count(*) FROM actions").fetchone()[0]
    finally:
        connection.close()
    return count >= so_many or player.done()
