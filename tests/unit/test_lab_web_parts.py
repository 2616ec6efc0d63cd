"""Small parts: settings, addresses, safe names, labels out of DICOM text, item and table forms."""

import json
from pathlib import Path

import pytest
from flask import Flask, request

from replay.lab.web import replies
from replay.lab.web.app import one_spelling
from replay.lab.web.errors import Refused, SettingsError
from replay.lab.web.gate import path_pairs
from replay.lab.web.importer import label_of
from replay.lab.web.prearchive import session_type
from replay.lab.web.settings import from_environment
from replay.lab.web.storage import safe_name, safe_path


def environment(tmp_path: Path, **changes: str) -> dict[str, str]:
    users = tmp_path / "users.json"
    users.write_text(json.dumps({"researcher": "secret"}))
    return {
        "LAB_DATABASE_URL": "postgresql://xnat:hidden@db/xnat",
        "LAB_VIEWER": "/viewer",
        "LAB_USERS_FILE": str(users),
        **changes,
    }


def test_defaults_are_the_containers(tmp_path: Path) -> None:
    settings = from_environment(environment(tmp_path))
    assert (settings.host, settings.port) == ("0.0.0.0", 8080)  # noqa: S104
    assert settings.archive == Path("/data/xnat/archive")
    assert settings.xnat_logs == Path("/data/xnat/home/logs")
    assert settings.tomcat_logs == Path("/usr/local/tomcat/logs")
    assert settings.context_path == ""


def test_no_secret_is_shown(tmp_path: Path) -> None:
    shown = repr(from_environment(environment(tmp_path)))
    assert "hidden" not in shown
    assert "secret" not in shown


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LAB_LISTEN", "8080"),
        ("LAB_LISTEN", "host:http"),
        ("LAB_CONTEXT_PATH", "xnat"),
        ("LAB_CONTEXT_PATH", "/a b"),
        ("LAB_DATABASE_URL", ""),
        ("LAB_VIEWER", ""),
        ("LAB_USERS_FILE", "/nowhere/users.json"),
    ],
)
def test_a_bad_setting_is_named(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        from_environment(environment(tmp_path, **{name: value}))


@pytest.mark.parametrize(
    ("asked", "inside"),
    [
        ("/REST/projects/P", "/data/projects/P"),
        ("/data/archive/projects", "/data/projects"),
        ("/REST/archive/projects/", "/data/projects"),
        ("/data/projects/P/", "/data/projects/P"),
        ("/data/prearchive/projects", "/data/prearchive/projects"),
        ("/app/template/Index.vm", "/app/template/Index.vm"),
        ("/", "/"),
    ],
)
def test_spellings_of_one_address(asked: str, inside: str) -> None:
    assert one_spelling(asked) == inside


def test_parameters_in_the_path() -> None:
    path = "/app/action/DisplayItemAction/search_element/xnat:ctSessionData/search_value/XNAT_E00001"
    assert path_pairs(path) == {"search_element": "xnat:ctSessionData", "search_value": "XNAT_E00001"}


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", ".hidden", "a\nb", "x" * 65])
def test_unsafe_labels_are_refused(name: str) -> None:
    with pytest.raises(Refused):
        safe_name(name)


@pytest.mark.parametrize("name", ["", "/etc/passwd", "a/../../b", "..", "a\\b", "a\x00b", "x" * 300])
def test_unsafe_file_names_are_refused(name: str) -> None:
    with pytest.raises(Refused):
        safe_path(name)


@pytest.mark.parametrize("name", ["a.dcm", "sub/folder/a.dcm", "./a.dcm", "ü.dcm", "a b.txt"])
def test_usual_file_names_pass(name: str) -> None:
    assert safe_path(name) == name.removeprefix("./")


@pytest.mark.parametrize(
    ("text", "label"),
    [("COVID 0001^A", "COVID_0001_A"), ("", "session"), ("...", "session"), ("a/../b", "a_.._b"), ("x" * 90, "x" * 64)],
)
def test_labels_out_of_free_text(text: str, label: str) -> None:
    assert label_of(text, "session") == label


def test_types_of_modalities() -> None:
    assert session_type("CT", "Session") == "xnat:ctSessionData"
    assert session_type("PT", "Scan") == "xnat:petScanData"
    assert session_type("XYZ", "Session") == "xnat:otherDicomSessionData"


def test_every_cell_of_a_list_is_text() -> None:
    found = replies.envelope([{"ID": 7, "label": None, "flag": True}])
    assert found == {"ResultSet": {"Result": [{"ID": "7", "label": "", "flag": "1"}], "totalRecords": "1"}}


@pytest.mark.parametrize(
    ("query", "accept", "agent", "page"),
    [
        ("", "text/html,application/xhtml+xml,*/*;q=0.8", "Mozilla/5.0", True),
        ("?format=json", "text/html", "Mozilla/5.0", False),
        ("?format=html", "*/*", "curl/7.88.1", True),
        ("", "*/*", "xnatpy/0.8.1", False),
        ("", "application/json", "Mozilla/5.0", False),
    ],
)
def test_when_an_item_is_a_page(query: str, accept: str, agent: str, page: bool) -> None:
    with Flask(__name__).test_request_context("/data/projects/P" + query, headers={"Accept": accept, "User-Agent": agent}):
        assert replies.wants_html(request) is page


def test_columns_may_be_encoded_twice() -> None:
    with Flask(__name__).test_request_context("/data/projects?columns=ID%252CURI,name,ID"):
        assert replies.wanted_columns(request, ["x"]) == ["ID", "URI", "name"]
