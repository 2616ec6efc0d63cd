"""Whether real people are at work, for a replayer that must not disturb them; and the runs that it left out for their sake."""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, request

from sidecar.clock import Clock
from sidecar.journal.queries import ActionFilter, Reader
from sidecar.model.records import Action, Gap, Marker, Session
from sidecar.web.gather import every_action
from sidecar.web.parameters import Parameters
from sidecar.web.problems import ProblemError
from sidecar.web.security import PREFIX, is_loopback

#: who acted within this time is at work
WINDOW_NS = 300 * 10**9
_LONGEST_BODY = 4096
_LONGEST_REASON = 400
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")

#: takes records for the journal; False when there is no room for them
Put = Callable[[Sequence[Gap]], bool]


def activity(
    actions: Iterable[Action], begun: Iterable[Marker], sessions: Mapping[str, Session], min_group: int
) -> dict[str, int | None]:
    """How many real sessions acted, or are in the middle of an action. Pure.

    An answer is a group: fewer than `min_group`, none among them, are told as None. Actions that an access log alone tells name
    nobody: of these `unnamed_at_once` is the most that were open at one time.
    """
    known = list(actions)
    people = {action.session for action in known if action.source == "extension"}
    for marker in begun:
        session = sessions.get(marker.session)
        if session is None or session.source != "replay":
            people.add(marker.session)
    unnamed = [action for action in known if action.source == "access-log"]
    count = len(people - {None})
    return {
        "window_ns": WINDOW_NS,
        "min_group": min_group,
        "people": count if count >= min_group else None,
        "unnamed_at_once": _most_at_once((action.start_ns, action.end_ns) for action in unnamed),
    }


def activity_paths(
    reader: Callable[[], Reader],
    clock: Clock,
    open_actions: Callable[[], Sequence[Marker]],
    put: Put,
    *,
    min_group: int,
    token: str,
) -> Blueprint:
    """`GET /api/v1/activity`, and `POST /api/v1/skipped` for whoever may use the marker channel."""
    paths = Blueprint("activity", __name__, url_prefix="/api/v1")

    @paths.get("/activity")
    def at_work() -> Response:
        now_ns = clock.wall_ns()
        Parameters(request.args, (), now_ns)
        wanted = ActionFilter(from_ns=max(0, now_ns - WINDOW_NS), to_ns=now_ns + 1, source="real", overlapping=True)
        begun = open_actions()
        sessions = reader().find(Session, {marker.session for marker in begun})
        told = activity((row.action for row in every_action(reader(), wanted)), begun, sessions, min_group)
        return Response(json.dumps(told), mimetype="application/json")

    @paths.post("/skipped")
    def skipped() -> Response:
        _admit(token)
        run, reason = _skipped()
        now_ns = clock.wall_ns()
        if not put([Gap(part="replay", subject=run, start_ns=now_ns, end_ns=now_ns, reason=reason)]):
            raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "the journal has no room now", "tell it again later")
        return Response(status=HTTPStatus.ACCEPTED)

    return paths


def _most_at_once(stretches: Iterable[tuple[int, int]]) -> int:
    edges = sorted(edge for start, end in stretches for edge in ((start, 1), (max(end, start + 1), -1)))
    most = now = 0
    for _, change in edges:
        now += change
        most = max(most, now)
    return most


def _admit(token: str) -> None:
    """As the marker channel: no web page; the token, or without one only this machine."""
    if PREFIX in request.headers or "Origin" in request.headers:
        raise ProblemError(HTTPStatus.FORBIDDEN, "this is not for web pages", "let the replayer tell it")
    shown = request.headers.get("Authorization", "").removeprefix("Bearer ").encode("utf-8", "surrogatepass")
    if token:
        if not hmac.compare_digest(shown, token.encode()):
            raise ProblemError(
                HTTPStatus.FORBIDDEN, "the token is missing or wrong", "send the one that the sidecar was started with"
            )
    elif not is_loopback(request.remote_addr or ""):
        raise ProblemError(
            HTTPStatus.FORBIDDEN, "without a token only this machine is admitted", "set TRACEMARK_TOKEN on both sides"
        )


def _skipped() -> tuple[str, str]:
    if request.mimetype != "application/json":
        raise ProblemError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the body is not JSON", "send it as application/json")
    try:
        body: Any = json.loads(request.get_data()) if (request.content_length or 0) <= _LONGEST_BODY else None
    except (ValueError, RecursionError):
        body = None
    run, reason = (body.get("run"), body.get("reason")) if isinstance(body, dict) else (None, None)
    if not isinstance(run, str) or not _NAME.fullmatch(run) or not isinstance(reason, str) or not reason.strip():
        raise ProblemError(HTTPStatus.BAD_REQUEST, "the body is not understood", 'send {"run": ID, "reason": WORDS}')
    return run, "run skipped: " + " ".join(reason.split())[:_LONGEST_REASON]
