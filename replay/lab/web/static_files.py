"""The application's own scripts and style sheet, under XNAT's addresses."""

from pathlib import Path

from flask import Blueprint, Response, send_from_directory

_FOLDER = Path(__file__).parent / "static"


class StaticRoutes:
    """/scripts and /style; browsers may keep them for an hour."""

    def blueprint(self) -> Blueprint:
        """Returns the routes."""
        routes = Blueprint("static_files", __name__)
        routes.add_url_rule("/scripts/<path:name>", view_func=self.script)
        routes.add_url_rule("/style/<path:name>", view_func=self.style)
        routes.add_url_rule("/favicon.ico", view_func=self.icon)
        return routes

    def script(self, name: str) -> Response:
        """A script."""
        return send_from_directory(_FOLDER / "scripts", name, max_age=3600)

    def style(self, name: str) -> Response:
        """A style sheet."""
        return send_from_directory(_FOLDER / "style", name, max_age=3600)

    def icon(self) -> Response:
        """No icon."""
        return Response("", 204)
