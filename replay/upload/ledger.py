"""What the run has made on the site, in a file of its own: written, and forced to the disk, before the first byte is sent.

It decides what a resumed run still has to send, and what cleaning up may remove: nothing that is not in it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from replay.failures import disk_fault
from replay.results import ResultError

LEDGER = "uploads.jsonl"
#: every label that we give begins so
PREFIX = "TM-"
State = Literal["intended", "archived", "verified", "failed", "removed"]


def label_of(run: str, number: int) -> str:
    """The label of an exam on the site: of its subject and of its session."""
    return f"{PREFIX}{run}-{number:04d}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One exam. `experiment` is its id on the site, `action` its UPLOAD as in a result, `failure` why it could not be done.

    `bytes` is the sum of its files. `intended` may or may not be on the site, in whole or in part.
    """

    exam: int
    burst: int
    project: str
    label: str
    study: str
    files: int
    bytes: int
    source: str
    state: State
    at_ns: int
    experiment: str | None = None
    action: Mapping[str, Any] | None = None
    failure: str | None = None


class Ledger:
    """The entries by exam; each line of the file replaces the earlier one of its exam."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._entries: dict[int, Entry] = {}
        if file.exists():
            self._load()

    def __iter__(self) -> Iterator[Entry]:
        return iter([self._entries[exam] for exam in sorted(self._entries)])

    def get(self, exam: int) -> Entry | None:
        """What is known of an exam."""
        return self._entries.get(exam)

    @property
    def labels(self) -> frozenset[str]:
        """The labels that are ours."""
        return frozenset(one.label for one in self._entries.values())

    def put(self, entry: Entry) -> Entry:
        """Note it; when this returns it is on the disk. Raises DiskError."""
        line = json.dumps(asdict(entry), separators=(",", ":")) + "\n"
        try:
            with self._file.open("ab") as file:
                file.write(line.encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise disk_fault(error) from error
        self._entries[entry.exam] = entry
        return entry

    def change(self, exam: int, **changes: Any) -> Entry:
        """Note what has become of an exam; raises DiskError."""
        return self.put(replace(self._entries[exam], **changes))

    def _load(self) -> None:
        known = {one.name for one in fields(Entry)}
        try:
            content = self._file.read_bytes()
            whole, newline, _torn = content.rpartition(b"\n")
            if len(whole) + len(newline) < len(content):  # a killed process did not finish its line; nothing was sent for it
                os.truncate(self._file, len(whole) + len(newline))
            for line in whole.splitlines():
                raw = json.loads(line)
                entry = Entry(**{name: value for name, value in raw.items() if name in known})
                self._entries[entry.exam] = entry
        except (OSError, ValueError, TypeError) as error:
            raise ResultError(
                f"{self._file} cannot be read ({error})", "without it nothing is sent and nothing removed"
            ) from error
