"""A sidecar's marker channel in a process of its own, on a journal file; run it, read its port from stdout, kill it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from sidecar.clock import SystemClock
from sidecar.journal.sqlite import SqliteJournal
from sidecar.journal.writer import Writer
from sidecar.markers.limits import Limits
from sidecar.markers.server import MarkerServer
from sidecar.model.catalogue import load_catalogue


@contextmanager
def running(journal: Path, port: int = 0) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The process and its port; it is killed without warning in the end, if not before."""
    command = [sys.executable, "-m", "tests.support.marker_process", str(journal), str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
    try:
        assert process.stdout is not None
        yield process, int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def main(journal: str, port: str) -> None:
    file = SqliteJournal(Path(journal))
    clock = SystemClock()
    writer = Writer(file, clock)
    writer.start()
    server = MarkerServer(
        ("127.0.0.1", int(port)),
        token="",
        writer=writer,
        notes=file,
        clock=clock,
        actions=load_catalogue().names,
        # the benchmark asks for more than a person or a replayer would
        limits=Limits(messages_per_s=1e6, messages_burst=10**6, markers_per_s=1e6, markers_burst=10**6),
    )
    server.start()
    print(server.address[1], flush=True)
    Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
