"""Scenarios as text: JSON, or YAML with exactly JSON's values (no dates, no `yes`, no anchors), so that one becomes the other."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Sequence
from typing import Any

import yaml

from replay.scenario_shape import ScenarioError

SUFFIXES = (".json", ".yaml", ".yml")


class _TwiceError(ValueError):
    """A name that an object holds twice."""


def read_text(text: str, suffix: str, file: str) -> object:
    """The values of a text, JSON unless the suffix is YAML's; ScenarioError where it is neither, with the place."""
    try:
        if suffix.lower() in (".yaml", ".yml"):
            return yaml.load(text, _Loader)  # noqa: S506 (a SafeLoader that knows even less)
        return _writable(json.loads(text, object_pairs_hook=_once, parse_constant=_no_number))
    except yaml.YAMLError as error:
        raise ScenarioError(f"{file} is not YAML", " ".join(str(error).split())) from error
    except (ValueError, RecursionError) as error:
        raise ScenarioError(f"{file} is not {'YAML' if suffix.lower() != '.json' else 'JSON'}", str(error)) from error


def read_json(text: str) -> Any:
    """The values of a program's JSON: no NaN, no half of a character. ValueError or RecursionError where it is none."""
    return _writable(json.loads(text, parse_constant=_no_number))


def write_text(raw: object, suffix: str) -> str:
    """The text of these values, JSON unless the suffix is YAML's."""
    if suffix.lower() in (".yaml", ".yml"):
        text: str = yaml.dump(raw, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
        return text
    return json.dumps(raw, indent=2, ensure_ascii=False) + "\n"


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _TwiceError(f"{name!r} is there twice: keep one")
        found[name] = value
    return found


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number")


def _writable(raw: Any) -> Any:
    r"""The same; ValueError where a text holds half of a character (`\ud800`), which no file can."""
    try:
        json.dumps(raw, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"\\u{ord(error.object[error.start]):x} stands there without its other half") from error
    return raw


class _Loader(yaml.SafeLoader):
    """YAML's JSON schema: what is not null, true, false or a JSON number is text."""

    yaml_implicit_resolvers: dict[Any, Any] = {}  # noqa: RUF012 (the library fills it)

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(
                problem="aliases are not used here: write the value out",
                problem_mark=self.peek_event().start_mark,  # type: ignore[no-untyped-call]
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        names = [self.construct_object(key, deep=True) for key, _ in node.value]
        for name in names:
            if not isinstance(name, str) or names.count(name) > 1:
                raise yaml.MarkedYAMLError(problem=f"{name!r} is there twice, or is no text", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Writes what `_Loader` reads."""

    yaml_implicit_resolvers: dict[Any, Any] = {}  # noqa: RUF012 (the library fills it)

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 (the name is the library's)
        return True


def _json_values(one: type[_Loader] | type[_Dumper]) -> None:
    for tag, pattern, first in (
        ("null", r"null", "n"),
        ("bool", r"true|false", "tf"),
        ("int", r"-?(?:0|[1-9][0-9]*)", "-0123456789"),
        ("float", r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?", "-0123456789"),
    ):
        one.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(rf"(?:{pattern})\Z"), list(first))
    one.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"\Z"), [""])


_json_values(_Loader)
_json_values(_Dumper)
