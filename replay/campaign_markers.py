"""The marker channel of a run: a session per repetition and user, and a file beside the run for what is not delivered yet."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from replay.clock_offset import Offset
from replay.durable import PART
from replay.marker_client import ChannelRefusedError, ChannelUnreachableError, MarkerClient
from replay.outbox import Outbox
from replay.player import MarkerSink
from sidecar.model.records import AttemptOutcome

#: how long the sidecar may take to welcome us; and when it did not the last time
FIRST_WAIT_S = 5.0
AWAY_WAIT_S = 0.5
#: how long it may take to acknowledge at the end of a session
CLOSE_WAIT_S = 15.0
_SUFFIX = ".jsonl"


class Told(MarkerSink, Protocol):
    """A session on the marker channel, as `replay.marker_client.MarkerClient` has it."""

    def run(
        self,
        run: str,
        *,
        setup: str | None = None,
        scenario: str | None = None,
        role: str | None = None,
        repetition: int | None,
        attempt: str | None = None,
        series: int | None = None,
        outcome: AttemptOutcome | None = None,
    ) -> None:
        """Say which experiment and which attempt in it this session belongs to, and what became of the attempt."""

    def transfer(self, **fields: Any) -> None:
        """What was transferred: the known fields of TransferReport, `start_ns` by this machine's clock."""

    def offset(self) -> Offset | None:
        """What to add to this machine's wall clock to get the sidecar's."""


class NoMarkers:
    """Tells nobody: for trying a scenario without a sidecar."""

    def begin(self, action: str) -> str:  # noqa: ARG002 (the protocol's)
        """A fresh id."""
        return secrets.token_hex(8)

    def end(self, action_id: str, **attributes: int | str) -> None:
        """Nothing to do."""

    def cancel(self, action_id: str) -> None:
        """Nothing to do."""

    def run(self, run: str, **named: object) -> None:
        """Nothing to do."""

    def transfer(self, **sizes: object) -> None:
        """Nothing to do."""

    def offset(self) -> Offset | None:
        """Not known."""
        return None


@dataclass(slots=True)
class Delivery:
    """How many sessions the sidecar has got whole, and how many are kept for later; markers lost because a file was full."""

    delivered: int = 0
    kept: int = 0
    dropped: int = 0


class Channel:
    """The sessions of one run. The sidecar may be away: then `say` gets a line, once, and everything is kept in `outbox`.

    A sidecar that refuses us is an error only as long as it has never let us in: later it is treated as one that is away.
    Several threads may hold a session each.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str,
        outbox: Path,
        say: Callable[[str], None],
        connect: Callable[..., MarkerClient] = MarkerClient,
    ) -> None:
        self._url = url
        self._token = token
        self._outbox = outbox
        self._say = say
        self._connect = connect
        self._let_in = False
        self._away = False
        self._lock = threading.Lock()  # for the two above and the tally
        self.tally = Delivery()

    @contextmanager
    def session(self, session: str) -> Iterator[Told]:
        """A session until it is left; raises ChannelRefusedError before anything was told, OutboxError when the disk is full."""
        with self._session(session + _SUFFIX) as told:
            yield told

    @contextmanager
    def user_session(self, session: str, user: int) -> Iterator[Told]:
        """The same for one of many virtual users: the name of its client tells its number."""
        with self._session(f"{session}.user-{user:02d}{_SUFFIX}") as told:
            yield told

    @contextmanager
    def _session(self, name: str) -> Iterator[Told]:
        if self._url == "none":
            yield NoMarkers()
            return
        file = self._outbox / name
        client = self._client(file)
        try:
            self._greet(client)
            yield client
        finally:
            self._leave(client, file)

    def deliver(self) -> int:
        """Tell what earlier sessions left, and give up the actions they left open; returns how many sessions are still kept."""
        for unfinished in self._outbox.glob(f"*{_SUFFIX}{PART}"):  # a killed process was writing it; the whole one is beside it
            unfinished.unlink(missing_ok=True)
        files = sorted(self._outbox.glob(f"*{_SUFFIX}")) if self._url != "none" else []
        for left, file in enumerate(files):
            with Outbox(file=file) as outbox:
                settled = not len(outbox) and not outbox.open_actions
            if settled:
                file.unlink()
                continue
            client = self._client(file)
            client.cancel_open()
            try:
                self._greet(client)
            finally:
                self._leave(client, file)
            if file.exists():
                return len(files) - left
        return 0

    def _client(self, file: Path) -> MarkerClient:
        """The client of the session that a file is for: the name says which, and of which user."""
        session, *user = file.name.removesuffix(_SUFFIX).split(".")
        named = {"client": f"replay.{user[0]}"} if user else {}
        return self._connect(self._url, session=session, token=self._token, outbox_file=file, **named)

    def _greet(self, client: MarkerClient) -> None:
        try:
            client.start(AWAY_WAIT_S if self._away else FIRST_WAIT_S)
        except ChannelUnreachableError as away:
            self._keep(away.what)
        except ChannelRefusedError as refused:
            if not self._let_in:
                raise
            self._keep(refused.what)
        else:
            with self._lock:
                self._let_in, self._away = True, False

    def _keep(self, why: str) -> None:
        with self._lock:
            if not self._away:
                self._say(f"{why}; what happens is kept in {self._outbox} and delivered later")
            self._away = True

    def _leave(self, client: MarkerClient, file: Path) -> None:
        connected = client.health()["connections"] > 0
        delivered = client.close(CLOSE_WAIT_S if connected else AWAY_WAIT_S)
        dropped = client.health()["dropped"]
        with self._lock:
            if dropped:
                self._say(f"{dropped} markers were lost: the outbox {file} was full")
                self.tally.dropped += dropped
            if not delivered:
                self.tally.kept += 1
                return
            self.tally.delivered += 1
            self._away = False
        file.unlink(missing_ok=True)
        file.with_name(file.name + PART).unlink(missing_ok=True)


def kept_sessions(outbox: Path) -> int:
    """How many sessions wait in this folder for the sidecar."""
    return sum(1 for _ in outbox.glob(f"*{_SUFFIX}"))
