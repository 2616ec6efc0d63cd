"""A site in memory for uploads: it stores what it is sent, and fails as the test says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from replay.failures import ConnectionFailedError
from replay.upload.exams import Exam
from replay.upload.ledger import Entry
from replay.upload.site import Stored
from replay.upload.zip_body import Body
from tests.support.replay_fakes import FakeTime


class FakeSite:
    """`sends` are what happens to the next uploads, in order: None stores it, an exception is raised with half of it stored.

    `did` lists what was asked, `archived` and `waiting` what is there by label.
    """

    def __init__(self) -> None:
        self.archived: dict[str, Stored] = {}
        self.waiting: dict[str, Stored] = {}
        self.others: set[str] = set()
        self.sends: list[Exception | None] = []
        self.did: list[str] = []
        self.headers: list[str] = []
        self.received: dict[str, int] = {}
        self.on_send: Callable[[Entry], object] = lambda _entry: None
        self.not_ready = 0
        self.late_files = 0
        self.changes_bytes = 0
        self.wrong_digests = False
        self.connected = False
        self._ids = 0

    def connect(self) -> None:
        self.connected = True
        self.did.append("connect")

    def close(self) -> None:
        self.connected = False

    def label(self, traceparent: str) -> None:
        self.headers.append(traceparent)

    def labels_in(self, project: str) -> frozenset[str]:
        return frozenset({*self.archived, *self.waiting, *self.others})

    def send(self, entry: Entry, exam: Exam, body: Body, destination: str) -> None:
        self.did.append(f"send {entry.label}")
        self.on_send(entry)
        self.received[entry.label] = sum(len(chunk) for chunk in body)
        self._ids += 1
        stored = Stored(experiment=f"E{self._ids}", files=exam.files, bytes=exam.bytes + self.changes_bytes, uris=("/file",))
        place = self.archived if destination == "archive" else self.waiting
        if self.sends and (fault := self.sends.pop(0)) is not None:
            self.waiting[entry.label] = replace(stored, files=stored.files - 1)
            raise fault
        place[entry.label] = stored

    def archive(self, entry: Entry) -> bool:
        if self.not_ready:
            self.not_ready -= 1
            return False
        if entry.label in self.waiting:
            self.archived[entry.label] = self.waiting.pop(entry.label)
        return entry.label in self.archived

    def stored(self, entry: Entry) -> Stored | None:
        found = self.archived.get(entry.label)
        if found is not None and self.late_files:
            self.late_files -= 1
            return replace(found, files=found.files - 1)
        return found

    def digests(self, stored: Stored) -> Counter[str]:
        self.did.append("digests")
        return Counter() if self.wrong_digests else Counter({"a": stored.files})

    def remove(self, entry: Entry) -> int:
        self.did.append(f"remove {entry.label}")
        found = [place.pop(entry.label) for place in (self.archived, self.waiting) if entry.label in place]
        return len(found)


class FakeMarkers:
    """Notes what it is told, with the time."""

    def __init__(self, time: FakeTime) -> None:
        self.told: list[tuple[str, float]] = []
        self._time = time
        self._ids = 0

    def begin(self, action: str) -> str:
        self._ids += 1
        self.told.append((f"begin {action}", self._time.now_s))
        return f"{self._ids:016x}"

    def end(self, action_id: str, **attributes: int | str) -> None:
        self.told.append((f"end {sorted(attributes)}", self._time.now_s))

    def cancel(self, action_id: str) -> None:
        self.told.append(("cancel", self._time.now_s))


class FakeSource:
    """Exams out of one file; `broken` are the numbers of those that cannot be uploaded."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.broken: dict[int, Exception] = {}
        self.made: list[int] = []

    def exam(self, number: int, label: str, work: Path) -> Exam:
        self.made.append(number)
        if number in self.broken:
            raise self.broken[number]
        return an_exam(self._file, study=f"1.2.{number}")

    def name(self, number: int) -> str:
        return f"exam {number}"


def an_exam(file: Path, study: str = "1.2.3") -> Exam:
    """Two files that are one zip already."""
    return Exam(source=file.name, study=study, files=2, bytes=1000, archive=file, digests={"a": 2})


def gone() -> ConnectionFailedError:
    return ConnectionFailedError("uploading: the connection failed (ECONNRESET)", "look at the network and the site")
