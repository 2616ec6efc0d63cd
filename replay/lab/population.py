"""The catalogue that searches go through: invented projects, subjects and sessions; people are codes, never names."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

#: id, prefix of its subjects' codes, name, description
PROJECTS = (
    ("CHEST_CT", "CHEST", "Chest CT", "Routine chest examinations"),
    ("COVID19_CT", "COVID", "COVID-19 CT", "Chest examinations of the pandemic years"),
    ("LUNG_SCREEN", "LUNG", "Lung screening", "Low-dose screening, yearly visits"),
    ("HEAD_CT", "HEAD", "Head CT", "Head examinations without contrast"),
)
SUBJECTS = 1200
SESSIONS = 2500
_SCANNERS = ("SCANNER-A 64", "SCANNER-B 128", "SCANNER-C 256")
_SERIES = {
    "HEAD_CT": (("LOCALIZER", "SCOUT"), ("AXIAL", "AXIAL BRAIN"), ("AXIAL", "AXIAL BONE")),
    "": (("LOCALIZER", "SCOUT"), ("AXIAL", "AXIAL LUNG"), ("AXIAL", "AXIAL SOFT"), ("CORONAL", "CORONAL MPR")),
}


def manifest(exams: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The archive's manifest: four projects, 1200 subjects, 2500 sessions; always the same for the same exams.

    `exams` are the sessions that have files; they stand first.
    """
    rng = random.Random("tracemark lab catalogue")  # noqa: S311 -- invented data, no secret
    subjects = [_subject(project, prefix, number, rng) for project, prefix, number in _numbered()]
    sessions = [dict(exam) for exam in exams]
    taken = {(session["project"], session["label"]) for session in sessions}
    visits = [subject for subject in subjects for _ in range(2)] + rng.choices(subjects, k=SESSIONS - 2 * SUBJECTS)
    count: dict[str, int] = {}
    for subject in visits:
        label = str(subject["label"])
        count[label] = count.get(label, 0) + 1
        session = _session(subject, f"{label}_CT{count[label]}", count[label], rng)
        if (session["project"], session["label"]) not in taken:
            sessions.append(session)
    return {
        "projects": [
            {
                "id": project,
                "name": name,
                "description": description,
                "pi_firstname": "Core",
                "pi_lastname": f"{prefix.title()} Imaging",
            }
            for project, prefix, name, description in PROJECTS
        ],
        "subjects": subjects,
        "sessions": sessions,
    }


def _numbered() -> list[tuple[str, str, int]]:
    each = SUBJECTS // len(PROJECTS)
    return [(project, prefix, number) for project, prefix, _, _ in PROJECTS for number in range(1, each + 1)]


def _subject(project: str, prefix: str, number: int, rng: random.Random) -> dict[str, Any]:
    return {
        "project": project,
        "label": f"{prefix}_{number:04d}",
        "gender": rng.choice(("female", "male")),
        "yob": rng.randint(1932, 1998),
    }


def _session(subject: Mapping[str, Any], label: str, visit: int, rng: random.Random) -> dict[str, Any]:
    year = 2017 + min(visit, 5) + rng.randint(0, 2)
    project = str(subject["project"])
    return {
        "project": project,
        "subject": subject["label"],
        "label": label,
        "xsi_type": "xnat:ctSessionData",
        "date": f"{year}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}",
        "age": year - int(subject["yob"]),
        "scanner": rng.choice(_SCANNERS),
        "scans": [
            scan(str(number), kind, series, None, 1 if kind == "LOCALIZER" else rng.randint(80, 400))
            for number, (kind, series) in enumerate(_SERIES.get(project, _SERIES[""]), start=1)
        ],
    }


def scan(number: str, kind: str, series: str, directory: str | None, frames: int) -> dict[str, Any]:
    """One scan of a session as the manifest has it; `directory` is relative to the archive, None when it has no files."""
    return {
        "id": number,
        "type": kind,
        "series_description": series,
        "modality": "CT",
        "xsi_type": "xnat:ctScanData",
        "quality": "usable",
        "directory": directory,
        "frames": frames,
    }
