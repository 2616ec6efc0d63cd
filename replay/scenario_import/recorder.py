"""Recordings of the Chrome DevTools Recorder (its JSON export): every step becomes steps, or is named as one that is lost."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from replay.scenario import names_a_secret
from replay.scenario_import.draft import Draft, RecordingError, below_context, good_locators
from replay.scenario_text import read_json

_KEYS: Mapping[str, str] = {
    "Enter": "ENTER", "Tab": "TAB", "Escape": "ESCAPE", "Backspace": "BACKSPACE", "Delete": "DELETE", "Home": "HOME",
    "End": "END", "PageUp": "PAGE_UP", "PageDown": "PAGE_DOWN", "ArrowUp": "ARROW_UP", "ArrowDown": "ARROW_DOWN",
    "ArrowLeft": "ARROW_LEFT", "ArrowRight": "ARROW_RIGHT", "Insert": "INSERT", " ": "SPACE",
    **{f"F{number}": f"F{number}" for number in range(1, 13)},
}  # fmt: skip
_HELD: Mapping[str, str] = {"Control": "CTRL", "Shift": "SHIFT", "Alt": "ALT", "Meta": "META"}
_BUTTONS = {"primary": None, "auxiliary": "middle", "secondary": "right", "back": "", "forward": ""}
_ROLE = re.compile(r"\[role=[\"']?\w+[\"']?\]$")
_NUMBERS = ("width", "height", "x", "y", "offsetX", "offsetY", "timeout", "count")
#: more is a damaged number: no page is so large, no wait so long
_MOST = 1e9
#: where the place inside the element matters
_SURFACE = re.compile(r"canvas|viewport|svg|map", re.IGNORECASE)


def read_recording(text: str, file: str) -> Mapping[str, Any]:
    """The recording of a file; RecordingError when it is none."""
    try:
        recording = read_json(text)
    except (ValueError, RecursionError) as error:
        raise RecordingError(f"{file} is no Recorder export", f"it is not JSON ({error})") from error
    if isinstance(recording, dict) and "steps" not in recording and isinstance(recording.get("type"), str):
        recording = {"steps": [recording]}  # one step copied out of the panel
    steps = recording.get("steps") if isinstance(recording, dict) else None
    if not isinstance(steps, list) or not all(isinstance(step, dict) and isinstance(step.get("type"), str) for step in steps):
        raise RecordingError(f"{file} is no Recorder export", "export it again as JSON: it has no steps with types")
    for number, step in enumerate(steps, 1):
        if wrong := _wrong(step):
            raise RecordingError(f"{file}: step {number} ({step['type'][:40]}): {wrong}", "export it again")
    return dict(recording)


def _wrong(step: Mapping[str, Any]) -> str | None:
    """What is not as the Recorder writes it."""
    for field in _NUMBERS:
        value = step.get(field, 0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= _MOST:
            return f"{field} is no number up to {_MOST:.0e}"
    for field in ("selectors", "frame", "assertedEvents"):
        if not isinstance(step.get(field, []), list):
            return f"{field} is no list"
    events = [event.get("url") for event in step.get("assertedEvents", []) if isinstance(event, dict)]
    for address in (step.get("url"), step.get("target"), *events):
        try:
            urlsplit(address or "")
        except (ValueError, TypeError, AttributeError):
            return f"{address!r} is no address"
    return None


def import_recording(recording: Mapping[str, Any], *, name: str, keep_lost: bool = True, site: str = "") -> Draft:
    """The draft of a recording."""
    draft = Draft(str(recording.get("title") or name), site=site, keep_lost=keep_lost)
    importer = _Importer(draft)
    for number, step in enumerate(recording["steps"], 1):
        importer.play(number, step)
    importer.finish()
    return draft


class _Importer:
    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._number = 0
        self._target = "main"
        self._frame: list[int] = []
        self._held: list[str] = []
        self._in_secret = False
        self._handlers: Mapping[str, Callable[[str, Mapping[str, Any]], None]] = {
            "setViewport": self._viewport, "navigate": self._navigate, "click": self._click, "doubleClick": self._click,
            "hover": self._click, "change": self._change, "keyDown": self._key_down, "keyUp": self._key_up,
            "scroll": self._scroll, "close": self._close, "waitForElement": self._wait,
        }  # fmt: skip
        self._lost: Mapping[str, str] = {
            "waitForExpression": "a script is not evaluated; expect what the page shows instead",
            "customStep": "it belongs to a program of its own; record what a person does instead",
        }

    def play(self, number: int, step: Mapping[str, Any]) -> None:
        """Import one step."""
        self._number = number
        kind = step["type"]
        if kind == "emulateNetworkConditions":
            self._draft.note(number, kind, "the network is not part of a scenario; it is the set-up that it is played in")
            return
        if kind not in self._handlers:
            self._draft.lose(number, kind, self._lost.get(kind, "it is no step of the Recorder; export it again"))
            return
        if kind not in ("setViewport", "keyUp") and not (kind == "close" and "target" not in step):
            self._go_to(step)
        before = len(self._draft.steps)
        self._handlers[kind](kind, step)
        if len(self._draft.steps) > before:
            self._expect_page(step)
            if isinstance(step.get("timeout"), int | float) and step["timeout"] > 0:
                self._draft.steps[-1].setdefault("timeout_s", step["timeout"] / 1000)

    def finish(self) -> None:
        """Name what was left unfinished."""
        for key in self._held:
            self._draft.note(self._number, "keyDown", f"{key} was held to the end")

    def _viewport(self, kind: str, step: Mapping[str, Any]) -> None:
        size = [round(step.get(side) or 0) for side in ("width", "height")]
        if min(size) < 300 or max(size) > 10_000:
            self._draft.lose(self._number, kind, f"{size} is no size from 300 to 10000 pixels", step=False)
        elif all(one["step"] == "open" for one in self._draft.steps):
            self._draft.window = size
        else:
            self._draft.add("resize", size=size)
        if step.get("isMobile") or step.get("hasTouch"):
            self._draft.note(self._number, kind, "it was recorded as a telephone; it is played as a desktop browser")

    def _navigate(self, kind: str, step: Mapping[str, Any]) -> None:
        url = str(step.get("url") or "")
        if url in ("about:blank", "chrome://new-tab-page/"):
            self._draft.note(self._number, kind, "the browser's own page is not visited")
            return
        path = self._draft.path_of(self._number, kind, url)
        if path is not None:
            self._draft.add("open", path=path)

    def _click(self, kind: str, step: Mapping[str, Any]) -> None:
        targets = self._targets(kind, step)
        if targets is None:
            return
        self._in_secret = any(names_a_secret(target) for target in targets)
        own = {"click": "click", "doubleClick": "double_click", "hover": "hover"}[kind]
        at = [step.get("offsetX"), step.get("offsetY")]
        button = _BUTTONS.get(str(step.get("button") or "primary"), "")
        if button == "":
            self._draft.lose(self._number, kind, f"there is no button {step.get('button')!r}")
            return
        self._draft.add(
            own,
            name=_name(step),
            targets=targets,
            at=at if _SURFACE.search(targets[0]) and all(isinstance(one, int | float) for one in at) else None,
            button=button if own == "click" else None,
            hold=self._held[-1] if own == "click" and self._held else None,
        )

    def _change(self, kind: str, step: Mapping[str, Any]) -> None:
        if (targets := self._targets(kind, step)) is None:
            return
        value = str(step.get("value", ""))
        if value.lower().startswith("c:\\fakepath\\"):
            file = self._draft.parameter("file", value.rpartition("\\")[2])
            self._draft.add("choose_file", name=_name(step), targets=targets, file=f"${{{file}}}")
            self._draft.note(self._number, kind, f"the folder of the file is not known: give it with --set {file}=…")
            return
        self._in_secret = any(names_a_secret(target) for target in targets)
        self._draft.typed(self._number, kind, targets, value, name=_name(step))

    def _key_down(self, kind: str, step: Mapping[str, Any]) -> None:
        key = str(step.get("key") or "")
        if key in _HELD:
            self._held.append(_HELD[key])
            return
        named = _KEYS.get(key)
        if named is None and (len(key) != 1 or not key.isprintable()):
            self._draft.lose(self._number, kind, f"there is no key {key!r}")
            return
        if named is None and self._in_secret:
            self._draft.note(self._number, kind, "a letter of a credential is left out")
            return
        if self._held and (named or key.isalnum()):
            keys = "{" + "+".join([*self._held, named or key.upper()]) + "}"
        else:
            keys = f"{{{named}}}" if named else key.replace("{", "{{")
        self._draft.add("press", keys=keys)

    def _key_up(self, _kind: str, step: Mapping[str, Any]) -> None:
        held = _HELD.get(str(step.get("key")))
        if held in self._held:
            self._held.remove(held)

    def _scroll(self, kind: str, step: Mapping[str, Any]) -> None:
        targets = self._targets(kind, step) if step.get("selectors") else None
        if step.get("selectors") and targets is None:
            return
        x, y = (step.get(axis) or 0 for axis in ("x", "y"))
        self._draft.add("scroll_to", name=_name(step), targets=targets, x=max(0, x) or None, y=max(0, y))

    def _close(self, _kind: str, _step: Mapping[str, Any]) -> None:
        self._draft.add("close_tab")
        self._target, self._frame = "closed", []

    def _wait(self, kind: str, step: Mapping[str, Any]) -> None:
        if (targets := self._targets(kind, step)) is None:
            return
        count, operator, visible = step.get("count", 1), str(step.get("operator") or ">="), step.get("visible", True)
        if step.get("properties") or step.get("attributes"):
            self._draft.lose(self._number, kind, "properties and attributes are not compared; expect what the page shows instead")
            return
        expectation: dict[str, Any]
        if (operator, count) in ((">=", 1), (">", 0)) or (operator == "==" and count == 1):
            expectation = {"kind": "shown" if visible else "present", "targets": targets}
        elif (operator, count) in (("==", 0), ("<=", 0), ("<", 1)) or visible is False:
            expectation = {"kind": "absent", "targets": targets}
        elif operator in (">=", "=="):
            expectation = {"kind": "rows", "targets": targets, "at_least": count}
        else:
            self._draft.lose(self._number, kind, f"a count {operator} {count} is not expected; expect at least some")
            return
        self._draft.add("wait", name=_name(step), expect=[expectation])

    def _go_to(self, step: Mapping[str, Any]) -> None:
        """Tab and frame of a step."""
        target = str(step.get("target") or "main")
        frame = [one for one in step.get("frame") or [] if isinstance(one, int)]
        if target != self._target and step["type"] != "navigate":
            if target == "main":
                self._draft.add("tab", which="first")
            else:
                path = below_context(urlsplit(target).path or "/", urlsplit(self._draft.site).path)
                self._draft.add("tab", path=f"{re.escape(path)}$")
            self._target, self._frame = target, []
        if frame != self._frame:
            if self._frame:
                self._draft.add("leave_frame")
            for place in frame:
                self._draft.add("enter_frame", targets=[f"xpath=(//iframe | //frame)[{place + 1}]"])
            self._frame = frame

    def _expect_page(self, step: Mapping[str, Any]) -> None:
        """The page that a step led to, when it was recorded: that is how its end is known."""
        for event in step.get("assertedEvents") or []:
            url = str(event.get("url") or "") if isinstance(event, dict) and event.get("type") == "navigation" else ""
            if not url:
                continue
            path = below_context(urlsplit(url).path or "/", urlsplit(self._draft.site).path)
            self._draft.steps[-1].setdefault("expect", []).append({"kind": "page", "path": f"{re.escape(path)}$"})
            self._frame = []
            return

    def _targets(self, kind: str, step: Mapping[str, Any]) -> list[str] | None:
        """Its locators: an id first, the others in their order; None (and a remark) when there is none."""
        found = good_locators(text for one in step.get("selectors") or [] if (text := _locator(one)))
        if not found:
            self._draft.lose(self._number, kind, "it has no selector that can be played; record it again with CSS or XPath")
            return None
        return sorted(found, key=lambda one: not one.startswith("id="))


def _name(step: Mapping[str, Any]) -> str:
    for one in step.get("selectors") or []:
        text = one[-1] if isinstance(one, list) and one else one
        if isinstance(text, str) and text.startswith(("aria/", "text/")):
            return f"{step['type']} {_ROLE.sub('', text[5:])}"
    return ""


def _locator(selector: object) -> str:
    """One alternative, a text or a chain through shadow roots, as we write it; empty when we cannot."""
    chain: Sequence[Any] = selector if isinstance(selector, list) else [selector]
    if not chain or not all(isinstance(one, str) and one for one in chain):
        return ""
    if len(chain) > 1:
        plain = all(not re.match(r"(?:aria|xpath|text|pierce)/", one) for one in chain)
        return "shadow=" + " >>> ".join(chain) if plain else ""
    text = str(chain[0])
    strategy, slash, value = text.partition("/")
    if slash and strategy == "aria":
        return "aria=" + _ROLE.sub("", value)
    if slash and strategy in ("xpath", "text"):
        return f"{strategy}={value}"
    if slash and strategy == "pierce":
        return f"shadow={value}"
    if re.fullmatch(r"#[A-Za-z_][\w-]*", text):
        return f"id={text[1:]}"
    return f"css={text}"
