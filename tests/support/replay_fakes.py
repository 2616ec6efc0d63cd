"""A browser, a marker channel and a clock that live in memory, for tests of the replayer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from replay import settle
from replay.locate import Locator, Seen
from replay.player import Time
from replay.scenario import parse
from replay.scenario_shape import Scenario
from replay.sight import NotReadyError

ENVIRONMENT = {"XNAT_USER": "reader", "XNAT_PASSWORD": "secret-word"}


def scenario(*steps: Mapping[str, Any], **head: Any) -> Scenario:
    """A scenario of these steps, as read from the file test.json."""
    return parse({"format": 1, "scenario": "test", "role": "tester", "steps": list(steps), **head}, "test.json")


def click(**fields: Any) -> dict[str, Any]:
    """A click on the button `#go`."""
    return {"step": "click", "name": "go", "targets": ["css=#go"], **fields}


class FakeTime:
    """Time that passes only in pauses; what happens meanwhile is given as (seconds, deed)."""

    def __init__(self, *events: tuple[float, Callable[[], object]]) -> None:
        self.now_s = 0.0
        self.pauses: list[float] = []
        self._events = sorted(events, key=lambda event: event[0])

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now_s += seconds
        while self._events and self._events[0][0] <= self.now_s:
            self._events.pop(0)[1]()

    def monotonic(self) -> float:
        return self.now_s

    def clock(self) -> Time:
        return Time(
            wall_ns=lambda: 1_700_000_000_000_000_000 + round(self.now_s * 1e9),
            mono_ns=lambda: round(self.now_s * 1e9),
            pause=self.pause,
        )

    def waiter(self) -> settle.Waiter:
        return settle.Waiter(self.monotonic, self.pause)


class FakeBrowser:
    """A page that is what the test says; `did` lists all input in order. `on_input` is told each."""

    def __init__(self, downloads: Path) -> None:
        self.downloads = downloads
        self.did: list[str] = []
        self.elements: dict[str, list[Seen]] = {"css=#go": [seen("go")]}
        self.page: dict[str, Any] = {
            "origin_ms": 1.0, "now_ms": 5.0, "state": "complete", "status": 200, "path": "/", "requests": [],
        }  # fmt: skip
        self.viewer: dict[str, Any] | None = None
        self.icon: str | None = None
        self.obstacles: list[str] = []
        self.not_ready = 0
        self.on_input: Callable[[str], object] = lambda _what: None
        self.watched = ""

    def find(self, locator: Locator) -> Sequence[Seen]:
        self._may_be_changing()
        return self.elements.get(str(locator), [])

    def run(self, script: str, *arguments: object) -> Any:
        self._may_be_changing()
        if "Img:" in script:
            return None if self.viewer is None else dict(self.viewer)
        if "svg[name]" in script:
            return {"name": self.icon, "images": self._images()}
        if "arguments[0].value" in script:
            return arguments[0] == "filled"
        return {**self.page, "images": self._images()}

    def go(self, url: str) -> None:
        self._do(f"go {url}")

    def aim(self, element: object, at: Sequence[float] | None = None) -> str | None:
        if self.obstacles:
            return self.obstacles.pop(0)
        self._do(f"aim {element}" + (f" at {at}" if at else ""))
        return None

    def click(self, *, button: str = "left", hold: str | None = None, times: int = 1) -> None:
        self._do(" ".join(["click", *([button] if button != "left" else []), *([f"with {hold}"] if hold else [])] * times))

    def drag(self, dx: float, dy: float, *, button: str = "left") -> None:
        self._do(f"drag {dx:g} {dy:g} {button}")

    def wheel_pixels(self, dx: int, dy: int) -> None:
        self._do(f"wheel_pixels {dx} {dy}")

    def choose_file(self, element: object, path: str) -> None:
        self._do(f"choose_file {element} {Path(path).name}")

    def resize(self, width: int, height: int) -> None:
        self._do(f"resize {width} {height}")

    def enter_frame(self, element: object) -> None:
        self._do(f"enter_frame {element}")

    def leave_frame(self, *, to_top: bool) -> None:
        self._do(f"leave_frame {'top' if to_top else 'parent'}")

    def go_to_tab(self, which: str | None, path: str | None) -> str | None:
        if self.obstacles:
            return self.obstacles.pop(0)
        self._do(f"tab {which or path}")
        return None

    def close_tab(self) -> None:
        self._do("close_tab")

    def keys(self, text: str) -> None:
        self._do(f"keys {text}")

    def wheel(self, notches: int) -> None:
        self._do(f"wheel {notches}")

    def label(self, traceparent: str) -> None:
        self._do(f"label {traceparent.split('-')[2]}")

    def watch(self, script: str) -> None:
        self.watched = script

    def screenshot(self, path: Path) -> bool:
        path.write_bytes(b"picture")
        return True

    def versions(self) -> dict[str, str]:
        return {"browser": "fake 1", "driver": "1"}

    def show(self, path: str) -> None:
        """Open another document."""
        self.page = {**self.page, "origin_ms": self.page["origin_ms"] + 100.0, "path": path}

    def _images(self) -> int:
        return int(self.viewer["images"]) if self.viewer is not None else 0

    def _may_be_changing(self) -> None:
        if self.not_ready:
            self.not_ready -= 1
            raise NotReadyError("execution context was destroyed")

    def _do(self, what: str) -> None:
        self.did.append(what)
        self.on_input(what)


class RecordingMarkers:
    """Keeps what it is told; ids count from 2 in 16 hexadecimal digits."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, dict[str, int | str]]] = []
        self.names: dict[str, str] = {}

    def begin(self, action: str) -> str:
        action_id = f"{len(self.names) + 2:016x}"
        self.names[action_id] = action
        self.told.append(("begin", action, {}))
        return action_id

    def end(self, action_id: str, **attributes: int | str) -> None:
        self.told.append(("end", self.names[action_id], attributes))

    def cancel(self, action_id: str) -> None:
        self.told.append(("cancel", self.names[action_id], {}))


def seen(element: object, *, visible: bool = True, enabled: bool = True) -> Seen:
    """An element as a person sees it."""
    return Seen(element=element, visible=visible, enabled=enabled)


def viewer(series: str = "2", index: int = 1, count: int = 10, **fields: Any) -> dict[str, Any]:
    """What the viewer's page tells about itself."""
    return {
        "origin_ms": 1.0, "series": series, "index": index, "count": count, "loaded": count, "lost": 0, "images": 0,
        "first_image_ms": None, **fields,
    }  # fmt: skip
