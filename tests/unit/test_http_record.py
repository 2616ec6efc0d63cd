"""What a browser's events come to, in whatever order they are handed over: Selenium has a thread for each."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from selenium.common import exceptions

from replay.http.observed import Observed, header
from replay.http.record import RequestWatch, unread_notes
from replay.http.told import BEFORE, COMPLETED, FAILED, STARTED, Told

SITE = "http://site.test"
#: what Chromium tells of a request at once, and what its network stack adds
AT_ONCE = {"traceparent": f"00-{'ab' * 16}-{'0' * 15}7-01", "Referer": f"{SITE}/list"}
ADDED = {"Accept": "text/html,*/*;q=0.8", "Cookie": "SID=1", "Host": "site.test"}
Event = tuple[str, dict[str, Any]]


def pairs(headers: Mapping[str, str]) -> list[dict[str, object]]:
    return [{"name": name, "value": {"type": "string", "value": value}} for name, value in headers.items()]


def event(name: str, url: str, headers: Mapping[str, str], at_ms: float, *, hop: int = 0, **more: Any) -> Event:
    begin_ms = more.pop("begin_ms", 1000.0)
    request = {
        "request": more.pop("key", "r1"),
        "url": url,
        "method": more.pop("method", "GET"),
        "headers": pairs(headers),
        "destination": "document",
        "timings": {"timeOrigin": begin_ms, "responseEnd": more.pop("head_after_ms", 0)},
    }
    if "body" in more:
        request["goog:postData"] = more.pop("body")
    return name, {"request": request, "redirectCount": hop, "timestamp": at_ms, **more}


def answer(status: int = 200, size: int = 900, **headers: str) -> dict[str, Any]:
    named = {"content-type": "text/html", "content-length": str(size)} | {k.replace("_", "-"): v for k, v in headers.items()}
    return {"status": status, "headers": pairs(named), "fromCache": False}


def page(size: int = 900) -> list[Event]:
    """The events of a page, the head of whose answer was there 40 ms after its request."""
    whole, url = {**AT_ONCE, **ADDED}, f"{SITE}/data/experiments/E1"
    return [
        event(BEFORE, url, whole, 1300.0),
        event(STARTED, url, AT_ONCE, 1340.0, response=answer(size=size), head_after_ms=40),
        event(COMPLETED, url, whole, 1700.0, response=answer(size=size), head_after_ms=40),
    ]


def put_together(events: list[Event]) -> Observed:
    told = Told()
    for name, one in events:
        told.take(name, one, 9999.0)
    found = told.observed()
    assert found is not None
    return found


def test_a_header_that_is_told_late_belongs_to_the_request() -> None:
    before, started, completed = page()
    found = put_together([started, before, completed])
    assert header(found.headers, "accept") == ADDED["Accept"]
    assert found.action_id == "0" * 15 + "7"


@given(st.permutations(range(3)))
def test_the_order_of_events_makes_no_difference(order: list[int]) -> None:
    events = page()
    found, expected = put_together([events[place] for place in order]), put_together(events)
    assert {**vars_of(found), "headers": set(found.headers)} == {**vars_of(expected), "headers": set(expected.headers)}
    assert (found.begin_ms, found.head_ms, found.end_ms) == (1000.0, 1040.0, 1040.0)


def vars_of(one: Observed) -> dict[str, object]:
    return {name: getattr(one, name) for name in Observed.__slots__}


def test_the_end_of_a_large_answer_is_told_as_late_as_its_head() -> None:
    found = put_together(page(size=500_000))
    assert found.end_ms == 1040.0 + (1700.0 - 1340.0)


@given(st.permutations(range(6)))
def test_a_redirect_is_one_request_whatever_is_told_first(order: list[int]) -> None:
    posted, whole = {**AT_ONCE, "Content-Type": "text/plain"}, {**AT_ONCE, **ADDED}
    events = [
        event(BEFORE, f"{SITE}/login", posted, 1300.0, method="POST", body="name=a"),
        event(STARTED, f"{SITE}/login", posted, 1310.0, method="POST", response=answer(302, location="/home"), head_after_ms=10),
        event(
            COMPLETED, f"{SITE}/login", posted, 1320.0, method="POST", response=answer(302, location="/home"), head_after_ms=10
        ),
        event(BEFORE, f"{SITE}/home", whole, 1330.0, hop=1, begin_ms=1012.5),
        event(STARTED, f"{SITE}/home", whole, 1340.0, hop=1, begin_ms=1012.5, response=answer(), head_after_ms=20),
        event(COMPLETED, f"{SITE}/home", whole, 1350.0, hop=1, begin_ms=1012.5, response=answer(), head_after_ms=20),
    ]
    found = put_together([events[place] for place in order])
    assert (found.method, found.url, found.final_url, found.status) == ("POST", f"{SITE}/login", f"{SITE}/home", 200)
    assert (found.body, len(found.answers), header(found.answers[0], "location")) == ("name=a", 2, "/home")
    assert (found.begin_ms, found.head_ms) == (1000.0, 1032.5)
    assert found.hop_ms == (2.5,)


def test_what_the_network_never_told_is_asked_for_as_chromium_asks() -> None:
    before = event(BEFORE, f"{SITE}/a", AT_ONCE, 1300.0)
    assert "text/html" in header(put_together([before]).headers, "accept")


class Network:
    """BiDi's network module: hands out these bodies; one that is an exception is raised, the last of a list for ever."""

    def __init__(self, bodies: Mapping[str, list[object]]) -> None:
        self.handlers: dict[str, Any] = {}
        self._bodies = {key: list(values) for key, values in bodies.items()}

    def add_data_collector(self, kinds: list[str], size: int) -> None:
        assert kinds == ["response"]

    def add_event_handler(self, name: str, handler: Any) -> None:
        self.handlers[name] = handler

    def get_data(self, kind: str, *, request: str) -> object:
        values = self._bodies[request]
        value = values.pop(0) if len(values) > 1 else values[0]
        if isinstance(value, Exception):
            raise value
        return {"bytes": {"type": "base64", "value": base64.b64encode(str(value).encode()).decode()}}


class FakeDriver:
    def __init__(self, bodies: Mapping[str, list[object]]) -> None:
        self.network = self.browsing_context = Network(bodies)


@pytest.fixture
def gone() -> Exception:
    return exceptions.WebDriverException("no such network data")


def watched(bodies: Mapping[str, list[object]]) -> RequestWatch:
    driver = FakeDriver(bodies)
    watch = RequestWatch(now_ms=lambda: 9999.0)
    watch.watch(driver)
    for name, told in page():
        driver.network.handlers[name](told)
    return watch


def test_a_body_that_cannot_be_read_the_first_time_is_asked_for_again(gone: Exception) -> None:
    watch = watched({"r1": [gone, "<p>E1</p>"]})
    watch.collect()
    (found, icon) = watch.observed()
    assert (found.content, watch.unread, icon.url) == ("<p>E1</p>", 0, f"{SITE}/favicon.ico")


def test_a_body_that_is_gone_is_counted_and_told(gone: Exception) -> None:
    watch = watched({"r1": [gone]})
    watch.collect()
    assert watch.unread == 1
    assert watch.observed()[0].content is None
    assert "1 answers could not be read" in unread_notes(watch.unread)[0]


def test_a_request_that_came_to_nothing_is_not_waited_for() -> None:
    watch = watched({"r1": ["x"]})
    name, told = event(BEFORE, f"{SITE}/stopped", AT_ONCE, 1800.0, key="r2")
    watch.see(name, told)
    watch.see(FAILED, told)
    watch.collect()
    assert [one.url for one in watch.observed() if one.done_ms is None] == [f"{SITE}/stopped"]
