"""Linux network namespaces by name: made and removed with `ip`, entered by a system call."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from replay.lab.command import Run, must
from replay.lab.faults import LabFault
from replay.lab.pids import ends_within, identify

_FOLDER = Path("/run/netns")
_CLONE_NEWNET = 0x40000000
_PROXY = "use `--shaping proxy`, which needs no namespaces, for lan and wan"


def enter(name: str) -> None:
    """Moves the calling thread into a namespace for good; a LabFault when there is none of that name."""
    try:
        handle = os.open(_FOLDER / name, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as missing:
        raise LabFault(f"there is no network namespace {name}", "see `tracemark lab status`") from missing
    try:
        _set(handle, name)
    finally:
        os.close(handle)


@contextmanager
def entered(name: str) -> Iterator[None]:
    """Inside, this thread's new sockets belong to the namespace; those made before keep theirs."""
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        enter(name)
        try:
            yield
        finally:
            _set(own, "the thread's own")
    finally:
        os.close(own)


@dataclass(frozen=True, slots=True)
class Namespaces:
    """Makes, sets up and removes namespaces; every failure is a LabFault with `ip`'s own words."""

    run: Run

    def why_not(self) -> str | None:
        """None where namespaces can be made, else the reason in a few words."""
        if sys.platform != "linux":
            return "network namespaces are Linux's"
        if os.geteuid() != 0:
            return "only root can make network namespaces"
        try:
            self.run(["ip", "netns", "list"], timeout_s=10)
        except LabFault as fault:
            return fault.what
        return None if Path("/dev/net/tun").exists() else "/dev/net/tun is not there"

    def exists(self, name: str) -> bool:
        return (_FOLDER / name).exists()

    def add(self, name: str) -> None:
        """A new namespace with loopback up; one that is there already is somebody else's."""
        if self.exists(name):
            raise LabFault(
                f"a network namespace {name} is already there",
                f"end the lab it belongs to with `tracemark lab down --dir DIR`, or remove it with `ip netns del {name}`",
            )
        must(self.run(["ip", "netns", "add", name], timeout_s=10), "no network namespace could be made", _PROXY)
        self.ip(name, "link", "set", "lo", "up")

    def ip(self, name: str, *words: str) -> None:
        """`ip` with these words inside the namespace."""
        done = self.run(["ip", "-n", name, *words], timeout_s=10)
        must(done, f"`ip {' '.join(words)}` failed in {name}", f"install Debian's iproute2, or {_PROXY}")

    def shape(self, name: str, device: str, *qdisc: str) -> bool:
        """Sets a queueing discipline; False when the kernel does not have it."""
        return self.run(["tc", "-n", name, "qdisc", "replace", "dev", device, "root", *qdisc], timeout_s=10).status == 0

    def set(self, name: str, settings: Mapping[str, str | int]) -> None:
        """Kernel settings below /proc/sys/net of the namespace."""
        with entered(name):
            for key, value in settings.items():
                try:
                    Path("/proc/sys/net", key).write_text(f"{value}\n", encoding="ascii")
                except OSError as refused:
                    raise LabFault(f"the kernel setting net/{key} cannot be made ({refused.strerror})", _PROXY) from refused

    def remove(self, name: str) -> bool:
        """Ends the processes that are still inside and removes the namespace; False when there was none."""
        if not self.exists(name):
            return False
        self._end_processes(name)
        must(self.run(["ip", "netns", "del", name], timeout_s=10), f"{name} could not be removed", f"`ip netns del {name}`")
        return True

    def processes(self, name: str) -> tuple[int, ...]:
        """Who is inside, without this process itself."""
        if not self.exists(name):
            return ()
        listed = self.run(["ip", "netns", "pids", name], timeout_s=10)
        return tuple(pid for pid in map(int, listed.output.split()) if pid != os.getpid())

    def _end_processes(self, name: str) -> None:
        """Politely first; a process without its network could only hang, and the network lives as long as it does."""
        for number, grace_s in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
            found = [identity for pid in self.processes(name) if (identity := identify(pid)) is not None]
            for identity in found:
                with suppress(ProcessLookupError):
                    os.kill(identity.pid, number)
            deadline = time.monotonic() + grace_s
            for identity in found:
                ends_within(identity, deadline - time.monotonic())


def _set(handle: int, name: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(handle, _CLONE_NEWNET) != 0:
        reason = os.strerror(ctypes.get_errno())
        raise LabFault(f"the network namespace {name} cannot be entered ({reason})", "run this as root")
