"""Errors of the HTTP API: RFC 9457 problem details that name the parameter and what is allowed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus

from flask import Flask, Response
from werkzeug.exceptions import HTTPException

from sidecar.errors import Fault, JournalError


class ProblemError(Fault):
    """A request that cannot be answered; `parameter` and `allowed` say what to change."""

    def __init__(
        self, status: HTTPStatus, what: str, remedy: str, *, parameter: str | None = None, allowed: str | None = None
    ) -> None:
        super().__init__(what, remedy)
        self.status = status
        self.parameter = parameter
        self.allowed = allowed


def bad_parameter(name: str, value: str, allowed: str) -> ProblemError:
    """400 for a query parameter; its value is repeated at most 80 characters long."""
    return ProblemError(
        HTTPStatus.BAD_REQUEST, f"{name}={value[:80]} is not valid", f"allowed: {allowed}", parameter=name, allowed=allowed
    )


def problem(status: HTTPStatus, detail: str, more: Mapping[str, str | None] | None = None) -> Response:
    """A problem-details answer; `type` is about:blank, so the status says what kind of problem it is."""
    body = {"type": "about:blank", "title": status.phrase, "status": int(status), "detail": detail}
    body |= {key: value for key, value in (more or {}).items() if value is not None}
    return Response(json.dumps(body, ensure_ascii=False), status=int(status), mimetype="application/problem+json")


def register(app: Flask) -> None:
    """Answer every error of the application with problem details."""

    @app.errorhandler(ProblemError)
    def refused(error: ProblemError) -> Response:
        return problem(error.status, str(error), {"parameter": error.parameter, "allowed": error.allowed})

    @app.errorhandler(JournalError)
    def unreadable(error: JournalError) -> Response:
        answer = problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
        if error.retry:
            answer.headers["Retry-After"] = "5"
        return answer

    @app.errorhandler(HTTPException)
    def http(error: HTTPException) -> Response:
        status = HTTPStatus(error.code or 500)
        answer = problem(status, error.description or status.phrase)
        allow = error.get_response().headers.get("Allow")
        if allow:
            answer.headers["Allow"] = allow
        return answer
