"""Which attempts of a run count: the rule, and a campaign that failed, was interrupted and met a new route."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from replay import campaign_markers
from replay.campaign_patience import Limits
from replay.failures import DiskError
from replay.results import Repetition
from sidecar.__main__ import main
from sidecar.analysis.attempts import LeftOut, counting
from sidecar.cli.report import build
from sidecar.errors import UsageFault
from sidecar.journal.memory import MemoryJournal
from sidecar.journal.queries import ActionFilter, Reader
from sidecar.journal.sqlite import SqliteJournal
from sidecar.model.actions import pair
from sidecar.model.outbox import ActionRow
from sidecar.model.records import Marker, Session
from sidecar.web.gather_runs import gather_comparison, repetitions, repetitions_seen
from tests.support.campaign_fakes import DETOUR, HOME, CampaignBrowser, Field
from tests.support.journal import SECOND, T0, action, session, usage
from tests.support.marker_fakes import serving, url_of
from tests.support.replay_fakes import click
from tests.support.replays import recorded, replays


def told(name: str, attempt: str | None = None, **more: Any) -> Session:
    given = {"source": "replay", "run": "r1", "repetition": 1, "series": 1 if attempt else None}
    return session(name, attempt=attempt and f"attempt-{attempt}", **(given | more))


def kept(*sessions: Session) -> tuple[list[str], tuple[int, int]]:
    """The sessions whose action counts, each having one, and how many actions of how many attempts do not."""
    rows = [
        ActionRow(number=1, action=action(f"action-{one.session}", session=one.session, source="replay"), session=one, usage={})
        for one in sessions
    ]
    found, left_out = counting(rows, sessions)
    return [one.action.session or "" for one in found], (left_out.actions, left_out.attempts)


def test_a_session_that_names_no_attempt_counts() -> None:
    assert kept(told("session-1"), told("session-2", repetition=2)) == (["session-1", "session-2"], (0, 0))


def test_an_attempt_counts_once_it_has_finished() -> None:
    finished, failed = told("session-1", "one", outcome="finished"), told("session-2", "two", outcome="failed")
    played = told("session-3", "three", repetition=2)
    assert kept(finished, failed, played) == (["session-1"], (2, 2))


def test_any_session_of_an_attempt_tells_its_outcome_for_all_its_users() -> None:
    users = [told(f"session-{number}", "one") for number in (1, 2, 3)]
    assert kept(*users) == ([], (3, 1))
    finished = told("the-whole", "one", outcome="finished")
    assert kept(*users, finished)[0] == ["session-1", "session-2", "session-3", "the-whole"]
    assert kept(*users, finished, told("contrary", "one", outcome="failed"))[0] == []


def test_what_was_played_before_the_run_began_anew_does_not_count() -> None:
    before = [told(f"session-{number}", f"before-{number}", repetition=number, outcome="finished") for number in (1, 2)]
    begun = told("session-3", "after-1", series=2)
    assert kept(*before) == (["session-1", "session-2"], (0, 0))
    assert kept(*before, begun) == ([], (3, 3))
    assert kept(*before, replace(begun, outcome="finished"))[0] == ["session-3"]


def test_of_a_repetition_that_finished_twice_the_later_one_counts() -> None:
    first = told("session-1", "one", outcome="finished")
    second = told("session-2", "two", outcome="finished", started_ns=T0 + SECOND)
    assert kept(first, second) == kept(second, first) == (["session-2"], (1, 1))


def test_runs_of_two_scenarios_or_setups_that_share_a_name_do_not_replace_each_other() -> None:
    """As the demo's: both scenarios are played in the run `demo`."""
    told_of = [
        told("session-1", "one", outcome="finished", scenario="researcher", setup="lan"),
        told("session-2", "two", outcome="finished", scenario="radiologist", setup="lan"),
        told("session-3", "three", outcome="finished", scenario="radiologist", setup="wan"),
    ]
    assert kept(*told_of) == (["session-1", "session-2", "session-3"], (0, 0))


def test_only_completed_actions_are_counted_as_left_out() -> None:
    one = told("session-1", "one")
    row = ActionRow(number=1, action=action(session="session-1", outcome="cancelled"), session=one, usage={})
    assert counting([row], [one]) == ([], LeftOut())


# -- from a campaign to the tables


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The journal after three repetitions: one failed once, the route changed after two, one was interrupted.

    Every attempt logs in, so that each has an action that came to its end; seven attempts were made.
    """
    monkeypatch.setattr(campaign_markers, "FIRST_WAIT_S", 30.0)
    field = Field(tmp_path, click(action="login", timeout_s=1), click(name="then"), repetitions=3)
    field.routes = [HOME, HOME, HOME, DETOUR, DETOUR]

    def behave(browser: CampaignBrowser, number: int) -> None:
        def stop(what: str) -> None:
            if what == "click" and number == 2:
                browser.obstacles = ["is covered by div"] * 10_000
            if browser.did.count("click") == 2 and number == 5:
                raise KeyboardInterrupt

        browser.on_input = stop

    field.behave = behave
    memory = MemoryJournal()
    with serving(journal=memory) as served:
        field.markers_url = url_of(served.server)
        with pytest.raises(KeyboardInterrupt):
            field.run()
        field.routes = [DETOUR] * 2
        field.limits = Limits(repetitions=3)
        field.run()
    assert len(field.browsers) == 7
    path = tmp_path / "journal.sqlite"
    sessions = [one for _, one in memory.read(Session)]
    actions = pair([one for _, one in memory.read(Marker)], sources={one.session: "replay" for one in sessions}).actions
    with SqliteJournal(path) as journal:
        journal.append([*sessions, *actions, *(usage(one.action_id, cpu_seconds=1.0) for one in actions)])
    return path


def test_a_campaign_told_over_the_channel_counts_its_finished_repetitions_only(
    played: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["usage", "--journal", str(played), "--run", "r1", "--format", "json"]) == 0
    table = json.loads(capsys.readouterr().out)
    assert [(row["action"], row["count"]) for row in table["rows"]] == [("login", 3)]
    assert table["left_out"] == {"actions": 4, "attempts": 4}
    words = "Left out: 4 actions of 4 attempts that did not finish or whose repetition was played again."
    assert words in table["notes"]
    assert main(["usage", "--journal", str(played), "--run", "r1"]) == 0
    assert words in " ".join(capsys.readouterr().out.split())


def test_an_attempt_that_finds_no_room_for_its_result_is_told_to_have_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaign_markers, "FIRST_WAIT_S", 30.0)
    field = Field(tmp_path, click(action="login", timeout_s=1))

    def no_room(*_given: object) -> None:
        raise DiskError("no room for the result", "make room")

    memory = MemoryJournal()
    with serving(journal=memory) as served, monkeypatch.context() as full:
        full.setattr(Repetition, "save", no_room)
        field.markers_url = url_of(served.server)
        with pytest.raises(DiskError, match="no room for the result"):
            field.run()
    assert [one.outcome for _, one in memory.read(Session)] == ["failed"], "and not finished, as it had been told before"


def test_without_a_run_everything_that_was_done_is_there(played: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["usage", "--journal", str(played), "--source", "replay", "--format", "json"]) == 0
    table = json.loads(capsys.readouterr().out)
    assert (table["rows"][0]["count"], table["left_out"]) == (7, {"actions": 0, "attempts": 0})


def test_the_report_of_a_run_draws_what_counts(played: Path) -> None:
    reader = Reader(played)
    page = build(reader, ActionFilter(run="r1"), site="here", min_group=5, now_ns=2**62)
    reader.close()
    assert "Left out: 4 actions of 4 attempts" in page


def test_a_comparison_takes_a_repetition_as_its_last_attempt_and_says_so(tmp_path: Path) -> None:
    """Both sides cost the same; only an attempt that failed was dearer."""
    path = tmp_path / "journal.sqlite"
    baseline, candidate = replays(1, blocks=1)
    made = recorded(baseline, candidate, T0)
    sessions = [one for one in made if isinstance(one, Session) and (one.run or "").startswith("after")]
    as_told = {one.session: replace(one, attempt=one.session, series=1, outcome="finished") for one in sessions}
    failed = as_told[sessions[0].session]
    as_told[failed.session] = replace(failed, outcome="failed")
    with SqliteJournal(path) as journal:
        journal.append([as_told.get(one.session, one) if isinstance(one, Session) else one for one in made])
    reader = Reader(path)
    assert len(repetitions(reader, "after")) == len(candidate) - 1
    told = gather_comparison(reader, "before", "after")
    assert (
        f"{failed.run}: left out 10 actions of 1 attempt that did not finish or whose repetition was played again" in told.notes
    )
    seen = repetitions_seen(reader, "after")
    with SqliteJournal(path) as journal:
        journal.append([replace(failed, outcome="finished")])
    assert repetitions_seen(reader, "after") == seen + 10, "a verdict is worked out anew when an attempt begins to count"
    assert len(repetitions(reader, "after")) == len(candidate)
    reader.close()


def test_a_run_of_which_nothing_counts_yet_is_said_to_be_so(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with SqliteJournal(path) as journal:
        journal.append([told("session-1", "one"), action(source="replay")])
    reader = Reader(path)
    with pytest.raises(
        UsageFault, match=r"nothing of the run 'r1' counts: r1: left out 1 action of 1 attempt.*let its replay finish"
    ):
        repetitions(reader, "r1")
    reader.close()
