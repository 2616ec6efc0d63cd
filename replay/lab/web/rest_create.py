"""Making, changing and deleting projects, subjects and experiments over REST.

Fields come as XNAT's paths in the query: `xnat:subjectData/demographics/gender=F`, `xnat:ctSessionData/date=2021-03-04`.
"""

import shutil
from collections.abc import Mapping
from datetime import date

from flask import Blueprint, Response, request

from replay.lab.web import replies
from replay.lab.web.catalogue import Catalogue
from replay.lab.web.database import Database
from replay.lab.web.errors import Refused
from replay.lab.web.gate import user_name
from replay.lab.web.storage import safe_name

_SUBJECT = "/data/projects/<project>/subjects/<subject>"


def given_fields(query: Mapping[str, str]) -> dict[str, str]:
    """Reads the last parts of the paths in a query: `xnat:subjectData/label=A` and `label=A` both give label."""
    return {name.rsplit("/", 1)[-1]: value for name, value in query.items()}


def given_type(query: Mapping[str, str], default: str) -> str:
    """The data type that a query names: by `xsiType`, or by the first part of its paths."""
    if query.get("xsiType"):
        return query["xsiType"]
    return next((name.split("/", 1)[0] for name in query if name.startswith("xnat:")), default)


class CreateRoutes:
    """PUT and DELETE on items."""

    def __init__(self, database: Database, catalogue: Catalogue) -> None:
        self._database = database
        self._catalogue = catalogue

    def blueprint(self) -> Blueprint:
        """Returns the routes."""
        routes = Blueprint("create", __name__)
        add = routes.add_url_rule
        add("/data/projects/<project>", view_func=self.project, methods=["PUT"])
        add(_SUBJECT, view_func=self.subject, methods=["PUT"])
        add(_SUBJECT, view_func=self.drop_subject, methods=["DELETE"])
        add("/data/subjects/<subject>", view_func=self.drop_subject, methods=["DELETE"], endpoint="drop_by_id")
        add(_SUBJECT + "/experiments/<experiment>", view_func=self.experiment, methods=["PUT"])
        for number, place in enumerate(("/data", "/data/projects/<project>", _SUBJECT)):
            rule = place + "/experiments/<experiment>"
            add(rule, view_func=self.drop_experiment, methods=["DELETE"], endpoint=f"drop_experiment{number}")
        return routes

    def project(self, project: str) -> Response:
        """Makes a project or changes its name and description."""
        fields = given_fields(request.args)
        self._database.run(
            "INSERT INTO xnat_projectdata (id, secondary_id, name, description, insert_user)"
            " VALUES (%(id)s, %(id)s, coalesce(%(name)s, %(id)s), coalesce(%(description)s, ''), %(user)s)"
            " ON CONFLICT (id) DO UPDATE SET name = coalesce(%(name)s, xnat_projectdata.name),"
            " description = coalesce(%(description)s, xnat_projectdata.description)",
            {
                "id": safe_name(project),
                "name": fields.get("name"),
                "description": fields.get("description"),
                "user": user_name(),
            },
        )
        return replies.text(project)

    def subject(self, project: str, subject: str) -> Response:
        """Makes a subject or changes its label, sex and year of birth; the body is its accession id."""
        project_id = self._catalogue.the_project(project)["id"]
        fields = given_fields(request.args)
        found = self._catalogue.find_subject(subject, project_id)
        values = {
            "project": project_id,
            "label": safe_name(fields.get("label") or (found["label"] if found else subject)),
            "gender": fields.get("gender"),
            "yob": _year(fields.get("yob")),
            "user": user_name(),
            "id": found["id"] if found else None,
        }
        if found is not None:
            self._database.run(
                "UPDATE xnat_subjectdata SET label = %(label)s, gender = coalesce(%(gender)s, gender),"
                " yob = coalesce(%(yob)s, yob) WHERE id = %(id)s",
                values,
            )
            return replies.text(str(found["id"]))
        self._database.run(
            "INSERT INTO xnat_subjectdata (project, label, gender, yob, insert_user)"
            " VALUES (%(project)s, %(label)s, coalesce(%(gender)s, ''), %(yob)s, %(user)s)",
            values,
        )
        return replies.text(str(self._catalogue.the_subject(str(values["label"]), project_id)["id"]), 201)

    def experiment(self, project: str, subject: str, experiment: str) -> Response:
        """Makes an experiment of a subject or changes its date; the body is its accession id."""
        owner = self._catalogue.the_subject(subject, self._catalogue.the_project(project)["id"])
        fields = given_fields(request.args)
        day = _day(fields.get("date"))
        found = self._catalogue.find_experiment(experiment, owner["project"])
        if found is not None:
            self._database.run("UPDATE xnat_experimentdata SET date = coalesce(%s, date) WHERE id = %s", [day, found["id"]])
            return replies.text(str(found["id"]))
        accession = self._catalogue.add_experiment(
            owner,
            label=safe_name(experiment),
            xsi_type=given_type(request.args, "xnat:otherDicomSessionData"),
            day=day,
            modality=fields.get("modality", ""),
            user=user_name(),
        )
        return replies.text(accession, 201)

    def drop_subject(self, subject: str, project: str | None = None) -> Response:
        """Deletes a subject that has no experiments."""
        found = self._catalogue.the_subject(subject, project)
        if self._catalogue.experiments(found["project"], found["id"]):
            raise Refused(409, f"Subject {found['label']} still has experiments: delete those first.")
        self._database.run("DELETE FROM xnat_subjectdata WHERE id = %s", [found["id"]])
        return replies.text("")

    def drop_experiment(self, experiment: str, project: str | None = None, subject: str | None = None) -> Response:
        """Deletes an experiment with its scans; its files too when `removeFiles=true`."""
        found = self._catalogue.the_experiment(experiment, project)
        if subject is not None and subject not in (found["subject_id"], found["subject_label"]):
            raise Refused(404, f"Unable to find the specified experiment {experiment}.")
        self._database.run(
            "DELETE FROM xnat_abstractresource WHERE (owner_kind = 'experiment' AND owner_id = %(id)s) OR"
            " (owner_kind = 'scan' AND owner_id IN (SELECT xnat_imagescandata_id::text FROM xnat_imagescandata"
            " WHERE image_session_id = %(id)s))",
            {"id": found["id"]},
        )
        self._database.run("DELETE FROM xnat_experimentdata WHERE id = %s", [found["id"]])
        if request.args.get("removeFiles") == "true":
            shutil.rmtree(self._catalogue.archive / found["project"] / "arc001" / found["label"], ignore_errors=True)
        return replies.text("")


def _day(text: str | None) -> date | None:
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError as problem:
        raise Refused(400, f"The date {text} must be written YYYY-MM-DD.") from problem


def _year(text: str | None) -> int | None:
    if not text:
        return None
    if not text.isdigit() or len(text) != 4:
        raise Refused(400, f"The year of birth {text} must have four digits.")
    return int(text)
