"""The prearchive: uploaded sessions that wait to be archived, and how they are archived.

A session stands in a folder `<archive>/.prearchive/<project>/<timestamp>/<name>` with its scans below `SCANS/<id>/DICOM`.
"""

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path, PurePosixPath

from replay.lab.web.catalogue import Catalogue, scan_owner
from replay.lab.web.database import Database, Row
from replay.lab.web.errors import Refused
from replay.lab.web.storage import digest_of
from replay.lab.web.viewer import header

FOLDER = ".prearchive"
UNASSIGNED = "Unassigned"
_KNOWN = frozenset({"CT", "MR", "PT", "CR", "DX", "US", "XA", "NM", "MG"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveWish:
    """Where a prearchived session shall go; None means: as it stands in the prearchive."""

    project: str | None = None
    subject: str | None = None
    session: str | None = None
    overwrite: str = "none"


def session_type(modality: str, kind: str) -> str:
    """The data type of a session (kind Session) or scan (kind Scan) of a DICOM modality."""
    prefix = {"PT": "pet"}.get(modality, modality.lower()) if modality in _KNOWN else "otherDicom"
    return f"xnat:{prefix}{kind}Data"


class Prearchive:
    """Keeps uploaded sessions and moves them into the archive."""

    def __init__(self, database: Database, catalogue: Catalogue, now: Callable[[], datetime]) -> None:
        self._database = database
        self._catalogue = catalogue
        self._now = now

    def new_place(self, project: str) -> tuple[str, PurePosixPath]:
        """Returns a fresh timestamp and the folder for a session uploaded now, relative to the archive."""
        at = self._now()
        while True:
            stamp = f"{at:%Y%m%d_%H%M%S%f}"[:-3]
            folder = PurePosixPath(FOLDER, project, stamp)
            try:
                (self._catalogue.archive / folder).mkdir(parents=True)
            except FileExistsError:  # somebody uploads in the same millisecond
                at += timedelta(milliseconds=1)
            else:
                return stamp, folder

    def register(self, row: Row) -> Row:
        """Enters a session whose files are in place; returns it as stored."""
        self._database.run(
            'INSERT INTO xdat_search.prearchive (project, "timestamp", folder_name, name, subject, status, scan_date,'
            " scan_time, directory) VALUES (%(project)s, %(timestamp)s, %(name)s, %(name)s, %(subject)s, 'READY',"
            " %(scan_date)s, %(scan_time)s, %(directory)s)",
            row,
        )
        return self.the_session(row["project"], row["timestamp"], row["name"])

    def sessions(self, project: str | None = None) -> list[Row]:
        """Returns the sessions of a project, or all."""
        return self._database.rows(
            'SELECT * FROM xdat_search.prearchive WHERE %(project)s::text IS NULL OR project = %(project)s ORDER BY "timestamp"',
            {"project": project},
        )

    def the_session(self, project: str, timestamp: str, name: str) -> Row:
        """Returns one session; Refused(404) when it is not there."""
        found = self._database.row(
            'SELECT * FROM xdat_search.prearchive WHERE project = %s AND "timestamp" = %s AND folder_name = %s',
            [project, timestamp, name],
        )
        if found is None:
            raise Refused(404, f"Unable to find the prearchive session {project}/{timestamp}/{name}.")
        return found

    def from_uri(self, uri: str) -> Row:
        """Returns the session of an address `[/data]/prearchive/projects/P/T/N`."""
        parts = uri.removeprefix("/data").strip("/").split("/")
        if len(parts) != 5 or parts[:2] != ["prearchive", "projects"]:
            raise Refused(400, f"{uri} is no prearchive session: write /prearchive/projects/P/TIMESTAMP/NAME.")
        return self.the_session(*parts[2:])

    def delete(self, session: Row) -> None:
        """Deletes a session and its files."""
        shutil.rmtree(self._catalogue.archive / session["directory"], ignore_errors=True)
        self._forget(session)

    def move(self, session: Row, project: str) -> Row:
        """Assigns a session to another project."""
        target = self._catalogue.the_project(project)["id"]
        self._database.run(
            'UPDATE xdat_search.prearchive SET project = %s, lastmod = now() WHERE project = %s AND "timestamp" = %s'
            " AND folder_name = %s",
            [target, session["project"], session["timestamp"], session["folder_name"]],
        )
        return self.the_session(target, session["timestamp"], session["folder_name"])

    def scans(self, session: Row) -> list[str]:
        """Returns the scan ids of a session."""
        folder = self._catalogue.archive / session["directory"] / "SCANS"
        return sorted(entry.name for entry in folder.iterdir() if entry.is_dir()) if folder.is_dir() else []

    def files(self, session: Row, scan: str) -> list[Path]:
        """Returns the DICOM files of one scan of a session."""
        folder = self._catalogue.archive / session["directory"] / "SCANS" / scan / "DICOM"
        return sorted(folder.iterdir()) if scan in self.scans(session) and folder.is_dir() else []

    def archive(self, session: Row, wish: ArchiveWish) -> Row:
        """Moves a session into the archive; returns its experiment.

        A session of that label must not be there yet (overwrite none), may be there without files of the same names
        (append), or gives way file by file (delete); else Refused(409), and the session stays with status CONFLICT.
        """
        project = self._catalogue.the_project(wish.project or session["project"])["id"]
        label = wish.session or session["name"]
        try:
            experiment = self._experiment(session, project, wish.subject or session["subject"] or label, label, wish.overwrite)
            for scan in self.scans(session):
                self._take_in(experiment, scan, self.files(session, scan), wish.overwrite)
        except Refused as problem:
            if problem.status == 409:
                self._mark(session, "CONFLICT")
            raise
        self._catalogue.forget_study(experiment["id"])
        self.delete(session)
        return experiment

    def _experiment(self, session: Row, project: str, subject: str, label: str, overwrite: str) -> Row:
        existing = self._catalogue.find_experiment(label, project)
        if existing is not None:
            if overwrite not in ("append", "delete"):
                raise Refused(409, f"Session {label} already exists in {project}: add overwrite=append or delete.")
            return existing
        self._database.run(
            "INSERT INTO xnat_subjectdata (project, label) VALUES (%s, %s) ON CONFLICT DO NOTHING", [project, subject]
        )
        facts = self._facts(session)
        modality = str(facts.get("Modality", ""))
        accession = self._catalogue.add_experiment(
            self._catalogue.the_subject(subject, project),
            label=label,
            xsi_type=session_type(modality, "Session"),
            day=date.fromisoformat(session["scan_date"]) if session["scan_date"] else None,
            modality=modality,
            user="admin",
            uid=str(facts.get("StudyInstanceUID", "")),
        )
        return self._catalogue.the_experiment(accession)

    def _take_in(self, experiment: Row, scan: str, files: list[Path], overwrite: str) -> None:
        facts = header(files[0], ("Modality", "SeriesDescription", "SeriesInstanceUID")) if files else {}
        modality, description = facts.get("Modality", ""), facts.get("SeriesDescription", "")
        self._database.run(
            "INSERT INTO xnat_imagescandata (image_session_id, id, type, xsi_type, series_description, modality, uid)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            [
                experiment["id"], scan, description or "unknown", session_type(modality, "Scan"), description, modality,
                facts.get("SeriesInstanceUID", ""),
            ],
        )  # fmt: skip
        row = next(one for one in self._catalogue.scans(experiment["id"]) if one["id"] == scan)
        resource = self._catalogue.make_resource(scan_owner(experiment, row), "DICOM", "DICOM", "RAW")
        resource_id = resource["xnat_abstractresource_id"]
        there = {entry["name"] for entry in self._catalogue.files(resource_id)}
        repeated = there & {path.name for path in files}
        if repeated and overwrite != "delete":
            raise Refused(409, f"Scan {scan} already has the file {min(repeated)}: add overwrite=delete to replace it.")
        target = self._catalogue.archive / resource["directory"]
        target.mkdir(parents=True, exist_ok=True)
        for path in files:
            entry = {"name": path.name, "size": path.stat().st_size, "digest": digest_of(path)}
            os.replace(path, target / path.name)
            self._catalogue.put_file(resource_id, {**entry, "format": "DICOM", "content": "RAW"})
        count = len(there | {path.name for path in files})
        self._database.run(
            "UPDATE xnat_imagescandata SET frames = %s WHERE xnat_imagescandata_id = %s",
            [count, row["xnat_imagescandata_id"]],
        )

    def _facts(self, session: Row) -> Mapping[str, object]:
        """What the first file of a session says of it."""
        for scan in self.scans(session):
            for path in self.files(session, scan)[:1]:
                return header(path, ("Modality", "StudyInstanceUID"))
        return {}

    def _mark(self, session: Row, status: str) -> None:
        self._database.run(
            'UPDATE xdat_search.prearchive SET status = %s, lastmod = now() WHERE project = %s AND "timestamp" = %s'
            " AND folder_name = %s",
            [status, session["project"], session["timestamp"], session["folder_name"]],
        )

    def _forget(self, session: Row) -> None:
        self._database.run(
            'DELETE FROM xdat_search.prearchive WHERE project = %s AND "timestamp" = %s AND folder_name = %s',
            [session["project"], session["timestamp"], session["folder_name"]],
        )
