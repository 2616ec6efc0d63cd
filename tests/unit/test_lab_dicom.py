"""The practice system's DICOM receiver, by a real association on this machine."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pydicom
import pytest
from pynetdicom import AE
from pynetdicom.sop_class import CTImageStorage  # type: ignore[attr-defined,unused-ignore]

from replay.lab.web.database import Row
from replay.lab.web.dicom_scp import DicomReceiver
from replay.lab.web.errors import SettingsError, UnreadableUpload
from replay.lab.web.importer import ImportWish
from replay.lab.web.settings import from_environment
from tests.support.lab_web import dicom_slice
from tests.support.waiting import wait_until


class KeepsWishes:
    """Notes what was to be taken in, and how many files."""

    def __init__(self) -> None:
        self.took: list[tuple[ImportWish, int]] = []
        self.refuses = False

    def take_in(self, upload: IO[bytes], wish: ImportWish, archive: Path) -> list[Row]:
        if self.refuses:
            raise UnreadableUpload("no")
        with zipfile.ZipFile(upload) as files:
            assert files.testzip() is None
            for name in files.namelist():
                with files.open(name) as file:
                    assert pydicom.dcmread(file).Modality == "CT"
            self.took.append((wish, len(files.namelist())))
        return []


@pytest.fixture
def importer() -> KeepsWishes:
    return KeepsWishes()


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def associate(importer: KeepsWishes, said: list[str], tmp_path: Path) -> Iterator[Callable[[], Any]]:
    receiver = DicomReceiver(importer, tmp_path, lambda project: project == "UP", said.append)  # type: ignore[arg-type]
    port = receiver.listen("127.0.0.1", 0)
    entity = AE()
    entity.add_requested_context(CTImageStorage)
    try:
        yield lambda: entity.associate("127.0.0.1", port, ae_title="XNAT")
    finally:
        receiver.close()


def a_slice(instance: int, comments: str) -> Any:
    made = dicom_slice(
        patient="P", study="1.2.3", series="1.2.3.1", series_number=1, instance=instance, description="AXIAL", size=16
    )
    made.PatientComments = comments
    return made


@pytest.mark.parametrize(
    ("comments", "filed"),
    [
        ("Project:UP Subject:TM-a-0001 Session:TM-a-0001", ("UP", "TM-a-0001", "TM-a-0001")),
        ("Project:ELSEWHERE Subject:S", (None, "S", None)),
        ("nothing of use", (None, None, None)),
    ],
)
def test_what_one_association_sends_is_taken_in_when_it_ends(
    importer: KeepsWishes, associate: Callable[[], Any], comments: str, filed: tuple[str | None, ...]
) -> None:
    association = associate()
    for instance in (1, 2, 3):
        assert association.send_c_store(a_slice(instance, comments)).Status == 0
    assert importer.took == []
    association.release()
    wait_until(lambda: importer.took, "the study to be taken in")
    [(wish, files)] = importer.took
    assert (wish.project, wish.subject, wish.session) == filed
    assert files == 3


def test_an_association_that_is_aborted_leaves_what_had_come(importer: KeepsWishes, associate: Callable[[], Any]) -> None:
    association = associate()
    association.send_c_store(a_slice(1, ""))
    association.abort()
    wait_until(lambda: importer.took, "the part to be taken in")
    assert importer.took[0][1] == 1


def test_what_cannot_be_taken_in_is_said_without_its_content(
    importer: KeepsWishes, associate: Callable[[], Any], said: list[str]
) -> None:
    importer.refuses = True
    association = associate()
    association.send_c_store(a_slice(1, "Project:SECRET"))
    association.release()
    assert wait_until(lambda: said, "the complaint") == ["an association was not taken in: UnreadableUpload"]


def test_the_port_is_a_setting(tmp_path: Path) -> None:
    users = tmp_path / "users.json"
    users.write_text('{"a": "b"}')
    known = {"LAB_DATABASE_URL": "postgresql://x", "LAB_VIEWER": "/viewer", "LAB_USERS_FILE": str(users)}
    assert from_environment(known).dicom is None
    assert from_environment({**known, "LAB_DICOM_LISTEN": "127.0.0.1:8104"}).dicom == ("127.0.0.1", 8104)
    with pytest.raises(SettingsError, match="LAB_DICOM_LISTEN is 'x'"):
        from_environment({**known, "LAB_DICOM_LISTEN": "x"})
