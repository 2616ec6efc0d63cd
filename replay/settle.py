"""Waiting until a step's effect is there. Nothing here sleeps for a fixed time and hopes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from replay.expectations import EXPECTATIONS, RefusedError, Scene, Verdict
from replay.scenario_shape import Expectation
from replay.sight import NotReadyError
from sidecar.model.faults import Fault

T = TypeVar("T")


class NotSettledError(Fault):
    """The time is over and the condition is not met; says what was seen last."""


class Waiter:
    """Looks again and again until there is a value, at most `timeout_s`.

    The pauses between looks grow with the wait, so that an end is seen within 20 ms or 1 % of the time waited (at most 0.1 s),
    and a long wait does not keep the browser busy.
    """

    def __init__(self, monotonic: Callable[[], float], pause: Callable[[float], None]) -> None:
        self._monotonic = monotonic
        self._pause = pause

    def until(self, attempt: Callable[[], tuple[T | None, str]], timeout_s: float) -> T:
        """The first value that `attempt` gives; its words about the last failure are in the error."""
        began_s = self._monotonic()
        while True:
            try:
                value, words = attempt()
            except NotReadyError:
                value, words = None, "the page kept changing"
            if value is not None:
                return value
            waited_s = self._monotonic() - began_s
            if waited_s >= timeout_s:
                raise NotSettledError(f"after {timeout_s:g} s: {words}", "compare with the screenshot, correct the scenario")
            self._pause(min(max(0.02, 0.01 * waited_s), 0.1))


def settle(
    scene: Scene, expect: Sequence[Expectation], refuse: Sequence[Expectation], waiter: Waiter, timeout_s: float
) -> list[Verdict]:
    """Wait until all expectations are met in one look; stop at once when the site refuses. Returns their verdicts in order."""

    def attempt() -> tuple[list[Verdict] | None, str]:
        verdicts = []
        for expectation in expect:
            verdict = EXPECTATIONS[expectation.kind](scene, expectation)
            if not verdict.met:
                for refusal in refuse:
                    if EXPECTATIONS[refusal.kind](scene, refusal).met:
                        raise RefusedError("the site refused", refusal.because or "look at the screenshot")
                return None, verdict.saw
            verdicts.append(verdict)
        return verdicts, ""

    return waiter.until(attempt, timeout_s)
