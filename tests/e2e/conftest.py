"""What several end-to-end tests stand on: the browser of this machine, and the living page in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver

from replay.chromium import BrowserMissingError, BrowserPaths
from tests.support.live_page import Page, headless, living_page


@pytest.fixture(scope="module")
def paths() -> BrowserPaths:
    """Where the replayer's browser and its driver are; skips where there is none."""
    try:
        return BrowserPaths.find(os.environ)
    except BrowserMissingError as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def page_browser() -> Iterator[webdriver.Chrome]:
    """The browser that looks at the live page."""
    with headless() as driver:
        yield driver


@pytest.fixture(scope="module")
def page_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots go, to be looked at."""
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def page(page_browser: webdriver.Chrome, page_folder: Path) -> Iterator[Page]:
    """The live page of a made-up site in that browser."""
    with living_page(page_browser, page_folder) as made:
        yield made
