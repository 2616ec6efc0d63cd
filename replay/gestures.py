"""Native input through the driver: pointer, keys, wheel, files, frames and tabs; `replay.browser.Browser` adds the eyes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from selenium import webdriver
from selenium.common import exceptions
from selenium.webdriver import ActionChains
from selenium.webdriver.common.actions.wheel_input import ScrollOrigin
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.file_detector import UselessFileDetector

from replay.driver_faults import translated
from replay.keyboard import chords
from replay.sight import NotReadyError

_NOTCH = 100
#: where in the window an element can be clicked: its middle, or a point from its top left corner
_AIM = """
const box = arguments[0].getClientRects()[0], at = arguments[1];
if (!box || !box.width || !box.height) return "has no size";
const x = at ? box.x + at[0] : box.x + box.width / 2, y = at ? box.y + at[1] : box.y + box.height / 2;
if (x < 0 || y < 0 || x >= innerWidth || y >= innerHeight) return "is outside the window";
const top = arguments[0].getRootNode().elementFromPoint(x, y);
if (top === arguments[0] || arguments[0].contains(top))
  return {x: Math.round(x), y: Math.round(y),
          dx: Math.round(x - box.x - box.width / 2), dy: Math.round(y - box.y - box.height / 2)};
return "is covered by " + (top ? top.tagName.toLowerCase() + (top.id ? "#" + top.id : "") : "nothing");"""
_BUTTONS = {"left": 0, "middle": 1, "right": 2}
#: a drag in so many moves, and the pause after each: a page (and Chromium's own drag) must see it under way
_MOVES, _MOVE_S = 8, 0.02


class Gestures:
    """The hands. `_origin` is where the pointer is, for the wheel; `_tabs` are the tabs in the order of their opening."""

    def __init__(self, driver: webdriver.Remote) -> None:
        self._driver = driver
        self._origin = ScrollOrigin.from_viewport(0, 0)
        self._tabs: list[str] = []
        self._depth = 0

    def go(self, url: str) -> None:
        """Type an address."""
        with translated():
            if self._depth:
                self._to_top()
            self._driver.get(url)

    def aim(self, element: Any, at: Sequence[float] | None = None) -> str | None:
        """Bring the element into view and the pointer onto it (`at` pixels from its top left, or its middle), or say why not."""
        with self._in_frame():
            place = self._driver.execute_script(_AIM, element, at)
            if place == "is outside the window":
                self._chain().scroll_to_element(element).perform()
                place = self._driver.execute_script(_AIM, element, at)
            if isinstance(place, str):
                return place
            chain = self._chain()
            if self._depth:  # only the driver knows where in the window a frame is
                self._origin = ScrollOrigin.from_element(element, place["dx"], place["dy"])
                chain.w3c_actions.pointer_action.move_to(element, place["dx"], place["dy"])  # type: ignore[no-untyped-call]
            else:
                self._origin = ScrollOrigin.from_viewport(place["x"], place["y"])
                chain.w3c_actions.pointer_action.move_to_location(place["x"], place["y"])  # type: ignore[no-untyped-call]
            chain.perform()
            return None

    def click(self, *, button: str = "left", hold: str | None = None, times: int = 1) -> None:
        """Press and release a button where the pointer is, with a key held if one is named."""
        chain = self._chain()
        if hold:
            chain.key_down(_key(hold))
        for _ in range(times):
            chain.w3c_actions.pointer_action.pointer_down(_BUTTONS[button])  # type: ignore[no-untyped-call]
            chain.w3c_actions.pointer_action.pointer_up(_BUTTONS[button])  # type: ignore[no-untyped-call]
            for _move in range(2 if hold else 0):  # the keyboard waits for both, or it would let go in between
                chain.w3c_actions.key_action.pause()
        if hold:
            chain.key_up(_key(hold))
        with self._in_frame():
            chain.perform()

    def drag(self, dx: float, dy: float, *, button: str = "left") -> None:
        """Press where the pointer is, move it by so many pixels as a hand does, and release."""
        chain = self._chain()
        pointer = chain.w3c_actions.pointer_action
        pointer.pointer_down(_BUTTONS[button])  # type: ignore[no-untyped-call]
        done_x = done_y = 0
        for move in range(1, _MOVES + 1):
            x, y = round(dx * move / _MOVES), round(dy * move / _MOVES)
            pointer.move_by(x - done_x, y - done_y)  # type: ignore[no-untyped-call]
            chain.pause(_MOVE_S)
            done_x, done_y = x, y
        pointer.pointer_up(_BUTTONS[button])  # type: ignore[no-untyped-call]
        with self._in_frame():
            chain.perform()

    def keys(self, text: str) -> None:
        """Type; `{ENTER}` is a key, `{CTRL+A}` a chord, `{{` a brace."""
        chain = self._chain()
        for chord in chords(text):
            for key in chord[:-1]:
                chain.key_down(key)
            chain.send_keys(chord[-1])
            for key in reversed(chord[:-1]):
                chain.key_up(key)
        with self._in_frame():
            chain.perform()

    def wheel(self, notches: int) -> None:
        """Turn the wheel where the pointer was last aimed at."""
        chain = self._chain()
        for _ in range(abs(notches)):
            chain.scroll_from_origin(self._origin, 0, _NOTCH if notches > 0 else -_NOTCH)
        with self._in_frame():
            chain.perform()

    def wheel_pixels(self, dx: int, dy: int) -> None:
        """Turn a wheel that is finer than a notch."""
        with self._in_frame():
            self._chain().scroll_from_origin(self._origin, dx, dy).perform()

    def choose_file(self, element: Any, path: str) -> None:
        """Choose a file in the element's dialog, which itself does not open; a Grid's node gets the file first."""
        with self._in_frame():
            try:
                element.send_keys(path)
            except exceptions.WebDriverException as error:
                if "unknown command" not in str(error):  # a driver without a Grid: the file is on its machine already
                    raise
                with self._driver.file_detector_context(UselessFileDetector):
                    element.send_keys(path)

    def resize(self, width: int, height: int) -> None:
        """Give the window another size."""
        with translated():
            self._driver.set_window_size(width, height)

    def enter_frame(self, element: Any) -> None:
        """Look at the page in a frame from now on."""
        with self._in_frame():
            self._driver.switch_to.frame(element)
            self._depth += 1

    def leave_frame(self, *, to_top: bool) -> None:
        """Look at the page around the frame, or at the whole page, from now on."""
        with self._in_frame():
            if to_top or self._depth < 2:
                self._to_top()
            else:
                self._driver.switch_to.parent_frame()
                self._depth -= 1

    def go_to_tab(self, which: str | None, path: str | None) -> str | None:
        """Look at another tab from now on: the first, the newest, the previous one, or one of such a path; or say why not."""
        with translated():
            now = self._known_tabs()
            here = self._driver.current_window_handle if self._current_is_open() else ""
            if path is None:
                others = {
                    "first": now[:1],
                    "newest": now[-1:],
                    "previous": now[: now.index(here)][-1:] if here in now else now[-1:],
                }
                if not others[which or "newest"]:
                    return f"there is no {which} tab"
                self._driver.switch_to.window(others[which or "newest"][0])
                self._depth = 0
                return None
            for handle in reversed(now):
                self._driver.switch_to.window(handle)
                if re.search(path, self._driver.execute_script("return location.pathname")):
                    self._depth = 0
                    return None
            if here:
                self._driver.switch_to.window(here)
            return f"none of {len(now)} tabs shows {path}"

    def tabs(self) -> int:
        """How many tabs are open."""
        with translated():
            return len(self._known_tabs())

    def close_tab(self) -> None:
        """Close the tab and look at the newest of the others; NotReadyError when it is the only one."""
        with translated():
            if len(self._known_tabs()) < 2:
                raise NotReadyError("it is the only tab")
            self._driver.close()
            self._driver.switch_to.window(self._known_tabs()[-1])
            self._depth = 0

    def _known_tabs(self) -> list[str]:
        now = self._driver.window_handles
        self._tabs = [tab for tab in self._tabs if tab in now] + [tab for tab in now if tab not in self._tabs]
        return self._tabs

    def _current_is_open(self) -> bool:
        try:
            return bool(self._driver.current_window_handle)
        except exceptions.NoSuchWindowException:
            return False

    def _to_top(self) -> None:
        self._driver.switch_to.default_content()
        self._depth = 0

    def _chain(self) -> ActionChains:
        return ActionChains(self._driver, duration=0)

    @contextmanager
    def _in_frame(self) -> Iterator[None]:
        """Driver commands that may find the frame gone: then the whole page is looked at from now on."""
        with translated():
            try:
                yield
            except exceptions.NoSuchWindowException:
                if not self._depth:
                    raise
                self._to_top()
                raise NotReadyError("the frame is gone") from None


def _key(name: str) -> str:
    return str(getattr(Keys, {"CTRL": "CONTROL"}.get(name, name)))
