"""The HTTP server: waitress, told to keep little in memory and to remember when a request began."""

import time
from collections.abc import Callable
from typing import Any
from wsgiref.types import WSGIApplication

from waitress import create_server  # type: ignore[import-untyped]
from waitress.channel import HTTPChannel  # type: ignore[import-untyped]
from waitress.parser import HTTPRequestParser  # type: ignore[import-untyped]
from waitress.task import ThreadedTaskDispatcher, WSGITask  # type: ignore[import-untyped]

from replay.lab.web.logs import STARTED_KEY

THREADS = 16
UNSENT_BYTES = 512 * 1024
BODY_LIMIT_BYTES = 1 << 40


class _Parser(HTTPRequestParser):  # type: ignore[misc]
    """Notes the time when the head of a request is complete: that is where Tomcat starts to count."""

    started_s: float | None = None

    def parse_header(self, header_plus: bytes) -> None:
        self.started_s = time.monotonic()
        super().parse_header(header_plus)


class _Task(WSGITask):  # type: ignore[misc]
    def get_environment(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environment()
        if self.request.started_s is not None:
            environ[STARTED_KEY] = self.request.started_s
        return environ


class _Workers(ThreadedTaskDispatcher):  # type: ignore[misc]
    """Workers that are not waited for longer than a second at the end: a long download does not hold up the exit."""

    def shutdown(self, cancel_pending: bool = True, timeout: float = 1.0) -> bool:
        return bool(super().shutdown(cancel_pending=cancel_pending, timeout=timeout))


class _Channel(HTTPChannel):  # type: ignore[misc]
    parser_class = _Parser
    task_class = _Task


def listen(app: WSGIApplication, host: str, port: int) -> tuple[Callable[[], None], int]:
    """Opens the port; returns a function that serves until SystemExit is raised in it, and the port.

    A worker that is UNSENT_BYTES ahead of its client waits; when the client leaves, its work is given up.
    """
    workers = _Workers()
    workers.set_thread_count(THREADS)
    server = create_server(
        app,
        _dispatcher=workers,
        host=host,
        port=port,
        threads=THREADS,
        ident="Apache-Coyote/1.1",
        connection_limit=1000,
        channel_timeout=300,
        max_request_body_size=BODY_LIMIT_BYTES,
        outbuf_high_watermark=UNSENT_BYTES,
        outbuf_overflow=2 * UNSENT_BYTES,
        clear_untrusted_proxy_headers=False,  # X-Forwarded-For is read for the log, as XNAT does
        channel_request_lookahead=1,
    )
    server.channel_class = _Channel
    return server.run, int(server.effective_port)
