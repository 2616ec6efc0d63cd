"""What the two ways to run the lab, containers and plain processes, have in common."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

#: XNAT's own container names
NAMES = ("xnat-web", "xnat-db", "xnat-nginx")


@dataclass(frozen=True, slots=True, kw_only=True)
class PartState:
    """One container or process as it is now."""

    name: str
    state: Literal["running", "stopped", "missing"]
    detail: str


class Parts(Protocol):
    """The port to the three running things: `check` refuses names that somebody else uses, `stop` may be called at any time."""

    def check(self) -> None: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def states(self) -> tuple[PartState, ...]: ...

    def last_words(self, name: str) -> str: ...

    def remove(self, folder: Path) -> None: ...
