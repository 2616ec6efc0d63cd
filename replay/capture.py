"""Captures the packets between this machine and the server while a repetition runs, with dumpcap or tcpdump.

Both end at once when they are told to, and lose what the kernel has not handed over yet (up to a second of traffic). A datagram
of our own (`capture_probe`) therefore has to appear in the file: at the begin, so that nothing of the session can be missed, and
at the end, so that everything before it has been written.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal

from replay.capture_interface import InterfaceError, interface_to
from replay.capture_probe import PROBE_BYTES, PROBE_FILTER, Probe
from replay.capture_process import END_S, CaptureProcess
from replay.capture_programs import (
    CaptureDiskFullError,
    CaptureDroppedError,
    CaptureError,
    CaptureNotPermittedError,
    CaptureProgramMissingError,
    Wanted,
    disk_full,
    filter_of,
    not_permitted,
)
from sidecar.model.faults import UsageFault

__all__ = [
    "SNAPLEN",
    "Capture",
    "CaptureDiskFullError",
    "CaptureDroppedError",
    "CaptureError",
    "CaptureNotPermittedError",
    "CaptureProgramMissingError",
    "CaptureResult",
    "InterfaceError",
    "find_program",
]

#: bytes kept of a packet: all headers, and a TLS 1.3 server's hello up to its version wherever the usual servers put that
SNAPLEN = 256
#: the kernel's buffer: a second and more of a full gigabit of packets cut to SNAPLEN
BUFFER_MIB = 64
_START_S = 20.0
#: how long a probe may take to appear: dumpcap is handed packets every 0.25 s and writes every 0.5 s, tcpdump does both at once;
#: at the end, what a slow disk has not taken yet comes before it
_FIRST_PROBE_S, _LAST_PROBE_S, _LOOK_S, _AGAIN_S = 6.0, 30.0, 0.02, 2.0
#: a disk with less than these bytes is full
_ROOM = 64 * 1024
#: without a probe: twice the longest of those times
_DRAIN_S = 2.5


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureResult:
    """A capture that is complete. `packets` are those in the file without our probes.

    `proof` says how its begin and end were made sure of: by a `probe` seen in the file; or, where none can be sent, by the
    program's own `word` that it listens, and a pause at the end.
    """

    path: Path
    packets: int
    dropped_by_kernel: int
    program: str
    snaplen: int
    interface: str
    proof: Literal["probe", "word"]


def find_program(named: str | None = None) -> str:
    """The full path of the program to capture with: the one named, else dumpcap, else tcpdump.

    Raises CaptureProgramMissingError, or CaptureNotPermittedError for one that this user may not start.
    """
    for name in (named,) if named else ("dumpcap", "tcpdump"):
        # tcpdump stands in /usr/sbin on some systems, which is not in everybody's path.
        for folders in (None, "/usr/bin:/usr/sbin:/sbin"):
            if path := shutil.which(name, path=folders):
                return path
            if path := shutil.which(name, mode=os.F_OK, path=folders):
                raise not_permitted(path)
    raise CaptureProgramMissingError(
        f"there is no {named or 'dumpcap and no tcpdump'}",
        "install it (apt-get install wireshark-common), or leave out --capture",
    )


class Capture:
    """One capture: `start()` returns when it is proven to run, `stop()` when everything up to then is in the file.

    `addresses` are all of the server's (IPv4, IPv6), `port` limits it to one; `interface` is found out from the route to them;
    `snaplen` are the bytes kept of each packet, `buffer_mib` the kernel's buffer. As a context manager it starts on entry; an
    exception inside ends it without a result, otherwise it is stopped (with the same errors) and `result` is there.
    No process stays behind, even if this one is killed (Linux).
    """

    def __init__(
        self,
        addresses: Collection[str],
        port: int | None,
        out: Path,
        *,
        interface: str | None = None,
        snaplen: int = SNAPLEN,
        program: str | None = None,
        buffer_mib: int = BUFFER_MIB,
        mono_s: Callable[[], float] = time.monotonic,
    ) -> None:
        if snaplen < PROBE_BYTES:
            raise UsageFault(f"{snaplen} bytes of a packet are too few", f"keep at least {PROBE_BYTES}, best {SNAPLEN}")
        if buffer_mib < 1:
            raise UsageFault(f"a buffer of {buffer_mib} MiB", "give at least 1")
        self._filter = filter_of(addresses, port, also=PROBE_FILTER)
        self._addresses = addresses
        self._interface = interface
        self._out = out
        self._snaplen = snaplen
        self._program = program
        self._buffer_mib = buffer_mib
        self._mono_s = mono_s
        self._running: CaptureProcess | None = None
        self._proven = False
        self._probes = 0
        self.result: CaptureResult | None = None

    def __enter__(self) -> Capture:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None and self._running is not None:
            self.stop()
        else:
            self.abort()

    def start(self) -> None:
        """Begin to capture. Raises CaptureError (not permitted, program missing, no such interface, …), InterfaceError."""
        if self._running is not None:
            raise UsageFault("this capture has been started already", "make a new one for each repetition")
        program = find_program(self._program)
        interface = self._interface or interface_to(self._addresses)
        self._out.unlink(missing_ok=True)
        wanted = Wanted(interface, self._filter, self._out, self._snaplen, self._buffer_mib)
        self._running = running = CaptureProcess(program, interface, wanted)
        try:
            running.wait_ready(_START_S)
            self._proven = self._prove(running, _FIRST_PROBE_S)
        except BaseException:
            self.abort()
            raise

    def stop(self) -> CaptureResult:
        """End when all packets are in the file. Raises CaptureDroppedError, or CaptureError when it ended before by itself."""
        running = self._running
        if running is None:
            raise UsageFault("this capture is not running", "start it first")
        try:
            if not self._proven:
                running.pause(_DRAIN_S)
            elif not self._prove(running, _LAST_PROBE_S):
                raise CaptureError(
                    f"the last packets were not written within {_LAST_PROBE_S:g} s", "give the machine more room, then repeat"
                )
            counts = running.end(END_S)
        finally:
            self.abort()
        if counts.dropped:
            raise CaptureDroppedError(
                f"{counts.dropped} of {counts.packets + counts.dropped} packets were dropped by the capture",
                "calm this machine, or give --out a faster disk; then repeat",
            )
        self.result = CaptureResult(
            path=self._out,
            packets=max(0, counts.packets - self._probes),
            dropped_by_kernel=counts.dropped,
            program=Path(running.program).name,
            snaplen=self._snaplen,
            interface=running.interface,
            proof="probe" if self._proven else "word",
        )
        return self.result

    def abort(self) -> None:
        """End it now, whatever it is doing; the file is left as it is."""
        running, self._running = self._running, None
        if running is not None:
            running.kill()

    def _prove(self, running: CaptureProcess, within_s: float) -> bool:
        """Whether a probe that is sent now has been written within that time; raises when the program ends meanwhile."""
        probe = Probe(running.interface, self._out)
        if not probe.send():
            return False
        begun_s = asked_s = self._mono_s()
        while not probe.written():
            now_s = self._mono_s()
            if now_s - begun_s > within_s:
                break
            if now_s - asked_s > _AGAIN_S:
                if shutil.disk_usage(self._out.parent).free < _ROOM:  # tcpdump does not notice
                    raise disk_full()
                probe.send()  # the one before may have been dropped
                asked_s = now_s
            running.pause(_LOOK_S)
        else:
            self._probes += probe.sent
            return True
        return False
