"""Settings of the practice web application, from environment variables only."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from replay.lab.web.errors import SettingsError


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where the application listens and where its data are."""

    host: str
    port: int
    database_url: str = field(repr=False)
    archive: Path
    xnat_logs: Path
    tomcat_logs: Path
    viewer: Path
    context_path: str
    passwords: Mapping[str, str] = field(repr=False)
    dicom: tuple[str, int] | None = None


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Reads the LAB_… variables.

    Raises SettingsError that names the variable, its value (never a secret) and what is allowed.
    """
    host, port = _listen("LAB_LISTEN", environment.get("LAB_LISTEN", "0.0.0.0:8080"))
    dicom = environment.get("LAB_DICOM_LISTEN", "")
    return Settings(
        host=host,
        port=port,
        database_url=_required(environment, "LAB_DATABASE_URL", "e.g. postgresql://xnat:secret@xnat-db/xnat"),
        archive=Path(environment.get("LAB_ARCHIVE", "/data/xnat/archive")),
        xnat_logs=Path(environment.get("LAB_XNAT_LOGS", "/data/xnat/home/logs")),
        tomcat_logs=Path(environment.get("LAB_TOMCAT_LOGS", "/usr/local/tomcat/logs")),
        viewer=Path(_required(environment, "LAB_VIEWER", "the folder with the unpacked npm package @ohif/viewer")),
        context_path=_context_path(environment.get("LAB_CONTEXT_PATH", "")),
        passwords=_passwords(_required(environment, "LAB_USERS_FILE", "a JSON file of user names and passwords")),
        dicom=_listen("LAB_DICOM_LISTEN", dicom) if dicom else None,
    )


def _required(environment: Mapping[str, str], name: str, remedy: str) -> str:
    value = environment.get(name, "")
    if not value:
        raise SettingsError(f"{name} is not set: set it to {remedy}")
    return value


def _listen(name: str, value: str) -> tuple[str, int]:
    host, colon, port = value.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise SettingsError(f"{name} is {value!r}: write host:port, e.g. 0.0.0.0:8080")
    return host or "0.0.0.0", int(port)  # noqa: S104


def _context_path(value: str) -> str:
    value = value.rstrip("/")
    if value and not re.fullmatch(r"(/[A-Za-z0-9_.-]+)+", value):
        raise SettingsError(f"LAB_CONTEXT_PATH is {value!r}: leave it empty or write e.g. /xnat")
    return value


def _passwords(path: str) -> dict[str, str]:
    try:
        users = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise SettingsError(f"LAB_USERS_FILE is {path!r}: cannot be read as JSON ({problem})") from problem
    if not isinstance(users, dict) or not users or not all(isinstance(word, str) for word in users.values()):
        raise SettingsError(f'LAB_USERS_FILE is {path!r}: write an object like {{"researcher": "password"}}')
    return users
