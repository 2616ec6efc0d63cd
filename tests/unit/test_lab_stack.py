"""Up, down and status as a whole, without a Docker engine: what is started, what is refused, what is left behind."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator, Sequence
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from replay.lab import cli, stack
from replay.lab.command import Outcome
from replay.lab.faults import LabFault, LabUsageFault
from replay.lab.info import LabInfo
from replay.lab.options import LabOptions, Sidecar
from replay.lab.stack import down, status, up
from replay.lab.studies import plan
from tests.support.http_serving import serving
from tests.support.lab import REFUSED, RecordedRun, output
from tests.unit.test_lab_viewer import pack


class Page(BaseHTTPRequestHandler):
    """Stands for nginx: answers every GET with the server's `status`."""

    def do_GET(self) -> None:
        self.send_response(getattr(self.server, "status"))  # noqa: B009
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


class Engine:
    """A Docker engine in which every image is there and containers run from Compose's up to its down."""

    def __init__(self) -> None:
        self.up: str | None = None
        self.web_ends = False
        self.server: ThreadingHTTPServer | None = None

    def __call__(self, command: Sequence[str]) -> Outcome | None:
        match list(command):
            case ["docker", "compose", *_, "--pull", "never"]:
                self.up = command[command.index("--project-directory") + 1]
            case ["docker", "compose", *words] if "down" in words:
                self.up, self.web_ends = None, False
            case ["docker", "container", "inspect", "--format", wanted, name]:
                if self.up is None:
                    return REFUSED
                if "Labels" in wanted:
                    return output(self.up)
                if self.web_ends and name.endswith("xnat-web"):
                    return output('{"Running": false, "ExitCode": 3}')
                return output(json.dumps({"Running": True, "StartedAt": "2026-01-02T03:04:05.6Z"}))
            case ["docker", "logs", *_]:
                return output("the web application's last line\n")
        return None


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def page() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    server.status = 200  # type: ignore[attr-defined]
    with serving(server):
        yield server


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: ThreadingHTTPServer) -> LabOptions:
    """A lab whose nginx is the page above: the port is taken, so the look whether it is free is left out."""
    monkeypatch.setattr("replay.lab.studies.plan", lambda size: [replace(one, slices=1, side=64) for one in plan(size)])
    monkeypatch.setattr("replay.lab.stack._port", lambda wanted: wanted)
    pack(tmp_path / "cache", {"package/dist/index.umd.js": "viewer"})
    return LabOptions(directory=tmp_path / "lab", port=page.server_address[1], cache=tmp_path / "cache", environment={})


def quiet(_text: str) -> None:
    pass


def test_a_lab_that_is_up_is_described_and_shown(engine: Engine, options: LabOptions) -> None:
    info = up(options, quiet, runner=RecordedRun(engine))
    assert info == LabInfo.load(options.directory)
    assert info.mode == "docker"
    assert info.containers == ("xnat-web", "xnat-db", "xnat-nginx")
    assert set(info.users) == {"researcher", "radiologist", "admin"}
    assert info.exam["session"] == "COVID_0001_CT1"
    assert Path(info.log_files["nginx"]) == options.directory / "nginx/xnat.access.log"
    assert (options.directory / "xnat-data/archive/manifest.json").exists()
    assert [part.state for part in status(options.directory, runner=RecordedRun(engine))] == ["running"] * 3


def test_up_on_a_running_lab_starts_nothing(engine: Engine, options: LabOptions) -> None:
    first = up(options, quiet, runner=RecordedRun(engine))
    again = RecordedRun(engine)
    said: list[str] = []
    assert up(options, said.append, runner=again) == first
    assert not [command for command in again.commands if "up" in command]
    assert said == [f"the lab is up already: {first.url}/"]


def test_a_running_lab_of_another_kind_is_not_passed_off_as_the_one_asked_for(engine: Engine, options: LabOptions) -> None:
    up(options, quiet, runner=RecordedRun(engine))
    with pytest.raises(LabUsageFault, match="exam size 'small', not '460MB'"):
        up(replace(options, exam_size="460MB"), quiet, runner=RecordedRun(engine))
    with pytest.raises(LabUsageFault, match="mode 'docker', not 'processes'"):
        up(replace(options, processes=True), quiet, runner=RecordedRun(engine))
    with pytest.raises(LabUsageFault, match="numbered users 0, not 12"):
        up(replace(options, users=12), quiet, runner=RecordedRun(engine))


def test_a_lab_has_as_many_numbered_users_as_it_is_told(engine: Engine, options: LabOptions) -> None:
    info = up(replace(options, users=3), quiet, runner=RecordedRun(engine))
    assert [name for name in info.users if name.startswith("researcher0")] == ["researcher01", "researcher02", "researcher03"]
    assert up(replace(options, users=2), quiet, runner=RecordedRun(engine)) == info
    with pytest.raises(LabUsageFault, match="there are no -1 users"):
        replace(options, users=-1)


def test_a_lab_receives_dicom_when_it_is_told_to(engine: Engine, options: LabOptions) -> None:
    info = up(replace(options, dicom=18104), quiet, runner=RecordedRun(engine))
    assert info.dicom == "127.0.0.1:18104/XNAT"
    assert LabInfo.load(options.directory).dicom == info.dicom
    for same in (options, replace(options, dicom=18104), replace(options, dicom=0)):
        assert up(same, quiet, runner=RecordedRun(engine)) == info
    with pytest.raises(LabUsageFault, match=r"DICOM receiver .* not '127.0.0.1:1/XNAT'"):
        up(replace(options, dicom=1), quiet, runner=RecordedRun(engine))


def test_a_lab_without_a_dicom_receiver_is_not_passed_off_as_one_with(engine: Engine, options: LabOptions) -> None:
    assert up(options, quiet, runner=RecordedRun(engine)).dicom == ""
    with pytest.raises(LabUsageFault, match="DICOM receiver ''"):
        up(replace(options, dicom=0), quiet, runner=RecordedRun(engine))


def test_the_lab_leads_to_the_sidecar_that_it_was_told_of(engine: Engine, options: LabOptions) -> None:
    told = replace(options, sidecar=Sidecar("10.0.0.7:18050", "10.0.0.7:18051"))
    info = up(told, quiet, runner=RecordedRun(engine))
    assert LabInfo.load(options.directory).sidecar == info.sidecar == "10.0.0.7:18050,10.0.0.7:18051"
    assert "http://10.0.0.7:18050/api/v1/tickets" in (options.directory / "nginx.conf").read_text(encoding="utf-8")
    assert up(told, quiet, runner=RecordedRun(engine)) == info
    with pytest.raises(LabUsageFault, match=r"with sidecar '.*:18051', not ''"):
        up(options, quiet, runner=RecordedRun(engine))


def test_a_lab_of_which_a_part_has_ended_is_started_anew(engine: Engine, options: LabOptions) -> None:
    up(options, quiet, runner=RecordedRun(engine))
    engine.web_ends = True
    run = RecordedRun(engine)
    up(options, quiet, runner=run)
    verbs = [word for command in run.commands for word in command if word in ("down", "up")]
    assert verbs == ["down", "up"]


def test_a_container_that_ends_is_named_with_its_last_lines_and_nothing_is_left(
    engine: Engine, options: LabOptions, page: ThreadingHTTPServer
) -> None:
    engine.web_ends = True
    page.status = 502  # type: ignore[attr-defined]
    said: list[str] = []
    with pytest.raises(LabFault, match=r"xnat-web ended \(exit status 3\)"):
        up(options, said.append, runner=RecordedRun(engine))
    assert said[-1] == "the last lines of xnat-web:\nthe web application's last line"
    assert engine.up is None
    assert status(options.directory) == ()


def test_an_interrupted_start_leaves_nothing(engine: Engine, options: LabOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        assert engine.up is not None
        raise KeyboardInterrupt

    monkeypatch.setattr(stack, "_await_page", interrupt)
    with pytest.raises(KeyboardInterrupt):
        up(options, quiet, runner=RecordedRun(engine))
    assert engine.up is None
    assert not (options.directory / "lab.json").exists()


def test_data_of_a_start_that_failed_are_made_anew(engine: Engine, options: LabOptions, page: ThreadingHTTPServer) -> None:
    engine.web_ends = True
    page.status = 502  # type: ignore[attr-defined]
    with pytest.raises(LabFault):
        up(options, quiet, runner=RecordedRun(engine))
    half_made = options.directory / "postgres-data/half-made"
    half_made.parent.mkdir(exist_ok=True)
    half_made.write_text("")
    engine.web_ends = False
    page.status = 200  # type: ignore[attr-defined]
    up(options, quiet, runner=RecordedRun(engine))
    assert not half_made.exists()


def test_down_keeps_the_archive_and_the_catalogue_for_the_next_start(engine: Engine, options: LabOptions) -> None:
    up(options, quiet, runner=RecordedRun(engine))
    upload = options.directory / "xnat-data/archive/COVID19_CT/upload.dcm"
    upload.write_text("")
    users = LabInfo.load(options.directory).users
    down(options.directory, quiet, runner=RecordedRun(engine))
    assert engine.up is None
    assert up(options, quiet, runner=RecordedRun(engine)).users == users
    assert upload.exists()


def test_another_exam_size_makes_archive_and_catalogue_anew_together(engine: Engine, options: LabOptions) -> None:
    up(options, quiet, runner=RecordedRun(engine))
    down(options.directory, quiet, runner=RecordedRun(engine))
    stale = (options.directory / "postgres-data", options.directory / "xnat-data/archive/stale")
    for folder in stale:
        folder.mkdir(exist_ok=True)
    said: list[str] = []
    up(replace(options, exam_size="1MB"), said.append, runner=RecordedRun(engine))
    assert "a new archive and catalogue, because the exam size or the database changed" in said
    assert not any(folder.exists() for folder in stale)


def test_purge_removes_the_folder_and_images_only_when_told(engine: Engine, options: LabOptions) -> None:
    up(options, quiet, runner=RecordedRun(engine))
    run = RecordedRun(engine)
    down(options.directory, quiet, purge=True, runner=run)
    assert not options.directory.exists()
    assert run.that_begin("docker", "image", "ls") == []
    down(options.directory, quiet, purge_images=True, runner=run)
    assert run.that_begin("docker", "image", "ls")


def test_purge_touches_nothing_of_somebody_else(engine: Engine, options: LabOptions, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    (stranger / "users.json").write_text("{}")
    down(stranger, quiet, purge=True, runner=RecordedRun(engine))
    assert [path.name for path in stranger.iterdir()] == ["users.json"]
    up(options, quiet, runner=RecordedRun(engine))
    (options.directory / "notes.txt").write_text("mine")
    down(options.directory, quiet, purge=True, runner=RecordedRun(engine))
    assert [path.name for path in options.directory.iterdir()] == ["notes.txt"]


def test_without_a_size_the_one_before_is_kept(engine: Engine, options: LabOptions) -> None:
    assert up(replace(options, exam_size="1MB"), quiet, runner=RecordedRun(engine)).exam_size == "1MB"
    assert up(options, quiet, runner=RecordedRun(engine)).exam_size == "1MB"
    down(options.directory, quiet, runner=RecordedRun(engine))
    assert up(options, quiet, runner=RecordedRun(engine)).exam_size == "1MB"


def test_down_twice_and_down_of_nothing(engine: Engine, options: LabOptions, tmp_path: Path) -> None:
    said: list[str] = []
    down(tmp_path / "nowhere", said.append)
    up(options, quiet, runner=RecordedRun(engine))
    down(options.directory, said.append, runner=RecordedRun(engine))
    down(options.directory, said.append, runner=RecordedRun(engine))
    assert said == [f"no lab in {tmp_path}/nowhere", "the lab is down", f"no lab was up in {options.directory}"]


def test_a_port_in_use_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(LabFault, match=f"port {taken.getsockname()[1]} cannot be used .*--port"):
            stack._port(taken.getsockname()[1])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"exam_size": "huge"}, "exam size"),
        ({"context_path": "xnat"}, "context path"),
        ({"context_path": "/a/b"}, "context path"),
        ({"port": 70000}, "no port 70000"),
        ({"dicom": 70000}, "no port 70000"),
        ({"name_prefix": "A b"}, "name prefix"),
    ],
)
def test_bad_options_are_refused_before_anything_happens(tmp_path: Path, wrong: dict[str, object], message: str) -> None:
    with pytest.raises(LabUsageFault, match=message):
        LabOptions(directory=tmp_path, **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("command", ["up", "down", "status"])
def test_every_command_has_help_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--help"])
    assert ended.value.code == 0
    assert re.search(rf"example: tracemark lab {command}\b", capsys.readouterr().out)


def test_status_of_no_lab_says_so_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status", "--dir", str(tmp_path)]) == 1
    assert capsys.readouterr().out == f"no lab is up in {tmp_path}\n"
