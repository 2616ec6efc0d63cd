"""Paths become routes, and no id gets through."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.collect.routes import OTHER, Routes, experiment_of
from sidecar.model.catalogue import load_catalogue


@pytest.mark.parametrize(
    ("target", "route"),
    [
        ("/", "/"),
        ("/login", "/login"),
        ("/data/projects/P", "/data/projects/{}"),
        ("/data/archive/projects/P/subjects/S/experiments/E", "/data/archive/projects/{}/subjects/{}/experiments/{}"),
        ("/data/experiments/XNAT_E1/scans/2/resources/DICOM/files/1.dcm", "/data/experiments/{}/scans/{}/resources/{}/files/{}"),
        ("/REST/projects/P/subjects/S/experiments/E/scans/1,2,5/files?format=zip",
         "/REST/projects/{}/subjects/{}/experiments/{}/scans/{}/files"),
        ("/data/experiments/E/files/a/b/c.dcm", "/data/experiments/{}/files/{}"),
        ("/app/action/DisplayItemAction/search_element/xnat:subjectData/search_field/xnat:subjectData.ID/search_value/S1/project/P",
         "/app/action/DisplayItemAction/search_element/{}/search_field/{}/search_value/{}/project/{}"),
        ("/app/action/DisplayItemAction/JohnSmith/1/project/P", "/app/action/DisplayItemAction/{}/{}/project/{}"),
        ("/app/template/Index.vm?login=true", "/app/template/Index.vm"),
        ("/app/template/SomethingOfAPlugin.vm/x/y", "/app/template/{}/{}/{}"),
        ("/VIEWER/?projectId=P", "/VIEWER"),
        ("/VIEWER/static/js/main.js", "/VIEWER/{}"),
        ("/xapi/archive/download/abc/zip", "/xapi/archive/download/{}/zip"),
        ("/xapi/users/profile/smith", "/xapi/users/profile/{}"),
        ("/xapi/users/smith", "/xapi/users/{}"),
        ("/xapi/plugin/smith", "/xapi/{}/{}"),
        ("/data/search/saved", "/data/search/saved"),
        ("/data/search/T123/age", "/data/search/{}/{}"),
        ("/data/user/cache/resources/1/files/x.zip", "/data/user/cache/resources/{}/files/{}"),
        ("/data/services/import;jsessionid=ABC?x=1", "/data/services/import"),
        ("https://host/data/JSESSION", "/data/JSESSION"),
        ("*", "/{}"),
        ("//data//projects//P//", "/data/projects/{}"),
        ("/data/projects/files/subjects/data", "/data/projects/{}/subjects/{}"),
        ("/%2fetc%2fpasswd", "/{}"),
        ("/data/projects/../../etc", "/data/projects/{}/{}/{}"),
    ],
)  # fmt: skip
def test_route(target: str, route: str) -> None:
    assert Routes().route(target) == route


@pytest.mark.parametrize(
    ("target", "route"),
    [("/xnat", "/"), ("/xnat/", "/"), ("/xnat/data/projects/P", "/data/projects/{}"), ("/xnatural/login", "/{}/login"),
     ("/data/projects", "/data/projects")],
)  # fmt: skip
def test_the_context_path_is_no_part_of_a_route(target: str, route: str) -> None:
    assert Routes("/xnat").route(target) == route
    assert Routes("/xnat/").route(target) == route


@given(st.text(alphabet=st.characters(codec="latin-1"), max_size=200))
def test_every_segment_of_a_route_is_a_word_of_the_list(target: str) -> None:
    routes = Routes()
    assert set(routes.route(target).split("/")) <= {"", "{}"} | routes.words


@given(st.lists(st.sampled_from(sorted(Routes().words)), max_size=30), st.integers(0, 5))
def test_a_route_is_its_own_route(words: list[str], room: int) -> None:
    routes = Routes()
    once = routes.route("/" + "/".join(words))
    assert routes.route(once) == once


def test_the_number_of_routes_is_bounded_and_the_rest_is_counted() -> None:
    routes = Routes(max_routes=3)
    got = [routes.route("/data" + "/x" * length) for length in range(1, 6)]
    assert got == ["/data/{}", "/data/{}/{}", "/data/{}/{}/{}", OTHER, OTHER]
    assert (routes.distinct, routes.overflowed) == (3, 2)
    assert routes.route("/data/y") == "/data/{}"


def test_routes_know_every_word_of_the_catalogue_s_rules() -> None:
    words = Routes().words
    for rule in load_catalogue().rules:
        for pattern in (*rule.paths.patterns, *(path for step in rule.then for path in step.paths.patterns)):
            assert set(pattern.split("/")) <= {"", "*", "**"} | words, pattern


def test_the_experiment_that_a_target_is_about() -> None:
    assert experiment_of("/data/archive/projects/P/subjects/S/experiments/E1?format=json") == "E1"
    assert experiment_of("/xapi/viewer/projects/P/experiments/E1/exists") == "E1"
    assert experiment_of("/data/projects/P") is None
    assert experiment_of("/data/experiments/") is None
