"""A browser's own folder, and what is left of one whose process was killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from replay.private_folder import PREFIX, private_folder, remove_strays

KILLED = """
import os, sys
from pathlib import Path
from replay.private_folder import private_folder
with private_folder(Path(sys.argv[1])) as folder:
    (folder / "profile").mkdir()
    (folder / "profile" / "cookies").write_text("x")
    os.kill(os.getpid(), 9)
"""


def killed(parent: Path) -> Path:
    """The folder of a process that was killed in the middle."""
    ended = subprocess.run([sys.executable, "-c", KILLED, str(parent)], timeout=60, check=False)
    assert ended.returncode == -signal.SIGKILL
    (left,) = parent.glob(f"{PREFIX}*")
    return left


def use_and_fail(parent: Path) -> None:
    with private_folder(parent) as folder:
        (folder / "tmp").mkdir()
        (folder / "tmp" / "addon.xpi").write_text("x")
        assert folder.stat().st_mode & 0o077 == 0
        raise KeyError


def test_it_goes_when_it_is_left_also_by_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        use_and_fail(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_next_one_removes_what_a_killed_process_left_and_no_living_ones_folder(tmp_path: Path) -> None:
    left = killed(tmp_path)
    assert (left / "profile" / "cookies").exists()
    with private_folder(tmp_path) as living, private_folder(tmp_path) as next_one:
        assert {path.name for path in tmp_path.iterdir()} == {living.name, next_one.name}
        assert remove_strays(tmp_path) == 0


def test_what_nobody_has_signed_yet_or_what_is_no_folder_is_let_be(tmp_path: Path) -> None:
    (tmp_path / f"{PREFIX}being-made").mkdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "owner").write_text("")
    (tmp_path / f"{PREFIX}link").symlink_to(elsewhere)
    (tmp_path / f"{PREFIX}file").write_text("x")
    assert remove_strays(tmp_path) == 0
    assert len(list(tmp_path.iterdir())) == 4
