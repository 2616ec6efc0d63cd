"""A session without a browser, on a site in memory and by a clock that is turned by hand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from replay.failures import ConnectionFailedError
from replay.http.correlate import recording_of
from replay.http.played import Clock, Played, SessionFailedError
from replay.http.recording import Recording
from replay.http.session import play_session
from replay.http.users import User, UserSession, run_users
from replay.player import NO_ACTION, MarkerSink
from tests.support.http_replay import ORIGIN, Asked, FakeSite, session
from tests.support.replay_fakes import RecordingMarkers
from tests.unit.test_http_correlation import KNOWN

OTHER = {"XNAT_USER": "second.user", "XNAT_PASSWORD": "another&1"}
SITE = "http://other.test"


class TurnedClock:
    """Time that passes in sleeps only: the earliest sleeper is woken when nobody else can go on."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        until_s = self.now_s + seconds
        for _ in range(50):
            await asyncio.sleep(0)
        self.now_s = max(self.now_s, until_s)

    def clock(self) -> Clock:
        return Clock(
            wall_ns=lambda: 1_700_000_000_000_000_000 + round(self.now_s * 1e9),
            mono_ns=lambda: round(self.now_s * 1e9),
            sleep=self.sleep,
        )


@pytest.fixture
def recording() -> Recording:
    observed, stretches = session("4711-aaaa")
    return recording_of(observed, stretches, ORIGIN, KNOWN)


def play(
    recording: Recording, site: FakeSite, markers: RecordingMarkers, clock: TurnedClock | None = None, pace: float = 1.0
) -> Played:
    turned = clock or TurnedClock()
    return asyncio.run(
        play_session(recording, OTHER, turned.clock(), markers, site=SITE, session="ab" * 16, transport=site, pace=pace)
    )


def test_another_user_gets_their_own_values(recording: Recording) -> None:
    site, markers = FakeSite("0815-b", "another&1"), RecordingMarkers()
    played = play(recording, site, markers)
    assert [one.path for one in site.asked] == ["/enter", "/login", "/home", "/style.css", "/search", "/result/xs0815-b"]
    assert "second.user" in site.asked[1].body
    assert site.asked[4].query == "term=lungs&XNAT_CSRF=csrf-0815-b"
    assert site.asked[2].headers["Cookie"] == "SID=0815-b"
    assert [(phase, name) for phase, name, _ in markers.told] == [
        (phase, name) for name in ("page_load", "login", "filter_search") for phase in ("begin", "end")
    ]
    assert [action.outcome for action in played.actions] == ["completed"] * 3


def test_every_request_carries_the_label_of_its_action(recording: Recording) -> None:
    site, markers = FakeSite("0815-b", "another&1"), RecordingMarkers()
    play(recording, site, markers)
    labels = [markers.names.get(one.action_id, NO_ACTION) for one in site.asked]
    assert labels == ["page_load", "login", "login", "login", "filter_search", "filter_search"]
    assert all(one.headers["traceparent"].startswith("00-" + "ab" * 16) for one in site.asked)


def test_think_times_are_the_scenario_s_and_divided_by_the_pace(recording: Recording) -> None:
    clock = TurnedClock()
    play(recording, FakeSite("0815-b", "another&1"), RecordingMarkers(), clock, pace=2.0)
    thinks = [pause for pause in clock.slept if pause in (1.0, 0.5, 0.25)]
    assert thinks == [1.0, 0.5, 0.25]


def test_a_redirect_is_followed_as_late_as_the_browser_followed_it(recording: Recording) -> None:
    login = next(number for number, one in enumerate(recording.requests) if one.method == "POST")
    requests = [replace(one, hop_ms=(7.5,)) if number == login else one for number, one in enumerate(recording.requests)]
    saved = json.loads(json.dumps(replace(recording, requests=tuple(requests)).to_json()))
    clock = TurnedClock()
    site = FakeSite("0815-b", "another&1", before=lambda asked: clock.slept.append(-1) if asked.path == "/home" else None)
    play(Recording.from_json(saved, "a recording"), site, RecordingMarkers(), clock)
    assert clock.slept[clock.slept.index(-1) - 1] == 0.0075


def test_a_wrong_password_is_named_and_the_action_is_taken_back(recording: Recording) -> None:
    site, markers = FakeSite("0815-b", "something else"), RecordingMarkers()
    with pytest.raises(SessionFailedError) as failed:
        play(recording, site, markers)
    failure = failed.value.failure
    assert (failure.kind, failure.step, failure.name) == ("account", 2, "login")
    assert failure.what == "POST /login leads to another page than recorded"
    assert markers.told[-1][:2] == ("cancel", "login")
    assert len(failed.value.played.actions) == 2
    assert not any(one.path == "/search" for one in site.asked)


def test_a_connection_that_breaks_off_fails_the_session_as_such(recording: Recording) -> None:
    def break_off(asked: Asked) -> None:
        if asked.path == "/search":
            raise ConnectionFailedError("the connection broke off", "look")

    site = FakeSite("0815-b", "another&1", before=break_off)
    with pytest.raises(SessionFailedError) as failed:
        play(recording, site, RecordingMarkers())
    assert (failed.value.failure.kind, failed.value.failure.name) == ("connection", "filter_search")


def test_a_value_that_is_not_handed_out_any_more_is_named(recording: Recording) -> None:
    site = FakeSite("!!", "another&1")  # no token that could be one
    with pytest.raises(SessionFailedError, match="holds no value for v1"):
        play(recording, site, RecordingMarkers())


def test_an_answer_of_another_kind_is_named_as_such(recording: Recording) -> None:
    raw = recording.to_json()
    first = {**raw["requests"][0], "kind": "text/html"}
    raw["requests"] = (first, *raw["requests"][1:])
    with pytest.raises(SessionFailedError, match="GET /enter is answered with no content type, not with text/html"):
        play(Recording.from_json(raw, "another"), FakeSite("0815-b", "another&1"), RecordingMarkers())


def test_a_request_that_is_begun_in_time_is_not_late_and_one_that_is_not_is(recording: Recording) -> None:
    played = play(recording, FakeSite("0815-b", "another&1"), RecordingMarkers())
    assert played.late_ns == [0] * 5
    clock = TurnedClock()
    sleeps = clock.sleep

    async def late(seconds: float) -> None:
        await sleeps(seconds + 0.25)

    clock.sleep = late  # type: ignore[method-assign]
    played = play(recording, FakeSite("0815-b", "another&1"), RecordingMarkers(), clock)
    assert max(played.late_ns) >= 250_000_000


def test_what_a_browser_asks_conditionally_is_asked_so_once_it_is_cached(recording: Recording) -> None:
    doubled = recording.to_json()
    again = {**doubled["requests"][2], "of": 2, "event": "end"}
    doubled["requests"] = (*doubled["requests"][:3], again)
    doubled["phases"] = doubled["phases"][:2]
    site = FakeSite("0815-b", "another&1")
    play(Recording.from_json(doubled, "doubled"), site, RecordingMarkers())
    styles = [one.headers.get("If-None-Match") for one in site.asked if one.path == "/style.css"]
    assert styles == [None, '"s1"']


def test_many_users_arrive_as_told_and_none_stops_another(recording: Recording) -> None:
    sites = {number: FakeSite(f"token{number}x", "another&1" if number != 2 else "changed") for number in (1, 2, 3)}
    told: list[RecordingMarkers] = []
    seen: list[UserSession] = []

    @asynccontextmanager
    async def sinks(user: User, repetition: int, session: str) -> AsyncIterator[MarkerSink]:
        told.append(RecordingMarkers())
        yield told[-1]

    @asynccontextmanager
    async def transport(user: User) -> AsyncIterator[FakeSite]:
        yield sites[user.number]

    users = [User(number=number, arrives_s=10.0 * number, account=OTHER, seed=number, repetitions=2) for number in (1, 2, 3)]
    done = asyncio.run(
        run_users(recording, users, TurnedClock().clock(), sinks, site=SITE, transports=transport, ended=seen.append)
    )
    assert done == seen
    assert sorted((one.user, one.repetition) for one in done) == [(user, turn) for user in (1, 2, 3) for turn in (1, 2)]
    assert {one.user for one in done if one.failure is not None} == {2}
    assert len({one.session for one in done}) == 6
    assert len(told) == 6
