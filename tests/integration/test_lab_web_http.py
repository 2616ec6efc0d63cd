"""The practice web application as browsers, scripts and the sidecar see it over HTTP, with a real PostgreSQL."""

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

from tests.support.lab_web import LabWeb, postgres_folder, postgres_server, running_lab_web, write_archive
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(postgres_folder() is None, reason="PostgreSQL is not installed (apt-get install postgresql)")

BROWSER = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64)", "Accept": "text/html,*/*;q=0.8"}
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
    manifest = write_archive(folder / "archive", catalogue_sessions=320, slices=4)
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


def browser(lab: LabWeb, user: str = "researcher") -> requests.Session:
    session = requests.Session()
    session.headers.update(BROWSER)
    session.get(f"{lab.url}/app/template/Login.vm", timeout=10)
    answer = session.post(f"{lab.url}/login", data={"username": user, "password": lab.users[user]}, timeout=10)
    assert answer.ok
    assert 'id="logout_user"' in answer.text
    return session


def csrf(lab: LabWeb, session: requests.Session) -> str:
    found = re.search(r'csrfToken = "([^"]+)"', session.get(f"{lab.url}/app/template/Index.vm", timeout=10).text)
    assert found is not None
    return found[1]


def search(lab: LabWeb, session: requests.Session, where: str, element: str = "xnat:ctSessionData") -> dict[str, Any]:
    body = (
        '<x:search xmlns:x="http://nrg.wustl.edu/security">'
        f"<x:root_element_name>{element}</x:root_element_name><x:search_where>{where}</x:search_where></x:search>"
    )
    query = {"XNAT_CSRF": csrf(lab, session), "format": "json", "cache": "true"}
    answer = session.post(f"{lab.url}/REST/search", params=query, data=body, timeout=10)
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()["ResultSet"]
    return found


def like(field: str, value: str) -> str:
    return (
        f"<x:criteria><x:schema_field>xnat:ctSessionData/{field}</x:schema_field>"
        f"<x:comparison_type>LIKE</x:comparison_type><x:value>{value}</x:value></x:criteria>"
    )


def test_the_health_check_needs_no_login(lab: LabWeb) -> None:
    answer = requests.get(lab.url + "/", allow_redirects=False, timeout=10)
    assert answer.status_code == 200
    assert "login_form" in answer.text


def test_unauthenticated_calls_depend_on_the_user_agent(lab: LabWeb) -> None:
    for path in ("/data/projects", "/REST/projects", "/xapi/users/username"):
        script = requests.get(lab.url + path, allow_redirects=False, timeout=10)
        assert (script.status_code, script.headers["WWW-Authenticate"].split()[0]) == (401, "Basic")
        page = requests.get(lab.url + path, headers=BROWSER, allow_redirects=False, timeout=10)
        assert (page.status_code, page.headers["Location"]) == (302, "/app/template/Login.vm")


def test_login_changes_the_session_id_and_leads_to_the_page_that_was_wanted(lab: LabWeb) -> None:
    session = requests.Session()
    session.headers.update(BROWSER)
    answer = session.get(f"{lab.url}/data/projects/COVID19_CT", timeout=10)
    assert 'id="login_form"' in answer.text
    before = session.cookies["JSESSIONID"]
    wrong = session.post(f"{lab.url}/login", data={"username": "researcher", "password": "no"}, timeout=10)
    assert wrong.url.endswith("Login.vm?failed=true")
    assert "Login attempt failed" in wrong.text
    data = {"username": "researcher", "password": lab.users["researcher"]}
    answer = session.post(f"{lab.url}/login", data=data, timeout=10)
    assert answer.url == f"{lab.url}/data/projects/COVID19_CT"
    assert session.cookies["JSESSIONID"] != before
    cookie = next(one for one in session.cookies if one.name == "JSESSIONID")
    assert cookie.path == "/"
    assert cookie.has_nonstandard_attr("HttpOnly")
    assert re.fullmatch(r'"\d{13},900000"', session.cookies["SESSION_EXPIRATION_TIME"])


def test_logout_ends_the_session(lab: LabWeb) -> None:
    session = browser(lab)
    cookie = {"JSESSIONID": session.cookies["JSESSIONID"]}
    assert requests.get(f"{lab.url}/xapi/users/username", cookies=cookie, timeout=10).text == "researcher"
    assert 'id="login_form"' in session.get(f"{lab.url}/app/action/LogoutUser", timeout=10).text
    assert requests.get(f"{lab.url}/xapi/users/username", cookies=cookie, timeout=10).status_code == 401


def test_jsession_answers_everybody_and_proves_nothing(lab: LabWeb) -> None:
    answer = requests.get(f"{lab.url}/data/JSESSION", cookies={"JSESSIONID": "A" * 32}, timeout=10)
    assert answer.status_code == 200
    assert re.fullmatch("[0-9A-F]{32}", answer.text)
    assert answer.text != "A" * 32


def test_browsers_need_the_token_to_write_and_scripts_do_not(lab: LabWeb) -> None:
    session = browser(lab)
    token = session.get(f"{lab.url}/data/JSESSION?CSRF=true", timeout=10).text.split("; XNAT_CSRF=")[1]
    place = f"{lab.url}/data/projects/HEAD_CT/resources/X"
    refused = session.put(place, timeout=10)
    assert refused.status_code == 403
    assert "XNAT_CSRF" in refused.text
    assert session.put(f"{place}?XNAT_CSRF={token}", timeout=10).status_code == 200
    auth = ("researcher", lab.users["researcher"])
    assert requests.delete(place, auth=auth, timeout=10).status_code == 200


def test_a_search_filters_pages_and_sorts(lab: LabWeb) -> None:
    session = browser(lab)
    everything = search(lab, session, "")
    some = search(lab, session, like("LABEL", "%covid_000%"))
    assert int(everything["totalRecords"]) == 321
    assert int(some["totalRecords"]) == 6  # 1, 2, 4, 5, 7, 8: every third belongs to the other project
    place = f"{lab.url}/REST/search/{everything['ID']}"
    query = {"format": "json", "limit": "10", "sortBy": "AGE", "sortOrder": "DESC"}
    first = session.get(place, params={**query, "offset": "0"}, timeout=10).json()["ResultSet"]["Result"]
    second = session.get(place, params={**query, "offset": "10"}, timeout=10).json()["ResultSet"]["Result"]
    ages = [float(row["age"]) for row in first + second]
    assert len(ages) == 20
    assert ages == sorted(ages, reverse=True)
    html = session.get(place, params={"format": "xList", "offset": "0", "limit": "5"}, timeout=10)
    assert html.headers["Content-Type"].startswith("text/html")
    assert html.text.count("<tr ") == 5
    assert 'href="/data/experiments/XNAT_E00001"' in html.text
    values = session.get(f"{place}/PROJECT?format=json", timeout=10).json()["ResultSet"]["Result"]
    assert {row["values"] for row in values} == {"COVID19_CT", "HEAD_CT"}
    other = browser(lab, "radiologist").get(place, params=query, timeout=10)
    assert other.status_code == 404  # cached searches are private


def test_a_listing_comes_as_a_spreadsheet(lab: LabWeb) -> None:
    session = browser(lab)
    table = search(lab, session, like("LABEL", "COVID_0001%"))
    data = {"XNAT_CSRF": csrf(lab, session), "search_id": table["ID"]}
    answer = session.post(f"{lab.url}/app/action/CSVAction", data=data, timeout=10)
    assert answer.headers["Content-Type"].startswith("text/csv")
    assert answer.text.splitlines()[1].startswith('"COVID_0001_CT1","COVID_0001"')


def test_quick_search_opens_a_single_find_and_lists_several(lab: LabWeb) -> None:
    session = browser(lab)
    token = csrf(lab, session)
    place = f"{lab.url}/app/action/QuickSearchAction"
    single = session.post(place, data={"searchValue": "COVID_0001", "XNAT_CSRF": token}, timeout=10)
    assert single.url == f"{lab.url}/data/projects/COVID19_CT/subjects/COVID_0001/experiments/XNAT_E00001"
    assert 'id="scan-data-table"' in single.text
    several = session.post(place, data={"searchValue": "COVID", "XNAT_CSRF": token}, timeout=10)
    assert several.url == place
    assert 'data-words="COVID"' in several.text
    nasty = session.post(place, data={"searchValue": '"><script>x</script>', "XNAT_CSRF": token}, timeout=10)
    assert "<script>x" not in nasty.text


@pytest.mark.parametrize(
    "path",
    [
        "/data/experiments/XNAT_E00001",
        "/REST/projects/COVID19_CT/experiments/COVID_0001_CT1",
        "/data/archive/projects/COVID19_CT/subjects/COVID_0001/experiments/COVID_0001_CT1",
        "/app/action/DisplayItemAction/search_element/xnat:ctSessionData/search_field/xnat:ctSessionData.ID"
        "/search_value/XNAT_E00001/popup/false/project/COVID19_CT",
    ],
)
def test_a_session_page_has_many_addresses(lab: LabWeb, path: str) -> None:
    text = browser(lab).get(lab.url + path, timeout=10).text
    assert 'id="scan-2" data-scan="2"' in text
    assert 'id="ohifViewer"' in text


@pytest.mark.parametrize(
    "path",
    [
        "/data/projects/NONE",
        "/data/experiments/XNAT_E99999",
        "/data/projects/HEAD_CT/subjects/COVID_0001/experiments/XNAT_E00001",
        "/data/experiments/XNAT_E00001/scans/9/files?format=zip",
        "/data/experiments/XNAT_E00001/scans/2/resources/DICOM/files/..%2f..%2fmanifest.json",
        "/data/version",
        "/app/template/Nothing.vm",
        "/xapi/nothing",
    ],
)
def test_what_is_not_there_is_a_404(lab: LabWeb, path: str) -> None:
    assert browser(lab).get(lab.url + path, timeout=10).status_code == 404


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
            wait_until(lambda: has_ended(lab.pid), "the end after SIGTERM", timeout_s=3)


def has_ended(pid: int) -> bool:
    """Tells whether a child process is gone or waits to be reaped."""
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
