"""Steps about the window: wheel, size, frames, tabs; waiting; and what a recording had that cannot be played."""

from __future__ import annotations

from replay.scenario_shape import ScenarioError, Step
from replay.settle import NotSettledError
from replay.stage import Played, Stage, Start, aim, filled, find
from replay.steps_viewer import varied

_NOTCH = 100
#: how far the page (or an element) is scrolled
_AT = """const one = arguments[0] ?? document.scrollingElement;
return [one.scrollLeft, one.scrollTop, one.scrollWidth - one.clientWidth, one.scrollHeight - one.clientHeight];"""
_BODY = "return document.elementFromPoint(innerWidth / 2, innerHeight / 2) ?? document.documentElement"
_READ = """const [one, what, name] = arguments;
return what === "title" ? document.title : what === "value" ? one.value : what === "attribute" ? one.getAttribute(name)
  : (one.innerText ?? one.textContent).trim();"""


def wheel(stage: Stage, step: Step, start: Start) -> Played:
    """Turn the wheel by a number of notches."""
    found = aim(stage, step) if step.targets else None
    if found is None:
        stage.hands.aim(stage.eyes.run(_BODY))
    notches: int = step.options["notches"]
    per_s = step.options.get("notches_per_s", 5.0)
    start()
    for _ in range(abs(notches)):
        stage.hands.wheel(1 if notches > 0 else -1)
        stage.pause(varied(1 / per_s, 0.3, stage.random) / stage.speed)
    return Played(found=found, ticks=abs(notches))


def scroll_to(stage: Stage, step: Step, start: Start) -> Played:
    """Scroll the page, or an element, with the wheel until it is there or at its end."""
    found = find(stage, step) if step.targets else None
    element = found.element if found else None
    stage.hands.aim(element if element is not None else stage.eyes.run(_BODY))
    start()
    wanted = (step.options.get("x"), step.options["y"])
    ticks = 0

    def attempt() -> tuple[bool | None, str]:
        nonlocal ticks
        x, y, most_x, most_y = stage.eyes.run(_AT, element)
        left = [
            0 if to is None else round(min(to, most) - at) for to, at, most in zip(wanted, (x, y), (most_x, most_y), strict=True)
        ]
        if all(abs(pixels) <= 1 for pixels in left):
            return True, ""
        dx, dy = (max(-_NOTCH, min(_NOTCH, pixels)) for pixels in left)
        stage.hands.wheel_pixels(dx, dy)
        ticks += 1
        return None, f"scrolled to {x:g}, {y:g}"

    stage.waiter.until(attempt, step.timeout_s)
    return Played(found=found, ticks=ticks)


def resize(stage: Stage, step: Step, start: Start) -> Played:
    """Give the window another size."""
    start()
    stage.hands.resize(*step.options["size"])
    return Played()


def enter_frame(stage: Stage, step: Step, start: Start) -> Played:
    """Go on in the page of a frame."""
    found = find(stage, step)
    start()
    stage.hands.enter_frame(found.element)
    return Played(found=found)


def leave_frame(stage: Stage, step: Step, start: Start) -> Played:
    """Go on in the page around the frame."""
    start()
    stage.hands.leave_frame(to_top=step.options.get("up_to", "top") == "top")
    return Played()


def tab(stage: Stage, step: Step, start: Start) -> Played:
    """Go on in another tab, as soon as it is there."""
    start()
    path = step.options.get("path")
    wanted = None if path is None else stage.values.fill(path)

    def attempt() -> tuple[bool | None, str]:
        obstacle = stage.hands.go_to_tab(step.options.get("which"), wanted)
        return (None, obstacle) if obstacle else (True, "")

    stage.waiter.until(attempt, step.timeout_s)
    return Played()


def close_tab(stage: Stage, _step: Step, start: Start) -> Played:
    """Close the tab and go on in the newest of the others."""
    start()
    stage.hands.close_tab()
    return Played()


def store(stage: Stage, step: Step, start: Start) -> Played:
    """Keep what the page says as the value of a parameter, for later steps."""
    what, name = step.options["what"], step.options["parameter"]
    if what == "count":
        start()
        counts = [len(stage.eyes.find(locator)) for locator in filled(stage, step.targets)]
        stage.values.keep(name, str(next((count for count in counts if count), 0)))
        return Played()
    found = find(stage, step, hidden=True) if step.targets else None
    start()
    read = stage.eyes.run(_READ, found.element if found else None, what, step.options.get("attribute"))
    if read is None:
        raise NotSettledError(f"the element has no {step.options.get('attribute', what)}", "correct the step")
    stage.values.keep(name, str(read))
    return Played(found=found)


def wait(stage: Stage, step: Step, start: Start) -> Played:
    """Do nothing for a while, or until the step's expectations are met."""
    start()
    if "seconds" in step.options:
        stage.pause(step.options["seconds"])
    return Played()


def unsupported(_stage: Stage, step: Step, start: Start) -> Played:
    """Stop where a recording did what cannot be played."""
    start()
    raise ScenarioError(f"the command {step.options['command']} cannot be played", step.options["because"])
