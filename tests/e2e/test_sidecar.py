"""The whole sidecar from outside: it is killed at any moment, ends cleanly, and says what is wrong in one line."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
from pathlib import Path

from replay.marker_client import MarkerClient
from tests.support.sidecar import SidecarProcess, running_sidecar
from tests.support.waiting import wait_until


def stored(journal: Path) -> list[tuple[str, int]]:
    with sqlite3.connect(f"{journal.as_uri()}?mode=ro", uri=True) as connection:
        rows = connection.execute("SELECT session, seq FROM markers ORDER BY session, seq").fetchall()
    connection.close()
    return rows


def test_sigkill_at_any_moment_loses_no_acknowledged_marker_and_repeats_none(tmp_path: Path) -> None:
    pick = random.Random(20261122)
    session = "5e" * 16
    with running_sidecar(tmp_path) as sidecar:
        with MarkerClient(f"ws://{sidecar.markers}/markers", session=session) as client:
            told = 0
            for _ in range(5):
                for _ in range(pick.randint(1, 60)):
                    client.end(client.begin("scroll"))
                    told += 2
                if pick.random() < 0.5:
                    assert client.flush(60)
                sidecar.kill()
                client.end(client.begin("play"))  # told to nobody: it must arrive after the restart
                told += 2
                sidecar.start()
            assert client.flush(60), client.health()
        rows = stored(sidecar.journal)
        assert [seq for _, seq in rows] == list(range(1, told + 1))
        assert len(set(rows)) == told

        def ended() -> bool:
            count: int = len(sidecar.get("/api/v1/actions", session=session, limit=5000)["rows"])
            return count == told // 2

        wait_until(ended, "every action to be there once")


def test_sigterm_ends_it_with_everything_committed(tmp_path: Path) -> None:
    with running_sidecar(tmp_path) as sidecar:
        client = MarkerClient(f"ws://{sidecar.markers}/markers", session="ab" * 16)
        client.start()
        action = client.begin("download")
        client.end(action, bytes=460_000_000)
        assert client.flush(60)
        assert sidecar.stop() == 0
        client.close(timeout_s=0)
        assert not sidecar.journal.with_name(sidecar.journal.name + "-wal").exists(), "the journal was not closed"
        assert len(stored(sidecar.journal)) == 2


def test_what_it_was_not_running_for_is_a_gap(tmp_path: Path) -> None:
    pid_file = tmp_path / "xnat-web.pid"
    pid_file.write_text(f"{os.getpid()}\n", encoding="ascii")
    with running_sidecar(tmp_path, {"TRACEMARK_PROCESSES": f"xnat-web={pid_file}"}) as sidecar:

        def sampled() -> bool:
            rows = sidecar.get("/api/v1/containers")["rows"]
            return bool(rows and rows[0]["last_sample"])

        wait_until(sampled, "the first sample")
        sidecar.kill()
        sidecar.start()

        def told() -> list[str]:
            return [gap["reason"] for gap in sidecar.get("/api/v1/gaps")["rows"] if gap["part"] == "sidecar"]

        assert wait_until(told, "the gap") == ["the sidecar was not running"]


def command(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("TRACEMARK_")}
    return subprocess.run(
        [sys.executable, "-m", "sidecar", *arguments],
        env={**clean, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_taken_port_is_one_clear_line(tmp_path: Path) -> None:
    with running_sidecar(tmp_path) as sidecar:
        for variable, address in (("TRACEMARK_HTTP", sidecar.http), ("TRACEMARK_MARKERS", sidecar.markers)):
            settings = {
                **SidecarProcess(tmp_path, {}).settings,
                "TRACEMARK_JOURNAL": str(tmp_path / "other.sqlite"),
                variable: address,
            }
            ended = command("serve", **settings)
            assert ended.returncode == 2
            assert ended.stderr.count("\n") == 1
            assert ended.stderr.startswith("tracemark: ")
            assert address in ended.stderr
            assert variable in ended.stderr


def test_a_wrong_setting_names_the_key_the_value_and_what_is_allowed() -> None:
    ended = command("serve", TRACEMARK_CGROUP_HZ="often")
    assert ended.returncode == 2
    assert ended.stderr == "tracemark: TRACEMARK_CGROUP_HZ=often is not valid: allowed: 0.1 to 100\n"
    ended = command("serve", TRACEMARK_CGROUP_HERTZ="10")
    assert ended.returncode == 2
    assert ended.stderr == "tracemark: TRACEMARK_CGROUP_HERTZ is not a setting: did you mean TRACEMARK_CGROUP_HZ?\n"


def test_a_damaged_journal_is_named_and_left_alone(tmp_path: Path) -> None:
    journal = tmp_path / "journal.sqlite"
    journal.write_bytes(b"SQLite format 3\0" + bytes(range(256)) * 64)
    before = journal.read_bytes()
    ended = command("serve", **SidecarProcess(tmp_path, {}).settings)
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert str(journal) in ended.stderr
    assert journal.read_bytes() == before
