"""The commands of Selenium IDE, one by one, as steps of ours."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from replay.scenario import names_a_secret
from replay.scenario_import.draft import Draft, good_locators
from replay.scenario_import.side_tables import ASSERTIONS, KEYS, side_keys

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class Commands:
    """Imports one command at a time; `replay.scenario_import.side` adds the order in which they are played."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._number = 0
        self._values: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._down: tuple[list[str], list[float] | None] | None = None
        self._tabs = [""]
        self._tab = 0
        self._handles: dict[str, int] = {}
        self._handlers: Mapping[str, Callable[[str, Mapping[str, Any]], None]] = {
            "open": self._open, "setWindowSize": self._size, "click": self._click, "clickAt": self._click,
            "doubleClick": self._click, "doubleClickAt": self._click, "mouseOver": self._hover, "mouseDown": self._press_down,
            "mouseDownAt": self._press_down, "mouseMoveAt": self._move, "mouseUp": self._release, "mouseUpAt": self._release,
            "mouseOut": self._out, "dragAndDropToObject": self._drag, "dragAndDropToObjectAt": self._drag, "type": self._type,
            "sendKeys": self._keys, "editContent": self._edit, "check": self._tick, "uncheck": self._tick,
            "select": self._select, "addSelection": self._select, "removeSelection": self._select,
            "selectFrame": self._frame, "selectWindow": self._window, "close": self._close, "pause": self._pause,
            "store": self._store, "storeText": self._store_page, "storeValue": self._store_page,
            "storeTitle": self._store_page, "storeAttribute": self._store_page, "storeElementCount": self._store_page,
            "storeXpathCount": self._store_page, "storeWindowHandle": self._handle, "assert": self._compare,
            "verify": self._compare,
        }  # fmt: skip

    # one command each

    def _open(self, command: str, entry: Mapping[str, Any]) -> None:
        path = self._draft.path_of(self._number, command, self._text(entry, "target"))
        if path is not None:
            self._draft.add("open", name=_comment(entry), path=path if path.startswith("/") else f"/{path}")

    def _size(self, command: str, entry: Mapping[str, Any]) -> None:
        match = re.fullmatch(r"\s*(\d+)\s*x\s*(\d+)\s*", str(entry.get("target")))
        size = [int(side) for side in match.groups()] if match else []
        if not size or min(size) < 300 or max(size) > 10_000:
            self._draft.lose(self._number, command, f"{entry.get('target')!r} is no size from 300 to 10000 pixels", step=False)
        elif all(step["step"] == "open" for step in self._draft.steps):
            self._draft.window = size
        else:
            self._draft.add("resize", size=size)

    def _click(self, command: str, entry: Mapping[str, Any]) -> None:
        targets = self._targets(command, entry)
        if targets is None:
            return
        kind = "double_click" if command.startswith("double") else "click"
        at = _point(entry.get("value")) if command.endswith("At") else None
        self._draft.add(kind, name=_comment(entry), targets=targets, at=at)
        if entry.get("opensWindow"):
            self._tabs.append(str(entry.get("windowHandleName", "")))
            self._handles[self._tabs[-1]] = len(self._tabs) - 1

    def _hover(self, command: str, entry: Mapping[str, Any]) -> None:
        if (targets := self._targets(command, entry)) is not None:
            self._draft.add("hover", name=_comment(entry), targets=targets)

    def _out(self, command: str, _entry: Mapping[str, Any]) -> None:
        self._draft.note(self._number, command, "the pointer leaves with the next step")

    def _press_down(self, command: str, entry: Mapping[str, Any]) -> None:
        targets = self._targets(command, entry)
        self._down = None if targets is None else (targets, _point(entry.get("value")) if command.endswith("At") else None)

    def _move(self, command: str, _entry: Mapping[str, Any]) -> None:
        if self._down is None:
            self._draft.note(self._number, command, "the pointer goes straight to where the next step needs it")

    def _release(self, command: str, entry: Mapping[str, Any]) -> None:
        targets = self._targets(command, entry)
        if self._down is None or targets is None:
            self._draft.lose(self._number, command, "no button was pressed before; record the click again")
            return
        from_targets, from_at = self._down
        self._down = None
        at = _point(entry.get("value")) if command.endswith("At") else None
        if targets != from_targets:
            self._draft.add("drag", name=_comment(entry), targets=from_targets, at=from_at, onto=targets)
        elif at == from_at or at is None or from_at is None:
            self._draft.add("click", name=_comment(entry), targets=targets, at=at)
        else:
            by = [at[0] - from_at[0], at[1] - from_at[1]]
            self._draft.add("drag", name=_comment(entry), targets=targets, at=from_at, by=by)

    def _drag(self, command: str, entry: Mapping[str, Any]) -> None:
        targets, onto = self._targets(command, entry), good_locators([self._fill(str(entry.get("value") or ""))])
        if targets is None:
            return
        if not onto:
            self._draft.lose(self._number, command, f"{entry.get('value')!r} is no locator")
            return
        self._draft.add("drag", name=_comment(entry), targets=targets, onto=onto)

    def _type(self, command: str, entry: Mapping[str, Any]) -> None:
        if (targets := self._targets(command, entry)) is None:
            return
        text = self._text(entry, "value")
        if any("type=file" in one.replace('"', "").replace("'", "") for one in targets) or re.match(
            r"(?:[A-Z]:\\fakepath\\)", text
        ):
            file = self._draft.parameter("file", text.rpartition("\\")[2])
            self._draft.add("choose_file", name=_comment(entry), targets=targets, file=f"${{{file}}}")
            return
        self._draft.typed(self._number, command, targets, text, name=_comment(entry))

    def _keys(self, command: str, entry: Mapping[str, Any]) -> None:
        if (targets := self._targets(command, entry)) is None:
            return
        keys, unknown = side_keys(str(entry.get("value") or ""))
        if unknown:
            self._draft.lose(self._number, command, f"there is no key {unknown}; known are {', '.join(sorted(KEYS))}")
            return
        keys = self._fill(keys)
        if any(names_a_secret(target) for target in targets) and not re.fullmatch(r"(?:\{[A-Z0-9_+]+\})+", keys):
            keys = self._draft.secret(self._number, command, keys)
        self._draft.add("press", name=_comment(entry), targets=targets, keys=keys)

    def _edit(self, command: str, entry: Mapping[str, Any]) -> None:
        if "<" in str(entry.get("value")):
            self._draft.lose(self._number, command, "it holds formatted text; record the typing")
        else:
            self._type(command, entry)

    def _tick(self, command: str, entry: Mapping[str, Any]) -> None:
        if (targets := self._targets(command, entry)) is not None:
            self._draft.add(command, name=_comment(entry), targets=targets)

    def _select(self, command: str, entry: Mapping[str, Any]) -> None:
        if (targets := self._targets(command, entry)) is None:
            return
        option = self._text(entry, "value")
        if option.startswith("id="):
            self._draft.lose(self._number, command, "an option is named by its label, value or index")
            return
        if not option.startswith(("label=", "value=", "index=")):
            option = f"label={option}"
        mode = {"addSelection": "add", "removeSelection": "remove"}.get(command)
        self._draft.add("select", name=_comment(entry), targets=targets, option=option, mode=mode)

    def _frame(self, command: str, entry: Mapping[str, Any]) -> None:
        target = self._text(entry, "target")
        if target in ("relative=parent", "relative=top"):
            self._draft.add("leave_frame", up_to="parent" if target.endswith("parent") else "top")
        elif match := re.fullmatch(r"index=(\d+)", target):
            self._draft.add("enter_frame", targets=[f"xpath=(//iframe | //frame)[{int(match.group(1)) + 1}]"])
        elif (targets := self._targets(command, entry)) is not None:
            self._draft.add("enter_frame", targets=targets)

    def _window(self, command: str, entry: Mapping[str, Any]) -> None:
        target = str(entry.get("target") or "")
        match = re.fullmatch(r"handle=\$\{(\w+)\}", target)
        place = self._handles.get(match.group(1)) if match else {"win_ser_local": 0, "tab=0": 0, "win_ser_1": 1}.get(target)
        if place is None or 0 < place < len(self._tabs) - 1:
            self._draft.lose(self._number, command, "it is not known which tab that is; write a step tab with its path")
            return
        self._tab = place
        self._draft.add("tab", which="first" if place == 0 else "newest")

    def _handle(self, _command: str, entry: Mapping[str, Any]) -> None:
        self._handles[str(entry.get("target") or "")] = self._tab

    def _close(self, _command: str, _entry: Mapping[str, Any]) -> None:
        self._draft.add("close_tab")
        if len(self._tabs) > 1:
            self._tabs.pop()
        self._tab = len(self._tabs) - 1

    def _pause(self, command: str, entry: Mapping[str, Any]) -> None:
        text = self._known(str(entry.get("target") or "")) or ""
        if re.fullmatch(r"\d{1,8}(?:\.\d{1,6})?", text):
            self._draft.pause(float(text) / 1000)
        else:
            self._draft.lose(self._number, command, f"{text!r} is no number of milliseconds", step=False)

    def _store(self, command: str, entry: Mapping[str, Any]) -> None:
        name, value = str(entry.get("value") or ""), self._text(entry, "target")
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            self._draft.lose(self._number, command, f"{name!r} is no name for a parameter")
            return
        if names_a_secret(name):
            self._draft.secret(self._number, command, value, name)
            return
        self._values[name] = value
        self._names[name] = self._draft.parameter(name, value)

    def _store_page(self, command: str, entry: Mapping[str, Any]) -> None:
        name = str(entry.get("value") or entry.get("target") or "")
        what = {"storeElementCount": "count", "storeXpathCount": "count"}.get(command, command.removeprefix("store").lower())
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or names_a_secret(name):
            self._draft.lose(self._number, command, f"{name!r} is no name for a parameter that the page sets")
            return
        attribute: str | None = None
        if what == "attribute":
            target, _, attribute = str(entry.get("target") or "").rpartition("@")
            entry = {**entry, "target": target, "targets": []}
        targets = None if what == "title" else self._targets(command, entry)
        if targets is None and what != "title":
            return
        self._values.pop(name, None)
        self._names[name] = name
        self._draft.parameters.setdefault(name, "")
        self._draft.add("store", name=_comment(entry), parameter=name, what=what, targets=targets, attribute=attribute or None)

    def _compare(self, command: str, entry: Mapping[str, Any]) -> None:
        name, wanted = str(entry.get("target") or ""), self._text(entry, "value")
        known = self._values.get(name)
        if known is None:
            self._draft.lose(self._number, command, "values are not compared; expect what the page shows instead")
        elif known != wanted:
            self._draft.lose(self._number, command, f"{name} is {known!r} and never {wanted!r}")
        else:
            self._draft.note(self._number, command, f"{name} is always {wanted!r}")

    def _expect(self, command: str, entry: Mapping[str, Any]) -> None:
        kind, option, state = ASSERTIONS[command]
        expectation: dict[str, Any] = {"kind": kind}
        timeout_s: float | None = None
        if kind != "title":
            targets = self._targets(command, entry)
            if targets is None:
                return
            expectation["targets"] = targets
        if option:
            expectation[option] = self._text(entry, "target" if kind == "title" else "value")
        elif command.startswith("waitFor") and re.fullmatch(r"[1-9]\d{0,8}", str(entry.get("value") or "")):
            timeout_s = int(entry["value"]) / 1000
        if state is not None:
            expectation["state"] = state
        self._draft.add("wait", name=_comment(entry) or command, timeout_s=timeout_s, expect=[expectation])

    # texts

    def _targets(self, command: str, entry: Mapping[str, Any]) -> list[str] | None:
        """Its locators, best first; None (and a remark) when there is none."""
        target = str(entry.get("target") or "")
        others = [[str(one[0]) for one in entry.get(held) or [] if one] for held in ("fallbackTargets", "targets")]
        # A target that somebody changed by hand leaves the alternatives of another element behind.
        rest = next((one for one in others if target in one), [one for held in reversed(others) for one in held])
        found = good_locators(self._fill(one) for one in (target, *rest))
        if not found:
            self._draft.lose(self._number, command, f"{entry.get('target')!r} is no locator; choose the element again")
            return None
        return found

    def _text(self, entry: Mapping[str, Any], field: str) -> str:
        return self._fill(str(entry.get(field) or ""))

    def _fill(self, text: str) -> str:
        """The text with our names for its variables; those that nothing sets become parameters to be given."""

        def ours(match: re.Match[str]) -> str:
            name = match.group(1)
            if name not in self._names and name not in self._draft.parameters:
                if names_a_secret(name):
                    return self._draft.secret(self._number, "variable", match.group(0))
                self._draft.unset(self._number, name)
            return f"${{{self._names.get(name, name)}}}"

        return _VARIABLE.sub(ours, text)

    def _known(self, text: str) -> str | None:
        """The text with values that are known before the play; None when one is not."""
        if any(name not in self._values for name in _VARIABLE.findall(text)):
            return None
        return _VARIABLE.sub(lambda match: self._values[match.group(1)], text).strip()


def _comment(entry: Mapping[str, Any]) -> str:
    return str(entry.get("comment") or "")


def _point(value: object) -> list[float] | None:
    match = re.fullmatch(r"\s*(-?[\d.]+)\s*,\s*(-?[\d.]+)\s*", str(value))
    return [float(match.group(1)), float(match.group(2))] if match else None
