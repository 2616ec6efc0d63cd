"""The image viewer: its page, the stock OHIF files under XNAT's addresses, and the study descriptions it reads.

A study description is made from the DICOM headers at the first request and kept in the database.
"""

import json
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pydicom
from flask import Blueprint, Response, jsonify, render_template, send_from_directory
from pydicom.errors import InvalidDicomError
from pydicom.multival import MultiValue
from pydicom.valuerep import IS, DSfloat

from replay.lab.web.catalogue import Catalogue, scan_owner
from replay.lab.web.database import Row
from replay.lab.web.errors import Refused

_INSTANCE_KEYWORDS = (
    "SOPInstanceUID", "SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality", "Rows",
    "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel",
    "PhotometricInterpretation", "RescaleIntercept", "RescaleSlope", "WindowCenter", "WindowWidth", "InstanceNumber",
    "SliceThickness", "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient", "ImageType", "PatientID",
    "SeriesNumber", "StudyDate", "StudyTime", "NumberOfFrames",
)  # fmt: skip
_SERIES_KEYWORDS = ("SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "Modality", "SeriesDate", "SeriesTime")
_STUDY_KEYWORDS = ("StudyInstanceUID", "StudyDescription", "StudyDate", "StudyTime", "PatientName", "PatientID")


UNREADABLE = (InvalidDicomError, OSError, EOFError, ValueError, struct.error)
"""What reading a file that is no DICOM, or a damaged one, can raise."""


def plain(value: object) -> Any:
    """Turns a DICOM value into what JSON has: numbers, strings, lists, None."""
    if isinstance(value, MultiValue | list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, IS):
        return int(value)
    if isinstance(value, DSfloat | float):
        return float(value)
    if isinstance(value, int) or value is None:
        return value
    return str(value)


def header(path: Path, keywords: Iterable[str]) -> dict[str, Any]:
    """Reads these keywords of a DICOM file, without its pixels; absent and empty ones are left out."""
    wanted = list(keywords)
    dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=[*wanted])
    values = {keyword: plain(dataset.get(keyword)) for keyword in wanted}
    return {keyword: value for keyword, value in values.items() if value not in (None, "")}


def study_document(files: Iterable[tuple[str, Path]], transaction: str) -> dict[str, Any]:
    """Builds the viewer's study description out of (address, file) pairs; files that are no images are passed over.

    The result has the fields that the stock viewer reads: studies[] > series[] > instances[] with url and metadata.
    """
    studies: dict[str, dict[str, Any]] = {}
    series: dict[tuple[str, str], dict[str, Any]] = {}
    keywords = dict.fromkeys((*_INSTANCE_KEYWORDS, *_SERIES_KEYWORDS, *_STUDY_KEYWORDS))
    for address, path in files:
        try:
            found = header(path, keywords)
        except UNREADABLE:
            continue
        if not {"StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "Rows", "Columns"} <= found.keys():
            continue
        study_uid, series_uid = found["StudyInstanceUID"], found["SeriesInstanceUID"]
        study = studies.setdefault(study_uid, {**_only(found, _STUDY_KEYWORDS), "series": []})
        if (study_uid, series_uid) not in series:
            series[study_uid, series_uid] = {**_only(found, _SERIES_KEYWORDS), "instances": []}
            study["series"].append(series[study_uid, series_uid])
        instance = {"url": f"dicomweb:{address}", "metadata": _only(found, _INSTANCE_KEYWORDS)}
        series[study_uid, series_uid]["instances"].append(instance)
    for one in series.values():
        one["instances"].sort(key=lambda instance: instance["metadata"].get("InstanceNumber", 0))
    return {"transactionId": transaction, "studies": list(studies.values())}


def _only(values: Mapping[str, Any], keywords: Iterable[str]) -> dict[str, Any]:
    return {keyword: values[keyword] for keyword in keywords if keyword in values}


class ViewerRoutes:
    """/VIEWER, /xapi/viewer and the small requests that XNAT's viewer makes beside them."""

    def __init__(self, catalogue: Catalogue, viewer: Path, context_path: str) -> None:
        self._catalogue = catalogue
        self._dist = viewer / "dist"
        self._context_path = context_path

    def blueprint(self) -> Blueprint:
        """Returns the routes."""
        routes = Blueprint("viewer", __name__)
        add = routes.add_url_rule
        study = "/xapi/viewer/projects/<project>/experiments/<experiment>"
        add("/VIEWER", view_func=self.start, strict_slashes=False)
        add("/VIEWER/index.umd.js", view_func=self.bundle)
        add("/VIEWER/<name>", view_func=self.own_script)
        add(study, view_func=self.study)
        add(study, view_func=self.make_study, methods=["POST"])
        add(study + "/exists", view_func=self.exists)
        add("/xapi/viewer/projects/<project>/subjects/<subject>", view_func=self.subject_study)
        add("/xapi/ohifaiaa/projects/<project>/servers", view_func=self.nothing)
        add("/xapi/ohifroicolor/projects/<project>/roicolor", view_func=self.nothing, endpoint="roicolor")
        add("/xapi/viewerConfig/projects/<project>/roipreset", view_func=self.nothing, endpoint="roipreset")
        add("/xapi/roi/projects/<project>/permissions/RoiCollection", view_func=self.permissions)
        return routes

    def start(self) -> str:
        """The page of the viewer."""
        return render_template("viewer.html")

    def bundle(self) -> Response:
        """The stock viewer, unchanged."""
        return send_from_directory(self._dist, "index.umd.js", max_age=3600)

    def own_script(self, name: str) -> Response:
        """Configuration and start script."""
        return send_from_directory(Path(__file__).parent / "static" / "viewer", name, max_age=3600)

    def exists(self, project: str, experiment: str) -> Response:
        """200 when a study description is stored, else 404."""
        session = self._catalogue.the_experiment(experiment, project)
        if self._catalogue.study(session["id"]) is None:
            raise Refused(404, "There is no viewer metadata for this session yet.")
        return Response("", 200)

    def study(self, project: str, experiment: str) -> Response:
        """The study description, made now when there is none yet."""
        session = self._catalogue.the_experiment(experiment, project)
        stored = self._catalogue.study(session["id"]) or self._make(session)
        return Response(stored, content_type="application/json")

    def make_study(self, project: str, experiment: str) -> Response:
        """Makes the study description anew."""
        self._make(self._catalogue.the_experiment(experiment, project))
        return Response("", 201)

    def subject_study(self, project: str, subject: str) -> Response:
        """All sessions of a subject in one description."""
        found = self._catalogue.the_subject(subject, project)
        studies: list[Any] = []
        for session in self._catalogue.experiments(found["project"], found["id"]):
            stored = self._catalogue.study(session["id"])
            studies += json.loads(stored)["studies"] if stored else []
        return jsonify({"transactionId": found["id"], "studies": studies})

    def permissions(self, project: str) -> Response:
        """Rights on drawn regions: looking only."""
        self._catalogue.the_project(project)
        return jsonify({"read": True, "create": False, "edit": False, "delete": False})

    def nothing(self, project: str) -> Response:
        """Lists that are empty here."""
        self._catalogue.the_project(project)
        return jsonify([])

    def _make(self, session: Row) -> str:
        document = study_document(self._files(session), session["id"])
        if not document["studies"]:
            raise Refused(404, "This session has no DICOM files that could be shown.")
        text = json.dumps(document, separators=(",", ":"))
        self._catalogue.store_study(session["id"], text)
        return text

    def _files(self, session: Row) -> Iterable[tuple[str, Path]]:
        for scan in self._catalogue.scans(session["id"]):
            place = [session["project"], "subjects", session["subject_id"], "experiments", session["label"]]
            base = f"{self._context_path}/data/archive/projects/" + "/".join(quote(part, safe="") for part in place)
            for resource in self._catalogue.resources(scan_owner(session, scan)):
                if resource["label"] not in ("DICOM", "secondary"):
                    continue
                for row in self._catalogue.files(resource["xnat_abstractresource_id"]):
                    tail = f"scans/{quote(scan['id'], safe='')}/resources/{resource['label']}/files/{quote(row['name'])}"
                    yield f"{base}/{tail}", self._catalogue.archive / resource["directory"] / row["name"]
