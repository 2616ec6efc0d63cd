"""Downloads, uploads, logs and the end of the practice web application, with a real PostgreSQL."""

import http.client
import io
import json
import os
import re
import signal
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.support.lab_web import (
    LabWeb,
    another_database,
    postgres_folder,
    postgres_server,
    running_lab_web,
    write_archive,
)
from tests.support.lab_web_http import browser, csrf
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(postgres_folder() is None, reason="PostgreSQL is not installed (apt-get install postgresql)")

TOMCAT = re.compile(r'^(\S+) - - \[(\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] "([^"]*)" (\d{3}) (\d+|-) (\d+)$')
XNAT = re.compile(r'^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}) - (\S*) (\S+) (\S+) (.*?) "([^"]*)" ?(.*)$')
BIG_SCAN_BYTES = 40_000_000


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with postgres_server() as url:
        yield url


@pytest.fixture(scope="module")
def lab(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabWeb]:
    folder = tmp_path_factory.mktemp("lab")
    (folder / "archive").mkdir()
    manifest = write_archive(folder / "archive", catalogue_sessions=5, slices=4)
    add_big_scan(folder / "archive", manifest)
    with running_lab_web(folder, database) as running:
        yield running


def add_big_scan(archive: Path, manifest: dict[str, Any]) -> None:
    """Gives the second session a scan with one large file that cannot be compressed."""
    place = "COVID19_CT/arc001/COVID_0002_CT1/SCANS/1/DICOM"
    (archive / place).mkdir(parents=True)
    (archive / place / "big.dcm").write_bytes(os.urandom(BIG_SCAN_BYTES))
    manifest["sessions"][1]["scans"][0]["directory"] = place
    (archive / "manifest.json").write_text(json.dumps(manifest))


def test_several_scans_come_as_one_streamed_zip(lab: LabWeb) -> None:
    with browser(lab).get(
        f"{lab.url}/REST/experiments/XNAT_E00001/scans/2,3/files?format=zip", stream=True, timeout=10
    ) as answer:
        assert "Content-Length" not in answer.headers
        assert answer.headers["Transfer-Encoding"] == "chunked"
        assert answer.headers["Content-Type"] == "application/zip"
        names = zipfile.ZipFile(io.BytesIO(answer.content)).namelist()
    assert len(names) == 8
    assert names[0] == "COVID_0001_CT1/scans/2-AXIAL_LUNG/resources/DICOM/files/001.dcm"


def test_the_download_page_works_in_two_steps(lab: LabWeb) -> None:
    session = browser(lab)
    choice = {"sessions": ["COVID19_CT:COVID_0001:COVID_0001_CT1:XNAT_E00001"], "scan_types": ["AXIAL SOFT"], "options": []}
    chosen = session.post(f"{lab.url}/xapi/archive/downloadwithsize", json=choice, timeout=10).json()
    folder = lab.archive / "COVID19_CT/arc001/COVID_0001_CT1/SCANS/3/DICOM"
    assert chosen["size"] == sum(path.stat().st_size for path in folder.iterdir())
    packed = session.get(f"{lab.url}/xapi/archive/download/{chosen['id']}/zip", timeout=10).content
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert {archive.read(name) for name in archive.namelist()} == {path.read_bytes() for path in folder.iterdir()}
    foreign = browser(lab, "radiologist").get(f"{lab.url}/xapi/archive/download/{chosen['id']}/zip", timeout=10)
    assert foreign.status_code == 404


def leave_early(lab: LabWeb, path: str, read_bytes: int) -> None:
    """Asks for an address, reads some bytes and breaks the connection."""
    connection = http.client.HTTPConnection(urlsplit(lab.url).netloc, timeout=10)
    login = requests.put(f"{lab.url}/data/services/auth", data={"username": "admin", "password": lab.users["admin"]}, timeout=10)
    connection.request("GET", path, headers={"Cookie": f"JSESSIONID={login.text}"})
    assert len(connection.getresponse().read(read_bytes)) == read_bytes
    connection.close()


def test_a_client_that_leaves_stops_the_download(lab: LabWeb) -> None:
    path = "/data/experiments/XNAT_E00002/scans/ALL/files?format=zip"
    leave_early(lab, path, 1_000_000)
    line = wait_until(lambda: [line for line in lab.tomcat_lines() if path in line], "the line of the broken download")[0]
    matched = TOMCAT.match(line)
    assert matched is not None
    assert 1_000_000 <= int(matched[5]) < BIG_SCAN_BYTES / 2


def test_the_logs_have_xnats_and_tomcats_formats(lab: LabWeb) -> None:
    headers = {"X-Forwarded-For": "192.0.2.44, 10.0.0.1", "User-Agent": "log-test/1"}
    auth = ("researcher", lab.users["researcher"])
    requests.get(f"{lab.url}/data/archive/projects?format=json", headers=headers, auth=auth, timeout=10)
    form = {"username": "radiologist", "password": "no"}
    requests.post(f"{lab.url}/login", headers=headers, data=form, timeout=10)
    requests.get(f"{lab.url}/scripts/search/dataTableSearch.js", headers=headers, timeout=10)
    script = "GET /scripts/search/dataTableSearch.js HTTP/1.1"
    line = wait_until(lambda: [line for line in lab.tomcat_lines() if script in line], "the line of the last request")[0]
    assert all(TOMCAT.match(line) for line in lab.tomcat_lines())
    matches = [XNAT.match(line) for line in lab.xnat_lines()]
    assert all(matches)
    mine = [match.groups()[1:] for match in matches if match and match[6] == "log-test/1"]
    assert mine == [
        ("researcher", "192.0.2.44", "GET", "Authentication", "log-test/1", "SUCCESS"),
        ("researcher", "192.0.2.44", "GET", f"{lab.url}/data/archive/projects?format=json", "log-test/1", ""),
        (
            "radiologist", "192.0.2.44", "POST", "Authentication", "log-test/1",
            "FAILED (BadCredentialsException): Bad credentials",
        ),
        ("guest", "192.0.2.44", "GET", "SCREEN: Login", "log-test/1", ""),
    ]  # fmt: skip
    matched = TOMCAT.match(line)
    assert matched is not None
    assert (matched[1], matched[3], matched[4]) == ("127.0.0.1", script, "200")


def test_the_viewer_gets_its_study_and_its_slices(lab: LabWeb) -> None:
    session = browser(lab)
    place = f"{lab.url}/xapi/viewer/projects/COVID19_CT/experiments/XNAT_E00001"
    assert session.get(f"{place}/exists", timeout=10).status_code == 404
    assert session.post(place, timeout=10).status_code == 201
    assert session.get(f"{place}/exists", timeout=10).status_code == 200
    (study,) = session.get(place, timeout=10).json()["studies"]
    assert [(one["SeriesNumber"], len(one["instances"])) for one in study["series"]] == [(2, 4), (3, 4)]
    instance = study["series"][0]["instances"][0]
    assert instance["metadata"]["PixelSpacing"] == [1.0, 1.0]
    scheme, _, path = instance["url"].partition(":")
    assert scheme == "dicomweb"
    slice_ = session.get(lab.url + path, timeout=10)
    assert slice_.headers["Content-Type"] == "application/dicom"
    assert slice_.content == (lab.archive / "COVID19_CT/arc001/COVID_0001_CT1/SCANS/2/DICOM/001.dcm").read_bytes()
    assert session.get(f"{lab.url}/xapi/viewer/projects/HEAD_CT/experiments/XNAT_E00003", timeout=10).status_code == 404


def test_the_upload_page_puts_a_file_into_the_cache_and_imports_it(lab: LabWeb) -> None:
    session = browser(lab)
    token = csrf(lab, session)
    packed = io.BytesIO(session.get(f"{lab.url}/data/experiments/XNAT_E00001/scans/2/files?format=zip", timeout=10).content)
    cached = f"{lab.url}/data/user/cache/resources/D1/files/up.zip"
    assert session.put(f"{cached}?XNAT_CSRF={token}", files={"image_archive": packed}, timeout=10).ok
    query = {"XNAT_CSRF": token, "src": "/user/cache/resources/D1/files/up.zip", "project": "HEAD_CT", "prearchive_code": "1"}
    answer = session.post(f"{lab.url}/data/services/import", params=query, timeout=10)
    assert answer.text == "/data/archive/projects/HEAD_CT/subjects/COVID_0001/experiments/COVID_0001\r\n"
    assert session.post(f"{lab.url}/data/services/import", params=query, timeout=10).status_code == 404  # used up


def test_a_bare_upload_that_calls_itself_a_form_is_taken_as_it_is(lab: LabWeb) -> None:
    auth = ("researcher", lab.users["researcher"])
    packed = requests.get(f"{lab.url}/data/experiments/XNAT_E00002/scans/ALL/files?format=zip", auth=auth, timeout=60).content
    headers = {"Content-Type": "application/x-www-form-urlencoded"}  # as curl --data-binary sends it
    where = {"project": "HEAD_CT", "subject": "BARE", "session": "BARE_CT1"}
    place = f"{lab.url}/data/services/import"
    answer = requests.post(place, params=where, data=packed, headers=headers, auth=auth, timeout=60)
    assert answer.status_code == 400
    assert "big.dcm is no DICOM file" in answer.text  # the archive was unpacked: its only file is noise


def test_sigterm_ends_it_quickly_even_in_the_middle_of_a_download(database: str, tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    with running_lab_web(tmp_path, database) as lab:
        login = requests.put(
            f"{lab.url}/data/services/auth", data={"username": "admin", "password": lab.users["admin"]}, timeout=10
        )
        big = f"{lab.url}/data/experiments/XNAT_E00002/scans/ALL/files?format=zip"
        (tmp_path / "archive/COVID19_CT/arc001/COVID_0002_CT1/SCANS/1/DICOM").mkdir(parents=True)
        file = tmp_path / "archive/COVID19_CT/arc001/COVID_0002_CT1/SCANS/1/DICOM/big.dcm"
        file.write_bytes(os.urandom(BIG_SCAN_BYTES))
        with requests.get(big, cookies={"JSESSIONID": login.text}, stream=True, timeout=10) as answer:
            assert answer.raw.read(100_000)
            os.kill(lab.pid, signal.SIGTERM)
            wait_until(lambda: has_ended(lab.pid), "the end after SIGTERM (after 10 s Docker kills)", timeout_s=10)


def has_ended(pid: int) -> bool:
    """Tells whether a child process is gone or waits to be reaped."""
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda manifest: manifest["sessions"][0].pop("label"), "an entry lacks 'label'"),
        (lambda manifest: manifest["sessions"][0].update(subject="NOBODY"), "names the unknown subject NOBODY"),
        (lambda manifest: manifest["sessions"].append(manifest["sessions"][1]), "does not fit together"),
        (lambda manifest: manifest["sessions"][0]["scans"][0].update(directory="NO/WHERE"), "NO/WHERE of a scan cannot be read"),
    ],
    ids=["missing key", "unknown subject", "repeated session", "missing folder"],
)
def test_a_bad_manifest_is_a_clear_error(
    database: str, tmp_path: Path, request: pytest.FixtureRequest, change: Any, complaint: str
) -> None:
    (tmp_path / "archive").mkdir()
    manifest = write_archive(tmp_path / "archive", catalogue_sessions=2, slices=1)
    change(manifest)
    (tmp_path / "archive/manifest.json").write_text(json.dumps(manifest))
    fresh = another_database(database, request.node.callspec.id.replace(" ", "_"))
    with pytest.raises(AssertionError, match="the application ended"), running_lab_web(tmp_path, fresh):
        pass
    said = (tmp_path / "stderr").read_text()
    assert complaint in said
    assert "Traceback" not in said


def test_a_restart_keeps_what_is_in_the_database(database: str, tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    write_archive(tmp_path / "archive", catalogue_sessions=2, slices=1)
    fresh = another_database(database, "restarted")
    for expected in (201, 200):
        with running_lab_web(tmp_path, fresh) as lab:
            auth = ("admin", lab.users["admin"])
            place = f"{lab.url}/data/projects/HEAD_CT/subjects/KEPT"
            assert requests.put(place, auth=auth, timeout=10).status_code == expected
            counts = requests.get(f"{lab.url}/xapi/totalCounts/reset", auth=auth, timeout=10).json()
            assert counts == {"projects": 2, "subjects": 4, "experiments": 3}
