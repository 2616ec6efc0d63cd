"""The JSON Schema (draft 2020-12) of scenarios, made from the tables that the loader uses; committed as `scenario.schema.json`.

`python -m replay.scenario_schema` prints it. What it cannot tell, the loader alone refuses: edges of actions, a reference to a
parameter with a literal credential, broken regular expressions, and a parameter that is stored to but not declared.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from replay.locate import STRATEGIES
from replay.scenario_shape import (
    CHOICES,
    EXPECT_FIELD_KINDS,
    EXPECT_FIELDS,
    FORMAT,
    FROM_ENVIRONMENT,
    HEAD_REQUIRED,
    IDENTIFIER,
    NAME,
    NAMED_KEYS,
    OPTION,
    REFERENCE,
    SECRET_WORDS,
    STEP_COMMON,
    STEP_FIELD_KINDS,
    STEP_FIELDS,
    Fields,
)
from sidecar.model.catalogue import load_catalogue

_END = r"(?![\s\S])"  # `$` would let a line break follow
_NUMBER = {"type": "number", "exclusiveMinimum": 0, "maximum": 1_000_000}
_SHARE = {"type": "number", "minimum": 0, "maximum": 1}
_SCALAR = {"type": ["string", "number"]}


def schema() -> dict[str, Any]:
    """The whole schema."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A scenario of Tracemark, format 1",
        "description": "A recorded session made replayable: written as JSON or YAML, played by `tracemark replay`.",
        **_object(
            {
                "$schema": {"type": "string"},
                "format": {"const": FORMAT},
                "scenario": _whole(NAME, "the name, which results and markers carry"),
                "role": _whole(NAME, "whose work it is: researcher, radiologist, ..."),
                "description": {"type": "string"},
                "parameters": _parameters(),
                "window": {**_ref("size"), "description": "the browser's window, [1280, 800] unless said"},
                "hosts": {
                    "type": "array",
                    "items": _ref("label"),
                    "description": "hosts that the browser may reach beside the site's own",
                },
                "timeout_s": {**_ref("number"), "description": "how long to wait for an element or an effect, 60 unless said"},
                "steps": {"type": "array", "minItems": 1, "items": _ref("step")},
            },
            HEAD_REQUIRED,
        ),
        "$defs": {
            **_kinds(),
            "step": _one_of("step", {kind: _step(kind, fields) for kind, fields in STEP_FIELDS.items()}),
            "expectation": _one_of("kind", {kind: _expectation(kind, own, ()) for kind, own in EXPECT_FIELDS.items()}),
            "refusal": _one_of("kind", {kind: _expectation(kind, own, ("because",)) for kind, own in EXPECT_FIELDS.items()}),
        },
    }


def text() -> str:
    """The committed file."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


def _kinds() -> dict[str, Any]:
    strategies = "|".join(STRATEGIES)
    return {
        "action": {"enum": list(load_catalogue().names), "description": "the action of the catalogue that the step belongs to"},
        "text": {"type": "string"},
        "label": {"type": "string", "pattern": r"\S"},
        "identifier": _whole(IDENTIFIER),
        "pattern": {"type": "string", "description": "a regular expression, searched for"},
        "scalar": _SCALAR,
        "flag": {"type": "boolean"},
        "number": _NUMBER,
        "position": {"type": "number", "minimum": 0, "maximum": 1_000_000},
        "notches": {
            "type": "integer",
            "minimum": -10_000,
            "maximum": 10_000,
            "not": {"const": 0},
            "description": "of the wheel, down",
        },
        "point": _pair({"type": "number", "minimum": -1_000_000, "maximum": 1_000_000}, "[x, y] in pixels"),
        "size": _pair({"type": "integer", "minimum": 300, "maximum": 10_000}, "[width, height] in pixels"),
        "option": _whole(OPTION, "an option of a list, by its label, its value or its place from 0"),
        "locators": {
            "type": "array",
            "minItems": 1,
            "items": {"type": "string", "pattern": rf"^(?:{strategies})=[\s\S]*\S"},
            "description": "ways to find the element, best first",
        },
        "think": {
            **_object({"seconds": _ref("number"), "variation": _SHARE}, ("seconds",)),
            "description": "a pause before the step, drawn evenly from seconds x (1 - variation) to x (1 + variation)",
        },
        "paces": {
            "type": "array",
            "minItems": 1,
            "items": _object(
                {
                    "share": _SHARE,
                    "notches_per_s": _ref("number"),
                    "variation": _SHARE,
                    "burst": {"type": "integer", "minimum": 1, "maximum": 1000},
                },
                (),
            ),
        },
        "expectations": {"type": "array", "items": _ref("expectation"), "description": "what tells that the effect is there"},
        "refusals": {"type": "array", "items": _ref("refusal"), "description": "what tells that the site said no"},
        **{kind: {"enum": list(words)} for kind, words in CHOICES.items()},
    }


def _step(kind: str, own: Fields) -> dict[str, Any]:
    fields = {name: _ref(STEP_FIELD_KINDS[name]) for name in (*STEP_COMMON[1:], *own.required, *own.optional)}
    found = _object({"step": {"const": kind}, **fields}, ("step", *own.required))
    found["dependentRequired"] = {"part": ["action"]}
    if kind == "drag":
        found["oneOf"] = [{"required": ["onto"]}, {"required": ["by"]}]
    if kind == "tab":
        found["oneOf"] = [{"required": ["which"]}, {"required": ["path"]}]
    if kind == "store":
        found["allOf"] = [_store(what) for what in CHOICES["what"]]
    if kind in ("type", "press"):
        found["allOf"] = [
            _secret("text" if kind == "type" else "keys", REFERENCE if kind == "type" else f"{REFERENCE}|{NAMED_KEYS}")
        ]
    return found


def _store(what: str) -> dict[str, Any]:
    needs = {"title": [], "attribute": ["targets", "attribute"]}.get(what, ["targets"])
    never = [name for name in ("targets", "attribute") if name not in needs]
    then: dict[str, Any] = {"required": needs} if needs else {}
    if never:
        then["properties"] = dict.fromkeys(never, False)
    return {"if": {"properties": {"what": {"const": what}}}, "then": then}


def _secret(field: str, allowed: str) -> dict[str, Any]:
    """A credential is a reference, wherever a field of it is typed into."""
    named = {
        "required": ["targets"],
        "properties": {"targets": {"contains": {"type": "string", "pattern": _any_case(SECRET_WORDS)}}},
    }
    said = {"required": ["secret"], "properties": {"secret": {"const": True}}}
    return {"if": {"anyOf": [said, named]}, "then": {"properties": {field: _whole(allowed)}}}


def _parameters() -> dict[str, Any]:
    return {
        "type": "object",
        "propertyNames": _whole(IDENTIFIER),
        "patternProperties": {_any_case(SECRET_WORDS): _whole(FROM_ENVIRONMENT, "credentials come from the environment")},
        "additionalProperties": _ref("scalar"),
    }


def _expectation(kind: str, own: Fields, more: Sequence[str]) -> dict[str, Any]:
    fields = {name: _ref(EXPECT_FIELD_KINDS[name]) for name in (*more, *own.required, *own.optional)}
    found = _object({"kind": {"const": kind}, **fields}, ("kind", *more, *own.required))
    if "is" in own.optional:
        found["anyOf"] = [{"required": [name]} for name in ("is", "is_not", "contains")]
    return found


def _one_of(key: str, cases: Mapping[str, Any]) -> dict[str, Any]:
    """One case by the word in `key`: a chain of ifs names the wrong field where `oneOf` would name every case."""
    return {
        "type": "object",
        "required": [key],
        "properties": {key: {"enum": list(cases)}},
        "allOf": [
            {"if": {"properties": {key: {"const": word}}, "required": [key]}, "then": case} for word, case in cases.items()
        ],
    }


def _object(properties: Mapping[str, Any], required: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "object", "properties": dict(properties), "additionalProperties": False}
    return {**found, "required": list(required)} if required else found


def _pair(item: Mapping[str, Any], description: str) -> dict[str, Any]:
    return {"type": "array", "items": item, "minItems": 2, "maxItems": 2, "description": description}


def _whole(pattern: str, description: str | None = None) -> dict[str, Any]:
    found = {"type": "string", "pattern": f"^(?:{pattern}){_END}"}
    return {**found, "description": description} if description else found


def _any_case(words: Sequence[str]) -> str:
    return "|".join("".join(f"[{one.upper()}{one}]" if one.isalpha() else one for one in word) for word in words)


def _ref(kind: str) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{kind}"}


if __name__ == "__main__":
    sys.stdout.write(text())
