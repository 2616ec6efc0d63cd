"""The practice web application as browsers, scripts and the sidecar see it over HTTP, with a real PostgreSQL."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.support.lab_web import LabWeb, postgres_folder, postgres_server, running_lab_web, write_archive
from tests.support.lab_web_http import BROWSER, browser, csrf

pytestmark = pytest.mark.skipif(postgres_folder() is None, reason="PostgreSQL is not installed (apt-get install postgresql)")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabWeb]:
    folder = tmp_path_factory.mktemp("lab")
    (folder / "archive").mkdir()
    write_archive(folder / "archive", catalogue_sessions=320, slices=2)
    with postgres_server() as database, running_lab_web(folder, database) as running:
        yield running


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
