"""Waiting for a condition, with a deadline that only a failure reaches."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(predicate: Callable[[], T], what: str, timeout_s: float = 60.0) -> T:
    """Return the predicate's first true value; fail with `what` when the deadline passes."""
    deadline = time.monotonic() + timeout_s
    pause = threading.Event()
    while not (value := predicate()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_s:g} s for {what}")
        pause.wait(0.02)
    return value
