"""Scenarios as data: what is accepted, what is refused and with which words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.expectations import EXPECTATIONS
from replay.locate import Locator
from replay.scenario import FOLDER, load_scenario, names, parse
from replay.scenario_shape import EXPECT_FIELDS, STEP_FIELDS, ScenarioError
from replay.steps import STEPS
from replay.values import Values, texts_of
from sidecar.model.catalogue import load_catalogue
from tests.support.replay_fakes import ENVIRONMENT, click, scenario


def test_the_tables_of_steps_and_expectations_agree_with_what_plays_them() -> None:
    assert set(STEP_FIELDS) == set(STEPS)
    assert set(EXPECT_FIELDS) == set(EXPECTATIONS)


def test_every_file_of_the_folder_is_a_scenario_of_its_name() -> None:
    assert names() == sorted(path.stem for path in FOLDER.iterdir())
    for name in names():
        loaded = load_scenario(name)
        assert loaded.name == name
        Values(loaded, {}, ENVIRONMENT).check(texts_of(loaded))


def test_the_study_s_actions_are_played_in_its_order() -> None:
    begun = [step.action for step in load_scenario("researcher").steps if step.begins]
    assert begun == ["page_load", "login", "page_load", "filter_search", "page_load", "download", "logout"]
    radiologist = load_scenario("radiologist").actions()
    assert radiologist == (
        "page_load", "login", "filter_search", "open_viewer", "change_scan", "play", "scroll", "logout",
    )  # fmt: skip
    assert set(radiologist) <= set(load_catalogue().names)


def test_shipped_scenarios_give_every_element_a_second_way_to_be_found() -> None:
    alone = {step.name for name in names() for step in load_scenario(name).steps if step.targets and len(step.targets) < 2}
    assert alone <= {"download", "show the player"}  # the button's and the toolbar's one name in all versions


def test_shipped_scenarios_hold_no_credentials() -> None:
    for name in names():
        raw = json.loads((FOLDER / f"{name}.json").read_text())
        assert raw["parameters"]["user"] == "${env:XNAT_USER}"
        assert raw["parameters"]["password"] == "${env:XNAT_PASSWORD}"


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([{"step": "dance"}], "test.json: step 1: unknown step 'dance': use one of open, type"),
        ([click(), click(name="second", targets=[])], "step 2 (second): there are no targets"),
        ([{"step": "click"}], "step 1 (click): targets is missing"),
        ([click(targets=["#go"])], "'#go' is no locator"),
        ([click(colour="red")], "unknown field 'colour'"),
        ([click(action="dancing")], "unknown action 'dancing': use one of login"),
        ([click(part="begin")], "part 'begin' does not fit"),
        ([click(action="play", part="begin")], "play never ends"),
        ([click(action="play", part="end")], "play is not open here"),
        ([click(action="play", part="begin"), click(action="login")], "login begins while play is open"),
        ([click(expect=[{"kind": "magic"}])], "unknown expectation 'magic'"),
        ([click(expect=[{"kind": "shown"}])], "targets is missing"),
        ([click(refuse=[{"kind": "page"}])], "a refusal without a reason"),
        ([click(think={"seconds": -1})], "seconds is -1"),
        ([click(timeout_s=0)], "timeout_s is 0"),
        ([{"step": "type", "targets": ["id=p"], "text": "hunter2", "secret": True}], "a secret is written into the scenario"),
        ([], "there are no steps"),
    ],
)
def test_a_wrong_scenario_is_refused_by_name_and_step(steps: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        scenario(*steps)
    assert words in str(refused.value)
    assert str(refused.value).startswith("test.json")
    assert refused.value.exit_status == 2


@pytest.mark.parametrize(
    ("head", "words"),
    [
        ({"format": 2}, "format 2 is unknown"),
        ({"role": "a b"}, "role 'a b' is no name"),
        ({"window": [10, 10]}, "is no size"),
        ({"window": ["9" * 5000]}, "is no size"),
        ({"parameters": {"password": "hunter2"}}, "parameter password holds a credential"),
        ({"parameters": {"deep": {}}}, "parameter deep is not a text or a number"),
    ],
)
def test_a_wrong_head_is_refused(head: dict[str, Any], words: str) -> None:
    with pytest.raises(ScenarioError, match=r"test\.json") as refused:
        parse({"format": 1, "scenario": "test", "role": "tester", "steps": [click()], **head}, "test.json")
    assert words in str(refused.value)
    assert "hunter2" not in str(refused.value)
    assert len(str(refused.value)) < 600


def test_a_file_that_is_not_there_or_no_json_is_said(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"there is no scenario 'reader'.*radiologist, researcher"):
        load_scenario("reader")
    with pytest.raises(ScenarioError, match=r"upload has no steps to show.*see `tracemark replay upload --help`"):
        load_scenario("upload")
    half = tmp_path / "half.json"
    half.write_text('{"format": 1, "scenario": "s", "description": "\\ud83d"}')
    with pytest.raises(ScenarioError, match=r"ud83d stands there without its other half"):
        load_scenario(str(half))
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    with pytest.raises(ScenarioError, match="is not JSON"):
        load_scenario(str(broken))


def test_values_come_from_parameters_the_command_line_and_the_environment() -> None:
    loaded = scenario(click(), parameters={"user": "${env:XNAT_USER}", "term": "A_1", "where": "in ${term}", "pace": 1})
    values = Values(loaded, {"term": "B_2", "pace": "2.5"}, ENVIRONMENT)
    assert values.fill("${user} looks for ${where}") == "reader looks for in B_2"
    assert values.number("pace", 1.0) == 2.5
    assert values.number("absent", 3.0) == 3.0


@pytest.mark.parametrize(
    ("given", "environment", "text", "words"),
    [
        ({}, {}, "${env:XNAT_USER}", "needs the environment variable XNAT_USER"),
        ({}, ENVIRONMENT, "${nobody}", r"\$\{nobody\} is not a parameter"),
        ({"nobody": "1"}, ENVIRONMENT, "", "has no parameter 'nobody'.*it has: loop, pace, user"),
        ({"user": "eve"}, ENVIRONMENT, "", "user is a credential: set the environment variable XNAT_USER"),
        ({"pace": "fast"}, ENVIRONMENT, "", "parameter pace must be a number"),
        ({}, ENVIRONMENT, "${loop}", "refers to itself"),
    ],
)
def test_missing_or_forbidden_values_are_refused(
    given: dict[str, str], environment: dict[str, str], text: str, words: str
) -> None:
    loaded = scenario(click(), parameters={"user": "${env:XNAT_USER}", "pace": 1, "loop": "${loop}"})
    with pytest.raises(ScenarioError, match=words):
        Values(loaded, given, environment).fill(text)


def test_a_value_cannot_change_what_a_locator_means() -> None:
    loaded = scenario(click(), parameters={"exam": 'x"] | //*["', "label": "A_1"})
    values = Values(loaded, {}, ENVIRONMENT)
    assert str(values.fill_locator(Locator.parse('xpath=//a[.="${label}"]'))) == 'xpath=//a[.="A_1"]'
    for text in ('xpath=//a[.="${exam}"]', "css=${env:XNAT_USER}"):
        with pytest.raises(ScenarioError, match="cannot stand in a locator"):
            values.fill_locator(Locator.parse(text))


@given(st.text())
def test_text_without_references_stays_as_it_is(text: str) -> None:
    if "${" not in text:
        assert Values(scenario(click()), {}, {}).fill(text) == text


def test_what_the_page_says_is_a_value_but_never_a_reference_and_never_a_credential() -> None:
    loaded = scenario(click(), parameters={"kept": "", "user": "${env:XNAT_USER}"})
    values = Values(loaded, {}, ENVIRONMENT)
    values.keep("kept", "it says ${env:XNAT_PASSWORD}")
    assert "secret-word" not in values.fill("${kept}")
    with pytest.raises(ScenarioError, match="user is a credential"):
        values.keep("user", "eve")


def test_a_brace_in_a_value_is_no_key() -> None:
    loaded = scenario(click(), parameters={"word": "{ENTER}"})
    assert Values(loaded, {}, {}).fill_keys("${word}{TAB}") == "{{ENTER}{TAB}"


def test_a_scenario_may_be_yaml(tmp_path: Path) -> None:
    file = tmp_path / "short.yaml"
    file.write_text("format: 1\nscenario: short\nrole: tester\nsteps:\n- step: wait\n  seconds: 0.5\n")
    assert load_scenario(str(file)).steps[0].options == {"seconds": 0.5}
    file.write_text("format: 1\nscenario: short\nrole: tester\nsteps:\n- step: type\n  targets: [id=a]\n  text: 12\n")
    with pytest.raises(ScenarioError, match=r"short\.yaml: step 1 \(type\): text 12 is no text: write it in quotes"):
        load_scenario(str(file))
