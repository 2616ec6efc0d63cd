"""Plain processes: whose pid is it, which control group, which programs."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from replay.lab.control_groups import PARENT, ControlGroups
from replay.lab.faults import LabFault
from replay.lab.folders import StateFolder
from replay.lab.pids import Identity, PidFile, ends_within, identify
from replay.lab.processes import Processes, database_folder, free_port
from replay.lab.watching import watched
from tests.support.lab import RecordedRun

BOOT = "0d7c0a52-1f6b-4c5d-9a34-6c1f6c6f7a11"


def a_proc(root: Path, pid: int, *, state: str = "S", ticks: int = 500, name: str = "nginx", boot: str = BOOT) -> Path:
    (root / str(pid)).mkdir(parents=True, exist_ok=True)
    fields = [state, *["0"] * 18, str(ticks), *["0"] * 10]
    (root / str(pid) / "stat").write_text(f"{pid} ({name}) {' '.join(fields)}\n")
    (root / "sys/kernel/random").mkdir(parents=True, exist_ok=True)
    (root / "sys/kernel/random/boot_id").write_text(boot + "\n")
    return root


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "600"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


def test_a_process_is_known_by_number_start_and_boot(tmp_path: Path) -> None:
    assert identify(7, a_proc(tmp_path, 7)) == Identity(pid=7, started_ticks=500, boot=BOOT)


def test_a_name_with_brackets_and_blanks_does_not_shift_the_fields(tmp_path: Path) -> None:
    found = identify(7, a_proc(tmp_path, 7, name="a) S 1 (b"))
    assert found is not None
    assert found.started_ticks == 500


@pytest.mark.parametrize("state", ["Z", "X"])
def test_a_process_that_only_waits_to_be_collected_is_gone(tmp_path: Path, state: str) -> None:
    assert identify(7, a_proc(tmp_path, 7, state=state)) is None


def test_no_such_process(tmp_path: Path) -> None:
    assert identify(8, a_proc(tmp_path, 7)) is None


@pytest.mark.parametrize("change", [{"ticks": 501}, {"boot": "another"}])
def test_a_reused_number_is_not_our_process(tmp_path: Path, change: dict[str, object]) -> None:
    proc = a_proc(tmp_path / "proc", 7)
    file = PidFile(tmp_path / "xnat-web.pid")
    file.write(Identity(pid=7, started_ticks=500, boot=BOOT))
    assert file.living(proc) is not None
    assert file.living(a_proc(tmp_path / "proc", 7, **change)) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("content", [None, "", "{}", "[]", '{"pid": 1}'])
def test_a_pid_file_without_its_identity_is_nobody_s(tmp_path: Path, content: str | None) -> None:
    (tmp_path / "xnat-web.pid").write_text(f"{os.getpid()}\n")
    if content is not None:
        (tmp_path / "xnat-web.identity").write_text(content)
    assert PidFile(tmp_path / "xnat-web.pid").living() is None


def test_the_pid_file_holds_the_number_alone(tmp_path: Path) -> None:
    file = PidFile(tmp_path / "xnat-web.pid")
    file.write(Identity(pid=42, started_ticks=1, boot=BOOT))
    assert file.path.read_text() == "42\n"


def test_ending_a_process_asks_it_and_forgets_it(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    file = PidFile(tmp_path / "xnat-web.pid")
    identity = identify(sleeper.pid)
    assert identity is not None
    file.write(identity)
    file.end(signal.SIGTERM, grace_s=10)
    assert sleeper.wait(10) == -signal.SIGTERM
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    deaf = subprocess.Popen(
        ["sh", "-c", "trap '' TERM; echo ready; read forever"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert deaf.stdout is not None
    assert deaf.stdin is not None
    with deaf.stdout, deaf.stdin:
        deaf.stdout.readline()
        identity = identify(deaf.pid)
        assert identity is not None
        file = PidFile(tmp_path / "xnat-web.pid")
        file.write(identity)
        file.end(signal.SIGTERM, grace_s=0.2)
        assert deaf.wait(10) == -signal.SIGKILL


def test_a_stranger_with_our_old_number_is_left_alone(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    file = PidFile(tmp_path / "xnat-web.pid")
    file.write(Identity(pid=sleeper.pid, started_ticks=1, boot=BOOT))
    file.end(signal.SIGTERM, grace_s=1)
    assert sleeper.poll() is None
    assert not file.path.exists()


def test_the_end_of_a_process_is_waited_for_and_told(sleeper: subprocess.Popen[bytes]) -> None:
    identity = identify(sleeper.pid)
    assert identity is not None
    assert not ends_within(identity, 0)
    threading.Timer(0, sleeper.terminate).start()
    assert ends_within(identity, 60)
    assert ends_within(identity, 0)
    assert ends_within(Identity(pid=os.getpid(), started_ticks=1, boot=BOOT), 0)  # a stranger with its number is not it


def test_a_program_is_looked_at_again_when_it_says_something_or_ends(tmp_path: Path) -> None:
    output = tmp_path / "output"
    with output.open("wb") as writing:
        program = subprocess.Popen(["sh", "-c", "read it; echo hello; read it"], stdin=subprocess.PIPE, stdout=writing)
    assert program.stdin is not None
    with program.stdin as told:
        identity = identify(program.pid)
        assert identity is not None
        with watched(output, identity) as wait:
            assert not wait(0)
            told.write(b"go\n")
            told.flush()
            assert wait(60)
            assert output.read_text() == "hello\n"
            assert not wait(0)
            told.close()
            assert wait(60)
            assert wait(60)  # there is nothing left to wait for
    program.wait(60)
    with watched(output, identity) as wait:
        assert wait(60)


def test_what_cannot_be_watched_is_named(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    identity = identify(sleeper.pid)
    assert identity is not None
    with pytest.raises(LabFault, match=r"none cannot be watched \(No such file"), watched(tmp_path / "none", identity):
        pass


def v1(root: Path) -> ControlGroups:
    for kind in ("cpuacct", "memory", "cpu"):
        (root / kind).mkdir()
    return ControlGroups(root)


def test_groups_of_version_1_are_made_where_cpu_and_memory_are_counted(tmp_path: Path) -> None:
    made = v1(tmp_path).make("xnat-web")
    assert made == (
        tmp_path / "cpuacct/tracemark-lab/xnat-web/cgroup.procs",
        tmp_path / "memory/tracemark-lab/xnat-web/cgroup.procs",
    )
    assert all(path.parent.is_dir() for path in made)


def test_removing_the_last_group_removes_the_parent(tmp_path: Path) -> None:
    groups = v1(tmp_path)
    groups.make("xnat-web")
    groups.make("xnat-db")
    groups.remove("xnat-web")
    assert (tmp_path / "memory/tracemark-lab/xnat-db").is_dir()
    groups.remove("xnat-db")
    groups.remove("xnat-db")
    assert not (tmp_path / "memory/tracemark-lab").exists()


def test_a_group_of_version_2_gets_the_controllers_handed_down(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu memory\n")
    (tmp_path / "tracemark-lab").mkdir()
    assert ControlGroups(tmp_path).make("xnat-web") == (tmp_path / "tracemark-lab/xnat-web/cgroup.procs",)
    for folder in (tmp_path, tmp_path / "tracemark-lab"):
        assert (folder / "cgroup.subtree_control").read_text() == "+cpu +memory"


def test_where_groups_may_not_be_made_there_are_none(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu memory\n")
    (tmp_path / "cgroup.subtree_control").mkdir()  # refuses to be written, as the kernel does for a group with processes in it
    assert ControlGroups(tmp_path).make("xnat-web") == ()
    assert not (tmp_path / "tracemark-lab/xnat-web").exists()
    assert ControlGroups(tmp_path / "nowhere").make("xnat-web") == ()


def test_a_group_is_made_also_when_another_lab_takes_the_common_parent_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups, mkdir, taken = v1(tmp_path), os.mkdir, []

    def taken_away_at_first(path: Path, mode: int = 0o777) -> None:
        mkdir(path, mode)
        if Path(path).name == PARENT and path not in taken:
            taken.append(path)
            os.rmdir(path)

    monkeypatch.setattr(os, "mkdir", taken_away_at_first)
    assert len(groups.make("xnat-web")) == len(taken) == 2
    assert (tmp_path / "memory/tracemark-lab/xnat-web").is_dir()


def test_a_port_that_is_given_is_free_and_none_of_those_that_the_system_gives() -> None:
    given = {free_port() for _ in range(20)}
    assert len(given) > 1
    assert max(given) < 32_768  # from there on Linux gives them away
    for port in given:
        with socket.create_server(("127.0.0.1", port)):
            pass


def test_where_every_port_is_taken_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr("replay.lab.processes._PORTS", [taken.getsockname()[1]] * 100)
        with pytest.raises(LabFault, match="has no port between"):
            free_port()


def processes(tmp_path: Path) -> Processes:
    folder = StateFolder(tmp_path / "state")
    folder.make()
    return Processes(
        folder=folder,
        prefix="t-",
        port=1,
        context_path="",
        viewer=tmp_path,
        run=RecordedRun(),
        groups=v1(tmp_path),
        as_root=True,
    )


def test_another_lab_s_processes_are_refused_by_name(tmp_path: Path) -> None:
    parts = processes(tmp_path)
    parts.check()
    [group, _] = parts.groups.make("t-xnat-db")
    group.write_text("41\n40\n")
    with pytest.raises(LabFault, match=r"another lab's t-xnat-db runs \(process 40\)"):
        parts.check()


def test_states_tell_running_from_gone_from_never_there(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    parts = processes(tmp_path)
    identity = identify(sleeper.pid)
    assert identity is not None
    parts.pid_file("xnat-web").write(identity)
    parts.pid_file("xnat-db").write(Identity(pid=sleeper.pid, started_ticks=1, boot=BOOT))
    states = {part.name: (part.state, part.detail) for part in parts.states()}
    assert states == {
        "t-xnat-web": ("running", f"process {sleeper.pid}"),
        "t-xnat-db": ("stopped", "its process is gone"),
        "t-xnat-nginx": ("missing", "no pid file"),
    }
    assert json.loads((parts.folder.processes / "xnat-web.identity").read_text())["pid"] == sleeper.pid


def test_the_database_gets_a_folder_that_its_user_can_enter(tmp_path: Path) -> None:
    hidden = tmp_path / "root-only"
    folder = StateFolder(hidden / "lab")
    folder.make()
    hidden.chmod(0o700)
    assert database_folder(folder, as_root=False) == folder.database
    outside = database_folder(folder, as_root=True)
    assert hidden not in outside.parents
    assert outside != database_folder(StateFolder(hidden), as_root=True)
