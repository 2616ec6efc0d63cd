"""What the replayer reads from the page that is shown: scripts that only look, and what they return."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from replay.locate import Finder

_WATCHED = """const watched = window[Symbol.for('tracemark.replay')]
  ?? {images: 0, scans: {}, lost: {}, requests: [], first_image_ms: null};"""
PAGE = f"""{_WATCHED}
return {{origin_ms: performance.timeOrigin, now_ms: performance.timeOrigin + performance.now(), state: document.readyState,
        status: performance.getEntriesByType('navigation')[0]?.responseStatus ?? 0,
        path: location.pathname, images: watched.images, requests: watched.requests}};"""
VIEWER = f"""{_WATCHED}
const pane = document.querySelector('.viewport-container.active') ?? document.querySelector('.viewport-container');
const leaves = [...(pane?.querySelectorAll('.overlay-element *') ?? [])].filter((one) => !one.children.length);
const text = leaves.map((one) => one.textContent).join('\\n');
const image = /Img:\\s*\\S+\\s+(\\d+)\\s*\\/\\s*(\\d+)/.exec(text), series = /Ser:\\s*(\\S+)/.exec(text);
if (!image || !series) return null;
let loaded = 0, lost = 0;
for (const [scan, count] of Object.entries(watched.scans))
  if (scan === series[1] || scan.startsWith(series[1] + '-')) {{ loaded += count; lost += watched.lost[scan]; }}
return {{origin_ms: performance.timeOrigin, series: series[1], index: Number(image[1]), count: Number(image[2]), loaded, lost,
        images: watched.images, first_image_ms: watched.first_image_ms}};"""
ICON = f"""{_WATCHED}
const icon = arguments[0].matches('svg[name]') ? arguments[0] : arguments[0].querySelector('svg[name]');
return {{name: icon?.getAttribute('name') ?? null, images: watched.images}};"""


class NotReadyError(Exception):
    """The page is changing under the look; the next look will tell."""


class Eyes(Finder, Protocol):
    """Sees the page that is shown now."""

    def run(self, script: str, *arguments: object) -> Any:
        """What a script that only reads returns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Displayed:
    """What the viewer shows: series, slice `index` of `count` (from 1), slices `loaded` and `lost`, and images painted so far."""

    origin_ms: float
    series: str
    index: int
    count: int
    loaded: int
    lost: int
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


def displayed(eyes: Eyes) -> Displayed | None:
    """What the viewer shows now; None while it shows nothing."""
    raw = eyes.run(VIEWER)
    return None if raw is None else Displayed(**raw)


def before(eyes: Eyes, downloads: Path) -> Before:
    """Remember how things are now."""
    files = frozenset(path.name for path in downloads.iterdir())
    try:
        page, viewer = eyes.run(PAGE), displayed(eyes)
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
