"""How a lab is wanted."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from replay.lab.faults import LabUsageFault
from replay.lab.folders import cache_directory, state_directory
from replay.lab.networks.build import SHAPINGS, Shaping
from replay.lab.networks.link import SETUPS, Link, Setup
from replay.lab.studies import exam_bytes

DEFAULT_PORT = 8089
#: where XNAT receives DICOM, and its title there
DICOM_PORT = 8104
DICOM_TITLE = "XNAT"
#: numbered researchers that a lab can have
MOST_USERS = 999
#: where a sidecar's marker channel and its HTTP API listen when nobody says otherwise
DEFAULT_MARKERS = "127.0.0.1:8051"
DEFAULT_HTTP = "127.0.0.1:8050"


_HOST_PORT = re.compile(r"([A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\]):([0-9]{1,5})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Sidecar:
    """Where a sidecar listens, as the lab's nginx reaches it: HTTP and marker channel, each HOST:PORT, else a LabUsageFault."""

    http: str
    markers: str

    def __post_init__(self) -> None:
        for address in (self.http, self.markers):
            found = _HOST_PORT.fullmatch(address)
            if found is None or not 0 < int(found[2]) <= 65535:
                raise LabUsageFault(
                    f"the sidecar's address {address!r} is not HOST:PORT", "give two such as 127.0.0.1:8050,127.0.0.1:8051"
                )

    @classmethod
    def parse(cls, text: str) -> Sidecar:
        """`HTTP,MARKERS`, as on the command line."""
        http, _, markers = text.partition(",")
        return cls(http, markers)

    def __str__(self) -> str:
        return f"{self.http},{self.markers}"

    def markers_here(self) -> str:
        """The marker channel as this machine reaches it: a name that only containers know stands for the default place."""
        return _here(self.markers, DEFAULT_MARKERS)

    def http_here(self) -> str:
        """The HTTP API as this machine reaches it, in the same way."""
        return _here(self.http, DEFAULT_HTTP)


def _here(address: str, default: str) -> str:
    host = address.rpartition(":")[0]
    return address if host == "localhost" or re.fullmatch(r"[0-9.]+|\[.*\]", host) else default


@dataclass(frozen=True, slots=True, kw_only=True)
class LabOptions:
    """What `lab up` can be told; bad values are LabUsageFaults.

    `exam_size` None means what the folder has, else small; `port` None means the default one, 0 any free one.
    `name_prefix` is for tests: several labs on one engine. With `sidecar` the lab's nginx leads to it below /tracemark/.
    `dicom` is the loopback port of its DICOM receiver, 0 any free one; None: it has none.
    `users` is how many numbered researchers there are beside the usual users, for as many virtual users.
    `setups` are networks to build in front of it; `links` replaces their lines, `shaping` says what slows them down.
    """

    directory: Path = field(default_factory=lambda: state_directory(os.environ))
    exam_size: str | None = None
    processes: bool = False
    port: int | None = None
    context_path: str = ""
    name_prefix: str = ""
    sidecar: Sidecar | None = None
    users: int = 0
    dicom: int | None = None
    setups: tuple[Setup, ...] = ()
    links: Mapping[Setup, Link] = field(default_factory=dict)
    shaping: Shaping = "auto"
    cache: Path = field(default_factory=lambda: cache_directory(os.environ))
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    def __post_init__(self) -> None:
        if self.exam_size is not None:
            exam_bytes(self.exam_size)
        if not re.fullmatch(r"(/\w+)?", self.context_path):
            raise LabUsageFault(
                f"the context path {self.context_path!r} is not one word behind a slash", "give one such as /xnat, or none"
            )
        if not 0 <= self.users <= MOST_USERS:
            raise LabUsageFault(f"there are no {self.users} users", f"give a number from 0 to {MOST_USERS}")
        for port in (self.port, self.dicom):
            if port is not None and not 0 <= port <= 65535:
                raise LabUsageFault(f"there is no port {port}", "give one from 1 to 65535, or 0 for any free one")
        if unknown := [name for name in (*self.setups, *self.links) if name not in SETUPS]:
            raise LabUsageFault(f"there is no setup {unknown[0]!r}", f"give one of {', '.join(SETUPS)}")
        if self.shaping not in SHAPINGS:
            raise LabUsageFault(f"nothing shapes like {self.shaping!r}", f"give one of {', '.join(SHAPINGS)}")
        if idle := [name for name in self.links if name not in self.setups]:
            raise LabUsageFault(f"a line for {idle[0]}, but no such setup", f"add `--setup {idle[0]}`")
        if not re.fullmatch(r"[a-z0-9-]*", self.name_prefix):
            raise LabUsageFault(
                f"the name prefix {self.name_prefix!r} cannot begin a container's name", "use small letters, digits, dashes"
            )
