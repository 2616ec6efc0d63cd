"""The synthetic studies: DICOM files of the phantom, the archive's layout and its manifest; made once per size and kept."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from replay.lab.faults import LabUsageFault
from replay.lab.folders import locked
from replay.lab.phantom import ChestPhantom, Kernel
from replay.lab.population import manifest, scan

#: the exam that the scenarios open and download
EXAM = {"project": "COVID19_CT", "subject": "COVID_0001", "session": "COVID_0001_CT1", "scans": ["2", "3"]}

#: bytes that a slice's file has besides its pixels (measured, within some tens)
HEADER_BYTES = 1212
_SMALL = (60, 80)
_BESIDE = (24, 256)  # slices and matrix of the exams that stand beside the practice exam
_FORMAT = 1  # raise it when the files or the manifest change: the cache is keyed by it
_FEWEST_SLICES = 60

Progress = Callable[[int, int], None]


def silent(_done: int, _total: int) -> None:
    """The progress callback that shows nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One scan to make: where it belongs, how many slices of which matrix, with which kernel."""

    project: str
    subject: str
    session: str
    scan: str
    description: str
    kernel: Kernel
    slices: int
    side: int

    @property
    def directory(self) -> str:
        """Its folder below the archive, as XNAT lays it out."""
        return f"{self.project}/arc001/{self.session}/SCANS/{self.scan}/DICOM"


def exam_bytes(size: str) -> int | None:
    """`small` is None; `<n>MB` is n million bytes; anything else a LabUsageFault."""
    if size == "small":
        return None
    matched = re.fullmatch(r"([1-9][0-9]{0,4})MB", size)
    if matched is None:
        raise LabUsageFault(
            f"the exam size {size!r} is not understood", "give small or a whole number of megabytes such as 460MB"
        )
    return int(matched[1]) * 1_000_000


def plan(size: str) -> list[Series]:
    """The series to make for an exam size: two of the practice exam, one of each small exam beside it."""
    wanted = exam_bytes(size)
    if wanted is None:
        side, (lung, soft) = 256, _SMALL
    else:
        # The largest matrix that still gives slices enough to scroll through, and to meet the size within a percent.
        side = next((side for side in (512, 256, 128) if wanted >= _FEWEST_SLICES * _slice_bytes(side)), 64)
        total = round(wanted / _slice_bytes(side))
        total += total % 2 if total > 3 * _FEWEST_SLICES else 0  # series of one length where the size allows
        lung, soft = total - total // 2, total // 2
    project, subject, session = str(EXAM["project"]), str(EXAM["subject"]), str(EXAM["session"])
    return [
        _series(project, subject, session, "lung", lung, side),
        _series(project, subject, session, "soft", soft, side),
        _series(project, "COVID_0002", "COVID_0002_CT1", "lung", *_BESIDE),
        _series("CHEST_CT", "CHEST_0001", "CHEST_0001_CT1", "lung", *_BESIDE),
    ]


def _series(project: str, subject: str, session: str, kernel: Kernel, slices: int, side: int) -> Series:
    number = "2" if kernel == "lung" else "3"
    return Series(
        project=project,
        subject=subject,
        session=session,
        scan=number,
        description=f"AXIAL {kernel.upper()}",
        kernel=kernel,
        slices=slices,
        side=side,
    )


def fill_archive(archive: Path, size: str, cache: Path, say: Callable[[str], None], progress: Progress = silent) -> None:
    """Puts the studies and manifest.json into the archive: links to the cache where the file system allows, else copies."""
    shutil.copytree(cached_studies(size, cache, say, progress), archive, copy_function=_link_or_copy, dirs_exist_ok=True)


def cached_studies(size: str, cache: Path, say: Callable[[str], None], progress: Progress = silent) -> Path:
    """The folder with the studies of that size, made on first use."""
    kept = cache / "studies" / f"{size}-{_FORMAT}"
    with locked(cache / "studies.lock"):
        if not kept.exists():
            say(f"making the studies (exam size {size})")
            kept.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=kept.parent) as work:
                make_studies(Path(work) / "archive", plan(size), progress)
                (Path(work) / "archive").replace(kept)
    return kept


def make_studies(target: Path, series: list[Series], progress: Progress = silent) -> None:
    """Writes the series' DICOM files and the manifest below `target`; the same series give the same bytes."""
    total = sum(one.slices for one in series)
    done = 0
    for one in series:
        folder = target / one.directory
        folder.mkdir(parents=True)
        phantom = ChestPhantom(one.side, _seed(one.subject))
        header = _header(one)
        for index in range(one.slices):
            rng = np.random.default_rng([_seed(one.session), int(one.scan), index])
            pixels = phantom.slice(index / max(1, one.slices - 1), one.kernel, rng)
            _place(header, one, index)
            header.PixelData = (pixels + 1024).astype("<u2").tobytes()
            header.save_as(folder / f"{one.session}-{one.scan}-{index + 1:04d}.dcm", enforce_file_format=True)
            done += 1
            progress(done, total)
    (target / "manifest.json").write_text(json.dumps(manifest(_exams(series))), encoding="utf-8")


def _exams(series: list[Series]) -> list[dict[str, Any]]:
    exams: dict[str, dict[str, Any]] = {}
    for one in series:
        fresh = {
            "project": one.project,
            "subject": one.subject,
            "label": one.session,
            "xsi_type": "xnat:ctSessionData",
            "date": "2021-03-04",
            "age": 58,
            "scanner": "SCANNER-B 128",
            "scans": [],
        }
        exams.setdefault(one.session, fresh)["scans"].append(scan(one.scan, "AXIAL", one.description, one.directory, one.slices))
    return list(exams.values())


def _header(one: Series) -> Dataset:
    """What all slices of a series share."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = _uid("implementation")
    meta.ImplementationVersionName = "TRACEMARK_LAB"
    header = Dataset()
    header.file_meta = meta
    spacing = 360 / one.side
    shared: dict[str, Any] = {
        "SpecificCharacterSet": "ISO_IR 192",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "SOPClassUID": CTImageStorage,
        "StudyDate": "20210304",
        "SeriesDate": "20210304",
        "StudyTime": "101500",
        "SeriesTime": f"1015{int(one.scan):02d}",
        "AccessionNumber": "",
        "Modality": "CT",
        "Manufacturer": "TRACEMARK",
        "ManufacturerModelName": "SYNTHETIC",
        "ReferringPhysicianName": "",
        "StudyDescription": "CHEST CT",
        "SeriesDescription": one.description,
        "PatientName": one.subject,
        "PatientID": one.subject,
        "PatientBirthDate": "",
        "PatientSex": "O",
        "BodyPartExamined": "CHEST",
        "PatientPosition": "HFS",
        "KVP": "120",
        "ConvolutionKernel": one.kernel.upper(),
        "StudyInstanceUID": _uid(one.session),
        "SeriesInstanceUID": _uid(one.session, one.scan),
        "FrameOfReferenceUID": _uid(one.session, "frame"),
        "StudyID": "1",
        "SeriesNumber": one.scan,
        "PositionReferenceIndicator": "",
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "SliceThickness": _thickness(one),
        "PixelSpacing": [spacing, spacing],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": one.side,
        "Columns": one.side,
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        "WindowCenter": -600 if one.kernel == "lung" else 40,
        "WindowWidth": 1500 if one.kernel == "lung" else 400,
        "RescaleIntercept": -1024,
        "RescaleSlope": 1,
        "RescaleType": "HU",
    }
    for keyword, value in shared.items():
        setattr(header, keyword, value)
    return header


def _place(header: Dataset, one: Series, index: int) -> None:
    """What is each slice's own: its UID, number and position."""
    instance = _uid(one.session, one.scan, str(index))
    header.file_meta.MediaStorageSOPInstanceUID = instance
    header.SOPInstanceUID = instance
    header.InstanceNumber = index + 1
    depth = round(-index * _thickness(one), 4)
    header.ImagePositionPatient = [-180, -180, depth]
    header.SliceLocation = depth


def _thickness(one: Series) -> float:
    """Millimetres, so that any number of slices covers a chest of 300 mm."""
    return round(300 / one.slices, 4)


def _slice_bytes(side: int) -> int:
    return side * side * 2 + HEADER_BYTES


def _uid(*parts: str) -> UID:
    """A UID of its own for these words: DICOM's form of a 128-bit number, here from a hash, so that it is the same every time."""
    digest = hashlib.sha256("\0".join(("tracemark", *parts)).encode()).digest()
    return UID(f"2.25.{int.from_bytes(digest[:16], 'big')}")


def _seed(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
