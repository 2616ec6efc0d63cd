"""Fixtures that every test may use."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
#: what may be skipped even in CI, by the beginning of the reason
MAY_BE_SKIPPED = ("no recorded cases",)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In CI a browser test may fail once, and the report says so.

    A browser gives up all it is loading when a network interface of its machine comes or goes, and containers do that.
    """
    if os.environ.get("CI"):
        for item in items:
            if item.get_closest_marker("browser"):
                item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a skip is a failure: it would hide that a real part is missing."""
    report = yield
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not reason.removeprefix("Skipped: ").startswith(MAY_BE_SKIPPED):
            report.outcome = "failed"
            report.longrepr = f"skipped in CI: {reason}"
    return report


@pytest.fixture(scope="session")
def shared_cases() -> Path:
    """The folder of cases that other people recorded, kept beside the checkout and not in it."""
    folder = Path(os.environ.get("TRACEMARK_CASES", ROOT.parent / "shared" / "cases"))
    if not folder.is_dir():
        pytest.skip(f"no recorded cases: {folder} is not there (set TRACEMARK_CASES to the folder)")
    return folder
