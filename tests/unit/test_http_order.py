"""When requests start: what was done at once is done at once, what waited waits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from replay.http.observed import Observed
from replay.http.order import order
from tests.support.http_replay import made, seen, stretch

OK = made(200, "")


def test_requests_of_a_page_follow_its_head_and_each_other() -> None:
    page = seen(100, "/", OK, 1, document=True, head_ms=130.0, end_ms=200.0)
    style = seen(140, "/style.css", OK, 1, took_ms=20)
    script = seen(141, "/script.js", OK, 1, took_ms=100)
    asked_by_script = seen(250, "/data", OK, 1, took_ms=30)
    phases, places = order([page, style, script, asked_by_script], [stretch(1, "page_load", 95, 300, (2.0, 0.4))])
    assert [(one.event, one.of, one.delay_ms) for one in places] == [
        ("phase", None, 5.0),
        ("head", 0, 10.0),
        ("head", 0, 11.0),
        ("end", 2, 9.0),
    ]
    assert phases[0].thinks == ((2.0, 0.4),)
    assert phases[0].settle_ms == 20.0


def test_six_at_a_time_stay_six_at_a_time() -> None:
    images = [seen(10.0 * (number // 6), f"/{number}", OK, 1, took_ms=10) for number in range(18)]
    _, places = order(images, [stretch(1, "open_viewer", 0, 40)])
    assert [one.of for one in places[:6]] == [None] * 6
    assert all(one.event == "end" and one.of is not None and one.of < 6 and one.delay_ms == 0 for one in places[6:12])
    assert all(one.of is not None and 6 <= one.of < 12 for one in places[12:])


def test_an_action_does_not_wait_for_what_outlived_it() -> None:
    poll = seen(20, "/poll", OK, 1, took_ms=5000)
    _, places = order([seen(10, "/", OK, 1), poll], [stretch(1, "page_load", 0, 100)])
    assert [one.waits for one in places] == [True, False]


def test_what_belongs_to_no_action_gets_a_phase_of_its_own() -> None:
    asked = [seen(10, "/", OK, 1), seen(500, "/poll", OK), seen(1000, "/data", OK, 2), seen(3000, "/poll", OK)]
    phases, places = order(asked, [stretch(1, "page_load", 0, 100), stretch(2, "filter_search", 990, 1100)])
    assert [phase.action for phase in phases] == ["page_load", None, "filter_search", None]
    assert [one.phase for one in places] == [0, 1, 2, 3]
    assert [one.waits for one in places] == [True, False, True, False]


TIMES = st.lists(st.tuples(st.floats(0, 5000), st.floats(0, 900), st.integers(0, 3), st.booleans()), min_size=1, max_size=40)


@given(TIMES)
def test_no_request_can_wait_for_ever(times: list[tuple[float, float, int, bool]]) -> None:
    stretches = [stretch(number, "page_load", 1500.0 * (number - 1), 1500.0 * number - 400) for number in (1, 2, 3)]
    asked: list[Observed] = [
        seen(begin, "/", OK, action, took_ms=took, document=page) for begin, took, action, page in sorted(times)
    ]
    phases, places = order(asked, stretches)
    for number, place in enumerate(places):
        assert 0 <= place.phase < len(phases)
        assert place.delay_ms >= 0
        if place.of is not None:
            assert place.of < number
            assert places[place.of].phase <= place.phase
