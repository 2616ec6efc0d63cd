"""What would delete something on the site is named before a run and refused while it plays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from replay.campaign import CampaignFailedError
from replay.harm import WORDS_OF, HarmfulStepError, check_scenario, deletes, deleting_steps
from replay.safety import what_it_would_do
from replay.scenario import load_scenario
from tests.support.campaign_fakes import CampaignBrowser, Field
from tests.support.replay_fakes import click, scenario


@pytest.mark.parametrize(
    "text",
    [
        "Delete", "/app/action/DeleteSubject/search_value/X", "/data/services/prearchive/delete", "XNAT.app.deleteScan(4)",
        "/data/projects/P?removeFiles=true", "remove_files", "Remove", "btn-remove", "doRemove", "Purge cache", "#erase",
    ],
)  # fmt: skip
def test_xnats_deletions_are_known_by_their_words(text: str) -> None:
    assert deletes(text)


@pytest.mark.parametrize("text", ["Download", "#search_btn", "id=ohifViewer", "removed items", "unremovable", "Selected"])
def test_other_words_are_not(text: str) -> None:
    assert not deletes(text)


def test_the_shipped_scenarios_delete_nothing() -> None:
    assert deleting_steps(load_scenario("researcher")) == deleting_steps(load_scenario("radiologist")) == []


def test_a_scenario_that_says_so_is_named_by_step_and_needs_a_word() -> None:
    steps = [click(name="go on"), click(name="away with it", targets=["linkText=Delete Project"])]
    harmful = scenario(*steps)
    with pytest.raises(HarmfulStepError, match=r"test.json: step 2 \(away with it\).*\(Delete Project\).*--may-delete"):
        check_scenario(harmful, may_delete=False)
    check_scenario(harmful, may_delete=True)
    check_scenario(scenario(click(name="Delete in its name only")), may_delete=False)
    with pytest.raises(HarmfulStepError):
        check_scenario(scenario({"step": "open", "path": "/data/services/prearchive/delete"}), may_delete=False)


def dry(played: Any, **more: Any) -> str:
    return next(
        line
        for line in what_it_would_do(
            played, site="s", setup="lan", sessions=1, variables=[], folder="f", notes=[], **more
        ).splitlines()
        if line.startswith("deletes")
    )


def test_a_dry_run_lists_them() -> None:
    harmful = scenario(click(targets=["css=#delete"], name="away"))
    assert dry(harmful) == "deletes   step 1: click css=#delete (away): refused without --may-delete"
    assert dry(harmful, may_delete=True) == "deletes   step 1: click css=#delete (away)"
    assert dry(scenario(click())).startswith("deletes   nothing by what its steps say; what turns out to delete is not pressed")


class Deleting(CampaignBrowser):
    """A page whose button says what it does only when it is looked at."""

    def run(self, script: str, *arguments: object) -> Any:
        return "Delete this session\n/app/action/DeleteXnat" if script == WORDS_OF else super().run(script, *arguments)


@pytest.mark.parametrize("step", [click(action="login"), {"step": "press", "keys": "{ENTER}"}], ids=["click", "press"])
def test_what_turns_out_to_delete_is_not_pressed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: dict[str, Any]) -> None:
    monkeypatch.setattr("tests.support.campaign_fakes.CampaignBrowser", Deleting)
    field = Field(tmp_path, step, repetitions=3)
    with pytest.raises(CampaignFailedError, match=r"step 1 .*deletes something on the site .Delete this session"):
        field.run()
    (browser,) = field.browsers
    assert not [did for did in browser.did if did.startswith(("click", "keys"))]
    assert field.result("failed", "repetition-001-attempt-1").actions == []
