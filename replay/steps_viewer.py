"""Scrolling through a stack of images at a varying pace, notch by notch, until the last slice is shown."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

from replay.scenario_shape import Pace, Step
from replay.settle import NotSettledError, Waiter
from replay.sight import Displayed, Eyes, NotReadyError, displayed


def varied(seconds: float, variation: float, chance: random.Random) -> float:
    """A pause drawn evenly from `seconds` x (1 - variation) to x (1 + variation)."""
    return seconds * chance.uniform(1 - variation, 1 + variation)


def bursts(paces: Sequence[Pace], slices: int, chance: random.Random) -> Iterator[tuple[int, float]]:
    """Notches and the seconds to take for them, stretch by stretch; the last pace goes on for ever.

    One notch moves one slice in the viewer, so a stretch ends after its share of the slices.
    """
    for number, pace in enumerate(paces, 1):
        last = number == len(paces)
        left = max(1, round(pace.share * slices))
        while last or left > 0:
            notches = pace.burst if last else min(pace.burst, left)
            yield notches, varied(notches / pace.notches_per_s, pace.variation, chance)
            left -= notches


def scroll(
    step: Step,
    *,
    eyes: Eyes,
    wheel: Callable[[int], None],
    waiter: Waiter,
    pause: Callable[[float], None],
    chance: random.Random,
    speed: float,
    start: Callable[[], None],
) -> int:
    """Play a scroll step and return the notches turned.

    From the second half of the stack it goes back to the first slice first, so that every repetition passes at least half of it.
    """
    first = waiter.until(lambda: (displayed(eyes), "no image in the viewer"), step.timeout_s)
    most = 4 * first.count + 40
    ticks = 0
    start()
    back = first.index > 1 and first.index * 2 > first.count
    for down, slices in ([(-1, first.index - 1)] if back else []) + [(1, first.count - (1 if back else first.index))]:
        for notches, seconds in bursts(step.pace, slices, chance):
            shown = _shown(eyes)
            if shown is not None and shown.index == (shown.count if down > 0 else 1):
                break
            if ticks + notches > most:
                seen = f"slice {shown.index} of {shown.count}" if shown else "no image"
                raise NotSettledError(f"{ticks} notches of the wheel led to {seen}", "check that the target is the viewport")
            wheel(down * notches)
            ticks += notches
            pause(seconds / speed)
    return ticks


def _shown(eyes: Eyes) -> Displayed | None:
    try:
        return displayed(eyes)
    except NotReadyError:
        return None
