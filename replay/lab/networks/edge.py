"""The border of the site: an nginx that listens where a setup's clients are and leads to the system behind.

It stands in this machine's own network, where the lab is, and is handed sockets that listen in the server's namespace:
so no address of a setup exists outside of it. The wan's TLS ends here.
"""

from __future__ import annotations

import http.client
import shutil
import socket
import ssl
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from replay.lab.answering import await_status
from replay.lab.command import Run
from replay.lab.faults import LabFault
from replay.lab.networks.certificates import Certificate
from replay.lab.networks.launch import launch
from replay.lab.networks.namespaces import entered
from replay.lab.pids import PidFile

MARKERS_PORT, SIDECAR_PORT = 8051, 8050
_READY_S = 60.0
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
_BEHIND_IS_AWAY = (502, 504)


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """What it listens to and leads to, each HOST:PORT; `namespace` is the one it listens in, empty for this machine's own.

    `markers` and `sidecar` are a sidecar's marker channel and its HTTP API, on their usual ports; empty where there is none.
    """

    listen: str
    upstream: str
    namespace: str = ""
    certificate: Certificate | None = None
    markers: str = ""
    sidecar: str = ""

    @property
    def url(self) -> str:
        host, _, port = self.listen.rpartition(":")
        scheme, usual = ("http", "80") if self.certificate is None else ("https", "443")
        return f"{scheme}://{host}" + ("" if port == usual else f":{port}")

    @property
    def markers_listen(self) -> str:
        return f"{self.listen.rpartition(':')[0]}:{MARKERS_PORT}"

    @property
    def sidecar_listen(self) -> str:
        return f"{self.listen.rpartition(':')[0]}:{SIDECAR_PORT}"


def edge_conf(edge: Edge, scratch: Path, *, as_root: bool) -> str:
    """nginx's configuration. Nothing is buffered, so that a request behind lasts as long as its client takes."""
    tls = ""
    if edge.certificate is not None:
        tls = (
            f"        ssl_certificate {edge.certificate.path};\n        ssl_certificate_key {edge.certificate.key};\n"
            "        ssl_protocols TLSv1.2 TLSv1.3;\n"
        )
    # Without Forwarded headers the sidecar sees a peer of this machine, which it is; it needs no token.
    markers = f"""
    server {{
        listen {edge.markers_listen};
        location / {{
            proxy_pass http://{edge.markers};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_wish;
            proxy_read_timeout 1h;
        }}
    }}
"""
    sidecar = f"""
    server {{
        listen {edge.sidecar_listen};
        location / {{
            proxy_pass http://{edge.sidecar};
            proxy_http_version 1.1;
            proxy_buffering off;
            proxy_set_header Host {edge.sidecar};
        }}
    }}
"""
    temporary = "".join(f"    {name}_temp_path {scratch}/{name};\n" for name in _TEMPORARY)
    return f"""daemon off;
pid {scratch}/nginx.pid;
{"user root;" if as_root else ""}
worker_processes 1;
error_log {scratch}/edge-error.log warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    server_tokens off;
{temporary}    map $http_upgrade $connection_wish {{ default upgrade; '' ''; }}
    upstream site {{ server {edge.upstream}; keepalive 64; }}
    server {{
        listen {edge.listen}{" ssl" if tls else ""};
{tls}        client_max_body_size 0;
        location / {{
            proxy_pass http://site;
            proxy_http_version 1.1;
            proxy_buffering off;
            proxy_request_buffering off;
            proxy_buffer_size 64k;
            proxy_buffers 4 64k;
            proxy_busy_buffers_size 128k;
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_wish;
            proxy_redirect http://$host/ $scheme://$http_host/;
            proxy_read_timeout 1h;
            proxy_send_timeout 1h;
        }}
    }}
{markers if edge.markers else ""}{sidecar if edge.sidecar else ""}}}
"""


def start(run: Run, folder: Path, edge: Edge, *, as_root: bool) -> dict[str, str]:
    """Starts nginx; gives its log by name."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    if program is None:
        raise LabFault("the program nginx is not there", "run `make setup`, or install it")
    conf, log = folder / "edge.conf", folder / "edge.log"
    conf.write_text(edge_conf(edge, folder, as_root=as_root), encoding="utf-8")
    addresses = [edge.listen, *([edge.markers_listen] if edge.markers else []), *([edge.sidecar_listen] if edge.sidecar else [])]
    sockets = [(edge.namespace, *_address(one)) for one in addresses] if edge.namespace else []
    command = [program, "-e", str(folder / "edge-error.log"), "-c", str(conf)]
    launch(run, PidFile(folder / "edge.pid"), log, command, listen=sockets)
    return {"edge": str(folder / "edge-error.log")}


def await_answer(folder: Path, address: str, certificate: Certificate | None, client: str, running: Sequence[str]) -> None:
    """Waits until what is behind answers a client through everything; a LabFault that names the process that ended instead."""

    def alive() -> None:
        for name in running:
            if PidFile(folder / f"{name}.pid").living() is None:
                raise LabFault(f"the network's {name} ended ({_last_words(folder, name)})", "mend what it says and try again")

    await_status(
        lambda: _status(address, certificate, client),
        lambda status: status not in _BEHIND_IS_AWAY,
        timeout_s=_READY_S,
        alive=alive,
        late=lambda got: LabFault(f"{address} gave {got} for {_READY_S:g} s", f"see {folder / 'edge-error.log'}"),
    )


def _status(address: str, certificate: Certificate | None, client: str) -> int | None:
    host, port = _address(address)
    connection = http.client.HTTPConnection(host, port, timeout=10)
    try:
        with entered(client) if client else nullcontext():
            plain = socket.create_connection((host, port), timeout=10)
        connection.sock = plain if certificate is None else certificate.trusted().wrap_socket(plain, server_hostname=host)
        connection.request("GET", "/")
        return connection.getresponse().status
    except (OSError, ssl.SSLError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


def _last_words(folder: Path, name: str) -> str:
    found = [folder / f"{name}.log", folder / f"{name}-error.log"]
    lines = [line for file in found if file.exists() for line in file.read_text(encoding="utf-8", errors="replace").splitlines()]
    return "; ".join(lines[-3:]) or "it said nothing"
