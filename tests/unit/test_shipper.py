"""Shipping behind cursors: what is written, again, later, or set aside."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from sidecar.clock import ManualClock
from sidecar.errors import JournalFullError, ShipLaterError, ShipRefusedError
from sidecar.journal.memory import MemoryJournal
from sidecar.model.outbox import Refused
from sidecar.model.points import PointContext
from sidecar.ship.batch import SHARES
from sidecar.ship.memory import MemoryStore
from sidecar.ship.shipper import Shipper
from sidecar.ship.thinning import Thinner
from tests.support import journal as make
from tests.support.journal import SECOND, T0
from tests.support.waiting import wait_until

CONTEXT = PointContext(site="lab", engine_host="host")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(T0 + 3600 * SECOND)


@pytest.fixture
def journal() -> MemoryJournal:
    return MemoryJournal()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def shipper(journal: MemoryJournal, store: MemoryStore, clock: ManualClock, **settings: Any) -> Shipper:
    return Shipper(journal, store, clock, CONTEXT, jitter=lambda: 0.5, **settings)


def drain(ship: Shipper) -> None:
    for _ in range(1000):
        if ship.step():
            return
    raise AssertionError("shipping does not end")


def test_everything_is_shipped_once(journal: MemoryJournal, store: MemoryStore, clock: ManualClock) -> None:
    journal.append(
        [
            make.session(role="reader"),
            make.sample(memory_bytes=5),
            make.request(),
            make.marker(),
            make.action(),
            make.usage(),
            make.gap(),
            make.transfer(),
        ]
    )
    ship = shipper(journal, store, clock)
    assert ship.step() == 1.0
    assert sorted(measurement for measurement, _, _ in store.points) == [
        "action",
        "action_event",
        "docker_container_cpu",
        "docker_container_mem",
        "gap",
        "http_request",
        "transfer",
    ]
    (transfer,) = store.of("transfer")
    assert {("action", "login"), ("role", "reader")} <= set(transfer.tags)
    assert store.calls == [7]
    assert ship.step() == 1.0
    assert store.calls == [7]
    assert ship.health()["shipped_points"] == 7
    journal.append([make.request(T0 + 1)])
    ship.step()
    assert store.calls == [7, 1]


def test_a_new_shipper_goes_on_where_the_old_one_stopped(journal: MemoryJournal, store: MemoryStore, clock: ManualClock) -> None:
    journal.append([make.request(T0), make.marker()])
    drain(shipper(journal, store, clock))
    journal.append([make.request(T0 + SECOND)])
    drain(shipper(journal, store, clock))
    assert store.calls == [2, 1]


def test_a_backlog_goes_in_batches_without_a_pause(journal: MemoryJournal, store: MemoryStore, clock: ManualClock) -> None:
    journal.append([make.request(T0 + n * 1000) for n in range(8000)])
    ship = shipper(journal, store, clock)
    assert ship.step() == 0.0
    assert float(ship.health()["behind_s"]) > 3000
    drain(ship)
    assert sum(store.calls) == 8000
    assert max(store.calls) <= 5000
    assert len(store.of("http_request")) == 8000
    assert ship.health()["behind_s"] == 0


def test_a_backlog_of_one_kind_holds_no_other_up(journal: MemoryJournal, store: MemoryStore, clock: ManualClock) -> None:
    journal.append([make.sample(T0 + n * SECOND) for n in range(5000)])
    journal.append([make.action(), make.usage()])
    shipper(journal, store, clock).step()
    assert len(store.of("action")) == 1


def test_the_largest_batch_is_within_the_measured_best() -> None:
    # Four points of a sample, one of any other record.
    assert sum(share * (4 if kind.__name__ == "Sample" else 1) for kind, share in SHARES.items()) <= 6000


# outages


def test_an_outage_only_makes_the_cursor_wait(journal: MemoryJournal, store: MemoryStore, clock: ManualClock) -> None:
    journal.append([make.request(T0 + n * 1000) for n in range(10)])
    store.faults = [ShipLaterError("InfluxDB does not answer", "start it")] * 4
    ship = shipper(journal, store, clock)
    assert [ship.step() for _ in range(4)] == [1.0, 2.0, 4.0, 8.0]
    health = ship.health()
    assert (health["reachable"], health["waiting_points"]) == (0, 10)
    assert "does not answer" in str(health["last_error"])
    assert float(health["behind_s"]) == pytest.approx(3600)
    journal.append([make.request(T0 + SECOND)])
    drain(ship)
    drain(ship)
    assert len(store.of("http_request")) == 11
    assert ship.health()["reachable"] == 1


def test_the_pause_grows_to_a_minute_and_is_short_again_after(
    journal: MemoryJournal, store: MemoryStore, clock: ManualClock
) -> None:
    journal.append([make.request()])
    store.faults = [ShipLaterError("away", "wait")] * 20
    ship = shipper(journal, store, clock)
    pauses = [ship.step() for _ in range(20)]
    assert pauses[-1] == 60
    drain(ship)
    journal.append([make.request()])
    store.faults = [ShipLaterError("away", "wait")]
    assert ship.step() == 1.0


def test_the_end_of_an_outage_is_said_once_with_its_length_and_what_was_held(
    journal: MemoryJournal, store: MemoryStore, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    ship = shipper(journal, store, clock)
    journal.append([make.request()])
    drain(ship)
    assert caplog.messages == []
    journal.append([make.request(T0 + n * 1000) for n in range(8000)])
    store.faults = [ShipLaterError("away", "wait")] * 2
    ship.step()
    clock.advance(300)
    ship.step()
    clock.advance(12)
    assert ship.step() == 0.0  # the first of two batches
    store.faults = [ShipLaterError("away again", "wait")]
    ship.step()
    clock.advance(30)
    assert len(caplog.messages) == 2
    drain(ship)
    drain(ship)
    *waits, goes_on = caplog.messages
    assert all(text.startswith("shipping waits: ") for text in waits)
    assert goes_on == "shipping goes on: it waited for 342 s, 8000 points that were held are delivered"


@pytest.mark.parametrize(("asked", "waited"), [(30.0, 30.0), (0.1, 1.0), (10**9, 900.0)])
def test_the_store_is_not_asked_before_it_said(
    journal: MemoryJournal, store: MemoryStore, clock: ManualClock, asked: float, waited: float
) -> None:
    journal.append([make.request()])
    store.faults = [ShipLaterError("busy", "wait", asked)]
    assert shipper(journal, store, clock).step() == waited


def test_a_full_journal_ships_the_same_again(journal: MemoryJournal, store: MemoryStore, clock: ManualClock) -> None:
    journal.append([make.request()])
    journal.full = True
    ship = shipper(journal, store, clock)
    assert ship.step() > 0
    assert "no space" in str(ship.health()["last_error"])
    journal.full = False
    drain(ship)
    assert store.calls == [1, 1]
    assert len(store.of("http_request")) == 1
    assert journal.note("ship/request") is not None


def test_run_waits_ships_and_stops(journal: MemoryJournal, store: MemoryStore, clock: ManualClock) -> None:
    store.faults = [ShipLaterError("away", "wait")]
    journal.append([make.request()])
    ship = shipper(journal, store, clock)
    stop = threading.Event()
    thread = threading.Thread(target=ship.run, args=(stop,))
    thread.start()
    wait_until(lambda: clock.waits == 1, "the pause after the first try")
    assert ship.health()["failed_calls"] == 1
    clock.advance(1.1)
    wait_until(lambda: store.points, "the second try")
    stop.set()
    thread.join(60)
    assert not thread.is_alive()


# refused points


def test_a_poison_point_is_found_set_aside_and_the_rest_stored(
    journal: MemoryJournal, store: MemoryStore, clock: ManualClock
) -> None:
    journal.append([make.request(T0 + n * SECOND, route=f"/{n}") for n in range(1000)])
    poison = {"/3", "/500", "/999"}
    store.refuses = lambda point: dict(point.tags)["route"] in poison
    ship = shipper(journal, store, clock)
    drain(ship)
    assert len(store.of("http_request")) == 997
    assert len(journal.refused) == 3
    assert all("route=/" in item.line and "unable to parse" in item.reason for item in journal.refused)
    assert ship.health()["refused_points"] == 3
    assert ship.health()["shipped_points"] == 997
    # Halving, not one by one.
    assert len(store.calls) < 80
    drain(ship)
    assert len(journal.refused) == 3


def test_a_refusal_that_counts_all_lines_needs_no_halving(journal: MemoryJournal, store: MemoryStore, clock: ManualClock) -> None:
    journal.append([make.request(T0 + n * SECOND) for n in range(100)])
    store.faults = [ShipRefusedError("partial write: field type conflict dropped=100", "look")]
    drain(shipper(journal, store, clock))
    assert store.calls == [100]
    assert len(journal.refused) == 100


def test_an_outage_while_halving_loses_nothing(journal: MemoryJournal, store: MemoryStore, clock: ManualClock) -> None:
    journal.append([make.request(T0 + n * SECOND, route=f"/{n}") for n in range(8)])
    store.refuses = lambda point: dict(point.tags)["route"] == "/1"
    store.faults = [None, None, ShipLaterError("away", "wait")]
    ship = shipper(journal, store, clock)
    assert ship.step() > 0
    assert journal.refused == []
    drain(ship)
    assert len(store.of("http_request")) == 7
    assert len(journal.refused) == 1


def test_when_everything_is_refused_it_is_not_the_points(journal: MemoryJournal, store: MemoryStore, clock: ManualClock) -> None:
    journal.append([make.request(T0 + n * SECOND) for n in range(100)])
    store.faults = [ShipRefusedError("InfluxDB refuses points (400: please provide org)", "look")] * 500
    ship = shipper(journal, store, clock)
    assert ship.step() == 60
    assert "check the settings" in str(ship.health()["last_error"])
    assert journal.refused == []
    store.faults = []
    drain(ship)
    assert len(store.of("http_request")) == 100


# actions


def test_an_action_waits_for_its_usage_and_no_longer_than_the_grace(
    journal: MemoryJournal, store: MemoryStore, clock: ManualClock
) -> None:
    journal.append([make.action("action-01", clock.wall_ns()), make.action("action-02", clock.wall_ns() + SECOND)])
    ship = shipper(journal, store, clock, grace_s=60)
    ship.step()
    assert store.of("action") == []
    journal.append([make.usage("action-01")])
    clock.advance(30)
    ship.step()
    assert store.of("action") == []
    clock.advance(35)
    ship.step()
    first, second = store.of("action")
    assert first.fields["cpu_seconds"] == 0.5
    assert "cpu_seconds" not in second.fields
    journal.append([make.usage("action-02")])
    ship.step()
    first, second = store.of("action")
    assert second.fields["cpu_seconds"] == 0.5
    assert len(store.of("action")) == 2


def test_an_action_that_ended_late_is_the_same_point(journal: MemoryJournal, store: MemoryStore, clock: ManualClock) -> None:
    journal.append([make.action(outcome="unfinished"), make.usage()])
    ship = shipper(journal, store, clock)
    ship.step()
    journal.append([make.action(duration_ns=5 * SECOND), make.usage(cpu_seconds=2.0)])
    ship.step()
    (point,) = store.of("action")
    assert (point.fields["outcome"], point.fields["duration_ms"], point.fields["cpu_seconds"]) == ("completed", 5000.0, 2.0)


def test_actions_of_one_instant_are_all_there(journal: MemoryJournal, store: MemoryStore, clock: ManualClock) -> None:
    for n in range(200):
        journal.append([make.action(f"action-{n:03}"), make.usage(f"action-{n:03}")])
    drain(shipper(journal, store, clock))
    assert len(store.of("action")) == 200


# thinning


def rates(samples: Sequence[Any]) -> list[tuple[int, float | None, float | None]]:
    thinner = Thinner()
    taken = [thinner.take(sample) for sample in samples]
    return [(item[0].time_ns - T0, item[0].cpu_percent, item[1]) for item in taken if item]


def test_fast_samples_become_one_a_second_with_mean_and_peak() -> None:
    tenth = SECOND // 10
    cpu = [0]
    for n in range(1, 31):
        cpu.append(cpu[-1] + (tenth if n % 10 == 5 else tenth // 10))
    samples = [make.sample(T0 + n * tenth, cpu_total_ns=c) for n, c in enumerate(cpu)]
    assert rates(samples) == [
        (0, None, None),
        *((n * SECOND, pytest.approx(19.0), pytest.approx(100.0)) for n in (1, 2, 3)),
    ]


def test_series_are_thinned_apart_and_frames_not_at_all() -> None:
    samples = [make.sample(T0 + n, container=name) for n in range(5) for name in ("xnat-web", "xnat-db")]
    frames = [make.sample(T0 + n, source="docker", cpu_percent=float(n)) for n in range(5)]
    assert rates(samples) == [(0, None, None)] * 2
    assert rates(frames) == [(n, float(n), None) for n in range(5)]


def test_no_percentage_across_a_restart_or_a_hole() -> None:
    samples = [
        make.sample(T0, cpu_total_ns=SECOND),
        make.sample(T0 + SECOND, cpu_total_ns=5, container_id="decaf"),
        make.sample(T0 + 2 * SECOND, cpu_total_ns=5 + SECOND // 2, container_id="decaf"),
        make.sample(T0 + 90 * SECOND, cpu_total_ns=SECOND, container_id="decaf"),
    ]
    assert [rate[1:] for rate in rates(samples)] == [(None, None), (None, None), (50.0, 50.0), (None, None)]


def test_thinned_samples_are_passed_by_the_cursor(journal: MemoryJournal, store: MemoryStore, clock: ManualClock) -> None:
    journal.append([make.sample(T0 + n) for n in range(20)])
    ship = shipper(journal, store, clock)
    drain(ship)
    assert store.calls == [1]
    assert journal.note("ship/sample") == "20"


# the sidecar about itself


def test_own_health_is_shipped_now_and_then(journal: MemoryJournal, store: MemoryStore, clock: ManualClock) -> None:
    health: Mapping[str, Mapping[str, int]] = {"writer": {"depth": 3}, "silent": {}}
    ship = shipper(journal, store, clock, own_health=lambda: health, self_every_s=10)
    ship.step()
    ship.step()
    clock.advance(11)
    ship.step()
    assert [(dict(point.tags)["part"], point.fields) for point in store.of("tracemark_self")] == [("writer", {"depth": 3.0})] * 2


def test_refused_own_points_are_counted_and_hold_nothing_up(
    journal: MemoryJournal, store: MemoryStore, clock: ManualClock
) -> None:
    journal.append([make.request()])
    store.refuses = lambda point: point.measurement == "tracemark_self"
    ship = shipper(journal, store, clock, own_health=lambda: {"writer": {"depth": 3}})
    drain(ship)
    assert len(store.of("http_request")) == 1
    assert ship.health()["refused_own_points"] == 1
    assert journal.refused == []


def test_a_point_that_cannot_be_said_is_set_aside(journal: MemoryJournal, store: MemoryStore, clock: ManualClock) -> None:
    context = PointContext(site="#lab", engine_host="host")
    journal.append([make.request(), make.marker()])
    ship = Shipper(journal, store, clock, context)
    drain(ship)
    assert store.points == {}
    assert {type(item) for item in journal.refused} == {Refused}
    assert ship.health()["refused_points"] == 2
    assert ship.health()["shipped_points"] == 0


def test_the_fake_journal_refuses_when_full(journal: MemoryJournal) -> None:
    journal.full = True
    with pytest.raises(JournalFullError):
        journal.set_aside([], {"a": "b"})
