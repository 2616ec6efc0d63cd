"""Giving imported steps their actions, by the rules of the catalogue where they tell, and the ends that are known for each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from replay.scenario import load_scenario, names
from replay.scenario_import.draft import Draft, RecordingError
from sidecar.model.catalogue import Catalogue, PathPatterns

_READY: Sequence[Mapping[str, Any]] = ({"kind": "page"},)
#: how the end of an action is known where the recording does not tell
_ENDS: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "login": ({"kind": "page"}, {"kind": "shown", "targets": ["id=logout_user", "css=a[href*=LogoutUser]"]}),
    "page_load": _READY,
    "download": ({"kind": "download"},),
    "open_viewer": ({"kind": "page", "path": "/(VIEWER|viewer)"}, {"kind": "slices"}),
    "change_scan": ({"kind": "series"}, {"kind": "slices"}),
    "upload": ({"kind": "shown", "targets": ["css=#overallSummary[data-state=done]", "css=#overallSummary.done"]},),
    "logout": ({"kind": "page"}, {"kind": "shown", "targets": ["id=login_form", "name=form1"]}),
}
_LOGIN_REFUSED = {"kind": "page", "path": "/app/template/Login\\.vm$", "because": "check XNAT_USER and XNAT_PASSWORD"}
_MOVING = {"kind": "moving", "images": 2}
#: what a listing's own filter changes, without another page
_ROWS = {"kind": "rows", "targets": ["css=.listing tbody tr", "css=#search_tabs tbody tr"], "request": "/(REST|data)/search/"}
_PRESSED = ("click", "double_click", "press")
_LEFT = ("download", "open_viewer", "upload")
_LONG_S = 600


def assign(draft: Draft, catalogue: Catalogue, given: Mapping[int, str | None]) -> None:
    """Write actions into the draft's steps. `given` (step number from 1 -> action, None for none) wins over the rules."""
    unknown = [f"{number}={action}" for number, action in given.items() if action is not None and action not in catalogue]
    if unknown:
        raise RecordingError(f"{', '.join(unknown)} names no action", f"use one of {', '.join(catalogue.names)}")
    beyond = [number for number in given if not 1 <= number <= len(draft.steps)]
    if beyond:
        raise RecordingError(f"there is no step {beyond[0]}", f"the scenario has {len(draft.steps)} steps: see it without a map")
    told = _Rules(catalogue)
    after_password, typed = False, list[str]()
    for number, step in enumerate(draft.steps, 1):
        written = step.pop("action", None)
        action = given[number] if number in given else written or told.action(step, typed, after_password=after_password)
        typed = list(step["targets"]) if step["step"] == "type" else typed if step["step"] == "press" else []
        after_password = bool(step.get("secret")) or (after_password and step["step"] not in ("open", *_PRESSED))
        if action is not None:
            step["action"] = action
        elif step.get("part"):
            del step["part"]
    _pair_toggles(draft)
    for step in draft.steps:
        if step["step"] == "open":
            step.setdefault("expect", [{"kind": "page"}])
        if step.get("action") == "play" and step.get("part") == "begin":
            step.setdefault("expect", [dict(_MOVING)])
        if "action" in step and step.get("part", "whole") in ("whole", "end"):
            _end(step)


def read_map(texts: Iterable[str]) -> dict[int, str | None]:
    """`4=login`, `7-9=play`, `5=-` (none), also several with commas; RecordingError for anything else."""
    found: dict[int, str | None] = {}
    for text in (part.strip() for one in texts for part in one.split(",") if part.strip()):
        match = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?=([a-z_]+|-)", text)
        if not match:
            raise RecordingError(f"--action-map {text!r} is no STEP=ACTION", "write for example 4=login,7-9=play,5=-")
        first, last = int(match.group(1)), int(match.group(2) or match.group(1))
        if first > last:
            raise RecordingError(f"--action-map {text!r} ends before it begins", "write for example 7-9=play")
        for number in range(first, last + 1):
            found[number] = None if match.group(3) == "-" else match.group(3)
    return found


class _Rules:
    """The catalogue's `dom.begin`, looked up for a step instead of an event; and the locators of the shipped scenarios."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._begins = [(action.name, begin) for action in catalogue.actions for begin in action.dom.get("begin", ())]
        self._known = {
            str(locator): step.action
            for name in names()
            for step in load_scenario(name).steps
            if step.action is not None and step.part in ("whole", "begin") and step.kind != "open"
            for locator in step.targets
            if "${" not in str(locator)
        }
        #: where words are typed -> what ENTER begins there
        self._entered: dict[str, str] = {}
        for name in names():
            typed: list[str] = []
            for step in load_scenario(name).steps:
                if step.kind == "type":
                    typed += [str(locator) for locator in step.targets]
                elif step.action is not None:
                    self._entered |= dict.fromkeys(typed, step.action)
                    typed = []

    def action(self, step: Mapping[str, Any], typed: Sequence[str], *, after_password: bool) -> str | None:
        """The action that begins with this step's input, None where nothing tells; `typed` is the field typed into before."""
        kind = step["step"]
        if kind == "open":
            return self._by_path(str(step["path"]))
        targets = [str(target) for target in step.get("targets", ())]
        if kind in _PRESSED:
            found = self._by_element(targets, kind, str(step.get("keys", "")))
            if found is None and after_password and (kind != "press" or step["keys"] == "{ENTER}"):
                return "login"
            if found is None and step.get("keys") == "{ENTER}":
                found = next((self._entered[one] for one in (*targets, *typed) if one in self._entered), None)
            return found or self._by_page_after(step)
        if kind in ("wheel", "scroll", "drag"):
            return self._by_element(targets, "wheel" if kind != "drag" else "drop", "")
        return None

    def _by_path(self, path: str) -> str | None:
        path = path.partition("?")[0]
        asked = ("request", "navigation")
        for name, begin in self._begins:
            if begin["on"] not in asked or "from" in begin or ("methods" in begin and "GET" not in begin["methods"]):
                continue
            if PathPatterns(begin.get("paths", ())).match(path) and not PathPatterns(begin.get("not_paths", ())).match(path):
                return name
        return "page_load" if path == "/app/template/Login.vm" else None

    def _by_element(self, targets: Sequence[str], kind: str, keys: str) -> str | None:
        for target in targets:
            if target in self._known:
                return self._known[target]
        named = re.fullmatch(r"\{([A-Z_]+)\}", keys)
        for name, begin in self._begins:
            on = begin["on"]
            if on == "keydown" and named and kind == "press":
                pressed = named.group(1).title().replace("_", "")
                if pressed in begin["keys"] and any("viewport" in target for target in targets):
                    return name
            fits_kind = on in ("click", "mousedown", "submit") if kind != "wheel" else on == "wheel"
            if not fits_kind or kind == "press" or (begin.get("clicks") == 2) != (kind == "double_click"):
                continue
            if "when" in begin and not begin.get("toggles") and "files" not in begin["when"]:
                continue  # the state of the page decides
            if any(_inside(begin.get("selector", ""), target) for target in targets):
                return name
        return None

    def _by_page_after(self, step: Mapping[str, Any]) -> str | None:
        """What a recorded navigation tells: the page that the step led to."""
        for expectation in step.get("expect", ()):
            if expectation["kind"] == "page" and "path" in expectation:
                path = re.sub(r"\\(.)", r"\1", str(expectation["path"]).removesuffix("$"))
                if path == "/app/template/Login.vm":
                    return "logout"
                return self._by_path(path)
        return None


def _inside(selectors: str, target: str) -> bool:
    """Whether a locator names an element that one of the selectors fits, or something in such an element."""
    compounds = _compounds(target)
    for selector in re.split(r",(?![^(\[]*[)\]])", selectors):
        wanted = [_tokens(part) for part in _css_parts(selector)]
        if not wanted:
            continue
        at = 0
        for compound in compounds:
            if at < len(wanted) and wanted[at] <= compound:
                at += 1
        if at == len(wanted):
            return True
    return False


def _compounds(target: str) -> list[frozenset[str]]:
    """What a locator says about the element and those around it, from the outside in."""
    strategy, _, value = target.partition("=")
    if strategy == "id":
        return [frozenset({f"#{value}"})]
    if strategy in ("css", "shadow"):
        return [_tokens(part) for part in _css_parts(value)]
    if strategy == "xpath":
        found = []
        for part in value.split("/"):
            ids = re.findall(r"@id\s*=\s*[\"']([^\"']+)[\"']", part)
            attributes = re.findall(r"@([\w-]+)\s*=\s*[\"']([^\"']+)[\"']", part)
            found.append(frozenset({f"#{one}" for one in ids} | {f"[{name}={held}]" for name, held in attributes}))
        return found
    return []


def _css_parts(selector: str) -> list[str]:
    """The compound selectors of a complex one; blanks and signs inside brackets do not part them."""
    return [part for part in re.split(r"(?:\s*(?:>>>|[>+~])\s*|\s+)(?![^\[(]*[\])])", selector.strip()) if part]


def _tokens(compound: str) -> frozenset[str]:
    """Ids, classes and attributes of a compound selector; what is negated and what is inside `:has` does not count, nor the tag
    (a locator that names an id seldom names the tag too)."""
    bare = re.sub(r":(?:not|is|where)\([^)]*\)", "", compound)
    held = re.findall(r":has\(([^)]*)\)", bare)
    bare = re.sub(r":has\([^)]*\)", "", bare)
    found = set(re.findall(r"[#.][\w-]+", re.sub(r"\[[^\]]*\]", "", bare)))
    for name, value in re.findall(r"\[([\w-]+)\s*[*^$|~]?=\s*[\"']?([^\"'\]]*)[\"']?\]", bare):
        found.add(f"#{value}" if name == "id" else f"[{name}={value}]")
    found |= {f":has({one})" for one in held}
    return frozenset(found or {compound})


def _pair_toggles(draft: Draft) -> None:
    """Play begins with one click and ends with the next; what lies between belongs to it."""
    opened: int | None = None
    for number, step in enumerate(draft.steps):
        if step.get("action") == "play" and "part" not in step:
            if opened is None:
                opened = number
                continue
            draft.steps[opened]["part"], step["part"] = "begin", "end"
            for between in draft.steps[opened + 1 : number]:
                if "action" in between:
                    draft.note(number, "play", f"{between['action']} while it plays is not marked: one action is open at a time")
                    del between["action"]
            opened = None
    if opened is not None and "expect" not in draft.steps[opened]:
        draft.note(opened + 1, "play", "it is never stopped: the action ends when images move")
        draft.steps[opened]["expect"] = [dict(_MOVING)]


def _end(step: dict[str, Any]) -> None:
    action, expect = str(step["action"]), list(step.get("expect", ()))
    kinds = {expectation["kind"] for expectation in expect}
    ends = _ENDS.get(action, ())
    if action == "filter_search":
        quick = step["step"] == "press" or any(
            "search_btn" in target or "quickSearch" in target for target in step.get("targets", ())
        )
        ends = _READY if quick or "page" in kinds else (_ROWS,)
    expect += [dict(end) for end in ends if end["kind"] not in kinds]
    if expect:
        step["expect"] = expect
    if action == "login":
        step.setdefault("refuse", [dict(_LOGIN_REFUSED)])
    if action in _LEFT or action == "change_scan":
        step.setdefault("timeout_s", _LONG_S)
