"""Uploads over REST: the import service, the user's cache, the prearchive and its actions."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO
from urllib.parse import quote

from flask import Blueprint, Response, request

from replay.lab.web import replies
from replay.lab.web.database import Row
from replay.lab.web.errors import Refused
from replay.lab.web.gate import user_name
from replay.lab.web.importer import Importer, ImportWish
from replay.lab.web.prearchive import ArchiveWish, Prearchive
from replay.lab.web.storage import body_stream, copy_hashed, safe_name, send_file, zip_reply
from replay.lab.web.zipstream import BLOCK_BYTES, Member

CACHE = ".cache"
_PREARCHIVE = "/data/prearchive/projects/<project>/<timestamp>/<name>"


class ImportRoutes:
    """/data/services/import, /data/services/archive, /data/user/cache and /data/prearchive."""

    def __init__(self, importer: Importer, prearchive: Prearchive, archive: Path) -> None:
        self._importer = importer
        self._prearchive = prearchive
        self._archive = archive

    def blueprint(self) -> Blueprint:
        """Returns the routes."""
        routes = Blueprint("imports", __name__)
        add = routes.add_url_rule
        add("/data/services/import", view_func=self.take_in, methods=["POST"])
        add("/data/services/archive", view_func=self.archive, methods=["POST"])
        add("/data/services/prearchive/<action>", view_func=self.act, methods=["POST"])
        add("/data/user/cache/resources/<place>/files/<name>", view_func=self.keep, methods=["PUT", "POST"])
        add("/data/prearchive", view_func=self.sessions, endpoint="all")
        add("/data/prearchive/projects", view_func=self.sessions)
        add("/data/prearchive/projects/<project>", view_func=self.sessions, endpoint="of_project")
        add(_PREARCHIVE, view_func=self.session)
        add(_PREARCHIVE, view_func=self.delete, methods=["DELETE"])
        add(_PREARCHIVE + "/scans", view_func=self.scans)
        add(_PREARCHIVE + "/scans/<scan>/resources", view_func=self.resources)
        add(_PREARCHIVE + "/scans/<scan>/resources/<resource>/files", view_func=self.files)
        add(_PREARCHIVE + "/scans/<scan>/resources/<resource>/files/<file>", view_func=self.file)
        return routes

    def take_in(self) -> Response:
        """Imports the body, or the cached file that `src` names; answers with one address per line."""
        # A body that calls itself a form may still be the bare upload (curl --data-binary): only real forms are read.
        asked = request.values if request.mimetype == "multipart/form-data" else request.args
        destination = asked.get("dest", "")
        project, subject, session = asked.get("project"), asked.get("subject"), asked.get("session")
        if destination.startswith(("/archive/projects/", "/prearchive/projects/")):
            project = destination.split("/")[3]
        wish = ImportWish(
            project=safe_name(project) if project else None,
            subject=safe_name(subject) if subject else None,
            session=safe_name(session) if session else None,
            ignore_unparsable=asked.get("Ignore-Unparsable") == "true",
        )
        with self._upload(asked.get("src")) as upload:
            sessions = self._importer.take_in(upload, wish, self._archive)
        overwrite = asked.get("overwrite", "none")
        if overwrite not in ("none", "append", "delete"):
            raise Refused(400, f"overwrite is {overwrite}: write none, append or delete.")
        if _waits(destination, asked, wish.project):
            lines = [_prearchive_uri(one) for one in sessions]
        else:
            lines = [_archive_uri(self._prearchive.archive(one, ArchiveWish(overwrite=overwrite))) for one in sessions]
        return replies.text("".join(f"{line}\r\n" for line in lines))

    def archive(self) -> Response:
        """Archives the prearchive session that `src` names."""
        asked = request.values
        wish = ArchiveWish(
            project=asked.get("project"),
            subject=asked.get("subject"),
            session=asked.get("session"),
            overwrite=asked.get("overwrite", "none"),
        )
        experiment = self._prearchive.archive(self._prearchive.from_uri(asked.get("src", "")), wish)
        return replies.text(_archive_uri(experiment) + "\r\n")

    def act(self, action: str) -> Response:
        """Deletes, moves or rebuilds the prearchive sessions that `src` names."""
        for uri in request.values.getlist("src"):
            session = self._prearchive.from_uri(uri)
            if action == "delete":
                self._prearchive.delete(session)
            elif action == "move":
                self._prearchive.move(session, request.values.get("newProject", ""))
            elif action != "rebuild":
                raise Refused(404, f"There is no prearchive action {action}.")
        return replies.text("")

    def keep(self, place: str, name: str) -> Response:
        """Keeps a file in the user's cache for a later import."""
        target = self._cached(place, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        copy_hashed(body_stream(), target)
        return replies.text("")

    def sessions(self, project: str | None = None) -> Response:
        """Lists prearchive sessions."""
        rows = [_row(session) for session in self._prearchive.sessions(project)]
        return replies.table(request, rows, list(rows[0]) if rows else [])

    def session(self, project: str, timestamp: str, name: str) -> Response:
        """One prearchive session as a table of one row, or as a zip."""
        found = self._prearchive.the_session(project, timestamp, name)
        if request.args.get("format") == "zip":
            members = [
                Member(name=f"{name}/scans/{scan}/resources/DICOM/files/{path.name}", path=path)
                for scan in self._prearchive.scans(found)
                for path in self._prearchive.files(found, scan)
            ]
            return zip_reply(f"{name}.zip", members)
        row = _row(found)
        return replies.table(request, [row], list(row))

    def delete(self, project: str, timestamp: str, name: str) -> Response:
        """Deletes a prearchive session."""
        self._prearchive.delete(self._prearchive.the_session(project, timestamp, name))
        return replies.text("")

    def scans(self, project: str, timestamp: str, name: str) -> Response:
        """Lists the scans of a prearchive session."""
        found = self._prearchive.the_session(project, timestamp, name)
        rows = [{"ID": scan, "series_description": "", "xsiType": "xnat:imageScanData"} for scan in self._prearchive.scans(found)]
        return replies.table(request, rows, ["ID", "series_description", "xsiType"])

    def resources(self, project: str, timestamp: str, name: str, scan: str) -> Response:
        """Lists the resources of a prearchived scan."""
        found = self._prearchive.the_session(project, timestamp, name)
        files = self._prearchive.files(found, scan)
        row = {"label": "DICOM", "file_count": len(files), "file_size": sum(path.stat().st_size for path in files)}
        return replies.table(request, [row], list(row))

    def files(self, project: str, timestamp: str, name: str, scan: str, resource: str) -> Response:
        """Lists the files of a prearchived scan."""
        found = self._prearchive.the_session(project, timestamp, name)
        base = f"{_prearchive_uri(found)}/scans/{quote(scan)}/resources/{quote(resource)}/files"
        rows = [
            {"Name": path.name, "Size": path.stat().st_size, "URI": f"{base}/{quote(path.name)}"}
            for path in self._prearchive.files(found, scan)
        ]
        return replies.table(request, rows, ["Name", "Size", "URI"])

    def file(self, project: str, timestamp: str, name: str, scan: str, resource: str, file: str) -> Response:
        """Sends one file of a prearchived scan."""
        found = self._prearchive.the_session(project, timestamp, name)
        for path in self._prearchive.files(found, scan):
            if path.name == file and resource == "DICOM":
                return send_file(path)
        raise Refused(404, f"Unable to find the specified file {file}.")

    @contextmanager
    def _upload(self, source: str | None) -> Iterator[IO[bytes]]:
        """The uploaded bytes as a file that can be read back and forth; a cached one is used up."""
        if source:
            parts = PurePosixPath(source.removeprefix("/data")).parts
            if len(parts) != 7 or parts[:4] != ("/", "user", "cache", "resources"):
                raise Refused(400, f"{source} is no cached file: write /user/cache/resources/ID/files/NAME.")
            path = self._cached(parts[4], parts[6])
            try:
                with path.open("rb") as cached:
                    yield cached
            except FileNotFoundError as problem:
                raise Refused(404, f"There is no cached file {source}.") from problem
            path.unlink(missing_ok=True)
            return
        with tempfile.TemporaryFile() as spool:
            body = body_stream()
            while block := body.read(BLOCK_BYTES):
                spool.write(block)
            spool.seek(0)
            yield spool

    def _cached(self, place: str, name: str) -> Path:
        return self._archive / CACHE / safe_name(user_name()) / safe_name(place) / safe_name(name)


def _waits(destination: str, asked: Mapping[str, str], project: str | None) -> bool:
    """Tells whether an import ends in the prearchive: by destination, by code, else by the handler's habit."""
    if destination:
        return destination.startswith("/prearchive")
    if project is None:
        return True
    if "prearchive_code" in asked:
        return asked["prearchive_code"] == "0"
    if asked.get("Direct-Archive") == "true":
        return False
    return asked.get("import-handler") in ("DICOM-zip", "gradual-DICOM", "inbox")


def _archive_uri(experiment: Row) -> str:
    parts = ["projects", experiment["project"], "subjects", experiment["subject_label"], "experiments", experiment["label"]]
    return "/data/archive/" + "/".join(quote(part, safe="") for part in parts)


def _prearchive_uri(session: Row) -> str:
    parts = [session["project"], session["timestamp"], session["folder_name"]]
    return "/data/prearchive/projects/" + "/".join(quote(part, safe="") for part in parts)


def _row(session: Row) -> dict[str, object]:
    return {
        "scan_time": session["scan_time"],
        "status": session["status"],
        "subject": session["subject"],
        "tag": "",
        "TIMEZONE": "",
        "uploaded": session["uploaded"].isoformat(" ", "milliseconds"),
        "lastmod": session["lastmod"].isoformat(" ", "milliseconds"),
        "scan_date": session["scan_date"],
        "url": _prearchive_uri(session).removeprefix("/data"),
        "timestamp": session["timestamp"],
        "prevent_auto_commit": "false",
        "project": session["project"],
        "SOURCE": "",
        "prevent_anon": "false",
        "autoarchive": "Manual",
        "name": session["name"],
        "folderName": session["folder_name"],
        "VISIT": "",
        "PROTOCOL": "",
    }
