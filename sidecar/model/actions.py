"""Markers to actions: pairing begin with end or cancel, right under any order, loss and repetition; pure.

What it needs for one action are all markers of its id, so that an action of minutes is kept whole: after a commit, ask
`touched` for the ids, read all markers of those, and pair them again. A later pairing replaces the earlier one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sidecar.model.records import Action, Marker, Outcome, Source

_MAX_NS = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairing:
    """What markers amount to: actions by their start, begin markers that still wait, and ids that ended without a begin."""

    actions: tuple[Action, ...]
    open: tuple[Marker, ...]
    orphans: int


@dataclass(slots=True)
class _Told:
    """The markers of one id that count: of each kind the one with the lowest seq, whatever the order of arrival."""

    begin: Marker | None = None
    finish: Marker | None = None

    def add(self, marker: Marker) -> None:
        if marker.phase == "begin":
            self.begin = _earlier(self.begin, marker)
        else:
            self.finish = _earlier(self.finish, marker)


@dataclass(slots=True)
class _Sorted:
    actions: list[Action] = field(default_factory=list)
    open: list[Marker] = field(default_factory=list)
    orphans: int = 0


def touched(markers: Iterable[Marker]) -> tuple[str, ...]:
    """The action ids that these markers may have changed."""
    return tuple(sorted({marker.action_id for marker in markers}))


def pair(markers: Iterable[Marker], *, sources: Mapping[str, Source], vanished: Mapping[str, int] | None = None) -> Pairing:
    """The actions that markers tell of.

    `sources` says who each session is; one that is not in it counts as a person's (`extension`). `vanished` are the sessions that
    will not come back, with the time (sidecar's clock) when they were last seen: their open actions end there, `unfinished`.
    """
    told: dict[tuple[str, str], _Told] = {}
    for marker in markers:
        told.setdefault((marker.session, marker.action_id), _Told()).add(marker)
    found = _Sorted()
    for (session, _), group in told.items():
        last_seen_ns = (vanished or {}).get(session)
        source = sources.get(session, "extension")
        if group.begin is None:
            found.orphans += 1
        elif group.finish is not None:
            found.actions.append(_finished(group.begin, group.finish, source))
        elif last_seen_ns is not None:
            found.actions.append(_unfinished(group.begin, last_seen_ns, source))
        else:
            found.open.append(group.begin)
    return Pairing(
        actions=tuple(sorted(found.actions, key=lambda action: (action.start_ns, action.session or "", action.action_id))),
        open=tuple(sorted(found.open, key=lambda marker: (marker.session, marker.seq))),
        orphans=found.orphans,
    )


def _finished(begin: Marker, finish: Marker, source: Source) -> Action:
    duration_ns = finish.mono_ns - begin.mono_ns
    if duration_ns < 0:  # another monotonic clock (the machine was restarted): the wall clock is all there is
        duration_ns = max(0, finish.wall_ns - begin.wall_ns)
    start_ns, error_ns = begin.wall_ns + (begin.offset_ns or 0), begin.offset_error_ns
    if finish.offset_error_ns is not None and (error_ns is None or finish.offset_error_ns < error_ns):
        # The end knows the clocks better: go back from it by the monotonic clock, for the wall clock may have been set between.
        start_ns, error_ns = finish.wall_ns + (finish.offset_ns or 0) - duration_ns, finish.offset_error_ns
    return _action(
        begin,
        source,
        "completed" if finish.phase == "end" else "cancelled",
        start_ns=start_ns,
        duration_ns=duration_ns,
        error_ns=error_ns,
        attributes={**begin.attributes, **finish.attributes},
    )


def _unfinished(begin: Marker, last_seen_ns: int, source: Source) -> Action:
    start_ns = begin.wall_ns + (begin.offset_ns or 0)
    return _action(
        begin,
        source,
        "unfinished",
        start_ns=start_ns,
        duration_ns=max(0, last_seen_ns - start_ns),
        error_ns=begin.offset_error_ns,
        attributes=begin.attributes,
    )


def _action(
    begin: Marker,
    source: Source,
    outcome: Outcome,
    *,
    start_ns: int,
    duration_ns: int,
    error_ns: int | None,
    attributes: Mapping[str, int | str],
) -> Action:
    start_ns = min(max(0, start_ns), _MAX_NS)
    return Action(
        action_id=begin.action_id,
        action=begin.action,
        session=begin.session,
        source=source,
        start_ns=start_ns,
        duration_ns=min(duration_ns, _MAX_NS - start_ns),
        outcome=outcome,
        clock_offset_ns=None if error_ns is None else start_ns - begin.wall_ns,
        clock_error_ns=error_ns,
        attributes=dict(attributes),
    )


def _earlier(known: Marker | None, marker: Marker) -> Marker:
    return marker if known is None or marker.seq < known.seq else known
