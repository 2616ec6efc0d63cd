"""A server that does nothing but hand out what it was given: for measuring a client. A process of its own, on a core of its own.

    python -m tests.support.canned_server ANSWERS.json CORE

Prints its port. The file maps "METHOD /path?query CRC32-OF-BODY" to status, headers, text and size; without text zeros are sent.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ZEROS = memoryview(bytes(256 * 1024))


class Canned(asyncio.Protocol):
    """One connection: requests one after the other, bodies skipped by their length."""

    def __init__(self, answers: Mapping[bytes, tuple[bytes, int]]) -> None:
        self._answers = answers
        self._zeros = 0
        self._paused = False
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._buffer += data
        while True:
            head, separator, rest = self._buffer.partition(b"\r\n\r\n")
            if not separator:
                return
            at = head.lower().find(b"\r\ncontent-length:")
            length = int(head[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(rest) < length:
                return
            self._buffer = rest[length:]
            method, target, _ = head.split(b" ", 2)
            key = b"%s %s %d" % (method, target, zlib.crc32(rest[:length]))
            head, self._zeros = self._answers.get(key, self._answers[b""])
            self._transport.write(head)
            self._pump()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._pump()

    def _pump(self) -> None:
        assert self._transport is not None
        while self._zeros and not self._paused and not self._transport.is_closing():
            chunk = ZEROS[: self._zeros]
            self._zeros -= len(chunk)
            self._transport.write(chunk)


def wire(answer: Mapping[str, Any]) -> tuple[bytes, int]:
    """An answer as it goes over the line: its head and text, and how many zeros follow."""
    body = answer["text"].encode()
    zeros = 0 if body else int(answer["size"])
    kept = [(name, value) for name, value in answer["headers"] if name.lower() in ("location", "set-cookie", "content-type")]
    head = "".join(f"{name}: {value}\r\n" for name, value in [*kept, ("Content-Length", len(body) + zeros)])
    return f"HTTP/1.1 {answer['status']} Canned\r\n{head}\r\n".encode() + body, zeros


async def main(file: Path, core: int) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})
    answers = {key.encode(): wire(answer) for key, answer in json.loads(file.read_text()).items()}
    answers[b""] = wire({"status": 404, "headers": [], "text": "not here", "size": 0})
    server = await asyncio.get_running_loop().create_server(lambda: Canned(answers), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
