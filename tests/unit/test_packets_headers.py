"""Headers: whatever carries an IP packet, and however much of it was kept, the numbers are the same."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from replay.packets import CaptureMetrics, Server, read_metrics
from tests.support import packets as make

SERVER = Server(frozenset({make.SERVER, make.SERVER6}))


def of(tmp_path: Path, frames: list[make.Packet], link: int = make.ETHER, server: Server = SERVER) -> CaptureMetrics:
    file = tmp_path / "capture.pcap"
    file.write_bytes(make.pcap(frames, link=link))
    return read_metrics(file, server)


def plain(tmp_path: Path, six: bool = False) -> CaptureMetrics:
    return of(tmp_path, [make.at(moment, make.framed(packet)) for moment, packet in make.conversation(six=six)])


@pytest.mark.parametrize("six", [False, True], ids=["v4", "v6"])
def test_a_conversation_is_counted_at_the_ip_layer(tmp_path: Path, six: bool) -> None:
    whole = plain(tmp_path, six).whole
    header = 40 if six else 20
    assert (whole.down_packets, whole.up_packets) == (14, 14)
    assert whole.down_payload == 10_000
    assert whole.up_payload == 50
    assert whole.down_bytes == 10_000 + 14 * (header + 20)
    assert whole.up_bytes == 50 + 14 * (header + 20)
    assert whole.duration_ns == 53_000_000
    assert whole.down_rate == pytest.approx(whole.down_bytes / 0.053)
    assert whole.handshake_rtt_ns == 20_000_000
    assert (whole.connections, whole.retransmitted, whole.out_of_order, whole.lost) == (1, 0, 0, 0)


@pytest.mark.parametrize("six", [False, True], ids=["v4", "v6"])
@pytest.mark.parametrize("link", [make.NULL, 108, make.RAW, 12, make.SLL, make.SLL2])
def test_every_link_gives_the_same(tmp_path: Path, link: int, six: bool) -> None:
    wrapped = make.NULL if link == 108 else link
    frames = [make.at(moment, make.framed(packet, wrapped)) for moment, packet in make.conversation(six=six)]
    assert of(tmp_path, frames, link).whole == plain(tmp_path, six).whole


@pytest.mark.parametrize("tags", [(0x8100,), (0x88A8, 0x8100), (0x9100, 0x8100)], ids=["vlan", "qinq", "old-qinq"])
@pytest.mark.parametrize("six", [False, True], ids=["v4", "v6"])
def test_tags_are_passed(tmp_path: Path, tags: tuple[int, ...], six: bool) -> None:
    frames = [make.at(moment, make.framed(packet, tags=tags)) for moment, packet in make.conversation(six=six)]
    assert of(tmp_path, frames).whole == plain(tmp_path, six).whole


def test_labels_and_sessions_are_passed(tmp_path: Path) -> None:
    labels = struct.pack(">HI", 0x8847, 100 << 12 | 64) + struct.pack(">I", 101 << 12 | 0x100 | 64)
    session = struct.pack(">HBBHHH", 0x8864, 0x11, 0, 1, 100, 0x0021)
    for between in (labels, session):
        frames = [make.at(moment, bytes(12) + between + packet) for moment, packet in make.conversation()]
        assert of(tmp_path, frames).whole == plain(tmp_path).whole


@pytest.mark.parametrize("keep", [54, 66, 96, 128])
def test_a_snapped_capture_gives_the_same_as_a_whole_one(tmp_path: Path, keep: int) -> None:
    frames = [make.at(moment, make.framed(packet), keep) for moment, packet in make.conversation()]
    found = of(tmp_path, frames)
    assert found.whole == plain(tmp_path).whole
    assert found.snapped >= 10


def test_padding_of_short_frames_does_not_count(tmp_path: Path) -> None:
    frames = [make.at(moment, make.framed(packet).ljust(60, b"\0")) for moment, packet in make.conversation()]
    assert of(tmp_path, frames).whole == plain(tmp_path).whole


def test_segments_that_the_card_cuts_later_have_their_length_from_the_frame(tmp_path: Path) -> None:
    body = make.tcp(443, 50000, 1, 1, 30_000)
    for packet in (
        make.ip4(make.SERVER, make.CLIENT, body, total=0),
        make.ip6(make.SERVER6, make.CLIENT6, body, total=0),
        make.ip4(make.SERVER, make.CLIENT, body),
    ):
        whole = of(tmp_path, [make.at(0, make.framed(packet), 128)]).whole
        assert whole.down_payload == 30_000
        assert whole.down_bytes == len(packet)


def test_extension_headers_are_passed(tmp_path: Path) -> None:
    body = make.tcp(443, 50000, 1, 1, 500)
    options = bytes([60, 0]) + bytes(6)  # hop by hop, then destination options
    destination = bytes([44, 1]) + bytes(14)
    atomic = struct.pack(">BBHI", 6, 0, 0, 99)
    packet = make.ip6(make.SERVER6, make.CLIENT6, body, following=0, extensions=options + destination + atomic)
    whole = of(tmp_path, [make.at(0, make.framed(packet))]).whole
    assert (whole.down_payload, whole.down_bytes, whole.connections) == (500, len(packet), 1)


def test_fragments_count_each_and_their_segment_once(tmp_path: Path) -> None:
    body = make.tcp(443, 50000, 1, 1, 2000)
    pieces = [(0, 800), (800, 1600), (1600, len(body))]
    four = [
        make.ip4(make.SERVER, make.CLIENT, body[begin:end], word=begin // 8 | (0x2000 if end < len(body) else 0))
        for begin, end in pieces
    ]
    six = [
        make.ip6(
            make.SERVER6,
            make.CLIENT6,
            body[begin:end],
            following=44,
            extensions=struct.pack(">BBHI", 6, 0, begin | (end < len(body)), 5),
        )
        for begin, end in pieces
    ]
    for packets in (four, six):
        for server in (SERVER, Server(SERVER.hosts, 443)):
            frames = [make.at(number / 1000, make.framed(packet)) for number, packet in enumerate(packets)]
            whole = of(tmp_path, frames, server=server).whole
            assert (whole.down_packets, whole.down_payload, whole.connections) == (3, 2000, 1)
            assert whole.down_bytes == sum(map(len, packets))


def test_only_the_servers_traffic_counts(tmp_path: Path) -> None:
    body = make.tcp(443, 50000, 1, 1, 100)
    other = make.ip4("192.0.2.99", make.CLIENT, body)
    ping = make.ip4(make.CLIENT, make.SERVER, bytes(16), protocol=1)
    answer = make.ip4(make.SERVER, make.CLIENT, make.tcp(8080, 50001, 1, 1, 7))
    frames = [make.at(number, make.framed(packet)) for number, packet in enumerate((other, ping, answer))]
    frames.append(make.at(9, bytes(12) + b"\x08\x06" + bytes(28)))
    found = of(tmp_path, frames)
    assert (found.packets_read, found.whole.up_packets, found.whole.down_packets) == (4, 1, 1)
    assert of(tmp_path, frames, server=Server(SERVER.hosts, 8080)).whole.packets == 1
    assert of(tmp_path, frames, server=Server(SERVER.hosts, 443)).whole.packets == 0


@pytest.mark.parametrize("port", [None, 443])
def test_on_loopback_the_port_tells_the_server(tmp_path: Path, port: int | None) -> None:
    here = "127.0.0.1"
    frames = [
        make.at(0, make.framed(make.ip4(here, here, make.tcp(50000, 443, 1, 1, 10)), make.NULL)),
        make.at(1, make.framed(make.ip4(here, here, make.tcp(443, 50000, 1, 11, 1000)), make.NULL)),
    ]
    whole = of(tmp_path, frames, make.NULL, Server(frozenset({here}), port)).whole
    assert (whole.up_payload, whole.down_payload, whole.connections) == (10, 1000, 1)
