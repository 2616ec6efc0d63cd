"""`tracemark replay --every …` with a browser in memory and a manual clock; the sidecar's usage at the end of a run."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pytest

from replay import cli, schedule_cli
from replay.campaign_folder import saved_manifest
from replay.report import ending
from replay.schedule_log import FILE
from replay.sidecar_api import Activity, Sidecar, SidecarAwayError
from sidecar.model.faults import Fault, UsageFault
from tests.support.campaign_fakes import CampaignBrowser
from tests.support.replay_fakes import click
from tests.support.replay_runs import ACTIONS, manifest, usage_answer, write_run
from tests.unit.test_replay_cli import Desk, desk, run
from tests.unit.test_schedule import ManualTime, at

__all__ = ["desk"]  # the fixture of the command's own tests


class Server(Sidecar):
    """A sidecar that is asked and told; `people` are active, one number per question."""

    def __init__(self, *people: int | None) -> None:
        super().__init__("http://sidecar.test:8050")
        self.people = list(people)
        self.told: list[tuple[str, str, str]] = []

    def activity(self) -> Activity:
        return Activity(people=self.people.pop(0), fewer_than=5, unnamed=0, window_s=300)

    def skipped(self, run: str, reason: str, token: str) -> None:
        self.told.append((run, reason, token))


def by_schedule(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, time: ManualTime, server: Sidecar | None, *more: str, **steps: Any
) -> list[dict[str, Any]]:
    """Give the command; the lines of its schedule.jsonl."""
    monkeypatch.setenv("TZ", "Europe/Rome")
    monkeypatch.setattr(cli, "sidecar_of", lambda *_: server)
    fixed = functools.partial(schedule_cli.scheduled, stop=time)
    monkeypatch.setattr(cli, "scheduled", lambda *given, **_: fixed(*given, wall_ns=time.wall_ns))
    assert run(desk, "--run-id", "base", "--every", "6h", "--token", "word", *more, **steps) == 0
    file = desk.folder / "out" / FILE
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_a_baseline_is_played_at_its_time_and_skipped_among_users(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server = Server(7, None)
    time = ManualTime(at("2026-06-10T05:00"), at("2026-06-10T17:00"))
    lines = by_schedule(desk, monkeypatch, time, server, "--repetitions", "2", "--quiet", "22:00-05:00")
    assert [line["event"] for line in lines] == ["skipped", "begun", "finished"]
    assert desk.kept("base-20260610T100000Z") == ["repetition-001", "repetition-002"]
    assert not (desk.folder / "out" / "base-20260610T040000Z").exists()
    assert server.told == [("base-20260610T040000Z", "7 real users active, more than 0", "word")]
    told = capsys.readouterr()
    assert "replay: base-20260610T040000Z skipped: 7 real users active, more than 0" in told.err
    assert "base-20260610T100000Z: tried, setup vpn, 2 of 2 repetitions" in told.out


def test_told_to_end_it_ends_between_repetitions_and_a_restart_finishes_the_run(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    time = ManualTime(at("2026-06-10T05:00"), at("2026-06-10T17:00"))
    usual = desk.opened

    def told_to_end(options: Any) -> Any:
        time.ended = True
        return usual(options)

    monkeypatch.setattr(cli, "opened", told_to_end)
    lines = by_schedule(desk, monkeypatch, time, None, "--repetitions", "3")
    name = "base-20260610T040000Z"
    assert [line["event"] for line in lines] == ["begun", "stopped"]
    assert desk.kept(name) == ["repetition-001"], "what had begun was played to its end"

    monkeypatch.setattr(cli, "opened", desk.opened)
    again = ManualTime(at("2026-06-10T07:00"), at("2026-06-10T11:00"))
    lines = by_schedule(desk, monkeypatch, again, None, "--repetitions", "3")
    assert [line["event"] for line in lines] == ["begun", "stopped", "resumed", "finished"]
    assert desk.kept(name) == ["repetition-001", "repetition-002", "repetition-003"]
    assert len(desk.browsers) == 3, "a finished repetition is not played again"


def test_a_run_that_fails_does_not_end_the_schedule(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.obstacle = "in the way"
    time = ManualTime(at("2026-06-10T05:00"), at("2026-06-10T13:00"))
    lines = by_schedule(desk, monkeypatch, time, None, "--attempts", "1", steps=(click(action="login", timeout_s=0.05),))
    assert [line["event"] for line in lines] == ["begun", "failed", "begun", "failed"]
    assert "repetition 1 failed" in lines[1]["reason"]


def test_what_could_never_be_played_is_said_at_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    time = ManualTime(at("2026-06-10T05:00"), at("2026-06-10T17:00"))
    for wrong, what in (
        (["--every", "often"], "no period"),
        (["--quiet", "00:00-24:00"], "quiet hours"),
        (["--zone", "Nowhere"], "no time zone"),
        (["--at", "noon"], "no time of day"),
        (["--most-users", "-1"], "too few"),
        (["--set", "other=1"], "other"),
        (["--url", "http://elsewhere.test"], "elsewhere.test is not among the hosts"),
    ):
        with pytest.raises(Fault, match=what):
            by_schedule(desk, monkeypatch, time, None, *wrong)
    assert not desk.browsers
    assert time.now_s == at("2026-06-10T05:00")


def test_a_dry_run_tells_the_next_times(desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    time = ManualTime(at("2026-06-10T05:00"), at("2026-06-10T17:00"))
    assert by_schedule(desk, monkeypatch, time, None, "--dry-run", "--not", "07:00-17:00") == []
    told = capsys.readouterr().out
    assert "times     2026-06-10 06:00 CEST, 2026-06-10 18:00 CEST, 2026-06-11 00:00 CEST" in told
    assert not desk.browsers


def test_without_a_schedule_nothing_of_it_happens(desk: Desk) -> None:
    assert run(desk, "--run-id", "one") == 0
    assert not (desk.folder / "out" / FILE).exists()
    assert isinstance(desk.browsers[0], CampaignBrowser)


@pytest.mark.parametrize(
    "more", [["--quiet", "07:00-18:00"], ["--most-users", "10"], ["--at", "02:30"], ["--zone", "Europe/Rome"]]
)
def test_who_names_quiet_hours_and_no_period_is_not_played_within_them(desk: Desk, more: list[str]) -> None:
    with pytest.raises(UsageFault, match=f"{more[0]} is for a schedule, and there is none: say how often to play with --every"):
        run(desk, *more)
    assert not desk.browsers


class Usage(Sidecar):
    """A sidecar that knows what a run cost, or is away."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        super().__init__("http://sidecar.test:8050")
        self.answers = list(answers)

    def usage(self, run: str, from_ns: int, to_ns: int) -> dict[str, Any]:
        if not self.answers:
            raise SidecarAwayError("the sidecar at http://sidecar.test:8050 does not answer", "start it")
        return self.answers.pop(0)


def ended(folder: Path, server: Sidecar | None) -> Path:
    """A run that has just ended, with its usage shown."""
    from replay.campaign_folder import RunFolder

    path = write_run(folder, manifest("r1", repetitions=2, markers="ws://127.0.0.1:8051/markers"))
    known = saved_manifest(path)
    assert known is not None
    ending.show_usage(RunFolder(path, known), server, patient=True, pause=lambda _: None)
    return path


def test_a_run_ends_with_its_usage_which_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    full = usage_answer(list(ACTIONS), 2)
    path = ended(tmp_path, Usage(usage_answer([], 0), full))
    told = capsys.readouterr().out
    assert "What each action cost" in told
    assert "DOWNLOAD" in told
    assert "not joined" not in told
    assert json.loads((path / "usage.json").read_text()) == full


def test_a_sidecar_that_is_away_at_the_end_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = ended(tmp_path, Usage())
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert "does not answer" in told.err
    assert not (path / "usage.json").exists()


def test_the_sidecar_is_named_by_option_then_environment_then_channel() -> None:
    def url(given: str | None, environment: dict[str, str], markers: str = "ws://127.0.0.1:8051/markers") -> str | None:
        found = schedule_cli.sidecar_of(given, environment, markers)
        return None if found is None else found.url

    assert url("http://a:1/", {"TRACEMARK_SIDECAR": "http://b:2"}) == "http://a:1"
    assert url(None, {"TRACEMARK_SIDECAR": "http://b:2"}) == "http://b:2"
    assert url(None, {}) == "http://127.0.0.1:8050"
    assert url("none", {"TRACEMARK_SIDECAR": "http://b:2"}) is None
    assert url(None, {}, "none") is None
    with pytest.raises(UsageFault, match="no address of a sidecar"):
        url("127.0.0.1:8050", {})
