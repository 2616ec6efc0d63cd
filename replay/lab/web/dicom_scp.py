"""The DICOM receiver beside the web application: what a modality or PACS sends becomes sessions in the prearchive.

As XNAT does, a study is filed by `Project:… Subject:… Session:…` in its Patient Comments, otherwise by patient name and id below
Unassigned. Unlike XNAT, which waits until nothing has come for minutes, a session is there when the association has ended.
"""

import re
import tempfile
import threading
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import pydicom
from pynetdicom import AE, AllStoragePresentationContexts, evt

from replay.lab.web.errors import LabError, SettingsError
from replay.lab.web.importer import Importer, ImportWish

TITLE = "XNAT"
_SUCCESS, _OUT_OF_RESOURCES, _CANNOT_UNDERSTAND = 0x0000, 0xA700, 0xC000
_FIELD = re.compile(r"\b(Project|Subject|Session):([A-Za-z0-9_][A-Za-z0-9_.-]{0,63})")


class _Received:
    """What one association has sent so far, as a zip on the disk."""

    def __init__(self) -> None:
        self.spool: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (closed when the association has ended)
        self.archive = zipfile.ZipFile(self.spool, "w", zipfile.ZIP_STORED)
        self.fields: dict[str, str] = {}
        self.files = 0


class DicomReceiver:
    """A storage SCP; `known` tells whether there is a project of that id. Associations have a thread each."""

    def __init__(self, importer: Importer, archive: Path, known: Callable[[str], bool], say: Callable[[str], None]) -> None:
        self._importer = importer
        self._archive = archive
        self._known = known
        self._say = say
        self._received: dict[Any, _Received] = {}
        self._lock = threading.Lock()
        self._server: Any = None

    def listen(self, host: str, port: int) -> int:
        """Open the port and receive in the background; returns the port. Raises SettingsError."""
        entity = AE(ae_title=TITLE)
        entity.require_called_aet = True
        entity.supported_contexts = AllStoragePresentationContexts
        handlers = [
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_RELEASED, self._ended),
            (evt.EVT_ABORTED, self._ended),
            (evt.EVT_CONN_CLOSE, self._ended),
        ]
        try:
            self._server = entity.start_server((host, port), block=False, evt_handlers=handlers)
        except OSError as problem:
            raise SettingsError(
                f"LAB_DICOM_LISTEN is {host}:{port}: cannot listen there ({problem.strerror}); choose another"
            ) from problem
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Receive no more."""
        if self._server is not None:
            self._server.shutdown()

    def _store(self, event: Any) -> int:
        with self._lock:
            received = self._received.setdefault(event.assoc, _Received())
        try:
            content = event.encoded_dataset()
            if not received.files:
                received.fields = _fields(event.dataset)
            received.files += 1
            received.archive.writestr(f"{received.files:05d}.dcm", content)
        except OSError:
            return _OUT_OF_RESOURCES
        except (ValueError, AttributeError, pydicom.errors.InvalidDicomError):
            return _CANNOT_UNDERSTAND
        return _SUCCESS

    def _ended(self, event: Any) -> None:
        with self._lock:
            received = self._received.pop(event.assoc, None)
        if received is None:
            return
        with received.spool as spool:
            if not received.files:
                return
            received.archive.close()
            spool.seek(0)
            project = received.fields.get("Project")
            wish = ImportWish(
                project=project if project is not None and self._known(project) else None,
                subject=received.fields.get("Subject"),
                session=received.fields.get("Session"),
                ignore_unparsable=False,
            )
            try:
                self._importer.take_in(spool, wish, self._archive)
            except (LabError, OSError) as problem:
                with suppress(OSError):
                    self._say(f"an association was not taken in: {type(problem).__name__}")


def _fields(dataset: Any) -> dict[str, str]:
    return dict(_FIELD.findall(str(dataset.get("PatientComments", ""))))
