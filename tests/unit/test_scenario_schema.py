"""The committed JSON Schema and the loader say the same, about what is right and about what is wrong."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from replay import scenario, scenario_schema
from replay.scenario import FOLDER, names, parse
from replay.scenario_shape import CHOICES, EXPECT_FIELDS, STEP_FIELDS, ScenarioError
from replay.scenario_text import read_text, write_text
from sidecar.model.catalogue import load_catalogue

COMMITTED = Path(scenario_schema.__file__).with_name("scenario.schema.json")
CATALOGUE = load_catalogue()
VALIDATOR = Draft202012Validator(json.loads(COMMITTED.read_text(encoding="utf-8")))

#: one good value for every field of every step
VALUES: dict[str, Any] = {
    "action": "login", "at": [1, 2.5], "attribute": "href", "because": "record it", "button": "middle", "by": [-3, 4],
    "command": "executeScript", "expect": [{"kind": "page"}], "file": "${file}", "hold": "CTRL", "keys": "{ENTER}",
    "mode": "add", "name": "a step", "notches": -3, "notches_per_s": 2.5, "onto": ["id=there"], "option": "label=A\nB",
    "pace": [{"share": 0.5, "burst": 2}, {}], "parameter": "kept", "part": "whole", "path": "/app", "seconds": 0.5,
    "refuse": [{"kind": "shown", "targets": ["id=error"], "because": "look"}], "secret": False, "size": [300, 10000],
    "targets": ["css=#a", "aria=Go"], "text": "words", "think": {"seconds": 2, "variation": 0}, "timeout_s": 5,
    "up_to": "parent", "what": "text", "which": "newest", "x": 0, "y": 12.5,
}  # fmt: skip
EXPECTED: dict[str, Any] = {
    "at": "last", "at_least": 2, "contains": "b", "images": 3, "is": "a", "is_not": "", "name": "stop", "path": "/x$",
    "request": "/data", "state": False, "targets": ["id=a"],
}  # fmt: skip
#: a wrong value for anything
WRONG: tuple[Any, ...] = (None, True, -1, 1.5, 1e9, " ", "x y\n", [], [1], {"odd": 1})


@pytest.fixture(autouse=True)
def _one_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of scenarios are read here: the catalogue is read once."""
    monkeypatch.setattr(scenario, "load_catalogue", lambda: CATALOGUE)


def whole_step(kind: str) -> dict[str, Any]:
    """A step with all that is its own; a click has all that every step may have, too."""
    own = STEP_FIELDS[kind]
    step = {"step": kind, **{name: copy.deepcopy(VALUES[name]) for name in (*own.required, *own.optional)}}
    for name in ("name", "action", "part", "think", "expect", "refuse", "timeout_s") if kind == "click" else ():
        step.setdefault(name, copy.deepcopy(VALUES[name]))
    if kind == "drag":
        del step["by"]
    if kind == "tab":
        del step["path"]
    if kind == "store":
        del step["attribute"]
    return step


def whole() -> dict[str, Any]:
    """A scenario with every kind of step and expectation."""
    expectations = [
        {"kind": kind, **{name: EXPECTED[name] for name in (*own.required, *own.optional)}} for kind, own in EXPECT_FIELDS.items()
    ]
    steps = [whole_step(kind) for kind in STEP_FIELDS]
    steps.append({"step": "wait", "expect": expectations})
    steps.append({"step": "drag", "targets": ["id=a"], "by": [1, 2]})
    steps.append({"step": "tab", "path": "/x"})
    steps += [{"step": "store", "parameter": "kept", "what": what, **more} for what, more in STORED.items()]
    steps.append({"step": "type", "targets": ["id=password"], "text": "${password}", "secret": True})
    steps.append({"step": "press", "targets": ["name=j_password"], "keys": "{ENTER}{TAB}"})
    return {
        "$schema": "scenario.schema.json", "format": 1, "scenario": "whole", "role": "tester", "description": "All of it.",
        "parameters": {"kept": "", "number": 2.5, "password": "${env:XNAT_PASSWORD}"}, "window": [800, 600],
        "hosts": ["cdn.example.org"], "timeout_s": 30, "steps": steps,
    }  # fmt: skip


STORED: dict[str, dict[str, Any]] = {
    "title": {}, "text": {"targets": ["id=a"]}, "value": {"targets": ["id=a"]}, "count": {"targets": ["css=a"]},
    "attribute": {"targets": ["id=a"], "attribute": "href"},
}  # fmt: skip


def loaded(raw: object) -> str | None:
    """None when the loader takes it, else what it says."""
    try:
        parse(raw, "test.json")
    except ScenarioError as error:
        return str(error)
    return None


def test_the_committed_schema_is_the_one_of_the_tables() -> None:
    assert COMMITTED.read_text(encoding="utf-8") == scenario_schema.text(), "run: python -m replay.scenario_schema"
    Draft202012Validator.check_schema(VALIDATOR.schema)


def test_every_shipped_scenario_and_one_with_all_there_is_are_right_for_both() -> None:
    for raw in (*(json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")) for name in names()), whole()):
        assert loaded(raw) is None
        assert list(VALIDATOR.iter_errors(raw)) == []
    assert set(STORED) == set(CHOICES["what"])


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a value."""
    yield path
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, held in pairs:
        yield from places(held, (*path, key))


def changed(raw: Any, path: tuple[Any, ...], change: Any) -> Any:
    """A copy in which the change is made to what holds the last key of the path."""
    found = copy.deepcopy(raw)
    holder = found
    for key in path[:-1]:
        holder = holder[key]
    change(holder, path[-1])
    return found


def defects(raw: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Everything once missing, once of another kind, and with one field too many in every object."""
    for path in places(raw):
        if path:
            yield f"without {path}", changed(raw, path, lambda holder, key: holder.pop(key))
            for wrong in WRONG:

                def put(holder: Any, key: Any, wrong: Any = wrong) -> None:
                    holder[key] = wrong

                yield f"{path} = {wrong!r}", changed(raw, path, put)
        yield f"odd field in {path}", changed(raw, (*path, "odd"), lambda holder, key: _put(holder, key))


def _put(holder: Any, key: str) -> None:
    if isinstance(holder, dict):
        holder[key] = 1


#: what only the loader can tell: it compares one place with another
BEYOND_A_SCHEMA = (
    "is no regular expression", "is not open here", "begins while", "never ends", "is not a parameter", "as parameter password",
)  # fmt: skip


def head_with(step: dict[str, Any]) -> dict[str, Any]:
    return {
        "format": 1, "scenario": "a", "role": "b", "steps": [step],
        "parameters": {"kept": "", "password": "${env:XNAT_PASSWORD}"},
    }  # fmt: skip


def test_every_defect_of_the_head_is_refused_by_both() -> None:
    raw = {**whole(), "steps": [{"step": "wait"}]}
    agree(raw)


@pytest.mark.parametrize("kind", STEP_FIELDS)
def test_every_defect_of_a_step_is_refused_by_both(kind: str) -> None:
    agree(head_with(whole_step(kind)))


@pytest.mark.parametrize("number", range(len(STEP_FIELDS), len(whole()["steps"])))
def test_every_defect_of_a_special_case_is_refused_by_both(number: int) -> None:
    agree(head_with(whole()["steps"][number]))


def agree(raw: dict[str, Any]) -> None:
    """The loader and the schema refuse the same defects of a scenario that is right."""
    assert loaded(raw) is None
    assert VALIDATOR.is_valid(raw)
    refused = 0
    for what, wrong in defects(raw):
        said = loaded(wrong)
        if said is not None and any(words in said for words in BEYOND_A_SCHEMA):
            continue
        assert VALIDATOR.is_valid(wrong) == (said is None), f"{what}: the loader says {said or 'nothing'}"
        refused += said is not None
    assert refused > 5


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\n\t"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(JSON)
def test_what_is_written_as_yaml_is_read_as_the_same_json(value: Any) -> None:
    assert same(read_text(write_text(value, ".yaml"), ".yaml", "x.yaml"), value)
    assert same(read_text(write_text(value, ".json"), ".json", "x.json"), value)


def same(one: Any, other: Any) -> bool:
    """Equal, with the same types: 1 is not True and not 1.0."""
    return json.dumps(one) == json.dumps(other)


def test_the_shipped_scenarios_are_the_same_in_yaml() -> None:
    for name in names():
        raw = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
        again = read_text(write_text(raw, ".yaml"), ".yaml", "x.yaml")
        assert same(again, raw)
        assert parse(again, "x") == parse(raw, "x")


@pytest.mark.parametrize(
    ("text", "suffix", "words"),
    [
        ("a: 1\na: 2\n", ".yaml", "'a' is there twice"),
        ("a: &x [1]\nb: *x\n", ".yaml", "aliases are not used here"),
        ("1: a\n", ".yaml", "1 is there twice, or is no text"),
        ("a: [", ".yaml", "is not YAML"),
        ('{"a": 1, "a": 2}', ".json", "'a' is there twice"),
        ('{"a": NaN}', ".json", "NaN is no number"),
        ("[" * 100_000, ".json", "is not JSON"),
    ],
)
def test_texts_that_mean_two_things_are_refused(text: str, suffix: str, words: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        read_text(text, suffix, f"x{suffix}")
    assert words in str(refused.value)


def test_yaml_s_own_ideas_of_dates_and_answers_stay_text() -> None:
    text = "a: 2020-01-01\nb: no\nc: 0x1f\nd: 1_000\ne: ~\nf: .inf\n"
    assert read_text(text, ".yaml", "x") == {"a": "2020-01-01", "b": "no", "c": "0x1f", "d": "1_000", "e": "~", "f": ".inf"}
