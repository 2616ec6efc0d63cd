"""Fixtures that every test may use."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.network_blind import blinded

ROOT = Path(__file__).resolve().parent.parent
#: what may be skipped even in CI, by the beginning of the reason
MAY_BE_SKIPPED = ("no recorded cases",)


# No test measures time: a busy machine is no defect.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
#: modules that build network namespaces with the same addresses: one after the other, where tests run on several workers
NETWORKS = ("test_networks", "test_campaign_setups")


@pytest.fixture(scope="session", autouse=True)
def blind_browsers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The driver on PATH starts browsers that do not give up requests when other tests change the machine's networks."""
    folder = tmp_path_factory.mktemp("blind")
    with pytest.MonkeyPatch.context() as patched:
        if blinded("chromedriver", folder):
            patched.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        yield


@pytest.fixture(scope="module", autouse=True)
def networks_in_turn(request: pytest.FixtureRequest) -> Iterator[None]:
    """A worker that wants the networks waits until the other one has done with them."""
    if request.path.stem not in NETWORKS:
        yield
        return
    with open(Path(tempfile.gettempdir(), "tracemark-test-networks.lock"), "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


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
