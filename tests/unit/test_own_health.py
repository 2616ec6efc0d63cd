"""What the sidecar says of its own use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sidecar.collect.own_health import own_health
from sidecar.errors import CollectError
from tests.unit.test_cgroup_processes import stat_text


def test_values_come_from_proc(tmp_path: Path) -> None:
    (tmp_path / "stat").write_text(stat_text(7, 1, ticks=(120, 30, 0, 0), pages=11))
    (tmp_path / "status").write_text("Name:\tpython\nThreads:\t9\nVmRSS:\t  44 kB\n")
    (tmp_path / "fd").mkdir()
    for name in "012":
        (tmp_path / "fd" / name).touch()
    assert own_health(tmp_path) == {
        "cpu_seconds": 150 / os.sysconf("SC_CLK_TCK"),
        "memory_bytes": 11 * os.sysconf("SC_PAGE_SIZE"),
        "threads": 9,
        "open_files": 3,
    }


def test_this_process(tmp_path: Path) -> None:
    before = own_health()
    with (tmp_path / "x").open("w"):
        after = own_health()
    assert after["open_files"] == before["open_files"] + 1
    assert after["memory_bytes"] > 2**20


def test_without_proc_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(CollectError, match="/proc"):
        own_health(tmp_path)
