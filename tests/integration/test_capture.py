"""Real captures: whole from the first packet to the last, refused when not, and no process left behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from replay import capture_probe
from replay.campaign import CampaignFailedError
from replay.campaign_capture import PacketRecorder
from replay.capture import Capture, CaptureDiskFullError, CaptureDroppedError, CaptureError
from replay.packets import Metrics, Server, read_metrics
from tests.conftest import ROOT
from tests.support import journal as make
from tests.support.campaign_fakes import Field
from tests.support.namespaces import SERVER, UNPRIVILEGED, crossing
from tests.support.waiting import wait_until

HOST = "127.91.0.1"  # this machine, and nobody else's traffic
PROGRAMS = ("dumpcap", "tcpdump")
SIZE = 300_000
#: ends by closing, so that the last packet is the server's last acknowledgement
SERVE = """
import socket
listening = socket.create_server(("{host}", 8080))
print("ready", flush=True)
while True:
    client, _ = listening.accept()
    with client:
        client.recv(100)
        client.sendall(bytes({size}))
        client.shutdown(socket.SHUT_WR)
        client.recv(1)
"""
CAPTURE = """
import json, socket, sys
from pathlib import Path
from replay.capture import Capture
from replay.packets import Server, read_metrics
host, out = sys.argv[1], Path(sys.argv[2])
with Capture([host], 8080, out) as capture:
    with socket.create_connection((host, 8080)) as client:
        client.sendall(b"GET")
        while client.recv(65536):
            pass
metrics = read_metrics(out, Server(frozenset([host]), 8080)).whole
result = capture.result
print(json.dumps([result.interface, result.proof, result.packets, metrics.packets, metrics.down_payload, metrics.up_payload]))
"""


@pytest.fixture(scope="module", autouse=True)
def _may_capture(tmp_path_factory: pytest.TempPathFactory) -> None:
    try:
        with Capture([HOST], 9, tmp_path_factory.mktemp("capture") / "x"):
            pass
    except CaptureError as error:
        pytest.skip(f"no capture is possible here: {error}")


def transfer(size: int) -> int:
    """One connection on the loopback interface that carries `size` bytes down; returns the server's port."""
    with socket.create_server((HOST, 0)) as listening:
        port: int = listening.getsockname()[1]

        def serve() -> None:
            client, _ = listening.accept()
            with client:
                client.recv(3)
                client.sendall(bytes(size))

        server = threading.Thread(target=serve)
        server.start()
        with socket.create_connection((HOST, port)) as client:
            client.sendall(b"GET")
            while client.recv(65536):
                pass
        server.join()
    return port


def flood(count: int) -> None:
    """Datagrams to nobody."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(count):
            sender.sendto(bytes(400), (HOST, 9))


def whole(metrics: Metrics) -> bool:
    """Whether all was seen that `transfer` sent; a busy machine may send a segment again even to itself."""
    again = metrics.retransmitted + metrics.out_of_order
    return metrics.down_payload == SIZE or (again > 0 and metrics.down_payload > SIZE)


def program_of(capture: Capture) -> int:
    """The process id of the capturing program, below its reaper."""
    assert capture._running is not None
    reaper = capture._running._process.pid
    return int(Path(f"/proc/{reaper}/task/{reaper}/children").read_text().split()[0])


def gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_first_and_the_last_packet_are_there(program: str, tmp_path: Path) -> None:
    out = tmp_path / "x.cap"
    with Capture([HOST], None, out, program=program) as capture:
        pid = program_of(capture)
        port = transfer(SIZE)  # at once after the start, and the stop at once after it
    assert gone(pid)
    assert capture.result is not None
    assert (capture.result.proof, capture.result.interface, capture.result.program) == ("probe", "lo", program)
    metrics = read_metrics(out, Server(frozenset([HOST]), port))
    assert metrics.broken is None
    assert metrics.whole.handshake_rtt_ns is not None
    assert metrics.whole.lost == 0
    assert whole(metrics.whole)


def test_where_no_probe_can_be_sent_the_end_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture_probe.Probe, "send", lambda _self: False)
    out = tmp_path / "x.cap"
    with Capture([HOST], None, out) as capture:
        port = transfer(SIZE)
    assert capture.result is not None
    assert capture.result.proof == "word"
    assert whole(read_metrics(out, Server(frozenset([HOST]), port)).whole)


def test_over_a_network_without_saying_which_interface(tmp_path: Path) -> None:
    with crossing() as between, between.serving(SERVE.format(host=SERVER, size=SIZE)):
        interface, proof, packets, counted, down, up = json.loads(between.run(CAPTURE, SERVER, str(tmp_path / "x")))
    assert (interface, proof, down, up) == ("c1", "probe", SIZE, 3)
    assert packets == counted > 10  # our probes are not counted, and nothing else went by


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_capture_that_dropped_packets_is_refused(program: str, tmp_path: Path) -> None:
    capture = Capture([HOST], 9, tmp_path / "x", program=program, buffer_mib=1)
    capture.start()
    pid = program_of(capture)
    os.kill(pid, signal.SIGSTOP)
    try:
        flood(20_000)
    finally:
        os.kill(pid, signal.SIGCONT)
    with pytest.raises(CaptureDroppedError, match=r"packets were dropped.*calm this machine"):
        capture.stop()
    assert capture.result is None
    assert gone(pid)


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_full_disk_is_named(program: str, tmp_path: Path) -> None:
    with make.small_disk(tmp_path) as folder, pytest.raises(CaptureDiskFullError, match="no space left"):  # noqa: PT012
        with Capture([HOST], 9, folder / "x", program=program) as capture:
            pid = program_of(capture)
            # dumpcap gives up by itself; tcpdump goes on and writes nothing more.
            flood(10_000)
            wait_until(lambda: gone(pid) or not shutil.disk_usage(folder).free, "the disk to be full")


@pytest.mark.parametrize("keep", [False, True], ids=["packets_read", "packets_kept"])
def test_packets_that_fill_the_disk_leave_a_failed_repetition_with_its_evidence(keep: bool, tmp_path: Path) -> None:
    field = Field(tmp_path, repetitions=2)
    field.recorder = PacketRecorder(f"http://{HOST}:9", keep=keep)  # type: ignore[assignment]
    with make.small_disk(tmp_path) as folder:
        field.out = folder
        field.behave = lambda _browser, number: number == 1 or fill(folder)
        with pytest.raises(CampaignFailedError, match=r"repetition 2 failed: there is no (space|room)"):
            field.run()
        assert field.kept() == ["failed", "outbox", "repetition-001"]
        assert field.kept("failed") == ["repetition-002-attempt-1"]
        failure = field.result("failed", "repetition-002-attempt-1").failure
        assert failure is not None
        assert failure.kind == "disk"
        assert not [path for path in folder.rglob("*") if path.name.endswith(".part")]


def fill(folder: Path) -> bool:
    """Datagrams, until those who capture them have no more room."""
    flood(10_000)
    return wait_until(lambda: shutil.disk_usage(folder).free < 64 * 1024, "the disk to be full")


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"interface": "nosuch0"}, "no network interface 'nosuch0'"),
        ({"out": Path("/nonexistent/x")}, "the capture's file cannot be written"),
    ],
    ids=["interface", "folder"],
)
def test_what_cannot_be_captured_is_named(program: str, change: dict[str, object], words: str, tmp_path: Path) -> None:
    given: dict[str, object] = {"addresses": [HOST], "port": 9, "out": tmp_path / "x", "program": program}
    make_capture: Callable[..., Capture] = Capture
    with pytest.raises(CaptureError, match=words):
        make_capture(**(given | change)).start()


@pytest.mark.parametrize(
    ("program", "remedy"), [("dumpcap", "usermod -aG wireshark USER"), ("tcpdump", "install wireshark-common")]
)
def test_without_privileges_it_says_how_to_get_them(program: str, remedy: str, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from replay.capture import Capture, CaptureNotPermittedError\n"
        "try:\n    Capture(['127.0.0.1'], 9, Path(sys.argv[2]), program=sys.argv[1]).start()\n"
        "except CaptureNotPermittedError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [*UNPRIVILEGED, sys.executable, "-c", code, program, str(tmp_path / "x")],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert f"may not capture packets with {program}" in done.stdout
    assert remedy in done.stdout
    assert "setcap cap_net_raw,cap_net_admin=eip" in done.stdout


def test_an_exception_ends_the_capture(tmp_path: Path) -> None:
    capture = Capture([HOST], 9, tmp_path / "x")
    capture.start()
    pid = program_of(capture)
    capture.__exit__(KeyError, KeyError(), None)
    assert gone(pid)
    assert capture.result is None


def test_no_process_stays_when_the_replayer_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from replay.capture import Capture\n"
        "capture = Capture(['127.0.0.1'], 9, Path(sys.argv[1])); capture.start()\n"
        "reaper = capture._running._process.pid\n"
        "print(reaper, Path(f'/proc/{reaper}/task/{reaper}/children').read_text().split()[0], flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "x")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as replayer:
        assert replayer.stdout is not None
        reaper, program = map(int, replayer.stdout.readline().split())
        replayer.kill()
    wait_until(lambda: gone(program), "the capturing program to end")
    # The reaper was our child's: it is gone, or waits for somebody to reap it.
    wait_until(lambda: gone(reaper) or "\nState:\tZ" in Path(f"/proc/{reaper}/status").read_text(), "the reaper to end")
