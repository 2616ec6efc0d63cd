"""The marker channel's server on real sockets: limits, refusals, stopping; the examples are played by test_contract."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Callable, Mapping, Sequence

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from sidecar.clock import SystemClock
from sidecar.errors import Fault, JournalError, PortTakenError, UsageFault
from sidecar.journal.memory import MemoryJournal
from sidecar.markers.limits import Limits
from sidecar.markers.server import MarkerServer
from sidecar.model.records import Marker, Record
from sidecar.model.wire import MAX_MESSAGE_BYTES
from tests.support.marker_fakes import ACTIONS, SESSION, Served, dial, hello, item, markers, next_said, serving, url_of
from tests.support.waiting import wait_until


class HeldWriter:
    """Keeps submissions until it is told how they ended."""

    def __init__(self) -> None:
        self.held: list[Callable[[Fault | None], None]] = []

    def submit(self, records: Sequence[Record], notes: Mapping[str, str], done: Callable[[Fault | None], None]) -> None:
        self.held.append(done)


class BrokenNotes:
    def note(self, key: str) -> str | None:
        raise JournalError("the journal cannot be read", "look at the disk")


def server_with(writer: HeldWriter, notes: MemoryJournal | BrokenNotes, limits: Limits | None = None) -> MarkerServer:
    return MarkerServer(
        ("127.0.0.1", 0), token="", writer=writer, notes=notes, clock=SystemClock(), actions=ACTIONS, limits=limits
    )


def code_of(said: Mapping[str, Mapping[str, object]]) -> object:
    return said["sidecar"]["code"]


def test_a_message_that_is_too_large_is_answered_4413() -> None:
    with serving() as served, dial(served.server) as connection:
        connection.send(json.dumps(hello()))
        next_said(connection)
        connection.send('{"type":"markers","items":["' + "x" * MAX_MESSAGE_BYTES + '"]}')
        assert code_of(next_said(connection)) == "too_large"
        assert next_said(connection) == {"close": 4413}


def test_a_message_that_grows_too_large_in_fragments_is_answered_4413() -> None:
    with serving() as served, dial(served.server) as connection:
        connection.send(["x" * 1000] * 66)
        assert code_of(next_said(connection)) == "too_large"
        assert next_said(connection) == {"close": 4413}


def test_the_largest_message_is_taken() -> None:
    with serving() as served, dial(served.server) as connection:
        connection.send(json.dumps(hello()))
        next_said(connection)
        text = json.dumps(markers(item(1)))
        connection.send(text + " " * (MAX_MESSAGE_BYTES - len(text)))
        assert next_said(connection) == {"sidecar": {"type": "ack", "seq": 1}}


def test_a_client_that_says_nothing_is_closed_with_4408() -> None:
    with serving({"limits": {"hello_timeout_s": 0.01}}) as served, dial(served.server) as connection:
        assert code_of(next_said(connection)) == "hello_missing"
        assert next_said(connection) == {"close": 4408}


@pytest.mark.parametrize("path", ["/", "/other", "/markers/", "/markers?token=secret"])
def test_there_is_nothing_on_other_paths(path: str) -> None:
    with serving() as served, pytest.raises(InvalidStatus) as refused:
        connect(f"ws://127.0.0.1:{served.server.address[1]}{path}", proxy=None)
    assert refused.value.response.status_code == 404


def test_one_connection_too_many_is_told_to_come_later() -> None:
    with serving({"limits": {"connections": 1}}) as served:
        with dial(served.server) as first:
            with dial(served.server) as second:
                assert code_of(next_said(second)) == "too_many_connections"
                assert next_said(second) == {"close": 1013}
            first.send(json.dumps(hello()))
            assert next_said(first)["sidecar"]["type"] == "welcome"
        wait_until(lambda: served.server.health()["connections"] == 0, "the first connection to end")
        with dial(served.server) as third:
            third.send(json.dumps(hello()))
            assert next_said(third)["sidecar"]["type"] == "welcome"


def test_a_taken_port_is_named_with_the_remedy() -> None:
    with serving() as served:
        port = served.server.address[1]
        second = MarkerServer(
            ("127.0.0.1", port),
            token="",
            writer=HeldWriter(),
            notes=MemoryJournal(),
            clock=SystemClock(),
            actions=ACTIONS,
        )
        with pytest.raises(PortTakenError, match=rf"127\.0\.0\.1:{port} .*TRACEMARK_MARKERS"):
            second.start()
        second.stop()


def test_an_address_of_another_machine_is_a_clear_error() -> None:
    server = MarkerServer(
        ("192.0.2.1", 0), token="", writer=HeldWriter(), notes=MemoryJournal(), clock=SystemClock(), actions=ACTIONS
    )
    with pytest.raises(UsageFault, match=r"192\.0\.2\.1:0 .*TRACEMARK_MARKERS"):
        server.start()
    server.stop()


def test_a_cookie_is_in_no_log_however_much_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with serving() as served, dial(served.server) as connection:
        connection.send(json.dumps(hello(token="my-own-secret")))
        next_said(connection)
        connection.send("not JSON")
        next_said(connection)
    written = [record.getMessage() for record in caplog.records if "client" not in record.name]
    assert not [line for line in written if "must-never-be-seen" in line or "my-own-secret" in line]


def test_the_hook_is_called_once_for_a_message_with_markers_of_somebody_who_was_let_in() -> None:
    calls: list[str] = []
    with serving(on_markers=lambda: calls.append(threading.current_thread().name)) as served:
        with dial(served.server) as connection:
            connection.send(json.dumps(markers(item(1))))
            assert code_of(next_said(connection)) == "hello_missing"
        with dial(served.server) as connection:
            connection.send(json.dumps(hello()))
            next_said(connection)
            connection.send(json.dumps({"type": "ping", "t0_ns": 1}))
            next_said(connection)
            assert calls == []
            connection.send(json.dumps(markers(item(1), item(2))))
            next_said(connection)
            connection.send(' {\n"type" : "markers", "items": ["bad"]}')
            next_said(connection)
    assert calls == ["markers", "markers"]


def test_what_is_under_way_is_acknowledged_before_the_server_stops() -> None:
    writer = HeldWriter()
    server = server_with(writer, MemoryJournal())
    server.start()
    with dial(server) as connection:
        connection.send(json.dumps(hello()))
        next_said(connection)
        assert server.connected_sessions() == {SESSION}
        wait_until(lambda: writer.held, "the session to be submitted")
        writer.held.pop()(None)
        connection.send(json.dumps(markers(item(1))))
        wait_until(lambda: writer.held, "the marker to be submitted")
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        writer.held.pop()(None)
        assert next_said(connection) == {"sidecar": {"type": "ack", "seq": 1}}
        assert next_said(connection) == {"close": 1001}
        stopping.join()
    assert server.connected_sessions() == frozenset()


def test_an_answer_of_the_journal_after_the_server_has_stopped_is_harmless(caplog: pytest.LogCaptureFixture) -> None:
    writer = HeldWriter()
    server = server_with(writer, MemoryJournal(), Limits(stop_timeout_s=0.01))
    server.start()
    with dial(server) as connection:
        connection.send(json.dumps(hello()))
        assert next_said(connection)["sidecar"]["type"] == "welcome"
        wait_until(lambda: writer.held, "the session to be submitted")
        server.stop()
        assert next_said(connection) == {"close": 1001}
    assert "1 submissions were not settled in time" in caplog.text
    writer.held.pop()(None)
    server.stop()


def test_a_journal_that_cannot_be_read_sends_clients_away_for_a_while() -> None:
    server = server_with(HeldWriter(), BrokenNotes())
    server.start()
    try:
        with dial(server) as connection:
            connection.send(json.dumps(hello()))
            assert code_of(next_said(connection)) == "journal_failed"
            assert next_said(connection) == {"close": 1013}
    finally:
        server.stop()


def test_a_client_that_does_not_read_is_dropped_and_loses_nothing() -> None:
    """With no room at all for unsent bytes every acknowledgement meets a client that is too slow."""
    with serving({"limits": {"unsent_bytes": -1}}) as served, dial(served.server) as connection:
        connection.send(json.dumps(hello()))
        next_said(connection)
        connection.send(json.dumps(markers(item(1))))
        assert next_said(connection) == {"close": None}
        assert served.server.health()["slow_consumers_dropped"] == 1
        assert [marker.seq for _, marker in served.journal.read(Marker)] == [1]
        with dial(served.server) as again:
            again.send(json.dumps(hello()))
            assert next_said(again)["sidecar"]["last_seq"] == 1


def test_clients_that_break_off_in_any_state_leave_nothing_behind() -> None:
    with serving() as served:
        for words in ([], [hello()], [hello(), markers(item(1))]):
            raw = socket.create_connection(served.server.address)
            with connect(url_of(served.server), sock=raw, compression=None, proxy=None) as connection:
                for word in words:
                    connection.send(json.dumps(word))
                raw.shutdown(socket.SHUT_RDWR)
        wait_until(lambda: served.server.health()["connections"] == 0, "all connections to end")
        assert heard_after_all(served) == {"sidecar": {"type": "ack", "seq": 1}}


def heard_after_all(served: Served) -> Mapping[str, object]:
    with dial(served.server) as connection:
        connection.send(json.dumps(hello()))
        next_said(connection)
        connection.send(json.dumps(markers(item(1))))
        return next_said(connection)
