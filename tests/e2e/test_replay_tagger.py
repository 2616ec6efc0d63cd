"""`--tagger extension`: both scenarios of the demo, told by the packed extension alone, and compared with what was played."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from replay.cli import main
from replay.demo import SCENARIOS, expected_actions, missing_rows, play, settings_for, start_sidecar, stop_sidecar
from replay.lab import stack
from replay.lab.options import LabOptions
from replay.scenario import load_scenario
from sidecar.journal.sqlite import SqliteJournal
from sidecar.model.faults import UsageFault
from sidecar.model.records import Action, Marker, Request, Session
from tests.support.sidecar import free_port
from tests.support.waiting import wait_until

OPTIONS = ["radiologist", "--url", "http://127.0.0.1:1/xnat", "--setup", "lan", "--tagger", "extension"]


@pytest.mark.browser
def test_both_scenarios_are_told_by_the_extension_alone(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Every action of the demo, found once, with a row of usage per container, in the run that the replayer named."""
    prefix = f"tagger-{os.getpid()}-"
    lab = stack.up(LabOptions(directory=tmp_path / "lab", exam_size="small", processes=True, port=0, name_prefix=prefix), print)
    try:
        addresses = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        sidecar = start_sidecar(settings_for(lab, tmp_path / "journal.sqlite", *addresses))
        try:
            for scenario in SCENARIOS:
                play(lab, sidecar, scenario, tmp_path / "results", False, ["--tagger", "extension", "--set", "pace=3"])
            wait_until(
                lambda: not missing_rows(sidecar.get("/api/v1/usage", run="demo"), lab.containers),
                f"a row of usage for each action, not {missing_rows(sidecar.get('/api/v1/usage', run='demo'), lab.containers)}",
                60,
            )
        finally:
            stop_sidecar(sidecar)
    finally:
        stack.down(tmp_path / "lab", print, purge=True)
    assert "The extension against the replayer, times in ms" in capfd.readouterr().out
    told: Counter[str] = Counter()
    for name in SCENARIOS:
        (file,) = (tmp_path / "results" / name / "demo").glob("truth.json")
        truth = json.loads(file.read_text(encoding="utf-8"))
        rows = {row["action"]: row for row in truth["rows"]}
        assert [one for one in truth["actions"] if one["wrong"] or not one["found"]] == [], f"among {truth['actions']}"
        told.update({action: rows[action]["found"] for action in rows if action != "all"})
        told.update(one["action"] for one in truth["actions"] for _ in range(1, one["parts"]))
        assert {action: rows[action]["found"] for action in rows if action != "all"} == Counter(begun(name))
        # the replayer marks before it presses: what the driver takes until then is the machine's, and it only adds
        errors = [one["begin_error_ms"] for one in truth["actions"]]
        assert -5 < min(errors) < 60, errors
    with SqliteJournal(tmp_path / "journal.sqlite") as journal:
        sessions = {one.session: one for _, one in journal.read(Session)}
        actions = [one for _, one in journal.read(Action) if one.source != "access-log"]
        markers = [one for _, one in journal.read(Marker)]
        labelled = [one for _, one in journal.read(Request) if one.session is not None]
    assert {(one.source, one.run, one.setup) for one in sessions.values()} == {("replay", "demo", "lan")}
    assert {one.scenario for one in sessions.values()} == set(SCENARIOS)
    assert Counter(one.action for one in actions if one.outcome == "completed") == told
    assert max(Counter((one.action_id, one.phase) for one in markers).values()) == 1, "one copy of each"
    assert all("evidence" in one.attributes for one in markers if one.phase == "end" and one.action == "download")
    assert {one.session for one in labelled} == set(sessions), "requests name their session"
    assert {one.action_id for one in labelled} == {None}, "and no action: the extension draws its own ids"
    assert set(expected_actions()) == set(told)


def begun(scenario: str) -> list[str]:
    """The actions of a scenario, each as often as it is done."""
    return [str(step.action) for step in load_scenario(scenario).steps if step.begins]


def test_an_extension_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageFault, match=r"the extension is not in .*nowhere: name its folder with --extension DIR"):
        main([*OPTIONS, "--extension", str(tmp_path / "nowhere"), "--out", str(tmp_path), "--dry-run"])


def test_without_a_sidecar_it_would_tell_nobody(tmp_path: Path) -> None:
    with pytest.raises(UsageFault, match="--tagger extension needs a sidecar"):
        main([*OPTIONS, "--markers", "none", "--out", str(tmp_path), "--dry-run"])
