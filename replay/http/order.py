"""When each request starts: after what, and how long after. What a browser did at once is done at once again.

A request is taken to follow the last thing that happened before it: the begin of its stretch, the head of a page (whose parts are
requested while it still arrives), or the end of an answer. On a slower server it then starts later, as the browser's would.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from replay.http.observed import Observed, Stretch
from replay.http.recording import Phase

#: the end of a large answer is told so much late by a browser that is busy
_TOLD_MS = 1000.0
#: a request without the label of an action that starts so soon after its begin was under way already
_UNDER_WAY_MS = 200.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """As the fields of `replay.http.recording.Request`."""

    phase: int
    event: Literal["phase", "head", "end"]
    of: int | None
    delay_ms: float
    waits: bool


def order(asked: Sequence[Observed], stretches: Sequence[Stretch]) -> tuple[list[Phase], list[Order]]:
    """The phases, and the place of each request (both in the order of their begin)."""
    all_stretches = _with_gaps(asked, stretches)
    owners = _in_order([_owner(one, all_stretches) for one in asked])
    placed = [_place(number, asked, owners, all_stretches) for number in range(len(asked))]
    phases = []
    for number, stretch in enumerate(all_stretches):
        awaited = [one.done_ms or 0.0 for one, place in zip(asked, placed, strict=True) if place.phase == number and place.waits]
        settled_ms = max([stretch.begin_ms, *awaited])
        phases.append(
            Phase(
                action=stretch.action,
                thinks=tuple((seconds, variation) for seconds, variation in stretch.thinks),
                settle_ms=round(max(0.0, stretch.end_ms - settled_ms), 3) if stretch.action is not None else 0.0,
                paced=stretch.paced,
            )
        )
    return phases, placed


def _with_gaps(asked: Sequence[Observed], stretches: Sequence[Stretch]) -> list[Stretch]:
    """The stretches, and one without an action in every gap in which something is requested."""
    made: list[Stretch] = []
    known = {stretch.action_id for stretch in stretches if stretch.action_id is not None}
    loose = [one for one in asked if one.action_id not in known]
    previous_ms = min([one.begin_ms for one in asked] + [stretch.begin_ms for stretch in stretches])
    for stretch in stretches:
        if any(one.begin_ms < stretch.begin_ms + _UNDER_WAY_MS for one in loose):
            made.append(Stretch(action=None, action_id=None, begin_ms=previous_ms, end_ms=stretch.begin_ms))
        loose = [one for one in loose if one.begin_ms >= stretch.begin_ms + _UNDER_WAY_MS]
        made.append(stretch)
        previous_ms = stretch.end_ms
    if loose:
        last_ms = max(one.done_ms or one.begin_ms for one in loose)
        made.append(Stretch(action=None, action_id=None, begin_ms=min(previous_ms, loose[0].begin_ms), end_ms=last_ms))
    return made


def _owner(one: Observed, stretches: Sequence[Stretch]) -> int:
    if one.action_id is not None:
        for number, stretch in enumerate(stretches):
            if stretch.action_id == one.action_id:
                return number
    gaps = [number for number, stretch in enumerate(stretches) if stretch.action is None]
    later = [number for number in gaps if stretches[number].end_ms + _UNDER_WAY_MS > one.begin_ms]
    return later[0] if later else gaps[-1]


def _in_order(owners: Sequence[int]) -> list[int]:
    """No request belongs to a later phase than one that began after it: it could otherwise wait for what is never begun."""
    made = list(owners)
    for number in range(len(made) - 2, -1, -1):
        made[number] = min(made[number], made[number + 1])
    return made


def _place(number: int, asked: Sequence[Observed], owners: Sequence[int], stretches: Sequence[Stretch]) -> Order:
    one, stretch = asked[number], stretches[owners[number]]
    event: Literal["phase", "head", "end"] = "phase"
    of, since_ms = None, stretch.begin_ms
    for earlier in range(number):
        before = asked[earlier]
        if before.icon:
            continue
        if before.document and before.head_ms is not None and since_ms <= before.head_ms <= one.begin_ms:
            event, of, since_ms = "head", earlier, before.head_ms
        if before.done_ms is not None and since_ms <= before.done_ms <= one.begin_ms:
            event, of, since_ms = "end", earlier, before.done_ms
    return Order(
        phase=owners[number],
        event=event,
        of=of,
        delay_ms=round(max(0.0, one.begin_ms - since_ms), 3),
        waits=stretch.action is not None and not one.icon and _within(one, stretch),
    )


def _within(one: Observed, stretch: Stretch) -> bool:
    """Whether the action ended after the request: its head came in time, and its end was told not long after."""
    if one.done_ms is None or one.done_ms > stretch.end_ms + _TOLD_MS:
        return False
    return (one.head_ms if one.head_ms is not None else one.done_ms) <= stretch.end_ms
