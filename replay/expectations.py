"""The conditions by which the end of a step is known: `EXPECTATIONS` is their table.

Each takes one look and says whether it is met and, if not, what it saw instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from replay.locate import Locator, look
from replay.scenario_shape import Expectation
from replay.sight import ICON, PAGE, Before, Eyes, displayed
from replay.values import Values
from sidecar.model.faults import Fault

#: names that Chromium gives to a file while it is being received
_PARTIAL = (".crdownload", ".tmp")


class RefusedError(Fault):
    """The site said no: waiting longer would not help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What a condition may look at."""

    eyes: Eyes
    downloads: Path
    values: Values
    before: Before


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one look found: met or not, in words what was seen, and what is worth keeping if it was met.

    `painted` is how many images this page has painted so far, `first_image_ms` when it painted its first one.
    """

    met: bool
    saw: str
    attributes: Mapping[str, int | str] = field(default_factory=dict)
    painted: int | None = None
    first_image_ms: float | None = None


def _locators(scene: Scene, expectation: Expectation) -> Sequence[Locator]:
    return [scene.values.fill_locator(locator) for locator in expectation.targets]


def _option(scene: Scene, expectation: Expectation, name: str, otherwise: str = "") -> str:
    return scene.values.fill(str(expectation.options.get(name, otherwise)))


def _page(scene: Scene, expectation: Expectation) -> Verdict:
    page = scene.eyes.run(PAGE)
    wanted = _option(scene, expectation, "path")
    saw = f"the page {page['path']} ({page['state']})"
    if page["origin_ms"] == scene.before.origin_ms:
        return Verdict(met=False, saw=f"still {saw}")
    if page["status"] >= 400 and expectation.because is None:
        raise RefusedError(f"the site answered {page['path']} with status {page['status']}", "look at the site's log")
    met = page["state"] == "complete" and re.search(wanted, page["path"]) is not None
    return Verdict(met=met, saw=f"{saw}, wanted {wanted or 'any'}", attributes={"evidence": "navigation"})


def _shown(scene: Scene, expectation: Expectation) -> Verdict:
    found, tried = look(scene.eyes, _locators(scene, expectation))
    return Verdict(met=found is not None, saw=tried, attributes={"evidence": "rendered"})


def _gone(scene: Scene, expectation: Expectation) -> Verdict:
    found, _ = look(scene.eyes, _locators(scene, expectation))
    saw = f"{found.locator} is still there" if found else ""
    return Verdict(met=found is None, saw=saw, attributes={"evidence": "rendered"})


def _present(scene: Scene, expectation: Expectation) -> Verdict:
    found, tried = look(scene.eyes, _locators(scene, expectation), hidden=True)
    return Verdict(met=found is not None, saw=tried, attributes={"evidence": "rendered"})


def _absent(scene: Scene, expectation: Expectation) -> Verdict:
    there = [locator for locator in _locators(scene, expectation) if scene.eyes.find(locator)]
    saw = f"{there[0]} is still there" if there else ""
    return Verdict(met=not there, saw=saw, attributes={"evidence": "rendered"})


def _said(scene: Scene, expectation: Expectation, script: str, *, hidden: bool = False) -> Verdict:
    """Compare what a script reads from the element (from the page, without targets) with what is expected."""
    element = None
    if expectation.targets:
        found, tried = look(scene.eyes, _locators(scene, expectation), hidden=hidden)
        if found is None:
            return Verdict(met=False, saw=tried)
        element = found.element
    text = _tidy(str(scene.eyes.run(script, element)))
    for name, fits in (("is", str.__eq__), ("is_not", str.__ne__), ("contains", str.__contains__)):
        if name in expectation.options and not fits(text, wanted := _tidy(_option(scene, expectation, name))):
            return Verdict(met=False, saw=f"{expectation.kind} {text[:80]!r}, wanted {name} {wanted!r}")
    return Verdict(met=True, saw="", attributes={"evidence": "state"})


def _tidy(text: str) -> str:
    return " ".join(text.split())


def _text(scene: Scene, expectation: Expectation) -> Verdict:
    return _said(scene, expectation, "return arguments[0].innerText ?? arguments[0].textContent")


def _title(scene: Scene, expectation: Expectation) -> Verdict:
    return _said(scene, expectation, "return document.title")


def _value(scene: Scene, expectation: Expectation) -> Verdict:
    script = (
        'const one = arguments[0]; return ["checkbox", "radio"].includes(one.type) ? (one.checked ? "on" : "off") : one.value'
    )
    return _said(scene, expectation, script, hidden=True)


def _selected(scene: Scene, expectation: Expectation) -> Verdict:
    return _said(scene, expectation, 'return [...arguments[0].selectedOptions].map((one) => one.label).join(", ")', hidden=True)


def _checked(scene: Scene, expectation: Expectation) -> Verdict:
    return _state(scene, expectation, "return Boolean(arguments[0].checked)", "ticked")


_EDITABLE = """const one = arguments[0];
return one.matches("input, textarea, select") ? one.matches(":enabled:not([readonly])") : one.isContentEditable;"""


def _editable(scene: Scene, expectation: Expectation) -> Verdict:
    return _state(scene, expectation, _EDITABLE, "editable")


def _state(scene: Scene, expectation: Expectation, script: str, word: str) -> Verdict:
    wanted = expectation.options.get("state", True)
    for locator in _locators(scene, expectation):
        seen = scene.eyes.find(locator)
        if seen:
            is_so = bool(scene.eyes.run(script, seen[0].element))
            saw = f"{locator} is {'' if is_so else 'not '}{word}"
            return Verdict(met=is_so == wanted, saw=saw, attributes={"evidence": "state"})
    return Verdict(met=False, saw="; ".join(f"{locator}: none" for locator in _locators(scene, expectation)))


def _rows(scene: Scene, expectation: Expectation) -> Verdict:
    wanted, request = int(_option(scene, expectation, "at_least", "1")), _option(scene, expectation, "request")
    if request:
        ended = [
            entry
            for entry in scene.eyes.run(PAGE)["requests"]
            if entry["status"] and entry["end_ms"] >= scene.before.now_ms and re.search(request, entry["path"])
        ]
        for entry in ended:
            if entry["status"] >= 400:
                raise RefusedError(f"the site answered {entry['path']} with status {entry['status']}", "look at the site's log")
        if not ended:
            return Verdict(met=False, saw=f"no finished request like {request}")
    rows = 0
    for locator in _locators(scene, expectation):
        rows = sum(1 for seen in scene.eyes.find(locator) if seen.visible)
        if rows >= wanted:
            break
    return Verdict(met=rows >= wanted, saw=f"{rows} rows, wanted {wanted}", attributes={"evidence": "rendered"})


def _download(scene: Scene, expectation: Expectation) -> Verdict:
    new = [path for path in scene.downloads.iterdir() if path.name not in scene.before.files]
    partial = [path for path in new if path.name.endswith(_PARTIAL) or path.name.startswith(".")]
    done = [path for path in new if path not in partial and re.search(_option(scene, expectation, "name"), path.name)]
    sizes = [_size(path) for path in done]
    # Chromium gives a file its name when the last byte is there; it may hold the name with an empty file until then.
    met = bool(done) and not partial and all(sizes)
    saw = f"{len(done)} files complete, {len(partial)} being received ({sum(map(_size, partial))} bytes)"
    return Verdict(met=met, saw=saw, attributes={"bytes": sum(sizes), "evidence": "download"})


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # renamed between listing and looking
        return 0


def _slices(scene: Scene, _expectation: Expectation) -> Verdict:
    shown = displayed(scene.eyes)
    if shown is None:
        return Verdict(met=False, saw="no image in the viewer")
    if shown.lost and shown.loaded + shown.lost >= shown.count:
        raise RefusedError(f"{shown.lost} of {shown.count} slices did not arrive", "look at the network and the site, play again")
    return Verdict(
        met=shown.loaded >= shown.count,
        saw=f"{shown.loaded} of {shown.count} slices of scan {shown.series}",
        attributes={"images": shown.count, "evidence": "requests"},
        first_image_ms=shown.first_image_ms if shown.origin_ms != scene.before.origin_ms else None,
    )


def _series(scene: Scene, _expectation: Expectation) -> Verdict:
    shown = displayed(scene.eyes)
    if shown is None:
        return Verdict(met=False, saw="no image in the viewer")
    return Verdict(met=shown.series != scene.before.series, saw=f"still scan {shown.series}", attributes={"evidence": "rendered"})


def _slice(scene: Scene, expectation: Expectation) -> Verdict:
    shown = displayed(scene.eyes)
    if shown is None:
        return Verdict(met=False, saw="no image in the viewer")
    at = _option(scene, expectation, "at")
    wanted = shown.count if at == "last" else 1 if at == "first" else int(at)
    return Verdict(
        met=shown.index == wanted,
        saw=f"slice {shown.index} of {shown.count}",
        attributes={"evidence": "rendered"},
        painted=shown.images,
    )


def _moving(scene: Scene, expectation: Expectation) -> Verdict:
    page = scene.eyes.run(PAGE)
    images, wanted = page["images"] - scene.before.images, int(_option(scene, expectation, "images", "2"))
    return Verdict(met=images >= wanted, saw=f"{images} new images, wanted {wanted}")


def _icon(scene: Scene, expectation: Expectation) -> Verdict:
    found, tried = look(scene.eyes, _locators(scene, expectation))
    if found is None:
        return Verdict(met=False, saw=tried)
    state, wanted = scene.eyes.run(ICON, found.element), _option(scene, expectation, "name")
    return Verdict(
        met=state["name"] == wanted,
        saw=f"the icon {state['name']}, wanted {wanted}",
        attributes={"evidence": "state"},
        painted=state["images"],
    )


EXPECTATIONS: Mapping[str, Callable[[Scene, Expectation], Verdict]] = {
    "page": _page,
    "shown": _shown,
    "gone": _gone,
    "present": _present,
    "absent": _absent,
    "text": _text,
    "title": _title,
    "value": _value,
    "selected": _selected,
    "checked": _checked,
    "editable": _editable,
    "rows": _rows,
    "download": _download,
    "slices": _slices,
    "series": _series,
    "slice": _slice,
    "moving": _moving,
    "icon": _icon,
}
