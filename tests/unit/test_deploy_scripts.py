"""The small programs of the deployment: make-env, and how the containers of the sidecar and of Grafana begin."""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from replay.lab.command import run
from replay.lab.containers import compose_command
from tests.support.deploy import LAYOUTS, OVERRIDE, ROOT, SECRETS, clean_environment, shell

DEPLOY = ROOT / "sidecar/deploy"


def read_env(folder: Path) -> dict[str, str]:
    lines = (folder / ".env").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def make_env(folder: Path) -> subprocess.CompletedProcess[str]:
    return shell(folder / "tracemark/sidecar/deploy/make-env", folder)


@pytest.fixture
def cloned(tmp_path: Path) -> Path:
    """XNAT's folder with what make-env needs of Tracemark really in it."""
    folder = tmp_path / "xnat"
    (folder / "tracemark/sidecar/deploy").mkdir(parents=True)
    shutil.copy(DEPLOY / "make-env", folder / "tracemark/sidecar/deploy/make-env")
    shutil.copy(LAYOUTS / "xnat-2026.yml", folder / "docker-compose.yml")
    (folder / "default.env").write_text("XNAT_VERSION=1.10.0\nTOMCAT_XNAT_FOLDER=xnat\nCOMPOSE_PROFILES=", encoding="utf-8")
    return folder


def test_make_env_adds_what_is_missing_and_nothing_at_a_second_time(cloned: Path) -> None:
    assert make_env(cloned).returncode == 0
    env = read_env(cloned)
    assert env["COMPOSE_FILE"] == "docker-compose.yml:./tracemark/docker-compose.override.yml"
    assert env["COMPOSE_PROFILES"] == "influx,grafana"
    assert env["XNAT_VERSION"] == "1.10.0"
    assert env["TRACEMARK_DIR"] == "./tracemark"
    assert env["TRACEMARK_CONTEXT_PATH"] == "/xnat"
    assert len({env[name] for name in SECRETS}) == 3
    assert all(re.fullmatch(r"[0-9a-f]{48}", env[name]) for name in SECRETS)
    assert stat.S_IMODE((cloned / ".env").stat().st_mode) == 0o600
    before = (cloned / ".env").read_text(encoding="utf-8")
    again = make_env(cloned)
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert (cloned / ".env").read_text(encoding="utf-8") == before


def test_make_env_keeps_what_is_there_and_says_what_it_cannot_know(cloned: Path) -> None:
    given = "COMPOSE_FILE=docker-compose.yml:site.yml\nCOMPOSE_PROFILES=multinode\nTRACEMARK_TOKEN=mine"
    (cloned / ".env").write_text(given, encoding="utf-8")
    made = make_env(cloned)
    assert made.returncode == 0
    assert "add :./tracemark/docker-compose.override.yml" in made.stderr
    assert "add influx and grafana" in made.stderr
    env = read_env(cloned)
    assert (env["TRACEMARK_TOKEN"], env["COMPOSE_PROFILES"]) == ("mine", "multinode")
    assert env["TRACEMARK_GRAFANA_PASSWORD"]


@pytest.mark.parametrize(
    ("beside", "files"),
    [
        ("services:\n  xnat-web:\n    mem_limit: 6g\n", "docker-compose.override.yml:./tracemark/docker-compose.override.yml"),
        (OVERRIDE.read_text(encoding="utf-8"), "docker-compose.override.yml"),
    ],
    ids=["the site's own", "a copy of ours"],
)
def test_an_override_that_lies_beside_xnats_file_goes_on_to_count(cloned: Path, beside: str, files: str) -> None:
    (cloned / "docker-compose.override.yml").write_text(beside, encoding="utf-8")
    assert make_env(cloned).stderr == ""
    assert read_env(cloned)["COMPOSE_FILE"] == f"docker-compose.yml:{files}"
    assert make_env(cloned).stderr == ""


def test_make_env_is_content_with_the_files_that_a_person_named(cloned: Path) -> None:
    for named in ("tracemark/", "./tracemark/", f"{cloned}/tracemark/"):
        (cloned / ".env").write_text(
            f"COMPOSE_FILE=docker-compose.yml:{named}docker-compose.override.yml:more.yml\n", encoding="utf-8"
        )
        assert make_env(cloned).stderr == ""


def test_make_env_says_what_to_do_with_another_layout(cloned: Path) -> None:
    shutil.copy(LAYOUTS / "unknown.yml", cloned / "docker-compose.yml")
    made = make_env(cloned)
    assert made.returncode == 0
    assert "docker-compose.yml has no xnat-web xnat-nginx xnat-network" in made.stderr
    assert "copy ./tracemark/docker-compose.override.yml here" in made.stderr
    # done as it says
    shutil.copy(OVERRIDE, cloned)
    (cloned / ".env").write_text("COMPOSE_FILE=docker-compose.yml:docker-compose.override.yml\n", encoding="utf-8")
    assert make_env(cloned).stderr == ""


@pytest.mark.parametrize(("version", "said"), [("2.23.3", True), ("v2.9.0", True), ("2.24.0", False), ("5.6.1", False)])
def test_make_env_points_out_a_compose_that_is_too_old(cloned: Path, version: str, said: bool) -> None:
    (cloned / "bin").mkdir()
    docker = cloned / "bin/docker"
    docker.write_text(f'#!/bin/sh\n[ "$*" = "compose version --short" ] && echo {version}\n', encoding="utf-8")
    docker.chmod(0o755)
    made = shell(cloned / "tracemark/sidecar/deploy/make-env", cloned, {"PATH": f"{cloned}/bin:/usr/bin:/bin"})
    assert made.returncode == 0
    assert ("update it to 2.24 or later" in made.stderr) is said


def test_what_containers_mount_is_readable_for_their_users_whatever_the_umask_was(cloned: Path) -> None:
    boards = cloned / "tracemark/grafana/dashboards"
    boards.mkdir(parents=True)
    (boards / "one.json").write_text("{}", encoding="utf-8")
    for path in (boards / "one.json", boards, cloned / "tracemark/sidecar/deploy/make-env"):
        path.chmod(path.stat().st_mode & 0o700)
    assert "made readable for the containers" in make_env(cloned).stdout
    assert stat.S_IMODE(boards.stat().st_mode) & 0o055 == 0o055
    assert stat.S_IMODE((boards / "one.json").stat().st_mode) & 0o055 == 0o044
    assert make_env(cloned).stdout == ""


def test_make_env_points_out_a_proxy_configuration_that_would_be_put_aside(cloned: Path) -> None:
    (cloned / "nginx").mkdir()
    (cloned / "nginx/multinode.conf").write_text("http {\n  upstream xnat_nodes {\n    ip_hash;\n  }\n}\n", encoding="utf-8")
    with (cloned / "default.env").open("a", encoding="utf-8") as env:
        env.write("\nNGINX_CONF=multinode.conf\n")
    assert "TRACEMARK_NGINX_CONF=./nginx/multinode.conf" in make_env(cloned).stderr
    with (cloned / ".env").open("a", encoding="utf-8") as env:
        env.write("TRACEMARK_NGINX_CONF=./nginx/multinode.conf\n")
    assert make_env(cloned).stderr == ""


def test_after_make_env_compose_needs_no_option(cloned: Path) -> None:
    shutil.copy(OVERRIDE, cloned / "tracemark")
    assert make_env(cloned).returncode == 0
    command = [*compose_command(run, Path(sys.executable)), "config", "--services"]
    listed = subprocess.run(command, cwd=cloned, env=clean_environment(), capture_output=True, text=True, timeout=60)
    assert listed.returncode == 0, listed.stderr
    own = {"tracemark", "tracemark-socket-proxy", "tracemark-influxdb", "tracemark-grafana"}
    assert set(listed.stdout.split()) == {"xnat-web", "xnat-db", "xnat-nginx", *own}


def test_make_env_is_refused_where_there_is_no_xnat(cloned: Path, tmp_path: Path) -> None:
    made = shell(cloned / "tracemark/sidecar/deploy/make-env", tmp_path)
    assert made.returncode == 2
    assert "no docker-compose.yml here" in made.stderr
    assert not (tmp_path / ".env").exists()


# -- the beginnings of containers


@pytest.mark.parametrize(
    ("given", "token", "url", "said"),
    [
        ({"TRACEMARK_INFLUX_URL": "http://tracemark-influxdb:8086"}, True, "http://tracemark-influxdb:8086", ""),
        ({"TRACEMARK_INFLUX_URL": "http://tracemark-influxdb:8086"}, False, "", "the journal alone"),
        ({"TRACEMARK_INFLUX_URL": "http://elsewhere:8086"}, False, "http://elsewhere:8086", ""),
        ({"TRACEMARK_INFLUX_URL": "http://elsewhere:8086", "TRACEMARK_INFLUX_TOKEN": "own"}, True, "http://elsewhere:8086", ""),
    ],
)
def test_the_container_takes_the_token_where_there_is_one(
    given: dict[str, str], token: bool, url: str, said: str, tmp_path: Path
) -> None:
    text = (DEPLOY / "entrypoint.sh").read_text(encoding="utf-8")
    text = text.replace("/run/tracemark/write-token", str(tmp_path)).replace("/opt/tracemark/bin/python -m sidecar", "env")
    (tmp_path / "entrypoint").write_text(text, encoding="utf-8")
    if token:
        (tmp_path / "token").write_text("of-influxdb\n", encoding="utf-8")
    ended = subprocess.run(
        ["sh", tmp_path / "entrypoint"], env={"PATH": "/usr/bin:/bin", **given}, capture_output=True, text=True, timeout=60
    )
    seen = dict(line.split("=", 1) for line in ended.stdout.splitlines())
    assert seen["TRACEMARK_INFLUX_URL"] == url
    assert (seen.get("TRACEMARK_INFLUX_TOKEN_FILE") == f"{tmp_path}/token") is (token and "TRACEMARK_INFLUX_TOKEN" not in given)
    assert said in ended.stderr
    assert bool(said) == bool(ended.stderr)


@pytest.mark.parametrize(("file", "given", "seen"), [("abc==\n", "", "abc=="), ("", "", "none"), ("abc==\n", "own", "own")])
def test_grafana_starts_with_the_token_of_the_file(file: str, given: str, seen: str, tmp_path: Path) -> None:
    text = (DEPLOY / "grafana-start.sh").read_text(encoding="utf-8")
    text = text.replace("/run/tracemark/read-token", str(tmp_path)).replace("/run.sh", "env")
    (tmp_path / "start").write_text(text, encoding="utf-8")
    (tmp_path / "token").write_text(file, encoding="utf-8")
    environment = {"PATH": "/usr/bin:/bin", "TRACEMARK_GRAFANA_INFLUX_TOKEN": given}
    ended = subprocess.run(["sh", tmp_path / "start"], env=environment, capture_output=True, text=True, timeout=60)
    assert f"TRACEMARK_GRAFANA_INFLUX_TOKEN={seen}" in ended.stdout.splitlines()


@pytest.mark.parametrize(("given", "seen"), [("kept", "kept"), ("", "first")])
def test_grafana_looks_in_the_first_bucket_where_there_is_none_for_what_is_kept_long(
    given: str, seen: str, tmp_path: Path
) -> None:
    text = (DEPLOY / "grafana-start.sh").read_text(encoding="utf-8").replace("/run.sh", "env")
    (tmp_path / "start").write_text(text, encoding="utf-8")
    environment = {
        "PATH": "/usr/bin:/bin",
        "TRACEMARK_GRAFANA_INFLUX_BUCKET": "first",
        "TRACEMARK_GRAFANA_INFLUX_LONG_BUCKET": given,
    }
    ended = subprocess.run(["sh", tmp_path / "start"], env=environment, capture_output=True, text=True, timeout=60)
    assert f"TRACEMARK_GRAFANA_INFLUX_LONG_BUCKET={seen}" in ended.stdout.splitlines()
