"""The catalogue of actions: names, labels, colours and the rules by which they are seen; one JSON file for Python, the
browser extension and Grafana."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

from sidecar.model.faults import InvalidRecordError

#: how long a follow-up may last, unless its rule says otherwise: a server writes a request's line when the request is over
LASTS_MS = 5000


class PathPatterns:
    """A few path patterns as one test: `*` is one segment, `**` any number of segments (none too)."""

    __slots__ = ("_regex", "patterns")

    def __init__(self, patterns: Iterable[str]) -> None:
        self.patterns = tuple(patterns)
        self._regex = re.compile("|".join(map(_as_regex, self.patterns))) if self.patterns else None

    def match(self, path: str) -> bool:
        return self._regex is not None and self._regex.fullmatch(path) is not None


def _as_regex(pattern: str) -> str:
    parts = []
    for segment in pattern.removeprefix("/").split("/"):
        if segment == "**":
            parts.append("(?:/.*)?")
        else:
            parts.append("/" + "[^/]+".join(map(re.escape, segment.split("*"))))
    return "".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUp:
    """Requests that belong to an action that has begun. Times in nanoseconds; `most` 0 means without bound."""

    methods: frozenset[str]
    paths: PathPatterns
    format: str | None
    within_ns: int
    first_within_ns: int
    lasts_ns: int
    most: int
    same_experiment: bool
    ends: bool
    drops: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionRule:
    """How one line of an access log tells that an action began; `order` is the rule's place in the whole list."""

    order: int
    action: str
    methods: frozenset[str]
    paths: PathPatterns
    status: tuple[int, int]
    format: str | None
    content_type: str | None
    assume: Literal["action", "context"]
    servers: frozenset[str]
    ignore: bool
    then: tuple[FollowUp, ...]

    def fits(self, method: str | None, route: str, status: int | None, query_format: str | None) -> bool:
        """Whether a request begins this action; an unknown status fits. The content type is judged by whoever infers."""
        return (
            method in self.methods
            and (status is None or self.status[0] <= status <= self.status[1])
            and (self.format is None or self.format == query_format)
            and self.paths.match(route)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueAction:
    """One action of the catalogue; `dom` is for the extension and is handed on as it stands."""

    name: str
    label: str
    colour: str
    texture: Literal["solid", "striped"]
    mark: str
    rules: tuple[ActionRule, ...]
    dom: Mapping[str, Any]


class Catalogue:
    """All actions, in the order in which they are shown."""

    def __init__(self, actions: Sequence[CatalogueAction]) -> None:
        self.actions = tuple(actions)
        self._by_name = {action.name: action for action in self.actions}

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._by_name)

    @property
    def rules(self) -> tuple[ActionRule, ...]:
        """Every rule for access logs; where several fit a line, the first one counts."""
        return tuple(rule for action in self.actions for rule in action.rules)

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __getitem__(self, name: str) -> CatalogueAction:
        try:
            return self._by_name[name]
        except KeyError:
            raise InvalidRecordError(
                f"action {name[:40]!r} is not in the catalogue", f"use one of {', '.join(self.names)}"
            ) from None

    def label(self, name: str) -> str:
        """What people read: FILTER & SEARCH for filter_search."""
        return self[name].label

    def colour(self, name: str) -> str:
        """`#RRGGBB`, the same for the action everywhere."""
        return self[name].colour


def load_catalogue() -> Catalogue:
    """The catalogue that stands beside this module."""
    return parse_catalogue(resources.files(__package__).joinpath("catalogue.json").read_text(encoding="utf-8"))


def parse_catalogue(text: str) -> Catalogue:
    """A catalogue from its JSON text; raises InvalidRecordError where it is not one, naming the action."""
    try:
        entries = json.loads(text)["actions"]
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidRecordError("the catalogue is not a JSON object with `actions`", "restore catalogue.json") from error
    actions: list[CatalogueAction] = []
    order = 0
    for entry in entries:
        try:
            rules = tuple(_rule(entry["name"], raw, order + nth) for nth, raw in enumerate(entry["log"]))
            actions.append(
                CatalogueAction(
                    name=entry["name"],
                    label=entry["label"],
                    colour=entry["colour"],
                    texture=entry["texture"],
                    mark=entry["mark"],
                    rules=rules,
                    dom=entry["dom"],
                )
            )
        except (KeyError, TypeError, ValueError) as error:
            name = entry.get("name") if isinstance(entry, dict) else entry
            raise InvalidRecordError(f"action {name!r} of the catalogue is wrong ({error})", "restore catalogue.json") from error
        order += len(rules)
    return Catalogue(actions)


def _rule(action: str, raw: Mapping[str, Any], order: int) -> ActionRule:
    low, high = raw.get("status", (100, 599))
    return ActionRule(
        order=order,
        action=action,
        methods=frozenset(raw["methods"]),
        paths=PathPatterns(raw["paths"]),
        status=(low, high),
        format=raw.get("format"),
        content_type=raw.get("content_type"),
        assume=raw.get("assume", "action"),
        servers=frozenset(raw.get("servers", ("nginx", "tomcat", "xnat"))),
        ignore=raw.get("ignore", False),
        then=tuple(map(_follow_up, raw.get("then", ()))),
    )


def _follow_up(raw: Mapping[str, Any]) -> FollowUp:
    within_ms = raw["within_ms"]
    return FollowUp(
        methods=frozenset(raw["methods"]),
        paths=PathPatterns(raw["paths"]),
        format=raw.get("format"),
        within_ns=within_ms * 1_000_000,
        first_within_ns=raw.get("first_within_ms", within_ms) * 1_000_000,
        lasts_ns=raw.get("lasts_ms", LASTS_MS) * 1_000_000,
        most=raw["most"],
        same_experiment=raw.get("same") == "experiment",
        ends=raw.get("ends", False),
        drops=raw.get("drops", False),
    )
