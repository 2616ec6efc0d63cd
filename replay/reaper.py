"""Runs one program and, when it ends or the caller goes away, ends and reaps every process that it left behind.

Chromium's helpers outlive their parents for a moment; where nobody reaps orphans (containers) they would stay as zombies. This
stands between the replayer and the browser's driver, alone in its process: `python reaper.py PROGRAM ARGUMENT…` (Linux).
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

_SET_PDEATHSIG = 1
_SET_CHILD_SUBREAPER = 36
_GRACE_S = 5.0


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _children() -> list[int]:
    own = Path(f"/proc/self/task/{threading.get_native_id()}/children")
    return [int(pid) for task in own.parent.parent.iterdir() for pid in (task / "children").read_text().split()]


def _end_children(sign: signal.Signals) -> None:
    for pid in _children():
        try:
            os.kill(pid, sign)
        except ProcessLookupError:
            continue


def main(argv: Sequence[str]) -> int:
    """Run the program to its end and return its exit status."""
    _prctl(_SET_CHILD_SUBREAPER, 1)
    program = subprocess.Popen(argv, stdin=subprocess.DEVNULL, preexec_fn=lambda: _prctl(_SET_PDEATHSIG, signal.SIGKILL))
    signal.signal(signal.SIGTERM, lambda *_: program.terminate())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is the replayer's business: it closes the browser in order

    def end_with_caller() -> None:
        # Ends when the caller has closed its end, or is gone. Not through sys.stdin: its lock would hold up our own end.
        while os.read(0, 4096):
            pass
        program.terminate()

    threading.Thread(target=end_with_caller, daemon=True).start()
    status = 0
    while True:  # orphans are reaped while the program runs, too
        pid, raw = os.wait()
        if pid == program.pid:
            status = os.waitstatus_to_exitcode(raw)
            break
    _end_children(signal.SIGTERM)
    signal.signal(signal.SIGALRM, lambda *_: _end_children(signal.SIGKILL))
    signal.setitimer(signal.ITIMER_REAL, _GRACE_S, _GRACE_S)
    try:
        while True:
            os.wait()
    except ChildProcessError:
        return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
