"""The proxy's configuration for plain processes: the same file as for the container, other addresses and folders."""

from __future__ import annotations

import re
from pathlib import Path

from replay.lab.faults import LabFault

CONTAINER_CONF = Path(__file__).with_name("nginx.conf")
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


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
    for stock, ours in (
        ("listen 80;", f"listen 127.0.0.1:{port};"),
        ("http://xnat-web:8080", f"http://127.0.0.1:{web_port}"),
        ("/var/log/nginx/", f"{logs}/"),
        ("\nhttp {\n", "\nhttp {\n" + temporary),
    ):
        if stock not in text:
            raise LabFault(f"nginx.conf no longer holds {stock!r}", "adapt replay/lab/nginx_conf.py to it")
        text = text.replace(stock, ours)
    return head + text
