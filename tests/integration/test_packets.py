"""Real transfers, captured by tcpdump and dumpcap: all dissectors must say the same, and the truth."""

from __future__ import annotations

import dataclasses
import gzip
import random
import ssl
from pathlib import Path
from typing import Any

import pytest

from replay.packets import CaptureMetrics, Server, Window, read_metrics
from tests.support import packets as make
from tests.support.packets_net import SERVER4, SERVER6, Line, cable, captured, download, head, lossy, server_tls, tagged


def told(metrics: CaptureMetrics) -> dict[str, Any]:
    """Everything but who read it."""
    return {key: value for key, value in metrics.to_json().items() if key != "dissector"}


def all_agree(
    file: Path, server: Server, windows: tuple[Window, ...] = (), names: tuple[str, ...] = ("tshark",)
) -> CaptureMetrics:
    own = read_metrics(file, server, windows=windows)
    for name in names:
        assert told(read_metrics(file, server, windows=windows, dissector=name)) == told(own), name
    return own


def test_losses_on_a_slow_line_are_counted_as_by_the_reference_and_as_they_happened(tmp_path: Path) -> None:
    line = Line(delay_s=0.01, drops=frozenset({40, 90, 91, 200, 333, 500, 501, 502, 800}))
    file = tmp_path / "lossy.pcap"
    size = 3_000_000
    with lossy(line) as (client, server, device), captured(client, device, file):
        arrived = download(client, server, SERVER4, size)
    whole = all_agree(file, Server(frozenset({SERVER4}), 8080), names=("tshark", "pyshark")).whole
    assert arrived == size + len(head(size))
    assert line.dropped == len(line.drops)
    assert whole.retransmitted + whole.out_of_order == whole.down_retransmitted + whole.down_out_of_order == line.late
    assert whole.lost == line.jumps > 0
    # Segments that were lost may come again as fewer, larger ones, so the law is one of bytes: each came again, and what had
    # been overtaken came late.
    assert line.missing_bytes == 0
    assert line.late_bytes >= line.hole_bytes > 0
    assert whole.down_payload == arrived + line.twice_bytes
    assert whole.handshake_rtt_ns is not None
    assert whole.handshake_rtt_ns > 2 * line.delay_s * 1e9


@pytest.mark.parametrize(("command", "address"), [("tcpdump", SERVER4), ("dumpcap", SERVER6)])
def test_a_clean_download_is_the_same_for_all(tmp_path: Path, command: str, address: str) -> None:
    file = tmp_path / ("clean.pcap" if command == "tcpdump" else "clean.pcapng")
    size = 4_000_000
    with cable() as (client, server, device), captured(client, device, file, command):
        arrived = download(client, server, address, size)
    own = all_agree(file, Server(frozenset({address}), 8080))
    assert arrived == size + len(head(size))
    assert own.whole.connections == 1
    assert own.whole.down_payload - arrived in range(200_000)  # what was sent again, if the machine was very busy
    header = 20 if address == SERVER4 else 40
    assert own.whole.down_bytes >= own.whole.down_payload + own.whole.down_packets * (header + 32)
    assert own.whole.down_bytes > 20 * own.whole.up_bytes
    assert own.snapped > 2000
    assert sum(own.throughput.down_bytes) == own.whole.down_bytes


def test_windows_split_a_session_by_time_and_port_and_vlan_do_not_matter(tmp_path: Path) -> None:
    plain, file, address = tmp_path / "plain.pcap", tmp_path / "vlan.pcap", SERVER4
    with cable() as (client, server, device), captured(client, device, plain):
        for size in (1_000_000, 2_000_000):
            download(client, server, address, size)
        download(client, server, address, 1_500_000, port=8081)
    tagged(plain, file, 7)
    first = read_metrics(file, Server(frozenset({address}), 8080))
    begin, middle, end = (
        first.connections[0].metrics.first_ns,
        first.connections[1].metrics.first_ns,
        first.connections[1].metrics.last_ns,
    )
    assert begin is not None
    assert middle is not None
    assert end is not None
    windows = (Window("one", begin, middle), Window("two", middle, end + 1), Window("none", 0, begin))
    own = all_agree(file, Server(frozenset({address}), 8080), windows)
    both = own.windows["one"], own.windows["two"]
    assert sum(one.down_bytes for one in both) == own.whole.down_bytes
    assert both[1].down_payload > both[0].down_payload > 1_000_000
    assert own.windows["none"].packets == 0
    assert own.whole.connections == 2
    assert all_agree(file, Server(frozenset({address}))).whole.connections == 3


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_tls_version_is_the_one_that_was_spoken(tmp_path: Path, version: ssl.TLSVersion) -> None:
    file = tmp_path / "tls.pcapng"
    with cable() as (client, server, device), captured(client, device, file, "dumpcap", snaplen=256):
        download(client, server, SERVER4, 100_000, tls=server_tls(tmp_path, version), port=8443)
    own = all_agree(file, Server(frozenset({SERVER4}), 8443))
    assert own.whole.tls_versions == ({"TLSv1_2": "TLS 1.2", "TLSv1_3": "TLS 1.3"}[version.name],)


def test_what_could_be_read_of_a_damaged_file_agrees(tmp_path: Path) -> None:
    whole = tmp_path / "whole.pcap"
    with cable() as (client, server, device), captured(client, device, whole):
        download(client, server, SERVER4, 1_000_000)
    server_end = Server(frozenset({SERVER4}))
    data = whole.read_bytes()
    packed = tmp_path / "whole.pcap.gz"
    packed.write_bytes(gzip.compress(data))
    assert told(all_agree(packed, server_end)) == told(read_metrics(whole, server_end))
    cut = tmp_path / "cut.pcap"
    at = 24  # within a record: at its edge the file would be whole
    while at < len(data) // 2:
        at += 16 + int.from_bytes(data[at + 8 : at + 12], "little")
    cut.write_bytes(data[: at + 21])
    own, reference = (read_metrics(cut, server_end, dissector=name) for name in ("own", "tshark"))
    assert own.broken
    assert "at byte" in own.broken
    assert reference.broken
    assert dataclasses.replace(reference, broken=None, dissector="") == dataclasses.replace(own, broken=None, dissector="")


def test_every_connection_of_a_troubled_capture_is_judged_as_by_the_reference(tmp_path: Path) -> None:
    dice = random.Random(20)
    packets = [one for port in range(20_000, 20_120) for one in make.troubled(dice, port, dice.random(), dice.choice([30, 200]))]
    file = tmp_path / "troubled.pcap"
    file.write_bytes(make.pcap(make.at(moment, make.framed(packet), 60) for moment, packet in sorted(packets)))
    whole = all_agree(file, Server(frozenset({make.SERVER}))).whole
    assert whole.connections > 120  # ports used again
    assert min(whole.retransmitted, whole.out_of_order, whole.lost, whole.zero_windows) > 100
