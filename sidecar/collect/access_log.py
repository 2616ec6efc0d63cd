"""One server's access log as a source: follows its files, reads their lines, hands requests (and inferred actions) to the sink.

Offsets are committed together with the records that were read before them, so a crash loses no line and takes none twice.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from sidecar.clock import Clock
from sidecar.collect.infer import Inference
from sidecar.collect.log_file import Block, LogFile
from sidecar.collect.log_formats import MAX_LINE, LineReader, LogFormat
from sidecar.collect.log_values import shape_of
from sidecar.collect.tail import Tail
from sidecar.errors import LogUnreadableError
from sidecar.model.records import Action, Gap, Record, Request, Server
from sidecar.model.sink import Sink

log = logging.getLogger(__name__)

POLL_S = 0.2
#: pause before a full queue is asked again
RETRY_S = 0.05
#: shapes of refused lines that are kept, so that an operator can see what the log looks like
SHAPES = 8
#: a line may come into the log so long after its time (Tomcat keeps lines back unless buffered="false")
LATE_NS: Mapping[Server, int] = {"nginx": 1_000_000_000, "tomcat": 12_000_000_000, "xnat": 1_000_000_000}
PART = "access-log"


class LogCollector:
    """Follows the log of `server` behind `pattern` (a path or a glob).

    `reader` reads its lines; `inference`, where given, makes actions of them (give it to one server's collector only, or one
    request becomes several actions). `notes` tells a committed note; `on_requests` is told of requests that the sink took.
    Files last written before `oldest_ns` are passed over at the first start.
    """

    def __init__(
        self,
        server: Server,
        pattern: str,
        sink: Sink,
        clock: Clock,
        notes: Callable[[str], str | None],
        *,
        reader: LineReader | None = None,
        inference: Inference | None = None,
        on_requests: Callable[[Sequence[Request]], None] | None = None,
        oldest_ns: int = 0,
    ) -> None:
        self.server: Server = server
        self._reader = reader or LineReader(server)
        self._sink = sink
        self._clock = clock
        self._inference = inference
        self._on_requests = on_requests
        self._tail = Tail(pattern, lambda key: notes(self._note_key(key)), oldest_ns)
        self._formats: dict[LogFile, LogFormat] = {}
        self._format: LogFormat | None = None
        self._gap: Gap | None = None
        self._trouble = ""
        self._counts: Counter[str] = Counter()
        self._shapes: list[str] = []
        self._last_line_ns = 0
        self._behind_bytes = 0

    def run(self, stop: threading.Event) -> None:
        """Follow the log until `stop` is set; a log that is away or may not be read is waited for."""
        while not stop.is_set():
            self.poll(stop)
            self._clock.wait(stop, POLL_S)
        self._tail.close()

    def poll(self, stop: threading.Event) -> None:
        """Hand over everything that is in the log now."""
        self._look()
        looked_ns = self._clock.mono_ns()
        while not stop.is_set():
            if self._clock.mono_ns() - looked_ns > POLL_S * 1e9:
                self._look()  # a backlog takes a while, and files are renamed meanwhile
                looked_ns = self._clock.mono_ns()
            if not self._step(stop):
                self._idle()
                return

    @property
    def behind_bytes(self) -> int:
        """Bytes of the log that are written and not yet read."""
        return self._behind_bytes

    def health(self) -> Mapping[str, int | float | str]:
        """Counters about itself; `refused_shapes` shows what lines look like that no format fits, without what they say."""
        told: dict[str, int | float | str] = {
            "lines": self._counts["lines"],
            "requests": self._counts["requests"],
            "refused_lines": self._counts["refused"],
            "too_long_lines": self._counts["too_long"],
            "unfinished_lines": self._tail.unfinished_lines,
            "retries": self._counts["retries"],
            "rotations": self._tail.rotations,
            "cuts": self._tail.cuts,
            "files": len(self._tail.files),
            "behind_bytes": self._behind_bytes,
            "routes": self._reader.routes.distinct,
            "routes_overflowed": self._reader.routes.overflowed,
            "format": self._format or "unknown",
        }
        if self._last_line_ns:
            told["last_line_age_s"] = round((self._clock.wall_ns() - self._last_line_ns) / 1e9, 3)
        if self.server == "tomcat":
            told["duration_unit"] = self._reader.unit.unit or "undecided"
            told["durations_left_out"] = self._reader.undecided
        if self._inference is not None:
            told["actions_inferred"] = self._counts["actions"]
            told["actions_open"] = self._inference.open_actions
            told["actions_without_duration"] = self._inference.without_duration
        if self._shapes:
            told["refused_shapes"] = " | ".join(self._shapes)
        if self._trouble:
            told["trouble"] = self._trouble
        return told

    def _note_key(self, file_key: str) -> str:
        return f"log/{self.server}/{file_key}"

    def _look(self) -> None:
        try:
            added = self._tail.look()
        except LogUnreadableError as error:
            self._in_trouble(error)
            added = []
        else:
            self._out_of_trouble()
        self._formats = {file: kind for file, kind in self._formats.items() if file in self._tail.files}
        for file in added:
            self._warm_up(file)

    def _step(self, stop: threading.Event) -> bool:
        """Read and hand over one block; whether there was one."""
        try:
            block = self._tail.read()
        except LogUnreadableError as error:
            self._in_trouble(error)
            return False
        if block is None:
            return False
        records = self._parse(block)
        requests = [record for record in records if isinstance(record, Request)] if self._on_requests else []
        file = block.file
        needs_from = self._inference.needs_from(file.identity, block.end) if self._inference else None
        note = file.note(block.end, block.in_long_line, needs_from)
        if self._put(records, {self._note_key(file.key): note}, stop):
            file.done(block)
            self._behind_bytes = max(0, file.size - file.offset)
            if requests and self._on_requests is not None:
                self._on_requests(requests)
        return True

    def _put(self, records: Sequence[Record], notes: Mapping[str, str] | None, stop: threading.Event) -> bool:
        """Hand over, as often as it takes; False when stopped before the sink had room."""
        while not self._sink.put(records, notes):
            self._counts["retries"] += 1
            if self._clock.wait(stop, RETRY_S):
                return False
        return True

    def _parse(self, block: Block) -> list[Record]:
        records: list[Record] = []
        add = records.append
        read = self._reader.read
        inference = self._inference
        identity = block.file.identity
        kind = self._formats.get(block.file)
        at = block.offset
        for line in block.lines:
            offset = at
            at += len(line) + 1
            found = read(kind, line) if kind is not None and len(line) <= MAX_LINE else None
            if found is None:
                found, kind = self._second_try(block.file, kind, line)
                if found is None:
                    continue
            add(found[0])
            if inference is not None:
                inference.see(found[0], found[1], identity, offset)
        self._counts["lines"] += len(block.lines) + block.skipped
        self._counts["too_long"] += block.skipped
        self._counts["requests"] += len(records)
        if records:
            self._last_line_ns = self._clock.wall_ns()
        return [*records, *self._inferred()]

    def _second_try(
        self, file: LogFile, kind: LogFormat | None, line: str
    ) -> tuple[tuple[Request, str] | None, LogFormat | None]:  # fmt: skip
        """A line that the file's format does not fit: it may be the first, the format may have been changed, or it is refused."""
        plain = line.strip("\0\r")
        if not plain:
            return None, kind
        if len(plain) > MAX_LINE:
            self._counts["too_long"] += 1
            return None, kind
        found_kind = self._reader.detect(plain)
        if found_kind is not None:
            self._formats[file] = self._format = found_kind
            return self._reader.read(found_kind, plain), found_kind
        self._counts["refused"] += 1
        if len(self._shapes) < SHAPES:
            shape = shape_of(plain)
            if shape not in self._shapes:
                self._shapes.append(shape)
        return None, kind

    def _inferred(self) -> list[Action]:
        done = self._inference.take() if self._inference else []
        self._counts["actions"] += len(done)
        return done

    def _idle(self) -> None:
        """Everything that is in the log has been read: end the actions that can grow no more."""
        self._behind_bytes = 0
        if self._inference is None:
            return
        self._inference.settle(self._clock.wall_ns() - LATE_NS[self.server])
        done = self._inferred()
        if done and not self._sink.put(done):
            self._counts["actions"] -= len(done)
            self._inference.give_back(done)

    def _warm_up(self, file: LogFile) -> None:
        """After a restart: bring inference back to the state in which it was when the note was committed."""
        inference, start = self._inference, file.needs_from
        if inference is None or start is None:
            return
        while start < file.offset:
            block = file.block(start, file.offset)
            if block is None or block.in_long_line:
                break
            at = start
            for line in block.lines:
                kind = self._reader.detect(line)
                found = self._reader.read(kind, line) if kind else None
                if found is not None:
                    inference.see(found[0], found[1], file.identity, at)
                at += len(line) + 1
            start = block.end
        inference.take()  # what had ended by then was committed then

    def _in_trouble(self, error: LogUnreadableError) -> None:
        if self._trouble == str(error):
            return
        self._trouble = str(error)
        log.warning("%s", error)
        if self._gap is None:
            # The operator's path stays out of the record: a reason is for everybody who sees the curves.
            self._gap = Gap(
                part=PART,
                subject=self.server,
                start_ns=self._clock.wall_ns(),
                end_ns=None,
                reason=f"the access log of {self.server} cannot be read",
            )
            if not self._sink.put([self._gap]):
                self._gap, self._trouble = None, ""  # told again at the next look

    def _out_of_trouble(self) -> None:
        if self._gap is not None:
            ended = Gap(
                part=PART,
                subject=self.server,
                start_ns=self._gap.start_ns,
                end_ns=max(self._gap.start_ns, self._clock.wall_ns()),
                reason=self._gap.reason,
            )
            if not self._sink.put([ended]):
                return  # told again at the next look
            log.warning("the access log of %s is read again", self.server)
            self._gap = None
        self._trouble = ""
