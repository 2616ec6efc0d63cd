"""The real client package `xnat` against the practice web application with a real PostgreSQL.

What this client needs is what scripts and the sidecar need of XNAT; bytes are compared one by one.
"""

import hashlib
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import xnat
from xnat.exceptions import XNATLoginFailedError, XNATUploadError

from tests.support.lab_web import LabWeb, postgres_folder, postgres_server, running_lab_web, write_archive, write_slices

pytestmark = pytest.mark.skipif(postgres_folder() is None, reason="PostgreSQL is not installed (apt-get install postgresql)")

SLICES = 6
EXAM = "COVID19_CT/arc001/COVID_0001_CT1/SCANS"


@pytest.fixture(scope="module", params=["", "/xnat"], ids=["root", "context path"])
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabWeb]:
    folder = tmp_path_factory.mktemp("lab")
    (folder / "archive").mkdir()
    write_archive(folder / "archive", catalogue_sessions=12, slices=SLICES)
    with postgres_server() as database, running_lab_web(folder, database, context_path=request.param) as running:
        yield running


@pytest.fixture(scope="module")
def client(lab: LabWeb) -> Iterator[Any]:
    with xnat.connect(lab.url, user="researcher", password=lab.users["researcher"], loglevel="ERROR") as connection:
        yield connection


@pytest.fixture
def exam(client: Any) -> Any:
    return client.projects["COVID19_CT"].subjects["COVID_0001"].experiments["COVID_0001_CT1"]


@pytest.fixture(scope="module")
def upload(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A zip of two series of a study that the archive does not have."""
    folder = tmp_path_factory.mktemp("upload")
    for number in (4, 5):
        write_slices(
            folder / str(number), slices=3, patient="NEW_01", study="1.2.826.0.1.3680043.10.99.77", number=number,
            description=f"SERIES {number}",
        )  # fmt: skip
    target = folder / "new.zip"
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(folder.rglob("*.dcm")):
            archive.write(path, path.relative_to(folder))
    return target


def digests(folder: Path) -> dict[str, str]:
    """Digest per file below a folder, by the last two parts of its path."""
    return {f"{path.parent.name}/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*.dcm")}


def test_connecting_gives_version_user_and_end_of_the_session(client: Any) -> None:
    assert client.xnat_version.startswith("1.9")
    assert client.logged_in_user == "researcher"
    _, interval_s = client.session_expiration_time
    assert interval_s == 15 * 60


def test_a_wrong_password_is_a_failed_login(lab: LabWeb) -> None:
    with pytest.raises(XNATLoginFailedError):
        xnat.connect(lab.url, user="researcher", password="wrong", loglevel="CRITICAL")


def test_disconnecting_ends_the_session(lab: LabWeb) -> None:
    connection = xnat.connect(lab.url, user="admin", password=lab.users["admin"], loglevel="ERROR", no_parse_model=True)
    cookie = connection.jsession
    asked = requests.get(f"{lab.url}/xapi/users/username", cookies={"JSESSIONID": cookie}, timeout=10)
    assert (asked.status_code, asked.text) == (200, "admin")
    connection.disconnect()
    asked = requests.get(f"{lab.url}/xapi/users/username", cookies={"JSESSIONID": cookie}, timeout=10)
    assert asked.status_code == 401


def test_a_borrowed_session_works(lab: LabWeb, client: Any) -> None:
    borrowed = xnat.connect(lab.url, jsession=client.jsession, loglevel="ERROR", no_parse_model=True, cli=True)
    assert borrowed.logged_in_user == "researcher"


def test_an_alias_token_logs_in(lab: LabWeb, client: Any) -> None:
    token = client.services.issue_token()
    with xnat.connect(lab.url, user=token.alias, password=token.secret, loglevel="ERROR", no_parse_model=True) as other:
        assert other.logged_in_user == "researcher"
        assert other.get("/data/auth").text == "User 'researcher' is logged in"


def test_lists_at_every_level(client: Any) -> None:
    assert set(client.projects.keys()) == {"COVID19_CT", "HEAD_CT"}
    project = client.projects["COVID19_CT"]
    assert (project.name, project.description) == ("COVID-19 CT", "Chest CT")
    assert len(client.subjects) >= 13
    assert len(client.experiments) >= 13
    assert {subject.label for subject in project.subjects} >= {"COVID_0001", "COVID_0002", "COVID_0004"}
    assert "COVID_0001_CT1" in project.experiments.key_map
    subject = project.subjects["COVID_0001"]
    assert (subject.id, subject.demographics.gender, subject.demographics.yob) == ("XNAT_S00001", "F", 1960)
    assert [one.label for one in subject.experiments] == ["COVID_0001_CT1"]


def test_a_session_has_its_fields_and_scans(exam: Any) -> None:
    assert type(exam).__name__ == "CtSessionData"
    assert (exam.id, exam.project, exam.subject_id, str(exam.date)) == ("XNAT_E00001", "COVID19_CT", "XNAT_S00001", "2021-03-04")
    assert exam.scans["2"].type == "AXIAL LUNG"
    assert exam.scans["AXIAL SOFT"].id == "3"
    assert type(exam.scans["2"]).__name__ == "CtScanData"


def test_resources_tell_their_numbers_of_files_and_bytes(lab: LabWeb, exam: Any) -> None:
    resource = exam.scans["2"].resources["DICOM"]
    on_disk = list((lab.archive / EXAM / "2/DICOM").iterdir())
    assert resource.file_count == len(on_disk) == SLICES
    assert resource.file_size == sum(path.stat().st_size for path in on_disk)
    assert [file.id for file in resource.files] == [f"{number:03d}.dcm" for number in range(1, SLICES + 1)]


def test_one_file_comes_byte_for_byte(lab: LabWeb, exam: Any, tmp_path: Path) -> None:
    file = exam.scans["2"].resources["DICOM"].files["003.dcm"]
    original = lab.archive / EXAM / "2/DICOM/003.dcm"
    file.download(tmp_path / "got.dcm", verbose=False)
    assert (tmp_path / "got.dcm").read_bytes() == original.read_bytes()
    assert int(file.size) == original.stat().st_size  # asked by HEAD
    assert exam.scans["2"].read_dicom().SeriesDescription == "AXIAL LUNG"


def test_a_whole_session_comes_as_a_zip_in_xnats_layout(lab: LabWeb, exam: Any, tmp_path: Path) -> None:
    exam.download(tmp_path / "exam.zip", verbose=False)
    with zipfile.ZipFile(tmp_path / "exam.zip") as archive:
        assert archive.testzip() is None
        got = {name: archive.read(name) for name in archive.namelist()}
    folders = {"2": "2-AXIAL_LUNG", "3": "3-AXIAL_SOFT"}
    wanted = {
        f"COVID_0001_CT1/scans/{folders[path.parts[-3]]}/resources/DICOM/files/{path.name}": path.read_bytes()
        for path in (lab.archive / EXAM).rglob("*.dcm")
    }
    assert got == wanted


def test_folders_of_session_scan_and_resource(lab: LabWeb, exam: Any, tmp_path: Path) -> None:
    for name, thing in (("exam", exam), ("scan", exam.scans["3"]), ("resource", exam.scans["3"].resources["DICOM"])):
        (tmp_path / name).mkdir()
        thing.download_dir(tmp_path / name, verbose=False)
    original = {path.read_bytes() for path in (lab.archive / EXAM / "3").rglob("*.dcm")}
    assert len(list((tmp_path / "exam").rglob("*.dcm"))) == 2 * SLICES
    for name in ("scan", "resource"):
        assert {path.read_bytes() for path in (tmp_path / name).rglob("*.dcm")} == original


def test_an_import_goes_into_the_archive_and_comes_back_unchanged(lab: LabWeb, client: Any, upload: Path, tmp_path: Path) -> None:
    session = client.services.import_(upload, project="COVID19_CT", subject="NEW_A", experiment="NEW_A_CT1")
    assert (type(session).__name__, session.label, session.project) == ("CtSessionData", "NEW_A_CT1", "COVID19_CT")
    assert {scan.id: scan.type for scan in session.scans} == {"4": "SERIES 4", "5": "SERIES 5"}
    for scan in session.scans:
        for file in scan.resources["DICOM"].files:
            target = tmp_path / scan.id / file.id
            target.parent.mkdir(exist_ok=True)
            file.download(target, verbose=False)  # the client compares the digest that XNAT tells, too
    assert digests(tmp_path) == digests(upload.parent)


def test_overwrite_rules_of_an_import(client: Any, upload: Path) -> None:
    where = {"project": "COVID19_CT", "subject": "NEW_B", "experiment": "NEW_B_CT1"}
    first = client.services.import_(upload, **where)
    with pytest.raises(XNATUploadError, match="already exists"):
        client.services.import_(upload, **where)
    with pytest.raises(XNATUploadError, match="already has the file"):
        client.services.import_(upload, overwrite="append", **where)
    assert [one.status for one in client.prearchive.sessions() if one.name == "NEW_B_CT1"] == ["CONFLICT", "CONFLICT"]
    again = client.services.import_(upload, overwrite="delete", **where)
    assert again.id == first.id
    assert again.scans["4"].resources["DICOM"].file_count == 3


def test_an_import_may_wait_in_the_prearchive(client: Any, upload: Path, tmp_path: Path) -> None:
    waiting = client.services.import_(upload, project="COVID19_CT", destination="/prearchive")
    assert (waiting.status, waiting.project, waiting.subject) == ("READY", "COVID19_CT", "NEW_01")
    assert str(waiting.scan_date) == "2021-03-04"
    assert waiting.timestamp.date() == waiting.uploaded.date()
    assert waiting.id in {one.id for one in client.prearchive.sessions()}
    assert [scan.id for scan in waiting.scans] == ["4", "5"]
    waiting.download(tmp_path / "waiting.zip")
    assert len(zipfile.ZipFile(tmp_path / "waiting.zip").namelist()) == 6
    archived = waiting.archive(subject="NEW_C", experiment="NEW_C_CT1")
    assert archived.label == "NEW_C_CT1"
    assert len(archived.scans["5"].files) == 3


def test_what_is_no_dicom_is_refused_unless_it_may_be_passed_over(client: Any, upload: Path, tmp_path: Path) -> None:
    mixed = tmp_path / "mixed.zip"
    mixed.write_bytes(upload.read_bytes())
    with zipfile.ZipFile(mixed, "a") as archive:
        archive.writestr("notes.txt", "not DICOM")
    where = {"project": "COVID19_CT", "subject": "NEW_D", "experiment": "NEW_D_CT1"}
    with pytest.raises(XNATUploadError, match=r"notes\.txt is no DICOM file"):
        client.services.import_(mixed, **where)
    assert client.services.import_(mixed, ignore_unparsable=True, **where).label == "NEW_D_CT1"
    damaged = bytearray(upload.read_bytes())
    damaged[2000:2100] = bytes(100)
    (tmp_path / "damaged.zip").write_bytes(damaged)
    with pytest.raises(XNATUploadError, match="cannot be read"):
        client.services.import_(tmp_path / "damaged.zip", **where)
    (tmp_path / "broken.zip").write_bytes(upload.read_bytes()[:2000])
    with pytest.raises(XNATUploadError, match="no DICOM file"):
        client.services.import_(tmp_path / "broken.zip", **where)


def test_an_upload_into_a_resource_comes_back_unchanged(exam: Any, upload: Path) -> None:
    resource = exam.create_resource("NOTES")
    resource.upload(upload, "sub/new.zip")  # in chunks, as the client's progress bar makes it
    resource.upload_data(b"first", "note.txt")
    with pytest.raises(XNATUploadError, match="exists already"):
        resource.upload_data(b"second", "note.txt")
    resource.upload_data(b"second", "note.txt", overwrite=True)
    got = {file.id: io.BytesIO() for file in resource.files}
    for file in resource.files:
        file.download_stream(got[file.id], verbose=False)
    assert {name: stream.getvalue() for name, stream in got.items()} == {
        "sub/new.zip": upload.read_bytes(),
        "note.txt": b"second",
    }
    resource.files["note.txt"].delete()
    resource.clearcache()
    assert [file.id for file in exam.resources["NOTES"].files] == ["sub/new.zip"]


def test_a_folder_is_uploaded_as_one_archive_and_unpacked(client: Any, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/a.bin").write_bytes(bytes(range(256)) * 100)
    resource = client.projects["HEAD_CT"].create_resource("PROTOCOL", data_dir=tmp_path)
    target = io.BytesIO()
    resource.files["deep/a.bin"].download_stream(target, verbose=False)
    assert target.getvalue() == bytes(range(256)) * 100


def test_users_and_rights(client: Any, lab: LabWeb) -> None:
    assert set(client.users) == set(lab.users)
    assert client.users["researcher"].email == "researcher@example.org"
    assert client.access_levels["COVID19_CT"] == "Members"
    assert {user.login for user in client.projects["COVID19_CT"].users.values()} == set(lab.users)


def test_searches_by_the_clients_own_queries(client: Any) -> None:
    sessions = client.classes.CtSessionData
    assert [one.label for one in sessions.query().filter(sessions.label == "COVID_0001_CT1").all()] == ["COVID_0001_CT1"]
    several = sessions.query().filter(sessions.label.like("HEAD_000%")).tabulate_dict()
    assert {row["project"] for row in several} == {"HEAD_CT"}
    older = sessions.query().filter(sessions.age > 50, sessions.project == "COVID19_CT").all()
    assert older
    assert all(one.age > 50 for one in older)


def test_making_and_deleting_items(client: Any) -> None:
    project = client.projects["HEAD_CT"]
    subject = client.classes.SubjectData(parent=project, label="MADE_1")
    assert subject.id.startswith("XNAT_S")
    subject.demographics.gender = "M"
    session = client.classes.MrSessionData(parent=subject, label="MADE_1_MR1")
    session.date = "2022-05-06"
    client.clearcache()
    found = client.projects["HEAD_CT"].subjects["MADE_1"]
    assert found.demographics.gender == "M"
    assert [(type(one).__name__, one.label, str(one.date)) for one in found.experiments] == [
        ("MrSessionData", "MADE_1_MR1", "2022-05-06")
    ]
    found.experiments["MADE_1_MR1"].delete()
    found.delete()
    client.clearcache()
    assert "MADE_1" not in client.projects["HEAD_CT"].subjects.key_map
