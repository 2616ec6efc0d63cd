"""No real person alone leaves for InfluxDB: what is held back, when it goes, and that nothing is lost on the way."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.clock import ManualClock
from sidecar.journal.memory import MemoryJournal
from sidecar.model.lines import from_line
from sidecar.model.points import Point, PointContext
from sidecar.model.records import Record
from sidecar.ship.crowd import CROWD_NOTE
from sidecar.ship.shipper import Shipper
from tests.support import journal as make
from tests.support.journal import SECOND, T0

CONTEXT = PointContext(site="lab", engine_host="host")
DAY = 86_400 * SECOND


class Kept:
    """A store that keeps every line."""

    def __init__(self) -> None:
        self.points: list[Point] = []

    def write(self, lines: Sequence[str]) -> None:
        self.points += [from_line(line) for line in lines]

    def ids(self) -> set[object]:
        return {point.fields["action_id"] for point in self.points if point.measurement == "action"}

    def ratings(self) -> int:
        return len({(point.tags, point.time_ns) for point in self.points if point.measurement == "rating"})


def person(number: int, source: str = "extension") -> Record:
    return make.session(f"person-{number:04}", source=source, role="reader", started_ns=T0)


def acted(number: int, name: str = "login", at_ns: int = T0, source: str = "extension", tie: int = 0) -> Record:
    return make.action(
        f"did-{name}-{number:04}-{tie:04}", at_ns, action=name, session=f"person-{number:04}", source=source, duration_ns=SECOND
    )


def shipper(journal: MemoryJournal, store: Kept, min_group: int = 3) -> Shipper:
    return Shipper(journal, store, ManualClock(T0 + 30 * DAY), CONTEXT, min_group=min_group, jitter=lambda: 0.5)


def drain(ship: Shipper) -> None:
    while not ship.step():
        pass
    assert ship.health()["reachable"], ship.health()["last_error"]


def test_two_people_wait_for_the_third_and_then_all_three_go() -> None:
    journal, store = MemoryJournal(), Kept()
    ship = shipper(journal, store)
    journal.append([person(n) for n in range(4)])
    journal.append([acted(0), acted(0, tie=1), acted(1)])
    drain(ship)
    assert store.ids() == set()
    assert ship.health()["held_groups"] == 1
    journal.append([acted(2)])
    drain(ship)
    assert store.ids() == {"did-login-0000-0000", "did-login-0000-0001", "did-login-0001-0000", "did-login-0002-0000"}
    assert ship.health()["held_groups"] == 0
    # From now on who comes on that day has company at once.
    journal.append([acted(3)])
    drain(ship)
    assert "did-login-0003-0000" in store.ids()


def test_one_person_often_is_still_one_person() -> None:
    journal, store = MemoryJournal(), Kept()
    journal.append([person(0), *(acted(0, tie=n, at_ns=T0 + n * SECOND) for n in range(50))])
    drain(shipper(journal, store))
    assert store.ids() == set()


def test_a_class_and_a_day_are_a_group_of_their_own() -> None:
    journal, store = MemoryJournal(), Kept()
    journal.append([person(n) for n in range(3)])
    journal.append([acted(0), acted(1), acted(2, "upload"), acted(2, at_ns=T0 + DAY)])
    drain(shipper(journal, store))
    assert store.ids() == set()
    journal.append([acted(2)])
    drain(shipper(journal, store))
    assert store.ids() == {"did-login-0000-0000", "did-login-0001-0000", "did-login-0002-0000"}


def test_replayed_sessions_and_the_access_log_are_nobody() -> None:
    journal, store = MemoryJournal(), Kept()
    journal.append([person(0, "replay"), acted(0, source="replay")])
    journal.append([make.action("of-the-log-0", T0, session=None, source="access-log", duration_ns=SECOND)])
    drain(shipper(journal, store))
    assert store.ids() == {"did-login-0000-0000", "of-the-log-0"}


def test_a_site_that_wants_no_groups_gets_everything_at_once() -> None:
    journal, store = MemoryJournal(), Kept()
    journal.append([person(0), acted(0)])
    drain(shipper(journal, store, min_group=1))
    assert store.ids() == {"did-login-0000-0000"}
    assert journal.note(CROWD_NOTE) in (None, "{}")


def test_a_restart_forgets_nobody_and_remembers_no_name() -> None:
    journal, store = MemoryJournal(), Kept()
    journal.append([person(n) for n in range(3)])
    for number in range(3):
        journal.append([acted(number)])
        drain(shipper(journal, store))  # a new run of the sidecar each time
        assert "person" not in str(journal.note(CROWD_NOTE))
    assert len(store.ids()) == 3
    (told,) = json.loads(str(journal.note(CROWD_NOTE))).values()
    assert told == 0


def test_ratings_go_in_company_of_the_same_week_and_class() -> None:
    journal, store = MemoryJournal(), Kept()
    journal.append([person(n) for n in range(4)])
    journal.append([acted(n) for n in range(3)])
    ship = shipper(journal, store)
    journal.append([make.rating(T0 + n * SECOND, session=f"person-{n:04}", action_id=f"did-login-{n:04}-0000") for n in (0, 1)])
    journal.append([make.rating(T0 + 5 * SECOND, session="person-0002", action_id=None)])
    drain(ship)
    assert store.ratings() == 0
    journal.append([make.rating(T0 + 9 * SECOND, session="person-0002", action_id="did-login-0002-0000", score=1)])
    drain(shipper(journal, store))
    assert store.ratings() == 3
    found = [point for point in store.points if point.measurement == "rating"]
    assert Counter(dict(point.tags)["action"] for point in found) == {"login": 3}
    assert sorted(point.fields["score"] for point in found) == [1, 4, 4]
    assert not any({"session", "action_id"} & set(point.fields) for point in found)


def test_a_transfer_of_a_person_is_not_sent() -> None:
    journal, store = MemoryJournal(), Kept()
    journal.append([person(0), person(1, "replay"), acted(1, source="replay")])
    journal.append([make.transfer(T0, session="person-0000"), make.transfer(T0 + 1, session="person-0001", down_bytes=77)])
    drain(shipper(journal, store))
    (found,) = (point for point in store.points if point.measurement == "transfer")
    assert found.fields["down_bytes"] == 77


@settings(max_examples=60, deadline=None)
@given(
    did=st.lists(
        st.tuples(
            st.integers(0, 5), st.sampled_from(["login", "upload"]), st.integers(0, 2), st.sampled_from(["extension", "replay"])
        ),
        max_size=40,
    ),
    cuts=st.sets(st.integers(0, 40)),
    restarts=st.booleans(),
)
def test_what_is_there_is_always_in_company_and_nothing_else_is_missing(
    did: list[tuple[int, str, int, str]], cuts: set[int], restarts: bool
) -> None:
    """However the actions come, in one batch or many, with restarts or without."""
    journal, store = MemoryJournal(), Kept()
    ship = shipper(journal, store)
    groups: dict[tuple[str, int], dict[int, set[str]]] = {}
    exempt = set()
    for number, (who, name, day, source) in enumerate(did):
        who += 10 if source == "replay" else 0
        journal.append([person(who, source), acted(who, name, T0 + day * DAY, source, tie=number)])
        action_id = f"did-{name}-{who:04}-{number:04}"
        if source == "replay":
            exempt.add(action_id)
        else:
            groups.setdefault((name, day), {}).setdefault(who, set()).add(action_id)
        if number in cuts:
            drain(ship)
            ship = shipper(journal, store) if restarts else ship
    drain(ship)
    wanted = {one for people in groups.values() if len(people) >= 3 for ids in people.values() for one in ids}
    assert store.ids() == wanted | exempt


@pytest.mark.parametrize("on_disk", [False, True])
def test_the_journal_on_disk_does_the_same(tmp_path: Path, on_disk: bool) -> None:
    from sidecar.journal.sqlite import SqliteJournal

    journal = SqliteJournal(tmp_path / "journal.sqlite") if on_disk else MemoryJournal()
    store = Kept()
    ship = Shipper(journal, store, ManualClock(T0 + 30 * DAY), CONTEXT, min_group=3, jitter=lambda: 0.5)
    for number in range(3):
        journal.append([person(number), acted(number), make.usage(f"did-login-{number:04}-0000")])
        drain(ship)
        assert len(store.ids()) == (3 if number == 2 else 0)
    assert all("cpu_seconds" in point.fields for point in store.points if point.measurement == "action")
    if isinstance(journal, SqliteJournal):
        journal.close()
