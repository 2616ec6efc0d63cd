"""What Selenium IDE's words are in ours, for import and export."""

from __future__ import annotations

import re
from collections.abc import Mapping

#: assert*, verify* and waitFor* -> kind of expectation, its option that the value is for, its state
_CHECKS: Mapping[str, tuple[str, str | None, bool | None]] = {
    "Text": ("text", "is", None),
    "NotText": ("text", "is_not", None),
    "Title": ("title", "is", None),
    "NotTitle": ("title", "is_not", None),
    "Value": ("value", "is", None),
    "NotValue": ("value", "is_not", None),
    "SelectedLabel": ("selected", "is", None),
    "NotSelectedLabel": ("selected", "is_not", None),
    "SelectedValue": ("value", "is", None),
    "NotSelectedValue": ("value", "is_not", None),
    "Checked": ("checked", None, True),
    "NotChecked": ("checked", None, False),
    "Editable": ("editable", None, True),
    "NotEditable": ("editable", None, False),
    "ElementPresent": ("present", None, None),
    "ElementNotPresent": ("absent", None, None),
}
ASSERTIONS: Mapping[str, tuple[str, str | None, bool | None]] = {
    **{f"{verb}{name}": meaning for verb in ("assert", "verify") for name, meaning in _CHECKS.items()},
    "waitForText": ("text", "is", None),
    "waitForElementPresent": ("present", None, None),
    "waitForElementNotPresent": ("absent", None, None),
    "waitForElementVisible": ("shown", None, None),
    "waitForElementNotVisible": ("gone", None, None),
    "waitForElementEditable": ("editable", None, True),
    "waitForElementNotEditable": ("editable", None, False),
}
#: commands for which nothing has to be played
HARMLESS: Mapping[str, str] = {
    "echo": "only prints; the play tells its own steps",
    "debugger": "stops the IDE only",
    "setSpeed": "is not kept: pauses are each step's own, and --set pace=… changes them all",
    "acceptAlert": "the browser accepts every dialog by itself",
    "acceptConfirmation": "the browser accepts every dialog by itself",
    "chooseOkOnNextConfirmation": "the browser accepts every dialog by itself",
    "webdriverChooseOkOnVisibleConfirmation": "the browser accepts every dialog by itself",
    "webdriverAnswerOnVisiblePrompt": "the browser accepts every dialog by itself, with the text that it offers",
}
_SCRIPT = "what a script does is not a person's input; record the input instead"
_DIALOG = "dialogs are accepted as they come up; nothing else can be done with one"
_LOOP = "a scenario always does the same: write the steps out"
REFUSED: Mapping[str, str] = {
    **dict.fromkeys(("executeScript", "executeAsyncScript", "runScript"), _SCRIPT),
    **dict.fromkeys(
        (
            "answerPrompt", "dismissConfirmation", "dismissPrompt", "assertAlert", "assertConfirmation", "assertPrompt",
            "answerOnNextPrompt", "chooseCancelOnNextConfirmation", "chooseCancelOnNextPrompt",
            "webdriverAnswerOnNextPrompt", "webdriverChooseCancelOnVisibleConfirmation", "webdriverChooseCancelOnVisiblePrompt",
        ),
        _DIALOG,
    ),
    **dict.fromkeys(("else", "elseIf", "end", "repeatIf"), _LOOP),
    "storeJson": "a parameter is a text or a number",
    "submit": "record the click on the form's button, or the key",
}  # fmt: skip
#: `${KEY_…}` -> our name in braces
KEYS: Mapping[str, str] = {
    **{
        name: name
        for name in (
            "ENTER",
            "TAB",
            "BACKSPACE",
            "DELETE",
            "HOME",
            "END",
            "PAGE_UP",
            "PAGE_DOWN",
            "SPACE",
            "INSERT",
            "SHIFT",
            "ALT",
            "META",
        )
    },
    **{f"F{number}": f"F{number}" for number in range(1, 13)},
    **{f"N{number}": f"NUMPAD{number}" for number in range(10)},
    "ESC": "ESCAPE",
    "ESCAPE": "ESCAPE",
    "BKSP": "BACKSPACE",
    "DEL": "DELETE",
    "PGUP": "PAGE_UP",
    "PGDN": "PAGE_DOWN",
    "UP": "ARROW_UP",
    "DOWN": "ARROW_DOWN",
    "LEFT": "ARROW_LEFT",
    "RIGHT": "ARROW_RIGHT",
    "CONTROL": "CTRL",
    "CTRL": "CTRL",
    "COMMAND": "META",
}
_OPEN, _CLOSE = "\ue000", "\ue001"  # stand for the braces of a key while those of the text are doubled


def side_keys(text: str) -> tuple[str, str]:
    """Keys as we write them, and the first key that there is none of (empty: all are known)."""
    unknown = ""

    def key(match: re.Match[str]) -> str:
        nonlocal unknown
        if match.group(1) not in KEYS:
            unknown = unknown or match.group(1)
        return _OPEN + KEYS.get(match.group(1), "") + _CLOSE

    named = re.sub(r"\$\{KEY_([A-Z0-9_]+)\}", key, text)
    held = rf"{_OPEN}(CTRL|SHIFT|ALT|META){_CLOSE}([a-z0-9])"
    chords = re.sub(held, lambda match: f"{_OPEN}{match.group(1)}+{match.group(2).upper()}{_CLOSE}", named)
    escaped = re.sub(r"(?<!\$)\{", "{{", chords)
    return escaped.replace(_OPEN, "{").replace(_CLOSE, "}"), unknown
