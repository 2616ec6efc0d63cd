"""The live page and the API on a socket: waitress in a thread of its own."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterable
from typing import Any

from waitress import wasyncore
from waitress.server import create_server

from sidecar.errors import PortTakenError

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class WebServer:
    """Serves one WSGI application on one address until it is stopped.

    The address is taken at construction, so that a taken port is an error before anything runs; port 0 takes any free one.
    """

    def __init__(self, app: Wsgi, address: tuple[str, int], threads: int = 8) -> None:
        host, port = address
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            listening = socket.create_server((host, port), family=family)
        except OSError as error:
            raise PortTakenError(
                f"cannot listen on {host}:{port} ({error.strerror})", "stop what listens there or set TRACEMARK_HTTP"
            ) from error
        self.address: tuple[str, int] = listening.getsockname()[:2]
        self._sockets: dict[int, Any] = {}
        # one socket, so one server; the type is wider because it may be asked for several
        self._server: Any = create_server(
            app,
            map=self._sockets,
            sockets=[listening],
            threads=threads,
            connection_limit=200,
            max_request_body_size=64 * 1024,
            clear_untrusted_proxy_headers=True,
            ident=None,
        )
        # A browser asks over six connections at once: that some wait for a thread is no news.
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Stop answering and close every connection; safe to call when it never started, and twice."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        if self._thread.ident is not None:
            self._server.pull_trigger()
            self._thread.join(timeout_s)
        # Here and not at the end of the thread: until it has ended, everybody may still pull its trigger.
        self._server.task_dispatcher.shutdown()
        wasyncore.close_all(self._sockets)

    def _run(self) -> None:
        while not self._stopping.is_set():
            wasyncore.loop(timeout=1.0, use_poll=True, map=self._sockets, count=1)
