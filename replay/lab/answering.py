"""Waiting until a server of the lab answers over HTTP."""

from __future__ import annotations

import time
from collections.abc import Callable

from replay.lab.faults import LabFault

_PAUSE_S = 0.1


def await_status(
    ask: Callable[[], int | None],
    good: Callable[[int], bool],
    *,
    timeout_s: float,
    alive: Callable[[], object],
    late: Callable[[str], LabFault],
) -> None:
    """Ask for a status (None: no answer) until it is a good one.

    `alive` is called after every other answer and raises for a process that has ended; when `timeout_s` is over, what `late`
    makes of the last answer is raised.
    """
    deadline = time.monotonic() + timeout_s
    while (status := ask()) is None or not good(status):
        alive()
        if time.monotonic() > deadline:
            raise late("no answer" if status is None else f"status {status}")
        time.sleep(_PAUSE_S)
