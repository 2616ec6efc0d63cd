"""From the reference dissector's fields to rows and totals."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from replay.packets.headers import Longs
from replay.packets.model import CaptureMetrics, Server
from replay.packets.reference_fields import (
    Packet,
    is_fragment,
    layers_of,
    link_name,
    marks_of,
    nanoseconds,
    number_in,
    protocol_of,
    size_of,
    tls_version,
)
from replay.packets.rows import NO_CONNECTION, ConnectionFacts, Rows, Selection, halves
from replay.packets.totals import Totals

_BLOCK = 8192


class Collector:
    """Takes packets as the reference dissector tells of them, and has the metrics in the end."""

    def __init__(self, server: Server, totals: Totals, progress: Callable[[int], None]) -> None:
        self._selection = Selection(server)
        self._totals = totals
        self._progress = progress
        self._streams: dict[str, int] = {}
        self._facts: list[ConnectionFacts] = []
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
                self._links.add(link_name(encapsulation))
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
        layers = [layers_of(packet) for packet in packets]
        six = [network == "ipv6" for network, _ in layers]
        source = [self._half(packet["ipv6.src" if v6 else "ip.src"]) for packet, v6 in zip(packets, six, strict=True)]
        target = [self._half(packet["ipv6.dst" if v6 else "ip.dst"]) for packet, v6 in zip(packets, six, strict=True)]
        transport = [next_layer if next_layer in ("tcp", "udp") else "" for _, next_layer in layers]
        fragment = [is_fragment(packet, v6) for packet, v6 in zip(packets, six, strict=True)]
        ports = [
            tuple(number_in(packet, f"{layer}.{end}port") if layer else 0 for end in ("src", "dst"))
            for packet, layer in zip(packets, transport, strict=True)
        ]
        # A datagram's ports are at hand in the packet that completes it, but its parts count by address alone.
        shown = [(0, 0) if part else both for part, both in zip(fragment, ports, strict=True)]
        protocol = [protocol_of(packet, layer) for packet, layer in zip(packets, transport, strict=True)]
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
            payload.append(number_in(packet, "tcp.len") if segment else 0)
        followed = [packets[row] if one != NO_CONNECTION else {} for row, one in zip(chosen, number, strict=True)]
        return Rows(
            time_ns=np.array([nanoseconds(packets[row].get("frame.time_epoch")) for row in chosen], np.int64),
            down=down,
            size=np.array([size_of(packets[row], six[row]) for row in chosen], np.int64),
            payload=np.array(payload, np.int64),
            connection=np.array(number, np.int64),
            marks=np.array([marks_of(packet) for packet in followed], np.int64),
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
            facts.rtt_ns = nanoseconds(packet["tcp.analysis.initial_rtt"])
        if facts.tls is None and packet.get("tls.handshake.type") == "2":
            facts.tls = tls_version(packet)
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


def _columns(pairs: list[tuple[int, int]]) -> tuple[Longs, Longs]:
    both = np.array(pairs, np.uint64)
    return both[:, 0], both[:, 1]
