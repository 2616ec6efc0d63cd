"""The worker, the browser and the sidecar are killed in turn while a person works: nothing is lost and nothing doubled."""

from __future__ import annotations

import os
import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.common import exceptions
from urllib3.exceptions import HTTPError

from tests.support.extension import BROWSERS, Tagged
from tests.support.extension_page import Person, Told
from tests.support.extension_page_score import score
from tests.support.extension_page_steps import Visit
from tests.support.extension_together import Journal, Place, build, chromium, firefox, overview, place, truth_extension
from tests.support.waiting import wait_until

pytestmark = pytest.mark.browser

#: a person looks at a page before leaving it; one that is left before a killed worker has started again cannot tell an end
READING_MS = 2000


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place(tmp_path_factory.mktemp("kills"), f"kills-{os.getpid()}-") as running:
        yield running


class Killable:
    """One browser on one profile, which may be killed and started again."""

    def __init__(self, kind: str, folder: Path, where: Place, journal: Journal) -> None:
        self._kind = kind
        self._folder = folder
        self._where = where
        self._journal = journal
        self._driver: webdriver.Chrome | webdriver.Firefox | None = None
        built = build(folder / "extension", where, auth="token") / kind
        self._extensions = [truth_extension(folder / "truth"), built]
        if kind == "firefox":  # one that is installed for good is a file
            self._extensions = [packed(one, folder / f"{number}.xpi") for number, one in enumerate(self._extensions)]
        self._downloads = folder / "downloads"
        self._downloads.mkdir()

    def start(self) -> Visit:
        """A person before it, whose extension is ready."""
        if self._kind == "chromium":
            self._driver = chromium(self._extensions, self._folder, self._downloads)
        else:
            profile = self._folder / "profile"
            known = [] if profile.exists() else self._extensions  # the next browser has them from the profile
            self._driver = firefox(known, self._folder, self._downloads, {}, profile)
        self._driver.set_script_timeout(20)
        person = Person(self._driver, self._journal, self._downloads)
        wait_until(lambda: overview(person, self._kind).get("recording"), "the extension to be ready", 40)
        return Visit(person, self._where.lab)

    def kill(self) -> None:
        """SIGKILL to the whole browser at once, from one instant to the next."""
        for pid in processes_of(self._folder / "profile"):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.quit()

    def quit(self) -> None:
        """End what is left of it."""
        if self._driver is not None:
            with suppress(exceptions.WebDriverException, HTTPError, OSError):
                self._driver.quit()
            self._driver.service.stop()
            self._driver = None


def packed(extension: Path, target: Path) -> Path:
    """An unpacked extension as one file."""
    return Path(shutil.make_archive(str(target), "zip", extension)).replace(target)


def processes_of(profile: Path) -> list[int]:
    """The browser that works on this profile, its main process first."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
            mine = any(str(profile).encode() in word for word in words[1:])
            if mine and b"driver" not in Path(os.fsdecode(words[0])).name.encode():
                found.append(int(entry.name))
    return sorted(found)


@pytest.mark.parametrize("kind", BROWSERS)
def test_nothing_is_lost_or_doubled_when_everything_is_killed_in_turn(kind: str, where: Place, tmp_path: Path) -> None:
    journal = Journal(where.sidecar.journal)
    browser = Killable(kind, tmp_path, where, journal)
    try:
        visit = browser.start()
        tagged = Tagged(visit.person.driver, kind)
        truths = [visit.login_page(), visit.log_in(), visit.project()]
        where.sidecar.kill()
        truths += [visit.tab(), visit.sort()]
        tagged.kill_background()
        truths += [visit.filter("COVID_00"), visit.clear_filter(), visit.quick_search()]
        visit.while_passing(READING_MS)
        kept = wait_until(
            lambda: kept_of(visit.person, kind, 2 * 5), "the outbox to hold what was done since the sidecar died", 30
        )
        visit.person.click("#nav-home")  # under way when the browser dies: this one may be lost or stay open
        browser.kill()

        visit = browser.start()
        assert overview(visit.person, kind)["unsent"]["count"] >= kept, "what was kept outlived the browser"
        visit.person.driver.delete_all_cookies()
        where.sidecar.start()
        tagged = Tagged(visit.person.driver, kind)
        truths += [visit.login_page(), visit.log_in(), visit.project()]
        tagged.kill_background()
        where.sidecar.kill()
        truths += [visit.tab(), visit.sort()]
        where.sidecar.start()
        tagged.kill_background()
        truths += [visit.quick_search()]
        visit.while_passing(READING_MS)
        truths += [visit.home(), visit.log_out()]
        with suppress(AssertionError):  # the score says what is missing
            wait_until(lambda: len(finished(journal)) >= len(truths), "all ends to arrive", 40)
        state = overview(visit.person, kind)
    finally:
        browser.quit()
    result = score(truths, finished(journal))
    print(f"\n{kind}\n{result.table}")
    assert (result.recall, result.precision) == (1, 1), result.table
    markers = journal.markers()
    journal.close()
    times = Counter((one.action_id, one.phase) for one in markers)
    assert max(times.values()) == 1, [one for one in markers if times[one.action_id, one.phase] > 1]
    numbers: dict[str, list[int]] = {}
    for one in markers:
        numbers.setdefault(one.session, []).append(one.seq)
    assert all(of == list(range(1, len(of) + 1)) for of in numbers.values()), numbers
    assert len(numbers) == 2, "a browser start is a session"
    assert (state["unsent"]["count"], state["unsent"]["dropped"]) == (0, 0)


def kept_of(person: Person, kind: str, wanted: int) -> int:
    """How many markers wait, once these are so many."""
    waiting: int = overview(person, kind)["unsent"]["count"]
    return waiting if waiting >= wanted else 0


def finished(journal: Journal) -> list[Told]:
    """The actions that came to their end."""
    return [one for one in journal.actions() if one.phase == "end"]
