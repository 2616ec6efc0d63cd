"""What was told to the marker channel and is not acknowledged yet: numbered, bounded, and on disk where a file is given."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from replay.durable import PART
from sidecar.model.faults import Fault


class OutboxError(Fault):
    """The outbox file cannot be read or written."""

    kind = "disk"


@dataclass(frozen=True, slots=True)
class Entry:
    """One numbered thing to tell: `kind` is `marker` or the message's type, `fields` the rest of it.

    `earlier`: it was told before this machine was started anew, so that its monotonic time means nothing now.
    """

    seq: int
    kind: str
    fields: Mapping[str, Any]
    earlier: bool = False


class Outbox:
    """A queue of at most `capacity` entries; when it is full, new ones are dropped and counted. Not thread safe.

    With a file (JSON lines: entries, and the acknowledgements that remove them) a killed process loses nothing: the next one that
    opens it goes on where it ended. The file is not forced to the disk at every line: it outlives the process, not the power.
    `open_actions` are those whose end was never told, acknowledged or not, by id. `boot` names the machine's present run.
    """

    def __init__(self, capacity: int = 100_000, file: Path | None = None, boot: str = "") -> None:
        self._entries: deque[Entry] = deque()
        self._capacity = capacity
        self._boot = boot
        self._file: IO[str] | None = None
        self.acked = 0
        self.dropped = 0
        self.continued = False
        self.open_actions: dict[str, str] = {}
        if file is not None:
            self._open(file)
        self._next = self._entries[-1].seq + 1 if self._entries else self.acked + 1

    def __len__(self) -> int:
        return len(self._entries)

    def __enter__(self) -> Outbox:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def resume_seq(self) -> int:
        """The lowest seq that is still here, or the next one."""
        return self._entries[0].seq if self._entries else self._next

    def put(self, kind: str, fields: Mapping[str, Any]) -> bool:
        """Number and keep; False when the outbox is full and this was dropped."""
        if len(self._entries) >= self._capacity:
            self.dropped += 1
            return False
        entry = Entry(self._next, kind, dict(fields))
        self._next += 1
        self._entries.append(entry)
        self._follow(entry)
        self._write(self._line(entry))
        return True

    def acknowledge(self, seq: int) -> None:
        """Everything up to `seq` is durable at the sidecar."""
        if seq <= self.acked:
            return
        self.acked = seq
        self._next = max(self._next, seq + 1)
        while self._entries and self._entries[0].seq <= seq:
            self._entries.popleft()
        self._write(json.dumps({"ack": seq}))

    def shift(self, by: int) -> None:
        """Number anew, `by` higher: the sidecar knows this session from a time that this outbox does not remember."""
        if by == 0:
            return
        self._entries = deque(replace(entry, seq=entry.seq + by) for entry in self._entries)
        self._next += by
        self.acked += by
        if self._file is not None:
            self._rewrite(Path(self._file.name))

    def after(self, seq: int) -> Iterator[Entry]:
        """The entries above `seq`, in order."""
        return (entry for entry in self._entries if entry.seq > seq)

    def close(self) -> None:
        """Let go of the file; what is in it stays."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self, file: Path) -> None:
        try:
            if file.exists():
                self.continued = True
                self._load(file.read_text(encoding="utf-8"))
            self._rewrite(file)
        except (OSError, UnicodeDecodeError) as error:
            raise OutboxError(
                f"the outbox {file} cannot be used ({error})", "name a file in a folder that can be written"
            ) from error

    def _load(self, text: str) -> None:
        entries: dict[int, Entry] = {}
        for line in text.splitlines():
            try:
                raw = json.loads(line)
                if "ack" in raw:
                    self.acked = max(self.acked, int(raw["ack"]))
                elif "open" in raw:
                    self.open_actions = dict(raw["open"])
                else:
                    earlier = raw.get("boot", self._boot) != self._boot
                    entries[raw["seq"]] = Entry(raw["seq"], raw["kind"], raw["fields"], earlier)
                    self._follow(entries[raw["seq"]])
            except (ValueError, TypeError, KeyError):
                continue  # the line that a killed process did not finish
        self._entries = deque(entries[seq] for seq in sorted(entries) if seq > self.acked)

    def _follow(self, entry: Entry) -> None:
        if entry.kind == "marker" and entry.fields.get("phase") == "begin":
            self.open_actions[entry.fields["action_id"]] = entry.fields["action"]
        elif entry.kind == "marker":
            self.open_actions.pop(entry.fields.get("action_id", ""), None)

    def _rewrite(self, file: Path) -> None:
        self.close()
        fresh = file.with_name(file.name + PART)
        # What is open stands behind the entries: reading them again must not open twice what they begin and end.
        lines = [json.dumps({"ack": self.acked}), *map(self._line, self._entries), json.dumps({"open": self.open_actions})]
        fresh.write_text("\n".join(lines) + "\n", encoding="utf-8")
        fresh.replace(file)
        self._file = file.open("a", encoding="utf-8", buffering=1)

    def _write(self, line: str) -> None:
        if self._file is not None:
            try:
                self._file.write(line + "\n")
            except OSError as error:
                raise OutboxError(f"the outbox {self._file.name} cannot be written ({error})", "make room for it") from error

    def _line(self, entry: Entry) -> str:
        known = {"seq": entry.seq, "kind": entry.kind, "fields": entry.fields, "boot": "" if entry.earlier else self._boot}
        return json.dumps(known, separators=(",", ":"))
