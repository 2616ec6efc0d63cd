"""The other way in: C-STORE to the site's DICOM receiver, with the project and our label written into what is sent.

XNAT files a study by `Project:… Subject:… Session:…` in Patient Comments (0010,4000); without that by Patient Name and Patient
ID, which are set to the label, too. So nothing of the patient module that a file had is sent.
"""

from __future__ import annotations

import queue
import zipfile
from collections.abc import Iterator
from typing import Any

import pydicom
from pydicom.dataset import Dataset
from pynetdicom import AE, build_context

from replay.failures import ConnectionFailedError
from replay.upload.exams import Exam
from replay.upload.faults import ExamError, NotAllowedError, SiteFullError
from replay.upload.ledger import Entry
from replay.upload.throttle import Throttle

_TITLE = "TRACEMARK"
_CONNECT_S = 10.0
_ANSWER_S = 60.0
#: bytes per second of the slowest line: the time for an answer begins with the first byte that is sent, not with the last
_SLOWEST = 100_000
_OUT_OF_RESOURCES = range(0xA700, 0xA800)
_PATIENT_GROUP = 0x0010
#: presentation contexts that one association may have (PS3.8, 9.3.2.2)
_MOST_CONTEXTS = 128


class _Answers(queue.Queue[Any]):
    """What has come from the receiver, for whoever waits for it and for nobody else.

    An association's own thread looks here, without waiting, for what the other side may ask, which a receiver never does. On a
    busy machine it does so in spite of being told to pause (seen in pynetdicom 3.0.4): it took the answer that a send was waiting
    for, and the send stood still until its time was over.
    """

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        if not block:
            raise queue.Empty
        return super().get(block, timeout)


class DicomSender:
    """Sends exams to one receiver, an association for each; needs DICOM files, as the exams have."""

    def __init__(self, host: str, port: int, title: str) -> None:
        self._host = host
        self._port = port
        self._title = title

    def send(self, entry: Entry, exam: Exam, throttle: Throttle) -> None:
        """Send every file. Raises ExamError, SiteFullError, NotAllowedError, or ConnectionFailedError when it broke off."""
        where = f"{self._host}:{self._port}"
        kinds = {(str(one.SOPClassUID), str(one.file_meta.TransferSyntaxUID)) for one in datasets(exam, headers_only=True)}
        if len(kinds) > _MOST_CONTEXTS:
            raise ExamError(f"{exam.source} has {len(kinds)} kinds of images", "send it through the import service")
        entity = AE(ae_title=_TITLE)
        entity.connection_timeout = entity.acse_timeout = _CONNECT_S
        entity.dimse_timeout = entity.network_timeout = _ANSWER_S
        association = entity.associate(
            self._host, self._port, contexts=[build_context(*kind) for kind in sorted(kinds)], ae_title=self._title
        )
        if association.is_rejected:
            raise NotAllowedError(f"{where} takes no association as {self._title}", "correct the title in --set dicom=…")
        if not association.is_established:
            raise ConnectionFailedError(f"no DICOM receiver answers at {where}", "correct --set dicom=…, or start it")
        association.dimse.msg_queue = _Answers()
        try:
            for dataset in datasets(exam):
                self._store(association, relabelled(dataset, entry), exam, where)
                throttle.sent(len(dataset.get("PixelData", b"")))
        finally:
            if association.is_established:
                association.release()

    def _store(self, association: Any, dataset: Dataset, exam: Exam, where: str) -> None:
        association.dimse_timeout = _ANSWER_S + len(dataset.get("PixelData", b"")) / _SLOWEST
        try:
            status = association.send_c_store(dataset)
        except ValueError as error:  # no context was accepted for it, or it cannot be encoded
            raise ExamError(f"{exam.source}: {where} does not take such images", "send it through the import service") from error
        except RuntimeError as error:
            raise ConnectionFailedError(f"the association with {where} broke off", "look at the network and the site") from error
        code = status.get("Status") if status else None
        if code is None:
            raise ConnectionFailedError(f"the association with {where} broke off", "look at the network and the site")
        if code in _OUT_OF_RESOURCES:
            raise SiteFullError(f"{where} has no room (0x{code:04X})", "make room on the site, then give the same command again")
        if code != 0 and not 0xB000 <= code <= 0xBFFF:
            raise ExamError(f"{exam.source}: {where} refused a file (0x{code:04X})", "look at the site's log")


def relabelled(dataset: Dataset, entry: Entry) -> Dataset:
    """The dataset with our label for a patient, and where it belongs; all else of the patient is gone. Changes and returns it."""
    for element in list(dataset.group_dataset(_PATIENT_GROUP)):
        del dataset[element.tag]
    dataset.PatientName = entry.label
    dataset.PatientID = entry.label
    dataset.PatientComments = f"Project:{entry.project} Subject:{entry.label} Session:{entry.label}"
    return dataset


def datasets(exam: Exam, *, headers_only: bool = False) -> Iterator[Dataset]:
    """The files of an exam, one after the other; those of a zip that are no DICOM files are passed over."""
    for member in exam.members:
        yield pydicom.dcmread(member.path, stop_before_pixels=headers_only)
    if exam.archive is not None:
        with zipfile.ZipFile(exam.archive) as archive:
            for info in archive.infolist():
                if info.is_dir():
                    continue
                with archive.open(info) as file:
                    try:
                        yield pydicom.dcmread(file, stop_before_pixels=headers_only)
                    except pydicom.errors.InvalidDicomError:
                        continue
