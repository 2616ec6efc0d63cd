"""Runs a program that cannot see the machine's networks change: `python network_blind.py PROGRAM ARGUMENT…` (Linux).

Chromium gives up every request that waits for a connection as soon as any address of the machine comes or goes
(ERR_NETWORK_CHANGED), loopback or not, and no switch or preference says otherwise. Tests that start containers or lay cables
between namespaces would so break into those that browse beside them. Without a netlink socket a browser takes its networks for
constant; Firefox keeps its requests anyway.
"""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import struct
import sys
from collections.abc import Sequence
from errno import EAFNOSUPPORT
from pathlib import Path

#: this machine -> how seccomp names it, and its number of socket(2)
_MACHINES = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
_AF_NETLINK = 16
_SET_NO_NEW_PRIVILEGES, _SET_SECCOMP, _FILTER = 38, 22, 2
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000
#: where struct seccomp_data has what
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def without_netlink() -> None:
    """Let this process, and all that it starts, get no netlink socket; does nothing on a machine that it does not know."""
    if sys.platform != "linux" or platform.machine() not in _MACHINES:
        return
    architecture, socket_number = _MACHINES[platform.machine()]
    steps = (
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 0, 5, architecture),
        (_LOAD, 0, 0, _NUMBER),
        (_EQUAL, 0, 3, socket_number),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_EQUAL, 0, 1, _AF_NETLINK),
        (_RETURN, 0, 0, _ERROR | EAFNOSUPPORT),
        (_RETURN, 0, 0, _ALLOW),
    )
    code = b"".join(struct.pack("=HBBI", *step) for step in steps)
    kept = ctypes.create_string_buffer(code, len(code))
    program = _Program(len(steps), ctypes.addressof(kept))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    if prctl(_SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0) or prctl(_SET_SECCOMP, _FILTER, ctypes.byref(program), 0, 0):
        print(f"network changes stay visible: {os.strerror(ctypes.get_errno())}", file=sys.stderr)


def blinded(name: str, folder: Path) -> bool:
    """Put a program of this name into `folder` that starts the one on PATH without netlink; False where there is none."""
    program = shutil.which(name)
    if program is None:
        return False
    script = folder / name
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I "{__file__}" "{program}" "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    return True


def main(argv: Sequence[str]) -> None:
    """Become the program."""
    without_netlink()
    os.execv(argv[0], list(argv))  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1:])
