"""The steps of a scenario, played with native input only: the list is `STEPS`, one function per kind.

Every function gets ready first (finds the element, brings it into view, moves the pointer onto it) and then calls `start` right
before the input that counts: with the pointer in place, 5 to 20 ms pass between `start` and the event in the page (Chromium),
while an ordinary click of the driver takes 50 to 140 ms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from replay.scenario_shape import Step
from replay.stage import Hands, Played, Stage, Start, aim
from replay.steps_input import (
    check,
    choose_file,
    click,
    double_click,
    drag,
    hover,
    open_path,
    press,
    select,
    type_text,
    uncheck,
)
from replay.steps_viewer import scroll
from replay.steps_window import close_tab, enter_frame, leave_frame, resize, scroll_to, store, tab, unsupported, wait, wheel

__all__ = ["STEPS", "Hands", "Played", "Stage", "Start"]


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


STEPS: Mapping[str, Callable[[Stage, Step, Start], Played]] = {
    "open": open_path,
    "type": type_text,
    "press": press,
    "click": click,
    "double_click": double_click,
    "hover": hover,
    "drag": drag,
    "select": select,
    "check": check,
    "uncheck": uncheck,
    "choose_file": choose_file,
    "scroll": _scroll,
    "wheel": wheel,
    "scroll_to": scroll_to,
    "resize": resize,
    "enter_frame": enter_frame,
    "leave_frame": leave_frame,
    "tab": tab,
    "close_tab": close_tab,
    "store": store,
    "wait": wait,
    "unsupported": unsupported,
}
