"""Fills the empty catalogue from `manifest.json`, once."""

import json
import os
from pathlib import Path
from typing import Any

import psycopg

from replay.lab.web.database import SCHEMA_LOCK, Connection, Database
from replay.lab.web.errors import SettingsError

MANIFEST = "manifest.json"


def seed_when_empty(database: Database, archive: Path) -> int:
    """Reads the manifest into the catalogue when that holds no project; returns the number of sessions taken in.

    Accession ids follow the order of the manifest. Raises SettingsError when the manifest is missing or not readable.
    """
    with database.transaction() as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [SCHEMA_LOCK])
        if connection.execute("SELECT 1 FROM xnat_projectdata LIMIT 1").fetchone() is not None:
            return 0
        manifest = _read(archive / MANIFEST)
        try:
            _projects(connection, manifest)
            _sessions(connection, manifest, _subjects(connection, manifest), archive)
        except KeyError as problem:
            raise SettingsError(f"{archive / MANIFEST}: an entry lacks {problem}: write the manifest anew") from problem
        except (psycopg.DataError, psycopg.IntegrityError) as problem:
            reason = str(problem).splitlines()[0]
            raise SettingsError(f"{archive / MANIFEST}: does not fit together ({reason}): write it anew") from problem
        for table in ("xnat_subjectdata", "xnat_experimentdata", "xnat_imagescandata", "catalog_entry"):
            connection.execute(f"ANALYZE {table}".encode())
        return len(manifest.get("sessions", []))


def _read(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise SettingsError(f"{path}: cannot be read ({problem}): LAB_ARCHIVE must hold a {MANIFEST}") from problem
    if not isinstance(manifest, dict):
        raise SettingsError(f"{path}: must be a JSON object with projects, subjects and sessions")
    return manifest


def _projects(connection: Connection, manifest: dict[str, Any]) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO xnat_projectdata (id, secondary_id, name, description, pi_firstname, pi_lastname)"
            " VALUES (%s, %s, %s, %s, %s, %s)",
            [
                (
                    project["id"],
                    project["id"],
                    project.get("name") or project["id"],
                    project.get("description") or "",
                    project.get("pi_firstname") or "",
                    project.get("pi_lastname") or "",
                )
                for project in manifest.get("projects", [])
            ],
        )


def _subjects(connection: Connection, manifest: dict[str, Any]) -> dict[tuple[str, str], str]:
    ids: dict[tuple[str, str], str] = {}
    statement = "COPY xnat_subjectdata (id, project, label, gender, yob) FROM STDIN"
    with connection.cursor().copy(statement) as copy:
        for number, subject in enumerate(manifest.get("subjects", []), 1):
            key = (subject["project"], subject["label"])
            ids[key] = f"XNAT_S{number:05d}"
            copy.write_row((ids[key], *key, subject.get("gender") or "", subject.get("yob")))
    connection.execute("SELECT setval('subject_number', %s, %s)", [max(len(ids), 1), bool(ids)])
    return ids


def _sessions(connection: Connection, manifest: dict[str, Any], subjects: dict[tuple[str, str], str], archive: Path) -> None:
    sessions = manifest.get("sessions", [])
    ids = [f"XNAT_E{number:05d}" for number in range(1, len(sessions) + 1)]
    with connection.cursor().copy("COPY xnat_experimentdata (id, project, label, xsi_type, date) FROM STDIN") as copy:
        for accession, session in zip(ids, sessions, strict=True):
            row = (accession, session["project"], session["label"], session["xsi_type"], session.get("date"))
            copy.write_row(row)
    with connection.cursor().copy("COPY xnat_subjectassessordata (id, subject_id, age) FROM STDIN") as copy:
        for accession, session in zip(ids, sessions, strict=True):
            key = (session["project"], session["subject"])
            if key not in subjects:
                raise SettingsError(f"{MANIFEST}: session {session['label']} names the unknown subject {key[1]}")
            copy.write_row((accession, subjects[key], session.get("age")))
    with connection.cursor().copy("COPY xnat_imagesessiondata (id, scanner, modality) FROM STDIN") as copy:
        for accession, session in zip(ids, sessions, strict=True):
            scans = session.get("scans", [])
            copy.write_row((accession, session.get("scanner") or "", scans[0].get("modality", "") if scans else ""))
    for accession, session in zip(ids, sessions, strict=True):
        for scan in session.get("scans", []):
            _scan(connection, accession, scan, archive)
    connection.execute("SELECT setval('experiment_number', %s, %s)", [max(len(ids), 1), bool(ids)])


def _scan(connection: Connection, session_id: str, scan: dict[str, Any], archive: Path) -> None:
    made = connection.execute(
        "INSERT INTO xnat_imagescandata"
        " (image_session_id, id, type, xsi_type, series_description, modality, quality, frames)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s) RETURNING xnat_imagescandata_id",
        [
            session_id,
            str(scan["id"]),
            scan.get("type") or "",
            scan.get("xsi_type") or "xnat:imageScanData",
            scan.get("series_description") or scan.get("type") or "",
            scan.get("modality") or "",
            scan.get("quality") or "usable",
            scan.get("frames"),
        ],
    ).fetchone()
    assert made is not None  # noqa: S101 - RETURNING of one inserted row
    if not scan.get("directory"):
        return
    folder = archive / scan["directory"]
    resource = connection.execute(
        "INSERT INTO xnat_abstractresource (owner_kind, owner_id, label, format, content, directory)"
        " VALUES ('scan', %s, %s, 'DICOM', 'RAW', %s) RETURNING xnat_abstractresource_id",
        [str(made["xnat_imagescandata_id"]), folder.name, scan["directory"]],
    ).fetchone()
    assert resource is not None  # noqa: S101
    try:
        files = sorted((entry for entry in os.scandir(folder) if entry.is_file()), key=lambda entry: entry.name)
    except OSError as problem:
        raise SettingsError(f"{MANIFEST}: the folder {scan['directory']} of a scan cannot be read ({problem})") from problem
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO catalog_entry (resource_id, name, size, format, content) VALUES (%s, %s, %s, 'DICOM', 'RAW')",
            [
                (resource["xnat_abstractresource_id"], entry.name, entry.stat().st_size)
                for entry in files
                if not entry.name.endswith("_catalog.xml")
            ],
        )
