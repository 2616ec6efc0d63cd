"""What the tests of the lab's networks have in common: a site to put behind them, and captures in their namespaces."""

from __future__ import annotations

import http.server
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from replay.lab.info import LabInfo, SetupInfo
from replay.lab.networks.namespaces import entered
from tests.support.http_serving import serving
from tests.support.waiting import wait_until


def lab_info(directory: Path, url: str, setups: dict[str, SetupInfo]) -> LabInfo:
    """What is written down of a lab of plain processes behind `url`."""
    return LabInfo(
        url=url,
        mode="processes",
        context_path="/xnat",
        users={"researcher": "a password"},
        exam={},
        log_files={},
        containers=(),
        pid_files={},
        directory=str(directory),
        exam_size="small",
        project="",
        setups=setups,
    )


class Site(http.server.BaseHTTPRequestHandler):
    """GET /N gives N bytes, or N itself when it is a word; it says how it was reached in X-Seen."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        wanted = self.path[1:]
        body = b"x" * int(wanted) if wanted.isdecimal() else wanted.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Seen", f"{self.headers['X-Forwarded-Proto']} {self.headers['Host']}")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
        """Silent."""


@contextmanager
def site() -> Iterator[str]:
    """HOST:PORT of a small site."""
    with serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)) as server:
        yield f"127.0.0.1:{server.server_port}"


@contextmanager
def captured(namespace: str, device: str, towards: str, file: Path) -> Iterator[None]:
    """Captures what passes a device; the file is complete afterwards, proven by a last packet `towards` an address beyond it."""
    last = b"the last packet of " + file.name.encode()
    told = file.with_suffix(".told")
    words = ["tcpdump", "-Z", "root", "-i", device, "-n", "-U", "--immediate-mode", "-s", "2048", "-B", "32768", "-w", str(file)]
    with told.open("w") as errors:
        process = subprocess.Popen(["ip", "netns", "exec", namespace, *words], stderr=errors)
    try:
        wait_until(lambda: "listening on" in told.read_text(), "tcpdump to listen")
        yield
        with entered(namespace), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(last, (towards, 9))
        wait_until(lambda: last in file.read_bytes(), "the last packet in the capture", timeout_s=60)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
    assert "\n0 packets dropped by kernel" in told.read_text()


def fields(file: Path, display_filter: str, *names: str) -> list[list[str]]:
    """What the reference dissector reads in a capture."""
    words = [word for name in names for word in ("-e", name)]
    read = subprocess.run(
        ["tshark", "-n", "-r", str(file), "-Y", display_filter, "-T", "fields", *words],
        capture_output=True,
        check=True,
        text=True,
    )
    return [line.split("\t") for line in read.stdout.splitlines()]


def nanoseconds(stamp: str) -> int:
    """An epoch stamp of the dissector, exactly."""
    seconds, _, fraction = stamp.partition(".")
    return int(seconds) * 10**9 + int(fraction.ljust(9, "0")[:9])


def processes_about(text: str) -> list[str]:
    """The command lines of this machine that hold a text."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in line:
            found.append(line)
    return found
