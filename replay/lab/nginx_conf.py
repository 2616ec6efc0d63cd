"""The proxy's configuration: with a sidecar behind it, and for plain processes, with other addresses and folders."""

from __future__ import annotations

import re
from pathlib import Path

from replay.lab.faults import LabFault
from replay.lab.options import Sidecar

CONTAINER_CONF = Path(__file__).with_name("nginx.conf")
SIDECAR_CONF = Path(__file__).with_name("nginx-sidecar.conf")
_PLACE = "        # Here come the lines of nginx-sidecar.conf when the lab is told where a sidecar listens (--sidecar).\n"
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def stock(sidecar: Sidecar | None = None, context_path: str = "") -> str:
    """The container's configuration, with the sidecar's paths below the context path when there is a sidecar."""
    text = CONTAINER_CONF.read_text(encoding="utf-8")
    return text if sidecar is None else with_sidecar(text, SIDECAR_CONF.read_text(encoding="utf-8"), sidecar, context_path)


def with_sidecar(text: str, lines: str, sidecar: Sidecar, context_path: str = "") -> str:
    """Puts the sidecar's locations into the `server` block; a LabFault when one of the two texts has changed its shape."""
    for known, ours in (
        ("http://127.0.0.1:8050", f"http://{sidecar.http}"),
        ("http://127.0.0.1:8051", f"http://{sidecar.markers}"),
        (" /tracemark/", f" {context_path}/tracemark/"),
    ):
        lines = _exchanged(lines, known, ours, SIDECAR_CONF)
    indented = "".join(f"        {line}\n" if line else "\n" for line in lines.splitlines())
    return _exchanged(text, _PLACE, indented, CONTAINER_CONF)


def for_processes(text: str, *, port: int, web_port: int, logs: Path, scratch: Path, as_root: bool) -> str:
    """Exchanges what differs outside a container: the listener, the server behind, log folder, pid file, temporary folders.

    A LabFault when the text no longer holds one of those, so that a change in nginx.conf cannot pass unnoticed.
    """
    for folder in (logs, scratch):
        if re.search(r'["$\\\s]', str(folder)):
            raise LabFault(
                f'nginx cannot work in {folder}: its path has a blank or one of " $ \\', "give another folder with --dir"
            )
    # As root the workers stay root: they must reach files below a folder that only root may enter.
    head = f"daemon off;\npid {scratch}/nginx.pid;\n" + ("user root;\n" if as_root else "")
    temporary = "".join(f"    {name}_temp_path {scratch}/{name};\n" for name in _TEMPORARY)
    for known, ours in (
        ("listen 80;", f"listen 127.0.0.1:{port};"),
        ("http://xnat-web:8080", f"http://127.0.0.1:{web_port}"),
        ("/var/log/nginx/", f"{logs}/"),
        ("\nhttp {\n", "\nhttp {\n" + temporary),
    ):
        text = _exchanged(text, known, ours, CONTAINER_CONF)
    return head + text


def _exchanged(text: str, known: str, ours: str, file: Path) -> str:
    if known not in text:
        raise LabFault(f"{file.name} no longer holds {known!r}", "adapt replay/lab/nginx_conf.py to it")
    return text.replace(known, ours)
