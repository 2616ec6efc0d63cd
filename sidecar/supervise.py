"""The one supervisor: keeps the sidecar's loops alive, each in its own thread; what dies is started again with growing pauses."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Protocol

from sidecar.clock import Clock
from sidecar.errors import Fault
from sidecar.model.records import Gap
from sidecar.model.sink import Sink

log = logging.getLogger(__name__)

_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 30.0
#: a part that ran for so long before it died starts with the first pause again
_STEADY_NS = 60_000_000_000


class Part(Protocol):
    """A loop of the sidecar."""

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; may end with any error."""

    def health(self) -> Mapping[str, int | float | str]:
        """Numbers about itself."""


class Supervised:
    """One part under supervision: its thread, how often it died, and the gap that its absence leaves.

    A Fault is said in one line, once until it changes; anything else is a mistake of ours and is logged whole. Either way the
    part is started again and nothing else is taken down.
    """

    def __init__(self, name: str, part: Part, sink: Sink, clock: Clock, stop: threading.Event) -> None:
        self.name = name
        self.part = part
        self._sink = sink
        self._clock = clock
        self._stop = stop
        self._thread = threading.Thread(target=self._keep, name=name, daemon=True)
        self._said = ""
        self._since_ns: int | None = None
        self.deaths = 0
        self.trouble = ""

    def start(self) -> None:
        self._thread.start()

    def join(self, timeout_s: float) -> bool:
        """Wait for its end after `stop` was set; whether it has ended."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _keep(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while not self._stop.is_set():
            began_ns = self._clock.mono_ns()
            self._end_gap()
            self.trouble = ""
            try:
                self.part.run(self._stop)
            except Fault as fault:
                self._died(str(fault), None)
            except Exception as error:  # noqa: BLE001  (the supervisor: one part's mistake must not end the others)
                self._died(f"{type(error).__name__} in {self.name}: this is a defect; it was started again", error)
            else:
                if self._stop.is_set():
                    return
                self._died(f"{self.name} ended by itself: it was started again", None)
            if self._clock.mono_ns() - began_ns > _STEADY_NS:
                pause_s = _FIRST_PAUSE_S
                self._said = ""
            self._clock.wait(self._stop, pause_s)
            pause_s = min(_LONGEST_PAUSE_S, pause_s * 2)

    def _died(self, why: str, error: Exception | None) -> None:
        self.deaths += 1
        self.trouble = why
        if self._since_ns is None:
            self._since_ns = self._clock.wall_ns()
        if why != self._said:
            self._said = why
            log.error("%s", why, exc_info=error)

    def _end_gap(self) -> None:
        if self._since_ns is not None:
            start_ns, self._since_ns = self._since_ns, None
            end_ns = max(start_ns, self._clock.wall_ns())
            self._sink.put(
                [Gap(part=self.name, subject="", start_ns=start_ns, end_ns=end_ns, reason="the collector was not running")]
            )
