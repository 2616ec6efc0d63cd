"""How the end of a step is known: every condition, met and not met, and the words of the last look."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from replay.expectations import EXPECTATIONS, RefusedError, Scene, Verdict
from replay.scenario_shape import Scenario
from replay.settle import NotSettledError, settle
from replay.sight import Before, NotReadyError, before
from replay.values import Values
from tests.support.replay_fakes import ENVIRONMENT, FakeBrowser, FakeTime, click, scenario, seen, viewer


@pytest.fixture
def page(tmp_path: Path) -> FakeBrowser:
    return FakeBrowser(tmp_path)


def _loaded(*entries: dict[str, Any]) -> Scenario:
    return scenario(click(expect=list(entries)), parameters={"exam": "A_1"})


def look_at(page: FakeBrowser, entry: dict[str, Any], earlier: Before | None = None) -> Verdict:
    loaded = _loaded(entry)
    scene = Scene(
        eyes=page,
        downloads=page.downloads,
        values=Values(loaded, {}, ENVIRONMENT),
        before=earlier or before(page, page.downloads),
    )
    return EXPECTATIONS[entry["kind"]](scene, loaded.steps[0].expect[0])


def test_waiting_ends_at_the_first_look_that_has_a_value() -> None:
    looks = iter([(None, "no"), (None, "not yet"), ("yes", "")])
    time = FakeTime()
    assert time.waiter().until(lambda: next(looks), timeout_s=60) == "yes"
    assert len(time.pauses) == 2


def test_waiting_in_vain_says_how_long_and_what_was_seen_last() -> None:
    time = FakeTime()
    with pytest.raises(NotSettledError, match=r"after 3 s: 2 rows, wanted 9") as failed:
        time.waiter().until(lambda: (None, "2 rows, wanted 9"), timeout_s=3)
    assert time.now_s == pytest.approx(3, abs=0.05)
    assert failed.value.exit_status == 1


def test_looks_grow_rarer_but_stay_within_a_hundredth_of_the_wait() -> None:
    time = FakeTime()
    time.waiter().until(lambda: ("there" if time.now_s > 30 else None, ""), timeout_s=60)
    assert time.pauses[0] == 0.02
    assert time.pauses[-1] == 0.1
    assert time.now_s < 30 + 0.11
    assert len(time.pauses) < 500


def test_a_page_that_changes_under_the_look_is_looked_at_again() -> None:
    looks = iter(range(3))

    def attempt() -> tuple[str | None, str]:
        if next(looks) < 2:
            raise NotReadyError("navigating")
        return "there", ""

    assert FakeTime().waiter().until(attempt, timeout_s=60) == "there"


def test_a_page_is_new_complete_and_at_the_wanted_path(page: FakeBrowser) -> None:
    entry = {"kind": "page", "path": "Index\\.vm$"}
    earlier = before(page, page.downloads)
    assert look_at(page, entry, earlier).saw == "still the page / (complete)"
    page.show("/xnat/app/template/Index.vm")
    page.page["state"] = "interactive"
    assert not look_at(page, entry, earlier).met
    page.page["state"] = "complete"
    assert look_at(page, entry, earlier).attributes == {"evidence": "navigation"}
    assert look_at(page, entry, earlier).met
    page.show("/elsewhere")
    assert not look_at(page, entry, earlier).met


def test_an_error_page_is_no_page(page: FakeBrowser) -> None:
    earlier = before(page, page.downloads)
    page.show("/data/experiments/E1")
    page.page["status"] = 502
    with pytest.raises(RefusedError, match="answered /data/experiments/E1 with status 502"):
        look_at(page, {"kind": "page"}, earlier)


def test_shown_and_gone_are_opposites(page: FakeBrowser) -> None:
    shown, gone = ({"kind": kind, "targets": ["css=.box", "id=box"]} for kind in ("shown", "gone"))
    assert (look_at(page, shown).met, look_at(page, gone).met) == (False, True)
    page.elements["id=box"] = [seen("box")]
    assert (look_at(page, shown).met, look_at(page, gone).met) == (True, False)
    assert look_at(page, gone).saw == "id=box is still there"


def test_rows_count_only_after_the_request_of_this_search(page: FakeBrowser) -> None:
    entry = {"kind": "rows", "targets": ['xpath=//tr[.="${exam}"]'], "at_least": 2, "request": "/REST/search"}
    page.elements['xpath=//tr[.="A_1"]'] = [seen(1), seen(2), seen(3, visible=False)]
    page.page["requests"] = [{"path": "/REST/search", "status": 200, "end_ms": 4.0}]
    earlier = before(page, page.downloads)
    assert look_at(page, entry, earlier).saw == "no finished request like /REST/search"
    page.page["requests"].append({"path": "/REST/search/T1", "status": 200, "end_ms": 6.0})
    assert look_at(page, entry, earlier).met
    page.elements['xpath=//tr[.="A_1"]'].pop(0)
    assert look_at(page, entry, earlier).saw == "1 rows, wanted 2"


def test_a_request_that_broke_off_is_no_answer(page: FakeBrowser) -> None:
    entry = {"kind": "rows", "targets": ["css=#go"], "request": "/REST/search"}
    earlier = before(page, page.downloads)
    page.page["requests"] = [{"path": "/REST/search", "status": 0, "end_ms": 6.0}]
    assert not look_at(page, entry, earlier).met
    page.page["requests"].append({"path": "/REST/search", "status": 200, "end_ms": 7.0})
    assert look_at(page, entry, earlier).met


def test_a_failed_search_is_said_at_once(page: FakeBrowser) -> None:
    earlier = before(page, page.downloads)
    page.page["requests"] = [{"path": "/REST/search", "status": 500, "end_ms": 6.0}]
    with pytest.raises(RefusedError, match="/REST/search with status 500"):
        look_at(page, {"kind": "rows", "targets": ["css=tr"], "request": "/REST/search"}, earlier)


def test_a_download_is_complete_when_the_browser_has_given_it_its_name(page: FakeBrowser) -> None:
    entry = {"kind": "download", "name": "\\.zip$"}
    (page.downloads / "old.zip").write_bytes(b"12345")
    earlier = before(page, page.downloads)
    assert not look_at(page, entry, earlier).met
    part = page.downloads / "Unconfirmed 1.crdownload"
    part.write_bytes(b"123")
    assert look_at(page, entry, earlier).saw == "0 files complete, 1 being received (3 bytes)"
    held = page.downloads / "new.zip"
    held.touch()
    assert not look_at(page, entry, earlier).met
    part.replace(held)
    verdict = look_at(page, entry, earlier)
    assert verdict.met
    assert verdict.attributes == {"bytes": 3, "evidence": "download"}


def test_an_empty_file_is_no_download(page: FakeBrowser) -> None:
    earlier = before(page, page.downloads)
    (page.downloads / "new.zip").touch()
    assert not look_at(page, {"kind": "download"}, earlier).met


def test_slices_are_there_when_as_many_were_fetched_as_the_viewer_counts(page: FakeBrowser) -> None:
    assert look_at(page, {"kind": "slices"}).saw == "no image in the viewer"
    page.viewer = viewer(series="3", count=80, loaded=79, first_image_ms=1234.5, origin_ms=2.0)
    assert look_at(page, {"kind": "slices"}, Before()).saw == "79 of 80 slices of scan 3"
    page.viewer["loaded"] = 80
    verdict = look_at(page, {"kind": "slices"}, Before())
    assert (verdict.met, verdict.attributes["images"], verdict.first_image_ms) == (True, 80, 1234.5)


def test_slices_that_broke_off_are_not_there_and_end_the_wait(page: FakeBrowser) -> None:
    page.viewer = viewer(count=60, loaded=40, lost=15)
    assert not look_at(page, {"kind": "slices"}).met
    page.viewer["loaded"] = 45
    with pytest.raises(RefusedError, match="15 of 60 slices did not arrive"):
        look_at(page, {"kind": "slices"})


def test_the_first_image_is_of_the_opening_only(page: FakeBrowser) -> None:
    page.viewer = viewer(first_image_ms=1234.5)
    assert look_at(page, {"kind": "slices"}, before(page, page.downloads)).first_image_ms is None


def test_a_scan_is_changed_when_another_one_is_shown(page: FakeBrowser) -> None:
    page.viewer = viewer(series="2")
    earlier = before(page, page.downloads)
    assert look_at(page, {"kind": "series"}, earlier).saw == "still scan 2"
    page.viewer = viewer(series="3")
    assert look_at(page, {"kind": "series"}, earlier).met


@pytest.mark.parametrize(("at", "index", "met"), [("last", 10, True), ("last", 9, False), ("first", 1, True), ("4", 4, True)])
def test_a_slice_is_known_by_the_counter(page: FakeBrowser, at: str, index: int, met: bool) -> None:
    page.viewer = viewer(index=index, images=25)
    verdict = look_at(page, {"kind": "slice", "at": at})
    assert (verdict.met, verdict.painted) == (met, 25)


def test_moving_means_new_images_since_the_input(page: FakeBrowser) -> None:
    page.viewer = viewer(images=5)
    earlier = before(page, page.downloads)
    page.viewer = viewer(images=6)
    assert look_at(page, {"kind": "moving"}, earlier).saw == "1 new images, wanted 2"
    page.viewer = viewer(images=7)
    assert look_at(page, {"kind": "moving"}, earlier).met


def test_an_icon_tells_whether_it_plays(page: FakeBrowser) -> None:
    entry = {"kind": "icon", "targets": ["css=#go"], "name": "stop"}
    page.icon = "play"
    assert look_at(page, entry).saw == "the icon play, wanted stop"
    page.icon = "stop"
    assert look_at(page, entry).met


def test_all_expectations_are_met_in_one_look(page: FakeBrowser) -> None:
    loaded = _loaded({"kind": "page"}, {"kind": "shown", "targets": ["id=box"]})
    scene = Scene(eyes=page, downloads=page.downloads, values=Values(loaded, {}, {}), before=before(page, page.downloads))
    time = FakeTime((1.0, lambda: page.elements.update({"id=box": [seen("box")]})), (2.0, lambda: page.show("/next")))
    verdicts = settle(scene, loaded.steps[0].expect, (), time.waiter(), timeout_s=10)
    assert [verdict.met for verdict in verdicts] == [True, True]
    assert time.now_s == pytest.approx(2.0, abs=0.05)


def test_a_refusal_ends_the_wait_with_what_to_do(page: FakeBrowser) -> None:
    refusal = {"kind": "page", "path": "Login", "because": "check the password"}
    loaded = scenario(click(expect=[{"kind": "page", "path": "Index"}], refuse=[refusal]))
    step = loaded.steps[0]
    scene = Scene(eyes=page, downloads=page.downloads, values=Values(loaded, {}, {}), before=before(page, page.downloads))
    time = FakeTime((1.0, lambda: page.show("/app/template/Login.vm")))
    with pytest.raises(RefusedError, match="the site refused: check the password"):
        settle(scene, step.expect, step.refuse, time.waiter(), timeout_s=60)
    assert time.now_s < 2
