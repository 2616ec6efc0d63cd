"""The exams to upload: what a folder or a zip holds, looked at before anything is sent."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any

import pydicom
from pydicom.errors import InvalidDicomError

from replay.upload.faults import ExamError, UploadUsageError
from replay.upload.throttle import LARGEST_CHUNK_BYTES, Throttle
from replay.upload.zip_body import FILE_LIMIT_BYTES, Body, Member, file_pieces, zip_pieces, zip_size

_REMEDY = "one folder or zip per exam, with DICOM files only"
_UNREADABLE = (InvalidDicomError, AttributeError, EOFError, KeyError, NotImplementedError, TypeError, ValueError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exam:
    """One study that can be sent: a zip that is there (`archive`), or files that are zipped on the way (`members`).

    `study` is its StudyInstanceUID, `files` and `bytes` what the site must hold afterwards, `digests` how often each SHA-256
    occurs (None where nobody asked). `leftovers` says that there are other files in the zip, for the site to pass over.
    """

    source: str
    study: str
    files: int
    bytes: int
    members: tuple[Member, ...] = ()
    archive: Path | None = None
    leftovers: bool = False
    digests: Mapping[str, int] | None = field(default=None, repr=False)

    def body(self, throttle: Any) -> Body:
        """What is sent; `throttle` makes one for every pass."""
        archive = self.archive
        if archive is not None:
            return Body(archive.stat().st_size, lambda: file_pieces(archive), throttle)
        return Body(zip_size(self.members), lambda: zip_pieces(self.members), throttle)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How exams are looked at: whether to sum up the files' digests, and whether other files may lie among them."""

    digests: bool = False
    skip_others: bool = False


def sources_in(folder: Path) -> list[Path]:
    """The exams of a folder, in the order of their names: its folders and zips; or itself, where it holds files of an exam."""
    try:
        entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise UploadUsageError(f"the folder {folder} cannot be read ({error.strerror})", "name a folder with exams") from error
    exams = [path for path in entries if path.is_dir() or path.suffix.lower() == ".zip"]
    if exams and any(path.is_file() and not _is_side_file(path.name) for path in entries if path not in exams):
        raise UploadUsageError(f"{folder} holds exams and other files", "give each exam a folder or zip of its own")
    if not entries:
        raise UploadUsageError(f"{folder} is empty", "put a folder or a zip for every exam into it")
    return exams or [folder]


def exam_of(source: Path, look: Look) -> Exam:
    """Look at every file of a folder or zip; raises ExamError for what cannot be uploaded, and names the file."""
    seen = _Seen(source.name, look)
    if source.is_dir():
        members = tuple(
            Member(name=name, path=path, size=size, crc=crc)
            for path in sorted(path for path in source.rglob("*") if path.is_file())
            for name in [path.relative_to(source).as_posix()]
            if not _is_side_file(name)
            for found in [_of_path(seen, name, path)]
            if found is not None
            for size, crc in [found]
        )
        return seen.exam(members=members)
    _of_zip(seen, source)
    return seen.exam(archive=source)


class _Seen:
    """What was seen of one exam so far."""

    def __init__(self, source: str, look: Look) -> None:
        self._source = source
        self._look = look
        self._studies: set[str] = set()
        self._digests: Counter[str] = Counter()
        self._files = 0
        self._bytes = 0
        self._leftovers = False

    def take(self, name: str, header: IO[bytes], blocks: Iterator[bytes]) -> tuple[int, int] | None:
        """One file: its size and checksum; None when it is no DICOM file and may be left out."""
        study = _study_of(header)
        if study is None:
            if not self._look.skip_others:
                raise ExamError(f"{self._source}: {name} is no DICOM file", "take it away, or say --set others=skip")
            self._leftovers = True
            return None
        size, crc, digest = 0, 0, hashlib.sha256()
        for block in blocks:
            size += len(block)
            crc = zlib.crc32(block, crc)
            if self._look.digests:
                digest.update(block)
        if size >= FILE_LIMIT_BYTES:
            raise ExamError(f"{self._source}: {name} has {size} bytes", "files of 4 GiB and more cannot be uploaded")
        self._studies.add(study)
        self._files += 1
        self._bytes += size
        if self._look.digests:
            self._digests[digest.hexdigest()] += 1
        return size, crc

    def exam(self, *, members: tuple[Member, ...] = (), archive: Path | None = None) -> Exam:
        """What it comes to."""
        if not self._files:
            raise ExamError(f"{self._source} holds no DICOM file", _REMEDY)
        if len(self._studies) > 1:
            raise ExamError(f"{self._source} holds {len(self._studies)} studies", _REMEDY)
        return Exam(
            source=self._source,
            study=min(self._studies),
            files=self._files,
            bytes=self._bytes,
            members=members,
            archive=archive,
            leftovers=self._leftovers and archive is not None,
            digests=dict(self._digests) if self._look.digests else None,
        )


def _of_path(seen: _Seen, name: str, path: Path) -> tuple[int, int] | None:
    try:
        with path.open("rb") as header:
            return seen.take(name, header, file_pieces(path))
    except OSError as error:
        raise ExamError(f"{path} cannot be read ({error.strerror})", "correct that") from error


def _of_zip(seen: _Seen, source: Path) -> None:
    try:
        with zipfile.ZipFile(source) as archive:
            for info in archive.infolist():
                if info.is_dir() or _is_side_file(info.filename):
                    continue
                with archive.open(info) as header, archive.open(info) as content:
                    seen.take(info.filename, header, iter(lambda content=content: content.read(LARGEST_CHUNK_BYTES), b""))  # type: ignore[misc]
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise ExamError(f"the zip {source.name} cannot be read ({error})", "make it again") from error
    except OSError as error:
        raise ExamError(f"{source} cannot be read ({error.strerror or error})", "correct that") from error


def _study_of(file: IO[bytes]) -> str | None:
    try:
        dataset = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=["StudyInstanceUID"])
        return str(dataset.StudyInstanceUID) or None
    except _UNREADABLE:
        return None


def _is_side_file(name: str) -> bool:
    """DICOMDIRs, catalogues and what operating systems leave behind: never part of an exam."""
    path = PurePosixPath(name)
    return path.name.startswith(".") or path.name == "DICOMDIR" or path.suffix == ".xml" or "__MACOSX" in path.parts


def unthrottled() -> Throttle:
    """No limit."""
    return Throttle(None, lambda: 0, lambda _seconds: None)
