"""What the replayer tells the sidecar: when each action begins and ends; kept until the sidecar has acknowledged it."""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, cast

from replay.clock_offset import Offset, OffsetEstimator
from replay.marker_link import BACKOFF_S, ChannelRefusedError, ChannelUnreachableError, Identity, MarkerLink
from replay.outbox import Outbox
from sidecar.model.faults import UsageFault
from sidecar.model.records import AttemptOutcome, Marker, Phase
from sidecar.model.wire import from_marker

__all__ = ["ChannelRefusedError", "ChannelUnreachableError", "MarkerClient", "UnknownActionIdError"]


def boot_id() -> str:
    """Names the time since this machine was started, in which its monotonic clock counts on; empty where nothing tells."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


class UnknownActionIdError(UsageFault):
    """An action was ended or cancelled that is not open."""


class MarkerClient:
    """One session on the marker channel; call it from any thread, it never waits for the network except where it says so.

    Markers that the sidecar has not acknowledged are kept (at most `capacity`; what does not fit is dropped and counted) and sent
    again after every reconnect. With `outbox_file` they also outlive this process: the next client with the same session and file
    delivers them. Times are nanoseconds; `wall_ns` and `mono_ns` are this machine's clocks; `backoff_s` is the shortest and the
    longest pause before a reconnect.
    """

    def __init__(
        self,
        url: str,
        *,
        session: str,
        token: str = "",
        source: str = "replay",
        client: str = "replay",
        outbox_file: Path | None = None,
        capacity: int = 100_000,
        wall_ns: Callable[[], int] = time.time_ns,
        mono_ns: Callable[[], int] = time.monotonic_ns,
        backoff_s: tuple[float, float] = BACKOFF_S,
    ) -> None:
        self.session = session
        self._wall_ns = wall_ns
        self._mono_ns = mono_ns
        self._changed = threading.Condition()
        self._outbox = Outbox(capacity, outbox_file, boot_id())
        self._estimator = OffsetEstimator()
        self._open = dict(self._outbox.open_actions)
        self._identity = Identity(session=session, source=source, client=client, token=token)
        self._url = url
        self._backoff_s = backoff_s
        self._link: MarkerLink | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> MarkerClient:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def start(self, timeout_s: float = 15.0) -> None:
        """Connect, and wait until the sidecar has welcomed us and the clocks are compared.

        Raises ChannelRefusedError (token, version, address), or ChannelUnreachableError after `timeout_s`; the client then goes
        on trying, and whatever it is told meanwhile is kept.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=lambda: asyncio.run(self._talk()), name="marker-client", daemon=True)
            self._thread.start()
        with self._changed:
            self._changed.wait_for(lambda: self._link is not None and (self._link.ready or self._link.refusal), timeout_s)
            link = self._link
        if link is not None and link.refusal is not None:
            raise link.refusal
        if link is None or not link.ready:
            raise ChannelUnreachableError(
                f"no answer from the marker channel at {self._url} in {timeout_s:g} s",
                "start the sidecar, or correct the address",
            )

    def run(
        self,
        run: str,
        *,
        setup: str | None = None,
        scenario: str | None = None,
        role: str | None = None,
        repetition: int | None = None,
        attempt: str | None = None,
        series: int | None = None,
        outcome: AttemptOutcome | None = None,
    ) -> None:
        """Say which experiment this session belongs to from now on, and which attempt in it."""
        named = {"run": run, "setup": setup, "scenario": scenario, "role": role, "repetition": repetition}
        given = {name: value for name, value in named.items() if value is not None}
        self._put("run", given)
        if attempt is not None:
            # Apart: an older sidecar refuses a message with fields that it does not know, and would not know the run either.
            of_attempt = {"attempt": attempt, "series": series, "outcome": outcome}
            self._put("run", given | {name: value for name, value in of_attempt.items() if value is not None})

    def begin(self, action: str) -> str:
        """An action begins now; returns its id, 16 hex digits, for `end`, `cancel` and the `traceparent` header."""
        action_id = secrets.token_hex(8)
        self._mark(action_id, action, "begin", {})
        with self._changed:
            self._open[action_id] = action
        return action_id

    def end(self, action_id: str, **attributes: int | str) -> None:
        """The action ends now. Raises UnknownActionIdError, or InvalidRecordError for an attribute that no marker carries."""
        self._finish(action_id, "end", attributes)

    def cancel(self, action_id: str) -> None:
        """The action was given up; its time will not count. Raises UnknownActionIdError."""
        self._finish(action_id, "cancel", {})

    def transfer(self, *, action_id: str | None = None, **fields: Any) -> None:
        """What a capture, or the browser, on this machine saw: the fields of TransferReport, `start_ns` by our wall clock."""
        self._report("transfer", "start_ns", fields, action_id)

    def rate(self, score: int, action_id: str | None = None) -> None:
        """How it felt just now, 1 to 5."""
        self._report("rating", "time_ns", {"time_ns": self._wall_ns(), "score": score}, action_id)

    def cancel_open(self) -> int:
        """Give up every action that is open, also one that a killed process left so; returns how many."""
        with self._changed:
            left = list(self._open)
        for action_id in left:
            self.cancel(action_id)
        return len(left)

    def offset(self) -> Offset | None:
        """What to add to this machine's wall clock now to get the sidecar's; None before the clocks were compared."""
        with self._changed:
            return self._estimator.at(self._wall_ns(), self._mono_ns())

    def flush(self, timeout_s: float = 30.0) -> bool:
        """Wait until everything is acknowledged; False when it is not within `timeout_s`. Raises ChannelRefusedError."""
        with self._changed:
            self._changed.wait_for(lambda: not len(self._outbox) or (self._link is not None and self._link.refusal), timeout_s)
            if len(self._outbox) and self._link is not None and self._link.refusal is not None:
                raise self._link.refusal
            return not len(self._outbox)

    def health(self) -> Mapping[str, int]:
        """Counters about the client itself."""
        with self._changed:
            return {
                "unacknowledged": len(self._outbox),
                "dropped": self._outbox.dropped,
                "items_refused": self._link.refused_items if self._link else 0,
                "connections": self._link.connections if self._link else 0,
                "clock_steps": self._estimator.steps,
            }

    def close(self, timeout_s: float = 10.0) -> bool:
        """Wait for what is not acknowledged, at most `timeout_s`, then end; whether everything was acknowledged."""
        try:
            delivered = self.flush(timeout_s) if self._thread is not None else not len(self._outbox)
        except ChannelRefusedError:
            delivered = False
        if self._thread is not None:
            if self._loop is not None and self._link is not None and self._thread.is_alive():
                self._call(self._link.end)
            self._thread.join()
            self._thread = None
        self._outbox.close()
        return delivered

    async def _talk(self) -> None:
        clocks = self._wall_ns, self._mono_ns
        link = MarkerLink(self._url, self._identity, self._outbox, self._estimator, self._changed, *clocks, self._backoff_s)
        with self._changed:
            self._loop, self._link = asyncio.get_running_loop(), link
            self._changed.notify_all()
        await link.run()

    def _finish(self, action_id: str, phase: Phase, attributes: Mapping[str, int | str]) -> None:
        with self._changed:
            action = self._open.get(action_id)
        if action is None:
            raise UnknownActionIdError(f"no action {action_id!r} is open", "end or cancel each action once, by the id from begin")
        self._mark(action_id, action, phase, attributes)
        with self._changed:
            self._open.pop(action_id, None)

    def _mark(self, action_id: str, action: str, phase: Phase, attributes: Mapping[str, int | str]) -> None:
        wall_ns, mono_ns = self._wall_ns(), self._mono_ns()
        with self._changed:
            offset = self._estimator.at(wall_ns, mono_ns)
        marker = Marker(
            session=self.session,
            seq=1,  # the outbox numbers it
            action_id=action_id,
            action=action,
            phase=phase,
            wall_ns=wall_ns,
            mono_ns=mono_ns,
            offset_ns=offset.offset_ns if offset else None,
            offset_error_ns=offset.error_ns if offset else None,
            received_ns=0,
            attributes=attributes,
        )
        item = from_marker(marker)
        del item["seq"]
        self._put("marker", item)

    def _report(self, kind: str, time_name: str, fields: dict[str, object], action_id: str | None) -> None:
        """Put a report whose time stands in our clock: in the sidecar's, or with our clocks, for the link to correct it later."""
        now = self._wall_ns(), self._mono_ns()
        with self._changed:
            offset = self._estimator.at(*now)
        if offset is None:
            fields["told"] = now
        else:
            fields[time_name] = cast(int, fields[time_name]) + offset.offset_ns
        self._put(kind, fields if action_id is None else {**fields, "action_id": action_id})

    def _put(self, kind: str, fields: Mapping[str, object]) -> None:
        with self._changed:
            self._outbox.put(kind, fields)
            link = self._link
        if link is not None:
            self._call(link.wake)

    def _call(self, function: Callable[[], None]) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function)
