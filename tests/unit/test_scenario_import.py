"""Recordings become scenarios: every command is played or named, and nothing that was typed as a credential survives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replay.scenario import load_raw
from replay.scenario_cli import main
from replay.scenario_import.actions import read_map
from replay.scenario_import.draft import RecordingError, below_context
from replay.scenario_import.files import Wishes, import_file
from replay.scenario_import.side import test_names as names_of
from replay.scenario_import.side_tables import ASSERTIONS, side_keys
from replay.scenario_shape import EXPECT_FIELDS
from sidecar.model.faults import UsageFault
from tests.support.recordings import QUIET, imported, scenario_of, side, steps

OWN = Path(__file__).parents[1] / "cases" / "recordings"


def test_commands_of_selenium_ide_become_steps(tmp_path: Path) -> None:
    found = imported(tmp_path, side(
        ("open", "/xnat/app/template/XDATScreen.vm?JSESSIONID=abc&tab=2"), ("setWindowSize", "1000x700"),
        ("doubleClickAt", "id=a", "3,4"), ("dragAndDropToObject", "id=a", "css=#b"), ("select", "id=list", "CT"),
        ("addSelection", "name=many", "value=2"), ("sendKeys", "link=Next", "x${KEY_CONTROL}a${KEY_PGDN}"),
        ("selectFrame", "index=1"), ("selectFrame", "relative=parent"), ("setWindowSize", "500x400"),
        ("mouseDownAt", "id=c", "1,2"), ("mouseMoveAt", "id=c", "9,9"), ("mouseUpAt", "id=c", "11,22"),
        ("waitForElementNotVisible", "//div[1]", "2500"), ("assertNotTitle", "Login"),
        {"command": "click", "target": "id=gone", "comment": "go on [login]",
         "targets": [["id=gone", "id"], ["css=.still", "css:finder"]]},
    ))  # fmt: skip
    assert found.raw["window"] == [1000, 700]
    assert found.remarks == ()
    page = [{"kind": "page"}]
    assert steps(found)[:-1] == [
        {"step": "open", "path": "/app/template/XDATScreen.vm?tab=2", "action": "page_load", "expect": page},
        {"step": "double_click", "targets": ["id=a"], "at": [3.0, 4.0]},
        {"step": "drag", "targets": ["id=a"], "onto": ["css=#b"]},
        {"step": "select", "targets": ["id=list"], "option": "label=CT"},
        {"step": "select", "targets": ["name=many"], "option": "value=2", "mode": "add"},
        {"step": "press", "targets": ["linkText=Next"], "keys": "x{CTRL+A}{PAGE_DOWN}"},
        {"step": "enter_frame", "targets": ["xpath=(//iframe | //frame)[2]"]},
        {"step": "leave_frame", "up_to": "parent"},
        {"step": "resize", "size": [500, 400]},
        {"step": "drag", "targets": ["id=c"], "at": [1.0, 2.0], "by": [10.0, 20.0]},
        {
            "step": "wait", "name": "waitForElementNotVisible", "timeout_s": 2.5,
            "expect": [{"kind": "gone", "targets": ["xpath=//div[1]"]}],
        },
        {"step": "wait", "name": "assertNotTitle", "expect": [{"kind": "title", "is_not": "Login"}]},
    ]  # fmt: skip
    last = steps(found)[-1]
    assert (last["name"], last["action"], last["targets"]) == ("go on", "login", ["id=gone", "css=.still"])


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (
            ("executeScript", "return 1", "x"),
            "step 2 (executeScript): cannot be played: what a script does is not a person's input",
        ),
        (("customClick", "id=a"), "step 2 (customClick): cannot be played: it is no command of Selenium IDE itself"),
        (("click", "jquery=.a"), "step 2 (click): cannot be played: 'jquery=.a' is no locator; choose the element again"),
        (("open", "https://elsewhere.example.org/x"), "it is on elsewhere.example.org: a scenario plays on one site"),
        (("sendKeys", "id=a", "${KEY_HYPER}"), "there is no key HYPER"),
        (("answerPrompt", "yes"), "dialogs are accepted as they come up"),
        (("selectWindow", "handle=${unknown}"), "it is not known which tab that is"),
        (("run", "nothing"), "there is no test 'nothing' in the file"),
    ],
)
def test_what_cannot_be_played_is_named_and_stands_in_the_scenario(tmp_path: Path, command: Any, words: str) -> None:
    project = side(("open", "/"), command, ("click", "id=b"))
    found = imported(tmp_path, project)
    (lost,) = found.lost
    assert words in str(lost)
    assert [step["step"] for step in steps(found)] == ["open", "unsupported", "click"]
    without = imported(tmp_path, project, wishes=Wishes(think_s=0, leave_out=True))
    assert [step["step"] for step in steps(without)] == ["open", "click"]
    assert [str(one) for one in without.lost] == [str(lost)]


def test_control_flow_is_unrolled_where_it_is_known_and_named_where_not(tmp_path: Path) -> None:
    found = imported(tmp_path, side(
        ("store", "2", "n"), ("times", "${n}"), ("click", "id=a"), ("end",),
        ("if", "\"${n}\" === '2'"), ("click", "id=yes"), ("else",), ("click", "id=no"), ("end",),
        ("run", "other"), ("while", "${open}"), ("click", "id=never"), ("end",), ("click", "id=z"),
        other=[("hover", ""), ("mouseOver", "id=o"), ("run", "main")],
    ), name="main")  # fmt: skip
    played = [step["targets"][0] for step in steps(found) if "targets" in step][:4]
    assert played == ["id=a", "id=a", "id=yes", "id=o"]
    assert steps(found)[-1]["targets"] == ["id=z"]
    named = [str(one) for one in found.lost]
    assert any("step 11 (while): cannot be played: a scenario always does the same" in one for one in named)
    assert any("step 12 (click): cannot be played: it belongs to the while before it" in one for one in named)
    assert any("it runs itself" in one for one in named)


def test_variables_become_parameters_and_what_the_page_says_is_stored(tmp_path: Path) -> None:
    found = imported(tmp_path, side(
        ("store", "one", "a"), ("type", "id=x", "${a}"), ("store", "two", "a"), ("type", "id=x", "${a} ${given}"),
        ("storeAttribute", "css=img@alt", "said"), ("assertValue", "id=x", "${said}"), ("type", "id=words", "COVID"),
    ))  # fmt: skip
    assert found.raw["parameters"] == {"a": "one", "a_2": "two", "given": "", "said": "", "words": "COVID", "pace": 1}
    texts = [step["text"] for step in steps(found) if step["step"] == "type"]
    assert texts == ["${a}", "${a_2} ${given}", "${words}"]
    assert {"step": "store", "targets": ["css=img"], "parameter": "said", "what": "attribute", "attribute": "alt"} in steps(found)
    assert [str(one) for one in found.remarks] == ["step 4 (variable): nothing sets given: give it with --set given=…"]


SECRET = "hunter2-and-more"


@settings(deadline=None)  # it writes files
@given(st.sampled_from(["id=password", "name=j_passwd", "css=input[name=pwd]", "xpath=//*[@id='apiToken']"]), st.integers(0, 3))
def test_a_typed_credential_is_nowhere_in_the_scenario(tmp_path_factory: pytest.TempPathFactory, target: str, way: int) -> None:
    ways: list[list[Any]] = [
        [("type", target, SECRET)],
        [("sendKeys", target, SECRET)],
        [("store", SECRET, "password"), ("type", target, "${password}")],
        [("type", target, SECRET), ("type", "id=again", SECRET), ("click", f"linkText={SECRET}"), ("assertText", "id=x", SECRET)],
    ]
    found = imported(tmp_path_factory.mktemp("secret"), side(("open", "/"), *ways[way], ("echo", SECRET)))
    assert SECRET not in json.dumps(found.raw)
    assert SECRET not in "".join(map(str, found.remarks))
    assert any(str(value).startswith("${env:") for value in found.raw["parameters"].values())


def test_a_person_s_name_is_not_kept_either(tmp_path: Path) -> None:
    found = imported(tmp_path, side(("type", "id=username", "dr.who"), ("click", "id=go")))
    assert "dr.who" not in json.dumps(found.raw)
    assert found.raw["parameters"]["user"] == "${env:XNAT_USER}"


@pytest.mark.parametrize("word", ["researcher", "user", "login", "open", "type", "whole", "page", "password", "XNAT_USER"])
def test_who_is_called_as_a_word_of_the_format_can_record_too(tmp_path: Path, word: str) -> None:
    project = side(
        ("open", f"/app/{word}"), ("type", "id=username", word), ("type", "id=password", word), ("click", "id=loginButton"),
        ("click", f"linkText={word}"), ("type", "id=searchValue", f"of {word}"), url="http://xnat.example.org",
    )  # fmt: skip
    found = imported(tmp_path, project)
    scenario = scenario_of(found)  # it is a right one
    assert [step.kind for step in scenario.steps] == ["open", "type", "type", "click", "click", "type"]
    assert [str(step.targets[0]) for step in scenario.steps[1:4]] == ["id=username", "id=password", "id=loginButton"]
    assert [step.text for step in scenario.steps[1:3]] == ["${user}", "${password}"]
    assert {"user": "${env:XNAT_USER}", "password": "${env:XNAT_PASSWORD}"}.items() <= found.raw["parameters"].items()


def test_a_person_s_name_on_a_page_is_that_of_who_plays(tmp_path: Path) -> None:
    found = imported(tmp_path, side(
        ("type", "id=username", "dr.who"), ("click", "linkText=dr.who"), ("assertText", "id=greeting", "Hello dr.who"),
    ), name="main")  # fmt: skip
    assert "dr.who" not in json.dumps(found.raw)
    assert steps(found)[1]["targets"] == ["linkText=${user}"]
    assert steps(found)[2]["expect"] == [{"kind": "text", "targets": ["id=greeting"], "is": "Hello ${user}"}]


def test_tests_of_one_name_are_told_apart() -> None:
    assert names_of({"tests": [{"name": "a 3"}, {"name": "a"}, {"name": "a"}, {}, {"name": "test 4"}]}) == [
        "a 3", "a", "a 3 3", "test 4", "test 4 5",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("commands", "words"),
    [
        ("open", "test 1 has no commands"),
        ([None], "test 1, command 1: it is no object"),
        ([{"command": "open"}, {"command": ["open"]}], "test 1, command 2: command is no text"),
        ([{"command": "click", "target": {"id": "a"}}], "test 1, command 1: target is no text"),
        ([{"command": "click", "targets": "id=a"}], "test 1, command 1: targets is no list of locators"),
        ([{"command": "click", "fallbackTargets": [7]}], "test 1, command 1: fallbackTargets is no list of locators"),
        ([{"command": "echo", "target": "\ud800"}], "ud800 stands there without its other half"),
        ([{"command": "pause", "target": float("nan")}], "NaN is no number"),
    ],
)
def test_a_project_that_is_damaged_is_named_by_test_and_command(tmp_path: Path, commands: Any, words: str) -> None:
    with pytest.raises(RecordingError) as refused:
        imported(tmp_path, {"tests": [{"name": "main", "commands": commands}]})
    assert words in str(refused.value)


def test_a_site_that_is_none_is_refused_or_found_out(tmp_path: Path) -> None:
    project = side(("open", "http://[::1]:8080/xnat/app/x"), ("click", "id=a"), url="http://[")
    assert steps(imported(tmp_path, project))[0]["path"] == "/app/x"
    for command in (["import", str(tmp_path / "main.side")], ["export", "researcher", "--to", str(tmp_path / "x.side")]):
        for site in ("http://[", "xnat.example.org", "http://x.test/?a=1"):
            with pytest.raises(UsageFault, match=r"--site .* is no address of a site"):
                main([*command, "--site", site])


def test_remarks_are_lines_that_can_be_read(tmp_path: Path) -> None:
    found = imported(tmp_path, side(("open", "/"), ("a\nb", "x"), ("click", "y" * 9000), ("open", "http://[")))
    assert str(found.lost[0]).startswith("step 2 (a b): cannot be played")
    assert all(len(str(one)) < 400 for one in found.lost)
    assert "step 4 (open): cannot be played: 'http://[' is no address" in map(str, found.lost)


@pytest.mark.parametrize(
    ("commands", "wanted"),
    [
        ([("open", "/app/action/LogoutUser")], ["logout"]),
        ([("open", "/VIEWER")], ["open_viewer"]),
        ([("type", "id=any", "x"), ("type", "id=secret_word", "y"), ("click", "css=button")], ["login"]),
        ([("type", "id=searchValue", "x"), ("sendKeys", "id=searchValue", "${KEY_ENTER}")], ["filter_search"]),
        ([("click", "xpath=//a[@id='ohifViewer']")], ["open_viewer"]),
        ([("click", "css=table a.download-scan[data-id='2']")], ["download"]),
        ([("click", "css=[data-cy=thumbnail-list] > .thumbnail:nth-child(2)")], ["change_scan"]),
        ([("click", "css=.CineDialog button[title='Play / Stop']")] * 2, ["play"]),
        ([("click", "id=unknown"), ("mouseOver", "id=ohifViewer")], []),
    ],
)
def test_actions_are_told_by_the_catalogue_and_the_shipped_scenarios(
    tmp_path: Path, commands: list[Any], wanted: list[str]
) -> None:
    found = imported(tmp_path, side(*commands))
    assert list(scenario_of(found).actions()) == wanted


def test_a_map_gives_and_takes_actions(tmp_path: Path) -> None:
    wishes = Wishes(think_s=0, actions=read_map(["2=upload,1=-"]))
    found = imported(tmp_path, side(("open", "/app"), ("click", "id=a")), wishes=wishes)
    assert [step.get("action") for step in steps(found)] == [None, "upload"]
    for given_map, words in ((["7=login"], "there is no step 7"), (["1=dance"], "1=dance names no action")):
        with pytest.raises(RecordingError, match=words):
            imported(tmp_path, side(("open", "/app")), wishes=Wishes(actions=read_map(given_map)))
    with pytest.raises(RecordingError, match="is no STEP=ACTION"):
        read_map(["login"])
    with pytest.raises(RecordingError, match="ends before it begins"):
        read_map(["9-7=play"])


@pytest.mark.parametrize(
    ("text", "suffix", "words"),
    [
        ("{", ".side", "is no Selenium IDE project: it is not JSON"),
        ("{}", ".side", "it has no tests"),
        ("[]", ".json", "is no Recorder export"),
        ('{"steps": [{"kind": "click"}]}', ".json", "it has no steps with types"),
        ("not json", ".jsonl", "line 1 holds no marker"),
        ("", ".jsonl", "holds no action that came to its end"),
        ("# Notes", ".md", "is no recording by its name: give a file that ends in .side, .json, .jsonl"),
        (
            '{"tests": [{"name": "main", "commands": [{"command": "echo"}]}]}',
            ".side",
            "no step that can be played (step 1 (echo)",
        ),
    ],
)
def test_what_is_no_recording_is_said(tmp_path: Path, text: str, suffix: str, words: str) -> None:
    with pytest.raises(RecordingError) as refused:
        imported(tmp_path, text, suffix)
    assert words in str(refused.value)


@settings(deadline=None)  # it writes files
@given(st.text(), st.text())
def test_any_text_is_refused_in_words_or_imported(tmp_path_factory: pytest.TempPathFactory, target: str, value: str) -> None:
    commands = [
        (command, target, value) for command in ("open", "type", "sendKeys", "select", "store", "clickAt", "run", "pause")
    ]
    found = imported(tmp_path_factory.mktemp("any"), side(("click", "id=a"), *commands))
    assert len(scenario_of(found).steps) >= 1


def test_every_condition_of_the_ide_is_one_of_ours() -> None:
    for kind, option, state in ASSERTIONS.values():
        known = {*EXPECT_FIELDS[kind].required, *EXPECT_FIELDS[kind].optional}
        assert option is None or option in known
        assert state is None or "state" in known


def test_keys_are_read_as_the_ide_writes_them() -> None:
    assert side_keys("a{b}${KEY_ENTER}${KEY_SHIFT}${KEY_TAB}") == ("a{{b}{ENTER}{SHIFT}{TAB}", "")


def test_the_context_path_is_told_by_xnat_s_folders() -> None:
    assert below_context("/xnat/app/template/Index.vm") == "/app/template/Index.vm"
    assert below_context("/data/projects/app") == "/data/projects/app"
    assert below_context("/a/b/c", "/a") == "/b/c"
    assert below_context("/ab/c", "/a") == "/ab/c"


def test_every_shared_recording_is_imported_or_named(shared_cases: Path) -> None:
    files = sorted((shared_cases / "recordings").iterdir())
    assert len(files) >= 22
    for file in files:
        if file.name == "variable-in-conditional.side":  # its tests touch no page
            with pytest.raises(RecordingError, match=r"no step that can be played .*step 2 \(if\): false is known"):
                import_file(file, QUIET)
            continue
        found = import_file(file, QUIET)
        for name, one in found.items():
            scenario_of(one)
            assert len(one.lost) >= len([step for step in one.raw["steps"] if step["step"] == "unsupported"]), (file.name, name)
            assert "SuperSecretPassword!" not in json.dumps(one.raw)
        if file.suffix == ".side":
            tests = json.loads(file.read_text(encoding="utf-8"))["tests"]
            refused_words = {"executeScript", "customClick", "if", "assert"}
            commands = {command["command"] for test in tests for command in test["commands"]}
            if not commands & refused_words:
                assert not [str(lost) for one in found.values() for lost in one.lost], file.name


def test_the_command_imports_several_tests_into_a_folder_and_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "two.side"
    file.write_text(json.dumps(side(("open", "/"), ("executeScript", "x"), second=[("open", "/VIEWER")])))
    with pytest.raises(RecordingError, match=r"holds 2 tests \(main, second\): choose one with --test"):
        main(["import", str(file)])
    assert main(["import", str(file), "--out", str(tmp_path)]) == 1
    assert (tmp_path / "main.json").is_file()
    assert "! step 2 (executeScript): cannot be played" in capsys.readouterr().err
    assert main(["import", str(file), "--test", "main", "--leave-out"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"][-1]["step"] == "open"
    assert main(["import", str(file), "--test", "second", "--out", str(tmp_path / "second.yaml")]) == 0
    assert main(["show", str(tmp_path / "second.yaml")]) == 0
    shown = capsys.readouterr().out
    assert "role       radiologist" in shown
    assert "open_viewer" in shown


def test_our_own_scenarios_are_imported_as_they_are(tmp_path: Path) -> None:
    file = tmp_path / "own.json"
    raw = load_raw("researcher")
    file.write_text(json.dumps(raw))
    assert import_file(file, QUIET)["researcher"].raw == raw
    assert main(["export", "researcher", "--to", str(tmp_path / "own.yaml")]) == 0
    assert import_file(tmp_path / "own.yaml", QUIET)["researcher"].raw == raw


def test_the_recordings_of_our_own_keep_nothing_typed() -> None:
    for file in OWN.iterdir():
        for one in import_file(file, QUIET).values():
            assert "typed" not in json.dumps(one.raw)
            assert not one.lost
