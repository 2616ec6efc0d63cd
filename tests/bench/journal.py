"""Speed of the journal beside plain SQLite: rows stored and read per second of the process's own CPU time."""

from __future__ import annotations

import argparse
import sqlite3
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from sidecar.clock import SystemClock
from sidecar.journal.queries import Reader
from sidecar.journal.sqlite import SqliteJournal
from sidecar.journal.writer import Writer
from sidecar.model.records import Marker, Record, Request, Sample
from tests.support import journal as make
from tests.support.journal import SECOND, T0

_ROUTES = 17


def main(argv: Sequence[str] | None = None) -> int:
    """Print a table of figures and their ratios to plain SQLite."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    count: int = parser.parse_args(argv).rows
    requests = [
        make.request(T0 + n * 20_000, route=f"/data/experiments/{{}}/{n % _ROUTES}", sent_bytes=n, upstream_ns=n)
        for n in range(count)
    ]
    samples = [
        make.sample(T0 + n // 5 * SECOND // 10, container=f"xnat-{n % 5}", cpu_total_ns=n * 1000, memory_bytes=n, rx_bytes=n)
        for n in range(count)
    ]
    markers = [make.marker(n + 1, action_id=f"action-{n // 2}") for n in range(count // 5)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        peer = _per_second(count, lambda: _plain(folder / "plain.sqlite", requests))
        print(f"{'what':<52} {'rows per CPU second':>20} {'to plain':>9}")
        _show("plain SQLite: requests as text, 5 000 a commit", peer, peer)
        for what, records, size in (
            ("requests through the writer, 5 000 a call", requests, 5000),
            ("requests through the writer, 100 a call", requests, 100),
            ("samples through the writer, 50 a call", samples, 50),
            ("markers through the writer, 10 a call", markers, 10),
        ):
            path = folder / f"{what}.sqlite"
            took = _per_second(len(records), lambda path=path, records=records, size=size: _write(path, records, size))  # type: ignore[misc]
            _show(what, took, peer)
            _show("  one call, one commit", _per_second(2000, lambda r=records, s=size: _commits(folder, r[:2000], s)), peer)  # type: ignore[misc]
        with SqliteJournal(folder / "requests through the writer, 5 000 a call.sqlite") as journal:
            _show("requests read in pages of 1 000", _per_second(count, lambda: _read(journal, Request)), peer)
        path = folder / "samples through the writer, 50 a call.sqlite"
        with SqliteJournal(path) as journal:
            _show("samples read in pages of 1 000", _per_second(count, lambda: _read(journal, Sample)), peer)
            print(f"bytes a sample with both indexes: {journal.used_bytes() / count:.0f}")
        reader = Reader(path)
        chart = _per_second(count // 5, lambda: reader.samples("xnat-1", 0, 2**62, SECOND))
        _show("chart: samples down-sampled to 1 s", chart, peer)
    return 0


def _show(what: str, rate: float, peer: float) -> None:
    print(f"{what:<52} {rate:>20,.0f} {rate / peer:>9.2f}")


def _per_second(count: int, work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return count / (time.process_time() - began)


def _plain(path: Path, requests: Sequence[Request]) -> None:
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("CREATE TABLE r (start_ns INTEGER, duration_ns INTEGER, method TEXT, route TEXT, status INTEGER, bytes INTEGER)")
    db.execute("CREATE INDEX i ON r (start_ns)")
    for start in range(0, len(requests), 5000):
        rows = [(r.start_ns, r.duration_ns, r.method, r.route, r.status, r.sent_bytes) for r in requests[start : start + 5000]]
        db.executemany("INSERT INTO r VALUES (?, ?, ?, ?, ?, ?)", rows)
        db.commit()
    db.close()


def _write(path: Path, records: Sequence[Record], size: int) -> None:
    with SqliteJournal(path) as journal:
        writer = Writer(journal, SystemClock(), capacity=len(records))
        for start in range(0, len(records), size):
            writer.put(records[start : start + size], {"log/bench/1": str(start)})
        # Everything waits already when the thread starts: what a backlog looks like.
        writer.start()
        writer.stop(600)


def _commits(folder: Path, records: Sequence[Record], size: int) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as name, SqliteJournal(Path(name) / "journal.sqlite") as journal:
        for start in range(0, len(records), size):
            journal.append(records[start : start + size], {"log/bench/1": str(start)})


def _read(journal: SqliteJournal, kind: type[Request] | type[Sample] | type[Marker]) -> None:
    after = 0
    while page := journal.read(kind, after):
        after = page[-1][0]


if __name__ == "__main__":
    raise SystemExit(main())
