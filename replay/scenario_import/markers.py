"""A scenario from the markers of a session: its actions in their order, their gaps as pauses, played as the shipped scenarios do.

Markers say what was done and when, never where or with which words: that is named, and left to parameters.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from replay.scenario import load_raw, names
from replay.scenario_import.draft import Draft, RecordingError
from replay.scenario_text import read_json

_SCROLL = ["css=.viewport-container.active .viewport-element", "css=.viewport-element"]
_LONGEST_PAUSE_S = 600.0
#: what one step of a scenario may turn
_MOST_TICKS = 10_000
_ROW = "one JSON object a line: markers as the marker channel has them, or actions with start_ns and duration_ns"


@dataclass(slots=True, kw_only=True)
class _Action:
    name: str
    begin_ns: int
    end_ns: int
    ticks: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    """The steps of one action in a shipped scenario: those that lead to it, then its own."""

    before: str | None
    action: str
    steps: Sequence[Mapping[str, Any]]
    parameters: Mapping[str, Any]


def import_markers(text: str, file: str, *, name: str, session: str | None = None, keep_lost: bool = True) -> Draft:
    """The draft of one session; `session` chooses where the file holds several."""
    actions = _actions(text, file, session)
    draft = Draft(name, keep_lost=keep_lost)
    groups = list(_groups())
    before: str | None = None
    end_ns: int | None = None
    for number, action in enumerate(actions, 1):
        gap_s = 0.0 if end_ns is None else max(0.0, (action.begin_ns - end_ns) / 1e9)
        if gap_s > _LONGEST_PAUSE_S:
            draft.note(number, action.name, f"the pause of {gap_s:.0f} s before it is shortened to {_LONGEST_PAUSE_S:.0f} s")
        _play(draft, groups, number, action, before, min(gap_s, _LONGEST_PAUSE_S))
        before, end_ns = action.name, max(end_ns or 0, action.end_ns)
    if actions[0].name not in ("login", "page_load"):
        draft.note(1, actions[0].name, "the session did not begin with a log-in: it is played as if somebody were logged in")
    return draft


def _play(draft: Draft, groups: Sequence[_Group], number: int, action: _Action, before: str | None, gap_s: float) -> None:
    fitting = [group for group in groups if group.action == action.name]
    if action.name == "scroll" and action.ticks:
        seconds = max(0.1, (action.end_ns - action.begin_ns) / 1e9)
        draft.pause(gap_s)
        per_s = round(max(0.1, action.ticks / seconds), 3)
        draft.add("wheel", targets=_SCROLL, notches=action.ticks, notches_per_s=per_s, action="scroll")
        draft.note(number, action.name, f"{action.ticks} notches down; the way that each was turned is not known")
        return
    if not fitting:
        draft.pause(gap_s)
        draft.lose(number, action.name, "no shipped scenario plays it: record it, or write its steps")
        return
    group = next((one for one in fitting if one.before == before), fitting[0])
    if group.before != before:
        draft.note(number, action.name, f"played as after {group.before or 'the start'}; where it was done is not known")
    for parameter, value in group.parameters.items():
        draft.parameters.setdefault(parameter, value)
    steps = [copy.deepcopy(dict(step)) for step in group.steps]
    lead = [step for step in steps if step.get("action") is None or step.get("part", "whole") in ("whole", "begin")]
    for step in lead:
        step.pop("think", None)
        if gap_s > 0:
            step["think"] = {"seconds": round(max(0.001, gap_s / len(lead)), 3), "variation": 0}
    if action.name == "play":
        stop = steps[-1]
        stop["think"] = {"seconds": round(max(0.1, (action.end_ns - action.begin_ns) / 1e9), 3), "variation": 0}
    draft.steps.extend(steps)


def _groups() -> Iterator[_Group]:
    for name in names():
        raw = load_raw(name)
        assert isinstance(raw, dict)  # noqa: S101 (shipped, and tested)
        before: str | None = None
        collected: list[Mapping[str, Any]] = []
        for step in raw["steps"]:
            collected.append(step)
            if step.get("action") is not None and step.get("part", "whole") in ("whole", "end"):
                used = json.dumps(collected)
                parameters = {one: value for one, value in raw["parameters"].items() if f"${{{one}}}" in used}
                yield _Group(before=before, action=step["action"], steps=tuple(collected), parameters=parameters)
                before, collected = step["action"], []


def _actions(text: str, file: str, session: str | None) -> list[_Action]:
    """The completed actions of one session, in the order in which they began."""
    found: dict[str, dict[str, _Action]] = {}
    begun: dict[tuple[str, str], _Action] = {}
    here = ""
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = read_json(line)
            if not isinstance(row, dict):
                raise TypeError("it is no object")
            here = str(row.get("session") or here)
            for item in row.get("items") or row.get("rows") or [row]:
                _take(item, str(item.get("session") or here), found, begun)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
            raise RecordingError(f"{file}: line {number} holds no marker ({error})", f"give {_ROW}") from error
    sessions = [one for one, actions in found.items() if actions]
    if not sessions:
        raise RecordingError(f"{file} holds no action that came to its end", f"give {_ROW}")
    if session is None and len(sessions) > 1:
        raise RecordingError(f"{file} holds {len(sessions)} sessions", f"choose one with --session: {', '.join(sessions[:10])}")
    if session is not None and session not in found:
        raise RecordingError(f"{file} holds no session {session}", f"it holds {', '.join(sessions[:10])}")
    return sorted(found[session or sessions[0]].values(), key=lambda action: action.begin_ns)


def _take(
    item: Mapping[str, Any],
    session: str,
    found: dict[str, dict[str, _Action]],
    begun: dict[tuple[str, str], _Action],
) -> None:
    if "action" not in item:
        return  # a hello, a run, a transfer
    action_id = str(item["action_id"])
    if "phase" not in item:
        if item.get("outcome", "completed") == "completed" and item.get("duration_ns") is not None:
            start_ns = _ns(item["start_ns"])
            ended = _Action(name=str(item["action"]), begin_ns=start_ns, end_ns=start_ns + _ns(item["duration_ns"]))
            found.setdefault(session, {})[action_id] = ended
        return
    at_ns = _ns(item["mono_ns"] if item.get("mono_ns") is not None else item["wall_ns"])
    if item["phase"] == "begin":
        begun[session, action_id] = _Action(name=str(item["action"]), begin_ns=at_ns, end_ns=at_ns)
        found.setdefault(session, {})
    elif item["phase"] == "end" and (session, action_id) in begun:
        action = begun.pop((session, action_id))
        action.end_ns = at_ns
        ticks = (item.get("attrs") or {}).get("ticks")
        action.ticks = min(int(ticks), _MOST_TICKS) if ticks else None
        found.setdefault(session, {})[action_id] = action


def _ns(value: Any) -> int:
    """A time; ValueError for what no clock shows."""
    number = int(value)
    if abs(number) >= 2**63:
        raise ValueError(f"{number:.3g} is no time in nanoseconds")
    return number
