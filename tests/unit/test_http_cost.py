"""What the bench of protocol replay measures with: spaced scenarios, costs between actions, intervals of medians."""

from __future__ import annotations

import itertools
import os

import pytest

from replay.scenario import load_scenario
from tests.bench import http_cost
from tests.bench.http_cost import CostMarkers, Server, Spread, cpu_ns, spaced


@pytest.mark.parametrize(
    ("count", "low", "high", "probability"), [(1, 1, 1, 0.0), (4, 1, 4, 0.875), (6, 1, 6, 0.969), (9, 2, 8, 0.961)]
)
def test_the_interval_of_a_median_is_what_its_ranks_say(count: int, low: int, high: int, probability: float) -> None:
    spread = Spread.of([float(number) for number in range(count, 0, -1)])
    assert (spread.low, spread.high) == (low, high)
    assert spread.median == (count + 1) / 2
    assert spread.probability == pytest.approx(probability, abs=0.001)


def test_the_interval_holds_the_median_as_often_as_it_says() -> None:
    """Every outcome of 9 fair draws above or below the true median: those whose 2nd and 8th stand on both sides of it."""
    outcomes = list(itertools.product((-1.0, 1.0), repeat=9))
    inside = sum(spread.low < 0 < spread.high for spread in map(Spread.of, outcomes))
    assert inside / len(outcomes) == pytest.approx(Spread.of(outcomes[0]).probability)


def test_every_action_has_the_same_pause_before_it() -> None:
    scenario = spaced(load_scenario("radiologist"), 0.7, pace=10)
    pauses = [step.think for step in scenario.steps if step.begins]
    assert len(pauses) == 10
    assert {(pause.seconds, pause.variation) for pause in pauses if pause is not None} == {(7.0, 0.0)}


class Metered(Server):
    """A server whose use is told by hand."""

    def __init__(self) -> None:
        self.at_rest = {"web": 0.0}
        self.ns = 0

    def used(self) -> dict[str, int]:
        return {"web": self.ns}


def test_an_action_pays_for_its_aftermath(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_cost, "_REST_S", 0.0)
    server = Metered()
    markers = CostMarkers(server)
    first = markers.begin("login")
    server.ns += 3_000_000
    markers.end(first)
    server.ns += 2_000_000
    second = markers.begin("logout")
    server.ns += 1_000_000
    markers.end(second)
    assert markers.done() == {"web": 6.0}
    assert [(one.action, one.whole["web"], one.inside["web"]) for one in markers.cost] == [
        ("1 login", 5.0, 3.0),
        ("2 logout", 1.0, 1.0),
    ]
    assert (markers.name(second), markers.name(None), markers.restless) == ("2 logout", "between", 0)


def test_cpu_time_is_that_of_the_process() -> None:
    before = cpu_ns(os.getpid())
    sum(range(200_000))
    assert cpu_ns(os.getpid()) > before
