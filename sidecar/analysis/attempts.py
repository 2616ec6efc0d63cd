"""Which attempts at the repetitions of a run count: what is said of a run, and a baseline above all, holds those only. Pure.

An attempt counts once it was told that it finished and never that it failed: one that was interrupted, or that is still being
played, tells nothing. When a run began anew (another series) only the last series counts; of several finished attempts at one
repetition, which a crash can leave, the one that began last. A session that names no attempt counts at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from sidecar.model.records import Action, Session


class Acted(Protocol):
    """An ended action."""

    @property
    def action(self) -> Action: ...


A = TypeVar("A", bound=Acted)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Completed actions of attempts that do not count, and how many such attempts those are."""

    actions: int = 0
    attempts: int = 0

    def __str__(self) -> str:
        actions, attempts = _many(self.actions, "action"), _many(self.attempts, "attempt")
        return f"{actions} of {attempts} that did not finish or whose repetition was played again"


def counting(rows: Iterable[A], sessions: Iterable[Session]) -> tuple[list[A], LeftOut]:
    """Those of a run's actions that count, and what was left out; `sessions` are all of the run."""
    void = _void(list(sessions))
    kept: list[A] = []
    out: list[str] = []
    for row in rows:
        attempt = void.get(row.action.session or "")
        if attempt is None:
            kept.append(row)
        elif row.action.outcome == "completed":
            out.append(attempt)
    return kept, LeftOut(actions=len(out), attempts=len(set(out)))


def _void(sessions: Sequence[Session]) -> Mapping[str, str]:
    """The sessions whose actions do not count, each with its attempt."""
    of: dict[str, list[Session]] = {}
    for one in sessions:
        if one.attempt is not None:
            of.setdefault(one.attempt, []).append(one)
    last = max((one.series or 1 for one in sessions), default=1)
    counts: dict[tuple[str | None, str | None, int | None], tuple[int, str]] = {}
    for attempt, told in of.items():
        outcomes = {one.outcome for one in told}
        if "finished" in outcomes and "failed" not in outcomes and all((one.series or 1) == last for one in told):
            began = min(one.started_ns for one in told), attempt
            # Runs of several scenarios, or in several setups, may have one name: each has its own first repetition.
            which = told[0].scenario, told[0].setup, told[0].repetition
            counts[which] = max(began, counts.get(which, began))
    kept = {attempt for _, attempt in counts.values()}
    return {one.session: attempt for attempt, told in of.items() if attempt not in kept for one in told}


def _many(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
