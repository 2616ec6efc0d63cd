"""Searches over HTTP: a search document becomes a cached table, which pages and clients then read in pieces."""

import secrets
from typing import Any

from flask import Blueprint, Response, jsonify, render_template, request
from psycopg import sql

from replay.lab.web import replies
from replay.lab.web.database import Database, Row
from replay.lab.web.errors import Refused
from replay.lab.web.gate import user_name
from replay.lab.web.search import (
    ANY_SESSION,
    PROJECT,
    SUBJECT,
    CriteriaSet,
    Criterion,
    Field,
    SearchRequest,
    chosen_fields,
    condition,
    field_named,
    fields_of,
    parse_search,
    source_of,
)

KEPT_TABLES = 500
MAX_PAGE = 5000
ELEMENTS = (PROJECT, SUBJECT, "xnat:ctSessionData", "xnat:mrSessionData", "xnat:petSessionData")


class SearchService:
    """Runs searches and keeps their results in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def count(self, wanted: SearchRequest) -> int:
        """Returns how many rows a search finds."""
        where, values = condition(wanted)
        found = self._database.row(sql.SQL("SELECT count(*) AS n") + source_of(wanted.root_element) + where, values)
        return int(found["n"]) if found else 0

    def rows(self, wanted: SearchRequest, limit: int | None = None) -> list[Row]:
        """Runs a search without keeping its result; keys are the lower-case field ids."""
        where, values = condition(wanted)
        columns = sql.SQL(", ").join(
            sql.SQL("{} AS {}").format(field.expression, sql.Identifier(field.key)) for field in chosen_fields(wanted)
        )
        query = sql.SQL("SELECT ") + columns + source_of(wanted.root_element) + where + sql.SQL(" ORDER BY main.id")
        if limit is not None:
            query += sql.SQL(" LIMIT {}").format(sql.Literal(limit))
        return self._database.rows(query, values)

    def keep(self, wanted: SearchRequest, user: str) -> tuple[str, int]:
        """Runs a search into a cached table; returns its id and number of rows. The oldest tables go."""
        fields = chosen_fields(wanted)
        where, values = condition(wanted)
        table_id = f"xs_{secrets.token_hex(8)}"
        cells = sql.SQL(", ").join(sql.SQL("coalesce({}, '')").format(field.expression) for field in fields)
        # The accession id rides along as the last cell: links need it whatever is shown.
        query = (
            sql.SQL("INSERT INTO xdat_search.cached_row (table_id, position, cells) SELECT ")
            + sql.SQL("%s, row_number() OVER (ORDER BY main.id), ARRAY[")
            + cells
            + sql.SQL(", main.id]")
            + source_of(wanted.root_element)
            + where
        )
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO xdat_search.cached_table (table_id, username, root_element, columns, total)"
                " VALUES (%s, %s, %s, %s, 0)",
                [table_id, user, wanted.root_element, [field.id for field in fields]],
            )
            total = connection.execute(query, [table_id, *values]).rowcount
            connection.execute("UPDATE xdat_search.cached_table SET total = %s WHERE table_id = %s", [total, table_id])
            connection.execute(
                "DELETE FROM xdat_search.cached_table WHERE table_id IN"
                " (SELECT table_id FROM xdat_search.cached_table ORDER BY created DESC OFFSET %s)",
                [KEPT_TABLES],
            )
        return table_id, total

    def table(self, table_id: str, user: str) -> Row:
        """Returns the head of a cached table; Refused(404) when it is gone or somebody else's."""
        found = self._database.row(
            "SELECT * FROM xdat_search.cached_table WHERE table_id = %s AND username = %s", [table_id, user]
        )
        if found is None:
            raise Refused(404, f"there is no cached search {table_id}: run the search again")
        return found

    def page(self, table: Row, *, offset: int, limit: int, sort_by: str = "", descending: bool = False) -> list[list[str]]:
        """Returns rows of a cached table, their last cell being the accession id."""
        order = sql.SQL("position")
        if sort_by:
            index = self._index(table, sort_by)
            number = field_named(table["root_element"], sort_by).type in ("integer", "float")
            cell = sql.SQL("nullif(cells[{}], '')::float8" if number else "cells[{}]").format(sql.Literal(index))
            direction = sql.SQL(" DESC NULLS LAST" if descending else " ASC NULLS LAST")
            order = cell + direction + sql.SQL(", position")  # type: ignore[assignment]
        query = (
            sql.SQL("SELECT cells FROM xdat_search.cached_row WHERE table_id = %s ORDER BY ")
            + order
            + sql.SQL(" OFFSET %s LIMIT %s")
        )
        return [row["cells"] for row in self._database.rows(query, [table["table_id"], offset, limit])]

    def distinct(self, table: Row, column: str) -> list[Row]:
        """Returns the different values of one column with their numbers."""
        index = self._index(table, column)
        query = sql.SQL(
            'SELECT cells[{index}] AS "values", count(*) AS count FROM xdat_search.cached_row'
            " WHERE table_id = %s GROUP BY 1 ORDER BY 1"
        ).format(index=sql.Literal(index))
        return self._database.rows(query, [table["table_id"]])

    @staticmethod
    def _index(table: Row, column: str) -> int:
        wanted = field_named(table["root_element"], column).id
        if wanted not in table["columns"]:
            raise Refused(400, f"the search shows no column {column}")
        return int(table["columns"].index(wanted)) + 1


class SearchRoutes:
    """The addresses below /data/search."""

    def __init__(self, service: SearchService) -> None:
        self._service = service

    def blueprint(self) -> Blueprint:
        """Returns the routes."""
        routes = Blueprint("search", __name__)
        routes.add_url_rule("/data/search", view_func=self.run, methods=["POST"])
        routes.add_url_rule("/data/search/elements", view_func=self.elements)
        routes.add_url_rule("/data/search/elements/<element>", view_func=self.element)
        routes.add_url_rule("/data/search/saved", view_func=self.saved)
        routes.add_url_rule("/data/projects/<project>/searches/<name>", view_func=self.definition)
        routes.add_url_rule("/data/search/<table_id>", view_func=self.page)
        routes.add_url_rule("/data/search/<table_id>/<column>", view_func=self.column)
        routes.add_url_rule("/app/action/CSVAction", view_func=self.spreadsheet, methods=["POST"])
        return routes

    def run(self) -> Response:
        """Runs the search document of the body; `cache=true` keeps the result and answers with its id."""
        wanted = parse_search(request.get_data())
        columns = [_column(wanted.root_element, field) for field in chosen_fields(wanted)]
        about: dict[str, Any] = {"Columns": columns, "rootElementName": wanted.root_element}
        if request.args.get("cache") == "true":
            table_id, total = self._service.keep(wanted, user_name())
            return jsonify({"ResultSet": {"ID": table_id, **about, "Result": [], "totalRecords": str(total)}})
        rows = self._service.rows(wanted)
        if request.args.get("format", "json") == "csv":
            return Response(replies.csv_text(rows, [field.key for field in chosen_fields(wanted)]), content_type="text/csv")
        return jsonify(replies.envelope(rows, **about))

    def page(self, table_id: str) -> Response:
        """Reads some rows of a cached table: `format=xList` as HTML, otherwise JSON or CSV."""
        table = self._service.table(table_id, user_name())
        limit = min(_number("limit", 200), MAX_PAGE)
        rows = self._service.page(
            table,
            offset=_number("offset", 0),
            limit=limit,
            sort_by=request.args.get("sortBy", ""),
            descending=request.args.get("sortOrder", "").upper() == "DESC",
        )
        fields = [field_named(table["root_element"], name) for name in table["columns"]]
        if request.args.get("format") == "xList":
            return Response(render_template("xlist.html", table=table, fields=fields, rows=rows))
        keys = [field.key for field in fields]
        return replies.table(request, [dict(zip(keys, row, strict=False)) for row in rows], keys)

    def column(self, table_id: str, column: str) -> Response:
        """Lists the different values of a column."""
        table = self._service.table(table_id, user_name())
        return replies.table(request, self._service.distinct(table, column), ["values", "count"])

    def elements(self) -> Response:
        """Lists the searchable data types."""
        rows = [{"ELEMENT_NAME": name, "SINGULAR": name, "PLURAL": name, "SECURED": "true"} for name in ELEMENTS]
        return replies.table(request, rows, list(rows[0]))

    def element(self, element: str) -> Response:
        """Lists the fields of a data type."""
        rows = [
            {"FIELD_ID": field.id, "HEADER": field.header, "TYPE": field.type, "ELEMENT_NAME": element, "SRC": "0"}
            for field in fields_of(element)
        ]
        return replies.table(request, rows, list(rows[0]))

    def saved(self) -> Response:
        """Lists the saved searches: there are none."""
        return jsonify(replies.envelope([]))

    def definition(self, project: str, name: str) -> Response:
        """Gives the search document of a listing of a project page (`@xnat:subjectData`)."""
        element = name.removeprefix("@")
        fields = chosen_fields(SearchRequest(root_element=element, fields=(), where=CriteriaSet("AND", ())))
        body = render_template("search_document.html", element=element, fields=fields, project=project, name=name)
        return Response(body, content_type="text/xml")

    def spreadsheet(self) -> Response:
        """Sends a cached table as a CSV file."""
        table = self._service.table(request.values.get("search_id", ""), user_name())
        keys = [field_named(table["root_element"], name).key for name in table["columns"]]
        rows = self._service.page(table, offset=0, limit=int(table["total"]))
        body = replies.csv_text([dict(zip(keys, row, strict=False)) for row in rows], keys)
        name = f"{user_name()}_search.csv"
        return Response(body, content_type="text/csv", headers={"Content-Disposition": f'attachment; filename="{name}"'})


def _number(name: str, default: int) -> int:
    value = request.args.get(name, str(default))
    if not value.isdigit():
        raise Refused(400, f"{name} must be a number, not {value}")
    return int(value)


def _column(element: str, field: Field) -> dict[str, str]:
    return {
        "key": field.key,
        "type": field.type,
        "xPATH": f"{element}.{field.id}",
        "element_name": element,
        "header": field.header,
        "id": field.id,
    }


def session_search(words: str) -> SearchRequest:
    """The search behind the quick search box: sessions whose label, subject, id, scans or scanner hold the words."""
    like = f"%{words}%"
    names = ("LABEL", "SUBJECT_LABEL", "SESSION_ID", "SUBJECT_ID", "SCAN_TYPES", "SCANNER")
    tests = CriteriaSet("OR", tuple(Criterion(name, "LIKE", like) for name in names))
    return SearchRequest(root_element=ANY_SESSION, fields=(), where=CriteriaSet("AND", (tests,)))
