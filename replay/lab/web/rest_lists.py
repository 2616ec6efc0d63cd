"""Lists and items of the catalogue over REST; an item address is also the page of that item."""

from collections.abc import Sequence
from datetime import date

from flask import Blueprint, Response, jsonify, make_response, request

from replay.lab.web import replies
from replay.lab.web.auth import Accounts
from replay.lab.web.catalogue import Catalogue
from replay.lab.web.database import Row
from replay.lab.web.errors import Refused
from replay.lab.web.gate import user_name
from replay.lab.web.pages import Pages

PROJECT_COLUMNS = ("ID", "secondary_ID", "name", "description", "pi_firstname", "pi_lastname", "URI")
SUBJECT_COLUMNS = ("ID", "project", "label", "insert_date", "insert_user", "URI")
EXPERIMENT_COLUMNS = (
    "ID", "project", "date", "xsiType", "label", "insert_date", "subject_ID", "subject_label", "URI",
)  # fmt: skip
SCAN_COLUMNS = ("xnat_imagescandata_id", "ID", "type", "quality", "xsiType", "note", "series_description", "URI")

_SUBJECT = "/data/projects/<project>/subjects/<subject>"
_EXPERIMENTS = (
    "/data/experiments/<experiment>",
    "/data/projects/<project>/experiments/<experiment>",
    _SUBJECT + "/experiments/<experiment>",
)


class ListRoutes:
    """Projects, subjects, experiments, scans: lists, items, and making new ones."""

    def __init__(self, catalogue: Catalogue, pages: Pages, accounts: Accounts) -> None:
        self._catalogue = catalogue
        self._pages = pages
        self._accounts = accounts

    def blueprint(self) -> Blueprint:
        """Returns the routes."""
        routes = Blueprint("lists", __name__)
        add = routes.add_url_rule
        add("/data/projects", view_func=self.projects)
        add("/data/projects/<project>", view_func=self.project)
        add("/data/subjects", view_func=self.subjects)
        add("/data/projects/<project>/subjects", view_func=self.subjects)
        add("/data/subjects/<subject>", view_func=self.subject)
        add(_SUBJECT, view_func=self.subject)
        for number, place in enumerate(("/data", "/data/projects/<project>", "/data/subjects/<subject>", _SUBJECT)):
            add(place + "/experiments", view_func=self.experiments, endpoint=f"experiments{number}")
        for number, place in enumerate(_EXPERIMENTS):
            add(place, view_func=self.experiment, endpoint=f"experiment{number}")
            add(place + "/status", view_func=self.status, endpoint=f"status{number}")
            add(place + "/scans", view_func=self.scans, endpoint=f"scans{number}")
            add(place + "/scans/<scan>", view_func=self.scan, endpoint=f"scan{number}")
            for level in ("assessors", "reconstructions"):
                add(f"{place}/{level}", view_func=self.nothing, endpoint=f"{level}{number}")
        add("/data/scan_types", view_func=self.scan_types)
        add("/data/scanners", view_func=self.scanners)
        add("/xapi/totalCounts/reset", view_func=self.counts)
        return routes

    def projects(self) -> Response:
        """All projects; nobody has favourites."""
        rows = [] if request.args.get("favorite") == "true" else self._catalogue.projects()
        return _table([_project_row(row) for row in rows], PROJECT_COLUMNS)

    def project(self, project: str) -> Response:
        """One project."""
        found = self._catalogue.the_project(project)
        if replies.wants_html(request):
            return self._pages.project_page(found)
        fields = {"ID": found["id"], "name": found["name"], "secondary_ID": found["secondary_id"]}
        fields |= {"description": found["description"]}
        pi = {"firstname": found["pi_firstname"], "lastname": found["pi_lastname"]}
        children = [replies.child("PI", [replies.item("xnat:investigatorData", pi)])] if any(pi.values()) else []
        return _items(replies.item("xnat:projectData", fields, started=found["insert_date"], children=children))

    def subjects(self, project: str | None = None) -> Response:
        """The subjects of a project, or all."""
        if project is not None:
            project = self._catalogue.the_project(project)["id"]
        rows = [_subject_row(row) for row in self._catalogue.subjects(project)]
        return _table(_filtered(rows, ("label", "ID", "project")), SUBJECT_COLUMNS)

    def subject(self, subject: str, project: str | None = None) -> Response:
        """One subject."""
        found = self._catalogue.the_subject(subject, project)
        if replies.wants_html(request):
            return self._pages.subject_page(found)
        fields = {"ID": found["id"], "project": found["project"], "label": found["label"]}
        demographics = {"gender": found["gender"], "yob": found["yob"]}
        people = [replies.child("demographics", [replies.item("xnat:demographicData", demographics)])]
        return _items(replies.item("xnat:subjectData", fields, started=found["insert_date"], children=people))

    def experiments(self, project: str | None = None, subject: str | None = None) -> Response:
        """The experiments of a subject, of a project, or all."""
        if project is not None:
            project = self._catalogue.the_project(project)["id"]
        subject_id = None if subject is None else self._catalogue.the_subject(subject, project)["id"]
        rows = [_experiment_row(row) for row in self._catalogue.experiments(project, subject_id)]
        return _table(_filtered(rows, ("xsiType", "label", "ID", "project")), EXPERIMENT_COLUMNS)

    def experiment(self, experiment: str, project: str | None = None, subject: str | None = None) -> Response:
        """One experiment with its scans."""
        found = self.the_experiment(experiment, project, subject)
        if replies.wants_html(request):
            return self._pages.session_page(found)
        scans = [_scan_item(scan) for scan in self._catalogue.scans(found["id"])]
        fields = {
            "ID": found["id"],
            "project": found["project"],
            "label": found["label"],
            "subject_ID": found["subject_id"],
            "date": found["date"],
            "age": found["age"],
            "scanner": found["scanner"],
            "modality": found["modality"],
            "UID": found["uid"],
        }
        children = [replies.child("scans/scan", scans)] if scans else []
        return _items(replies.item(found["xsi_type"], fields, started=found["insert_date"], children=children))

    def status(self, experiment: str, project: str | None = None, subject: str | None = None) -> Response:
        """The state of an experiment."""
        self.the_experiment(experiment, project, subject)
        return replies.text("active")

    def scans(self, experiment: str, project: str | None = None, subject: str | None = None) -> Response:
        """The scans of an experiment."""
        found = self.the_experiment(experiment, project, subject)
        rows = [
            {
                "xnat_imagescandata_id": scan["xnat_imagescandata_id"],
                "ID": scan["id"],
                "type": scan["type"],
                "quality": scan["quality"],
                "xsiType": scan["xsi_type"],
                "note": scan["note"],
                "series_description": scan["series_description"],
                "frames": scan["frames"],
                "modality": scan["modality"],
                "UID": scan["uid"],
                "URI": f"/data/experiments/{found['id']}/scans/{scan['id']}",
            }
            for scan in self._catalogue.scans(found["id"])
        ]
        return _table(rows, SCAN_COLUMNS)

    def scan(self, experiment: str, scan: str, project: str | None = None, subject: str | None = None) -> Response:
        """One scan."""
        found = self.the_experiment(experiment, project, subject)
        return _items(_scan_item(self._catalogue.scans_named(found["id"], scan)[0]))

    def nothing(self, experiment: str, project: str | None = None, subject: str | None = None) -> Response:
        """Assessors and reconstructions: there are none."""
        self.the_experiment(experiment, project, subject)
        return _table([], EXPERIMENT_COLUMNS)

    def scan_types(self) -> Response:
        """The different types of scans."""
        return _table(self._catalogue.distinct_values("type"), ["type"])

    def scanners(self) -> Response:
        """The different scanners."""
        return _table(self._catalogue.distinct_values("scanner"), ["scanner"])

    def counts(self) -> Response:
        """The size of the site, for administrators."""
        if not self._accounts.is_admin(user_name()):
            raise Refused(403, "Only administrators see the counts.")
        return jsonify(self._catalogue.counts())

    def the_experiment(self, experiment: str, project: str | None, subject: str | None) -> Row:
        """Finds the experiment that an address names; every part of the address must fit."""
        found = self._catalogue.the_experiment(experiment, project)
        if project is not None and found["project"] != self._catalogue.the_project(project)["id"]:
            raise Refused(404, f"Unable to find the specified experiment {experiment}.")
        if subject is not None and subject not in (found["subject_id"], found["subject_label"]):
            raise Refused(404, f"Unable to find the specified experiment {experiment}.")
        return found


def _table(rows: Sequence[Row], columns: Sequence[str]) -> Response:
    return replies.table(request, rows, replies.wanted_columns(request, columns))


def _items(*items: dict[str, object]) -> Response:
    return make_response(jsonify({"items": list(items)}))


def _filtered(rows: list[Row], names: Sequence[str]) -> list[Row]:
    for name in names:
        wanted = request.args.get(name)
        if wanted is not None and "*" not in wanted:
            rows = [row for row in rows if row[name] == wanted]
    return rows


def _project_row(row: Row) -> Row:
    return {
        "ID": row["id"],
        "secondary_ID": row["secondary_id"],
        "name": row["name"],
        "description": row["description"],
        "pi_firstname": row["pi_firstname"],
        "pi_lastname": row["pi_lastname"],
        "insert_date": row["insert_date"],
        "URI": f"/data/projects/{row['id']}",
    }


def _subject_row(row: Row) -> Row:
    return {
        "ID": row["id"],
        "project": row["project"],
        "label": row["label"],
        "gender": row["gender"],
        "yob": row["yob"],
        "insert_date": row["insert_date"],
        "insert_user": row["insert_user"],
        "URI": f"/data/subjects/{row['id']}",
    }


def _experiment_row(row: Row) -> Row:
    day = row["date"]
    return {
        "ID": row["id"],
        "project": row["project"],
        "date": day.isoformat() if isinstance(day, date) else "",
        "xsiType": row["xsi_type"],
        "label": row["label"],
        "insert_date": row["insert_date"],
        "subject_ID": row["subject_id"],
        "subject_label": row["subject_label"],
        "xnat:subjectassessordata/id": row["id"],
        "URI": f"/data/experiments/{row['id']}",
    }


def _scan_item(scan: Row) -> dict[str, object]:
    fields = {
        "ID": scan["id"],
        "type": scan["type"],
        "series_description": scan["series_description"],
        "quality": scan["quality"],
        "modality": scan["modality"],
        "frames": scan["frames"],
        "note": scan["note"],
        "UID": scan["uid"],
        "image_session_ID": scan["image_session_id"],
        "xnat_imagescandata_id": scan["xnat_imagescandata_id"],
    }
    return replies.item(scan["xsi_type"], fields)
