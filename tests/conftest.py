"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_cases() -> Path:
    """The folder of cases that other people recorded, kept beside the checkout and not in it."""
    folder = Path(os.environ.get("TRACEMARK_CASES", ROOT.parent / "shared" / "cases"))
    if not folder.is_dir():
        pytest.skip(f"no recorded cases: {folder} is not there (set TRACEMARK_CASES to the folder)")
    return folder
