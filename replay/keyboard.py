"""Keys as a scenario writes them: `{ENTER}` is a key, `{CTRL+A}` a chord, `{{` a brace, everything else a letter."""

from __future__ import annotations

import re
from collections.abc import Iterator

from selenium.webdriver.common.keys import Keys

from sidecar.model.faults import UsageFault

_KEY = re.compile(r"\{\{|\{([A-Z0-9_+]+)\}")


def chords(text: str) -> Iterator[list[str]]:
    """Keys to be pressed together, one list after the other."""
    at = 0
    for match in _KEY.finditer(text):
        yield from ([letter] for letter in text[at : match.start()])
        at = match.end()
        if match.group(1) is None:
            yield ["{"]
            continue
        names = match.group(1).split("+")
        chord = [getattr(Keys, {"CTRL": "CONTROL"}.get(name, name), name.lower()) for name in names]
        if any(len(key) != 1 for key in chord):
            raise UsageFault(f"{match.group(0)} is no key", "write for example {ENTER}, {TAB}, {PAGE_DOWN} or {CTRL+A}")
        yield chord
    yield from ([letter] for letter in text[at:])
