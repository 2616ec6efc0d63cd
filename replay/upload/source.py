"""Where the exams of a run come from: a folder of the user's, or the phantom."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

from replay.lab.studies import exam_bytes
from replay.upload.exams import Exam, Look, exam_of, sources_in
from replay.upload.faults import UploadUsageError
from replay.upload.synthetic import make_exam


class FolderSource:
    """Exams of a folder, in the order of their names; the files are sent as they are."""

    def __init__(self, folder: Path, look: Look, most: int | None) -> None:
        found = sources_in(folder)
        if most is not None and most > len(found):
            raise UploadUsageError(f"{folder} holds {len(found)} exams, not {most}", "ask for fewer, or add exams")
        self._found = found if most is None else found[:most]
        self._look = look

    def __len__(self) -> int:
        return len(self._found)

    def exam(self, number: int, label: str, work: Path) -> Exam:  # noqa: ARG002 (the protocol's)
        """Looks at every file."""
        return exam_of(self._found[number - 1], self._look)

    def name(self, number: int) -> str:
        """The folder's or zip's name."""
        return self._found[number - 1].name

    def fingerprint(self) -> str:
        """Changes when other exams are in the folder; their content is compared when they are sent."""
        return hashlib.sha256(json.dumps([path.name for path in self._found]).encode()).hexdigest()


class SyntheticSource:
    """Exams of nobody, made when they are needed."""

    def __init__(self, exams: int, size: str, look: Look) -> None:
        exam_bytes(size)  # a clear error now, not in hours
        self._exams = exams
        self._size = size
        self._look = look

    def __len__(self) -> int:
        return self._exams

    def exam(self, number: int, label: str, work: Path) -> Exam:
        """Made in `work`, which is the caller's to remove."""
        shutil.rmtree(work / label, ignore_errors=True)
        return replace(exam_of(make_exam(work / label, label, self._size), self._look), source=self.name(number))

    def name(self, number: int) -> str:
        """What it is."""
        return f"synthetic exam {number}, {self._size}"

    def fingerprint(self) -> str:
        """The same for the same exams."""
        return hashlib.sha256(f"{self._exams} {self._size}".encode()).hexdigest()
