"""What `dumpcap` and `tcpdump` are told and what they say: command lines, first words, statistics, complaints; pure."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from sidecar.model.faults import Fault, UsageFault


class CaptureError(Fault):
    """Packets cannot be captured."""


class CaptureNotPermittedError(CaptureError):
    """This user may not capture packets."""


class CaptureProgramMissingError(CaptureError):
    """Neither dumpcap nor tcpdump is installed."""


class CaptureDiskFullError(CaptureError):
    """There is no space left for the capture."""


class CaptureDroppedError(CaptureError):
    """Packets were lost before they were written: what the capture says would be wrong."""


@dataclass(frozen=True, slots=True)
class Counts:
    """The program's own last words: packets written, and packets that it or the kernel had to drop."""

    packets: int
    dropped: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to capture, and how."""

    interface: str
    filter: str
    out: Path
    snaplen: int
    buffer_mib: int


def filter_of(addresses: Collection[str], port: int | None, *, also: str = "") -> str:
    """The BPF filter: everything between this machine and these addresses (and that port); `also` is a further filter.

    Raises UsageFault for what is no address, or no port.
    """
    if not addresses:
        raise UsageFault("a capture needs the server's address", "give at least one")
    if port is not None and not 0 < port < 65536:
        raise UsageFault(f"{port} is no port", "give one from 1 to 65535")
    try:
        hosts = " or ".join(f"host {ipaddress.ip_address(address.partition('%')[0])}" for address in sorted(addresses))
    except ValueError as error:
        raise UsageFault(f"{error}", "give IPv4 or IPv6 addresses, no names") from error
    server = f"({hosts})" if port is None else f"({hosts}) and port {port}"
    return f"({server}) or ({also})" if also else server


def command(program: str, wanted: Wanted) -> list[str]:
    """The command line; the name of the program tells which of the two it is."""
    out, snaplen = str(wanted.out), str(wanted.snaplen)
    if is_dumpcap(program):
        # -q: no running count. -n: pcapng whatever the file is called.
        options = [
            "-q",
            "-n",
            "-i",
            wanted.interface,
            "-s",
            snaplen,
            "-B",
            str(wanted.buffer_mib),
            "-w",
            out,
            "-f",
            wanted.filter,
        ]
    else:
        # Each packet is read as soon as the kernel has it, not once a second, and (-U) is in the file as soon as it is read.
        # -Z root: else root's becomes a user who may not write there.
        options = ["-n", "--immediate-mode", "-U"]
        options += ["-i", wanted.interface, "-s", snaplen, "-B", str(wanted.buffer_mib * 1024), "-w", out]
        options += ["-Z", "root", wanted.filter] if _as_root() else [wanted.filter]
    return [program, *options]


def _as_root() -> bool:

    return hasattr(os, "geteuid") and os.geteuid() == 0


def is_dumpcap(program: str) -> bool:
    return Path(program).name.startswith("dumpcap")


def is_ready(line: str) -> bool:
    """Whether this line is said only after the socket is bound and the filter attached.

    dumpcap's `Capturing on` comes before, its `File:` after that (strace, 4.0); tcpdump's `listening on` after it (4.99).
    """
    return line.startswith("File: ") or ("listening on " in line and "link-type" in line)


_DUMPCAP_WRITTEN = re.compile(r"Packets captured: (\d+)")
_DUMPCAP_DROPPED = re.compile(r"Packets received/dropped on interface .*: \d+/(\d+)")
_TCPDUMP = re.compile(r"(\d+) packets? (captured|dropped by kernel)")


def counts_of(lines: Sequence[str]) -> Counts | None:
    """The final statistic; None when it is not there.

    dumpcap's second number of "received/dropped" is what the kernel dropped, what dumpcap dropped and what it had not written at
    its end. tcpdump's "received by filter" counts packets twice on the loopback interface, and "dropped by interface" (dumpcap's
    `ps_ifdrop`) those of everybody: neither is about this capture.
    """
    text = "\n".join(lines)
    written, dropped = _DUMPCAP_WRITTEN.search(text), _DUMPCAP_DROPPED.findall(text)
    if written and dropped:
        return Counts(int(written[1]), sum(map(int, dropped)))
    told = {what: int(number) for number, what in _TCPDUMP.findall(text)}
    if len(told) == 2:
        return Counts(told["captured"], told["dropped by kernel"])
    return None


def complaint(program: str, lines: Sequence[str], interface: str) -> CaptureError:
    """Why the program ended, from what it said."""
    name, text = Path(program).name, " ".join(" ".join(lines).split())
    lower = text.lower()
    if "permission" in lower or "not permitted" in lower:
        return not_permitted(program)
    if "no space left" in lower or "disk quota" in lower or "file too large" in lower:
        return disk_full()
    if "no device named" in lower or "no such device" in lower or "no interface" in lower:
        return CaptureError(f"there is no network interface {interface!r}", "list them with: ip link")
    if "is not up" in lower or "network is down" in lower:
        return CaptureError(f"the network interface {interface!r} is down", f"bring it up: ip link set {interface} up")
    if "could not be opened" in lower or "no such file" in lower:
        return CaptureError("the capture's file cannot be written", "check that its folder is there and may be written")
    said = next((line for line in reversed(lines) if name in line), lines[-1] if lines else "nothing")
    return CaptureError(f"{name} ended by itself ({said[:200]})", "try it by hand")


def disk_full() -> CaptureDiskFullError:
    """The error of a full disk."""
    return CaptureDiskFullError("there is no space left for the capture", "make room, then give the same command again")


def not_permitted(program: str) -> CaptureNotPermittedError:
    """The error that says how to capture without root."""
    if is_dumpcap(program):
        remedy = (
            "as root, once: `dpkg-reconfigure wireshark-common` (answer yes) and `usermod -aG wireshark USER`, then log in anew; "
            f"elsewhere than on Debian `setcap cap_net_raw,cap_net_admin=eip {program}`; or leave out --capture"
        )
    else:
        remedy = (
            "install dumpcap (`apt-get install wireshark-common`), or as root, once: "
            f"`setcap cap_net_raw,cap_net_admin=eip {program}`; or leave out --capture"
        )
    return CaptureNotPermittedError(f"this user may not capture packets with {Path(program).name}", remedy)
