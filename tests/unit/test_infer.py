"""Actions inferred from lines alone: what is one, what is none, when it ends, and that reading again says the same."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.collect.infer import MAX_OPEN, Inference, action_id
from sidecar.collect.log_formats import LineReader
from sidecar.model.catalogue import load_catalogue
from sidecar.model.checks import OPAQUE_ID
from sidecar.model.records import Action, Server
from tests.support.access_log import combined, tm1

CATALOGUE = load_catalogue()
T = 1_795_341_170.0
EXAM = "/data/archive/projects/P/subjects/S/experiments/LABEL"


@dataclass
class Reading:
    """Lines read one after the other into inference, as a collector does."""

    server: Server = "nginx"

    def __post_init__(self) -> None:
        self.inference = Inference(CATALOGUE, self.server)
        self.reader = LineReader(self.server)
        self.offset = 0

    def line(self, line: str) -> None:
        kind = self.reader.detect(line.rstrip("\n"))
        assert kind is not None
        found = self.reader.read(kind, line.rstrip("\n"))
        assert found is not None
        self.inference.see(*found, "file", self.offset)
        self.offset += len(line)

    def ask(self, at_s: float, took_s: float, method: str, uri: str, status: int = 200, **fields: str) -> None:
        """One request that begins `at_s` seconds after T."""
        self.line(tm1(T + at_s + took_s, took_s, method, uri, status=status, **fields))  # type: ignore[arg-type]

    def end(self) -> list[Action]:
        self.inference.settle(int((T + 100_000) * 1e9))
        return self.inference.take()


def summary(actions: list[Action]) -> list[tuple[str, float, float]]:
    """Name, begin after T, duration; in seconds."""
    return [(one.action, round(one.start_ns / 1e9 - T, 3), round(one.duration_ns / 1e9, 3)) for one in actions]


def test_login_lasts_until_the_page_it_leads_to() -> None:
    reading = Reading()
    reading.ask(0, 0.2, "POST", "/login", 302)
    reading.ask(0.25, 0.5, "GET", "/app/template/Index.vm")
    reading.ask(0.8, 0.01, "GET", "/data/projects", query_format="json", content_type="application/json")
    assert summary(reading.end()) == [("login", 0.0, 0.75)]


def test_a_refused_login_is_none() -> None:
    reading = Reading()
    reading.ask(0, 0.2, "POST", "/login", 302)
    reading.ask(0.25, 0.1, "GET", "/app/template/Login.vm")
    reading.ask(10, 0.2, "POST", "/login", 500)
    assert reading.end() == []


def test_logout() -> None:
    reading = Reading()
    reading.ask(0, 0.1, "GET", "/app/action/LogoutUser", 302)
    reading.ask(0.15, 0.1, "GET", "/app/template/Login.vm")
    assert summary(reading.end()) == [("logout", 0.0, 0.25)]


def test_page_load_and_the_search_of_its_first_tab() -> None:
    reading = Reading()
    reading.ask(0, 0.5, "GET", "/data/projects/P")
    reading.ask(0.9, 0.3, "POST", "/data/search", content_type="application/json")
    reading.ask(1.3, 0.2, "GET", "/data/search/T1", query_format="xList")
    assert summary(reading.end()) == [("page_load", 0.0, 1.5)]


def test_a_search_on_a_page_that_has_stood_for_a_while() -> None:
    reading = Reading()
    reading.ask(0, 0.5, "GET", "/data/projects/P")
    reading.ask(0.9, 0.3, "POST", "/data/search", content_type="application/json")
    reading.ask(20, 0.3, "POST", "/data/search", content_type="application/json")
    reading.ask(20.4, 0.2, "GET", "/data/search/T1", query_format="xList")
    assert summary(reading.end()) == [("page_load", 0.0, 1.2), ("filter_search", 20.0, 0.6)]


def test_a_second_search_soon_after_a_page_is_the_user_s() -> None:
    reading = Reading()
    reading.ask(0, 0.5, "GET", "/data/projects/P")
    reading.ask(0.9, 0.3, "POST", "/data/search")
    reading.ask(2.0, 0.3, "POST", "/data/search")
    assert [name for name, *_ in summary(reading.end())].count("filter_search") == 1


def test_quick_search_leads_to_a_page_that_belongs_to_it() -> None:
    reading = Reading()
    reading.ask(0, 0.4, "POST", "/app/action/QuickSearchAction", 302)
    reading.ask(0.5, 0.6, "GET", "/data/projects/P")
    assert summary(reading.end()) == [("filter_search", 0.0, 1.1)]


@pytest.mark.parametrize(
    ("method", "uri", "status", "fields", "expected"),
    [
        ("GET", EXAM + "/scans/1/files", 200, {"query_format": "zip"}, "download"),
        ("GET", "/REST/projects/P/files", 200, {"query_format": "zip"}, "download"),
        ("GET", EXAM + "/scans/1/files", 200, {"query_format": "json"}, None),
        ("GET", EXAM + "/scans/1/files", 403, {"query_format": "zip"}, None),
        ("HEAD", EXAM + "/scans/1/files", 200, {"query_format": "zip"}, None),
        ("GET", "/xapi/archive/download/abc/zip", 200, {}, "download"),
        ("GET", "/xapi/archive/download/abc/other", 200, {}, None),
        ("POST", "/data/services/import", 200, {}, "upload"),
        ("POST", "/data/services/archive", 200, {}, None),
        ("DELETE", "/data/JSESSION", 200, {}, "logout"),
        ("GET", "/data/JSESSION", 200, {"content_type": "text/plain"}, None),
        ("GET", "/data/projects/P", 200, {"content_type": "application/json"}, None),
        ("GET", "/data/projects/P", 200, {}, "page_load"),
        ("GET", "/app/template/Index.vm", 200, {}, "page_load"),
        ("GET", "/app/template/Login.vm", 200, {}, None),
        ("GET", "/", 200, {}, None),
        ("GET", "/VIEWER/static/main.js", 200, {"content_type": "text/javascript"}, None),
    ],
)
def test_which_request_is_an_action(method: str, uri: str, status: int, fields: dict[str, str], expected: str | None) -> None:
    reading = Reading()
    reading.ask(0, 1.5, method, uri, status, **fields)
    assert summary(reading.end()) == ([(expected, 0.0, 1.5)] if expected else [])


def test_upload_is_the_file_and_its_import_however_long_that_takes() -> None:
    reading = Reading()
    reading.ask(0, 8, "PUT", "/data/user/cache/resources/1/files/x.zip")
    reading.ask(10, 0.1, "GET", "/app/template/Index.vm")
    reading.ask(8.5, 240, "POST", "/data/services/import")
    assert ("upload", 0.0, 248.5) in summary(reading.end())


def open_viewer(reading: Reading, at_s: float, exam: str, label: str, slices: int) -> None:
    reading.ask(at_s, 0.1, "GET", "/VIEWER")
    reading.ask(at_s + 0.2, 0.1, "GET", "/VIEWER/main.js", content_type="text/javascript")
    reading.ask(at_s + 1.0, 0.5, "GET", f"/xapi/viewer/projects/P/experiments/{exam}", content_type="application/json")
    for number in range(slices):
        show(reading, at_s + 2 + number * 0.1, label)


def show(reading: Reading, at_s: float, label: str) -> None:
    uri = f"/data/archive/projects/P/subjects/S/experiments/{label}/scans/2/resources/DICOM/files/1.dcm"
    reading.ask(at_s, 0.05, "GET", uri, content_type="application/dicom")


def test_open_viewer_lasts_until_the_last_image_before_a_quiet_gap() -> None:
    reading = Reading()
    open_viewer(reading, 0, "XNAT_E1", "LABEL", 30)
    show(reading, 9, "LABEL")  # another scan, four seconds later
    assert summary(reading.end()) == [("open_viewer", 0.0, 4.95)]


def test_two_viewers_at_once_keep_their_own_images() -> None:
    reading = Reading()
    reading.ask(0, 0.1, "GET", "/VIEWER")
    reading.ask(0.5, 0.1, "GET", "/VIEWER")
    reading.ask(1.0, 0.1, "GET", "/xapi/viewer/projects/P/experiments/E1", content_type="application/json")
    reading.ask(1.2, 0.1, "GET", "/xapi/viewer/projects/P/experiments/E2", content_type="application/json")
    show(reading, 2.0, "ONE")
    show(reading, 2.1, "TWO")
    for number in range(20):
        show(reading, 2.2 + number, "TWO")
    assert summary(reading.end()) == [("open_viewer", 0.0, 2.05), ("open_viewer", 0.5, 20.75)]


def test_images_of_a_viewer_that_was_opened_before_do_not_lengthen_a_new_one() -> None:
    reading = Reading()
    open_viewer(reading, 0, "E1", "ONE", 5)
    open_viewer(reading, 30, "E2", "TWO", 0)
    for number in range(10):
        show(reading, 31.5 + number, "ONE")  # the first user scrolls through another scan
    assert summary(reading.end())[1] == ("open_viewer", 30.0, 1.5)


def test_an_exam_that_is_opened_again_is_known_by_id_and_label() -> None:
    reading = Reading()
    open_viewer(reading, 0, "E1", "ONE", 5)
    open_viewer(reading, 60, "E1", "ONE", 5)
    assert [took for _, _, took in summary(reading.end())] == [2.45, 2.45]


def test_what_a_marker_source_told_is_not_inferred_again() -> None:
    reading = Reading()
    trace = f"00-{'ab' * 16}-{'cd' * 8}-01"
    reading.ask(0, 0.2, "POST", "/login", 302, trace=trace)
    reading.ask(1, 0.2, "GET", "/app/template/Index.vm", trace=trace)
    reading.ask(2, 0.1, "GET", "/VIEWER", trace=trace)
    assert reading.end() == []


def test_without_content_types_an_item_is_a_page_that_claims_its_search_but_is_not_reported() -> None:
    reading = Reading()
    reading.line(combined(1, "/data/projects/P", second=10))
    reading.line(combined(2, "/data/search", second=11).replace("GET", "POST"))
    reading.line(combined(3, "/app/template/Index.vm", second=30))
    assert [one.action for one in reading.end()] == ["page_load"]
    assert reading.inference.without_duration == 1


def test_a_combined_line_names_its_experiment_in_the_query() -> None:
    reading = Reading()
    reading.line(combined(1, "/VIEWER?projectId=P&experimentId=E1&experimentLabel=ONE", second=10))
    reading.line(combined(2, "/data/archive/projects/P/subjects/S/experiments/OTHER/scans/1/files/x", second=11))
    reading.line(combined(3, "/data/archive/projects/P/subjects/S/experiments/ONE/scans/1/files/x", second=13))
    assert summary(reading.end()) == [("open_viewer", -40.0, 3.0)]


def test_xnat_s_own_log() -> None:
    reading = Reading("xnat")
    head = "2026-11-22 09:52"
    reading.line(f'{head}:10,000 - alice 10.0.0.1 POST Authentication "agent" SUCCESS\n')
    reading.line(f'{head}:10,500 - alice 10.0.0.1 GET SCREEN: Index "agent" \n')
    reading.line(f'{head}:20,000 - bob 10.0.0.1 POST Authentication "agent" FAILED (X): no\n')
    reading.line(f'{head}:40,000 - alice 10.0.0.1 GET https://h/data/experiments/E1/scans/1/files?format=zip "agent" \n')
    actions = reading.end()
    assert [(one.action, one.duration_ns) for one in actions] == [("login", 500_000_000), ("download", 0)]


def test_an_inferred_action_says_where_it_comes_from_and_carries_no_id_of_anything() -> None:
    reading = Reading()
    open_viewer(reading, 0, "XNAT_E00042", "SMITH_CT1", 3)
    (action,) = reading.end()
    assert (action.source, action.session, action.outcome) == ("access-log", None, "completed")
    assert OPAQUE_ID.fullmatch(action.action_id)
    assert "SMITH" not in repr(action)
    assert "E00042" not in repr(action)
    assert action.attributes == {"evidence": "requests", "bytes": 500}


def test_a_line_has_the_same_action_id_whenever_it_is_read() -> None:
    assert action_id("f", 10) == action_id("f", 10)
    assert len({action_id("f", 10), action_id("f", 11), action_id("g", 10)}) == 3


def test_what_is_open_is_bounded() -> None:
    reading = Reading()
    for number in range(MAX_OPEN + 5):
        reading.ask(number * 0.001, 0.0, "GET", "/VIEWER")
    assert reading.inference.open_actions == MAX_OPEN
    assert reading.inference.forced == 5
    assert len(reading.end()) == MAX_OPEN + 5


def test_a_log_whose_clock_was_set_back_ends_what_was_open() -> None:
    reading = Reading()
    reading.ask(1000, 0.1, "GET", "/VIEWER")
    reading.ask(0, 0.1, "GET", "/VIEWER")
    assert [name for name, *_ in summary(reading.inference.take())] == ["open_viewer"]
    assert reading.inference.open_actions == 1


requests = st.lists(
    st.tuples(
        st.floats(0, 5),
        st.floats(0, 3),
        st.sampled_from(
            [
                ("POST", "/login", 302, "-"), ("GET", "/app/template/Index.vm", 200, "-"), ("GET", "/data/projects/P", 200, "-"),
                ("POST", "/data/search", 200, "-"), ("GET", "/data/search/T", 200, "xList"), ("GET", "/VIEWER", 200, "-"),
                ("GET", "/xapi/viewer/projects/P/experiments/A", 200, "-"),
                ("GET", "/xapi/viewer/projects/P/experiments/B", 200, "-"),
                ("GET", EXAM + "/scans/1/files/x", 200, "-"), ("GET", EXAM + "2/scans/1/files/x", 200, "-"),
                ("PUT", "/data/user/cache/resources/1/files/x", 200, "-"), ("POST", "/data/services/import", 200, "-"),
            ]
        ),
    ),
    max_size=40,
)  # fmt: skip


@settings(deadline=None, max_examples=100)
@given(requests, st.integers(0, 40))
def test_reading_again_from_where_it_is_needed_gives_the_same_actions(
    steps: list[tuple[float, float, tuple[str, str, int, str]]], crash: int
) -> None:
    lines, ended = [], 0.0
    for gap, took, (method, uri, status, query_format) in steps:
        ended += gap
        lines.append(tm1(T + ended, round(took, 3), method, uri, status=status, query_format=query_format))
    first, second, never_crashed = Reading(), Reading(), Reading()
    for line in lines[:crash]:
        first.line(line)
    committed = first.inference.take()
    needs_from = first.inference.needs_from("file", first.offset)
    for line in lines[:crash]:
        if needs_from is not None and second.offset >= needs_from:
            second.line(line)
        else:
            second.offset += len(line)
    second.inference.take()
    assert second.inference.needs_from("file", second.offset) == needs_from
    for line in lines[crash:]:
        second.line(line)
    for line in lines:
        never_crashed.line(line)
    after = second.end()
    names = [(one.action_id, one.action, one.start_ns) for one in [*committed, *after]]
    assert sorted(names) == sorted((one.action_id, one.action, one.start_ns) for one in never_crashed.end())
