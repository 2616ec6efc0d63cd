"""Programs of the tests that shall not see what other tests do to the machine's networks."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from errno import EAFNOSUPPORT
from pathlib import Path

import pytest

from tests.support.network_blind import blinded

ASKING = """
import socket
for family in ("AF_INET", "AF_UNIX", "AF_NETLINK"):
    try:
        socket.socket(getattr(socket, family), socket.SOCK_DGRAM).close()
        print(family, 0)
    except OSError as error:
        print(family, error.errno)
"""


def test_a_blinded_program_gets_every_socket_but_netlink(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM):  # which anybody else gets
        pass
    there, blind = tmp_path / "there", tmp_path / "blind"
    there.mkdir()
    blind.mkdir()
    (there / "asker").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", f"{blind}:{there}")
    assert blinded("asker", blind)
    assert shutil.which("asker") == str(blind / "asker")
    told = subprocess.run(["asker", "-c", ASKING], capture_output=True, text=True, timeout=60, check=True)
    assert told.stdout.splitlines() == ["AF_INET 0", "AF_UNIX 0", f"AF_NETLINK {EAFNOSUPPORT}"]


def test_a_program_that_is_not_there_stays_so(tmp_path: Path) -> None:
    assert not blinded("no-such-program", tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_driver_that_tests_find_is_blind(tmp_path: Path) -> None:
    driver = shutil.which("chromedriver")
    if driver is None:
        pytest.skip("Chromium's driver is not there: install chromium-driver")
    assert "network_blind" in Path(driver).read_text(encoding="utf-8", errors="replace")
