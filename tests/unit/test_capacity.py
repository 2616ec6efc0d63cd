"""Capacity against servers whose truth is known: exact queueing theory, and a simulated server measured as XNAT would be."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from sidecar.analysis.capacity import Capacity, Machine, capacity, headroom
from sidecar.analysis.capacity_demand import Work, memory_line, works
from sidecar.analysis.summary import Estimate
from tests.support.queueing import Done, p95, rows, serve

MEANS = {"open_viewer": 3.3, "change_scan": 0.76, "page_load": 1.2}


def radiologist(chosen: random.Random) -> tuple[float, str, float]:
    kind = chosen.random()
    if kind < 0.3:
        return chosen.expovariate(1 / 20), "open_viewer", chosen.lognormvariate(math.log(3), 0.4)
    if kind < 0.8:
        return chosen.expovariate(1 / 14), "change_scan", chosen.lognormvariate(math.log(0.7), 0.4)
    return chosen.expovariate(1 / 15), "page_load", chosen.lognormvariate(math.log(1.2), 0.2)


@pytest.fixture(scope="module")
def seen() -> list[Done]:
    """Three hours of three users on two cores."""
    return serve(3, 2, 3, radiologist, 1)


def work(thought_s: float = 9.0, cpu: float = 1.0, duration_s: float | None = None, **more: object) -> Work:
    told: dict[str, object] = {
        "action": "open_viewer",
        "role": "user",
        "session": "session-1",
        "duration_s": cpu if duration_s is None else duration_s,
        "thought_s": thought_s,
        "cpu": {"xnat-web": cpu},
        "megabytes": 0.0,
        "parallel": 1.0,
        "alone": True,
        "completed": True,
        "people": 1,
        "memory": {},
    }
    return Work(**(told | more))  # type: ignore[arg-type]


ONE = Machine(cores=1)


def test_demands_are_found_although_users_overlap_and_the_container_is_never_idle(seen: list[Done]) -> None:
    found = works(rows(seen, idle=0.05), {"xnat-web": 0.05})
    assert len(found) == len(seen)
    assert sum(not one.alone for one in found) > len(found) / 5
    for name in MEANS:
        true = [one.own_s for one in seen if one.name == name]
        told = [one.cpu["xnat-web"] for one in found if one.action == name]
        assert sum(told) / len(told) == pytest.approx(sum(true) / len(true), rel=0.05), name
    # What was counted is far more: each window holds the others' work as well.
    counted = sum(one.window_s for one in seen)
    assert counted > 1.15 * sum(one.own_s for one in seen)


def test_the_first_passed_target_is_where_the_server_really_passes_it(seen: list[Done]) -> None:
    target = 2 * p95(serve(1, 2, 10, radiologist, 2), "open_viewer")
    answer = capacity(
        works(rows(seen, idle=0.05), {"xnat-web": 0.05}), Machine(cores=2.05, idle={"xnat-web": 0.05}), {"open_viewer": target}
    )
    assert answer.users is not None
    assert answer.limiting is not None
    low, high = answer.users.low, answer.users.high
    assert low is not None
    assert high is not None
    slow = {users: p95(serve(users, 2, 6, radiologist, 9), "open_viewer") for users in (int(low), math.ceil(high))}
    assert slow[int(low)] < target < slow[math.ceil(high)]
    assert high / low < 2.2
    assert (answer.limiting.container, answer.limiting.resource, answer.limiting.action) == (None, "cpu", "open_viewer")
    assert answer.people_seen == 3
    assert any(note.startswith("extrapolated ") for note in answer.notes)


def exact_utilisation(users: int, thought_s: float, work_s: float) -> float:
    """Exact mean value analysis of one class and one server."""
    queue = rate = 0.0
    for n in range(1, users + 1):
        response = work_s * (1 + queue)
        rate = n / (thought_s + response)
        queue = rate * response
    return rate * work_s


@pytest.mark.parametrize("thought_s", [1.0, 4.0, 9.0, 40.0])
def test_one_server_fills_as_exact_analysis_says(thought_s: float) -> None:
    answer = capacity([work(thought_s)] * 30, ONE, {}, resamples=3)
    assert answer.users is not None
    # Flat near the end: the number of users is within the interval, how busy they make it within a twentieth.
    assert exact_utilisation(round(answer.users.estimate), thought_s, 1.0) == pytest.approx(0.95, abs=0.05)
    true = next(users for users in range(1, 100) if exact_utilisation(users, thought_s, 1.0) >= 0.95)
    assert (answer.users.low or 0) - 1 <= true <= (answer.users.high or 0)
    assert answer.limiting is not None
    assert answer.limiting.busy == 0.95
    for point in answer.curve:
        # Never above the law of utilisation: users times demand per cycle.
        assert point.utilisation <= min(1.0, point.users / (thought_s + 1.0)) + 1e-6
        below, above = (exact_utilisation(max(1, end(point.users)), thought_s, 1.0) for end in (math.floor, math.ceil))
        assert below - 0.06 <= point.utilisation <= above + 0.06


def test_the_repairman_has_two_servers() -> None:
    """Ten users who think 10 s and need 1 s of one of two cores: exactly 0.896 actions a second, so 45 % busy."""
    answer = capacity([work(10.0)] * 30, Machine(cores=2), {"open_viewer": 1.6}, resamples=3)
    assert answer.users is not None
    near = min(answer.curve, key=lambda point: abs(point.users - 10))
    assert near.utilisation * 10 / near.users == pytest.approx(0.448, rel=0.03)


def users(found: list[Work], machine: Machine, **more: object) -> float:
    answer = capacity(found, machine, {"open_viewer": 3.0}, resamples=2, **more)  # type: ignore[arg-type]
    assert answer.users is not None
    return answer.users.estimate


MANY = [work(20 + n % 7, 1 + n % 3 / 4, parallel=2.0, duration_s=1.2, megabytes=5.0) for n in range(60)]


@pytest.mark.parametrize(
    "better",
    [
        lambda m: replace(m, cores=2 * m.cores),
        lambda m: replace(m, cpu_limits={"xnat-web": 2.0}),
        lambda m: replace(m, link_mb_s=50.0),
        lambda m: replace(m, idle={}),
    ],
)
def test_more_of_anything_is_never_fewer_users(better: Callable[[Machine], Machine]) -> None:
    tight = Machine(cores=2, idle={"xnat-web": 0.2}, cpu_limits={"xnat-web": 1.5}, link_mb_s=8.0)
    assert users(MANY, better(tight)) >= users(MANY, tight) - 0.01


def test_twice_the_server_serves_at_least_twice_the_users() -> None:
    one = Machine(cores=2, link_mb_s=10.0)
    assert users(MANY, Machine(cores=4, link_mb_s=20.0)) >= 2 * users(MANY, one) * 0.98
    slow = [replace(one, thought_s=2 * (one.thought_s or 0)) for one in MANY]
    assert 1 < users(slow, one) / users(MANY, one) < 2.2


@pytest.mark.parametrize(
    ("machine", "container", "resource"),
    [
        (Machine(cores=2, cpu_limits={"xnat-web": 8.0}, link_mb_s=1000.0), None, "cpu"),
        (Machine(cores=16, cpu_limits={"xnat-web": 1.5}, link_mb_s=1000.0), "xnat-web", "cpu limit"),
        (Machine(cores=16, cpu_limits={"xnat-web": 16.0}, link_mb_s=7.0), None, "network"),
    ],
)
def test_what_limits_is_named(machine: Machine, container: str | None, resource: str) -> None:
    answer = capacity(MANY, machine, {"open_viewer": 3.0}, resamples=2)
    assert answer.limiting is not None
    assert (answer.limiting.container, answer.limiting.resource) == (container, resource)
    assert answer.limiting.action == "open_viewer"
    assert answer.as_json()["limiting"]["resource"] == resource


def test_memory_that_grows_with_people_is_a_limit() -> None:
    chosen = random.Random(3)
    found = [
        replace(one, people=1 + n % 5, memory={"xnat-web": round(1e9 + 2e8 * (1 + n % 5) + chosen.gauss(0, 1e7))})
        for n, one in enumerate(MANY)
    ]
    line = memory_line(found, "xnat-web")
    assert line is not None
    assert line == pytest.approx((1e9, 2e8), rel=0.05)
    answer = capacity(found, Machine(cores=64, memory_limits={"xnat-web": 2 * 10**9}), {}, resamples=2)
    assert answer.users is not None
    assert answer.users.estimate == pytest.approx((0.95 * 2e9 - 1e9) / 2e8, rel=0.05)
    assert answer.limiting is not None
    assert (answer.limiting.container, answer.limiting.resource) == ("xnat-web", "memory")
    # Memory that was never seen to grow says nothing, and the answer says that.
    flat = [replace(one, memory={"xnat-web": 10**9}) for one in found]
    answer = capacity(flat, Machine(cores=2, memory_limits={"xnat-web": 2 * 10**9}), {}, resamples=2)
    assert answer.limiting is not None
    assert answer.limiting.resource == "cpu"
    assert any("memory is not foretold for xnat-web" in note for note in answer.notes)


def test_who_is_there_matters() -> None:
    light = [replace(one, role="reader", cpu={"xnat-web": 0.1}) for one in MANY]
    both = [*MANY, *light]
    only, half, none = (users(both, Machine(cores=2), mix={"user": share, "reader": 1 - share}) for share in (1.0, 0.5, 0.0))
    assert only < half < none


def test_too_little_is_said_and_not_guessed() -> None:
    answer = capacity(MANY[:5], ONE, {})
    assert (answer.users, answer.limiting) == (None, None)
    assert answer.notes == ("too little is known: 5 actions of sessions, 20 are the least",)
    assert answer.as_json()["users"] == {"estimate": None, "low": None, "high": None}
    answer = capacity(MANY, ONE, {}, mix={"surgeon": 1.0})
    assert answer.notes == ("nobody was seen in the role surgeon: roles seen are user",)


def test_a_target_that_one_user_already_misses_is_left_out_and_named() -> None:
    answer = capacity(MANY, Machine(cores=2), {"open_viewer": 0.5}, resamples=2)
    assert answer.limiting is not None
    assert answer.limiting.action is None
    assert any("open_viewer: p95 is over its target of 0.5 s already" in note for note in answer.notes)


def test_few_actions_make_a_wide_interval() -> None:
    chosen = random.Random(5)
    many = [work(20, chosen.lognormvariate(0, 0.8)) for _ in range(800)]

    def width(found: list[Work]) -> float:
        answer = capacity(found, Machine(cores=2), {"open_viewer": 12.0})
        assert answer.users is not None
        return (answer.users.high or 0) / (answer.users.low or 1)

    assert width(many[:25]) > 1.2 * width(many)


def test_the_interval_of_a_memory_limit_is_that_of_the_memory() -> None:
    """CPU that is known exactly must not make a line through scattered points look certain."""

    def relative_width(scatter: float) -> float:
        chosen = random.Random(3)
        found = [
            replace(one, people=1 + n % 5, memory={"xnat-web": round(1e9 + 2e8 * (1 + n % 5) + chosen.gauss(0, scatter))})
            for n, one in enumerate(MANY)
        ]
        answer = capacity(found, Machine(cores=1000, memory_limits={"xnat-web": 4 * 10**9}), {}, resamples=30)
        assert answer.users is not None
        assert answer.limiting is not None
        assert answer.limiting.resource == "memory"
        assert answer.users.low is not None
        assert answer.users.high is not None
        return (answer.users.high - answer.users.low) / answer.users.estimate

    assert relative_width(3e8) > 1.3 * relative_width(1e6)


def test_headroom_is_what_is_left() -> None:
    known = Capacity(users=Estimate(20.0, 15.0, 26.0), limiting=None)
    assert headroom(known, 5, late=False).spare == Estimate(15.0, 10.0, 21.0)
    assert headroom(known, 17, late=False).spare == Estimate(3.0, 0.0, 9.0)
    assert headroom(known, 17, late=True).spare == Estimate(0.0, 0.0, 9.0)
    assert headroom(known, 5, late=True).spare == Estimate(15.0, 10.0, 21.0)
    assert headroom(known, 30, late=False).spare == Estimate(0.0, 0.0, 0.0)
    assert headroom(Capacity(users=None, limiting=None), 3, late=True).spare is None
