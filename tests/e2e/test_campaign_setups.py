"""The study's procedure in LAN, WAN and VPN for real: one route a run, packets captured, everything told to a sidecar."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from replay.chromium import BrowserMissingError, BrowserPaths
from replay.lab import stack
from replay.lab.command import run
from replay.lab.faults import LabFault
from replay.lab.info import LabInfo
from replay.lab.networks.link import SETUPS, Link, Setup
from replay.lab.networks.namespaces import Namespaces
from replay.lab.options import LabOptions, Sidecar
from replay.lab.processes import find_programs
from tests.support.sidecar import SidecarProcess
from tests.support.waiting import wait_until

pytestmark = pytest.mark.browser

SLOW = Link(delay_ns=30_000_000, down_bits=16_000_000, up_bits=4_000_000)
LINKS: dict[Setup, Link] = {"wan": SLOW, "vpn": SLOW}
ROUTES = {
    "lan": ["198.18.10.1"],
    "wan": ["198.18.20.1", "198.18.21.2", "198.18.22.2"],
    "vpn": ["198.18.33.1", "198.18.32.2"],
}
REPETITIONS: dict[Setup, int] = {"lan": 1, "wan": 2, "vpn": 2}
DETOUR = ["198.18.20.129", *ROUTES["wan"][1:]]


@dataclass(frozen=True)
class Bench:
    """A practice system behind all three setups, and a sidecar."""

    lab: LabInfo
    sidecar: SidecarProcess
    out: Path

    @contextmanager
    def campaign(self, setup: Setup, *more: str) -> Iterator[subprocess.Popen[bytes]]:
        """Repetitions by a researcher where the setup's client is; ended as by Ctrl-C when nobody waited for it."""
        replay = [sys.executable, "-m", "sidecar", "replay", "researcher", "--url", "{url}", "--markers", "{markers}"]
        replay += ["--setup", setup, "--repetitions", str(REPETITIONS[setup]), "--capture", "--seed", "4"]
        replay += ["--out", str(self.out), "--run-id", setup]
        place = [sys.executable, "-m", "sidecar", "lab", "run", "--dir", self.lab.directory, "--setup", setup]
        line = [*place, "--user", "researcher", "--", *replay, "--set", "pace=40", *more]
        with self.said(setup).open("ab") as said:
            process = subprocess.Popen(line, stdout=said, stderr=said)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            process.wait(60)

    def played(self, setup: Setup, *more: str) -> None:
        """The command, to its end."""
        with self.campaign(setup, *more) as process:
            assert process.wait(120) == 0, self.said(setup).read_text()

    def said(self, setup: Setup) -> Path:
        return self.out / f"{setup}.txt"

    def begun(self, setup: Setup, number: int) -> bool:
        """Whether this repetition is being played; its route has been traced by then."""
        return (self.out / setup / f"repetition-{number:03d}.part").exists()

    def read(self, setup: Setup, name: str) -> Any:
        return json.loads((self.out / setup / name).read_text())

    def repetitions(self, setup: Setup) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """Result and transfers of the repetitions that count, which are all that were asked for."""
        names = sorted(path.name for path in (self.out / setup).glob("repetition-*"))
        assert names == [f"repetition-{number:03d}" for number in range(1, REPETITIONS[setup] + 1)], self.said(setup).read_text()
        return [(self.read(setup, f"{name}/result.json"), self.read(setup, f"{name}/transfers.json")) for name in names]

    def check(self, setup: Setup) -> None:
        """What holds in every setup: one route, a whole capture, far more down than up, and the sidecar knows all of it."""
        manifest = self.read(setup, "manifest.json")
        rows = self.sidecar.get("/api/v1/transfers", run=setup, limit=1000)["rows"]
        for result, transfers in self.repetitions(setup):
            assert result["route"] == len(manifest["routes"])
            assert result["capture"]["dropped_by_kernel"] == 0
            assert result["capture"]["proof"] == "probe"
            whole = transfers["whole"]
            assert result["capture"]["packets"] == whole["packets"]  # the marker channel's and the trace's are not among them
            [download] = [action["action_id"] for action in result["actions"] if action["action"] == "download"]
            assert transfers["windows"][download]["down_bytes"] > manifest["exam_bytes"] > 2_000_000
            assert whole["down_bytes"] > 8 * whole["up_bytes"]
            told = {row["action_id"]: row for row in rows if row["session"] == result["session"]}
            assert set(told) == {None, *(action["action_id"] for action in result["actions"])}
            for action_id, row in told.items():
                metrics = whole if action_id is None else transfers["windows"][action_id]
                assert row["method"] == "capture"
                assert (row["run"], row["setup"], row["repetition"]) == (setup, setup, result["repetition"])
                for name in ("down_bytes", "up_bytes", "packets", "retransmitted", "duration_ns"):
                    assert row[name] == metrics[name], name
        finished = self.sidecar.get("/api/v1/actions", run=setup, limit=1000)["rows"]
        wanted = {action["action_id"] for result, _ in self.repetitions(setup) for action in result["actions"]}
        assert wanted <= {row["action_id"] for row in finished if row["outcome"] == "completed"}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    if (why_not := Namespaces(run).why_not()) is not None:
        pytest.skip(why_not)
    try:
        find_programs()
        BrowserPaths.find(os.environ)
    except (LabFault, BrowserMissingError) as missing:
        pytest.skip(f"no campaign can be played: {missing}")
    folder = tmp_path_factory.mktemp("setups")
    (folder / "out").mkdir()
    sidecar = SidecarProcess(folder, {})
    wanted = LabOptions(
        directory=folder / "lab",
        processes=True,
        port=0,
        exam_size="5MB",
        name_prefix=f"c{os.getpid()}-",
        sidecar=Sidecar(sidecar.http, sidecar.markers),
        setups=SETUPS,
        links=LINKS,
    )
    try:
        lab = stack.up(wanted, print)
        sidecar.settings["TRACEMARK_PROCESSES"] = ",".join(f"{name}={file}" for name, file in lab.pid_files.items())
        sidecar.start()
        try:
            yield Bench(lab, sidecar, folder / "out")
        finally:
            sidecar.stop()
    finally:
        stack.down(wanted.directory, print, purge=True)


def test_the_lan_is_fast_and_direct_and_its_costs_are_told_at_the_end(bench: Bench) -> None:
    bench.played("lan")
    bench.check("lan")
    assert "What each action cost, by the sidecar" in bench.said("lan").read_text()
    assert [route["hops"] for route in bench.read("lan", "manifest.json")["routes"]] == [ROUTES["lan"]]
    for _, transfers in bench.repetitions("lan"):
        assert transfers["whole"]["tls_versions"] == []
        assert transfers["whole"]["handshake_rtt_ns"] < 2 * SLOW.delay_ns


def test_a_route_that_changes_in_mid_run_makes_what_was_finished_void_and_the_wan_speaks_tls_1_3(bench: Bench) -> None:
    reroute = [sys.executable, "-m", "sidecar", "lab", "reroute", "--dir", bench.lab.directory, "--setup", "wan"]
    with bench.campaign("wan", "--sidecar", "none") as process:
        wait_until(lambda: bench.begun("wan", 1) or process.poll() is not None, "the first repetition", 60)
        subprocess.run(reroute, check=True, timeout=60)
        assert process.wait(120) == 0, bench.said("wan").read_text()
    bench.check("wan")
    assert "1 finished repetitions do not count; beginning again at 1" in bench.said("wan").read_text()
    manifest = bench.read("wan", "manifest.json")
    assert [route["hops"] for route in manifest["routes"]] == [ROUTES["wan"], DETOUR]
    assert manifest["discarded"] == [1]
    assert bench.read("wan", "discarded/route-1/repetition-001/result.json")["failure"] is None
    check_line(bench, "wan")
    for _, transfers in bench.repetitions("wan"):
        assert transfers["whole"]["tls_versions"] == ["TLS 1.3"]


def test_a_campaign_that_was_killed_in_the_vpn_is_finished_by_the_same_command(bench: Bench) -> None:
    with bench.campaign("vpn", "--sidecar", "none") as process:
        wait_until(lambda: bench.begun("vpn", 2) or process.poll() is not None, "the second repetition", 90)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    client = bench.lab.setups["vpn"].namespace
    ours = [int((Path(bench.lab.directory) / "networks" / "vpn" / "vpn-client.pid").read_text().split()[0])]
    inside = Namespaces(run).processes
    wait_until(lambda: [pid for pid in inside(client) if pid not in ours] == [], "browser and capture to end", 30)
    first = bench.read("vpn", "repetition-001/result.json")
    bench.played("vpn", "--sidecar", "none")
    bench.check("vpn")
    assert bench.read("vpn", "repetition-001/result.json") == first
    assert list((bench.out / "vpn" / "outbox").iterdir()) == []
    assert [route["hops"] for route in bench.read("vpn", "manifest.json")["routes"]] == [ROUTES["vpn"]]
    check_line(bench, "vpn")


def check_line(bench: Bench, setup: Setup) -> None:
    """Delay and rate of the line are in the metrics."""
    assert SLOW.down_bits is not None
    for result, transfers in bench.repetitions(setup):
        assert transfers["whole"]["handshake_rtt_ns"] >= 2 * SLOW.delay_ns
        [download] = [action["action_id"] for action in result["actions"] if action["action"] == "download"]
        assert 0 < transfers["windows"][download]["down_rate"] <= 1.05 * SLOW.down_bits / 8
