"""The deployment beside XNAT in tests: images made without a registry, and Compose with the override over another file."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from replay.lab.command import Outcome, must, run
from replay.lab.containers import compose_command
from replay.lab.folders import cache_directory
from replay.lab.image_build import constraint_options

ROOT = Path(__file__).resolve().parents[2]
OVERRIDE = ROOT / "docker-compose.override.yml"
LAYOUTS = ROOT / "tests/cases/compose"
SECRETS = ("TRACEMARK_TOKEN", "TRACEMARK_INFLUX_PASSWORD", "TRACEMARK_GRAFANA_PASSWORD")
_BUILD_S = 600.0


def clean_environment() -> dict[str, str]:
    """This process's variables without those that Compose would put into the files: the shell's win over .env."""
    ours = ("TRACEMARK_", "COMPOSE_", "LAB_", "XNAT_", "NGINX_", "INFLUX", "GRAFANA_", "GF_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Compose:
    """Compose in one project folder, with its files and env files."""

    folder: Path
    files: Sequence[Path]
    env_files: Sequence[Path] = ()

    def __call__(self, *arguments: str, timeout_s: float = 120.0) -> Outcome:
        command = compose_command(run, Path(sys.executable))
        options = ["--project-directory", str(self.folder)]
        options += [part for file in self.env_files for part in ("--env-file", str(file))]
        options += [part for file in self.files for part in ("--file", str(file))]
        return run([*command, *options, *arguments], timeout_s=timeout_s, environment=clean_environment())

    def container(self, service: str) -> str:
        """The id of a service's container."""
        listed = self("ps", "--all", "--quiet", service)
        return must(listed, f"no container of {service}", "see the output of up").strip()

    def config(self) -> Mapping[str, Any]:
        """The merged project as Compose understands it."""
        merged = self("config", "--format", "json")
        assert merged.status == 0, merged.errors
        found: Mapping[str, Any] = json.loads(merged.output)
        return found


def inspect(container: str) -> Mapping[str, Any]:
    """What the engine knows of a container."""
    asked = run(["docker", "container", "inspect", container], timeout_s=60)
    found: Mapping[str, Any] = json.loads(must(asked, f"no container {container}", "see `docker ps -a`"))[0]
    return found


def execute(container: str, *command: str) -> Outcome:
    """A command inside a running container."""
    return run(["docker", "exec", container, *command], timeout_s=60)


def ask(url: str, method: str = "GET", headers: Mapping[str, str] | None = None, body: bytes | None = None) -> tuple[int, bytes]:
    """Status and body of one request; 0 where nobody answers."""
    host, _, path = url.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(host, timeout=60)
    try:
        connection.request(method, f"/{path}", body=body, headers=dict(headers or {}))
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()


def sidecar_image(base: str) -> str:
    """The image of our Dockerfile on a local base, from wheels that were fetched outside; built when anything of it changed."""
    with tempfile.TemporaryDirectory() as work:
        context = Path(work)
        (context / ".ci").mkdir()
        shutil.copy(ROOT / "pyproject.toml", context)
        shutil.copy(ROOT / ".ci/constraints.txt", context / ".ci")
        shutil.copytree(ROOT / "sidecar", context / "sidecar", ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        shutil.copytree(_wheels(base), context / "wheels")
        # As a checkout made under umask 077: the image must be of use all the same to its user, who is nobody in particular.
        for path in context.rglob("*"):
            path.chmod(path.stat().st_mode & 0o700)
        return _built("tracemark-test-sidecar", context, "sidecar/Dockerfile", base)


def influxdb_image(base: str) -> str:
    """The stand-in for InfluxDB's image; skips the test where Debian's influxd is missing."""
    program = shutil.which("influxd")
    if program is None:
        pytest.skip("not installed: influxd (Debian: apt-get install influxdb)")
    with tempfile.TemporaryDirectory() as work:
        context = Path(work, "context")
        shutil.copytree(LAYOUTS / "influxdb", context)
        shutil.copy(program, context / "influxd")
        return _built("tracemark-test-influxdb", context, "Dockerfile", base)


def grafana_image(base: str) -> str:
    """The stand-in for Grafana's image, which can be had from a registry alone."""
    with tempfile.TemporaryDirectory() as work:
        context = Path(work, "context")
        shutil.copytree(LAYOUTS / "grafana", context, ignore=shutil.ignore_patterns("__pycache__"))
        return _built("tracemark-test-grafana", context, "Dockerfile", base)


def _wheels(base: str) -> Path:
    """Wheels of the sidecar's dependencies for the base image's Python, kept in the cache."""
    asked = ["docker", "run", "--rm", "--network", "none", "--entrypoint", "python3", base, "-c"]
    version = must(run([*asked, "import sys; print('%d.%d' % sys.version_info[:2])"], timeout_s=60), "no Python", base).strip()
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    pinned = constraint_options()
    inputs = "\n".join([version, *needed, *(Path(file).read_text(encoding="utf-8") for file in pinned[1:])])
    kept = cache_directory(os.environ) / "wheels" / f"sidecar-{hashlib.sha256(inputs.encode()).hexdigest()[:12]}"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as work:
            options = ["--quiet", "--disable-pip-version-check", "--only-binary=:all:", "--python-version", version, *pinned]
            fetched = run([sys.executable, "-m", "pip", "download", *options, "--dest", f"{work}/w", *needed], timeout_s=_BUILD_S)
            must(fetched, "the sidecar's wheels cannot be fetched", "see to it that pip reaches its package index")
            Path(work, "w").replace(kept)
    return kept


def _built(repository: str, context: Path, dockerfile: str, base: str) -> str:
    digest = hashlib.sha256(base.encode())
    for file in sorted(path for path in context.rglob("*") if path.is_file()):
        digest.update(f"{file.relative_to(context)}\n{file.stat().st_mode & 0o111}\n".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    tag = f"{repository}:{digest.hexdigest()[:12]}"
    if run(["docker", "image", "inspect", tag], timeout_s=60).status != 0:
        options = ["--network", "none", "--build-arg", f"BASE_IMAGE={base}", "--file", str(context / dockerfile), "--tag", tag]
        # Without the buildx plugin a current client builds only when told to use the engine's own builder.
        classic = {} if run(["docker", "buildx", "version"], timeout_s=60).status == 0 else {"DOCKER_BUILDKIT": "0"}
        built = run(
            ["docker", "build", "--quiet", *options, str(context)], timeout_s=_BUILD_S, environment={**os.environ, **classic}
        )
        must(built, f"image {tag} cannot be built", f"build {dockerfile} by hand to see more")
        _forget_older(repository, tag)
    return tag


def _forget_older(repository: str, kept: str) -> None:
    """Every change of the code makes a new image; one that a container still uses is not removed."""
    listed = run(["docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", repository], timeout_s=60)
    for tag in set(listed.output.split()) - {kept}:
        run(["docker", "image", "rm", tag], timeout_s=60)


def shell(script: Path, folder: Path, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """A shell script of the deployment, run in a folder."""
    return subprocess.run(
        [script], cwd=folder, env={**clean_environment(), **(environment or {})}, capture_output=True, text=True, timeout=60
    )
