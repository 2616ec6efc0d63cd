"""All setups of one lab."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from replay.lab.command import Run
from replay.lab.info import SetupInfo
from replay.lab.networks.link import SETUPS, Setup
from replay.lab.networks.network import Network
from replay.lab.parts import PartState


@dataclass(frozen=True, slots=True, kw_only=True)
class Networks:
    """The setups below `directory`/networks; several may stand in front of one lab at once."""

    directory: Path
    run: Run
    prefix: str = ""

    def one(self, setup: Setup) -> Network:
        return Network(folder=self.directory / "networks", setup=setup, run=self.run, prefix=self.prefix)

    def down(self) -> bool:
        """Removes all, also what an earlier process that was killed left; False when there was nothing."""
        ended = [self.one(setup).down() for setup in SETUPS]
        folder = self.directory / "networks"
        if folder.is_dir():
            folder.rmdir()
        return any(ended)

    def states(self) -> tuple[PartState, ...]:
        """Those that were built; whether they still stand."""
        return tuple(state for setup in SETUPS if (state := self.one(setup).state()).state != "missing")

    def infos(self) -> dict[str, SetupInfo]:
        return {setup: info for setup in SETUPS if (info := self.one(setup).info()) is not None}
