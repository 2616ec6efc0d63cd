"""The site, through the real `xnat` client: looks at the project, imports, archives, counts what arrived, removes ours."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

import xnat
import xnat.exceptions
from xnat.prearchive import PrearchiveSession

from replay.upload.exams import Exam
from replay.upload.faults import NotAllowedError, NotOursError, SiteAnswerError
from replay.upload.ledger import PREFIX, Entry
from replay.upload.site_faults import site_errors
from replay.upload.zip_body import Body
from sidecar.model.faults import Fault

#: where DICOM senders' exams wait whose project the site did not recognise
UNASSIGNED = "Unassigned"
#: resources that hold what was uploaded; the site adds others (snapshots)
_UPLOADED = frozenset({"DICOM", "secondary"})
_CONNECT_S = 30.0
#: states of a prearchive session in which the site is still busy with it
_BUSY = frozenset({"RECEIVING", "RECEIVING_INTERRUPT", "QUEUED_BUILDING", "BUILDING", "_BUILDING", "_QUEUED_BUILDING"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What the site holds of an exam."""

    experiment: str
    files: int
    bytes: int
    uris: tuple[str, ...]


class Site(Protocol):
    """The site as uploading needs it; every call raises Fault. `XnatSite` is the real one."""

    def connect(self) -> None:
        """Log in (again)."""

    def close(self) -> None:
        """Log out, as well as that goes."""

    def label(self, traceparent: str) -> None:
        """Send this header with every request from now on."""

    def labels_in(self, project: str) -> frozenset[str]:
        """The labels of all subjects and sessions of a project, archived or not, and of ours that no project was found for.

        Raises NotAllowedError where there is no such project.
        """

    def send(self, entry: Entry, exam: Exam, body: Body, destination: str) -> None:
        """Send an exam to the import service, to `archive` or `prearchive`."""

    def archive(self, entry: Entry) -> bool:
        """Archive what waits in the prearchive; False when it is not there, or not ready, yet."""

    def stored(self, entry: Entry) -> Stored | None:
        """What is in the archive of this exam; None when it is not there."""

    def digests(self, stored: Stored) -> Counter[str]:
        """Download the files and sum them up, SHA-256."""

    def remove(self, entry: Entry) -> int:
        """Remove what is there of this exam, and nothing else; returns how many sessions and subjects that was."""


class XnatSite:
    """A connection of one account to one site; not for use by several threads. It may be silent for `timeout_s`."""

    def __init__(
        self, url: str, user: str, password: str, *, timeout_s: float = 600.0, connect: Callable[..., Any] = xnat.connect
    ) -> None:
        self._url = url
        self._user = user
        self._password = password
        self._timeout_s = timeout_s
        self._connect = connect
        self._session: Any = None

    def connect(self) -> None:
        """Log in, without the site's data model: asking for that is hundreds of requests, just before a burst that is watched."""
        self.close()
        quiet = logging.getLogger("replay.upload.xnat")
        quiet.setLevel(logging.CRITICAL)  # what it would say names users and addresses; its errors come as exceptions
        with site_errors("logging in"):
            self._session = self._connect(self._url, user=self._user, password=self._password, no_parse_model=True, logger=quiet)
            # Without the model the client cannot make objects of what it archived; their address is all that is needed.
            self._session.create_object = _address

    def close(self) -> None:
        """Log out."""
        session, self._session = self._session, None
        if session is not None:
            with suppress(Fault), site_errors("logging out"):
                session.disconnect()

    def label(self, traceparent: str) -> None:
        """For all requests of the client, whatever it sends."""
        if self._session is not None:
            self._session.interface.headers["traceparent"] = traceparent

    def labels_in(self, project: str) -> frozenset[str]:
        """Four lists."""
        where = f"/data/projects/{quote(project, safe='')}"
        with site_errors(f"looking at project {project}"):
            try:
                self._session.get_json(where)
            except xnat.exceptions.XNATResponseError as error:
                if error.status_code not in (403, 404):
                    raise
                raise NotAllowedError(
                    f"there is no project {project} for this account", "make one for uploads alone, with the account as owner"
                ) from error
            subjects = self._rows(f"{where}/subjects", columns="ID,label")
            sessions = self._rows(f"{where}/experiments", columns="ID,label")
            waiting = self._rows(f"/data/prearchive/projects/{quote(project, safe='')}")
            stray = self._rows(f"/data/prearchive/projects/{UNASSIGNED}", missing=(403, 404))
            waiting += [row for row in stray if row["name"].startswith(PREFIX)]
        return frozenset([*(row["label"] for row in (*subjects, *sessions)), *(row["name"] for row in waiting)])

    def send(self, entry: Entry, exam: Exam, body: Body, destination: str) -> None:
        """One POST of the whole exam."""
        with site_errors(f"uploading {entry.label}"):
            self._session.services.import_(
                data=body,
                project=entry.project,
                subject=entry.label,
                experiment=entry.label,
                destination=f"/{destination}",
                content_type="application/zip",
                overwrite="none",
                ignore_unparsable=exam.leftovers,
                timeout=(_CONNECT_S, self._timeout_s),
            )

    def archive(self, entry: Entry) -> bool:
        """Through the client's prearchive objects."""
        with site_errors(f"archiving {entry.label}"):
            found = self._waiting(entry)
            if not found or any(row["status"] in _BUSY for row in found):
                return False
            if len(found) > 1:
                raise SiteAnswerError(f"{entry.label} waits {len(found)} times in the prearchive", "it is sent again")
            session = PrearchiveSession(f"/data{found[0]['url']}", self._session)
            session.archive(project=entry.project, subject=entry.label, experiment=entry.label)
        return True

    def stored(self, entry: Entry) -> Stored | None:
        """Counts and sizes, as the site's catalogue has them."""
        with site_errors(f"looking at {entry.label}"):
            experiment = self._experiment(entry)
            if experiment is None:
                return None
            rows = [row for row in self._rows(f"{_item(entry, experiment)}/scans/ALL/files") if row["collection"] in _UPLOADED]
        return Stored(
            experiment=experiment,
            files=len(rows),
            bytes=sum(int(row["Size"] or 0) for row in rows),
            uris=tuple(row["URI"] for row in rows),
        )

    def digests(self, stored: Stored) -> Counter[str]:
        """One GET per file; nothing is kept."""
        found: Counter[str] = Counter()
        for uri in stored.uris:
            sink = _Digest()
            with site_errors("downloading for the checksums"):
                self._session.download_stream(uri, sink, verbose=False)
            found[sink.hexdigest()] += 1
        return found

    def remove(self, entry: Entry) -> int:
        """By label, and only when it is what was sent: the recorded id and study where the site tells them."""
        removed = 0
        with site_errors(f"removing {entry.label}"):
            for row in self._waiting(entry):
                self._session.delete(f"/data{row['url']}")
                removed += 1
            experiment = self._experiment(entry, to_remove=True)
            if experiment is not None:
                self._session.delete(_item(entry, experiment), query={"removeFiles": "true"})
                removed += 1
            removed += self._remove_subject(entry)
            self._session.clearcache()
        return removed

    def _remove_subject(self, entry: Entry) -> int:
        where = f"/data/projects/{quote(entry.project, safe='')}/subjects"
        found = [row["ID"] for row in self._rows(where, columns="ID,label") if row["label"] == entry.label]
        for subject in found:
            if self._rows(f"{where}/{quote(subject, safe='')}/experiments", columns="ID,label"):
                raise NotOursError(f"subject {entry.label} has sessions that we did not make", "it is left alone; look at it")
            self._session.delete(f"{where}/{quote(subject, safe='')}", query={"removeFiles": "true"})
        return len(found)

    def _waiting(self, entry: Entry) -> list[dict[str, Any]]:
        """What stands in the prearchive under our label: in our project, or where the site found none."""
        rows = self._rows(f"/data/prearchive/projects/{quote(entry.project, safe='')}")
        rows += self._rows(f"/data/prearchive/projects/{UNASSIGNED}", missing=(403, 404))
        return [row for row in rows if row["name"] == entry.label or row.get("folderName") == entry.label]

    def _experiment(self, entry: Entry, *, to_remove: bool = False) -> str | None:
        """The id of our session; NotOursError when another one has its label.

        Its id decides where it was recorded. Where a crash prevented that, and it is to be removed, the study does: not before,
        because a site may give studies other UIDs when it takes them in.
        """
        where = f"/data/projects/{quote(entry.project, safe='')}/experiments"
        found = [str(row["ID"]) for row in self._rows(where, columns="ID,label") if row["label"] == entry.label]
        if not found:
            return None
        ours = entry.experiment in (None, found[0])
        if to_remove and entry.experiment is None:
            item = self._session.get_json(_item(entry, found[0]))["items"][0]["data_fields"]
            ours = (item.get("UID") or entry.study) == entry.study
        if not ours:
            raise NotOursError(
                f"session {entry.label} of {entry.project} is not what was uploaded", "it is left alone; look at it"
            )
        return found[0]

    def _rows(self, uri: str, *, missing: Sequence[int] = (), **query: str) -> list[dict[str, Any]]:
        try:
            raw = self._session.get_json(uri, query=query or None)
        except xnat.exceptions.XNATResponseError as error:
            if error.status_code in missing:
                return []
            raise
        rows: list[dict[str, Any]] = raw["ResultSet"]["Result"]
        return rows


def _address(uri: str) -> str:
    return uri


class _Digest:
    """A file that keeps only what its content comes to."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self._digest.update(data)
        return len(data)

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


def _item(entry: Entry, experiment: str) -> str:
    parts = ("projects", entry.project, "subjects", entry.label, "experiments", experiment)
    return "/data/" + "/".join(quote(part, safe="") for part in parts)
