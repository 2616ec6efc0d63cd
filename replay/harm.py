"""What would delete something on the site: named before a run, and refused while it plays unless somebody asked for it.

XNAT deletes behind links and buttons that say so (`Delete`, `Remove`), below addresses that say so (`/app/action/Delete…`,
`/data/services/prearchive/delete`, `removeFiles=true`). What a page calls otherwise cannot be known here: the account's own
rights are the last line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from replay.scenario_shape import Scenario, ScenarioError, Step
from replay.sight import Eyes

#: the option that lets such steps be played
OPTION = "--may-delete"
_WORDS = re.compile(r"delet|purge|erase|remove_?files|(?<![a-z])remove(?![a-z])|(?<=[a-z])Remove(?![a-z])", re.IGNORECASE)
#: steps that press something
PRESSING = frozenset({"click", "double_click", "press", "drag", "check", "uncheck"})
#: what an element that is about to be pressed (without one: what has the focus) says of itself, and where it leads
WORDS_OF = """const pressed = "a, button, input, summary, label, [role=button], [role=menuitem], [onclick], [href]";
const given = arguments[0] ?? document.activeElement, one = given?.closest?.(pressed) ?? given;
if (!one || one === document.body) return "";
if (one.matches("input:not([type=submit], [type=button], [type=image], [type=reset])")) return "";
const texts = document.createTreeWalker(one, NodeFilter.SHOW_TEXT);
let text = "";
while (text.length <= 80 && texts.nextNode()) {
  const inside = texts.currentNode.parentElement.closest(pressed);
  if (inside === null || inside === one || inside.contains(one)) text += texts.currentNode.data.trim() + " ";
}
const said = one.getAttribute("aria-label") || one.getAttribute("title") || (one.matches("input, button") && one.value) || text;
const leads = ["href", "onclick", "formaction", "data-action", "id", "name"].map((name) => one.getAttribute(name) ?? "");
const form = one.matches("[type=submit], [type=image], button:not([type])") ? one.form?.getAttribute("action") ?? "" : "";
return [said.length <= 80 ? said : "", ...leads, form].join("\\n");"""


class HarmfulStepError(ScenarioError):
    """A step would delete something, and nobody has asked for that."""


def deletes(text: str) -> bool:
    """Whether a text names a deletion, as XNAT's links, buttons and addresses do."""
    return _WORDS.search(text) is not None


def deleting_steps(scenario: Scenario) -> list[Step]:
    """The steps that say by their locators, or by the address that they open, that they delete."""
    return [step for step in scenario.steps if any(map(deletes, _told(step)))]


def check_scenario(scenario: Scenario, *, may_delete: bool) -> None:
    """Raise HarmfulStepError for a scenario that says that it deletes, unless it may."""
    found = [] if may_delete else deleting_steps(scenario)
    if found:
        step = found[0]
        said = next(filter(deletes, _told(step)))
        raise HarmfulStepError(
            f"{scenario.file}: step {step.number} ({step.name}) deletes something on the site ({said})", _REMEDY
        )


def check_element(eyes: Eyes, element: object | None, *, may_delete: bool) -> None:
    """Raise HarmfulStepError when what is about to be pressed deletes, unless it may; None is what has the focus."""
    said = "" if may_delete else eyes.run(WORDS_OF, element)
    if isinstance(said, str) and (line := next(filter(deletes, said.splitlines()), "")):
        raise HarmfulStepError(f"what is pressed deletes something on the site ({' '.join(line.split())[:80]})", _REMEDY)


def check_path(path: str, *, may_delete: bool) -> None:
    """Raise HarmfulStepError for the address of what deletes, unless it may."""
    if not may_delete and deletes(path):
        raise HarmfulStepError(f"the address {path} deletes something on the site", _REMEDY)


_REMEDY = f"take the step out, or say {OPTION} where only data made for it can be hit"


def _told(step: Step) -> Sequence[str]:
    if step.kind == "open":
        return (step.text,)
    return [one.value for one in step.targets] if step.kind in PRESSING else ()
