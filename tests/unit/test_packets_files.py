"""Capture files: whatever the format, byte order, clock and chunk, the same packets; and damage is named, never raised."""

from __future__ import annotations

import gzip
import io
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replay.packets import CaptureMetrics, Server, read_metrics
from replay.packets.faults import CaptureUnreadableError
from replay.packets.files import NO_TIME, CaptureReader, Source, reader_of
from sidecar.model.faults import UsageFault
from tests.support import packets as make
from tests.support.packets import Packet

SERVER = Server(frozenset({make.SERVER, make.SERVER6}))


def read(data: bytes, chunk: int = 1 << 20) -> tuple[list[Packet], CaptureReader]:
    """All packets, and the reader for what it says about damage."""
    reader = reader_of(Source(io.BytesIO(data), "", chunk), "the file")
    found = []
    for run in reader:
        for row in range(len(run.offset)):
            begin = int(run.offset[row])
            found.append(Packet(int(run.time_ns[row]), run.data[begin : begin + int(run.captured[row])], int(run.length[row])))
    return found, reader


def metrics_of(tmp_path: Path, data: bytes) -> CaptureMetrics:
    file = tmp_path / "capture"
    file.write_bytes(data)
    return read_metrics(file, SERVER)


@st.composite
def some_packets(draw: st.DrawFn, unit_ns: int = 1) -> list[Packet]:
    times = st.integers(0, 2**32 * 10**9 // unit_ns - 1).map(lambda ticks: ticks * unit_ns)
    kept = st.binary(max_size=40)
    return [
        Packet(time_ns, data, len(data) + more)
        for time_ns, data, more in draw(st.lists(st.tuples(times, kept, st.integers(0, 3000)), max_size=12))
    ]


@given(st.data(), st.sampled_from("<>"), st.booleans(), st.integers(1, 200))
def test_pcap_gives_back_what_was_written(data: st.DataObject, order: str, nano: bool, chunk: int) -> None:
    packets = data.draw(some_packets(1 if nano else 1000))
    found, reader = read(make.pcap(packets, order=order, nano=nano), chunk)
    assert found == packets
    assert reader.broken is None


@given(st.data(), st.sampled_from("<>"), st.sampled_from([0, 3, 6, 9]), st.integers(1, 200))
def test_pcapng_gives_back_what_was_written(data: st.DataObject, order: str, resolution: int, chunk: int) -> None:
    packets = data.draw(some_packets(10 ** (9 - resolution)))
    found, reader = read(make.pcapng(packets, order=order, resolution=resolution), chunk)
    assert found == packets
    assert reader.broken is None


@pytest.mark.parametrize("resolution", [0x80 | 10, 0x80 | 20, 0x80 | 30, 0x80 | 34])
def test_clocks_that_count_in_powers_of_two_are_read(resolution: int) -> None:
    packets = [Packet(1000 * 10**9 + 500_000_000, b"abcd", 4)]
    found, _ = read(make.pcapng(packets, resolution=resolution))
    assert abs(found[0].time_ns - packets[0].time_ns) <= 10**9 >> (resolution & 0x7F)


@given(st.integers(4, 300))
def test_sections_of_both_byte_orders_with_interfaces_of_their_own_follow_each_other(chunk: int) -> None:
    first, second, third = (make.at(number, bytes([number]) * 9) for number in (1, 2, 3))
    other = Packet(first.time_ns + 1000, b"zz", 2, interface=1)
    data = make.section("<") + make.interface("<") + make.interface("<", make.NULL, 6)
    data += make.enhanced("<", first) + make.enhanced("<", other, 6) + make.block("<", 5, bytes(20)) + make.simple("<", second)
    data += make.section(">") + make.interface(">", make.RAW, None) + make.enhanced(">", third, 6)
    found, reader = read(data, chunk)
    assert [one.data for one in found] == [b"\x01" * 9, b"zz", b"\x02" * 9, b"\x03" * 9]
    assert [one.time_ns for one in found] == [first.time_ns, other.time_ns, NO_TIME, third.time_ns]
    assert reader.broken is None


@settings(max_examples=200)
@given(st.data(), st.booleans(), st.integers(1, 200))
def test_of_a_truncated_file_all_whole_packets_are_read_and_the_place_is_named(
    data: st.DataObject, next_generation: bool, chunk: int
) -> None:
    packets = data.draw(some_packets())
    write: Callable[[list[Packet]], bytes] = make.pcapng if next_generation else make.pcap
    whole = write(packets)
    keep = data.draw(st.integers(4, len(whole)))
    found, reader = read(whole[:keep], chunk)
    sizes = [len(write(packets[:count])) for count in range(len(packets) + 1)]
    fitting = sum(size <= keep for size in sizes[1:])
    assert found == packets[:fitting]
    starts = {*sizes, *([28] if next_generation else [])}
    if keep in starts:
        assert reader.broken is None
    else:
        assert reader.broken is not None
        begin = max((start for start in starts if start < keep), default=0)
        assert f"at byte {begin if keep > min(starts) else 0} " in reader.broken


@settings(max_examples=200)
@given(st.data(), st.booleans())
def test_damage_never_raises_anything_but_a_line_for_people(data: st.DataObject, next_generation: bool) -> None:
    frames = [make.at(moment, make.framed(packet)) for moment, packet in make.conversation(3000)]
    whole = bytearray(make.pcapng(frames) if next_generation else make.pcap(frames))
    for _ in range(data.draw(st.integers(1, 5))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    if whole[:4] not in (make.pcap([])[:4], make.section("<")[:4]):
        whole[:4] = b"none"
        with pytest.raises(CaptureUnreadableError):
            read(bytes(whole), 500)
        return
    found, reader = read(bytes(whole), 500)
    assert reader.broken or found


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damaged_packets_only_change_numbers(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    frames = [make.at(moment, make.framed(packet)) for moment, packet in make.conversation(3000, six=data.draw(st.booleans()))]
    whole = bytearray(make.pcap(frames))
    for _ in range(data.draw(st.integers(1, 30))):
        whole[data.draw(st.integers(24, len(whole) - 1))] = data.draw(st.integers(0, 255))
    metrics = metrics_of(tmp_path_factory.mktemp("damaged"), bytes(whole))
    assert metrics.packets_read <= len(frames) + 100


def test_a_damaged_length_is_named_with_its_place(tmp_path: Path) -> None:
    frames = [make.at(moment, make.framed(packet)) for moment, packet in make.conversation()]
    good = len(make.pcap(frames[:4]))
    data = bytearray(make.pcap(frames))
    data[good + 8 : good + 12] = b"\xff\xff\xff\x7f"
    metrics = metrics_of(tmp_path, bytes(data))
    assert metrics.packets_read == metrics.whole.packets == 4
    assert metrics.broken == f"at byte {good} a record claims 2147483647 captured bytes, over 262144: damaged"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"\x06\x00\x00\x00\x0b\x00\x00\x00" + bytes(20), "a block claims 11 bytes"),
        (make.block("<", 1, b""), "an interface block has only 12 bytes"),
        (make.block("<", 9, bytes(8))[:-4] + bytes(4), "two lengths differ"),
        (make.enhanced("<", Packet(0, b"abcd", 4, interface=3)), "names no interface"),
        (make.block("<", 0x0A0D0D0A, bytes(16)), "byte-order mark is 00000000"),
    ],
)
def test_damaged_blocks_are_named(body: bytes, says: str) -> None:
    before = make.pcapng([Packet(5, b"abcd", 4)])
    found, reader = read(before + body)
    assert len(found) == 1
    assert reader.broken
    assert says in reader.broken
    assert f"at byte {len(before)}" in reader.broken or f"at byte {len(before) + 8}" in reader.broken


def test_gzip_is_unpacked_and_its_damage_named(tmp_path: Path) -> None:
    frames = [make.at(moment, make.framed(packet)) for moment, packet in make.conversation(200_000)]
    packed = gzip.compress(make.pcap(frames))
    assert metrics_of(tmp_path, packed).whole.packets == len(frames)
    cut = metrics_of(tmp_path, packed[: len(packed) // 2])
    assert 0 < cut.packets_read < len(frames)
    assert cut.broken
    assert "unpacked" in cut.broken


@pytest.mark.parametrize("data", [b"", b"no", b"something else entirely", b"PK\x03\x04" + bytes(40)])
def test_what_is_no_capture_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(CaptureUnreadableError, match="name a pcap or pcapng file"):
        metrics_of(tmp_path, data)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.pcap", tmp_path):
        with pytest.raises(UsageFault, match="cannot be read"):
            read_metrics(path, SERVER)


def test_a_link_without_ip_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(CaptureUnreadableError, match="link type is netlink"):
        metrics_of(tmp_path, make.pcap([make.at(0, bytes(60))], link=253))


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    frames = [make.at(moment, make.framed(packet), 66) for moment, packet in make.conversation(500_000)]
    file = tmp_path / "long.pcap"

    def peak(times: int) -> int:
        head, *_ = make.pcap([]), None
        file.write_bytes(head + make.pcap(frames)[24:] * times)
        tracemalloc.start()
        try:
            from replay.packets.read import read_own
            from replay.packets.totals import Totals

            metrics = read_own(file, SERVER, Totals((), 10**9), chunk=1 << 16)
            assert metrics.packets_read == len(frames) * times
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(1)
    assert peak(24) < 1.3 * peak(3)
