"""Real control groups of both versions: a group goes when its last process has ended, and stays while one lives."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from replay.lab.control_groups import PARENT, ControlGroups, make_group

NAME = f"t{os.getpid()}-emptied"
VERSION_1 = Path("/sys/fs/cgroup")


@contextmanager
def version_2(mount: Path) -> Iterator[Path]:
    mount.mkdir()
    done = subprocess.run(["mount", "-t", "cgroup2", "none", str(mount)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"control groups cannot be mounted here: {done.stderr.strip()}")
    try:
        yield mount
    finally:
        subprocess.run(["umount", str(mount)], check=True)


@contextmanager
def inhabited(root: Path, folders: tuple[Path, ...]) -> Iterator[tuple[ControlGroups, subprocess.Popen[bytes]]]:
    """A group with a process in it; both are gone afterwards."""
    process = subprocess.Popen(["sleep", "600"])
    try:
        for folder in folders:
            make_group(folder)
            (folder / "cgroup.procs").write_text(f"{process.pid}\n")
        yield ControlGroups(root), process
    finally:
        process.kill()
        process.wait()
        ControlGroups(root).remove(NAME)


@pytest.mark.parametrize("version", [1, 2])
def test_a_group_is_removed_once_its_last_process_has_ended(tmp_path: Path, version: int) -> None:
    if version == 1:
        kinds = [VERSION_1 / kind / PARENT / NAME for kind in ("cpuacct", "memory")]
        if os.geteuid() != 0 or not all(kind.parents[1].is_dir() for kind in kinds):
            pytest.skip("control groups of version 1 can be made by root only, where they are mounted")
        removed_in_time(VERSION_1, tuple(kinds))
    else:
        with version_2(tmp_path / "cgroup") as root:
            removed_in_time(root, (root / PARENT / NAME,))


def removed_in_time(root: Path, folders: tuple[Path, ...]) -> None:
    with inhabited(root, folders) as (groups, process):
        assert groups.members(NAME) == {process.pid}
        threading.Timer(0, process.terminate).start()
        groups.remove(NAME)  # waits: where it comes first, the process is still there
        assert not any(folder.exists() for folder in folders)
        assert groups.members(NAME) == set()


def test_a_group_whose_processes_stay_is_let_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("replay.lab.control_groups._EMPTYING_S", 0.0)
    with version_2(tmp_path / "cgroup") as root, inhabited(root, (root / PARENT / NAME,)) as (groups, process):
        groups.remove(NAME)
        assert groups.members(NAME) == {process.pid}
