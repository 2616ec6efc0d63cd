"""A private InfluxDB for tests: Debian's influxd 1.6 with nginx in front, which gives it the write path of newer versions.

InfluxDB 1.6 has no tokens and never says "too many requests" by itself. The token is checked by nginx; what a newer or a loaded
server would answer stands at paths of its own with fixed answers (`Influx.at("limited")` and so on): these are stand-ins, the
points never reach a server there.

Where TRACEMARK_TEST_INFLUXD2 names the program of an InfluxDB 2, that one stands behind the same front: writes come with a token
that may only write, questions with one that may only read, as in the deployment.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from replay.lab.processes import free_port
from sidecar.model.points import Point
from tests.support.waiting import wait_until

TOKEN = "tests-only"
BUCKET = "tracemark"

_INFLUX = """
reporting-disabled = true
bind-address = "127.0.0.1:{rpc}"
[meta]
  dir = "{folder}/meta"
[data]
  dir = "{folder}/data"
  wal-dir = "{folder}/wal"
[http]
  bind-address = "127.0.0.1:{server}"
  log-enabled = false
[monitor]
  store-enabled = false
"""

_NGINX = """
daemon off;
user root;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log warn;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  client_max_body_size 64m;
  client_body_buffer_size 4m;
  map $arg_precision $precision {{ {precisions} }}
  server {{
    listen 127.0.0.1:{front};
    proxy_http_version 1.1;
    default_type application/json;
    location = /api/v2/write {{
      if ($http_authorization != "Token {token}") {{
        return 401 '{{"code":"unauthorized","message":"unauthorized access"}}';
      }}
      proxy_set_header Authorization "{write_token}";
      proxy_pass http://127.0.0.1:{server}{write_path};
    }}
    location = /small/api/v2/write {{
      client_max_body_size 2k;
      proxy_set_header Authorization "{write_token}";
      proxy_pass http://127.0.0.1:{server}{write_path};
    }}
    location = /query {{ proxy_set_header Authorization "{read_token}"; proxy_pass http://127.0.0.1:{server}; }}
    location /forbidden/ {{ return 403 '{{"code":"forbidden","message":"insufficient permissions for write"}}'; }}
    location /limited/ {{
      add_header Retry-After 7 always;
      return 429 '{{"code":"too many requests","message":"org has exceeded limited_write plan limit"}}';
    }}
    location /failing/ {{ add_header Retry-After "Wed, 21 Oct 2015 07:28:00 GMT" always; return 503 'unavailable'; }}
    location /full/ {{ return 507 '{{"code":"internal error","message":"no space left on device"}}'; }}
    location /slow/ {{ proxy_pass http://127.0.0.1:{silent}; }}
    location /page/ {{ default_type text/html; return 200 '<html>not InfluxDB</html>'; }}
    location /moved/ {{ return 301 https://elsewhere.invalid/; }}
  }}
}}
"""


#: how the front hands a write on: the older server has no path for it
_FRONT_1 = {
    "precisions": "default n; ns n; us u; ms ms; s s;",
    "write_path": "/write?db=$arg_bucket&precision=$precision",
    "write_token": "",
    "read_token": "",
}


class Influx:
    """A running server, its front, and how to ask it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ports = {part: free_port() for part in ("rpc", "server", "front")}
        self._silent = socket.create_server(("127.0.0.1", 0))
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        (folder / "influxdb.conf").write_text(_INFLUX.format(folder=folder, **self._ports))
        self._front(_FRONT_1)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._ports['front']}"

    def at(self, place: str) -> str:
        """URL at which `place` of the front answers."""
        return f"{self.url}/{place}"

    def _front(self, values: Mapping[str, str]) -> None:
        known = {"folder": self.folder, "token": TOKEN, "silent": self._silent.getsockname()[1], **self._ports, **values}
        (self.folder / "nginx.conf").write_text(_NGINX.format(**known))

    def _server(self) -> None:
        self._start("influxd", ["influxd", "-config", str(self.folder / "influxdb.conf")])

    def start(self) -> None:
        """Start the server (and the front), and wait until it answers."""
        self._server()
        if "nginx" not in self._processes:
            self._start("nginx", ["nginx", "-c", str(self.folder / "nginx.conf")])
        wait_until(lambda: self._answers(), "InfluxDB to answer", 60)

    def stop(self) -> None:
        """Stop the server alone; the front stays and says 502."""
        self._stop("influxd")

    def close(self) -> None:
        """Stop everything."""
        self._stop("influxd")
        self._stop("nginx")
        self._silent.close()

    def create(self, database: str) -> None:
        """Make a database."""
        self._ask("POST", f'CREATE DATABASE "{database}"')

    def write(self, database: str, *lines: str) -> None:
        """Write lines as another program would."""
        url = f"{self.url}/api/v2/write?org=lab&bucket={database}&precision=ns"
        request = urllib.request.Request(url, "\n".join(lines).encode(), {"Authorization": f"Token {TOKEN}"}, method="POST")
        with urllib.request.urlopen(request, timeout=60):
            pass

    def query(self, q: str, database: str = BUCKET) -> list[dict[str, Any]]:
        """Series that answer an InfluxQL query, over GET /query as dashboards ask."""
        answer = self._ask("GET", q, database)["results"][0]
        assert "error" not in answer, answer
        series: list[dict[str, Any]] = answer.get("series", [])
        return series

    def points(self, measurement: str, database: str = BUCKET) -> list[Point]:
        """All points of a measurement, by time, with their tags told from their fields by the server."""
        found = []
        for series in self.query(f'SELECT * FROM "{measurement}" GROUP BY *', database):  # noqa: S608
            tags = tuple(sorted((name, value) for name, value in series.get("tags", {}).items() if value))
            for row in series["values"]:
                named = dict(zip(series["columns"], row, strict=True))
                time_ns = named.pop("time")
                fields = {name: value for name, value in named.items() if value is not None}
                found.append(Point(measurement, tags, fields, time_ns))
        return sorted(found, key=lambda point: (point.time_ns, point.tags))

    def _ask(self, method: str, q: str, database: str = "") -> Mapping[str, Any]:
        parameters = urllib.parse.urlencode({"q": q, "db": database, "epoch": "ns"})
        request = urllib.request.Request(f"{self.url}/query?{parameters}", method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            found: Mapping[str, Any] = json.load(answer)
        return found

    def _answers(self) -> bool:
        for name, process in self._processes.items():
            if process.poll() is not None:
                raise AssertionError(f"{name} ended: {(self.folder / f'{name}.out').read_text()[-2000:]}")
        try:
            self._ask("GET", "SHOW DATABASES")
        except (OSError, urllib.error.URLError):
            return False
        return True

    def _start(self, name: str, command: Sequence[str]) -> None:
        with (self.folder / f"{name}.out").open("ab") as out:
            self._processes[name] = subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL)

    def _stop(self, name: str) -> None:
        process = self._processes.pop(name, None)
        if process is not None:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class Influx2(Influx):
    """The same with an InfluxDB 2: set up over its API, with tokens of least right; buckets are databases without any mapping."""

    def __init__(self, folder: Path, program: str) -> None:
        super().__init__(folder)
        self._program = program
        self._admin = self._org = ""
        self._buckets: list[str] = []

    def create(self, database: str) -> None:
        """Make a bucket, and tokens that may read or write all buckets so far."""
        if not self._admin:
            made = self._call("setup", username="tests", password="tests-only-1", org="lab", bucket=database)
            self._admin, self._org = made["auth"]["token"], made["org"]["id"]
            self._buckets.append(made["bucket"]["id"])
        else:
            made = self._call("buckets", orgID=self._org, name=database, retentionRules=[])
            self._buckets.append(made["id"])
        path = "/api/v2/write?org=lab&bucket=$arg_bucket&precision=$arg_precision"
        self._front(_FRONT_1 | {"write_path": path, **self._tokens()})
        self._stop("nginx")
        self._start("nginx", ["nginx", "-c", str(self.folder / "nginx.conf")])
        wait_until(self._answers, "the front to answer", 60)

    def _tokens(self) -> Mapping[str, str]:
        def token(action: str) -> str:
            rights = [{"action": action, "resource": {"type": "buckets", "id": one, "orgID": self._org}} for one in self._buckets]
            return f"Token {self._call('authorizations', orgID=self._org, permissions=rights)['token']}"

        return {"write_token": token("write"), "read_token": token("read")}

    def _answers(self) -> bool:
        if self._admin:
            return super()._answers()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._ports['server']}/health", timeout=30):
                return True
        except OSError:
            return False

    def _server(self) -> None:
        store = [f"--bolt-path={self.folder}/bolt", f"--engine-path={self.folder}/engine", f"--sqlite-path={self.folder}/sqlite"]
        address = f"--http-bind-address=127.0.0.1:{self._ports['server']}"
        self._start("influxd", [self._program, "--reporting-disabled", address, *store])

    def _call(self, path: str, **body: Any) -> Any:
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Token {self._admin}"} if self._admin else {})
        url = f"http://127.0.0.1:{self._ports['server']}/api/v2/{path}"
        with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers), timeout=60) as answer:
            return json.load(answer)


@contextmanager
def running_influx(folder: Path) -> Iterator[Influx]:
    """A server with the empty database BUCKET in `folder`; skips the test where the programs are missing."""
    missing = [program for program in ("influxd", "nginx") if shutil.which(program) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)} (Debian: apt-get install influxdb nginx-light)")
    newer = os.environ.get("TRACEMARK_TEST_INFLUXD2")
    influx = Influx2(folder, newer) if newer else Influx(folder)
    try:
        influx.start()
        influx.create(BUCKET)
        yield influx
    finally:
        influx.close()
