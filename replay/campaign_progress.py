"""How far a campaign is: a bar on a terminal (repetition, step, time left), elsewhere only what a person should know."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from replay.results import ActionResult


def time_left_s(finished_ns: Sequence[int], repetitions: int, elapsed_s: float) -> float | None:
    """What the repetitions that are still to be played will take; None before one was finished.

    Each is taken to last as long as the finished ones did on average; the one that is played now has lasted `elapsed_s`.
    """
    if not finished_ns:
        return None
    mean_s = sum(finished_ns) / len(finished_ns) / 1e9
    return max(0.0, mean_s - elapsed_s) + mean_s * max(0, repetitions - len(finished_ns) - 1)


class Silent:
    """Without a terminal: only messages, one line each."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def begin(self, number: int, attempt: int, finished_ns: list[int]) -> None:
        """Nothing."""

    def step(self, number: int, name: str) -> None:
        """Nothing."""

    def action(self, ended: ActionResult) -> None:
        """Nothing."""

    def say(self, text: str) -> None:
        """A line."""
        print(f"replay: {text}", file=self._out, flush=True)


class Bar:
    """On a terminal. The bar counts steps over all repetitions."""

    def __init__(self, progress: Progress, repetitions: int, steps: int, monotonic: Callable[[], float]) -> None:
        self._progress = progress
        self._repetitions = repetitions
        self._steps = steps
        self._monotonic = monotonic
        self._finished_ns: list[int] = []
        self._began_s = monotonic()
        self._number = 1
        self._task = progress.add_task("", total=repetitions * steps, left=self._left)

    def begin(self, number: int, attempt: int, finished_ns: list[int]) -> None:
        """A repetition begins."""
        self._number, self._finished_ns, self._began_s = number, finished_ns, self._monotonic()
        again = f", attempt {attempt}" if attempt > 1 else ""
        self._progress.update(self._task, description=f"{number}/{self._repetitions}{again}: browser", completed=self._done(0))

    def step(self, number: int, name: str) -> None:
        """A step begins."""
        text = f"{self._number}/{self._repetitions}: step {number}/{self._steps} {name}"
        self._progress.update(self._task, description=text, completed=self._done(number - 1))

    def action(self, ended: ActionResult) -> None:
        """Nothing: the step says it."""

    def say(self, text: str) -> None:
        """A line above the bar."""
        self._progress.console.print(f"replay: {text}", markup=False, highlight=False)

    def _done(self, steps: int) -> int:
        return (self._number - 1) * self._steps + steps

    def _left(self) -> str:
        left_s = time_left_s(self._finished_ns, self._repetitions, self._monotonic() - self._began_s)
        return "" if left_s is None else f"{int(left_s // 60)}:{int(left_s % 60):02d} left"


class _Left(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(task.fields["left"]())


@contextmanager
def shown(out: TextIO, repetitions: int, steps: int, monotonic: Callable[[], float] = time.monotonic) -> Iterator[Bar | Silent]:
    """The progress of a campaign until it is left: a bar where `out` is a terminal."""
    if not out.isatty():
        yield Silent(out)
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), _Left())
    with Progress(*columns, console=Console(file=out), transient=True) as progress:
        yield Bar(progress, repetitions, steps, monotonic)
