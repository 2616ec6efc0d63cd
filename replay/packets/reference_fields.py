"""What the reference dissector is asked about each packet, and what its words mean in ours."""

from __future__ import annotations

from collections.abc import Mapping

from replay.packets.files import NO_TIME
from replay.packets.headers import TCP, UDP
from replay.packets.tcp import LOST, OUT_OF_ORDER, RETRANSMITTED, ZERO_WINDOW
from replay.packets.tls import VERSIONS

#: of a packet: a field's name -> its first value as text, empty or absent where the packet has none
Packet = Mapping[str, str]

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


def link_name(number: str) -> str:
    """A packet's link type, from Wireshark's number."""
    return _LINKS.get(int(number), f"number {number} of Wireshark")


def layers_of(packet: Packet) -> tuple[str, str]:
    """The outermost IP and what it carries, past the extension headers."""
    names = packet.get("frame.protocols", "").split(":")
    for at, name in enumerate(names):
        if name in ("ip", "ipv6"):
            rest = [one for one in names[at + 1 :] if not one.startswith("ipv6.") and one != "ah"]
            return name, rest[0] if rest else ""
    return "ip" if packet.get("ip.src") else "ipv6", ""


def protocol_of(packet: Packet, transport: str) -> int:
    """The registered number of what IP carries."""
    if transport:
        return TCP if transport == "tcp" else UDP
    return number_in(packet, "ip.proto") or number_in(packet, "ipv6.fraghdr.nxt")


def is_fragment(packet: Packet, six: bool) -> bool:
    """Whether it is a part of a datagram."""
    more, offset = ("ipv6.fraghdr.more", "ipv6.fraghdr.offset") if six else ("ip.flags.mf", "ip.frag_offset")
    return bool(number_in(packet, more) or number_in(packet, offset))


def size_of(packet: Packet, six: bool) -> int:
    """All bytes at the IP layer; where the header has no length (offloaded), what its parts add up to."""
    headers = 40 if six else number_in(packet, "ip.hdr_len")
    given = number_in(packet, "ipv6.plen" if six else "ip.len")
    if given:
        return given + 40 if six else given
    return headers + number_in(packet, "tcp.hdr_len") + number_in(packet, "tcp.len")


def marks_of(packet: Packet) -> int:
    """The marks of `tcp.py`, as the reference set them."""
    return (
        RETRANSMITTED * bool(packet.get("tcp.analysis.retransmission"))
        | OUT_OF_ORDER * bool(packet.get("tcp.analysis.out_of_order"))
        | LOST * bool(packet.get("tcp.analysis.lost_segment"))
        | ZERO_WINDOW * bool(packet.get("tcp.analysis.zero_window"))
    )


def tls_version(packet: Packet) -> str | None:
    """From a server's hello; None when what is captured of it does not tell."""
    chosen = packet.get("tls.handshake.extensions.supported_version")
    if chosen:
        return VERSIONS.get(int(chosen, 0))
    legacy = int(packet.get("tls.handshake.version") or "0", 0)
    captured = int(packet["frame.cap_len"]) - int(packet["frame.len"]) + number_in(packet, "tcp.len")
    if legacy >= 0x0303 and captured < 9 + number_in(packet, "tls.handshake.length"):
        return None  # the extension that tells 1.3 from 1.2 may have been cut off
    return VERSIONS.get(legacy)


def number_in(packet: Packet, field: str) -> int:
    """A field's value; 0 without one."""
    text = packet.get(field)
    if not text:
        return 0
    return {"True": 1, "False": 0}.get(text) if text in ("True", "False") else int(text, 0)  # type: ignore[return-value]


def nanoseconds(text: str | None) -> int:
    """From decimal seconds, exactly."""
    if not text:
        return NO_TIME
    seconds, _, fraction = text.partition(".")
    return int(seconds) * 10**9 + int(f"{fraction:0<9}"[:9])
