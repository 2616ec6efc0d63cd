"""The one list of actions: complete, told apart by every eye, and its patterns mean what they say."""

from __future__ import annotations

import itertools
import json
from importlib import resources
from typing import Any

import pytest

from sidecar.model.catalogue import PathPatterns, load_catalogue, parse_catalogue
from sidecar.model.checks import EVIDENCE
from sidecar.model.faults import InvalidRecordError

NAMES = {
    "login": "LOGIN", "page_load": "PAGE LOAD", "filter_search": "FILTER & SEARCH", "download": "DOWNLOAD",
    "open_viewer": "OPEN VIEWER", "change_scan": "CHANGE SCAN", "play": "PLAY", "scroll": "SCROLL", "annotate": "ANNOTATE",
    "upload": "UPLOAD", "logout": "LOGOUT",
}  # fmt: skip
OKABE_ITO = {"#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7"}


def test_names_and_labels() -> None:
    catalogue = load_catalogue()
    assert {name: catalogue.label(name) for name in catalogue.names} == NAMES
    assert "login" in catalogue
    assert "sleep" not in catalogue
    with pytest.raises(InvalidRecordError, match=r"action 'sleep' is not in the catalogue: use one of login, page_load"):
        catalogue.label("sleep")


def test_colours_are_those_of_okabe_and_ito_with_four_striped_partners() -> None:
    actions = load_catalogue().actions
    assert {action.colour for action in actions if action.texture == "solid"} == OKABE_ITO
    assert [action.name for action in actions if action.texture == "striped"] == ["scroll", "annotate", "upload", "logout"]
    assert len({action.mark for action in actions}) == len(actions)


# Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB.
VISION = {
    "normal": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}


def lab(colour: str, vision: tuple[tuple[float, ...], ...]) -> tuple[float, float, float]:
    """CIELAB of a colour as such eyes see it."""
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    r, g, b = (min(1.0, max(0.0, sum(w * v for w, v in zip(row, linear, strict=True)))) for row in vision)
    xyz = (
        (0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.95047,
        0.2126 * r + 0.7152 * g + 0.0722 * b,
        (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.08883,
    )
    fx, fy, fz = (value ** (1 / 3) if value > 0.008856 else 7.787 * value + 16 / 116 for value in xyz)
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


@pytest.mark.parametrize("eyes", VISION)
def test_any_two_actions_are_told_apart_by(eyes: str) -> None:
    # The seven hues alone come as near as 16 (orange and yellow, deuteranopia); the partners must not be much worse.
    for one, other in itertools.combinations(load_catalogue().actions, 2):
        a, b = lab(one.colour, VISION[eyes]), lab(other.colour, VISION[eyes])
        distance = sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) ** 0.5
        assert distance > 14, f"{one.name} and {other.name} look alike ({distance:.0f})"


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("/data/projects/*", "/data/projects/{}", True),
        ("/data/projects/*", "/data/projects", False),
        ("/data/projects/*", "/data/projects/a/b", False),
        ("/data/**/files", "/data/files", True),
        ("/data/**/files", "/data/a/b/files", True),
        ("/data/**/files", "/data/a/files/b", False),
        ("/app/**", "/app", True),
        ("/app/**", "/apple", False),
        ("/**", "/", True),
        ("/VIEWER", "/VIEWER/x", False),
        ("/app/template/*.vm", "/app/template/Index.vm", True),
    ],
)
def test_path_patterns(pattern: str, path: str, fits: bool) -> None:
    assert PathPatterns([pattern]).match(path) is fits


def raw() -> dict[str, Any]:
    text = resources.files("sidecar.model").joinpath("catalogue.json").read_text(encoding="utf-8")
    parsed: dict[str, Any] = json.loads(text)
    return parsed


def test_how_every_action_begins_and_ends_in_a_page_is_told_in_words_that_the_extension_knows() -> None:
    begins = {"submit", "click", "mousedown", "keydown", "wheel", "input", "drop", "navigation", "request",
              "cornerstonetoolsstackscroll", "CORNERSTONE_STACK_VIEWPORT_SCROLL"}  # fmt: skip
    needs = {"submit": "selector", "click": "selector", "keydown": "keys", "navigation": "paths", "request": "paths"}
    for action in raw()["actions"]:
        dom = action["dom"]
        assert dom["at_most_ms"] > 0
        for begin in dom["begin"]:
            assert begin["on"] in begins
            assert needs.get(begin["on"], "on") in begin, action["name"]
        for end in (*dom["end"], *dom.get("cancel", ())):
            assert end["by"] in EVIDENCE, action["name"]


def test_every_action_whose_requests_tell_it_has_rules_for_the_log() -> None:
    catalogue = load_catalogue()
    assert {action.name for action in catalogue.actions if action.rules} == {
        "login", "page_load", "filter_search", "download", "open_viewer", "upload", "logout",
    }  # fmt: skip
    assert [rule.order for rule in catalogue.rules] == list(range(len(catalogue.rules)))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"actions": [{"name": "x"}]}', '{"actions": [3]}'])
def test_a_catalogue_that_is_none_says_so(text: str) -> None:
    with pytest.raises(InvalidRecordError, match="catalogue"):
        parse_catalogue(text)
