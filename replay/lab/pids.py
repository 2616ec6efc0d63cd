"""Processes by pid file, told apart from strangers that got the same number later."""

from __future__ import annotations

import json
import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from replay.lab.faults import LabFault

PROC = Path("/proc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What no two processes share: the number, the start in clock ticks since boot, and the boot."""

    pid: int
    started_ticks: int
    boot: str


def identify(pid: int, proc: Path = PROC) -> Identity | None:
    """The process of that number, or None when there is none or it is only waiting to be collected."""
    try:
        stat = (proc / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
        boot = (proc / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None
    # The name stands in brackets and may hold anything; state is the first field after it, the start the twentieth.
    fields = stat[stat.rindex(")") + 2 :].split()
    return None if fields[0] in "ZX" else Identity(pid=pid, started_ticks=int(fields[19]), boot=boot)


@contextmanager
def handle_of(identity: Identity) -> Iterator[int | None]:
    """A file descriptor of the process, readable once all of it has ended; None when it has ended before.

    Raises LabFault where the kernel cannot tell (Linux before 5.3).
    """
    try:
        handle = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        yield None
        return
    except OSError as refused:
        raise LabFault(
            f"the kernel does not tell of the end of process {identity.pid} ({refused.strerror})", "use Linux 5.3 or newer"
        ) from refused
    try:
        # Only now: from here on the number cannot become a stranger's unnoticed.
        yield handle if identify(identity.pid) == identity else None
    finally:
        os.close(handle)


def ends_within(identity: Identity, within_s: float) -> bool:
    """Waits for the end of a process; False when it still lives after `within_s` seconds."""
    with handle_of(identity) as handle:
        return handle is None or _readable(handle, within_s)


def _readable(handle: int, within_s: float) -> bool:
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return bool(poll.poll(max(0.0, within_s) * 1000))


@dataclass(frozen=True, slots=True)
class PidFile:
    """NAME.pid holds the number alone, for everybody; NAME.identity tells whether that is still the same process."""

    path: Path

    def write(self, identity: Identity) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fields = {"pid": identity.pid, "started_ticks": identity.started_ticks, "boot": identity.boot}
        self.path.with_suffix(".identity").write_text(json.dumps(fields), encoding="utf-8")
        self.path.write_text(f"{identity.pid}\n", encoding="ascii")

    def living(self, proc: Path = PROC) -> Identity | None:
        """The process that the file was written for, if it still lives; a reused number or a new boot counts as gone."""
        try:
            fields = json.loads(self.path.with_suffix(".identity").read_text(encoding="utf-8"))
            written = Identity(pid=fields["pid"], started_ticks=fields["started_ticks"], boot=fields["boot"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return written if identify(written.pid, proc) == written else None

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self.path.with_suffix(".identity").unlink(missing_ok=True)

    def end(self, polite: signal.Signals, grace_s: float) -> None:
        """Asks the process to end, waits up to `grace_s`, then ends its whole process group; forgets the file."""
        identity = self.living()
        if identity is not None:
            with handle_of(identity) as handle:
                if handle is not None:
                    self._end(identity.pid, handle, polite, grace_s)
        self.remove()

    def _end(self, pid: int, handle: int, polite: signal.Signals, grace_s: float) -> None:
        with suppress(ProcessLookupError):  # it may have ended by itself by now
            group = os.getpgid(pid)
            signal.pidfd_send_signal(handle, polite)
            if _readable(handle, grace_s):
                return
            os.killpg(group, signal.SIGKILL)
            if not _readable(handle, grace_s):
                raise LabFault(f"process {pid} ({self.path.stem}) does not end", "end it by hand and run `lab down` again")
