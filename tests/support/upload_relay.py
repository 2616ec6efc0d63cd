"""A proxy before a site that spoils uploads: breaks them off, holds one up, or answers that the site has no room."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

FULL = b"HTTP/1.1 507 Insufficient Storage\r\nContent-Length: 4\r\nConnection: close\r\n\r\nfull"


class UploadRelay:
    """`breaks` is how many uploads are still to break off, `full` whether there is no room, `hold` the number of one to hold up.

    `labels` are those of the uploads; `held` is set when the one to be held up has begun.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._site = (parts.hostname or "", parts.port or 80)
        self.breaks = 0
        self.full = False
        self.hold: int | None = None
        self.held = threading.Event()
        self._closing = threading.Event()
        self.uploads = 0
        self.labels: list[str] = []
        self._door = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._door.getsockname()[1]}{parts.path}"

    def serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._door.accept()
                threading.Thread(target=self._relay, args=(client,), daemon=True).start()

    def close(self) -> None:
        self._closing.set()
        with suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()

    def _relay(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._site) as site, suppress(OSError):
            back = threading.Thread(target=self._pump, args=(site, client), daemon=True)
            back.start()
            while data := client.recv(4096):
                if data.startswith(b"POST ") and b"/services/import?" in data.split(b"\r\n")[0]:
                    self.uploads += 1
                    found = re.search(rb"traceparent: (\S+)", data)
                    self.labels.append(found[1].decode() if found else "")
                    if self.uploads == self.hold:
                        self.held.set()
                        self._closing.wait()
                        return
                    if self.full:
                        self._refuse(client, data)
                        return
                    if self.breaks:
                        self.breaks -= 1
                        site.sendall(data)
                        site.sendall(client.recv(4096))
                        return
                site.sendall(data)
            with suppress(OSError):
                site.shutdown(socket.SHUT_WR)
            back.join()

    def _refuse(self, client: socket.socket, head: bytes) -> None:
        """As nginx: reads all that the client has to say, then says no."""
        while b"\r\n\r\n" not in head:
            head += client.recv(4096)
        lines, _, body = head.partition(b"\r\n\r\n")
        length = next(int(line.split(b":")[1]) for line in lines.split(b"\r\n") if line.lower().startswith(b"content-length"))
        left = length - len(body)
        while left > 0 and (data := client.recv(65536)):
            left -= len(data)
        client.sendall(FULL)

    @staticmethod
    def _pump(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)


@contextmanager
def upload_relay(url: str) -> Iterator[UploadRelay]:
    """Before the site at `url`, until it is left."""
    relay = UploadRelay(url)
    server = threading.Thread(target=relay.serve, daemon=True)
    server.start()
    try:
        yield relay
    finally:
        relay.close()
        server.join()
