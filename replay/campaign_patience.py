"""How often a repetition that failed is played again, and after which pause; pure."""

from __future__ import annotations

from dataclasses import dataclass

from replay.failures import TRIED_AGAIN, WAITED_FOR, Failure

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """`attempts` at one repetition; `timeout_s` for as long as the site cannot be reached; changes of the route in the run."""

    repetitions: int = 1
    attempts: int = 3
    timeout_s: float = 600.0
    route_changes: int = 10


class Patience:
    """That with one repetition. Pauses double from FIRST_PAUSE_S to LONGEST_PAUSE_S while the site cannot be reached."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._tries = 0
        self._since_s: float | None = None
        self._pause_s = FIRST_PAUSE_S

    def pause_s(self, failure: Failure, now_s: float) -> float | None:
        """How long to wait before it is played again; None when it is not. `now_s` is a monotonic time, in seconds."""
        if failure.kind in TRIED_AGAIN:
            self._tries += 1
            return 0.0 if self._tries < self._limits.attempts else None
        if failure.kind not in WAITED_FOR:
            return None
        self._since_s = now_s if self._since_s is None else self._since_s
        left_s = self._since_s + self._limits.timeout_s - now_s
        if left_s <= 0:
            return None
        pause_s = min(self._pause_s, left_s)
        self._pause_s = min(LONGEST_PAUSE_S, self._pause_s * 2)
        return pause_s
