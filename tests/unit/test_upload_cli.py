"""The command `tracemark replay upload`, as far as it goes without a site."""

from __future__ import annotations

from pathlib import Path

import pytest

from replay import cli
from replay.safety import HostNotAllowedError
from replay.upload.cli import main
from replay.upload.faults import UploadUsageError
from sidecar.model.faults import UsageFault

SITE = ("--url", "http://127.0.0.1:1", "--setup", "lan", "--set", "project=UP")


def test_a_dry_run_lists_what_would_be_made_and_makes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = ["upload", *SITE, "--out", str(tmp_path / "out"), "--run-id", "day", "--bursts", "3", "--exams-per-burst", "2"]
    assert cli.main([*wanted, "--every", "90m", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert [line.split()[0] for line in said.splitlines() if line.startswith("  TM-")] == [f"TM-day-000{n}" for n in range(1, 7)]
    assert "burst 3, 3:00:00 after the begin" in said
    assert "6 subjects, each with one session" in said
    assert "project   UP" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--setup", "lan"], "--url is missing"),
        (["--url", "http://127.0.0.1:1"], "--setup is missing"),
        (["--url", "http://me:word@127.0.0.1:1", "--setup", "lan"], "user name"),
        ([*SITE, "--run-id", "a.b"], "cannot be part of a label"),
        ([*SITE, "--bursts", "0"], "--bursts 0 is too few"),
        ([*SITE, "--bursts", "2", "--set", "exams=1"], "1 exams cannot be sent in 2 bursts"),
        ([*SITE, "--exams-per-burst", "3", "--set", "exams=2"], "leave one out"),
        ([*SITE, "--set", "folder=nowhere"], "folder nowhere cannot be read"),
        ([*SITE, "--variation", "2"], "--variation"),
        ([*SITE, "--set", "size=huge"], "exam size"),
        ([*SITE, "--clean-up"], "there is no run of uploads"),
        ([*SITE, "--clean-up", "--run-id", "nothing"], "there is no run of uploads"),
        (SITE, "XNAT_USER is not set"),
    ],
)
def test_wrong_use_is_named(options: list[str], why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XNAT_USER", raising=False)
    with pytest.raises(UsageFault) as caught:
        main([*options, "--out", str(tmp_path)])
    assert why in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_so_many_exams_is_named(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    with pytest.raises(UploadUsageError, match="holds 1 exams, not 5"):
        main([*SITE, "--set", f"folder={tmp_path}", "--set", "exams=5"])


def test_only_allowed_hosts_are_uploaded_to() -> None:
    with pytest.raises(HostNotAllowedError):
        main(["--url", "https://xnat.example.org", "--setup", "wan", "--set", "project=UP"])
