"""What one repetition came to, as a file: steps, actions with their times, versions and the seed that repeats it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from replay.durable import write_json
from replay.failures import Failure
from sidecar.model.faults import Fault

FORMAT = 1
RESULT = "result.json"
SCREENSHOT = "screenshot.png"
BROWSER_LOG = "browser.log"


class ResultError(Fault):
    """A results file that cannot be read."""


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
    """One pass of a scenario by one virtual user. `failure` is what stopped it, None if nothing did.

    `route` counts the routes of the run from 1: all finished repetitions have the same. `screenshot` is the picture taken at a
    failure, `capture` what the capture said about itself, None without one. Times are nanoseconds of this machine's wall clock;
    `clock_offset_ns` leads to the sidecar's, where it was known. `users` is None but for the result over many virtual users
    (`replay.users_crowd`), which has user 0 and no steps and actions: those are in the users' own results. `late` says by how
    much requests were begun later than planned (`replay.http.played.Played.lateness`); None where a browser begins them.
    """

    run: str
    setup: str
    scenario: str
    role: str
    repetition: int
    session: str
    seed: int
    started_ns: int
    versions: Mapping[str, str]
    attempt: int = 1
    user: int = 1
    route: int = 1
    ended_ns: int | None = None
    duration_ns: int | None = None
    steps: list[StepResult] = field(default_factory=list)
    actions: list[ActionResult] = field(default_factory=list)
    failure: Failure | None = None
    screenshot: str | None = None
    capture: Mapping[str, Any] | None = None
    clock_offset_ns: int | None = None
    clock_offset_error_ns: int | None = None
    users: Mapping[str, Any] | None = None
    late: Mapping[str, float] | None = None

    @property
    def error(self) -> str | None:
        """The failure as one line."""
        return None if self.failure is None else str(self.failure)

    def to_json(self) -> dict[str, Any]:
        """As it stands in the file."""
        return {"format": FORMAT, **asdict(self), "error": self.error}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Repetition:
        """Back from the file's content; raises ResultError."""
        try:
            if raw["format"] != FORMAT:
                raise ResultError(f"format {raw['format']!r} of a result is unknown", f"this version reads format {FORMAT}")
            fields = {name: value for name, value in raw.items() if name not in ("format", "error")}
            fields["steps"] = [StepResult(**step) for step in raw["steps"]]
            fields["actions"] = [ActionResult(**action) for action in raw["actions"]]
            fields["failure"] = Failure(**raw["failure"]) if raw["failure"] else None
            return cls(**fields)
        except (TypeError, KeyError) as error:
            raise ResultError(f"this is no result ({error})", "look whether something else wrote it") from error

    def save(self, folder: Path) -> Path:
        """Write it, whole or not at all."""
        path = folder / RESULT
        write_json(path, self.to_json())
        return path

    @classmethod
    def load(cls, folder: Path) -> Repetition:
        """Read the result of a repetition's folder; raises ResultError."""
        return cls.from_json(read_json(folder / RESULT))


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object of a file; raises ResultError."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ResultError(f"{path} cannot be read ({error})", "take its folder away, then give the same command again") from error
    if not isinstance(raw, dict):
        raise ResultError(f"{path} holds no object", "take its folder away, then give the same command again")
    return raw
