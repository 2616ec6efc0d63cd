"""Imports: an uploaded zip (or a single DICOM file) becomes sessions in the prearchive.

Files of one study become one session, files of one series one scan, whose id is the series number.
"""

import re
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path, PurePosixPath
from typing import IO, Any

import pydicom

from replay.lab.web.database import Row
from replay.lab.web.errors import UnreadableUpload
from replay.lab.web.prearchive import UNASSIGNED, Prearchive
from replay.lab.web.storage import safe_name
from replay.lab.web.viewer import UNREADABLE, plain

_KEYWORDS = (
    "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SeriesNumber", "PatientID", "PatientName", "StudyDate",
    "StudyTime", "StudyID",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportWish:
    """What the uploader wants: ids given by hand win over what stands in the files."""

    project: str | None
    subject: str | None
    session: str | None
    ignore_unparsable: bool


def label_of(text: str, fallback: str) -> str:
    """Makes a label out of free text: other characters become _; an empty one becomes the fallback."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", text).strip("_.")[:64] or fallback


class Importer:
    """Takes uploads apart."""

    def __init__(self, prearchive: Prearchive) -> None:
        self._prearchive = prearchive

    def take_in(self, upload: IO[bytes], wish: ImportWish, archive: Path) -> list[Row]:
        """Stores an upload as sessions in the prearchive and returns them.

        Raises UnreadableUpload when it holds no DICOM file, or another file without `ignore_unparsable`.
        """
        project = wish.project or UNASSIGNED
        stamp, folder = self._prearchive.new_place(project)
        studies: dict[str, dict[str, str]] = {}
        try:
            studies = self._sort(upload, archive / folder, wish)
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as problem:
            raise UnreadableUpload(f"The zip cannot be read ({problem}): send it again.") from problem
        finally:
            if not studies:
                shutil.rmtree(archive / folder, ignore_errors=True)
        registered: list[Row] = []
        for uid, facts in studies.items():
            patient = label_of(facts["PatientName"], "subject")
            name = wish.session or label_of(facts["PatientID"] or facts["StudyID"], patient)
            if len(studies) > 1:
                name = f"{name}_{len(registered) + 1}"
            (archive / folder / uid).rename(archive / folder / name)
            registered.append(
                self._prearchive.register(
                    {
                        "project": project,
                        "timestamp": stamp,
                        "name": name,
                        "subject": wish.subject or patient,
                        "scan_date": _date(facts["StudyDate"]),
                        "scan_time": _time(facts["StudyTime"]),
                        "directory": str(folder / name),
                    }
                )
            )
        return registered

    def _sort(self, upload: IO[bytes], folder: Path, wish: ImportWish) -> dict[str, dict[str, str]]:
        studies: dict[str, dict[str, str]] = {}
        scan_ids: dict[str, str] = {}
        for name, source in _members(upload):
            staged = folder / ".incoming"
            with staged.open("wb") as out:
                shutil.copyfileobj(source, out)
            facts = _facts(staged)
            if facts is None:
                if not wish.ignore_unparsable and not _is_side_file(name):
                    raise UnreadableUpload(f"{name} is no DICOM file: remove it or add Ignore-Unparsable=true.")
                staged.unlink()
                continue
            study = label_of(facts["StudyInstanceUID"], "study")
            studies.setdefault(study, facts)
            scan = _scan_id(facts, scan_ids)
            place = folder / study / "SCANS" / scan / "DICOM"
            place.mkdir(parents=True, exist_ok=True)
            staged.rename(_free(place, PurePosixPath(name).name))
        if not studies:
            raise UnreadableUpload("The upload holds no DICOM file: send a zip of DICOM files.")
        return studies


def _members(upload: IO[bytes]) -> Iterator[tuple[str, IO[bytes]]]:
    if not zipfile.is_zipfile(upload):
        upload.seek(0)
        yield "upload.dcm", upload
        return
    upload.seek(0)
    with zipfile.ZipFile(upload) as archive:
        for info in archive.infolist():
            if not info.is_dir():
                with archive.open(info) as member:
                    yield info.filename, member


def _facts(path: Path) -> dict[str, str] | None:
    try:
        dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(_KEYWORDS))
    except UNREADABLE:
        return None
    facts = {keyword: _text(plain(dataset.get(keyword))) for keyword in _KEYWORDS}
    return facts if facts["StudyInstanceUID"] and facts["SeriesInstanceUID"] else None


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _scan_id(facts: dict[str, str], taken: dict[str, str]) -> str:
    """The series number; a second series with the same number gets a suffix."""
    uid = facts["SeriesInstanceUID"]
    if uid not in taken:
        number = label_of(facts["SeriesNumber"], "1")
        used = set(taken.values())
        taken[uid] = next(
            name for name in (number, *(f"{number}-{again}" for again in range(1, len(used) + 2))) if name not in used
        )
    return taken[uid]


def _free(folder: Path, name: str) -> Path:
    name = label_of(name, "file.dcm")
    path, number = folder / safe_name(name[-64:]), 1
    while path.exists():
        path = folder / f"{number}_{name[-58:]}"
        number += 1
    return path


def _is_side_file(name: str) -> bool:
    """DICOMDIRs, catalogues and what operating systems leave in archives: passed over without complaint."""
    path = PurePosixPath(name)
    return path.name.startswith(".") or path.name == "DICOMDIR" or path.suffix == ".xml" or "__MACOSX" in path.parts


def _date(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        return ""


def _time(text: str) -> str:
    return f"{text[:2]}:{text[2:4]}:{text[4:6]}" if re.match(r"\d{6}", text) else ""
