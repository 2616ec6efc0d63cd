"""The sessions that the marker channel knows: each has a ledger, its record, and at most one connection that owns it."""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import asdict, replace
from typing import Generic, TypeVar

from sidecar.errors import Fault, InvalidRecordError, JournalFullError
from sidecar.markers.effects import Effect, Send, Submit
from sidecar.markers.ledger import Ledger
from sidecar.model.messages import Ack, ErrorReply, Run
from sidecar.model.records import Session
from sidecar.model.wire import encode

C = TypeVar("C")


def ack_key(session: str) -> str:
    """The note that holds the last acknowledged seq."""
    return f"ack/{session}"


def session_key(session: str) -> str:
    """The note that holds the session's record, so that a reconnect after a restart does not start it anew."""
    return f"session/{session}"


class Seat(Generic[C]):
    """One session: what of it is durable, its record, and who owns it now."""

    def __init__(self, session: Session, ledger: Ledger, *, saved: bool) -> None:
        self.session = session
        self.ledger = ledger
        self.owner: C | None = None
        self._unsaved = not saved
        self._saving = False

    @property
    def idle(self) -> bool:
        """Whether forgetting this seat loses nothing that the journal's notes do not hold."""
        return self.owner is None and not self.ledger.busy

    def join_run(self, run: Run) -> None:
        """The session belongs to this experiment from now on. Raises InvalidRecordError.

        Only a replayed session can: runs and roles are tags in the store, and no browser may make as many as it likes.
        """
        if self.session.source != "replay":
            raise InvalidRecordError("a run is told by the replayer only", "leave the run message out")
        self.session = replace(
            self.session,
            run=run.run,
            setup=run.setup,  # type: ignore[arg-type]  # the message's shape allows the same words
            scenario=run.scenario,
            role=run.role or self.session.role,
            repetition=run.repetition,
            attempt=run.attempt,
            series=run.series,
            outcome=run.outcome,  # type: ignore[arg-type]  # as above
        )
        self._unsaved = True

    def submission(self) -> list[Effect]:
        """The next thing to commit, unless one is under way or there is nothing."""
        if self.ledger.busy or not (self.ledger.waiting or self._unsaved):
            return []
        flight = self.ledger.take()
        name = self.session.session
        notes = {ack_key(name): str(flight.last_seq)}
        records = flight.records
        if self._unsaved:
            self._unsaved, self._saving = False, True
            notes[session_key(name)] = json.dumps(asdict(self.session), separators=(",", ":"))
            records = (self.session, *records)
        return [Submit(name, records, notes)]

    def settled(self, fault: Fault | None, retry_after_ms: int) -> list[Effect]:
        """The submission is committed (or not): what to tell the client, and the next submission."""
        saving, self._saving = self._saving, False
        if fault is not None:
            self._unsaved = self._unsaved or saving
            self.ledger.failed()
            code = "journal_full" if isinstance(fault, JournalFullError) else "journal_failed"
            message = f"{fault.what}: keep what is not acknowledged and send it again later"
            return [Send(encode(ErrorReply(code=code, message=message[:2000], retry_after_ms=retry_after_ms)))]
        flight = self.ledger.landed()
        effects: list[Effect] = [Send(encode(Ack(seq=None)))] * flight.unnumbered
        if flight.seqs:
            effects.append(Send(encode(Ack(seq=self.ledger.last_seq))))
        return effects + self.submission()


class Sessions(Generic[C]):
    """All seats; past `idle_sessions` of them those that nobody owns are forgotten, the longest unused first."""

    def __init__(self, idle_sessions: int, retry_after_ms: int) -> None:
        self._seats: OrderedDict[str, Seat[C]] = OrderedDict()
        self._idle_sessions = idle_sessions
        self._retry_after_ms = retry_after_ms

    def seat(self, fresh: Session, ack_note: str | None, session_note: str | None) -> Seat[C]:
        """The seat of a session: the one that is known, or one from the journal's notes, or a new one."""
        seat = self._seats.get(fresh.session)
        if seat is None:
            known = _session_from(session_note)
            last_seq = int(ack_note) if ack_note is not None and ack_note.isdigit() else 0
            seat = Seat(known or fresh, Ledger(last_seq), saved=known is not None)
            self._trim()
            self._seats[fresh.session] = seat
        self._seats.move_to_end(fresh.session)
        return seat

    def connected(self) -> frozenset[str]:
        """The sessions that have a connection now."""
        return frozenset(name for name, seat in self._seats.items() if seat.owner is not None)

    def settled(self, session: str, fault: Fault | None) -> tuple[C | None, list[Effect]]:
        """A submission ended: effects for the connection that owns the session now, if any (submissions go on without one)."""
        seat = self._seats[session]
        return seat.owner, seat.settled(fault, self._retry_after_ms)

    def _trim(self) -> None:
        surplus = len(self._seats) + 1 - self._idle_sessions
        if surplus > 0:
            for name in [name for name, seat in self._seats.items() if seat.idle][:surplus]:
                del self._seats[name]


def _session_from(note: str | None) -> Session | None:
    if note is None:
        return None
    try:
        return Session(**json.loads(note))
    except (ValueError, TypeError, InvalidRecordError):
        return None  # written by another version: the session then starts anew, and its markers are safe all the same
