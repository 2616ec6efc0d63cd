"""The marker channel without sockets: acknowledging, limits and takeover; the examples are played by test_contract."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.journal.memory import MemoryJournal
from sidecar.markers.gate import is_loopback
from sidecar.markers.ledger import MAX_AHEAD, Ledger
from sidecar.markers.limits import Bucket
from sidecar.markers.sessions import ack_key
from sidecar.model.records import Marker, Rating, Session, Transfer
from tests.support.marker_fakes import SESSION, Said, Table, hello, item, markers


def acks(said: list[Said]) -> list[int | None]:
    return [reply["sidecar"]["seq"] for reply in said if reply.get("sidecar", {}).get("type") == "ack"]


def codes(said: list[Said]) -> list[str]:
    return [reply["sidecar"]["code"] for reply in said if reply.get("sidecar", {}).get("type") == "error"]


def stored(journal: MemoryJournal) -> list[int]:
    return [marker.seq for _, marker in journal.read(Marker)]


def test_nothing_is_acknowledged_before_it_is_committed() -> None:
    table = Table()
    channel = table.join()
    table.tell(channel, hello())
    table.hold = True
    assert table.tell(channel, markers(item(1), item(2))) == []
    assert stored(table.journal) == []
    table.settle()
    assert acks(table.heard(channel)) == [2]
    assert stored(table.journal) == [1, 2]


def test_what_comes_during_a_commit_goes_with_the_next_one_together() -> None:
    table = Table()
    channel = table.join()
    table.tell(channel, hello())
    table.hold = True
    for seq in range(1, 6):
        table.tell(channel, markers(item(seq)))
    assert [len(submit.records) for submit in table.held] == [1]
    table.settle()
    assert [len(submit.records) for submit in table.held] == [4]
    table.settle()
    assert acks(table.heard(channel)) == [1, 5]


def test_the_acknowledged_number_is_committed_with_the_markers() -> None:
    table = Table()
    channel = table.join()
    table.tell(channel, hello())
    table.hold = True
    table.tell(channel, markers(item(1), item(2)))
    (submit,) = table.held
    assert submit.notes == {ack_key(SESSION): "2"}


def test_a_marker_keeps_the_clients_clocks_and_the_offset_beside_the_time_of_arrival() -> None:
    table = Table()
    channel = table.join()
    table.tell(channel, hello())
    table.clock.advance(1.5)
    table.tell(channel, markers(item(1, wall_ns=5_000, mono_ns=77, offset_ns=-1_000, offset_error_ns=20, attrs={"images": 3})))
    ((_, marker),) = table.journal.read(Marker)
    assert (marker.wall_ns, marker.mono_ns, marker.offset_ns, marker.offset_error_ns) == (5_000, 77, -1_000, 20)
    assert marker.received_ns == table.clock.wall_ns()
    assert marker.attributes == {"images": 3}


def test_a_sidecars_clock_that_is_set_back_refuses_nothing() -> None:
    table = Table()
    channel = table.join()
    table.tell(channel, hello())
    table.tell(channel, markers(item(1)))
    table.clock.step_wall(-3600)
    assert acks(table.tell(channel, markers(item(2)))) == [2]
    (pong,) = table.tell(channel, {"type": "ping", "t0_ns": 5})
    assert pong["sidecar"]["t1_ns"] == table.clock.wall_ns()


def test_back_pressure_when_the_journal_is_slow() -> None:
    table = Table({"limits": {"waiting_items": 3}})
    channel = table.join()
    table.tell(channel, hello())
    table.hold = True
    table.tell(channel, markers(item(1)))
    table.tell(channel, markers(item(2), item(3)))
    assert channel.has_room
    table.tell(channel, markers(item(4)))
    assert not channel.has_room
    table.settle()
    assert channel.has_room


def test_refused_items_are_done_for_the_next_sidecar_too() -> None:
    table = Table()
    channel = table.join()
    table.tell(channel, hello())
    said = table.tell(channel, markers(item(1, action="juggle")))
    assert (codes(said), acks(said)) == (["unknown_action"], [1])
    assert table.journal.note(ack_key(SESSION)) == "1"


def test_a_run_belongs_to_the_session_and_survives_a_restart_of_the_sidecar() -> None:
    table = Table()
    channel = table.join()
    started_ns = table.clock.wall_ns()
    table.tell(channel, hello())
    table.tell(channel, {"type": "run", "seq": 1, "run": "r1", "setup": "wan", "role": "radiologist", "repetition": 4})
    later = Table()
    later.journal = table.journal
    later.clock.advance(60)
    channel = later.join()
    (welcome,) = later.tell(channel, hello())
    assert (welcome["sidecar"]["role"], welcome["sidecar"]["last_seq"]) == ("radiologist", 1)
    later.tell(channel, markers(item(2)))
    ((_, session),) = later.journal.read(Session)
    assert session == Session(
        session=SESSION,
        source="replay",
        client="test",
        started_ns=started_ns,
        role="radiologist",
        setup="wan",
        run="r1",
        repetition=4,
    )


def test_an_old_run_that_is_sent_again_changes_nothing() -> None:
    table = Table()
    channel = table.join()
    table.tell(channel, hello())
    first = {"type": "run", "seq": 1, "run": "first"}
    table.tell(channel, first)
    table.tell(channel, {"type": "run", "seq": 2, "run": "second"})
    assert acks(table.tell(channel, first)) == [2]
    ((_, session),) = table.journal.read(Session)
    assert session.run == "second"


def test_the_session_is_stored_with_the_first_commit_that_works() -> None:
    table = Table()
    table.journal.full = True
    channel = table.join()
    assert codes(table.tell(channel, hello())) == ["journal_full"]
    table.journal.full = False
    table.tell(channel, markers(item(1)))
    assert [session.session for _, session in table.journal.read(Session)] == [SESSION]


def test_transfers_and_ratings_are_stored_once_by_their_number() -> None:
    table = Table()
    channel = table.join()
    table.tell(channel, hello())
    rating = {"type": "rating", "seq": 1, "time_ns": 5, "score": 2}
    transfer = {"type": "transfer", "seq": 2, "start_ns": 5, "duration_ns": 6, "down_bytes": 7, "up_bytes": 8, "packets": 9}
    for _ in range(2):
        table.tell(channel, rating)
        table.tell(channel, {**transfer, "retransmitted": 1})
    assert [rating.score for _, rating in table.journal.read(Rating)] == [2]
    assert [transfer.down_bytes for _, transfer in table.journal.read(Transfer)] == [7]


def test_a_newer_connection_of_the_session_takes_over_and_hears_of_what_the_older_one_sent() -> None:
    table = Table()
    older, newer = table.join(), table.join()
    table.tell(older, hello())
    table.hold = True
    table.tell(older, markers(item(1)))
    (welcome,) = table.tell(newer, hello())
    assert welcome["sidecar"]["last_seq"] == 0
    said = table.heard(older)
    assert (codes(said), said[-1]) == (["replaced"], {"close": 1000})
    table.settle()
    assert acks(table.heard(newer)) == [1]
    assert table.heard(older) == []
    assert table.tell(older, markers(item(2))) == []
    older.lost()
    table.hold = False
    assert acks(table.tell(newer, markers(item(2)))) == [2]


def test_a_commit_after_the_connection_is_gone_still_counts() -> None:
    table = Table()
    channel = table.join()
    table.tell(channel, hello())
    table.hold = True
    table.tell(channel, markers(item(1)))
    channel.lost()
    table.settle()
    (welcome,) = table.tell(table.join(), hello())
    assert welcome["sidecar"]["last_seq"] == 1


def test_connected_sessions_are_those_with_a_connection_now() -> None:
    table = Table()
    channel = table.join()
    assert table.sessions.connected() == frozenset()
    table.tell(channel, hello())
    assert table.sessions.connected() == {SESSION}
    channel.lost()
    assert table.sessions.connected() == frozenset()


def test_sessions_that_nobody_uses_are_forgotten_and_remembered_from_the_journal() -> None:
    table = Table({"limits": {"idle_sessions": 2}})
    for number in range(5):
        channel = table.join()
        table.tell(channel, hello(session=f"session-{number}"))
        table.tell(channel, markers(item(1)))
        channel.lost()
    assert [table.knows(f"session-{number}") for number in range(5)] == [False, False, False, True, True]
    (welcome,) = table.tell(table.join(), hello(session="session-0"))
    assert welcome["sidecar"]["last_seq"] == 1


def test_a_hello_that_does_not_come_in_time() -> None:
    table = Table()
    channel = table.join()
    effects = channel.hello_overdue()
    assert [effect.code for effect in effects if hasattr(effect, "code")] == [4408]
    assert channel.hello_overdue() == []


def test_a_binary_message_is_refused() -> None:
    table = Table()
    channel = table.join()
    table.tell(channel, hello())
    assert table.tell(channel, b'{"type":"ping","t0_ns":1}')[-1] == {"close": 4400}


def test_counters_tell_what_was_lost_refused_and_repeated() -> None:
    table = Table()
    channel = table.join()
    table.tell(channel, hello(resume_seq=11))
    table.tell(channel, markers(item(11), item(12, action="juggle"), item(11)))
    tally = table.tally
    assert (tally.items_lost_by_clients, tally.items_refused, tally.markers_repeated, tally.markers_received) == (10, 1, 1, 3)


def test_a_bucket_fills_with_time_up_to_its_burst() -> None:
    bucket = Bucket(rate=10, burst=5)
    assert bucket.take(5, 0) == 0
    assert bucket.take(1, 0) == 100
    assert bucket.take(1, 100_000_000) == 0
    assert bucket.take(6, 10**12) == 100
    assert bucket.take(5, 10**12) == 0


@pytest.mark.parametrize(
    ("address", "ours"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("192.0.2.1", False),
        ("::ffff:192.0.2.1", False),
        ("fe80::1%eth0", False),
        ("", False),
        ("localhost", False),
    ],
)
def test_what_is_on_this_machine(address: str, ours: bool) -> None:
    assert is_loopback(address) is ours


def test_a_ledger_remembers_only_so_much_beyond_a_hole() -> None:
    ledger = Ledger(0)
    for seq in range(2, MAX_AHEAD + 100):
        ledger.offer(seq, None)
    ledger.take()
    ledger.landed()
    assert ledger.knows(MAX_AHEAD)
    assert not ledger.knows(MAX_AHEAD + 99)
    ledger.offer(1, None)
    ledger.take()
    ledger.landed()
    assert ledger.last_seq == MAX_AHEAD + 1


@settings(deadline=None)
@given(st.data())
def test_whatever_happens_an_ack_never_passes_what_is_stored_and_in_the_end_all_is_there_once(data: st.DataObject) -> None:
    """A client with some markers; batches in any order and repeated, commits held and failing, reconnects, restarts."""
    count = data.draw(st.integers(1, 12))
    bad = data.draw(st.sets(st.integers(1, count), max_size=2))
    everything = [item(seq, action="juggle" if seq in bad else "login") for seq in range(1, count + 1)]
    table = Table()
    channel = table.join()
    table.tell(channel, hello())

    def check(said: list[Said]) -> None:
        for seq in acks(said):
            assert {*stored(table.journal), *bad} >= set(range(1, (seq or 0) + 1))

    for _ in range(data.draw(st.integers(0, 15))):
        step = data.draw(st.sampled_from(("send", "send", "send", "settle", "full", "room", "reconnect", "restart")))
        if step == "send":
            table.hold = data.draw(st.booleans())
            check(table.tell(channel, markers(*data.draw(st.lists(st.sampled_from(everything), min_size=1, max_size=5)))))
        elif step == "settle":
            table.settle()
            check(table.heard(channel))
        elif step in ("full", "room"):
            table.journal.full = step == "full"
        else:
            if step == "restart":
                journal, table = table.journal, Table()
                table.journal = journal
            channel = table.join()
            said = table.tell(channel, hello())
            last_seq = next(reply["sidecar"]["last_seq"] for reply in said if reply["sidecar"]["type"] == "welcome")
            assert {*stored(table.journal), *bad} >= set(range(1, last_seq + 1))
    table.journal.full = table.hold = False
    table.settle()
    table.tell(channel, markers(*everything))
    table.settle()
    said = table.tell(channel, markers(everything[0]))
    assert acks(said)[-1] == count
    assert sorted(stored(table.journal)) == sorted(set(range(1, count + 1)) - bad)
