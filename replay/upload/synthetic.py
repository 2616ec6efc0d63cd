"""Exams of the practice system's phantom, for uploads that need no data of anybody: two series of a chest, of any size."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from replay.failures import disk_fault
from replay.lab.studies import EXAM, make_studies, plan


def make_exam(folder: Path, label: str, size: str) -> Path:
    """Write the DICOM files of one exam, `small` or `<n>MB`; patient and study are named by the label. Returns their folder.

    The same label and size give the same bytes. Raises LabUsageFault for a size, DiskError when there is no room.
    """
    series = [
        replace(one, project="exam", subject=label, session=label) for one in plan(size) if one.session == str(EXAM["session"])
    ]
    try:
        make_studies(folder, series)
    except OSError as error:
        raise disk_fault(error) from error
    return folder / "exam" / "arc001" / label / "SCANS"
