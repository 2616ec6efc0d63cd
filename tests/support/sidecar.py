"""A real `tracemark serve` in a process of its own, for tests that look at it from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from replay.lab.processes import free_port
from tests.support.waiting import wait_until

__all__ = ["SidecarProcess", "free_port", "running_sidecar"]


class SidecarProcess:
    """One sidecar; may be killed and started again on the same journal and ports."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self.http = f"127.0.0.1:{free_port()}"
        self.markers = f"127.0.0.1:{free_port()}"
        self.journal = folder / "journal.sqlite"
        self.settings = {
            "TRACEMARK_HTTP": self.http,
            "TRACEMARK_MARKERS": self.markers,
            "TRACEMARK_JOURNAL": str(self.journal),
            "TRACEMARK_DOCKER": "off",
            **settings,
        }
        self._log = folder / "sidecar.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def said(self) -> str:
        """All that it has said so far."""
        return self._log.read_text(encoding="utf-8") if self._log.exists() else ""

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self, wait: bool = True) -> None:
        clean = {key: value for key, value in os.environ.items() if not key.startswith("TRACEMARK_")}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "sidecar", "serve"], env={**clean, **self.settings}, stdout=log, stderr=log
            )
        if wait:
            wait_until(self.ready, f"the sidecar to be ready: {self.said}")

    def ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"the sidecar ended with {self._process.returncode}: {self.said}"
        try:
            with urllib.request.urlopen(f"http://{self.http}/readyz", timeout=30) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def get(self, path: str, **query: str | int) -> Any:
        url = f"http://{self.http}{path}" + (f"?{urllib.parse.urlencode(query)}" if query else "")
        with urllib.request.urlopen(url, timeout=60) as answer:
            return json.load(answer)

    def kill(self) -> None:
        """SIGKILL: nothing of it may run any more."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """SIGTERM; its exit status."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise


@contextmanager
def running_sidecar(folder: Path, settings: Mapping[str, str] | None = None) -> Iterator[SidecarProcess]:
    """A sidecar that is ready, and is ended afterwards."""
    sidecar = SidecarProcess(folder, settings or {})
    sidecar.start()
    try:
        yield sidecar
    finally:
        sidecar.stop()
