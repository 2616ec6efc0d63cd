"""The HTTP server: waitress, told to keep little in memory and to remember when a request began."""

import socket
import time
from collections.abc import Callable
from typing import Any
from wsgiref.types import WSGIApplication

from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import BaseWSGIServer, create_server
from waitress.task import ThreadedTaskDispatcher, WSGITask

from replay.lab.web.errors import SettingsError
from replay.lab.web.logs import STARTED_KEY

THREADS = 16
UNSENT_BYTES = 512 * 1024
BODY_LIMIT_BYTES = 1 << 40


class _Parser(HTTPRequestParser):
    """Notes the time when the head of a request is complete: that is where Tomcat starts to count."""

    started_s: float | None = None

    def parse_header(self, header_plus: bytes) -> None:
        self.started_s = time.monotonic()
        super().parse_header(header_plus)


class _Task(WSGITask):
    def get_environment(self) -> dict[str, Any]:
        environ = super().get_environment()
        started_s = getattr(self.request, "started_s", None)
        if started_s is not None:
            environ[STARTED_KEY] = started_s
        return environ


class _Workers(ThreadedTaskDispatcher):
    """Workers that are not waited for longer than a second at the end: a long download does not hold up the exit."""

    def shutdown(self, cancel_pending: bool = True, timeout: int = 1) -> bool:
        return super().shutdown(cancel_pending=cancel_pending, timeout=timeout)


class _Channel(HTTPChannel):
    parser_class = _Parser
    task_class = _Task


def listen(app: WSGIApplication, host: str, port: int) -> tuple[Callable[[], None], int]:
    """Opens the port; returns a function that serves until SystemExit is raised in it, and the port.

    A worker that is UNSENT_BYTES ahead of its client waits; when the client leaves, its work is given up.
    Raises SettingsError when the address cannot be listened on.
    """
    try:
        door = socket.create_server((host, port), backlog=1024)
    except OSError as problem:
        raise SettingsError(f"LAB_LISTEN is {host}:{port}: cannot listen there ({problem.strerror}); choose another") from problem
    workers = _Workers()
    workers.set_thread_count(THREADS)
    options: dict[str, Any] = {
        "sockets": [door],
        "threads": THREADS,
        "ident": "Apache-Coyote/1.1",
        "connection_limit": 1000,
        "channel_timeout": 300,
        "max_request_body_size": BODY_LIMIT_BYTES,
        "outbuf_high_watermark": UNSENT_BYTES,
        "outbuf_overflow": 2 * UNSENT_BYTES,
        "clear_untrusted_proxy_headers": False,  # X-Forwarded-For is read for the log, as XNAT does
        "channel_request_lookahead": 1,
    }
    server = create_server(app, _dispatcher=workers, **options)
    assert isinstance(server, BaseWSGIServer)  # noqa: S101 - one socket makes one server
    server.channel_class = _Channel
    return server.run, int(door.getsockname()[1])
