"""What a program needs to know to use a running lab: written by `lab up`, read by the replayer, the demo and tests."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from replay.lab.faults import LabFault
from replay.lab.folders import write_private

Mode = Literal["docker", "processes"]
_FILE = "lab.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabInfo:
    """One running lab.

    `users` maps a name to its password. `exam` names the practice exam: project, subject, session, scans. `log_files` has the
    keys nginx, tomcat, xnat: a path or a glob on this machine. `pid_files` (process mode only) has the container names as keys.
    `sidecar` is HTTP,MARKERS: where nginx leads to below /tracemark/; empty when it does not.
    """

    url: str
    mode: Mode
    context_path: str
    users: dict[str, str]
    exam: dict[str, Any]
    log_files: dict[str, str]
    containers: tuple[str, ...]
    pid_files: dict[str, str]
    directory: str
    exam_size: str
    project: str
    sidecar: str = ""

    def save(self) -> Path:
        """Writes the file that `load` reads, readable for the owner only, because it holds passwords."""
        path = Path(self.directory) / _FILE
        write_private(path, json.dumps(asdict(self), indent=2) + "\n")
        return path

    @classmethod
    def load(cls, directory: Path) -> LabInfo:
        """The lab of that folder; a LabFault when there is none or its file cannot be understood."""
        path = directory / _FILE
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            return cls(**{**fields, "containers": tuple(fields["containers"])})
        except FileNotFoundError as missing:
            raise LabFault(f"no lab is up in {directory}", "start it with `tracemark lab up`") from missing
        except (ValueError, TypeError, KeyError) as broken:
            raise LabFault(
                f"{path} is not a lab's description ({broken})", "run `tracemark lab down` and `tracemark lab up`"
            ) from broken

    @staticmethod
    def forget(directory: Path) -> None:
        """Removes the file: the lab is no longer up."""
        (directory / _FILE).unlink(missing_ok=True)
