"""Resources and files over REST: lists, downloads of one file, zips of many, uploads, deletions."""

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from flask import Blueprint, Response, jsonify, request

from replay.lab.web import replies
from replay.lab.web.catalogue import (
    Catalogue,
    Owner,
    experiment_owner,
    project_owner,
    scan_owner,
    subject_owner,
)
from replay.lab.web.database import Row
from replay.lab.web.errors import Refused
from replay.lab.web.rest_lists import ListRoutes
from replay.lab.web.storage import ResourceStore, body_stream, safe_name, send_file, zip_reply
from replay.lab.web.zipstream import Member

FILE_COLUMNS = ("Name", "Size", "URI", "collection", "file_tags", "file_format", "file_content", "cat_ID", "digest")
RESOURCE_COLUMNS = (
    "xnat_abstractresource_id", "label", "element_name", "category", "cat_id", "cat_desc", "file_count", "file_size",
    "tags", "content", "format",
)  # fmt: skip

_PROJECT = "/data/projects/<project>"
_SUBJECT = _PROJECT + "/subjects/<subject>"
_SESSIONS = ("/data/experiments/<experiment>", _PROJECT + "/experiments/<experiment>", _SUBJECT + "/experiments/<experiment>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One thing that resources hang on: where it is in the catalogue, its REST address, its place in a zip."""

    owner: Owner
    uri: str
    zip_folder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One file: its resource, its catalogue row, its REST address, its place in a zip, its path."""

    resource: Row
    row: Row
    uri: str
    member: Member


class FileRoutes:
    """Everything below …/resources and …/files, at every level."""

    def __init__(self, catalogue: Catalogue, lists: ListRoutes) -> None:
        self._catalogue = catalogue
        self._lists = lists

    def blueprint(self) -> Blueprint:
        """Returns the routes."""
        routes = Blueprint("files", __name__)
        levels = [_PROJECT, _SUBJECT, "/data/subjects/<subject>", *_SESSIONS]
        levels += [session + "/scans/<scan>" for session in _SESSIONS]
        for number, level in enumerate(levels):
            for rule, name, view, methods in self._rules():
                routes.add_url_rule(level + rule, f"{name}{number}", view, methods=methods)
        routes.add_url_rule("/data/services/refresh/catalog", view_func=self.refresh, methods=["POST"])
        return routes

    def _rules(self) -> tuple[tuple[str, str, Callable[..., Response], list[str]], ...]:
        """What every level has: address below it, name, function, methods."""
        one = "/resources/<resource>"
        return (
            ("/resources", "resources", self.resources, ["GET"]),
            ("/files", "files", self.files, ["GET"]),
            ("/files/<path:name>", "bare_file", self.file, ["GET"]),
            (one, "resource", self.resource, ["GET"]),
            (one, "make", self.make, ["PUT", "POST"]),
            (one, "drop", self.drop, ["DELETE"]),
            (one + "/files", "in_resource", self.files, ["GET"]),
            (one + "/files/<path:name>", "file", self.file, ["GET"]),
            (one + "/files/<path:name>", "put", self.put, ["PUT", "POST"]),
            (one + "/files/<path:name>", "delete", self.delete, ["DELETE"]),
        )

    def resources(self, **place: str) -> Response:
        """Lists the resources of a level; `all=true` adds those of the scans of a session."""
        rows = [
            {
                "xnat_abstractresource_id": resource["xnat_abstractresource_id"],
                "label": resource["label"],
                "element_name": "xnat:resourceCatalog",
                "category": "scans" if level.owner.kind == "scan" else "",
                "cat_id": level.uri.rsplit("/", 1)[-1] if level.owner.kind == "scan" else "",
                "cat_desc": "",
                "file_count": resource["file_count"],
                "file_size": resource["file_size"],
                "tags": "",
                "content": resource["content"],
                "format": resource["format"],
            }
            for level in self._levels(place, with_scans=request.args.get("all") == "true")
            for resource in self._catalogue.resources(level.owner)
        ]
        # Whatever columns are asked for, XNAT answers with these: clients rely on the missing ID and URI.
        return replies.table(request, rows, RESOURCE_COLUMNS)

    def resource(self, resource: str, **place: str) -> Response:
        """One resource as an item."""
        _, found = self._the_resource(resource, place)
        fields = {
            "label": found["label"],
            "file_count": found["file_count"],
            "file_size": found["file_size"],
            "format": found["format"],
            "content": found["content"],
            "xnat_abstractresource_id": found["xnat_abstractresource_id"],
        }
        return jsonify({"items": [replies.item("xnat:resourceCatalog", fields)]})

    def make(self, resource: str, **place: str) -> Response:
        """Makes a resource."""
        level = self._levels(place)[0]
        self._catalogue.make_resource(
            level.owner, safe_name(resource), request.args.get("format", ""), request.args.get("content", "")
        )
        return replies.text("")

    def drop(self, resource: str, **place: str) -> Response:
        """Deletes a resource; its files too when `removeFiles=true`."""
        _, found = self._the_resource(resource, place)
        self._catalogue.drop_resource(found["xnat_abstractresource_id"])
        if request.args.get("removeFiles") == "true":
            shutil.rmtree(self._catalogue.archive / found["directory"], ignore_errors=True)
        return replies.text("")

    def files(self, resource: str | None = None, **place: str) -> Response:
        """Lists files, or sends them all as one zip with `format=zip`."""
        found = list(self._found(place, resource))
        if request.args.get("format") == "zip":
            if not found:
                raise Refused(404, "There are no files to download.")
            name = place.get("experiment") or place.get("subject") or place.get("project") or "files"
            return zip_reply(f"{name}.zip", [entry.member for entry in found])
        rows = [
            {
                "Name": PurePosixPath(entry.row["name"]).name,
                "Size": entry.row["size"],
                "URI": entry.uri,
                "collection": entry.resource["label"],
                "file_tags": entry.row["tags"],
                "file_format": entry.row["format"],
                "file_content": entry.row["content"],
                "cat_ID": entry.resource["xnat_abstractresource_id"],
                "digest": entry.row["digest"],
            }
            for entry in found
        ]
        return replies.table(request, rows, FILE_COLUMNS)

    def file(self, name: str, resource: str = "", **place: str) -> Response:
        """Sends one file."""
        return send_file(self._path(name, resource, place))

    def put(self, resource: str, name: str, **place: str) -> Response:
        """Stores the body as a file; `extract=true` unpacks a zip or tar; an existing file needs `overwrite=true`."""
        level = self._levels(place)[0]
        label = safe_name(resource)
        found = self._catalogue.find_resource(level.owner, label) or self._catalogue.make_resource(level.owner, label)
        about = {
            "format": request.args.get("format", ""),
            "content": request.args.get("content", ""),
            "tags": request.args.get("tags", ""),
        }
        store = ResourceStore(self._catalogue, found, request.args.get("overwrite") == "true", about)
        if request.args.get("extract") == "true":
            store.unpack(body_stream())
        else:
            store.put(name, body_stream())
        return replies.text("")

    def delete(self, resource: str, name: str, **place: str) -> Response:
        """Deletes one file."""
        path = self._path(name, resource, place)
        _, found = self._the_resource(resource, place)
        self._catalogue.drop_file(found["xnat_abstractresource_id"], name)
        path.unlink(missing_ok=True)
        return replies.text("")

    def refresh(self) -> Response:
        """Accepts the wish to recount a catalogue: counts are always right here."""
        return replies.text("")

    def _path(self, name: str, resource: str, place: dict[str, str]) -> Path:
        if "experiment" in place and "scan" in place and resource:
            session = self._lists.the_experiment(place["experiment"], place.get("project"), place.get("subject"))
            path = self._catalogue.image_path(session["id"], place["scan"], resource, name)
            if path is not None:
                return path
        for entry in self._found(place, resource or None):
            if entry.row["name"] == name:
                return entry.member.path
        raise Refused(404, f"Unable to find the specified file {name}.")

    def _the_resource(self, name: str, place: dict[str, str]) -> tuple[Level, Row]:
        for level in self._levels(place):
            found = self._catalogue.find_resource(level.owner, name)
            if found is not None:
                return level, found
        raise Refused(404, f"Unable to find the specified resource {name}.")

    def _found(self, place: dict[str, str], wanted: str | None) -> Iterator[Found]:
        names = None if wanted is None or wanted.upper() == "ALL" else set(wanted.split(","))
        hits = 0
        for level in self._levels(place, with_scans=wanted is None):
            for resource in self._catalogue.resources(level.owner):
                number = str(resource["xnat_abstractresource_id"])
                if names is None or resource["label"] in names or number in names:
                    hits += 1
                    yield from self._files_of(level, resource)
        if names is not None and not hits:
            raise Refused(404, f"Unable to find the specified resource {wanted}.")

    def _files_of(self, level: Level, resource: Row) -> Iterator[Found]:
        folder = self._catalogue.archive / resource["directory"]
        for row in self._catalogue.files(resource["xnat_abstractresource_id"]):
            yield Found(
                resource=resource,
                row=row,
                uri=f"{level.uri}/resources/{resource['xnat_abstractresource_id']}/files/{quote(row['name'])}",
                member=Member(
                    name=f"{level.zip_folder}/resources/{resource['label']}/files/{row['name']}",
                    path=folder / row["name"],
                ),
            )

    def _levels(self, place: dict[str, str], with_scans: bool = False) -> list[Level]:
        project, subject, experiment = place.get("project"), place.get("subject"), place.get("experiment")
        if experiment is not None:
            session = self._lists.the_experiment(experiment, project, subject)
            if "scan" in place:
                return [scan_level(session, scan) for scan in self._catalogue.scans_named(session["id"], place["scan"])]
            levels = [session_level(session)]
            if with_scans:
                levels += [scan_level(session, scan) for scan in self._catalogue.scans(session["id"])]
            return levels
        if subject is not None:
            found = self._catalogue.the_subject(subject, project)
            return [Level(owner=subject_owner(found), uri=f"/data/subjects/{found['id']}", zip_folder=found["label"])]
        found = self._catalogue.the_project(project or "")
        return [Level(owner=project_owner(found), uri=f"/data/projects/{found['id']}", zip_folder=found["id"])]


def session_level(session: Row) -> Level:
    """The level of a session itself (its own resources, not its scans')."""
    return Level(owner=experiment_owner(session), uri=f"/data/experiments/{session['id']}", zip_folder=session["label"])


def scan_level(session: Row, scan: Row) -> Level:
    """The level of one scan."""
    return Level(
        owner=scan_owner(session, scan),
        uri=f"/data/experiments/{session['id']}/scans/{quote(scan['id'], safe='')}",
        zip_folder=scan_folder(session["label"], scan["id"], scan["type"]),
    )


def scan_folder(session_label: str, scan_id: str, scan_type: str) -> str:
    """The folder of a scan in zips: XNAT names it `<session>/scans/<id>-<type>`."""
    return f"{session_label}/scans/" + re.sub(r"[^A-Za-z0-9_.-]", "_", f"{scan_id}-{scan_type}")
