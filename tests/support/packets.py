"""Packets and capture files made by the tests, octet by octet."""

from __future__ import annotations

import ipaddress
import random
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

CLIENT, SERVER = "192.0.2.10", "192.0.2.1"
CLIENT6, SERVER6 = "2001:db8::10", "2001:db8::1"
ETHER, NULL, RAW, SLL, SLL2 = 1, 0, 101, 113, 276
FIN, SYN, RST, ACK = 1, 2, 4, 16


@dataclass(frozen=True)
class Packet:
    """What a record holds: when, the bytes that were kept, and how long the packet was."""

    time_ns: int
    data: bytes
    length: int
    interface: int = 0


def tcp(
    source: int, target: int, sequence: int, acknowledged: int, payload: int | bytes = 0, flags: int = ACK, window: int = 1000
) -> bytes:
    """A TCP segment; a number stands for so many zero bytes."""
    head = struct.pack(
        ">HHIIBBHHH", source, target, sequence & 0xFFFFFFFF, acknowledged & 0xFFFFFFFF, 5 << 4, flags, window, 0, 0
    )
    return head + (bytes(payload) if isinstance(payload, int) else payload)


def ip4(
    source: str, target: str, body: bytes, *, protocol: int = 6, total: int | None = None, word: int = 0, number: int = 7
) -> bytes:
    """An IPv4 packet; `word` is flags and fragment offset."""
    addresses = ipaddress.ip_address(source).packed + ipaddress.ip_address(target).packed
    size = 20 + len(body) if total is None else total
    return struct.pack(">BBHHHBBH", 0x45, 0, size, number, word, 64, protocol, 0) + addresses + body


def ip6(source: str, target: str, body: bytes, *, following: int = 6, extensions: bytes = b"", total: int | None = None) -> bytes:
    """An IPv6 packet; `following` is the first header after it."""
    addresses = ipaddress.ip_address(source).packed + ipaddress.ip_address(target).packed
    size = len(extensions) + len(body) if total is None else total
    return struct.pack(">IHBB", 6 << 28, size, following, 64) + addresses + extensions + body


def framed(packet: bytes, link: int = ETHER, tags: Sequence[int] = ()) -> bytes:
    """A packet on a link; `tags` are the tag protocols before the type, outermost first."""
    kind = 0x0800 if packet[0] >> 4 == 4 else 0x86DD
    if link == ETHER:
        # Each tag: its protocol, then its number.
        marks = b"".join(struct.pack(">HH", tag, 7) for tag in tags)
        return bytes(12) + marks + struct.pack(">H", kind) + packet
    if link == NULL:
        return struct.pack("<I", 2 if kind == 0x0800 else 30) + packet
    if link == SLL:
        return bytes(14) + struct.pack(">H", kind) + packet
    if link == SLL2:
        return struct.pack(">H", kind) + bytes(18) + packet
    return packet


def pcap(packets: Iterable[Packet], *, order: str = "<", nano: bool = True, link: int = ETHER) -> bytes:
    """A pcap file."""
    parts = [struct.pack(f"{order}IHHiIII", 0xA1B23C4D if nano else 0xA1B2C3D4, 2, 4, 0, 0, 262144, link)]
    for packet in packets:
        seconds, rest = divmod(packet.time_ns, 10**9)
        parts.append(struct.pack(f"{order}IIII", seconds, rest if nano else rest // 1000, len(packet.data), packet.length))
        parts.append(packet.data)
    return b"".join(parts)


def block(order: str, kind: int, body: bytes) -> bytes:
    """A pcapng block."""
    body += bytes(-len(body) % 4)
    size = struct.pack(f"{order}I", len(body) + 12)
    return struct.pack(f"{order}I", kind) + size + body + size


def section(order: str) -> bytes:
    """A pcapng section's header."""
    return block(order, 0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1))


def interface(order: str, link: int = ETHER, resolution: int | None = 9, snaplen: int = 0) -> bytes:
    """A pcapng interface; without a resolution it is microseconds."""
    options = b"" if resolution is None else struct.pack(f"{order}HHB3xHH", 9, 1, resolution, 0, 0)
    return block(order, 1, struct.pack(f"{order}HHI", link, 0, snaplen) + options)


def enhanced(order: str, packet: Packet, resolution: int = 9) -> bytes:
    """A pcapng packet."""
    binary = resolution & 0x80
    ticks = (packet.time_ns << (resolution & 0x7F)) // 10**9 if binary else packet.time_ns // 10 ** (9 - resolution)
    head = struct.pack(f"{order}IIIII", packet.interface, ticks >> 32, ticks & 0xFFFFFFFF, len(packet.data), packet.length)
    return block(order, 6, head + packet.data)


def simple(order: str, packet: Packet) -> bytes:
    """A pcapng packet without a time."""
    return block(order, 3, struct.pack(f"{order}I", packet.length) + packet.data)


def pcapng(packets: Iterable[Packet], *, order: str = "<", resolution: int = 9, link: int = ETHER) -> bytes:
    """A pcapng file of one section and one interface."""
    return section(order) + interface(order, link, resolution) + b"".join(enhanced(order, one, resolution) for one in packets)


def at(seconds: float, data: bytes, keep: int | None = None) -> Packet:
    """A packet at a time since some day in 2026; `keep` cuts it as a snap length does."""
    kept = data if keep is None else data[:keep]
    return Packet(1_795_000_000 * 10**9 + round(seconds * 1e9), kept, len(data))


def conversation(size: int = 10_000, segment: int = 1000, *, six: bool = False, port: int = 443) -> list[tuple[float, bytes]]:
    """A whole connection as IP packets with times: handshake 20 ms, a request, an answer of `size` bytes, FIN each way."""
    client, server = (CLIENT6, SERVER6) if six else (CLIENT, SERVER)
    wrap = ip6 if six else ip4

    def up(sequence: int, acknowledged: int, payload: int = 0, flags: int = ACK) -> bytes:
        return wrap(client, server, tcp(50000, port, sequence, acknowledged, payload, flags))

    def down(sequence: int, acknowledged: int, payload: int = 0, flags: int = ACK) -> bytes:
        return wrap(server, client, tcp(port, 50000, sequence, acknowledged, payload, flags))

    packets = [
        (0.0, up(100, 0, 0, SYN)),
        (0.019, down(900, 101, 0, SYN | ACK)),
        (0.020, up(101, 901)),
        (0.021, up(101, 901, 50)),
        (0.040, down(901, 151)),
    ]
    moment, sent = 0.041, 0
    while sent < size:
        part = min(segment, size - sent)
        packets.append((moment, down(901 + sent, 151, part)))
        sent += part
        packets.append((moment + 0.0001, up(151, 901 + sent)))
        moment += 0.001
    packets += [
        (moment, down(901 + size, 151, 0, FIN | ACK)),
        (moment + 0.001, up(151, 902 + size, 0, FIN | ACK)),
        (moment + 0.002, down(902 + size, 152)),
    ]
    return packets


def troubled(dice: random.Random, port: int, begin: float, count: int) -> list[tuple[float, bytes]]:
    """A connection that loses, repeats and delays segments, closes windows, probes, and goes round 2^32: times and IP packets."""
    base = {False: dice.choice([1, 900, 2**31 - 700, 2**32 - 3000]), True: dice.choice([1, 900, 2**31 - 700, 2**32 - 3000])}
    following = dict(base)
    acknowledged = dict(base)
    moment, packets = begin, []
    calm = dice.choice([4, 40, 400])

    def add(down: bool, sequence: int, number: int, payload: int = 0, flags: int = ACK, window: int = 500) -> None:
        source, target = (SERVER, CLIENT) if down else (CLIENT, SERVER)
        ends = (443, port) if down else (port, 443)
        packets.append((moment, ip4(source, target, tcp(*ends, sequence, number, payload, flags, window))))

    if dice.random() < 0.8:
        add(False, base[False] - 1, 0, 0, SYN)
        moment += 0.03
        add(True, base[True] - 1, base[False], 0, SYN | ACK)
        moment += dice.choice([0, 0.0001])
        add(False, base[False], base[True])
    for _ in range(count):
        moment += dice.choice([0, 0.0001, 0.0001, 0.0001, 0.004, 0.025, 0.3])
        down = dice.random() < 0.7
        kinds = ["data"] * calm + ["ack"] * calm + ["repeat", "repeat", "hole", "fill", "probe", "full", "odd", "fin", "syn"]
        kind = dice.choice(kinds)
        payload = dice.choice([1, 100, 100, 1448]) if kind in ("data", "repeat", "hole", "fill") else 0
        sequence, flags, window = following[down], ACK, dice.choice([500] * 9 + [400])
        if kind in ("repeat", "fill"):
            sequence -= dice.choice([1, 100, 300, 1448])
        elif kind == "hole":
            sequence += dice.choice([100, 1448])
        elif kind == "probe":
            sequence, payload = sequence - dice.randrange(2), dice.randrange(2)
        elif kind == "full":
            window = 0
        elif kind == "odd":
            flags = dice.choice([RST, RST | ACK, 0])
        elif kind in ("fin", "syn"):
            flags = FIN | ACK if kind == "fin" else SYN | dice.choice([0, ACK])
            sequence = sequence if kind == "fin" else base[down] - dice.choice([1, 1, 77])
        number = acknowledged[down] = max(acknowledged[down], following[not down] - dice.choice([0, 0, 0, 0, 100, 1448]))
        add(down, sequence, number + dice.choice([0] * 30 + [5000]), payload, flags, window)
        following[down] = max(following[down], sequence + payload + (kind == "fin"))
    return packets
