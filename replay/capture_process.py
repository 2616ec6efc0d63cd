"""The capture program while it runs: started, waited for, told to end, its words read."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import deque
from pathlib import Path
from typing import IO

from replay.capture_programs import CaptureError, Counts, Wanted, command, complaint, counts_of, is_ready, not_permitted

#: how long it may take to end when it is told to
END_S = 30.0
_LINES = 200


class CaptureProcess:
    """The program while it runs, below a reaper (Linux): it ends with us, and a Ctrl-C on the terminal does not reach it."""

    def __init__(self, program: str, interface: str, wanted: Wanted) -> None:
        self.program = program
        self.interface = interface
        self._lines: deque[str] = deque(maxlen=_LINES)
        self._changed = threading.Condition()
        self._ready = self._ended = False
        before = [sys.executable, "-I", str(Path(__file__).with_name("reaper.py"))] if sys.platform == "linux" else []
        try:
            self._process = subprocess.Popen(
                [*before, *command(program, wanted)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                env={**os.environ, "LC_ALL": "C"},
                start_new_session=True,
            )
        except PermissionError as error:
            raise not_permitted(program) from error
        except OSError as error:
            raise CaptureError(f"{Path(program).name} does not start ({error.strerror})", "try it by hand") from error
        assert self._process.stderr is not None  # noqa: S101  (a pipe was asked for)
        self._reader = threading.Thread(target=self._read, args=(self._process.stderr,), name="capture-words", daemon=True)
        self._reader.start()

    def wait_ready(self, within_s: float) -> None:
        """Wait until it says that it captures; raises CaptureError when it ends instead, or is silent."""
        with self._changed:
            self._changed.wait_for(lambda: self._ready or self._ended, within_s)
            if self._ended:
                raise complaint(self.program, list(self._lines), self.interface)
            if not self._ready:
                raise CaptureError(f"{Path(self.program).name} did not begin within {within_s:g} s", "try it by hand")

    def pause(self, seconds: float) -> None:
        """Wait; raises CaptureError when it ends meanwhile."""
        with self._changed:
            if self._changed.wait_for(lambda: self._ended, seconds):
                raise complaint(self.program, list(self._lines), self.interface)

    def end(self, within_s: float) -> Counts:
        """Tell it to end, and what it counted. Raises CaptureError when it does not end, or counts nothing."""
        self._tell()
        with self._changed:
            self._changed.wait_for(lambda: self._ended, within_s)
            if not self._ended:
                raise CaptureError(f"{Path(self.program).name} did not end within {within_s:g} s", "repeat")
            lines = list(self._lines)
        counts = counts_of(lines)
        if counts is None:
            raise complaint(self.program, lines, self.interface)
        return counts

    def kill(self) -> None:
        """End it if it runs, and clear up after it."""
        self._tell()
        if self._process.poll() is None:
            try:
                self._process.wait(END_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._reader.join(END_S)
        if self._process.stderr is not None:
            self._process.stderr.close()

    def _tell(self) -> None:
        """Tell it to end: the reaper does when its input is closed."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        if sys.platform != "linux":
            self._process.terminate()

    def _read(self, words: IO[str]) -> None:
        for line in words:
            with self._changed:
                self._lines.append(line.rstrip())
                self._ready = self._ready or is_ready(line)
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()
