"""The shapes XNAT answers in: tables and items as JSON, CSV, XML or HTML, and which of them a request asks for."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote
from xml.sax.saxutils import escape, quoteattr

from flask import Request, Response, jsonify

from replay.lab.web.auth import is_browser

Cells = Mapping[str, Any]


def wants_html(request: Request) -> bool:
    """Tells whether an address that is both page and interface shall answer with the page."""
    asked = request.args.get("format", "").lower()
    if asked:
        return asked == "html"
    best = request.accept_mimetypes.best_match(["application/json", "text/xml", "application/xml", "text/html"])
    return best == "text/html" and is_browser(request.headers.get("User-Agent", ""))


def wanted_columns(request: Request, known: Sequence[str]) -> list[str]:
    """Reads `columns=a,b` (which some clients percent-encode twice); without it the known ones. Repeats are dropped."""
    asked = [name for name in unquote(request.args.get("columns", "")).split(",") if name]
    return list(dict.fromkeys(asked)) if asked and asked != ["DEFAULT"] else list(known)


def envelope(rows: Sequence[Cells], **extra: Any) -> dict[str, Any]:
    """Wraps rows as XNAT does; every value becomes a string, an absent one an empty string."""
    result = [{key: as_text(value) for key, value in row.items()} for row in rows]
    return {"ResultSet": {**extra, "Result": result, "totalRecords": str(len(result))}}


def as_text(value: object) -> str:
    """The text of one cell."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    return str(value)


def table(request: Request, rows: Sequence[Cells], columns: Sequence[str]) -> Response:
    """Answers with a table in the format asked for (JSON without a wish)."""
    chosen = [{name: row.get(name) for name in columns if name in row} for row in rows]
    kind = request.args.get("format", "json").lower()
    if kind == "csv":
        return Response(csv_text(chosen, columns), content_type="text/csv")
    if kind == "xml":
        return Response(_xml_table(chosen), content_type="text/xml")
    return jsonify(envelope(chosen))


def csv_text(rows: Sequence[Cells], columns: Sequence[str]) -> str:
    """Writes rows as CSV with a header line and every cell quoted."""
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([as_text(row.get(name)) for name in columns] for row in rows)
    return out.getvalue()


def _xml_table(rows: Sequence[Cells]) -> str:
    names = list(rows[0]) if rows else []
    head = "".join(f"<column>{escape(name)}</column>" for name in names)
    body = "".join(
        "<row>" + "".join(f"<cell>{escape(as_text(row.get(name)))}</cell>" for name in names) + "</row>" for row in rows
    )
    total = quoteattr(str(len(rows)))
    results = f"<results><columns>{head}</columns><rows>{body}</rows></results>"
    return f"<ResultSet totalRecords={total}>{results}</ResultSet>"


def item(
    xsi_type: str,
    data_fields: Mapping[str, Any],
    *,
    started: object = "",
    children: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """One object in XNAT's item form; absent values are left out, texts stay texts, numbers numbers."""
    fields = {
        name: value if isinstance(value, int | float) else str(value)
        for name, value in data_fields.items()
        if value not in (None, "")
    }
    meta = {"isHistory": False, "xsi:type": xsi_type, "start_date": str(started)}
    return {"children": list(children), "meta": meta, "data_fields": fields}


def child(field: str, items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Items that hang below another one under that name."""
    return {"field": field, "items": list(items)}


def text(body: str, status: int = 200) -> Response:
    """Answers with plain text."""
    return Response(body, status, content_type="text/plain; charset=UTF-8")


def error_page(status: int, message: str) -> Response:
    """The bare error page of the REST layer; clients cut the message out of the h3."""
    body = f"<html><head><title>Status page</title></head><body><h3>{escape(message)}</h3></body></html>"
    return Response(body, status, content_type="text/html; charset=UTF-8")
