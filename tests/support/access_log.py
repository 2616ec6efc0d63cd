"""A sink that remembers, refuses or forgets; a clock that never makes anybody wait; a collector driven poll by poll."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sidecar.clock import ManualClock
from sidecar.collect.access_log import LogCollector
from sidecar.model.records import Action, Gap, Record, Request, Server


class RememberingSink:
    """What was committed, in order. `refuse` many puts are refused; with `forgetting` they are taken and lost, as in a crash."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.notes: dict[str, str] = {}
        self.refuse = 0
        self.forgetting = False
        self.puts = 0

    def put(self, records: Sequence[Record], notes: Mapping[str, str] | None = None) -> bool:
        self.puts += 1
        if self.refuse:
            self.refuse -= 1
            return False
        if not self.forgetting:
            self.records.extend(records)
            self.notes.update(notes or {})
        return True

    @property
    def requests(self) -> list[Request]:
        return [record for record in self.records if isinstance(record, Request)]

    @property
    def actions(self) -> list[Action]:
        """As a journal keeps them: the last one of an id."""
        return list({record.action_id: record for record in self.records if isinstance(record, Action)}.values())

    @property
    def gaps(self) -> list[Gap]:
        return list({(gap.subject, gap.start_ns): gap for gap in self.records if isinstance(gap, Gap)}.values())


class HastyClock(ManualClock):
    """Waiting takes no time but moves the clock."""

    def wait(self, event: threading.Event, seconds: float) -> bool:
        self.advance(seconds)
        return event.is_set()


class Following:
    """A collector over a log, polled by hand; `restart` is what a crash and a new start do to it."""

    def __init__(self, pattern: Path | str, server: Server = "nginx", clock: HastyClock | None = None, **options: Any) -> None:
        self.sink = RememberingSink()
        self.clock = clock or HastyClock()
        self.stop = threading.Event()
        self._make: Callable[[], LogCollector] = lambda: LogCollector(
            server,
            str(pattern),
            self.sink,
            self.clock,
            self.sink.notes.get,
            **{name: value() if name in ("inference", "reader") else value for name, value in options.items()},
        )
        self.collector = self._make()

    def poll(self, times: int = 1) -> None:
        for _ in range(times):
            self.collector.poll(self.stop)
            self.clock.advance(0.2)

    def restart(self) -> None:
        self.sink.forgetting = False
        stopped = threading.Event()
        stopped.set()
        self.collector.run(stopped)  # lets its files go
        self.collector = self._make()

    @property
    def sent(self) -> list[int | None]:
        """Bytes of the requests that were committed: tests number their lines with them."""
        return [request.sent_bytes for request in self.sink.requests]

    @property
    def health(self) -> Mapping[str, int | float | str]:
        return self.collector.health()


def combined(number: int, target: str = "/data/projects", second: int = 0) -> str:
    """A line of nginx's combined format whose byte count is its number."""
    return f'10.0.0.9 - - [22/Nov/2026:09:52:{second:02} +0000] "GET {target} HTTP/1.1" 200 {number} "-" "agent"\n'


def tm1(
    end_s: float,
    took_s: float | None,
    method: str,
    uri: str,
    *,
    status: int = 200,
    sent: int = 100,
    query_format: str = "-",
    content_type: str = "text/html",
    trace: str = "-",
    upstream: str | None = None,
    header: str | None = None,
) -> str:
    """A line of our nginx format."""
    took = "-" if took_s is None else f"{took_s:.3f}"
    return "\t".join(
        (
            *("tm1", f"{end_s:.3f}", took, "0.000", header or took, upstream or took, str(status), str(sent), "400"),
            *(method, uri, query_format, content_type, trace + "\n"),
        )
    )
