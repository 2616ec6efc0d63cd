"""What one repetition came to, as a file: steps, actions with their times, versions and the seed that repeats it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal


@dataclass(slots=True, kw_only=True)
class ActionResult:
    """One action as the replayer saw it; `begin_ns` in its own wall clock, `duration_ns` in its monotonic one."""

    action: str
    action_id: str
    begin_ns: int
    duration_ns: int | None = None
    outcome: Literal["completed", "cancelled", "open"] = "open"
    attributes: dict[str, int | str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """One step that was played; `locator` found its element, `rank` 0 was the best one."""

    number: int
    name: str
    step: str
    action: str | None
    input_ns: int
    settled_ns: int
    locator: str | None
    rank: int | None


@dataclass(slots=True, kw_only=True)
class Repetition:
    """One pass of a scenario. `error` is what stopped it, None if nothing did; `screenshot` the picture taken then."""

    run: str
    setup: str
    scenario: str
    role: str
    repetition: int
    session: str
    seed: int
    started_ns: int
    versions: Mapping[str, str]
    steps: list[StepResult] = field(default_factory=list)
    actions: list[ActionResult] = field(default_factory=list)
    error: str | None = None
    screenshot: str | None = None

    @property
    def file_stem(self) -> str:
        """The name of this repetition's files."""
        return f"{self.run}-{self.scenario}-{self.setup}-{self.repetition:03d}"

    def save(self, folder: Path) -> Path:
        """Write the result beside those of the other repetitions, whole or not at all."""
        path = folder / f"{self.file_stem}.json"
        part = path.with_suffix(".part")
        part.write_text(json.dumps({"format": 1, **asdict(self)}, indent=1) + "\n", encoding="utf-8")
        part.replace(path)
        return path
