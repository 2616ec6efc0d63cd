"""The data model as XML schemas, which clients turn into classes.

The schemas are our own and small: the types and fields that this system has, under the names XNAT gives them.
"""

from importlib import resources

from flask import Blueprint, Response, jsonify

from replay.lab.web.errors import Refused

NAMES = ("xdat", "xnat")


class SchemaRoutes:
    """/xapi/schemas."""

    def blueprint(self) -> Blueprint:
        """Returns the routes."""
        routes = Blueprint("schemas", __name__)
        routes.add_url_rule("/xapi/schemas", view_func=self.names)
        routes.add_url_rule("/xapi/schemas/<name>", view_func=self.schema)
        return routes

    def names(self) -> Response:
        """The names of the schemas."""
        return jsonify(list(NAMES))

    def schema(self, name: str) -> Response:
        """One schema."""
        if name not in NAMES:
            raise Refused(404, f"There is no schema {name}.")
        text = resources.files("replay.lab.web").joinpath("schema_files", f"{name}.xsd").read_text(encoding="utf-8")
        return Response(text, content_type="application/xml; charset=UTF-8")
