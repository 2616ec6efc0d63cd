"""Running the programs that the lab is made of: docker, compose, mmdebstrap, pip, initdb."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from replay.lab.faults import LabFault


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a program ended: its exit status and what it wrote."""

    status: int
    output: str
    errors: str

    def last_line(self) -> str:
        """The last line that says something, errors first: what a person wants to see of a failure."""
        for text in (self.errors, self.output):
            lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("Run 'docker")]
            if lines:
                return lines[-1]
        return f"exit status {self.status} and not a word"


class Run(Protocol):
    """The port to the machine's programs; tests put a recorder in its place."""

    def __call__(
        self, argv: Sequence[str | Path], *, timeout_s: float, environment: Mapping[str, str] | None = None
    ) -> Outcome: ...


def run(argv: Sequence[str | Path], *, timeout_s: float, environment: Mapping[str, str] | None = None) -> Outcome:
    """Runs a program to its end; a missing program or one that takes longer than `timeout_s` is a LabFault."""
    command = [str(part) for part in argv]
    try:
        ended = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            encoding="utf-8",
            errors="replace",
            timeout=timeout_s,
            env=None if environment is None else dict(environment),
        )
    except FileNotFoundError as missing:
        raise LabFault(f"the program {command[0]} is not there", "install it, or run `make setup`") from missing
    except subprocess.TimeoutExpired as slow:
        raise LabFault(f"`{' '.join(command[:3])}` had not ended after {timeout_s:g} s", "try again") from slow
    return Outcome(status=ended.returncode, output=ended.stdout, errors=ended.stderr)


def must(outcome: Outcome, what: str, remedy: str) -> str:
    """The program's output, or a LabFault `what (its last line): remedy` when it failed."""
    if outcome.status != 0:
        raise LabFault(f"{what} ({outcome.last_line()})", remedy)
    return outcome.output
