"""The HTTP API, version 1: every path is one function that reads its parameters, asks the journal and answers JSON.

Times are integer nanoseconds since the epoch, UTC. Lists are paged: `limit`, and `cursor` from the `next_cursor` before.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from flask import Blueprint, Response, request

from sidecar.analysis.usage import suppress
from sidecar.errors import UsageFault
from sidecar.journal.queries import ActionFilter
from sidecar.model.outbox import ActionRow
from sidecar.model.records import Action, ActionUsage, Session, Transfer
from sidecar.web.gather import gather
from sidecar.web.open_actions import open_json
from sidecar.web.parameters import Parameters
from sidecar.web.parts import WebParts
from sidecar.web.problems import bad_parameter

SOURCES = ("real", "replay", "extension", "access-log")
SAMPLE_SOURCES = ("docker", "cgroup", "proc")
#: most rows of one page, and how many without `limit`
MOST_ROWS, SOME_ROWS = 5000, 1000
#: a curve has at most so many steps; more is asked for in parts
MOST_STEPS = 100_000
#: a range that ends no longer ago than this reaches to now: pages ask by their own clocks
_LIVE_NS = 5 * 10**9
_ACTION = ("action", "session", "source", "run")
_PAGE = ("limit", "cursor")
_USAGE = tuple(field.name for field in fields(ActionUsage) if field.name not in ("action_id", "container"))


def api(parts: WebParts) -> Blueprint:
    """The paths below /api/v1."""
    paths = Blueprint("api", __name__, url_prefix="/api/v1")

    def parameters(*known: str) -> Parameters:
        return Parameters(request.args, known, parts.clock.wall_ns())

    @paths.get("/containers")
    def containers() -> Response:
        parameters()
        found = {row["name"]: {"state": None, "image": None} | row for row in parts.reader().containers()}
        for told in parts.containers():
            known = found.setdefault(told["name"], {"name": told["name"], "sources": [], "last_sample": None})
            known.update({key: value for key, value in told.items() if value is not None})
        rows = [row | {"memory_limit_bytes": _limit(row)} for row in found.values()]
        return _json({"rows": sorted(rows, key=lambda row: row["name"])})

    @paths.get("/samples")
    def samples() -> Response:
        given = parameters("container", "from", "to", "step", "source")
        container = given.name("container", needed=True)
        assert container is not None  # noqa: S101  (needed)
        from_ns, to_ns = given.window()
        step_ns = given.duration("step", 10**6, 86400 * 10**9)
        if step_ns is not None and (to_ns - from_ns) // step_ns > MOST_STEPS:
            raise bad_parameter("step", request.args["step"], f"a step that cuts the range into at most {MOST_STEPS} parts")
        source = given.word("source", SAMPLE_SOURCES)
        return _json_text(parts.reader().samples(container, from_ns, to_ns, step_ns, source))  # type: ignore[arg-type]

    @paths.get("/actions")
    def actions() -> Response:
        given = parameters("from", "to", "overlapping", *_ACTION, *_PAGE)
        wanted = _filter(given, limit=given.whole("limit", 1, MOST_ROWS, SOME_ROWS), cursor=given.cursor())
        try:
            rows = parts.reader().actions(wanted)
        except UsageFault as fault:
            raise bad_parameter("cursor", request.args["cursor"], "the next_cursor of an earlier answer") from fault
        more = rows[-1].cursor if len(rows) == wanted.limit else None
        # An answer is a group: one that tells of fewer real persons than may be told of tells nothing of them.
        shown, _ = suppress(rows, lambda _: "", parts.min_group)
        told = {"rows": [action_json(row) for row in shown], "next_cursor": more, "suppressed": len(rows) - len(shown)}
        real = {row.action.session for row in shown if row.action.source == "extension"}
        live = wanted.to_ns >= parts.clock.wall_ns() - _LIVE_NS
        begun = parts.open_actions() if live else ()
        sessions = parts.reader().find(Session, {marker.session for marker in begun})
        return _json(told | {"open": open_json(begun, sessions, wanted, real)})

    @paths.get("/requests")
    def requests() -> Response:
        given = parameters("from", "to", "action_id", *_PAGE)
        from_ns, to_ns = given.window()
        try:
            page = parts.reader().requests_page(
                from_ns,
                to_ns,
                action_id=given.name("action_id"),
                limit=given.whole("limit", 1, MOST_ROWS, SOME_ROWS),
                cursor=given.cursor(),
            )
        except UsageFault as fault:
            raise bad_parameter("cursor", request.args["cursor"], "the next_cursor of an earlier answer") from fault
        body, _, cursor = page.rpartition(',"cursor":')
        return _json_text(f'{body},"next_cursor":{cursor}')

    @paths.get("/usage")
    def usage() -> Response:
        given = parameters("from", "to", *_ACTION)
        wanted = _filter(given, before="-24h" if request.args.get("run") else "-15m")
        table = gather(parts.reader(), wanted, min_group=parts.min_group, order=parts.catalogue.names)
        return _json({"from_ns": wanted.from_ns, "to_ns": wanted.to_ns} | table.as_json())

    @paths.get("/transfers")
    def transfers() -> Response:
        given = parameters("from", "to", "run", *_PAGE)
        from_ns, to_ns = given.window("-24h" if request.args.get("run") else "-15m")
        limit = given.whole("limit", 1, MOST_ROWS, SOME_ROWS)
        try:
            found, more = parts.reader().replayed_transfers(
                from_ns, to_ns, run=given.name("run"), limit=limit, cursor=given.cursor()
            )
        except UsageFault as fault:
            raise bad_parameter("cursor", request.args["cursor"], "the next_cursor of an earlier answer") from fault
        sessions = parts.reader().find(Session, {transfer.session for transfer in found})
        actions = parts.reader().find(Action, {transfer.action_id for transfer in found if transfer.action_id})
        rows = [transfer_json(one, sessions.get(one.session), actions.get(one.action_id or "")) for one in found]
        return _json({"rows": rows, "next_cursor": more})

    @paths.get("/gaps")
    def gaps() -> Response:
        from_ns, to_ns = parameters("from", "to").window()
        return _json({"rows": [asdict(gap) for gap in parts.reader().gaps(from_ns, to_ns)]})

    @paths.get("/catalogue")
    def catalogue() -> Response:
        parameters()
        told = ("name", "label", "colour", "texture", "mark")
        return _json({"rows": [{key: getattr(action, key) for key in told} for action in parts.catalogue.actions]})

    @paths.get("/health")
    def health() -> Response:
        parameters()
        numbers, ready = parts.health(), parts.ready()
        rows = [
            {"part": part, "ready": ready.get(part, (True, ""))[0], "text": ready.get(part, (True, ""))[1]}
            | {"numbers": dict(numbers.get(part, {}))}
            for part in dict.fromkeys((*ready, *numbers))
        ]
        return _json({"version": parts.version, "time_ns": parts.clock.wall_ns(), "parts": rows})

    def _filter(given: Parameters, *, before: str = "-15m", limit: int = SOME_ROWS, cursor: str | None = None) -> ActionFilter:
        from_ns, to_ns = given.window(before)
        return ActionFilter(
            from_ns=from_ns,
            to_ns=to_ns,
            action=given.word("action", parts.catalogue.names),
            session=given.name("session"),
            source=given.word("source", SOURCES),  # type: ignore[arg-type]
            run=given.name("run"),
            limit=limit,
            cursor=cursor,
            overlapping=given.word("overlapping", ("true", "false")) == "true",
        )

    return paths


def action_json(row: ActionRow) -> dict[str, Any]:
    """An ended action as the API tells it; `clock_offset_ns` has already been added to its times."""
    action, session = row.action, row.session
    return {
        "action_id": action.action_id,
        "action": action.action,
        "session": action.session,
        "role": session.role if session else None,
        "scenario": session.scenario if session else None,
        "source": action.source,
        "setup": session.setup if session else None,
        "run": session.run if session else None,
        "repetition": session.repetition if session else None,
        "start_ns": action.start_ns,
        "duration_ns": action.duration_ns,
        "outcome": action.outcome,
        "clock_offset_ns": action.clock_offset_ns,
        "clock_error_ns": action.clock_error_ns,
        "attributes": dict(action.attributes),
        "usage": {name: _usage_json(used) for name, used in sorted(row.usage.items())},
    }


def transfer_json(transfer: Transfer, session: Session | None, action: Action | None) -> dict[str, Any]:
    """What one action or (without an action id) one whole repetition transferred, and the experiment that it belongs to."""
    return {
        **asdict(transfer),
        "action": action.action if action else None,
        **{name: getattr(session, name, None) for name in ("role", "scenario", "setup", "run", "repetition")},
    }


def _usage_json(used: ActionUsage) -> dict[str, Any]:
    return {name: getattr(used, name) for name in _USAGE}


def _limit(row: Mapping[str, Any]) -> int | None:
    limit: int | None = row.get("memory_limit_bytes") or (row.get("last_sample") or {}).get("memory_limit_bytes")
    return limit


def _json(body: object) -> Response:
    return _json_text(json.dumps(body, separators=(",", ":"), ensure_ascii=False))


def _json_text(text: str) -> Response:
    return Response(text, mimetype="application/json")
