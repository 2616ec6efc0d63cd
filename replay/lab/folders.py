"""Where the lab keeps things: a state folder per lab, one cache folder per user."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from replay.lab.faults import LabFault

USERS = ("researcher", "radiologist", "admin")


def researcher(number: int) -> str:
    """The name of a numbered researcher, from 1."""
    return f"researcher{number:02d}"


def state_directory(environment: Mapping[str, str]) -> Path:
    """The default lab's folder: below XDG_STATE_HOME, else ~/.local/state."""
    home = environment.get("XDG_STATE_HOME") or str(Path.home() / ".local/state")
    return Path(home) / "tracemark/lab"


def cache_directory(environment: Mapping[str, str]) -> Path:
    """What is expensive to make and the same for every lab: TRACEMARK_CACHE, else XDG_CACHE_HOME or ~/.cache with /tracemark."""
    if given := environment.get("TRACEMARK_CACHE"):
        return Path(given)
    return Path(environment.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")) / "tracemark"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds an exclusive lock on a file: two commands never build or start the same thing at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def write_private(path: Path, text: str) -> None:
    """Writes a file that only its owner can read, whole or not at all."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as handle:
        handle.write(text)
    draft.replace(path)


@dataclass(frozen=True, slots=True)
class StateFolder:
    """One lab's folder; every path in it is named here."""

    directory: Path

    @property
    def archive(self) -> Path:
        return self.directory / "xnat-data/archive"

    @property
    def nginx_logs(self) -> Path:
        return self.directory / "nginx"

    @property
    def tomcat_logs(self) -> Path:
        return self.directory / "tomcat"

    @property
    def xnat_logs(self) -> Path:
        return self.directory / "xnat-data/home/logs"

    @property
    def database(self) -> Path:
        return self.directory / "postgres-data"

    @property
    def users_file(self) -> Path:
        return self.directory / "users.json"

    @property
    def accounts_file(self) -> Path:
        """The numbered researchers as `tracemark replay --accounts` reads them."""
        return self.directory / "accounts"

    @property
    def database_password_file(self) -> Path:
        return self.directory / "database-password"

    @property
    def nginx_conf(self) -> Path:
        return self.directory / "nginx.conf"

    @property
    def compose_env(self) -> Path:
        return self.directory / "compose.env"

    @property
    def processes(self) -> Path:
        """Process mode: pid files and what the programs printed."""
        return self.directory / "processes"

    @property
    def stamp(self) -> Path:
        """What the archive and the database were made from; written when a first start has succeeded."""
        return self.directory / "made-from"

    @property
    def name_prefix_file(self) -> Path:
        return self.directory / "name-prefix"

    @property
    def lock(self) -> Path:
        return self.directory / "lock"

    def was_used(self) -> bool:
        """Whether a lab was ever started from this folder: any other folder is none of our business."""
        return self.name_prefix_file.exists()

    def contents(self) -> tuple[Path, ...]:
        """All that a lab leaves here, nothing that somebody else may have put beside it; what tells a lab's folder comes last."""
        trees = (self.directory / "xnat-data", self.nginx_logs, self.tomcat_logs, self.database, self.processes)
        private = (self.users_file, self.accounts_file, self.database_password_file)
        return (*trees, *private, self.nginx_conf, self.stamp, self.lock, self.compose_env, self.name_prefix_file)

    def kept_size(self) -> str | None:
        """The exam size that the archive was made with, None when there is no archive yet."""
        return self.stamp.read_text(encoding="utf-8").rpartition(" ")[2] if self.stamp.exists() else None

    def make(self) -> None:
        """Creates the folders that exist in every mode."""
        try:
            for folder in (self.archive, self.nginx_logs, self.tomcat_logs, self.xnat_logs):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as refused:
            raise LabFault(
                f"the lab's folder {self.directory} cannot be made ({refused.strerror})", "give another with --dir"
            ) from refused

    def name_prefix(self) -> str:
        """What the names of this lab's containers begin with; empty but in tests."""
        return self.name_prefix_file.read_text(encoding="utf-8") if self.name_prefix_file.exists() else ""

    def users(self, researchers: int = 0) -> dict[str, str]:
        """Name -> password; made when asked for first and kept until the folder is purged, because the catalogue knows them.

        Beside the usual ones at least so many numbered `researchers`, whose accounts are also in `accounts_file`. The web
        application knows those that were there when it started.
        """
        if not self.users_file.exists():
            write_private(self.users_file, json.dumps({name: secrets.token_urlsafe(12) for name in USERS}))
        try:
            found = json.loads(self.users_file.read_text(encoding="utf-8"))
            known = {str(name): str(password) for name, password in found.items()}
        except (ValueError, AttributeError) as broken:
            raise LabFault(
                f"{self.users_file} does not hold names and passwords ({broken})", "run `tracemark lab down --purge`"
            ) from broken
        numbered = [researcher(number) for number in range(1, researchers + 1)]
        if new := [name for name in numbered if name not in known]:
            known |= {name: secrets.token_urlsafe(12) for name in new}
            write_private(self.users_file, json.dumps(known))
        if numbered:
            write_private(self.accounts_file, "".join(f"{name}:{known[name]}\n" for name in numbered))
        return known

    def database_password(self) -> str:
        """The password of database user `xnat`, kept as long as the database."""
        path = self.database_password_file
        if not path.exists():
            write_private(path, secrets.token_urlsafe(18))
        return path.read_text(encoding="utf-8")
