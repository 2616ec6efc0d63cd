"""The protocol engine as a campaign uses it: from the threads of many users at once, and stopped in the middle."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from replay.campaign_job import Job, Ports
from replay.chromium import BrowserOptions
from replay.http.correlate import recording_of
from replay.http.engine import HttpEngine
from replay.http.make import known_of
from replay.http.transport import Transport
from replay.player import Time
from replay.results import Repetition
from replay.values import Values
from tests.support.campaign_fakes import PATHS, Notes
from tests.support.http_replay import ORIGIN, Asked, FakeSite, session
from tests.support.replay_fakes import RecordingMarkers, click, scenario
from tests.unit.test_http_correlation import KNOWN

USERS = 8
LOGIN = {"step": "type", "name": "user", "targets": ["css=#go"], "text": "${user}"}
SECRET = {"step": "type", "name": "password", "targets": ["css=#go"], "text": "${env:XNAT_PASSWORD}", "secret": True}


def job(folder: Path, number: int = 1) -> Job:
    made = scenario(LOGIN, SECRET, click(action="login"), parameters={"user": "${env:XNAT_USER}", "term": "lungs", "pace": 1})
    account = {"XNAT_USER": f"user{number}", "XNAT_PASSWORD": "another&1"}
    return Job(
        run="r",
        setup="lan",
        site="http://other.test",
        scenario=made,
        values=Values(made, {"pace": "100"}, account),
        options=BrowserOptions(paths=PATHS, hosts=("other.test",), window=(800, 600), visible=False),
        repetition=1,
        attempt=1,
        session=f"{number:032x}",
        seed=number,
        folder=folder,
        user=number,
    )


def ports(pause: Callable[[float], None] = lambda _: None) -> Ports:
    def browser(options: object) -> AbstractAsyncContextManager[object]:
        raise AssertionError("no browser is needed")

    clock = replace(Time.system(), pause=pause)
    return Ports(browser=browser, markers=RecordingMarkers(), watcher=Notes(), clock=clock, versions={"tracemark": "1"})  # type: ignore[arg-type]


class Sites:
    """A site for each user; `before` is told every request."""

    def __init__(self, before: Callable[[Asked], None] = lambda _: None) -> None:
        self.made: list[FakeSite] = []
        self.threads: set[str] = set()
        self._before = before

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[Transport]:
        self.threads.add(threading.current_thread().name)
        self.made.append(FakeSite(f"token{len(self.made)}x", "another&1", before=self._before))
        yield self.made[-1]


def engine(sites: Sites) -> HttpEngine:
    observed, stretches = session("4711-aaaa")
    return HttpEngine(recording_of(observed, stretches, ORIGIN, KNOWN), transports=sites)


def test_users_at_once_are_sessions_of_their_own_on_one_event_loop(tmp_path: Path) -> None:
    sites = Sites()
    play = engine(sites)

    def one(number: int) -> Repetition:
        return play(job(tmp_path, number), ports())

    with ThreadPoolExecutor(USERS) as pool:
        results = list(pool.map(one, range(1, USERS + 1)))
    assert [result.failure for result in results] == [None] * USERS
    assert [[action.outcome for action in result.actions] for result in results] == [["completed"] * 3] * USERS
    assert {site.asked[1].body.split("&")[0] for site in sites.made} == {f"username=user{n}" for n in range(1, USERS + 1)}
    assert all(result.late is not None and result.late["requests"] == 5 for result in results)
    assert sites.threads == {"protocol replay"}
    assert not [thread for thread in threading.enumerate() if thread.name == "protocol replay"]


def test_a_user_who_is_stopped_takes_the_open_action_back_and_stops_nobody_else(tmp_path: Path) -> None:
    searching, stopped = threading.Event(), threading.Event()

    def pause(_: float) -> None:
        if searching.is_set():
            stopped.set()
            raise KeyboardInterrupt

    def note(asked: Asked) -> None:
        if asked.path == "/search":
            searching.set()

    stopping, going_on = ports(pause), ports()
    play, other = engine(Sites(note)), engine(Sites())
    with pytest.raises(KeyboardInterrupt):
        play(job(tmp_path), stopping)
    assert stopped.is_set()
    assert isinstance(stopping.markers, RecordingMarkers)
    assert stopping.markers.told[-1][:2] == ("cancel", "filter_search")
    assert other(job(tmp_path, 2), going_on).failure is None


def test_the_secrets_of_a_recording_are_those_of_the_account_that_played(tmp_path: Path) -> None:
    """One of many users has an account that the environment does not know: its words must become references all the same."""
    wanted = job(tmp_path, 5)
    known = known_of(wanted.scenario, wanted.values)
    assert known.secrets == {"XNAT_USER": "user5", "XNAT_PASSWORD": "another&1"}
    assert known.parameters["term"] == "lungs"
