"""The reference dissector: the same numbers from `tshark`, one line of fields per packet, read as it comes."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from replay.packets.faults import DissectorError
from replay.packets.files import NO_TIME, opened, reader_of
from replay.packets.headers import TCP, UDP, Longs
from replay.packets.model import CaptureMetrics, Server
from replay.packets.rows import NO_CONNECTION, ConnectionFacts, Rows, Selection, halves
from replay.packets.tcp import LOST, OUT_OF_ORDER, RETRANSMITTED, ZERO_WINDOW
from replay.packets.tls import VERSIONS
from replay.packets.totals import Totals

FIELDS = (
    "frame.time_epoch",
    "frame.len",
    "frame.cap_len",
    "frame.encap_type",
    "frame.protocols",
    "ip.src",
    "ip.dst",
    "ip.len",
    "ip.hdr_len",
    "ip.proto",
    "ip.flags.mf",
    "ip.frag_offset",
    "ipv6.src",
    "ipv6.dst",
    "ipv6.plen",
    "ipv6.fraghdr.nxt",
    "ipv6.fraghdr.more",
    "ipv6.fraghdr.offset",
    "tcp.stream",
    "tcp.srcport",
    "tcp.dstport",
    "udp.srcport",
    "udp.dstport",
    "tcp.len",
    "tcp.hdr_len",
    "tcp.analysis.retransmission",
    "tcp.analysis.out_of_order",
    "tcp.analysis.lost_segment",
    "tcp.analysis.zero_window",
    "tcp.analysis.initial_rtt",
    "tls.handshake.type",
    "tls.handshake.length",
    "tls.handshake.version",
    "tls.handshake.extensions.supported_version",
)
#: what a person may have set otherwise in their own Wireshark
PREFERENCES = (
    "ip.defragment:TRUE",
    "ip.tso_support:TRUE",
    "ipv6.defragment:TRUE",
    "ipv6.tso_support:TRUE",
    "tcp.analyze_sequence_numbers:TRUE",
    "tcp.fastrt_supersedes_ooo:TRUE",
    "tcp.desegment_tcp_streams:TRUE",
)
OPTIONS = ("-n", *(part for preference in PREFERENCES for part in ("-o", preference)))
#: Wireshark's own numbers of link types -> ours
_LINKS = {
    1: "ether",
    7: "rawip",
    15: "null",
    16: "loop",
    25: "linux-sll",
    129: "rawip4",
    130: "rawip6",
    158: "netlink",
    210: "linux-sll2",
}
_BLOCK = 8192
_TOLD = re.compile(r"^Last error line: (.+)$", re.MULTILINE)
_PATH = re.compile(r'"[^"]*"')

Packet = Mapping[str, str]


def program() -> str:
    """Where tshark is. Raises DissectorError."""
    found = shutil.which("tshark")
    if found is None:
        raise DissectorError("tshark is not installed", "install it (Debian: apt install tshark), or use --dissector own")
    return found


def read_with_tshark(path: Path, server: Server, totals: Totals, progress: Callable[[int], None]) -> CaptureMetrics:
    """One pass of tshark over the file."""
    recognise(path)
    command = [program(), "-r", str(path), *OPTIONS, "-T", "fields", "-E", "occurrence=f", "-E", "separator=/t"]
    for field in FIELDS:
        command += ["-e", field]
    return collected("tshark", command, server, totals, progress)


def read_with_pyshark(path: Path, server: Server, totals: Totals, progress: Callable[[int], None]) -> CaptureMetrics:
    """One pass of pyshark in a process of its own: it takes over the event loop and child watcher of the one it runs in."""
    recognise(path)
    command = [sys.executable, "-m", "replay.packets.reference_pyshark", program(), str(path)]
    return collected("pyshark", command, server, totals, progress)


def collected(name: str, command: list[str], server: Server, totals: Totals, progress: Callable[[int], None]) -> CaptureMetrics:
    """The numbers from a program that prints a line of FIELDS per packet."""
    collector = Collector(server, totals, progress)
    with tempfile.TemporaryFile("w+", encoding="utf-8") as complaints:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=complaints, text=True, encoding="utf-8") as child:
            try:
                assert child.stdout is not None  # noqa: S101  (for the type checker)
                collector.take(dict(zip(FIELDS, line.rstrip("\n").split("\t"), strict=False)) for line in child.stdout)
            except BaseException:
                child.kill()
                raise
        complaints.seek(0)
        said = complaint(complaints.read())
    if child.returncode and (not said or (not collector.packets_read and "cut short" not in said)):
        why = said or f"status {child.returncode}"
        raise DissectorError(f"{name} could not read the file ({why})", "read it with --dissector own")
    return collector.metrics(name, said if child.returncode else None)


def recognise(path: Path) -> None:
    """Refuse what is no capture in our words, not in tshark's."""
    file, source = opened(path, 4096)
    with file:
        reader_of(source, str(path))


def complaint(text: str) -> str:
    """The last thing tshark said, without the file's name."""
    told = _TOLD.findall(text)  # pyshark hands on what tshark said
    lines = told or [line for line in text.splitlines() if line.strip() and not line.startswith("Running as user")]
    return _PATH.sub("", lines[-1].removeprefix("tshark: ")).replace("  ", " ") if lines else ""


class Collector:
    """From tshark's fields to rows and totals."""

    def __init__(self, server: Server, totals: Totals, progress: Callable[[int], None]) -> None:
        self._selection = Selection(server)
        self._totals = totals
        self._progress = progress
        self._streams: dict[str, int] = {}
        self._facts: list[ConnectionFacts] = []
        self._spoke: set[int] = set()
        self._links: set[str] = set()
        self._halves: dict[str, tuple[int, int]] = {}
        self.packets_read = 0
        self._snapped = 0
        self._bytes = 0

    def take(self, packets: Iterable[Packet]) -> None:
        """All packets of a file, in blocks."""
        for block in _blocks(packets):
            internet = []
            for packet in block:
                encapsulation = packet.get("frame.encap_type")
                if not encapsulation:
                    continue  # a block of the file that is no packet
                self.packets_read += 1
                captured = int(packet["frame.cap_len"])
                self._snapped += captured < int(packet["frame.len"])
                self._bytes += captured + 16
                self._links.add(_LINKS.get(int(encapsulation), f"number {encapsulation} of Wireshark"))
                if packet.get("ip.src") or packet.get("ipv6.src"):
                    internet.append(packet)
            if internet:
                self._totals.add(self._rows(internet))
            self._progress(self._bytes)

    def metrics(self, dissector: str, broken: str | None) -> CaptureMetrics:
        """When all are taken."""
        return CaptureMetrics(
            whole=self._totals.whole(self._facts),
            windows=self._totals.windows(self._facts),
            connections=self._totals.connections(self._facts),
            throughput=self._totals.throughput(),
            packets_read=self.packets_read,
            snapped=self._snapped,
            link_type="+".join(sorted(self._links)),
            dissector=dissector,
            broken=broken,
        )

    def _rows(self, packets: list[Packet]) -> Rows:
        layers = [_layers(packet) for packet in packets]
        six = [network == "ipv6" for network, _ in layers]
        source = [self._half(packet["ipv6.src" if v6 else "ip.src"]) for packet, v6 in zip(packets, six, strict=True)]
        target = [self._half(packet["ipv6.dst" if v6 else "ip.dst"]) for packet, v6 in zip(packets, six, strict=True)]
        transport = [next_layer if next_layer in ("tcp", "udp") else "" for _, next_layer in layers]
        fragment = [_is_fragment(packet, v6) for packet, v6 in zip(packets, six, strict=True)]
        ports = [
            tuple(_number(packet, f"{layer}.{end}port") if layer else 0 for end in ("src", "dst"))
            for packet, layer in zip(packets, transport, strict=True)
        ]
        # A datagram's ports are at hand in the packet that completes it, but its parts count by address alone.
        shown = [(0, 0) if part else both for part, both in zip(fragment, ports, strict=True)]
        protocol = [_protocol(packet, layer) for packet, layer in zip(packets, transport, strict=True)]
        counts, from_server = self._selection.of(
            _columns(source),
            _columns(target),
            (np.array([one for one, _ in shown]), np.array([other for _, other in shown])),
            np.array(protocol),
            np.array(fragment, np.bool_),
        )
        chosen = np.flatnonzero(counts).tolist()
        down = from_server[counts]
        number, payload = [], []
        for row, is_down in zip(chosen, down.tolist(), strict=True):
            packet = packets[row]
            segment = transport[row] == "tcp" and bool(packet.get("tcp.len"))
            if segment and (self._selection.port is None or self._selection.port in ports[row]):
                number.append(self._connection(packet, ports[row], is_down))
            else:
                number.append(NO_CONNECTION)
            payload.append(_number(packet, "tcp.len") if segment else 0)
        followed = [packets[row] if one != NO_CONNECTION else {} for row, one in zip(chosen, number, strict=True)]
        return Rows(
            time_ns=np.array([_nanoseconds(packets[row].get("frame.time_epoch")) for row in chosen], np.int64),
            down=down,
            size=np.array([_size(packets[row], six[row]) for row in chosen], np.int64),
            payload=np.array(payload, np.int64),
            connection=np.array(number, np.int64),
            marks=np.array([_marks(packet) for packet in followed], np.int64),
        )

    def _half(self, address: str) -> tuple[int, int]:
        known = self._halves.get(address)
        if known is None:
            known = halves(address)
            if len(self._halves) < 65536:
                self._halves[address] = known
        return known

    def _connection(self, packet: Packet, ports: tuple[int, ...], down: bool) -> int:
        """The number of a packet's connection, and what it adds to what is known of it."""
        number = self._streams.setdefault(packet["tcp.stream"], len(self._facts))
        if number == len(self._facts):
            client, server = (ports[1], ports[0]) if down else (ports[0], ports[1])
            self._facts.append(ConnectionFacts(client, server))
        facts = self._facts[number]
        if facts.rtt_ns is None and packet.get("tcp.analysis.initial_rtt"):
            facts.rtt_ns = _nanoseconds(packet["tcp.analysis.initial_rtt"])
        if facts.tls is None and packet.get("tls.handshake.type") == "2":
            facts.tls = _version(packet)
        return number


def _blocks(packets: Iterable[Packet]) -> Iterator[list[Packet]]:
    block: list[Packet] = []
    for packet in packets:
        block.append(packet)
        if len(block) == _BLOCK:
            yield block
            block = []
    if block:
        yield block


def _layers(packet: Packet) -> tuple[str, str]:
    """The outermost IP and what it carries, past the extension headers."""
    names = packet.get("frame.protocols", "").split(":")
    for at, name in enumerate(names):
        if name in ("ip", "ipv6"):
            rest = [one for one in names[at + 1 :] if not one.startswith("ipv6.") and one != "ah"]
            return name, rest[0] if rest else ""
    return "ip" if packet.get("ip.src") else "ipv6", ""


def _protocol(packet: Packet, transport: str) -> int:
    if transport:
        return TCP if transport == "tcp" else UDP
    return _number(packet, "ip.proto") or _number(packet, "ipv6.fraghdr.nxt")


def _is_fragment(packet: Packet, six: bool) -> bool:
    more, offset = ("ipv6.fraghdr.more", "ipv6.fraghdr.offset") if six else ("ip.flags.mf", "ip.frag_offset")
    return bool(_number(packet, more) or _number(packet, offset))


def _size(packet: Packet, six: bool) -> int:
    """All bytes at the IP layer; where the header has no length (offloaded), what its parts add up to."""
    headers = 40 if six else _number(packet, "ip.hdr_len")
    given = _number(packet, "ipv6.plen" if six else "ip.len")
    if given:
        return given + 40 if six else given
    return headers + _number(packet, "tcp.hdr_len") + _number(packet, "tcp.len")


def _marks(packet: Packet) -> int:
    return (
        RETRANSMITTED * bool(packet.get("tcp.analysis.retransmission"))
        | OUT_OF_ORDER * bool(packet.get("tcp.analysis.out_of_order"))
        | LOST * bool(packet.get("tcp.analysis.lost_segment"))
        | ZERO_WINDOW * bool(packet.get("tcp.analysis.zero_window"))
    )


def _version(packet: Packet) -> str | None:
    chosen = packet.get("tls.handshake.extensions.supported_version")
    if chosen:
        return VERSIONS.get(int(chosen, 0))
    legacy = int(packet.get("tls.handshake.version") or "0", 0)
    captured = int(packet["frame.cap_len"]) - int(packet["frame.len"]) + _number(packet, "tcp.len")
    if legacy >= 0x0303 and captured < 9 + _number(packet, "tls.handshake.length"):
        return None  # the extension that tells 1.3 from 1.2 may have been cut off
    return VERSIONS.get(legacy)


def _number(packet: Packet, field: str) -> int:
    text = packet.get(field)
    if not text:
        return 0
    return {"True": 1, "False": 0}.get(text) if text in ("True", "False") else int(text, 0)  # type: ignore[return-value]


def _nanoseconds(text: str | None) -> int:
    """From decimal seconds, exactly."""
    if not text:
        return NO_TIME
    seconds, _, fraction = text.partition(".")
    return int(seconds) * 10**9 + int(f"{fraction:0<9}"[:9])


def _columns(pairs: list[tuple[int, int]]) -> tuple[Longs, Longs]:
    both = np.array(pairs, np.uint64)
    return both[:, 0], both[:, 1]
