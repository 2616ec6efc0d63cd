"""Steps that type, click, drag and choose."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from replay.harm import check_element, check_path
from replay.locate import Found
from replay.scenario_shape import ScenarioError, Step
from replay.settle import NotSettledError
from replay.stage import Played, Stage, Start, aim, find

#: the middle of an element in the window, which a drag is aimed at
_MIDDLE = """const box = arguments[0].getClientRects()[0], at = arguments[1];
return [box.x + (at ? at[0] : box.width / 2), box.y + (at ? at[1] : box.height / 2)];"""
_IS_LIST = "return arguments[0] instanceof HTMLSelectElement"
_FOCUSED = "return arguments[0] === document.activeElement"
_CHECKED = "return Boolean(arguments[0].checked)"
#: what a list offers: whether it is flat (so that options are clicked) or unfolded (an earlier click did it), and its options
_OPTIONS = """const list = arguments[0];
if (!(list instanceof HTMLSelectElement)) return null;
let unfolded = false;
try { unfolded = list.matches(":open"); } catch { /* an older browser */ }
return {flat: list.multiple || list.size > 1, unfolded, options: [...list.options].map((one) => ({
  label: one.label.replace(/\\s+/g, " ").trim(), value: one.value, selected: one.selected,
  off: one.disabled || Boolean(one.closest("optgroup")?.disabled), element: one}))};"""


def open_path(stage: Stage, step: Step, start: Start) -> Played:
    """Type the address of a page of the site."""
    path = stage.values.fill(step.text)
    check_path(path, may_delete=stage.may_delete)
    start()
    stage.hands.go(stage.site + path)
    return Played()


def click(stage: Stage, step: Step, start: Start) -> Played:
    """Click, with the button and the held key that the step names."""
    found = aim(stage, step)
    start()
    stage.hands.click(button=step.options.get("button", "left"), hold=step.options.get("hold"))
    return Played(found=found)


def double_click(stage: Stage, step: Step, start: Start) -> Played:
    """Click twice, as fast as the browser takes it."""
    found = aim(stage, step)
    start()
    stage.hands.click(times=2)
    return Played(found=found)


def hover(stage: Stage, step: Step, start: Start) -> Played:
    """Move the pointer onto the element: that is the input, so the action begins before it."""
    find(stage, step)
    start()
    return Played(found=aim(stage, step))


def drag(stage: Stage, step: Step, start: Start) -> Played:
    """Drag by so many pixels, or onto another element."""
    if step.onto:
        onto = aim(stage, step, onto=True)  # first, so that both are in view when the drag begins
        found = aim(stage, step)
        from_x, from_y = stage.eyes.run(_MIDDLE, found.element, step.options.get("at"))
        to_x, to_y = stage.eyes.run(_MIDDLE, onto.element, None)
        dx, dy = to_x - from_x, to_y - from_y
    else:
        found = aim(stage, step)
        dx, dy = step.options["by"]
    start()
    stage.hands.drag(dx, dy, button=step.options.get("button", "left"))
    return Played(found=found)


def type_text(stage: Stage, step: Step, start: Start) -> Played:
    """Replace what a field holds, letter by letter."""
    found = aim(stage, step)
    if stage.eyes.run(_IS_LIST, found.element) is True:  # the DevTools Recorder tells a choice as a text
        text = stage.values.fill(step.text)
        return _choose(stage, step, found, (f"value={text}", f"label={text}"), start)
    start()
    stage.hands.click()
    if stage.eyes.run(
        "const one = arguments[0]; return Boolean(arguments[0].value ?? (one.isContentEditable && one.textContent))",
        found.element,
    ):
        stage.hands.keys("{CTRL+A}")
    # Braces name keys only in the scenario's own text: what a person typed is taken letter by letter.
    stage.hands.keys(stage.values.fill(step.text).replace("{", "{{") or "{DELETE}")
    return Played(found=found)


def press(stage: Stage, step: Step, start: Start) -> Played:
    """Press keys, in an element if the step names one (which is clicked unless it has the focus)."""
    found: Found | None = None
    if step.targets:
        found = aim(stage, step)
        start()
        if not stage.eyes.run(_FOCUSED, found.element):
            stage.hands.click()
            stage.hands.keys("{END}")
    else:
        check_element(stage.eyes, None, may_delete=stage.may_delete)
        start()
    stage.hands.keys(stage.values.fill_keys(step.text))
    return Played(found=found)


def check(stage: Stage, step: Step, start: Start) -> Played:
    """Click a box unless it is ticked."""
    return _tick(stage, step, start, wanted=True)


def uncheck(stage: Stage, step: Step, start: Start) -> Played:
    """Click a box if it is ticked."""
    return _tick(stage, step, start, wanted=False)


def _tick(stage: Stage, step: Step, start: Start, *, wanted: bool) -> Played:
    found = aim(stage, step)
    start()
    if stage.eyes.run(_CHECKED, found.element) != wanted:
        stage.hands.click()
    return Played(found=found)


def select(stage: Stage, step: Step, start: Start) -> Played:
    """Choose an option: with the arrow keys in a list that opens, with the pointer in one that is open."""
    return _choose(stage, step, aim(stage, step), (stage.values.fill(step.options["option"]),), start)


def _choose(stage: Stage, step: Step, found: Found, wanted: Sequence[str], start: Start) -> Played:
    """Choose the first option of a list that is one of those wanted."""

    def attempt() -> tuple[tuple[dict[str, Any], int] | None, str]:
        held = stage.eyes.run(_OPTIONS, found.element)
        if held is None:
            raise ScenarioError(f"{found.locator} is no list to select from", "click what it is made of instead")
        place = next((place for one in wanted if (place := _place(held["options"], one)) is not None), None)
        labels = ", ".join(one["label"] for one in held["options"][:20])
        return (None, f"no option {wanted[0]}; there are: {labels}") if place is None else ((held, place), "")

    held, place = stage.waiter.until(attempt, step.timeout_s)
    mode = step.options.get("mode", "only")
    if held["flat"]:
        option = held["options"][place]
        obstacle = stage.hands.aim(option["element"])
        if obstacle:
            raise NotSettledError(f"option {option['label']} {obstacle}", "make the list larger, or choose with the keys")
        start()
        if mode == "only" or option["selected"] != (mode == "add"):
            stage.hands.click(hold=None if mode == "only" else "CTRL")
        return Played(found=found)
    if mode == "remove":
        raise ScenarioError("a list with one choice always keeps one", "select another option")
    start()
    if not held["unfolded"]:
        stage.hands.click()
    downs = sum(1 for one in held["options"][:place] if not one["off"])
    stage.hands.keys("{HOME}" + "{ARROW_DOWN}" * downs + "{ENTER}")
    return Played(found=found)


def _place(options: list[dict[str, Any]], wanted: str) -> int | None:
    by, _, text = wanted.partition("=")
    for place, one in enumerate(options):
        if not one["off"] and text == (str(place) if by == "index" else one[by]):
            return place
    return None


def choose_file(stage: Stage, step: Step, start: Start) -> Played:
    """Choose a file of this machine, also in a field that the page hides behind a button."""
    file = Path(stage.values.fill(step.text)).expanduser().resolve()
    if not file.is_file():
        raise ScenarioError(f"there is no file {file}", "correct the path, or give it with --set")
    found = find(stage, step, hidden=True)
    start()
    stage.hands.choose_file(found.element, str(file))
    return Played(found=found)
