"""What Chromium's trace tells of scripts in pages: their calls on the pages' main threads, in CPU milliseconds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: the calls from the browser into scripts, and loading them
CALLS = ("FunctionCall", "EvaluateScript", "v8.compile")
TRACED = "devtools.timeline,v8,-*"
#: what a call came from, by the event of the trace around it
CAUSES = {"TimerFire": "timer", "FireAnimationFrame": "frame"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """From before an action's input until before the next one's, by the machine's monotonic clock: nothing lies between two."""

    action: str
    from_us: int
    to_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call into a script: CPU milliseconds with all that it calls, what it came from, and whether it loaded the script."""

    at_us: float
    spent_ms: float
    script: str
    cause: str


class Trace:
    """One browser's trace."""

    def __init__(self, file: Path) -> None:
        events: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))["traceEvents"]
        named = [one for one in events if one["name"] == "thread_name"]
        threads = {(one["pid"], one["tid"]) for one in named if one["args"]["name"] == "CrRendererMain"}
        self._threads: dict[tuple[int, int], list[dict[str, Any]]] = {thread: [] for thread in threads}
        for one in events:
            if one.get("ph") == "X" and (one["pid"], one["tid"]) in threads:
                self._threads[one["pid"], one["tid"]].append(one)

    def calls(self, script: str | None, windows: Sequence[Window], *, heard: bool) -> list[Call]:
        """The outermost calls into scripts with `script` in their address, in the windows.

        `heard`: also calls without an address. The browser makes them to hand a message to an extension's script, and pages have
        no other of the kind here (a run with nothing shows how few).
        """
        begin, end = windows[0].from_us, windows[-1].to_us
        found: list[Call] = []
        for events in self._threads.values():
            around: list[tuple[dict[str, Any], bool]] = []
            for one in sorted(events, key=lambda each: (each["ts"], -each["dur"])):
                while around and one["ts"] >= around[-1][0]["ts"] + around[-1][0]["dur"]:
                    around.pop()
                ours = _is_of(one, script, heard)
                if ours and begin <= one["ts"] < end and not any(inner for _, inner in around):
                    cause = _cause([each for each, _ in around], one)
                    spent_ms = one.get("tdur", 0) / 1000
                    found.append(Call(at_us=one["ts"], spent_ms=spent_ms, script=address(one), cause=cause))
                around.append((one, ours))
        return found

    def loaded(self, script: str) -> set[str]:
        """The addresses of the scripts that were really loaded into pages."""
        loads = [one for events in self._threads.values() for one in events if one["name"] == "EvaluateScript"]
        return {address(one) for one in loads if script in address(one)}


def within(calls: Sequence[Call], window: Window) -> list[Call]:
    """Those of the window."""
    return [one for one in calls if window.from_us <= one.at_us < window.to_us]


def address(event: Mapping[str, Any]) -> str:
    """The address of the script that a call is into."""
    args = event.get("args", {})
    return str(args.get("data", {}).get("url") or args.get("fileName") or args.get("url") or "")


def _is_of(event: Mapping[str, Any], script: str | None, heard: bool) -> bool:
    if event["name"] not in CALLS:
        return False
    where = address(event)
    return (script is not None and script in where) or (heard and not where and event["name"] == "FunctionCall")


def _cause(around: Sequence[Mapping[str, Any]], event: Mapping[str, Any]) -> str:
    if event["name"] != "FunctionCall":
        return f"load {address(event).rpartition('/')[2]}"
    for one in reversed(around):
        if one["name"] == "EventDispatch":
            return str(one["args"]["data"]["type"])
        if one["name"] in CAUSES:
            return CAUSES[one["name"]]
    return "requests" if address(event) else "message"
