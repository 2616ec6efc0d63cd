"""The two-step archive download: a choice is posted and gets an id and a size, then it is fetched under that id."""

import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from flask import Blueprint, Response, jsonify, request

from replay.lab.web.catalogue import Catalogue
from replay.lab.web.database import Row
from replay.lab.web.errors import Refused
from replay.lab.web.gate import user_name
from replay.lab.web.rest_files import scan_folder
from replay.lab.web.storage import zip_reply
from replay.lab.web.zipstream import Member

KEPT_CHOICES = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a user chose on the download page."""

    user: str
    sessions: tuple[str, ...]
    formats: frozenset[str]
    types: frozenset[str]


class DownloadRoutes:
    """/xapi/archive."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._lock = threading.Lock()
        self._choices: OrderedDict[str, Choice] = OrderedDict()

    def blueprint(self) -> Blueprint:
        """Returns the routes."""
        routes = Blueprint("downloads", __name__)
        routes.add_url_rule("/xapi/archive/downloadwithsize", view_func=self.choose, methods=["POST"])
        routes.add_url_rule("/xapi/archive/download", view_func=self.choose, methods=["POST"], endpoint="plain")
        routes.add_url_rule("/xapi/archive/download/<choice_id>/zip", view_func=self.zip)
        routes.add_url_rule("/xapi/archive/download/<choice_id>/xml", view_func=self.xml)
        return routes

    def choose(self) -> Response:
        """Takes the choice; answers with its id and how many bytes it is before compression."""
        body = request.get_json(silent=True)
        if not isinstance(body, dict):
            raise Refused(400, "The choice must be a JSON object with sessions.")
        choice = Choice(
            user=user_name(),
            sessions=tuple(str(session).rsplit(":", 1)[-1] for session in body.get("sessions") or ()),
            formats=frozenset(map(str, body.get("scan_formats") or ())),
            types=frozenset(map(str, body.get("scan_types") or ())),
        )
        size = sum(int(resource["file_size"]) for resource in self._resources(choice))
        if not size:
            raise Refused(400, "The chosen sessions have no images.")
        choice_id = f"{user_name()}-{secrets.token_hex(8)}"
        with self._lock:
            self._choices[choice_id] = choice
            while len(self._choices) > KEPT_CHOICES:
                self._choices.popitem(last=False)
        if not request.path.endswith("withsize"):
            return jsonify(choice_id)
        return jsonify({"id": choice_id, "size": size, "resourcesOfUnknownSize": 0})

    def zip(self, choice_id: str) -> Response:
        """Sends the chosen files as one zip."""
        members = [
            Member(
                name=f"{scan_folder(resource['session_label'], resource['scan_id'], resource['scan_type'])}"
                f"/resources/{resource['label']}/files/{row['name']}",
                path=self._catalogue.archive / resource["directory"] / row["name"],
            )
            for resource in self._resources(self._choice(choice_id))
            for row in self._catalogue.files(resource["xnat_abstractresource_id"])
        ]
        return zip_reply(f"{choice_id}.zip", members)

    def xml(self, choice_id: str) -> Response:
        """Sends the list of the chosen resources, from which another program fetches them."""
        entries = "".join(
            f"<cat:entry name={quoteattr(scan_folder(one['session_label'], one['scan_id'], one['scan_type']))}"
            f" URI={quoteattr(_uri(one))}/>"
            for one in self._resources(self._choice(choice_id))
        )
        head = f'<cat:Catalog xmlns:cat="http://nrg.wustl.edu/catalog" ID={quoteattr(choice_id)}>'
        body = f'<?xml version="1.0" encoding="UTF-8"?>{head}<cat:entries>{entries}</cat:entries></cat:Catalog>'
        headers = {"Content-Disposition": f'attachment; filename="{choice_id}.xml"'}
        return Response(body, content_type="application/xml", headers=headers)

    def _choice(self, choice_id: str) -> Choice:
        with self._lock:
            choice = self._choices.get(choice_id)
        if choice is None or choice.user != user_name():
            raise Refused(404, f"There is no download {choice_id}: choose the images again.")
        return choice

    def _resources(self, choice: Choice) -> list[Row]:
        return [
            resource
            for resource in self._catalogue.scan_resources_of(choice.sessions)
            if (not choice.types or resource["scan_type"] in choice.types)
            and (not choice.formats or choice.formats & {resource["label"], resource["format"]})
        ]


def _uri(resource: Row) -> str:
    scan = f"/data/experiments/{resource['session_id']}/scans/{quote(resource['scan_id'], safe='')}"
    return f"{scan}/resources/{resource['xnat_abstractresource_id']}"
