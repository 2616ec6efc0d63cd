"""`tracemark replay … --every` as a process: it says when the next run is due, and ends in order with SIGTERM."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.browser


def test_it_waits_for_its_time_and_ends_with_sigterm(tmp_path: Path) -> None:
    account = {"XNAT_USER": "reader", "XNAT_PASSWORD": "secret-word", "TZ": "Europe/Rome"}
    line = ["replay", "researcher", "--url", "http://127.0.0.1:9", "--setup", "lan", "--markers", "none", "--out", str(tmp_path)]
    schedule = ["--every", "30d", "--at", "03:30", "--quiet", "22:00-03:00", "--run-id", "base"]
    process = subprocess.Popen(
        [sys.executable, "-m", "sidecar", *line, *schedule], stderr=subprocess.PIPE, text=True, env={**os.environ, **account}
    )
    try:
        assert process.stderr is not None
        told = process.stderr.readline()
        assert told.startswith("replay: next run base-"), told
        assert " 03:30 CE" in told
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert process.stderr.read() == ""
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
    assert list(tmp_path.iterdir()) == [], "nothing was played"
