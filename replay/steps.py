"""The steps of a scenario, played with native input only: the list is `STEPS`, one function per kind.

Every function gets ready first (finds the element, brings it into view, moves the pointer onto it) and then calls `start` right
before the input that counts: with the pointer in place, 5 to 20 ms pass between `start` and the event in the page (Chromium),
while an ordinary click of the driver takes 50 to 140 ms.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from replay.locate import Found, look
from replay.scenario_shape import Step
from replay.settle import Waiter
from replay.sight import Eyes
from replay.steps_viewer import scroll
from replay.values import Values


class Hands(Protocol):
    """Native input: what the browser cannot tell from a person's."""

    def go(self, url: str) -> None:
        """Type an address."""

    def aim(self, element: object) -> str | None:
        """Bring the element into view and the pointer onto it; or say why a person could not click it now."""

    def click(self) -> None:
        """Press and release the left button where the pointer is."""

    def keys(self, text: str) -> None:
        """Type into what has the focus; names as in `{ENTER}` are keys, `{CTRL+A}` are chords."""

    def wheel(self, notches: int) -> None:
        """Turn the wheel where the pointer is; positive is towards the user (down)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What a step is played with. `speed` divides all pauses; `site` is the address without a slash at its end."""

    eyes: Eyes
    hands: Hands
    waiter: Waiter
    values: Values
    site: str
    random: random.Random
    pause: Callable[[float], None]
    speed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What a step's input came to: which locator found its element, and wheel notches."""

    found: Found | None = None
    ticks: int | None = None


Start = Callable[[], None]


def aim(stage: Stage, step: Step) -> Found:
    """Find the step's element and put the pointer on it."""
    locators = [stage.values.fill_locator(locator) for locator in step.targets]

    def attempt() -> tuple[Found | None, str]:
        found, tried = look(stage.eyes, locators)
        if found is None:
            return None, tried
        obstacle = stage.hands.aim(found.element)
        return (None, f"{found.locator} {obstacle}") if obstacle else (found, "")

    return stage.waiter.until(attempt, step.timeout_s)


def _open(stage: Stage, step: Step, start: Start) -> Played:
    start()
    stage.hands.go(stage.site + stage.values.fill(step.text))
    return Played()


def _click(stage: Stage, step: Step, start: Start) -> Played:
    found = aim(stage, step)
    start()
    stage.hands.click()
    return Played(found=found)


def _type(stage: Stage, step: Step, start: Start) -> Played:
    found = aim(stage, step)
    start()
    stage.hands.click()
    if stage.eyes.run("return Boolean(arguments[0].value)", found.element):
        stage.hands.keys("{CTRL+A}")
    # Braces name keys only in the scenario's own text: what a person typed is taken letter by letter.
    stage.hands.keys(stage.values.fill(step.text).replace("{", "{{"))
    return Played(found=found)


def _press(stage: Stage, step: Step, start: Start) -> Played:
    start()
    stage.hands.keys(step.text)
    return Played()


def _scroll(stage: Stage, step: Step, start: Start) -> Played:
    found = aim(stage, step)
    ticks = scroll(
        step,
        eyes=stage.eyes,
        wheel=stage.hands.wheel,
        waiter=stage.waiter,
        pause=stage.pause,
        chance=stage.random,
        speed=stage.speed,
        start=start,
    )
    return Played(found=found, ticks=ticks)


def _wait(_stage: Stage, _step: Step, start: Start) -> Played:
    start()
    return Played()


STEPS: Mapping[str, Callable[[Stage, Step, Start], Played]] = {
    "open": _open,
    "type": _type,
    "press": _press,
    "click": _click,
    "scroll": _scroll,
    "wait": _wait,
}
