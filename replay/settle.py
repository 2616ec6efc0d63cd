"""Waiting on conditions: how the end of a step is known. Nothing here sleeps for a fixed time and hopes.

`EXPECTATIONS` is the table of conditions; each takes one look and says whether it is met and, if not, what it saw instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from replay.locate import Finder, Locator, look
from replay.scenario_shape import Expectation
from replay.values import Values
from sidecar.model.faults import Fault

T = TypeVar("T")

#: names that Chromium gives to a file while it is being received
_PARTIAL = (".crdownload", ".tmp")
_WATCHED = "const watched = window[Symbol.for('tracemark.replay')] ?? {images: 0, scans: {}, requests: [], first_image_ms: null};"
_PAGE = f"""{_WATCHED}
return {{origin_ms: performance.timeOrigin, now_ms: performance.timeOrigin + performance.now(), state: document.readyState,
        path: location.pathname, images: watched.images, requests: watched.requests}};"""
_VIEWER = f"""{_WATCHED}
const pane = document.querySelector('.viewport-container.active') ?? document.querySelector('.viewport-container');
const text = [...(pane?.querySelectorAll('.overlay-element') ?? [])].map((one) => one.innerText).join('\\n');
const image = /Img:\\s*\\S+\\s+(\\d+)\\s*\\/\\s*(\\d+)/.exec(text), series = /Ser:\\s*(\\S+)/.exec(text);
if (!image || !series) return null;
let loaded = 0;
for (const [scan, count] of Object.entries(watched.scans))
  if (scan === series[1] || scan.startsWith(series[1] + '-')) loaded = Math.max(loaded, count);
return {{origin_ms: performance.timeOrigin, series: series[1], index: Number(image[1]), count: Number(image[2]), loaded,
        images: watched.images, first_image_ms: watched.first_image_ms}};"""
_ICON = f"""{_WATCHED}
const icon = arguments[0].matches('svg[name]') ? arguments[0] : arguments[0].querySelector('svg[name]');
return {{name: icon?.getAttribute('name') ?? null, images: watched.images}};"""


class NotReadyError(Exception):
    """The page is changing under the look; the next look will tell."""


class NotSettledError(Fault):
    """The time is over and the condition is not met; says what was seen last."""


class RefusedError(Fault):
    """The site said no."""


class Eyes(Finder, Protocol):
    """Sees the page that is shown now."""

    def run(self, script: str, *arguments: object) -> Any:
        """What a script that only reads returns."""


class Waiter:
    """Looks again and again until there is a value, at most `timeout_s`."""

    def __init__(self, monotonic: Callable[[], float], pause: Callable[[float], None], poll_s: float = 0.02) -> None:
        self._monotonic = monotonic
        self._pause = pause
        self._poll_s = poll_s

    def until(self, attempt: Callable[[], tuple[T | None, str]], timeout_s: float) -> T:
        """The first value that `attempt` gives; its words about the last failure are in the error."""
        deadline = self._monotonic() + timeout_s
        while True:
            try:
                value, words = attempt()
            except NotReadyError:
                value, words = None, "the page kept changing"
            if value is not None:
                return value
            if self._monotonic() >= deadline:
                raise NotSettledError(f"after {timeout_s:g} s: {words}", "compare with the screenshot, correct the scenario")
            self._pause(self._poll_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Displayed:
    """What the viewer shows: series, slice `index` of `count` (from 1), slices `loaded`, and images painted so far."""

    origin_ms: float
    series: str
    index: int
    count: int
    loaded: int
    images: int
    first_image_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """How things were just before a step's input."""

    origin_ms: float | None = None
    now_ms: float = 0.0
    images: int = 0
    series: str | None = None
    index: int | None = None
    files: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What a condition may look at."""

    eyes: Eyes
    downloads: Path
    values: Values
    before: Before


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one look found: met or not, in words what was seen, and what is worth keeping if it was met."""

    met: bool
    saw: str
    attributes: Mapping[str, int | str] = field(default_factory=dict)
    first_image_ms: float | None = None


def displayed(eyes: Eyes) -> Displayed | None:
    """What the viewer shows now; None while it shows nothing."""
    raw = eyes.run(_VIEWER)
    return None if raw is None else Displayed(**raw)


def before(eyes: Eyes, downloads: Path) -> Before:
    """Remember how things are now."""
    files = frozenset(path.name for path in downloads.iterdir())
    try:
        page, viewer = eyes.run(_PAGE), displayed(eyes)
    except NotReadyError:
        return Before(files=files)
    return Before(
        origin_ms=page["origin_ms"],
        now_ms=page["now_ms"],
        images=page["images"],
        series=viewer.series if viewer else None,
        index=viewer.index if viewer else None,
        files=files,
    )


def _locators(scene: Scene, expectation: Expectation) -> Sequence[Locator]:
    return [scene.values.fill_locator(locator) for locator in expectation.targets]


def _option(scene: Scene, expectation: Expectation, name: str, otherwise: str = "") -> str:
    return scene.values.fill(str(expectation.options.get(name, otherwise)))


def _page(scene: Scene, expectation: Expectation) -> Verdict:
    page = scene.eyes.run(_PAGE)
    wanted = _option(scene, expectation, "path")
    saw = f"the page {page['path']} ({page['state']})"
    if page["origin_ms"] == scene.before.origin_ms:
        return Verdict(met=False, saw=f"still {saw}")
    met = page["state"] == "complete" and re.search(wanted, page["path"]) is not None
    return Verdict(met=met, saw=f"{saw}, wanted {wanted or 'any'}", attributes={"evidence": "navigation"})


def _shown(scene: Scene, expectation: Expectation) -> Verdict:
    found, tried = look(scene.eyes, _locators(scene, expectation))
    return Verdict(met=found is not None, saw=tried, attributes={"evidence": "rendered"})


def _gone(scene: Scene, expectation: Expectation) -> Verdict:
    found, _ = look(scene.eyes, _locators(scene, expectation))
    saw = f"{found.locator} is still there" if found else ""
    return Verdict(met=found is None, saw=saw, attributes={"evidence": "rendered"})


def _rows(scene: Scene, expectation: Expectation) -> Verdict:
    wanted, request = int(_option(scene, expectation, "at_least", "1")), _option(scene, expectation, "request")
    if request:
        ended = [
            entry
            for entry in scene.eyes.run(_PAGE)["requests"]
            if entry["end_ms"] >= scene.before.now_ms and re.search(request, entry["path"])
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


def _viewer(scene: Scene) -> tuple[Displayed | None, int]:
    shown = displayed(scene.eyes)
    if shown is None:
        return None, 0
    return shown, shown.images - (scene.before.images if shown.origin_ms == scene.before.origin_ms else 0)


def _slices(scene: Scene, _expectation: Expectation) -> Verdict:
    shown, _ = _viewer(scene)
    if shown is None:
        return Verdict(met=False, saw="no image in the viewer")
    return Verdict(
        met=shown.loaded >= shown.count,
        saw=f"{shown.loaded} of {shown.count} slices of scan {shown.series}",
        attributes={"images": shown.count, "evidence": "requests"},
        first_image_ms=shown.first_image_ms if shown.origin_ms != scene.before.origin_ms else None,
    )


def _series(scene: Scene, _expectation: Expectation) -> Verdict:
    shown, _ = _viewer(scene)
    if shown is None:
        return Verdict(met=False, saw="no image in the viewer")
    return Verdict(met=shown.series != scene.before.series, saw=f"still scan {shown.series}", attributes={"evidence": "rendered"})


def _slice(scene: Scene, expectation: Expectation) -> Verdict:
    shown, images = _viewer(scene)
    if shown is None:
        return Verdict(met=False, saw="no image in the viewer")
    at = _option(scene, expectation, "at")
    wanted = shown.count if at == "last" else 1 if at == "first" else int(at)
    attributes: dict[str, int | str] = {"images": images, "evidence": "rendered"}
    return Verdict(met=shown.index == wanted, saw=f"slice {shown.index} of {shown.count}", attributes=attributes)


def _moving(scene: Scene, expectation: Expectation) -> Verdict:
    shown, images = _viewer(scene)
    wanted = int(_option(scene, expectation, "images", "2"))
    return Verdict(met=shown is not None and images >= wanted, saw=f"{images} new images, wanted {wanted}")


def _icon(scene: Scene, expectation: Expectation) -> Verdict:
    found, tried = look(scene.eyes, _locators(scene, expectation))
    if found is None:
        return Verdict(met=False, saw=tried)
    state, wanted = scene.eyes.run(_ICON, found.element), _option(scene, expectation, "name")
    return Verdict(
        met=state["name"] == wanted, saw=f"the icon {state['name']}, wanted {wanted}", attributes={"evidence": "state"}
    )


EXPECTATIONS: Mapping[str, Callable[[Scene, Expectation], Verdict]] = {
    "page": _page,
    "shown": _shown,
    "gone": _gone,
    "rows": _rows,
    "download": _download,
    "slices": _slices,
    "series": _series,
    "slice": _slice,
    "moving": _moving,
    "icon": _icon,
}


def settle(
    scene: Scene, expect: Sequence[Expectation], refuse: Sequence[Expectation], waiter: Waiter, timeout_s: float
) -> list[Verdict]:
    """Wait until all expectations are met in one look; stop at once when the site refuses. Returns their verdicts in order."""

    def attempt() -> tuple[list[Verdict] | None, str]:
        verdicts = []
        for expectation in expect:
            verdict = EXPECTATIONS[expectation.kind](scene, expectation)
            if not verdict.met:
                for refusal in refuse:
                    if EXPECTATIONS[refusal.kind](scene, refusal).met:
                        raise RefusedError("the site refused", refusal.because or "look at the screenshot")
                return None, verdict.saw
            verdicts.append(verdict)
        return verdicts, ""

    return waiter.until(attempt, timeout_s)
