"""A machine without programs: it records what the lab would have run, and answers as it is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from replay.lab.command import Outcome

Answer = Callable[[Sequence[str]], Outcome | None]

DONE = Outcome(status=0, output="", errors="")
REFUSED = Outcome(status=1, output="", errors="refused\n")


class RecordedRun:
    """Implements Run: the first answer that is not None counts, else the command succeeds silently."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = answers
        self.commands: list[list[str]] = []
        self.environments: list[Mapping[str, str] | None] = []

    def __call__(self, argv: Sequence[str | Path], *, timeout_s: float, environment: Mapping[str, str] | None = None) -> Outcome:
        command = [str(part) for part in argv]
        self.commands.append(command)
        self.environments.append(environment)
        return next((outcome for answer in self._answers if (outcome := answer(command)) is not None), DONE)

    def that_begin(self, *words: str) -> list[list[str]]:
        """The commands that begin with these words."""
        return [command for command in self.commands if command[: len(words)] == list(words)]


def on(*words: str, outcome: Outcome) -> Answer:
    """Answers commands that begin with these words."""
    return lambda command: outcome if list(command[: len(words)]) == list(words) else None


def output(text: str) -> Outcome:
    return Outcome(status=0, output=text, errors="")
