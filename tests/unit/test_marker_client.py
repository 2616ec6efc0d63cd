"""The replayer's marker client, against the real channel and against a stand-in that holds it to the contract."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

from replay.marker_client import ChannelRefusedError, ChannelUnreachableError, MarkerClient, UnknownActionIdError
from replay.marker_link import MARKERS_IN_MESSAGE, messages
from replay.outbox import Entry, Outbox, OutboxError
from sidecar.clock import ManualClock
from sidecar.journal.sqlite import SqliteJournal
from sidecar.model.actions import pair
from sidecar.model.faults import InvalidRecordError
from sidecar.model.records import Marker, Rating, Session, Transfer
from tests.support import marker_process
from tests.support.marker_fakes import SESSION, Served, serving, url_of, validator
from tests.support.sidecar import free_port

FAST = (0.001, 0.01)
Answer = Callable[["StandIn", ServerConnection, dict[str, Any]], None]


class StandIn:
    """Answers as a sidecar that stores everything, unless `answer` does otherwise; every message must keep to the schema."""

    def __init__(self, answer: Answer | None = None) -> None:
        self.heard: list[dict[str, Any]] = []
        self.last_seq = 0
        self.connections = 0
        self.wrong: list[str] = []
        self._answer = answer or StandIn.as_usual
        self._schema = validator("client")

    def serve(self, connection: ServerConnection) -> None:
        self.connections += 1
        try:
            for text in connection:
                message = json.loads(text)
                self.wrong += [error.message for error in self._schema.iter_errors(message)]
                self.heard.append(message)
                self._answer(self, connection, message)
        except ConnectionClosed:
            pass

    def as_usual(self, connection: ServerConnection, message: dict[str, Any]) -> None:
        match message["type"]:
            case "hello":
                welcome = {"session": message["session"], "role": None, "last_seq": self.last_seq, "time_ns": time.time_ns()}
                connection.send(json.dumps({"type": "welcome", **welcome}))
            case "ping":
                now_ns = time.time_ns()
                connection.send(json.dumps({"type": "pong", "t0_ns": message["t0_ns"], "t1_ns": now_ns, "t2_ns": now_ns}))
            case "markers":
                self.acknowledge(connection, message["items"][-1]["seq"])
            case _:
                self.acknowledge(connection, message["seq"])

    def acknowledge(self, connection: ServerConnection, seq: int) -> None:
        self.last_seq = max(self.last_seq, seq)
        connection.send(json.dumps({"type": "ack", "seq": self.last_seq}))

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.heard if message["type"] == kind]


def error(connection: ServerConnection, code: str, **fields: Any) -> None:
    connection.send(json.dumps({"type": "error", "code": code, "message": f"{code}, it says", **fields}))


@contextmanager
def standing_in(stand_in: StandIn) -> Iterator[str]:
    server: Server
    with serve(stand_in.serve, "127.0.0.1", 0, compression=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/markers"
        finally:
            server.shutdown()
            thread.join()
    assert stand_in.wrong == []


@contextmanager
def client_of(url: str, **settings: Any) -> Iterator[MarkerClient]:
    client = MarkerClient(url, **{"session": SESSION, "backoff_s": FAST, **settings})
    try:
        yield client
    finally:
        client.close(timeout_s=0)


def stored(served: Served) -> list[Marker]:
    return [marker for _, marker in served.journal.read(Marker, limit=10**6)]


def test_what_the_client_tells_is_in_the_journal_when_flush_says_so() -> None:
    with serving() as served, client_of(url_of(served.server)) as client:
        client.start()
        client.run("r1", setup="lan", scenario="radiologist", role="radiologist", repetition=2)
        action_id = client.begin("open_viewer")
        client.end(action_id, images=40, evidence="rendered")
        given_up = client.begin("play")
        client.cancel(given_up)
        client.transfer(
            start_ns=time.time_ns(), duration_ns=2, down_bytes=3, up_bytes=4, packets=5, retransmitted=6, action_id=action_id
        )
        client.rate(4)
        assert client.flush()
        assert re.fullmatch(r"[0-9a-f]{16}", action_id)
        pairing = pair(stored(served), sources={SESSION: "replay"})
        assert {(action.action_id, action.outcome) for action in pairing.actions} == {
            (action_id, "completed"),
            (given_up, "cancelled"),
        }
        ((_, session),) = served.journal.read(Session)
        assert (session.run, session.setup, session.repetition) == ("r1", "lan", 2)
        assert [transfer.action_id for _, transfer in served.journal.read(Transfer)] == [action_id]
        assert [rating.score for _, rating in served.journal.read(Rating)] == [4]
        assert client.close()


def test_everything_that_the_client_says_keeps_to_the_contract() -> None:
    stand_in = StandIn()
    with standing_in(stand_in) as url, client_of(url, token="secret") as client:
        client.start()
        client.run("r1", setup="wan")
        client.end(client.begin("login"), bytes=5)
        client.cancel(client.begin("login"))
        client.transfer(start_ns=time.time_ns(), duration_ns=2, down_bytes=3, up_bytes=4, packets=5, retransmitted=6)
        client.rate(1, "a" * 16)
        assert client.flush()
    assert [message["type"] for message in stand_in.heard[:1]] == ["hello"]
    assert stand_in.heard[0]["token"] == "secret"
    assert len(stand_in.of("ping")) >= 8


def test_start_waits_for_the_clocks_so_that_the_first_marker_has_an_offset() -> None:
    clock = ManualClock(wall_ns=5, mono_ns=1000)
    with serving() as served, client_of(url_of(served.server), wall_ns=clock.wall_ns, mono_ns=clock.mono_ns) as client:
        client.start()
        offset = client.offset()
        assert offset is not None
        assert offset.offset_ns == served.clock.wall_ns() - 5
        client.begin("login")
        assert client.flush()
        (marker,) = stored(served)
        assert (marker.wall_ns, marker.offset_ns, marker.offset_error_ns) == (5, served.clock.wall_ns() - 5, 0)


def test_a_clock_that_is_set_back_at_the_client_moves_no_action() -> None:
    clock = ManualClock()
    with serving() as served, client_of(url_of(served.server), wall_ns=clock.wall_ns, mono_ns=clock.mono_ns) as client:
        client.start()
        action_id = client.begin("login")
        clock.step_wall(-3600)
        clock.advance(2)
        client.end(action_id)
        assert client.flush()
        (action,) = pair(stored(served), sources={}).actions
        assert (action.start_ns, action.duration_ns) == (served.clock.wall_ns(), 2 * 10**9)


@pytest.mark.parametrize(
    ("settings", "options", "what"),
    [
        ({"token": "right"}, {"token": "wrong"}, "token"),
        ({}, {"source": "access-log"}, "source"),
        ({}, {"client": "a b"}, "client"),
    ],
)
def test_a_refusal_is_told_at_once_and_not_tried_again(settings: dict[str, Any], options: dict[str, Any], what: str) -> None:
    with serving(settings) as served, client_of(url_of(served.server), **options) as client:
        with pytest.raises(ChannelRefusedError, match=what):
            client.start()
        client.begin("login")
        with pytest.raises(ChannelRefusedError, match=what):
            client.flush()
        assert not client.close()


def test_an_address_that_is_none_is_told() -> None:
    with client_of("http://127.0.0.1/markers") as client, pytest.raises(ChannelRefusedError, match="not a WebSocket address"):
        client.start()


def test_a_sidecar_that_is_away_is_told_and_waited_for(unused_port: int) -> None:
    url = f"ws://127.0.0.1:{unused_port}/markers"
    with client_of(url) as client:
        with pytest.raises(ChannelUnreachableError, match=f"{unused_port}.*start the sidecar"):
            client.start(timeout_s=0.01)
        client.begin("login")
        assert not client.flush(timeout_s=0.01)
        with serving(port=unused_port) as served:
            assert client.flush()
            assert [marker.action for marker in stored(served)] == ["login"]


@pytest.fixture
def unused_port() -> int:
    return free_port()


def test_a_message_whose_acknowledgement_is_lost_is_sent_again_under_the_same_number() -> None:
    def lose_the_first(stand_in: StandIn, connection: ServerConnection, message: dict[str, Any]) -> None:
        if message["type"] == "markers" and len(stand_in.of("markers")) == 1:
            connection.close(1011)
        else:
            stand_in.as_usual(connection, message)

    stand_in = StandIn(lose_the_first)
    with standing_in(stand_in) as url, client_of(url) as client:
        client.start()
        client.begin("login")
        assert client.flush()
        first, second = stand_in.of("markers")
        assert first == second
        assert "resume_seq" not in stand_in.of("hello")[0]
        assert stand_in.of("hello")[1]["resume_seq"] == 1


def test_what_the_welcome_acknowledges_is_not_sent_again() -> None:
    def store_and_die(stand_in: StandIn, connection: ServerConnection, message: dict[str, Any]) -> None:
        if message["type"] == "markers":
            stand_in.last_seq = message["items"][-1]["seq"]
            connection.close(1011)
        else:
            stand_in.as_usual(connection, message)

    stand_in = StandIn(store_and_die)
    with standing_in(stand_in) as url, client_of(url) as client:
        client.start()
        client.begin("login")
        assert client.flush()
        assert len(stand_in.of("markers")) == 1


def test_a_journal_that_is_full_gets_everything_again_later() -> None:
    def full_at_first(stand_in: StandIn, connection: ServerConnection, message: dict[str, Any]) -> None:
        if message["type"] == "markers" and len(stand_in.of("markers")) == 1:
            error(connection, "journal_full", retry_after_ms=1)
        else:
            stand_in.as_usual(connection, message)

    stand_in = StandIn(full_at_first)
    with standing_in(stand_in) as url, client_of(url) as client:
        client.start()
        client.begin("login")
        assert client.flush()
        assert (len(stand_in.of("markers")), stand_in.connections) == (2, 1)


def test_a_client_that_was_too_fast_comes_back_after_the_time_it_was_told() -> None:
    def too_fast_at_first(stand_in: StandIn, connection: ServerConnection, message: dict[str, Any]) -> None:
        if message["type"] == "markers" and len(stand_in.of("markers")) == 1:
            error(connection, "too_fast", retry_after_ms=1)
            connection.close(4429, "retry_after_ms=1")
        else:
            stand_in.as_usual(connection, message)

    stand_in = StandIn(too_fast_at_first)
    with standing_in(stand_in) as url, client_of(url) as client:
        client.start()
        client.begin("login")
        assert client.flush()
        assert stand_in.connections == 2


def test_a_refused_item_is_counted_and_the_rest_goes_through() -> None:
    with serving() as served, client_of(url_of(served.server)) as client:
        client.start()
        client.begin("juggle")
        client.begin("login")
        assert client.flush()
        assert client.health()["items_refused"] == 1
        assert [marker.action for marker in stored(served)] == ["login"]


def test_a_client_that_was_replaced_stays_away() -> None:
    with serving() as served, client_of(url_of(served.server)) as older, client_of(url_of(served.server)) as newer:
        older.start()
        newer.start()
        older.begin("login")
        with pytest.raises(ChannelRefusedError, match="newer connection"):
            older.flush()
        newer.begin("login")
        assert newer.flush()


def test_a_session_that_is_used_again_goes_on_counting_where_it_was() -> None:
    with serving() as served:
        for _ in range(2):
            with client_of(url_of(served.server)) as client:
                client.start()
                client.end(client.begin("login"))
                assert client.flush()
        assert [marker.seq for marker in stored(served)] == [1, 2, 3, 4]


def test_a_long_backlog_is_sent_in_pieces_within_the_limits_of_the_channel() -> None:
    limits = {"markers_per_s": 1, "markers_burst": 2500, "messages_burst": 100}
    with serving({"limits": limits}) as served, client_of(url_of(served.server)) as client:
        for _ in range(2300):
            client.begin("scroll")
        client.start()
        assert client.flush()
        assert [marker.seq for marker in stored(served)] == list(range(1, 2301))
        assert client.health()["connections"] == 1


def test_what_does_not_fit_is_dropped_and_counted() -> None:
    with client_of("ws://127.0.0.1:9/markers", capacity=2) as client:
        for _ in range(5):
            client.begin("login")
        assert (client.health()["unacknowledged"], client.health()["dropped"]) == (2, 3)


def test_a_killed_replayer_loses_nothing(tmp_path: Path) -> None:
    file = tmp_path / "outbox.jsonl"
    with serving() as served:
        killed = MarkerClient(url_of(served.server), session=SESSION, outbox_file=file)
        killed.end(killed.begin("login"))
        with file.open("a") as torn:
            torn.write('{"seq": 3, "kind": "mar')
        with client_of(url_of(served.server), outbox_file=file) as client:
            client.start()
            client.begin("play")
            assert client.flush()
        assert [(marker.seq, marker.action) for marker in stored(served)] == [(1, "login"), (2, "login"), (3, "play")]
        killed.close(timeout_s=0)
    with Outbox(file=file) as outbox:
        assert (len(outbox), outbox.acked, outbox.resume_seq) == (0, 3, 4)


def test_an_outbox_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(OutboxError, match=r"outbox.*name a file in a folder"):
        MarkerClient("ws://127.0.0.1:9/markers", session=SESSION, outbox_file=tmp_path / "no" / "such" / "folder")


def test_wrong_use_is_told_where_it_happens() -> None:
    with client_of("ws://127.0.0.1:9/markers") as client:
        with pytest.raises(UnknownActionIdError, match="is open"):
            client.end("a" * 16)
        action_id = client.begin("login")
        with pytest.raises(InvalidRecordError, match="note"):
            client.end(action_id, note="free text")
        client.end(action_id)
        with pytest.raises(UnknownActionIdError):
            client.cancel(action_id)


def test_entries_become_messages_in_their_order() -> None:
    markers = [Entry(seq, "marker", {"action": "login"}) for seq in range(1, MARKERS_IN_MESSAGE + 2)]
    rating = Entry(MARKERS_IN_MESSAGE + 2, "rating", {"time_ns": 1, "score": 2})
    told = list(messages([*markers, rating, Entry(MARKERS_IN_MESSAGE + 3, "marker", {})]))
    assert [highest for highest, _ in told] == [MARKERS_IN_MESSAGE + extra for extra in range(4)]


def test_a_sidecar_that_is_killed_in_mid_stream_loses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    journal = tmp_path / "journal.sqlite"
    told: list[str] = []

    def tell(client: MarkerClient, actions: int) -> None:
        for _ in range(actions):
            told.append(client.begin("scroll"))
            client.end(told[-1], ticks=1)

    with ExitStack() as stack:
        process, port = stack.enter_context(marker_process.running(journal))
        client = stack.enter_context(client_of(f"ws://127.0.0.1:{port}/markers"))
        client.start()
        for _ in range(2):
            tell(client, 200)
            process.kill()
            process.wait()
            tell(client, 50)
            process, _ = stack.enter_context(marker_process.running(journal, port))
        tell(client, 200)
        assert client.flush()
        assert client.health()["connections"] >= 2
    with SqliteJournal(journal) as written:
        stored = [marker for _, marker in written.read(Marker, limit=10**6)]
    assert sorted(marker.seq for marker in stored) == list(range(1, 2 * len(told) + 1))
    assert {action.action_id for action in pair(stored, sources={}).actions} == set(told)
