"""Reading the fields of a scenario, kind by kind: `Reader.field` checks one against the tables of `replay.scenario_shape`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from replay.locate import Locator, LocatorError
from replay.scenario_shape import (
    CHOICES,
    EXPECT_FIELD_KINDS,
    EXPECT_FIELDS,
    IDENTIFIER,
    OPTION,
    Expectation,
    Fields,
    Pace,
    ScenarioError,
    Think,
)

_MOST = 1_000_000
#: of what is said to be wrong
_LONGEST = 300


class Reader:
    """Reads fields; every error begins with `where`, which the parser moves from step to step."""

    def __init__(self, where: str, actions: Sequence[str]) -> None:
        self.where = where
        self._actions = actions

    def error(self, what: str, remedy: str) -> ScenarioError:
        """What is wrong here, and what to do."""
        if len(what) > _LONGEST:  # its end says what is wrong
            what = f"{what[: _LONGEST // 2]}…{what[-_LONGEST // 2 :]}"
        return ScenarioError(f"{self.where}: {what}", remedy)

    def field(self, kind: str, name: str, raw: Any) -> Any:
        """The value of one field; ScenarioError when it is not of its kind."""
        if kind in CHOICES:
            return self.choice(name, raw, CHOICES[kind])
        return getattr(self, f"_{kind}")(name, raw)

    def choice(self, name: str, raw: Any, allowed: Sequence[str]) -> str:
        """One of a few words."""
        if not isinstance(raw, str) or raw not in allowed:
            raise self.error(f"{name} {raw!r} is unknown", f"use one of {', '.join(allowed)}")
        return raw

    def mapping(self, raw: object, what: str) -> Mapping[str, Any]:
        """An object whose names are texts."""
        if not isinstance(raw, dict) or not all(isinstance(name, str) for name in raw):
            raise self.error(f"{what} is not an object", "write { ... }")
        return raw

    def only(self, entry: Mapping[str, Any], known: Sequence[str], required: Sequence[str] = ()) -> None:
        """Refuse fields that are unknown and name those that are missing."""
        for name in entry:
            if name not in known:
                raise self.error(f"unknown field {name!r}", f"use {', '.join(known)}")
        for name in required:
            if name not in entry:
                raise self.error(f"{name} is missing", f"it needs {', '.join(required)}")

    def number(self, entry: Mapping[str, Any], name: str, otherwise: float) -> float:
        """A number above 0, or what stands for it where it is not given."""
        return self._number(name, entry[name]) if name in entry else otherwise

    def listed(self, name: str, raw: Any) -> list[Any]:
        """A list."""
        if not isinstance(raw, list):
            raise self.error(f"{name} is not a list", "write [ ... ]")
        return raw

    def _action(self, name: str, raw: Any) -> str:
        if raw not in self._actions:
            raise self.error(f"unknown {name} {raw!r}", f"use one of {', '.join(self._actions)}")
        return str(raw)

    def _text(self, name: str, raw: Any) -> str:
        if not isinstance(raw, str):
            raise self.error(f"{name} {raw!r} is no text", "write it in quotes")
        return raw

    def _label(self, name: str, raw: Any) -> str:
        if not self._text(name, raw).strip():
            raise self.error(f"{name} is empty", "write a few words")
        return str(raw)

    def _identifier(self, name: str, raw: Any) -> str:
        if not re.fullmatch(IDENTIFIER, self._text(name, raw)):
            raise self.error(f"{name} {raw!r} is no name", "use letters, digits and '_', and begin with a letter")
        return str(raw)

    def _pattern(self, name: str, raw: Any) -> str:
        try:
            re.compile(self._text(name, raw))
        except re.error as wrong:
            raise self.error(
                f"{name} {raw!r} is no regular expression ({wrong})", "put \\ before signs that stand for themselves"
            ) from wrong
        return str(raw)

    def _scalar(self, name: str, raw: Any) -> str | int | float:
        if isinstance(raw, str):
            return raw
        if isinstance(raw, bool) or not isinstance(raw, int | float) or not math.isfinite(raw):
            raise self.error(f"{name} {raw!r} is not a text or a number", "write one")
        return raw

    def _flag(self, name: str, raw: Any) -> bool:
        if not isinstance(raw, bool):
            raise self.error(f"{name} {raw!r} is neither true nor false", "write true or false")
        return raw

    def _number(self, name: str, raw: Any) -> float:
        if isinstance(raw, bool) or not isinstance(raw, int | float) or not 0 < raw <= _MOST:
            raise self.error(f"{name} is {raw!r}", f"write a number above 0, at most {_MOST}")
        return float(raw)

    def _position(self, name: str, raw: Any) -> float:
        if isinstance(raw, bool) or not isinstance(raw, int | float) or not 0 <= raw <= _MOST:
            raise self.error(f"{name} is {raw!r}", f"write a number of pixels from 0 to {_MOST}")
        return float(raw)

    def _share(self, name: str, raw: Any) -> float:
        if isinstance(raw, bool) or not isinstance(raw, int | float) or not 0 <= raw <= 1:
            raise self.error(f"{name} is {raw!r}", "write a number from 0 to 1")
        return float(raw)

    def _whole(self, name: str, raw: Any, low: int, high: int) -> int:
        if isinstance(raw, bool) or not isinstance(raw, int | float) or raw % 1 or not low <= raw <= high:
            raise self.error(f"{name} is {raw!r}", f"write a whole number from {low} to {high}")
        return int(raw)

    def _notches(self, name: str, raw: Any) -> int:
        if raw == 0 or (number := self._whole(name, raw, -10_000, 10_000)) == 0:
            raise self.error(f"{name} is 0", "write a whole number, below 0 for upwards")
        return number

    def _point(self, name: str, raw: Any) -> tuple[float, float]:
        if isinstance(raw, list) and len(raw) == 2 and all(_is_number(one) and abs(one) <= _MOST for one in raw):
            return float(raw[0]), float(raw[1])
        raise self.error(f"{name} {raw!r} is no point", "write [x, y] in pixels")

    def _size(self, name: str, raw: Any) -> tuple[int, int]:
        if (
            isinstance(raw, list)
            and len(raw) == 2
            and all(_is_number(side) and not side % 1 and 300 <= side <= 10_000 for side in raw)
        ):
            return int(raw[0]), int(raw[1])
        raise self.error(f"{name} {raw!r} is no size", "write [width, height] in pixels, at least 300 each")

    def _option(self, name: str, raw: Any) -> str:
        if not re.fullmatch(OPTION, self._text(name, raw)):
            raise self.error(f"{name} {raw!r} is no option", "write label=…, value=… or index=… (from 0)")
        return str(raw)

    def _locators(self, name: str, raw: Any) -> tuple[Locator, ...]:
        found = []
        for text in self.listed(name, raw):
            try:
                found.append(Locator.parse(self._text(name, text)))
            except LocatorError as error:
                raise self.error(error.what, error.remedy) from error
        if not found:
            raise self.error(f"there are no {name}", "give at least one locator, best first")
        return tuple(found)

    def _think(self, name: str, raw: Any) -> Think:
        pause = self.mapping(raw, name)
        self.only(pause, ("seconds", "variation"), ("seconds",))
        variation = self._share("variation", pause.get("variation", 0.3))
        return Think(seconds=self._number("seconds", pause["seconds"]), variation=variation)

    def _paces(self, name: str, raw: Any) -> tuple[Pace, ...]:
        if not self.listed(name, raw):
            raise self.error(f"there is no {name}", "give at least one stretch")
        return tuple(self._pace(stretch) for stretch in raw)

    def _pace(self, raw: object) -> Pace:
        entry = self.mapping(raw, "a pace")
        self.only(entry, ("share", "notches_per_s", "variation", "burst"))
        return Pace(
            share=self._share("share", entry.get("share", 1.0)),
            notches_per_s=self.number(entry, "notches_per_s", 5.0),
            variation=self._share("variation", entry.get("variation", 0.3)),
            burst=self._whole("burst", entry.get("burst", 1), 1, 1000),
        )

    def _expectations(self, name: str, raw: Any) -> tuple[Expectation, ...]:
        return tuple(self._expectation(entry, refused=False) for entry in self.listed(name, raw))

    def _refusals(self, name: str, raw: Any) -> tuple[Expectation, ...]:
        return tuple(self._expectation(entry, refused=True) for entry in self.listed(name, raw))

    def _expectation(self, raw: object, *, refused: bool) -> Expectation:
        entry = self.mapping(raw, "an expectation")
        kind = entry.get("kind")
        if not isinstance(kind, str) or kind not in EXPECT_FIELDS:
            raise self.error(f"unknown expectation {kind!r}", f"use one of {', '.join(EXPECT_FIELDS)}")
        own: Fields = EXPECT_FIELDS[kind]
        if refused and "because" not in entry:
            raise self.error("a refusal without a reason", "say under because what the person should do")
        self.only(entry, ("kind", *(("because",) if refused else ()), *own.required, *own.optional), own.required)
        options = {name: self.field(EXPECT_FIELD_KINDS[name], name, value) for name, value in entry.items() if name != "kind"}
        if "is" in own.optional and not {"is", "is_not", "contains"} & set(entry):
            raise self.error(f"{kind} does not say what is expected", "give is, is_not or contains")
        because = options.pop("because", None)
        return Expectation(kind=kind, targets=options.pop("targets", ()), options=options, because=because)


def _is_number(raw: object) -> bool:
    return isinstance(raw, int | float) and not isinstance(raw, bool) and math.isfinite(raw)
