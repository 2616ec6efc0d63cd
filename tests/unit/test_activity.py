"""Whether real people are at work: a count that is told of groups only; and runs that were left out for their sake."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from replay.sidecar_api import Sidecar, SidecarAnswerError, SidecarAwayError, beside
from sidecar.clock import ManualClock
from sidecar.model.records import Gap, Source
from sidecar.web.activity import WINDOW_NS, activity_paths
from tests.support.records import action, marker, session
from tests.support.web import S, Site, served, site

T0 = 1_700_000_000 * S
NOW = T0 + 3600 * S


class Office:
    """A served site with the paths of activity; `kept` is what was put into the journal."""

    def __init__(self, made: Site, url: str) -> None:
        self.site = made
        self.sidecar = Sidecar(url)
        self.url = url

    def act(self, source: Source, *people: int, ago_s: int = 60, lasts_s: int = 10) -> None:
        at_s = 3600 - ago_s
        for one in people:
            name = f"{source}-{one:03d}"
            self.site.journal.append([session(name, source=source)])
            of = None if source == "access-log" else name
            self.site.journal.append([action(f"{name}-{ago_s}", at_s, lasts_s, of=of, source=source)])

    def begun(self, source: Source, *people: int) -> None:
        self.site.open_actions = [marker(f"open-{one:03d}", "begin", 3599, one, session=f"{source}-{one:03d}") for one in people]


@contextlib.contextmanager
def office(folder: Path, kept: list[Gap], *, token: str = "") -> Iterator[Office]:
    with site(folder, ManualClock(NOW)) as made:
        parts = made.parts()
        made.more = (
            activity_paths(
                parts.reader,
                made.clock,
                lambda: made.open_actions,
                lambda gaps: not kept.extend(gaps),  # type: ignore[func-returns-value]
                min_group=3,
                token=token,
            ),
        )
        with served(made) as url:
            yield Office(made, url)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Office]:
    with office(tmp_path, []) as made:
        yield made


def test_nobody_and_a_few_are_told_alike(desk: Office) -> None:
    nobody = desk.sidecar.activity()
    desk.act("extension", 1, 2)
    few = desk.sidecar.activity()
    assert nobody == few
    assert (few.people, few.fewer_than, few.window_s) == (None, 3, 300)
    assert str(few) == "fewer than 3 real users active"
    answer = requests.get(f"{desk.url}/api/v1/activity", timeout=10).json()
    assert set(answer) == {"window_ns", "min_group", "people", "unnamed_at_once"}, "a count and nothing of anybody"


def test_a_group_is_counted_each_session_once(desk: Office) -> None:
    desk.act("extension", 1, 2, 3)
    desk.act("extension", 1, 2, ago_s=30)
    assert desk.sidecar.activity().people == 3


def test_who_is_in_the_middle_of_an_action_counts_and_replayed_sessions_do_not(desk: Office) -> None:
    desk.act("extension", 1, 2, ago_s=WINDOW_NS // S + 100)
    desk.act("replay", 1, 2, 3, 4)
    assert desk.sidecar.activity().people is None
    desk.begun("extension", 1, 2, 3)
    assert desk.sidecar.activity().people == 3
    desk.begun("replay", 1, 2, 3)
    assert desk.sidecar.activity().people is None


def test_actions_of_the_log_are_counted_where_they_overlap(desk: Office) -> None:
    desk.act("access-log", 1, ago_s=100)
    desk.act("access-log", 2, ago_s=95)
    desk.act("access-log", 3, ago_s=20)
    told = desk.sidecar.activity()
    assert (told.people, told.unnamed) == (None, 2)
    assert told.above(1)
    assert not told.above(2)


def test_a_skipped_run_is_kept_as_a_gap(tmp_path: Path) -> None:
    kept: list[Gap] = []
    with office(tmp_path, kept) as desk:
        desk.sidecar.skipped("base-1", "7 real users active,\nmore than 0", "")
    assert kept == [
        Gap(part="replay", subject="base-1", start_ns=NOW, end_ns=NOW, reason="run skipped: 7 real users active, more than 0")
    ]


def test_only_who_may_use_the_marker_channel_may_tell(tmp_path: Path) -> None:
    kept: list[Gap] = []
    with office(tmp_path, kept, token="word") as desk:
        for token in ("", "other"):
            with pytest.raises(SidecarAnswerError, match="403"):
                desk.sidecar.skipped("base-1", "busy", token)
        desk.sidecar.skipped("base-1", "busy", "word")
        page = {"Authorization": "Bearer word", "Origin": "http://evil.test"}
        assert _post(desk, {"run": "a", "reason": "b"}, page) == 403
        behind = {"Authorization": "Bearer word", "X-Forwarded-Prefix": "/tracemark"}
        assert _post(desk, {"run": "a", "reason": "b"}, behind) in (403, 404)
    assert len(kept) == 1


@pytest.mark.parametrize("body", [{}, [], {"run": "a"}, {"run": "a b", "reason": "c"}, {"run": "a", "reason": " "}, {"run": 1}])
def test_what_is_no_skipped_run_is_refused(desk: Office, body: Any) -> None:
    assert _post(desk, body, {}) == 400


def test_what_does_not_answer_or_is_no_sidecar_is_named(desk: Office) -> None:
    with pytest.raises(SidecarAwayError, match="does not answer"):
        Sidecar("http://127.0.0.1:9").activity()
    with pytest.raises(SidecarAnswerError, match="404"):
        Sidecar(f"{desk.url}/elsewhere").activity()


def test_the_api_stands_beside_the_default_channel_only() -> None:
    assert beside("ws://10.0.0.5:8051/markers") == "http://10.0.0.5:8050"
    assert beside("ws://[::1]:8051/markers") == "http://[::1]:8050"
    for other in ("none", "wss://xnat.example.org/tracemark/markers", "ws://127.0.0.1:9000/markers"):
        assert beside(other) is None


def _post(desk: Office, body: Any, headers: dict[str, str]) -> int:
    return requests.post(f"{desk.url}/api/v1/skipped", json=body, headers=headers, timeout=10).status_code
