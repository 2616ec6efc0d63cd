"""The measurement procedure: routes, attempts, evidence, resuming; the browser and the network live in memory."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from replay.campaign import CampaignFailedError
from replay.campaign_folder import RunBusyError, RunMismatchError, opened_run
from replay.campaign_patience import Limits
from replay.failures import DiskError
from replay.locate import BadLocatorError, Locator, Seen
from replay.route import RouteTraceError
from replay.route_model import RouteUnstableError
from sidecar.model.faults import Fault
from tests.support.campaign_fakes import DETOUR, HOME, CampaignBrowser, Field
from tests.support.replay_fakes import click


def fail_in(*numbers: int, obstacle: str = "is covered by div") -> Any:
    """These browsers never get to their element."""

    def behave(browser: CampaignBrowser, number: int) -> None:
        if number in numbers:
            browser.obstacles = [obstacle] * 10_000

    return behave


def test_each_repetition_has_a_folder_a_session_and_the_seed_of_its_number(tmp_path: Path) -> None:
    field = Field(tmp_path, repetitions=3)
    field.run()
    assert field.kept() == ["outbox", "repetition-001", "repetition-002", "repetition-003"]
    results = [field.result(f"repetition-00{number}") for number in (1, 2, 3)]
    assert [one.seed for one in results] == [11, 12, 13]
    assert len({one.session for one in results}) == 3
    assert all(one.failure is None and one.ended_ns and one.duration_ns is not None for one in results)
    assert field.recorder.recordings == 3
    assert json.loads((field.out / "r1" / "repetition-002" / "transfers.json").read_text())["source"] == "capture"
    assert json.loads((field.out / "r1" / "manifest.json").read_text())["routes"][0]["hops"] == list(HOME)
    assert not list(field.out.rglob("*.part"))


def test_the_same_command_plays_only_what_is_missing(tmp_path: Path) -> None:
    field = Field(tmp_path, repetitions=2)
    field.run()
    before = field.result("repetition-001")
    field.limits = Limits(repetitions=3)
    field.run()
    assert len(field.browsers) == 3
    assert field.result("repetition-001") == before
    field.run()
    assert len(field.browsers) == 3


def test_a_changed_route_sets_the_finished_ones_aside_and_begins_at_1(tmp_path: Path) -> None:
    field = Field(tmp_path, repetitions=3)
    field.routes = [HOME, HOME, DETOUR, DETOUR, (None, "10.0.9.9", None)]
    field.run()
    assert len(field.browsers) == 5
    assert field.kept("discarded", "route-1") == ["repetition-001", "repetition-002"]
    assert [field.result(f"repetition-00{number}").route for number in (1, 2, 3)] == [2, 2, 2]
    assert [field.result(f"repetition-00{number}").seed for number in (1, 2, 3)] == [11, 12, 13]
    manifest = json.loads((field.out / "r1" / "manifest.json").read_text())
    assert manifest["discarded"] == [2]
    assert [route["hops"] for route in manifest["routes"]] == [list(HOME), list(DETOUR)]
    assert any("the route changed" in text and "2 finished repetitions do not count" in text for text in field.notes.said)


def test_a_route_that_changes_during_the_last_repetition_sets_them_aside_too(tmp_path: Path) -> None:
    field = Field(tmp_path, repetitions=2)
    field.routes = [HOME, HOME, DETOUR]
    field.run()
    assert len(field.browsers) == 4
    assert field.kept("discarded", "route-1") == ["repetition-001", "repetition-002"]
    assert [field.result(f"repetition-00{number}").route for number in (1, 2)] == [2, 2]


def test_a_finished_run_is_not_asked_for_its_route_again(tmp_path: Path) -> None:
    field = Field(tmp_path, repetitions=2)
    field.run()
    field.routes = [DETOUR]
    field.run()
    assert field.kept() == ["outbox", "repetition-001", "repetition-002"]
    assert field.routes == [DETOUR]


def test_a_route_that_cannot_be_traced_any_more_leaves_what_is_finished(tmp_path: Path) -> None:
    field = Field(tmp_path, repetitions=1)
    field.routes = [HOME, RouteTraceError("traceroute: no answer", "look at the network")]
    field.run()
    assert field.kept() == ["outbox", "repetition-001"]
    assert field.notes.said == ["the route behind the last repetition is not known: traceroute: no answer"]


def test_a_route_that_never_rests_ends_the_campaign(tmp_path: Path) -> None:
    field = Field(tmp_path, repetitions=9, route_changes=1)
    field.routes = [HOME, DETOUR, HOME]
    with pytest.raises(RouteUnstableError, match="changed 2 times"):
        field.run()


def test_changes_of_the_route_count_over_interruptions(tmp_path: Path) -> None:
    field = Field(tmp_path)
    field.routes = [HOME, DETOUR, RouteTraceError("no route", "wait")]
    field.limits = Limits(repetitions=9, route_changes=1, timeout_s=0)
    with pytest.raises(CampaignFailedError):
        field.run()
    field.routes = [HOME]
    with pytest.raises(RouteUnstableError, match="changed 2 times"):
        field.run()


def test_a_crash_between_the_new_route_and_the_move_is_made_good(tmp_path: Path) -> None:
    field = Field(tmp_path, repetitions=2)
    folder = field.run()
    manifest = folder.manifest
    manifest.routes.append({"hops": list(DETOUR), "method": "udp", "at_ns": 5})
    folder.save_manifest()
    field.routes = [DETOUR, DETOUR]
    field.run()
    assert len(field.browsers) == 4
    assert field.kept("discarded", "route-1") == ["repetition-001", "repetition-002"]


def test_a_failed_attempt_leaves_its_evidence_and_is_played_again(tmp_path: Path) -> None:
    field = Field(tmp_path, repetitions=2)

    def behave(browser: CampaignBrowser, number: int) -> None:
        browser.lines = ["1 SEVERE network http://site/x failed for secret-word"]
        fail_in(2)(browser, number)

    field.behave = behave
    field.run()
    assert field.kept("failed") == ["repetition-002-attempt-1"]
    failed = field.out / "r1" / "failed" / "repetition-002-attempt-1"
    result = field.result("failed", "repetition-002-attempt-1")
    assert result.failure is not None
    assert (result.failure.kind, result.failure.step, result.failure.name) == ("element", 1, "go")
    assert (failed / "screenshot.png").read_bytes() == b"picture"
    assert (failed / "browser.log").read_text() == "1 SEVERE network http://site/x failed for …\n"
    assert field.result("repetition-002").attempt == 2
    assert field.result("repetition-002").seed == result.seed


def test_attempts_are_limited_and_what_was_finished_stays(tmp_path: Path) -> None:
    field = Field(tmp_path, repetitions=3, attempts=2)
    field.behave = fail_in(2, 3)
    with pytest.raises(CampaignFailedError, match=r"repetition 2 failed at step 1 \(go\): .*is covered by div.*attempt-2"):
        field.run()
    assert field.kept() == ["failed", "outbox", "repetition-001"]
    field.run()
    assert field.kept("failed") == ["repetition-002-attempt-1", "repetition-002-attempt-2"]
    assert field.result("repetition-003").failure is None


def test_a_scenario_that_cannot_be_played_ends_the_campaign_at_once(tmp_path: Path) -> None:
    field = Field(tmp_path, click(targets=["css=[[", "xpath=//["]), repetitions=5, attempts=3)

    def behave(browser: CampaignBrowser, number: int) -> None:
        def find(locator: Locator) -> list[Seen]:
            raise BadLocatorError(f"{locator} cannot be read by the browser", "correct it")

        browser.find = find  # type: ignore[method-assign]

    field.behave = behave
    with pytest.raises(
        CampaignFailedError, match=r"at step 1 \(go\): no locator can be read: css=\[\[: .*; xpath=//\[: "
    ) as failed:
        field.run()
    assert failed.value.failure.kind == "scenario"
    assert len(field.browsers) == 1
    kept = field.out / "r1" / "failed" / "repetition-001-attempt-1"
    assert (kept / "screenshot.png").read_bytes() == b"picture"


def test_a_file_that_is_not_there_is_not_looked_for_again(tmp_path: Path) -> None:
    field = Field(tmp_path, {"step": "choose_file", "name": "the exam", "targets": ["css=#go"], "file": "/no/such/exam.zip"})
    with pytest.raises(CampaignFailedError, match=r"step 1 \(the exam\): there is no file /no/such/exam.zip"):
        field.run()
    assert len(field.browsers) == 1


def test_a_site_that_is_away_is_waited_for_with_growing_pauses(tmp_path: Path) -> None:
    field = Field(tmp_path, click(expect=[{"kind": "page", "path": "never"}], timeout_s=30), timeout_s=20, attempts=1)

    def behave(browser: CampaignBrowser, number: int) -> None:
        browser.error_code = "ERR_CONNECTION_REFUSED"

    field.behave = behave
    with pytest.raises(CampaignFailedError, match=r"the site cannot be reached \(ERR_CONNECTION_REFUSED\)"):
        field.run()
    pauses = [pause for pause in field.time.pauses if pause >= 1]
    assert pauses[:4] == [1, 2, 4, 8]
    assert len(pauses) == 5
    assert 20 <= field.time.now_s < 26
    assert len(field.browsers) == 6


def test_a_site_that_comes_back_is_played_on(tmp_path: Path) -> None:
    field = Field(tmp_path, click(expect=[{"kind": "rows", "targets": ["css=#go"]}], timeout_s=30), attempts=1)

    def behave(browser: CampaignBrowser, number: int) -> None:
        if number < 3:
            browser.elements, browser.error_code = {}, "ERR_NAME_NOT_RESOLVED"

    field.behave = behave
    field.run()
    assert field.kept("failed") == ["repetition-001-attempt-1", "repetition-001-attempt-2"]
    assert field.result("repetition-001").failure is None


LOGIN = click(
    action="login",
    expect=[{"kind": "page", "path": "/home"}],
    refuse=[{"kind": "page", "path": "/Login", "because": "check XNAT_USER and XNAT_PASSWORD"}],
    timeout_s=5,
)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("Login attempt failed. Please try again.", r"the account \(Login attempt failed.*\): check XNAT_USER"),
        ("Your account has been locked.", r"the account \(Your account has been locked.\): have the account unlocked"),
    ],
)
def test_an_account_that_is_not_taken_ends_the_campaign_at_once(tmp_path: Path, said: str, words: str) -> None:
    field = Field(tmp_path, LOGIN, repetitions=5)

    def behave(browser: CampaignBrowser, number: int) -> None:
        browser.said = said
        browser.on_input = lambda what: browser.show("/app/Login") if what == "click" else None

    field.behave = behave
    with pytest.raises(CampaignFailedError, match=words) as failed:
        field.run()
    assert failed.value.failure.kind == "account"
    assert len(field.browsers) == 1


def test_a_proxy_whose_server_is_away_is_a_connection_failure(tmp_path: Path) -> None:
    field = Field(tmp_path, click(expect=[{"kind": "page"}], timeout_s=5), timeout_s=3)

    def behave(browser: CampaignBrowser, number: int) -> None:
        browser.page["status"] = 502
        browser.on_input = lambda what: browser.show("/") if what == "click" else None

    field.behave = behave
    with pytest.raises(CampaignFailedError, match="status 502") as failed:
        field.run()
    assert failed.value.failure.kind == "connection"
    assert len(field.browsers) == 3


def test_a_clock_that_is_set_fails_the_repetition(tmp_path: Path) -> None:
    field = Field(tmp_path, repetitions=1)
    truth = field.time.clock
    jump_ns = [0]

    def clock() -> Any:
        known = truth()
        return type(known)(wall_ns=lambda: known.wall_ns() + jump_ns[0], mono_ns=known.mono_ns, pause=known.pause)

    field.time.clock = clock  # type: ignore[method-assign]

    def behave(browser: CampaignBrowser, number: int) -> None:
        if number == 1:
            browser.on_input = lambda what: jump_ns.__setitem__(0, 3600 * 10**9)

    field.behave = behave
    field.run()
    failure = field.result("failed", "repetition-001-attempt-1").failure
    assert failure is not None
    assert (failure.kind, "set by +3600.0 s" in failure.what) == ("clock", True)
    assert field.result("repetition-001").failure is None


def test_a_capture_that_lost_packets_fails_the_repetition(tmp_path: Path) -> None:
    field = Field(tmp_path)
    field.recorder.faults = [Fault("12 of 90 packets were dropped", "calm the machine")]
    field.run()
    failure = field.result("failed", "repetition-001-attempt-1").failure
    assert failure is not None
    assert (failure.kind, failure.step) == ("capture", None)
    assert field.result("repetition-001").failure is None


def test_an_interruption_leaves_nothing_half_and_the_run_can_be_finished(tmp_path: Path) -> None:
    field = Field(tmp_path, repetitions=2)

    def behave(browser: CampaignBrowser, number: int) -> None:
        if number == 2:
            browser.on_input = interrupt

    def interrupt(what: str) -> None:
        raise KeyboardInterrupt

    field.behave = behave
    with pytest.raises(KeyboardInterrupt):
        field.run()
    assert field.kept() == ["outbox", "repetition-001"]
    field.run()
    assert field.kept() == ["outbox", "repetition-001", "repetition-002"]
    assert len(field.browsers) == 3


def test_what_a_crash_left_is_cleared_away(tmp_path: Path) -> None:
    field = Field(tmp_path, repetitions=1)
    left = field.out / "r1" / "repetition-001.part"
    field.run()
    left.mkdir()
    (left / "result.json").write_text("{")
    (field.out / "r1" / "summary.json.part").write_text("{")
    field.limits = Limits(repetitions=2)
    field.run()
    assert not list(field.out.rglob("*.part"))
    assert field.result("repetition-002").failure is None


def test_a_full_disk_ends_the_campaign_without_half_a_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    field = Field(tmp_path, repetitions=3)
    original = os.fsync

    def full(handle: int) -> None:
        if len(field.browsers) == 2:
            raise OSError(28, "No space left on device")
        original(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskError, match="no room to write"):
        field.run()
    assert field.kept() == ["outbox", "repetition-001"]
    monkeypatch.undo()
    field.run()
    assert field.kept() == ["outbox", "repetition-001", "repetition-002", "repetition-003"]


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"setup": "wan"}, "--setup lan, not wan"),
        ({"seed": 11}, "--seed 10, not 11"),
        ({"scenario_sha256": "1" * 64}, "another content of the scenario"),
        ({"site": "http://else"}, "--url http://site, not http://else"),
        ({"capture": True}, "--capture False, not True"),
        ({"engine": "http"}, "--engine browser, not http"),
        ({"parameters": {"term": "b"}}, "--set nothing, not term=b"),
    ],
)
def test_a_run_is_not_gone_on_with_as_another(tmp_path: Path, other: dict[str, Any], words: str) -> None:
    field = Field(tmp_path)
    field.run()
    with pytest.raises(RunMismatchError, match=words) as refused:
        field.run(**other)
    assert refused.value.exit_status == 2
    assert len(field.browsers) == 1


def test_a_run_by_requests_is_gone_on_with_by_the_same_recording_only(tmp_path: Path) -> None:
    field = Field(tmp_path)
    field.run(engine="http")  # stopped before the recording was made, or so it may be
    field.run(engine="http", requests_sha256="a" * 64)
    with pytest.raises(RunMismatchError, match=r"another recording of requests .--requests. aaaaaaaaaaaa…, not bbbbbbbbbbbb…"):
        field.run(engine="http", requests_sha256="b" * 64)
    with pytest.raises(RunMismatchError, match="aaaaaaaaaaaa…, not none"):
        field.run(engine="http")


def test_two_processes_do_not_play_one_run(tmp_path: Path) -> None:
    field = Field(tmp_path)
    with opened_run(field.out, field.manifest()), pytest.raises(RunBusyError, match="another process"):
        field.run()


def test_a_folder_that_is_no_run_is_left_alone(tmp_path: Path) -> None:
    field = Field(tmp_path)
    (field.out / "r1").mkdir(parents=True)
    (field.out / "r1" / "thesis.tex").write_text("x")
    with pytest.raises(RunMismatchError, match="is there and is no run"):
        field.run()
