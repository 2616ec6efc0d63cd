"""Finding an element by several locators, best first, as a person would: it must be visible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from sidecar.model.faults import UsageFault

#: strategies that WebDriver does not know: the name that a screen reader says, whole text, CSS through open shadow roots
SOUGHT = ("aria", "text", "shadow")
#: strategy names as Selenium IDE writes them (the last three are ours) -> as WebDriver calls them
STRATEGIES = {
    "css": "css selector",
    "id": "id",
    "name": "name",
    "linkText": "link text",
    "partialLinkText": "partial link text",
    "xpath": "xpath",
    **dict.fromkeys(SOUGHT, ""),
}


class LocatorError(UsageFault):
    """A text that is no locator."""


class BadLocatorError(UsageFault):
    """A locator that the browser cannot read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Locator:
    """One way to find an element, written `strategy=value`."""

    strategy: str
    value: str

    @classmethod
    def parse(cls, text: str) -> Locator:
        """Read `css=#search_btn`, `id=…`, `linkText=…`, …: one of STRATEGIES and a value; raises LocatorError."""
        strategy, separator, value = text.partition("=")
        if not separator or strategy not in STRATEGIES or not value.strip():
            raise LocatorError(f"{text!r} is no locator", f"write one of {', '.join(f'{name}=…' for name in STRATEGIES)}")
        return cls(strategy=strategy, value=value)

    def __str__(self) -> str:
        return f"{self.strategy}={self.value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One element as a person sees it; `element` is the browser's own handle."""

    element: object
    visible: bool
    enabled: bool


class Finder(Protocol):
    """Looks for elements in the page that is shown now."""

    def find(self, locator: Locator) -> Sequence[Seen]:
        """All elements that fit, in the order of the page; none is no error, an unreadable locator is (BadLocatorError)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The element that will be used, and which locator it was (0 = the best)."""

    element: object
    locator: Locator
    rank: int


def look(finder: Finder, locators: Sequence[Locator], *, hidden: bool = False) -> tuple[Found | None, str]:
    """One look: the first visible, enabled element of the best locator that has one, and in words what each locator found.

    With `hidden`, an element that nobody can see will do. Raises BadLocatorError when no locator at all can be read.
    """
    tried, broken = [], 0
    for rank, locator in enumerate(locators):
        try:
            seen = finder.find(locator)
        except BadLocatorError as error:
            broken += 1
            tried.append(f"{locator}: cannot be read")
            if broken == len(locators):
                what = error.what if broken == 1 else "no locator can be read: " + "; ".join(tried)
                raise BadLocatorError(what, error.remedy) from error
            continue
        visible = [one for one in seen if one.visible or hidden]
        usable = [one for one in visible if one.enabled]
        if usable:
            return Found(element=usable[0].element, locator=locator, rank=rank), ""
        if not seen:
            tried.append(f"{locator}: none")
        else:
            tried.append(f"{locator}: {len(seen)} there, {'disabled' if visible else 'hidden'}")
    return None, "no usable element: " + "; ".join(tried)
