"""The whole lab, in real containers and as real processes: it comes up, answers, logs, and leaves nothing behind."""

from __future__ import annotations

import os
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from replay.lab import stack
from replay.lab.command import run
from replay.lab.containers import COMPOSE_FILE, compose_command, engine_answers
from replay.lab.faults import LabFault
from replay.lab.info import LabInfo
from replay.lab.parts import Parts
from replay.lab.pids import identify
from replay.lab.processes import find_programs
from replay.lab.stack import LabOptions, down, status, up
from tests.support.waiting import wait_until

PREFIX = f"t{os.getpid()}-"


def in_containers() -> None:
    if why := engine_answers(run):
        pytest.skip(f"the lab's containers need a Docker engine: {why}")


def as_processes() -> None:
    try:
        find_programs()
    except LabFault as fault:
        pytest.skip(f"the lab's processes cannot run here: {fault}")


MODES = [pytest.param("docker", marks=pytest.mark.engine), "processes"]


@pytest.fixture(scope="module", params=MODES)
def options(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabOptions]:
    """A lab of its own for each mode; whatever a test does, it is down and gone at the end."""
    (in_containers if request.param == "docker" else as_processes)()
    directory = tmp_path_factory.mktemp(f"lab-{request.param}") / "lab"
    yield LabOptions(directory=directory, port=0, name_prefix=PREFIX, processes=request.param == "processes")
    down(directory, print, purge=True)


@pytest.fixture(scope="module")
def lab(options: LabOptions) -> LabInfo:
    return up(options, print)


def get(url: str) -> int:
    request = urllib.request.Request(url, headers={"traceparent": "00-0123-4567-01", "User-Agent": "curl/8"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return int(answer.status)


def containers_and_networks() -> str:
    listed = run(["docker", "ps", "--all", "--quiet", "--filter", f"name={PREFIX}"], timeout_s=30)
    networks = run(["docker", "network", "ls", "--quiet", "--filter", f"name={PREFIX}"], timeout_s=30)
    return listed.output + networks.output


def test_the_first_page_comes_through_nginx(lab: LabInfo) -> None:
    assert get(f"{lab.url}{lab.context_path}/") == 200


def test_nginx_writes_our_line_on_the_host_and_nothing_private(lab: LabInfo) -> None:
    log = Path(lab.log_files["nginx"])
    assert get(f"{lab.url}{lab.context_path}/?format=html&secret=hush") == 200

    def ours() -> list[str]:
        return [line for line in log.read_text().splitlines() if line.split("\t")[11:12] == ["html"]]

    [line] = wait_until(ours, "the request's line in nginx's log")
    fields = line.split("\t")
    assert len(fields) == 14
    assert fields[0] == "tm1"
    assert float(fields[1]) > 1.6e9
    assert 0 <= float(fields[5]) <= float(fields[2]) + 0.001 < 60
    assert fields[6] == "200"
    assert fields[9:12] == ["GET", f"{lab.context_path}/", "html"]
    assert fields[12].startswith("text/html")
    assert fields[13] == "00-0123-4567-01"
    assert "hush" not in line
    assert "curl" not in line


def test_tomcat_s_log_is_on_the_host_too(lab: LabInfo) -> None:
    pattern = Path(lab.log_files["tomcat"])
    [log] = wait_until(lambda: list(pattern.parent.glob(pattern.name)), "tomcat's access log")
    wait_until(lambda: '"GET ' in log.read_text(), "a request in tomcat's access log")


def test_all_three_run_and_up_changes_nothing(lab: LabInfo, options: LabOptions) -> None:
    before = status(options.directory)
    assert [(part.name, part.state) for part in before] == [(name, "running") for name in lab.containers]
    said: list[str] = []
    assert up(options, said.append) == lab
    assert said == [f"the lab is up already: {lab.url}/"]
    assert [part.name for part in status(options.directory)] == [part.name for part in before]


@pytest.mark.parametrize("options", ["processes"], indirect=True)
def test_each_process_is_counted_in_a_control_group_of_its_own(lab: LabInfo) -> None:
    pids = {name: int(Path(path).read_text()) for name, path in lab.pid_files.items()}
    assert set(pids) == set(lab.containers)
    if os.geteuid() != 0 or not Path("/sys/fs/cgroup/cpuacct").is_dir():
        pytest.skip("control groups of version 1 can be made by root only, where they are mounted")
    for name, pid in pids.items():
        for kind in ("cpuacct", "memory"):
            group = Path("/sys/fs/cgroup", kind, "tracemark-lab", name)
            assert str(pid) in (group / "cgroup.procs").read_text().split()
    assert int(Path("/sys/fs/cgroup/cpuacct/tracemark-lab", f"{PREFIX}xnat-web", "cpuacct.usage").read_text()) > 0


@pytest.mark.engine
@pytest.mark.parametrize("options", ["docker"], indirect=True)
def test_a_second_compose_file_can_be_laid_over_ours(lab: LabInfo, tmp_path: Path) -> None:
    over = tmp_path / "override.yml"
    over.write_text("services:\n  xnat-web:\n    environment:\n      EXTRA: wanted\n")
    files = ["--env-file", f"{lab.directory}/compose.env", "--file", str(COMPOSE_FILE), "--file", str(over)]
    merged = run([*compose_command(run, Path(sys.executable)), *files, "config"], timeout_s=60)
    assert merged.status == 0, merged.errors
    assert "EXTRA: wanted" in merged.output
    assert f"{lab.directory}/xnat-data/archive" in merged.output


def test_down_leaves_nothing_running_and_keeps_the_archive(lab: LabInfo, options: LabOptions) -> None:
    pids = [int(Path(path).read_text()) for path in lab.pid_files.values()]
    down(options.directory, print)
    if lab.mode == "docker":
        assert containers_and_networks() == ""
    assert [pid for pid in pids if identify(pid)] == []
    assert not list(Path("/sys/fs/cgroup").glob(f"*/tracemark-lab/{PREFIX}*"))
    assert (options.directory / "xnat-data/archive/manifest.json").exists()
    with pytest.raises(LabFault, match="no lab is up"):
        LabInfo.load(options.directory)


def test_an_interrupted_start_leaves_nothing_running(options: LabOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    running: list[str] = []

    def interrupt(parts: Parts, *_: object) -> None:
        running.extend(part.state for part in parts.states())
        raise KeyboardInterrupt

    monkeypatch.setattr(stack, "_await_page", interrupt)
    with pytest.raises(KeyboardInterrupt):
        up(options, print)
    assert running == ["running"] * 3
    if not options.processes:
        assert containers_and_networks() == ""
    assert list((options.directory / "processes").glob("*.pid")) == []


def test_a_part_that_fails_is_named_with_its_last_lines_and_takes_the_rest_with_it(options: LabOptions) -> None:
    said: list[str] = []
    users = options.directory / "users.json"
    users.write_text("{}")  # the web application refuses to work for nobody
    try:
        with pytest.raises(LabFault, match=f"{PREFIX}xnat-web ended"):
            up(options, said.append)
    finally:
        users.unlink()
    assert "LAB_USERS_FILE" in said[-1]
    if not options.processes:
        assert containers_and_networks() == ""
    assert list((options.directory / "processes").glob("*.pid")) == []
