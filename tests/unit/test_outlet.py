"""What a collector hands on: gaps first, what is lost counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sidecar.collect.outlet import Outlet
from sidecar.model.records import Gap, Record
from tests.support import journal as make


class Store:
    """A sink that may be full."""

    def __init__(self) -> None:
        self.full = False
        self.held: list[Record] = []

    def put(self, records: Sequence[Record], notes: Mapping[str, str] | None = None) -> bool:
        if not self.full:
            self.held += records
        return not self.full


def gap(number: int) -> Gap:
    return Gap(part="docker", subject=f"c{number}", start_ns=number, end_ns=None, reason="the engine is gone")


def test_gaps_wait_for_room_and_samples_do_not() -> None:
    store = Store()
    outlet = Outlet(store)
    store.full = True
    outlet.tell(gap(1))
    outlet.put([make.sample(), make.sample()])
    store.full = False
    outlet.put([make.sample()])
    assert store.held == [gap(1), make.sample()]
    assert outlet.counts() == {"samples": 1, "samples_dropped": 2, "gaps_dropped": 0}
    outlet.put([])
    assert len(store.held) == 2


def test_of_too_many_gaps_the_oldest_are_lost_and_counted() -> None:
    store = Store()
    outlet = Outlet(store, most_gaps=2)
    for number in (1, 2, 3):
        outlet.tell(gap(number))
    outlet.put([])
    assert store.held == [gap(2), gap(3)]
    assert outlet.counts()["gaps_dropped"] == 1
