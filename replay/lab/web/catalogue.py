"""Reads and changes the catalogue: projects, subjects, experiments, scans, resources, files.

Rows are dictionaries with the names of the tables' columns; `rest_lists` gives them XNAT's names.
Experiments and subjects are found by accession id or by label; a label needs its project.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path, PurePosixPath
from typing import Literal

from psycopg.errors import UniqueViolation

from replay.lab.web.database import Database, Row
from replay.lab.web.errors import Refused

_EXPERIMENTS = (
    "SELECT e.id, e.project, e.label, e.xsi_type, e.date, e.insert_user, e.insert_date, a.subject_id, a.age,"
    " s.label AS subject_label, i.scanner, i.modality, i.uid"
    " FROM xnat_experimentdata e"
    " JOIN xnat_subjectassessordata a ON a.id = e.id"
    " JOIN xnat_imagesessiondata i ON i.id = e.id"
    " JOIN xnat_subjectdata s ON s.id = a.subject_id"
)
_RESOURCES = (
    "SELECT r.*, count(f.name) AS file_count, coalesce(sum(f.size), 0) AS file_size"
    " FROM xnat_abstractresource r LEFT JOIN catalog_entry f ON f.resource_id = r.xnat_abstractresource_id"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The level that a resource hangs on: kind (project, subject, experiment or scan), key in the catalogue, folder."""

    kind: str
    key: str
    folder: PurePosixPath


class Catalogue:
    """Queries on the catalogue; methods named `the_…` raise Refused(404) when the thing is not there."""

    def __init__(self, database: Database, archive: Path) -> None:
        self._database = database
        self.archive = archive

    def projects(self) -> list[Row]:
        """Returns all projects by name."""
        return self._database.rows("SELECT * FROM xnat_projectdata ORDER BY name")

    def the_project(self, project: str) -> Row:
        """Returns one project by id or name."""
        found = self._database.row("SELECT * FROM xnat_projectdata WHERE id = %s OR name = %s", [project, project])
        return _there(found, "project", project)

    def has_project(self, project: str) -> bool:
        """Tells whether there is a project of this id."""
        return self._database.row("SELECT id FROM xnat_projectdata WHERE id = %s", [project]) is not None

    def counts(self) -> Row:
        """Returns the numbers of projects, subjects and experiments."""
        found = self._database.row(
            "SELECT (SELECT count(*) FROM xnat_projectdata) AS projects,"
            " (SELECT count(*) FROM xnat_subjectdata) AS subjects,"
            " (SELECT count(*) FROM xnat_experimentdata) AS experiments"
        )
        return _there(found, "catalogue", "counts")

    def subjects(self, project: str | None = None) -> list[Row]:
        """Returns the subjects of a project, or all."""
        return self._database.rows(
            "SELECT * FROM xnat_subjectdata WHERE %(project)s::text IS NULL OR project = %(project)s ORDER BY id",
            {"project": project},
        )

    def find_subject(self, subject: str, project: str | None = None) -> Row | None:
        """Returns a subject by id, or by label within its project."""
        return self._database.row(
            "SELECT * FROM xnat_subjectdata WHERE id = %(subject)s"
            " OR (label = %(subject)s AND (%(project)s::text IS NULL OR project = %(project)s)) LIMIT 1",
            {"subject": subject, "project": project},
        )

    def the_subject(self, subject: str, project: str | None = None) -> Row:
        """Returns a subject by id or label."""
        return _there(self.find_subject(subject, project), "subject", subject)

    def experiments(self, project: str | None = None, subject_id: str | None = None) -> list[Row]:
        """Returns the experiments of a project, of a subject, or all."""
        return self._database.rows(
            _EXPERIMENTS + " WHERE (%(project)s::text IS NULL OR e.project = %(project)s)"
            " AND (%(subject)s::text IS NULL OR a.subject_id = %(subject)s) ORDER BY e.id",
            {"project": project, "subject": subject_id},
        )

    def find_experiment(self, experiment: str, project: str | None = None) -> Row | None:
        """Returns an experiment by id, or by label within its project."""
        return self._database.row(
            _EXPERIMENTS + " WHERE e.id = %(experiment)s"
            " OR (e.label = %(experiment)s AND (%(project)s::text IS NULL OR e.project = %(project)s)) LIMIT 1",
            {"experiment": experiment, "project": project},
        )

    def the_experiment(self, experiment: str, project: str | None = None) -> Row:
        """Returns an experiment by id or label."""
        return _there(self.find_experiment(experiment, project), "experiment", experiment)

    def add_experiment(
        self, subject: Row, *, label: str, xsi_type: str, day: date | None, modality: str, user: str, uid: str = ""
    ) -> str:
        """Enters a new image session of a subject on all levels of the model; returns its accession id."""
        try:
            with self._database.transaction() as connection:
                made = connection.execute(
                    "INSERT INTO xnat_experimentdata (project, label, xsi_type, date, insert_user)"
                    " VALUES (%s, %s, %s, %s, %s) RETURNING id",
                    [subject["project"], label, xsi_type, day, user],
                ).fetchone()
                accession = _there(made, "experiment", label)["id"]
                connection.execute(
                    "INSERT INTO xnat_subjectassessordata (id, subject_id) VALUES (%s, %s)", [accession, subject["id"]]
                )
                connection.execute(
                    "INSERT INTO xnat_imagesessiondata (id, modality, uid) VALUES (%s, %s, %s)", [accession, modality, uid]
                )
        except UniqueViolation as problem:
            raise Refused(409, f"Session {label} has just been made by somebody else.") from problem
        return str(accession)

    def scans(self, experiment_id: str) -> list[Row]:
        """Returns the scans of an experiment, numbers in their order."""
        return self._database.rows(
            "SELECT * FROM xnat_imagescandata WHERE image_session_id = %s"
            " ORDER BY (substring(id from '^[0-9]{1,9}'))::int NULLS LAST, id",
            [experiment_id],
        )

    def scans_named(self, experiment_id: str, wanted: str) -> list[Row]:
        """Returns the scans that a list like `ALL`, `1,2` or `T1` names (ids or types); Refused(404) if there is none."""
        scans = self.scans(experiment_id)
        if wanted.upper() not in ("ALL", "*"):
            names = set(wanted.split(","))
            scans = [scan for scan in scans if scan["id"] in names or scan["type"] in names]
            if not scans:
                raise Refused(404, f"Unable to find the specified scan {wanted}.")
        return scans

    def distinct_values(self, name: Literal["type", "scanner"]) -> list[Row]:
        """Returns the different types of scans or the different scanners."""
        if name == "type":
            return self._database.rows("SELECT DISTINCT type FROM xnat_imagescandata ORDER BY type")
        return self._database.rows("SELECT DISTINCT scanner FROM xnat_imagesessiondata ORDER BY scanner")

    def scan_types_of(self, session_ids: Sequence[str]) -> list[str]:
        """Returns the different types of the scans of these sessions."""
        found = self._database.rows(
            "SELECT DISTINCT type FROM xnat_imagescandata WHERE image_session_id = ANY(%s) ORDER BY type", [list(session_ids)]
        )
        return [row["type"] for row in found]

    def scan_resources_of(self, session_ids: Sequence[str]) -> list[Row]:
        """Returns the resources of all scans of these sessions, with `session_id`, `session_label`, `scan_id`, `scan_type`."""
        return self._database.rows(
            "SELECT r.*, c.id AS scan_id, c.type AS scan_type, e.id AS session_id, e.label AS session_label,"
            " count(f.name) AS file_count, coalesce(sum(f.size), 0) AS file_size"
            " FROM xnat_experimentdata e JOIN xnat_imagescandata c ON c.image_session_id = e.id"
            " JOIN xnat_abstractresource r ON r.owner_kind = 'scan' AND r.owner_id = c.xnat_imagescandata_id::text"
            " LEFT JOIN catalog_entry f ON f.resource_id = r.xnat_abstractresource_id"
            " WHERE e.id = ANY(%s) GROUP BY r.xnat_abstractresource_id, c.xnat_imagescandata_id, e.id"
            " ORDER BY e.id, c.xnat_imagescandata_id",
            [list(session_ids)],
        )

    def resources(self, owner: Owner) -> list[Row]:
        """Returns the resources of one level with their numbers of files and bytes."""
        return self._database.rows(
            _RESOURCES + " WHERE r.owner_kind = %s AND r.owner_id = %s GROUP BY r.xnat_abstractresource_id"
            " ORDER BY r.xnat_abstractresource_id",
            [owner.kind, owner.key],
        )

    def find_resource(self, owner: Owner, name: str) -> Row | None:
        """Returns the resource of that label or number on that level."""
        for resource in self.resources(owner):
            if name in (resource["label"], str(resource["xnat_abstractresource_id"])):
                return resource
        return None

    def make_resource(self, owner: Owner, label: str, file_format: str = "", content: str = "") -> Row:
        """Makes a resource, or returns the one that is there already."""
        self._database.run(
            "INSERT INTO xnat_abstractresource (owner_kind, owner_id, label, format, content, directory)"
            " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            [owner.kind, owner.key, label, file_format, content, str(owner.folder / label)],
        )
        return _there(self.find_resource(owner, label), "resource", label)

    def drop_resource(self, resource_id: int) -> None:
        """Takes a resource and its file list out of the catalogue (not the files)."""
        self._database.run("DELETE FROM xnat_abstractresource WHERE xnat_abstractresource_id = %s", [resource_id])

    def files(self, resource_id: int) -> list[Row]:
        """Returns the files of a resource by name."""
        return self._database.rows("SELECT * FROM catalog_entry WHERE resource_id = %s ORDER BY name", [resource_id])

    def find_file(self, resource_id: int, name: str) -> Row | None:
        """Returns one file of a resource."""
        return self._database.row("SELECT * FROM catalog_entry WHERE resource_id = %s AND name = %s", [resource_id, name])

    def put_file(self, resource_id: int, entry: Row) -> None:
        """Writes a file (name, size, digest, format, content, tags) into the catalogue, replacing one of that name."""
        self._database.run(
            "INSERT INTO catalog_entry (resource_id, name, size, digest, format, content, tags)"
            " VALUES (%(resource_id)s, %(name)s, %(size)s, %(digest)s, %(format)s, %(content)s, %(tags)s)"
            " ON CONFLICT (resource_id, name) DO UPDATE SET size = excluded.size, digest = excluded.digest,"
            " format = excluded.format, content = excluded.content, tags = excluded.tags",
            {"resource_id": resource_id, "format": "", "content": "", "tags": "", **entry},
        )

    def drop_file(self, resource_id: int, name: str) -> None:
        """Takes a file out of the catalogue."""
        self._database.run("DELETE FROM catalog_entry WHERE resource_id = %s AND name = %s", [resource_id, name])

    def image_path(self, experiment_id: str, scan: str, resource: str, name: str) -> Path | None:
        """Finds one file of a scan with a single query: the viewer asks for hundreds."""
        found = self._database.row(
            "SELECT r.directory FROM xnat_imagescandata c"
            " JOIN xnat_abstractresource r ON r.owner_kind = 'scan' AND r.owner_id = c.xnat_imagescandata_id::text"
            " JOIN catalog_entry f ON f.resource_id = r.xnat_abstractresource_id"
            " WHERE c.image_session_id = %s AND c.id = %s AND f.name = %s"
            " AND (r.label = %s OR r.xnat_abstractresource_id::text = %s)",
            [experiment_id, scan, name, resource, resource],
        )
        return None if found is None else self.archive / found["directory"] / name

    def study(self, experiment_id: str) -> str | None:
        """Returns the viewer's study JSON that was stored for an experiment."""
        found = self._database.row("SELECT study FROM viewer_study WHERE experiment_id = %s", [experiment_id])
        return None if found is None else str(found["study"])

    def store_study(self, experiment_id: str, study: str) -> None:
        """Keeps the viewer's study JSON of an experiment."""
        self._database.run(
            "INSERT INTO viewer_study (experiment_id, study) VALUES (%s, %s)"
            " ON CONFLICT (experiment_id) DO UPDATE SET study = excluded.study, made = now()",
            [experiment_id, study],
        )

    def forget_study(self, experiment_id: str) -> None:
        """Drops the stored study JSON: the files of the experiment have changed."""
        self._database.run("DELETE FROM viewer_study WHERE experiment_id = %s", [experiment_id])


def project_owner(project: Row) -> Owner:
    """The project level."""
    return Owner(kind="project", key=project["id"], folder=PurePosixPath(project["id"], "resources"))


def subject_owner(subject: Row) -> Owner:
    """The subject level."""
    folder = PurePosixPath(subject["project"], "subjects", subject["label"])
    return Owner(kind="subject", key=subject["id"], folder=folder)


def experiment_owner(experiment: Row) -> Owner:
    """The session level."""
    folder = PurePosixPath(experiment["project"], "arc001", experiment["label"], "RESOURCES")
    return Owner(kind="experiment", key=experiment["id"], folder=folder)


def scan_owner(experiment: Row, scan: Row) -> Owner:
    """The scan level."""
    folder = PurePosixPath(experiment["project"], "arc001", experiment["label"], "SCANS", scan["id"])
    return Owner(kind="scan", key=str(scan["xnat_imagescandata_id"]), folder=folder)


def _there(found: Row | None, what: str, name: str) -> Row:
    if found is None:
        raise Refused(404, f"Unable to find the specified {what} {name}.")
    return found
