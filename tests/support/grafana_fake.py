"""A small Grafana for tests of annotations: what its HTTP API says and does, without a Grafana.

No Grafana server can be had where these tests run. This one follows its documentation and source (annotations API of 9 to 13):
numbers count up, a query joins tags with AND and gives at most 100 rows, POST needs a text and makes an annotation without
`timeEnd` a point in time, PATCH changes only keys that are given (an empty list of tags wipes them), PUT replaces all.
It does not know organisations, dashboards or roles: `fixed` answers stand for refusals that need them.
"""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.http_serving import serving

TOKEN = "glsa_tests-only"
PATH = "/grafana"


@dataclass
class FakeGrafana:
    """What it holds, what it was asked, and what it is to answer instead when `fixed` is set: (status, headers, body)."""

    annotations: dict[int, dict[str, Any]] = field(default_factory=dict)
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    fixed: tuple[int, Mapping[str, str], bytes] | None = None
    url: str = ""
    _last: int = 0

    def writes(self) -> list[tuple[str, str, Any]]:
        """What it was asked to change."""
        return [one for one in self.asked if one[0] != "GET"]

    def answer(self, method: str, target: str, token: str, body: Any) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and body of one answer."""
        self.asked.append((method, target, body))
        if self.fixed is not None:
            return self.fixed
        path, _, query = target.partition("?")
        if not path.startswith(f"{PATH}/api/"):
            return 302, {"Location": f"{PATH}/login"}, b""
        path = path.removeprefix(f"{PATH}/api")
        if path == "/health":
            return self._json(200, {"commit": "0", "database": "ok", "version": "13.2.3"})
        if token != f"Bearer {TOKEN}":
            return self._json(401, {"message": "Invalid API key", "messageId": "api-key.invalid"})
        if path == "/annotations":
            return self._find(urllib.parse.parse_qs(query)) if method == "GET" else self._add(body)
        found = self.annotations.get(int(path.removeprefix("/annotations/")))
        if found is None:
            return self._json(404, {"message": "Annotation not found"})
        return self._change(method, found, body)

    def _find(self, query: Mapping[str, list[str]]) -> tuple[int, Mapping[str, str], bytes]:
        tags = set(query.get("tags", ()))
        rows = [row for row in self.annotations.values() if tags <= set(row["tags"])]
        if "from" in query and "to" in query:
            first, last = int(query["from"][0]), int(query["to"][0])
            rows = [row for row in rows if row["time"] <= last and row["timeEnd"] >= first]
        rows.sort(key=lambda row: (-row["timeEnd"], -row["id"]))
        return self._json(200, rows[: int(query.get("limit", ["100"])[0])])

    def _add(self, body: Any) -> tuple[int, Mapping[str, str], bytes]:
        if not body.get("text"):
            return self._json(400, {"message": "Failed to save annotation", "error": "text field should not be empty"})
        self._last += 1
        start = body["time"]
        self.annotations[self._last] = {
            "id": self._last,
            "time": start,
            "timeEnd": body.get("timeEnd") or start,
            "text": body["text"],
            "tags": list(body.get("tags") or ()),
            "dashboardUID": None,
        }
        return self._json(200, {"message": "Annotation added", "id": self._last})

    def _change(self, method: str, found: dict[str, Any], body: Any) -> tuple[int, Mapping[str, str], bytes]:
        keys = ("time", "timeEnd", "text", "tags")
        given = {key: body.get(key) for key in keys} if method == "PUT" else {k: body[k] for k in keys if body.get(k) is not None}
        found.update(given)
        return self._json(200, {"message": "Annotation patched" if method == "PATCH" else "Annotation updated"})

    def _json(self, status: int, body: Any) -> tuple[int, Mapping[str, str], bytes]:
        return status, {"Content-Type": "application/json; charset=UTF-8"}, json.dumps(body).encode()


@contextmanager
def running_grafana() -> Iterator[FakeGrafana]:
    """The fake behind a port of this machine, below the path PATH."""
    fake = FakeGrafana()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # an answer is one packet: in two, each would wait for the client's acknowledgement

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            status, headers, said = fake.answer(self.command, self.path, self.headers.get("Authorization", ""), body)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(said))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(said)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815  (names of http.server)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    fake.url = f"http://127.0.0.1:{server.server_port}{PATH}"
    with serving(server):
        yield fake
