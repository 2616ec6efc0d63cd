"""Waiting for a program to get on: until it has written something, or has ended."""

from __future__ import annotations

import ctypes
import os
import select
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from replay.lab.faults import LabFault
from replay.lab.pids import Identity, handle_of

_IN_MODIFY = 0x2


class Wait(Protocol):
    """Returns at once when there is something new since the last call, else when there is; False when the time is over."""

    def __call__(self, within_s: float) -> bool: ...


@contextmanager
def watched(file: Path, process: Identity) -> Iterator[Wait]:
    """Tells when `file` is written to, or `process` has ended. Raises LabFault where the kernel cannot watch a file."""
    notices = _notices(file)
    try:
        with handle_of(process) as handle:
            poll = select.poll()
            poll.register(notices, select.POLLIN)
            if handle is not None:
                poll.register(handle, select.POLLIN)

            def wait(within_s: float) -> bool:
                if handle is None:
                    return True
                found = bool(poll.poll(max(0.0, within_s) * 1000))
                with suppress(BlockingIOError):
                    while os.read(notices, 4096):
                        pass
                return found

            yield wait
    finally:
        os.close(notices)


def _notices(file: Path) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    handle: int = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if handle >= 0 and libc.inotify_add_watch(handle, os.fsencode(file), _IN_MODIFY) >= 0:
        return handle
    reason = os.strerror(ctypes.get_errno())
    if handle >= 0:
        os.close(handle)
    raise LabFault(f"{file} cannot be watched ({reason})", "raise fs.inotify.max_user_instances, or end what watches many files")
