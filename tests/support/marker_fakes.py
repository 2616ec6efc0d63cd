"""The marker channel in tests: the example conversations of `tests/contract`, and a table or a real server to play them at."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from sidecar.clock import ManualClock, SystemClock
from sidecar.errors import Fault
from sidecar.journal.memory import MemoryJournal
from sidecar.journal.writer import Writer
from sidecar.markers.channel import Channel, Tally
from sidecar.markers.effects import Close, Effect, Recall, Send, SendPong, Submit
from sidecar.markers.gate import Gate, Peer
from sidecar.markers.limits import Limits
from sidecar.markers.server import MarkerServer
from sidecar.markers.sessions import Sessions, ack_key, session_key
from sidecar.markers.tickets import Grant
from sidecar.model.wire import Pong, encode
from tests.support.waiting import wait_until

CONTRACT = Path(__file__).resolve().parent.parent / "contract"
CONVERSATIONS = sorted((CONTRACT / "conversations").glob("*.json"))
ACTIONS = frozenset(("login", "page_load", "open_viewer", "scroll", "play"))
SESSION = "c0ffee00c0ffee00c0ffee00c0ffee00"

Said = dict[str, Any]


def load(path: Path) -> dict[str, Any]:
    """One conversation."""
    return dict(json.loads(path.read_text(encoding="utf-8")))


def validator(who: str) -> jsonschema.protocols.Validator:
    """Checks messages of `client` or `sidecar` against the committed schema."""
    schema = json.loads((CONTRACT / "schema.json").read_text(encoding="utf-8"))
    return jsonschema.Draft202012Validator({**schema, "anyOf": [{"$ref": f"#/$defs/{who}"}]})


def text_of(step: Mapping[str, Any]) -> str:
    """What a client's step puts on the wire."""
    return str(step["client_text"]) if "client_text" in step else json.dumps(step["client"])


def without_prose(said: Mapping[str, Any]) -> Mapping[str, Any]:
    """A reply without the words that are for people."""
    if "sidecar" not in said:
        return said
    return {"sidecar": {name: value for name, value in said["sidecar"].items() if name != "message"}}


def tickets_of(settings: Mapping[str, Any]) -> dict[str, Grant]:
    """The tickets that are good."""
    return {ticket: Grant(**granted) for ticket, granted in settings.get("tickets", {}).items()}


class Table:
    """Channels without sockets: carries out effects at once on a journal in memory, and writes down what the sidecar says.

    With `hold` set, submissions wait in `held` until `settle` is called.
    """

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        settings = settings or {}
        self.clock = ManualClock()
        self.journal = MemoryJournal()
        if settings.get("notes"):
            self.journal.append((), settings["notes"])
        self.limits = Limits(**settings.get("limits", {}))
        self.sessions: Sessions[Channel] = Sessions(self.limits.idle_sessions, self.limits.retry_after_ms)
        self.tally = Tally()
        self.hold = False
        self.held: list[Submit] = []
        self.gate = Gate(settings.get("token", ""), tickets_of(settings).get)
        self.peer = Peer(origin=settings.get("origin"), on_this_machine=settings.get("peer") != "elsewhere")
        self.said: dict[Channel, list[Said]] = {}

    def join(self) -> Channel:
        """A new connection."""
        channel = Channel(
            sessions=self.sessions, gate=self.gate, peer=self.peer, actions=ACTIONS, limits=self.limits, tally=self.tally
        )
        self.said[channel] = []
        self._carry_out(channel, channel.opened())
        return channel

    def tell(self, channel: Channel, message: str | bytes | Mapping[str, Any]) -> list[Said]:
        """A client sends a message; what the sidecar says to it until it falls silent."""
        text = message if isinstance(message, str | bytes) else json.dumps(message)
        self._carry_out(channel, channel.receive(text, self.clock.wall_ns(), self.clock.mono_ns()))
        return self.heard(channel)

    def heard(self, channel: Channel) -> list[Said]:
        """What was said to this connection since the last time somebody asked."""
        said, self.said[channel] = self.said[channel], []
        return said

    def knows(self, session: str) -> bool:
        """Whether the channel still holds this session in memory."""
        return session in self.sessions._seats

    def settle(self) -> None:
        """Commit what is held, or fail it when the journal is full."""
        held, self.held = self.held, []
        for submit in held:
            self._commit(submit)

    def _carry_out(self, channel: Channel | None, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(text) if channel is not None:
                    self.said[channel].append({"sidecar": json.loads(text)})
                case SendPong(t0_ns, t1_ns) if channel is not None:
                    pong = Pong(t0_ns=t0_ns, t1_ns=t1_ns, t2_ns=self.clock.wall_ns())
                    self.said[channel].append({"sidecar": json.loads(encode(pong))})
                case Close(code, _) if channel is not None:
                    self.said[channel].append({"close": int(code)})
                case Recall(session) if channel is not None:
                    notes = self.journal.note(ack_key(session)), self.journal.note(session_key(session))
                    older, more = channel.recalled(*notes, self.clock.wall_ns())
                    if older is not None:
                        self._carry_out(older, older.replaced())
                    self._carry_out(channel, more)
                case Submit() if self.hold:
                    self.held.append(effect)
                case Submit():
                    self._commit(effect)
                case _:
                    pass

    def _commit(self, submit: Submit) -> None:
        fault: Fault | None = None
        try:
            self.journal.append(submit.records, submit.notes)
        except Fault as error:
            fault = error
        self._carry_out(*self.sessions.settled(submit.session, fault))


@dataclass(frozen=True)
class Served:
    """A running marker channel and what stands behind it."""

    server: MarkerServer
    journal: MemoryJournal
    writer: Writer
    clock: ManualClock

    def fill(self) -> None:
        """From now on the journal takes nothing more."""
        self.journal.full = True

    def make_room(self) -> None:
        """The journal takes records again, and the writer has noticed."""
        self.journal.full = False
        wait_until(lambda: self.writer.health()["writable"], "the writer to recover")


@contextmanager
def serving(
    settings: Mapping[str, Any] | None = None,
    journal: MemoryJournal | None = None,
    *,
    port: int = 0,
    on_markers: Callable[[], None] = lambda: None,
) -> Iterator[Served]:
    """A real server on this machine, with the real writer on a journal in memory."""
    settings = settings or {}
    journal = journal or MemoryJournal()
    if settings.get("notes"):
        journal.append((), settings["notes"])
    clock = ManualClock()
    writer = Writer(journal, SystemClock(), retry_s=0.001)
    writer.start()
    server = MarkerServer(
        ("127.0.0.1", port),
        token=settings.get("token", ""),
        writer=writer,
        notes=journal,
        clock=clock,
        actions=ACTIONS,
        on_markers=on_markers,
        redeem=tickets_of(settings).get,
        limits=Limits(**settings.get("limits", {})),
    )
    server.start()
    try:
        yield Served(server, journal, writer, clock)
    finally:
        server.stop()
        writer.stop()


def url_of(server: MarkerServer) -> str:
    return f"ws://127.0.0.1:{server.address[1]}/markers"


@contextmanager
def dial(server: MarkerServer, settings: Mapping[str, Any] | None = None) -> Iterator[ClientConnection]:
    """A bare WebSocket client; `origin` and `peer` of the settings as headers."""
    settings = settings or {}
    headers = {"Cookie": "JSESSIONID=must-never-be-seen"}
    if settings.get("origin"):
        headers["Origin"] = settings["origin"]
    if settings.get("peer") == "elsewhere":
        headers["X-Forwarded-For"] = "192.0.2.7"
    with connect(url_of(server), additional_headers=headers, compression=None, proxy=None) as connection:
        yield connection


def next_said(connection: ClientConnection, timeout_s: float = 20.0) -> Said:
    """The sidecar's next message, or the code with which it closed."""
    try:
        return {"sidecar": json.loads(connection.recv(timeout=timeout_s))}
    except ConnectionClosed as closed:
        return {"close": closed.rcvd.code if closed.rcvd else None}


def hello(**fields: Any) -> dict[str, Any]:
    """A hello that is let in."""
    return {"type": "hello", "version": 1, "source": "replay", "client": "test", "session": SESSION, **fields}


def item(seq: int, phase: str = "begin", **fields: Any) -> dict[str, Any]:
    """One item of `markers`."""
    known = {"seq": seq, "action_id": f"{(seq + 1) // 2:016x}", "action": "login", "phase": phase}
    return {**known, "wall_ns": 1_700_000_000_000_000_000 + seq, "mono_ns": seq, "offset_ns": 0, "offset_error_ns": 0, **fields}


def markers(*items: Mapping[str, Any]) -> dict[str, Any]:
    """A `markers` message."""
    return {"type": "markers", "items": list(items)}
