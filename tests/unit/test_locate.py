"""Finding elements: best locator first, and only what a person sees."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.locate import STRATEGIES, BadLocatorError, Locator, LocatorError, Seen, look
from tests.support.replay_fakes import FakeBrowser, seen

BEST, SECOND = Locator.parse("id=best"), Locator.parse("css=.second")


@given(st.sampled_from(sorted(STRATEGIES)), st.text(min_size=1).filter(str.strip))
def test_a_locator_is_written_as_it_is_read(strategy: str, value: str) -> None:
    assert str(Locator.parse(f"{strategy}={value}")) == f"{strategy}={value}"


@pytest.mark.parametrize("text", ["", "#go", "css=", "css=  ", "jquery=.go"])
def test_what_is_no_locator_is_refused_with_the_ways_to_write_one(text: str) -> None:
    with pytest.raises(LocatorError, match="css=…, id=…"):
        Locator.parse(text)


def test_the_best_locator_wins_even_if_a_later_one_fits_too(tmp_path: Path) -> None:
    page = FakeBrowser(tmp_path)
    page.elements = {"id=best": [seen("a")], "css=.second": [seen("b")]}
    found, _ = look(page, [BEST, SECOND])
    assert found is not None
    assert (found.element, found.rank) == ("a", 0)


def test_the_next_locator_is_taken_when_the_best_one_finds_nothing_usable(tmp_path: Path) -> None:
    page = FakeBrowser(tmp_path)
    page.elements = {"id=best": [seen("a", visible=False)], "css=.second": [seen("b", enabled=False), seen("c")]}
    found, _ = look(page, [BEST, SECOND])
    assert found is not None
    assert (found.element, found.rank, found.locator) == ("c", 1, SECOND)


class Broken(FakeBrowser):
    """A browser that cannot read some locators."""

    def find(self, locator: Locator) -> Sequence[Seen]:
        if "[[" in locator.value:
            raise BadLocatorError(f"{locator} cannot be read by the browser", "correct it")
        return super().find(locator)


def test_a_locator_that_cannot_be_read_is_passed_over_and_alone_ends_the_search(tmp_path: Path) -> None:
    page = Broken(tmp_path)
    bad = Locator.parse("css=[[")
    found, _ = look(page, [bad, Locator.parse("css=#go")])
    assert found is not None
    assert found.rank == 1
    assert look(page, [bad, SECOND])[1] == "no usable element: css=[[: cannot be read; css=.second: none"
    with pytest.raises(BadLocatorError, match=r"css=\[\[ cannot be read by the browser: correct it"):
        look(page, [bad])


def test_what_nobody_can_see_will_do_where_the_step_says_so(tmp_path: Path) -> None:
    page = FakeBrowser(tmp_path)
    page.elements = {"id=best": [seen("a", visible=False)]}
    assert look(page, [BEST])[0] is None
    found, _ = look(page, [BEST], hidden=True)
    assert found is not None


def test_a_miss_says_what_every_locator_found(tmp_path: Path) -> None:
    page = FakeBrowser(tmp_path)
    page.elements = {"css=.second": [seen("b", visible=False), seen("c", visible=False)], "id=off": [seen("d", enabled=False)]}
    found, tried = look(page, [BEST, SECOND, Locator.parse("id=off")])
    assert found is None
    assert tried == "no usable element: id=best: none; css=.second: 2 there, hidden; id=off: 1 there, disabled"
