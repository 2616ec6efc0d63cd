"""What a step is played with: eyes, hands, waiting, values; and how it gets its pointer onto an element."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from replay.harm import PRESSING, check_element
from replay.locate import Found, Locator, look
from replay.scenario_shape import Step
from replay.settle import Waiter
from replay.sight import Eyes
from replay.values import Values


class Hands(Protocol):
    """Native input: what the browser cannot tell from a person's."""

    def go(self, url: str) -> None:
        """Type an address."""

    def aim(self, element: object, at: Sequence[float] | None = None) -> str | None:
        """Bring the element into view and the pointer onto it; or say why a person could not click it now."""

    def click(self, *, button: str = "left", hold: str | None = None, times: int = 1) -> None:
        """Press and release a button where the pointer is, with a key held if one is named."""

    def drag(self, dx: float, dy: float, *, button: str = "left") -> None:
        """Press where the pointer is, move it by so many pixels, and release."""

    def keys(self, text: str) -> None:
        """Type into what has the focus; names as in `{ENTER}` are keys, `{CTRL+A}` are chords."""

    def wheel(self, notches: int) -> None:
        """Turn the wheel where the pointer is; positive is towards the user (down)."""

    def wheel_pixels(self, dx: int, dy: int) -> None:
        """Turn a wheel that is finer than a notch."""

    def choose_file(self, element: object, path: str) -> None:
        """Choose a file in the element's dialog."""

    def resize(self, width: int, height: int) -> None:
        """Give the window another size."""

    def enter_frame(self, element: object) -> None:
        """Look at the page in a frame from now on."""

    def leave_frame(self, *, to_top: bool) -> None:
        """Look at the page around the frame, or at the whole page, from now on."""

    def go_to_tab(self, which: str | None, path: str | None) -> str | None:
        """Look at another tab from now on, or say why not."""

    def close_tab(self) -> None:
        """Close the tab and look at the newest of the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What a step is played with. `speed` divides all pauses; `site` is the address without a slash at its end.

    Without `may_delete` nothing is pressed that deletes (`replay.harm`).
    """

    eyes: Eyes
    hands: Hands
    waiter: Waiter
    values: Values
    site: str
    random: random.Random
    pause: Callable[[float], None]
    speed: float
    may_delete: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What a step's input came to: which locator found its element, and wheel notches."""

    found: Found | None = None
    ticks: int | None = None


Start = Callable[[], None]


def filled(stage: Stage, locators: Sequence[Locator]) -> list[Locator]:
    """The locators with the values of this play."""
    return [stage.values.fill_locator(locator) for locator in locators]


def find(stage: Stage, step: Step, *, hidden: bool = False) -> Found:
    """Find the step's element and leave the pointer where it is."""
    locators = filled(stage, step.targets)
    return stage.waiter.until(lambda: look(stage.eyes, locators, hidden=hidden), step.timeout_s)


def aim(stage: Stage, step: Step, *, onto: bool = False) -> Found:
    """Find the step's element (or where it is dragged to) and put the pointer on it."""
    locators = filled(stage, step.onto if onto else step.targets)
    at = None if onto else step.options.get("at")

    def attempt() -> tuple[Found | None, str]:
        found, tried = look(stage.eyes, locators)
        if found is None:
            return None, tried
        obstacle = stage.hands.aim(found.element, at)
        return (None, f"{found.locator} {obstacle}") if obstacle else (found, "")

    aimed = stage.waiter.until(attempt, step.timeout_s)
    if step.kind in PRESSING and not onto:
        check_element(stage.eyes, aimed.element, may_delete=stage.may_delete)
    return aimed
