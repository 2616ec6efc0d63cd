"""What a program needs to know to use a running lab: written by `lab up`, read by the replayer, the demo and tests."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from replay.lab.faults import LabFault
from replay.lab.folders import write_private

Mode = Literal["docker", "processes"]
_FILE = "lab.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupInfo:
    """One setup (lan, wan, vpn) in front of a lab, as its clients use it.

    `url` has no context path; `server` is its HOST:PORT and `interface` the client's device, for a capture. `command` are the
    words before a command that is to run in the client's `namespace`; with the shaping proxy both are empty. `markers` is the
    marker channel's URL over the same line (empty: it is reached as ever). `certificate` is the PEM file of a server that does
    TLS, `fingerprint` the value for Chromium's --ignore-certificate-errors-spki-list. `link` is DELAYms,DOWN,UP[,LOSS%], done
    by `shaping`: none, netem, relay, proxy. `vpn` has the cipher and the digest of the tunnel.
    """

    setup: str
    url: str
    server: str
    namespace: str
    namespaces: tuple[str, ...]
    command: tuple[str, ...]
    interface: str
    markers: str
    certificate: str
    fingerprint: str
    upstream: str
    link: str
    shaping: str
    vpn: str
    processes: tuple[str, ...]
    logs: dict[str, str]

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> SetupInfo:
        """Back from JSON; a TypeError or KeyError when a field is missing or unknown."""
        return cls(**{**fields, **{name: tuple(fields[name]) for name in ("namespaces", "command", "processes")}})


@dataclass(frozen=True, slots=True, kw_only=True)
class LabInfo:
    """One running lab.

    `users` maps a name to its password. `exam` names the practice exam: project, subject, session, scans. `log_files` has the
    keys nginx, tomcat, xnat: a path or a glob on this machine. `pid_files` (process mode only) has the container names as keys.
    `sidecar` is HTTP,MARKERS: where nginx leads to below /tracemark/; empty when it does not. `setups` are the networks in front
    of it, by name. `dicom` is its DICOM receiver, HOST:PORT/TITLE; empty where it has none.
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
    setups: dict[str, SetupInfo] = field(default_factory=dict)
    dicom: str = ""

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
            setups = {name: SetupInfo.from_fields(setup) for name, setup in fields.get("setups", {}).items()}
            return cls(**{**fields, "containers": tuple(fields["containers"]), "setups": setups})
        except FileNotFoundError as missing:
            raise LabFault(f"no lab is up in {directory}", "start it with `tracemark lab up`") from missing
        except (ValueError, TypeError, KeyError, AttributeError) as broken:
            raise LabFault(
                f"{path} is not a lab's description ({broken})", "run `tracemark lab down` and `tracemark lab up`"
            ) from broken

    @staticmethod
    def forget(directory: Path) -> None:
        """Removes the file: the lab is no longer up."""
        (directory / _FILE).unlink(missing_ok=True)
