"""The Flask application out of its parts, and the WSGI layers around it. Everything comes in as arguments."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from replay.lab.web import replies
from replay.lab.web.auth import Accounts, Sessions
from replay.lab.web.catalogue import Catalogue
from replay.lab.web.database import Database
from replay.lab.web.downloads import DownloadRoutes
from replay.lab.web.errors import Refused, UnreadableUpload
from replay.lab.web.gate import Gate
from replay.lab.web.importer import Importer
from replay.lab.web.logs import LineSink, TomcatLog
from replay.lab.web.pages import Pages, page_context
from replay.lab.web.prearchive import Prearchive
from replay.lab.web.rest_create import CreateRoutes
from replay.lab.web.rest_files import FileRoutes
from replay.lab.web.rest_import import ImportRoutes
from replay.lab.web.rest_lists import ListRoutes
from replay.lab.web.rest_search import SearchRoutes, SearchService
from replay.lab.web.rest_session import SessionRoutes
from replay.lab.web.schemas import SchemaRoutes
from replay.lab.web.static_files import StaticRoutes
from replay.lab.web.viewer import ViewerRoutes


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the application needs from outside."""

    database: Database
    accounts: Accounts
    sessions: Sessions
    archive: Path
    viewer: Path
    context_path: str
    xnat_log: LineSink
    tomcat_log: LineSink
    monotonic: Callable[[], float]
    now: Callable[[], datetime]


class AtContextPath:
    """WSGI layer: serves the application below its context path, and makes one address of XNAT's several spellings.

    `/REST/…`, `/data/…` and `/data/archive/…` reach the same resource in XNAT; inside there is only `/data/…`.
    Outside the context path only `/` answers, for the health check.
    """

    def __init__(self, app: WSGIApplication, context_path: str) -> None:
        self._app = app
        self._context_path = context_path

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path: str = environ.get("PATH_INFO", "")
        inside = path.removeprefix(self._context_path)
        if not path.startswith(self._context_path) or (inside and not inside.startswith("/")):
            found = path == "/"
            body = b"This server's application lives below its context path.\n" if found else b"Not found\n"
            headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))]
            start_response("200 OK" if found else "404 Not Found", headers)
            return [body]
        environ["SCRIPT_NAME"] = self._context_path
        environ["PATH_INFO"] = one_spelling(inside or "/")
        return self._app(environ, start_response)


def one_spelling(path: str) -> str:
    """Brings the prefixes that mean the same to `/data/`."""
    if path.startswith("/REST/"):
        path = "/data/" + path.removeprefix("/REST/")
    if path.startswith("/data/archive/"):
        path = "/data/" + path.removeprefix("/data/archive/")
    if path.startswith("/data/") and len(path) > 6:
        path = path.rstrip("/")
    return path


def create_app(parts: Parts) -> WSGIApplication:
    """Builds the application."""
    app = Flask(__name__, static_folder=None)
    app.url_map.redirect_defaults = False
    gate = Gate(parts.accounts, parts.sessions, parts.xnat_log, parts.now, parts.context_path)
    catalogue = Catalogue(parts.database, parts.archive)
    search = SearchService(parts.database)
    pages = Pages(gate, parts.accounts, catalogue, search)
    lists = ListRoutes(catalogue, pages, parts.accounts)
    prearchive = Prearchive(parts.database, catalogue, parts.now)
    gate.stand_at(app)
    for routes in (
        pages,
        SessionRoutes(gate, parts.accounts, parts.sessions, catalogue, parts.now),
        SearchRoutes(search),
        lists,
        CreateRoutes(parts.database, catalogue),
        FileRoutes(catalogue, lists),
        DownloadRoutes(catalogue),
        ImportRoutes(Importer(prearchive), prearchive, parts.archive),
        ViewerRoutes(catalogue, parts.viewer, parts.context_path),
        SchemaRoutes(),
        StaticRoutes(),
    ):
        app.register_blueprint(routes.blueprint())
    app.context_processor(lambda: page_context(gate))
    app.register_error_handler(Refused, _refused)
    app.register_error_handler(UnreadableUpload, _unreadable)
    app.register_error_handler(HTTPException, _http_error)
    return TomcatLog(AtContextPath(app, parts.context_path), parts.tomcat_log, parts.monotonic, parts.now)


def _refused(problem: Exception) -> Response:
    assert isinstance(problem, Refused)  # noqa: S101 - registered for that class
    return replies.error_page(problem.status, str(problem))


def _unreadable(problem: Exception) -> Response:
    return replies.error_page(400, str(problem))


def _http_error(problem: Exception) -> Response:
    assert isinstance(problem, HTTPException)  # noqa: S101
    return replies.error_page(problem.code or 500, f"{problem.name}: {request.method} is not answered here")
