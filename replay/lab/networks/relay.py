"""The shaped line where the kernel has no netem: carries packets between two TUN devices, late and at a rate.

`python -m replay.lab.networks.relay --near NS --far NS --device NAME --link 9.1ms,100mbit,100mbit`
"""

from __future__ import annotations

import argparse
import fcntl
import os
import select
import signal
import struct
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from types import FrameType

from replay.lab.networks.lane import Lane
from replay.lab.networks.link import Link
from replay.lab.networks.namespaces import entered

_TUNSETIFF = 0x400454CA
_IFF_TUN_NO_PI = 0x1001
_LARGEST = 65536
_AT_ONCE = 64
#: packets on their way in one direction; a line without a rate still holds only so many
_MOST = 20_000


class Way:
    """One direction: packets that wait for their time, in order, bounded."""

    def __init__(self, lane: Lane, most: int = _MOST) -> None:
        self.lane = lane
        self.carried = 0
        self._most = most
        self._waiting: deque[tuple[int, bytes]] = deque()

    def take(self, packet: bytes, now_ns: int) -> None:
        """A packet enters; a full line loses it."""
        if len(self._waiting) >= self._most:
            self.lane.dropped += 1
        elif (due_ns := self.lane.enter(len(packet), now_ns)) is not None:
            self._waiting.append((due_ns, packet))

    def give(self, now_ns: int, write: Callable[[bytes], object]) -> None:
        """Writes all whose time has come."""
        while self._waiting and self._waiting[0][0] <= now_ns:
            try:
                write(self._waiting.popleft()[1])
            except OSError:  # the device at the other end is down or full: so is a line that is cut
                self.lane.dropped += 1
            else:
                self.carried += 1

    @property
    def next_ns(self) -> int | None:
        """When the next one is due, None when nothing waits."""
        return self._waiting[0][0] if self._waiting else None


def carry(
    near: int, far: int, up: Way, down: Way, stopped: Callable[[], bool], now: Callable[[], int] = time.monotonic_ns
) -> None:
    """Carries between two non-blocking handles, one packet per read, until told to stop."""
    ways = ((near, far, up), (far, near, down))
    while not stopped():
        due = [way.next_ns for _, _, way in ways if way.next_ns is not None]
        pause_s = max(0, min(due) - now()) / 1e9 if due else 1.0
        ready, _, _ = select.select([near, far], [], [], pause_s)
        for source, target, way in ways:
            if source in ready:
                _read(source, way, now)
            way.give(now(), partial(os.write, target))


def main(argv: Sequence[str]) -> int:
    """Runs until SIGTERM; then says in one line what passed and what was lost."""
    parser = argparse.ArgumentParser(prog="relay")
    for name in ("--near", "--far", "--device", "--link"):
        parser.add_argument(name, required=True)
    wanted = parser.parse_args(argv)
    link = Link.parse(wanted.link)
    stopped: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        stopped.append(number)

    signal.signal(signal.SIGTERM, stop)
    near, far = _tun(wanted.near, wanted.device), _tun(wanted.far, wanted.device)
    up = Way(Lane(delay_ns=link.delay_ns, bits=link.up_bits, loss=link.loss))
    down = Way(Lane(delay_ns=link.delay_ns, bits=link.down_bits, loss=link.loss))
    print(f"carrying between {wanted.near} and {wanted.far}: {link}", flush=True)
    carry(near, far, up, down, lambda: bool(stopped))
    print(f"up {up.carried} packets, {up.lane.dropped} lost; down {down.carried}, {down.lane.dropped} lost", flush=True)
    return 0


def _read(source: int, way: Way, now: Callable[[], int]) -> None:
    for _ in range(_AT_ONCE):
        try:
            packet = os.read(source, _LARGEST)
        except BlockingIOError:
            return
        way.take(packet, now())


def _tun(namespace: str, device: str) -> int:
    with entered(namespace):
        handle = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(handle, _TUNSETIFF, struct.pack("16sH14x", device.encode("ascii"), _IFF_TUN_NO_PI))
    return handle


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
