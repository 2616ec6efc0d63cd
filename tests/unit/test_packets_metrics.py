"""Windows, throughput, the command and its errors, and what is written to files."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from replay.packets import CaptureMetrics, Server, Window, read_metrics
from replay.packets.cli import main, read_windows
from replay.packets.faults import CaptureFormatError, DissectorError
from replay.packets.reference import complaint
from sidecar.__main__ import main as tracemark
from sidecar.model.faults import UsageFault
from tests.support import packets as make

SERVER = Server(frozenset({make.SERVER}))


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """One conversation at 0 s and the same ports again ten seconds later."""
    again = [(moment + 10, packet) for moment, packet in make.conversation(port=8080)]
    frames = [make.at(moment, make.framed(packet)) for moment, packet in [*make.conversation(), *again]]
    file = tmp_path / "session.pcap"
    file.write_bytes(make.pcap(frames))
    return file


def start() -> int:
    return make.at(0, b"").time_ns


def test_windows_take_their_packets_and_know_their_connections(capture: Path) -> None:
    middle = start() + 5 * 10**9
    windows = (Window("a", start(), middle), Window("b", middle, middle * 2), Window("none", 0, 1))
    found = read_metrics(capture, SERVER, windows=windows)
    assert found.windows["a"].down_bytes == found.windows["b"].down_bytes == found.whole.down_bytes // 2
    assert [one.connections for one in found.windows.values()] == [1, 1, 0]
    assert found.windows["a"].handshake_rtt_ns == 20_000_000
    assert found.windows["none"].duration_ns == 0
    assert found.windows["none"].down_rate is None


def test_a_window_begins_with_its_start_and_ends_before_its_end(capture: Path) -> None:
    second = start() + 19_000_000
    found = read_metrics(capture, SERVER, windows=(Window("one", second, second + 1), Window("next", second + 1, second + 2)))
    assert (found.windows["one"].packets, found.windows["next"].packets) == (1, 0)


def test_throughput_adds_up_and_gets_coarser_rather_than_longer(capture: Path) -> None:
    fine = read_metrics(capture, SERVER, step_ns=10**9).throughput
    assert (fine.start_ns, fine.step_ns, len(fine.down_bytes)) == (start(), 10**9, 11)
    assert fine.down_bytes[0] == fine.down_bytes[10] > 0 == sum(fine.down_bytes[1:10])
    coarse = read_metrics(capture, SERVER, step_ns=1000).throughput
    assert coarse.step_ns == 128_000
    assert len(coarse.down_bytes) <= 100_000
    assert sum(coarse.up_bytes) == sum(fine.up_bytes)


def test_packets_out_of_time_are_in_the_curve_and_the_duration(tmp_path: Path) -> None:
    packet = make.framed(make.ip4(make.SERVER, make.CLIENT, make.tcp(443, 5, 1, 1, 100)))
    file = tmp_path / "back.pcap"
    file.write_bytes(make.pcap([make.at(10, packet), make.at(7, packet), make.at(11, packet)]))
    found = read_metrics(file, SERVER)
    assert found.whole.duration_ns == 4 * 10**9
    assert found.throughput.start_ns == start() + 7 * 10**9
    assert [bool(one) for one in found.throughput.down_bytes] == [True, False, False, True, True]


def test_metrics_survive_a_file(capture: Path) -> None:
    found = read_metrics(capture, SERVER, windows=(Window("a", start(), start() + 10**9),))
    assert CaptureMetrics.from_json(json.loads(json.dumps(found.to_json()))) == found
    assert make.CLIENT not in json.dumps(found.to_json())
    for broken in ({}, {"format": 2}, {"format": 1}, {**found.to_json(), "whole": {"first_ns": 1, "surprise": 2}}):
        with pytest.raises(CaptureFormatError):
            CaptureMetrics.from_json(broken)


@pytest.mark.parametrize(
    ("text", "hosts", "port"),
    [
        ("192.0.2.1", {"192.0.2.1"}, None),
        ("192.0.2.1:8080", {"192.0.2.1"}, 8080),
        ("2001:DB8::1", {"2001:db8::1"}, None),
        ("[2001:db8::1]:443", {"2001:db8::1"}, 443),
        ("[::1]", {"::1"}, None),
    ],
)
def test_a_server_is_an_address_and_maybe_a_port(text: str, hosts: set[str], port: int | None) -> None:
    assert Server.parse(text) == Server(frozenset(hosts), port)


def test_a_name_stands_for_its_addresses() -> None:
    assert Server.parse("localhost:80").hosts & {"127.0.0.1", "::1"}


@pytest.mark.parametrize(
    "text", ["", ":80", "host:", "host:0", "host:65536", "host:http", "[::1", "[::1]80", "no.such.name.invalid"]
)
def test_what_is_no_server_is_refused(text: str) -> None:
    with pytest.raises(UsageFault):
        Server.parse(text)


def test_the_table_shows_the_studys_numbers(capture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(capture), "--server", make.SERVER]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:2] == ["stretch", "s"]
    assert lines[1].split()[:4] == ["whole", "10.053", "28", "28"]
    assert [line.split()[1] for line in lines if line.startswith("connection")] == ["0", "1"]


def test_csv_and_json_agree(capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    windows = tmp_path / "windows.json"
    windows.write_text(json.dumps([{"key": "open_viewer", "start_ns": start(), "end_ns": start() + 10**9}]))
    words = [str(capture), "--server", f"{make.SERVER}:443", "--windows", str(windows)]
    assert main([*words, "--format", "json"]) == 0
    found = CaptureMetrics.from_json(json.loads(capsys.readouterr().out))
    assert main([*words, "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["stretch"] for row in rows] == ["whole", "window open_viewer", "connection 0 (50000-443)"]
    assert int(rows[0]["down_bytes"]) == found.whole.down_bytes == found.windows["open_viewer"].down_bytes
    assert float(rows[0]["down_rate"]) == found.whole.down_rate


def test_a_damaged_file_is_reported_and_ends_with_1(capture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capture.write_bytes(capture.read_bytes()[:-5])
    assert main([str(capture), "--server", make.SERVER]) == 1
    told = capsys.readouterr()
    assert "whole" in told.out
    assert told.err.startswith("tracemark: ")
    assert told.err.count("\n") == 1
    assert "at byte" in told.err


def test_a_server_that_is_not_in_the_file_is_said(capture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(capture), "--server", "198.51.100.1"]) == 1
    assert "none of the 56 packets" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["no-such-file.pcap", "--server", "192.0.2.1"],
        [__file__, "--server", "192.0.2.1"],
        [__file__, "--server", "192.0.2.1:x"],
        [__file__, "--server", "192.0.2.1", "--step", "0"],
        [__file__, "--server", "192.0.2.1", "--windows", "no-such-file.json"],
    ],
)
def test_wrong_use_is_one_line_and_ends_with_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert tracemark(["packets", *words]) == 2
    told = capsys.readouterr().err
    assert told.startswith("tracemark: ")
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "{}",
        "[1]",
        '[{"key": 1, "start_ns": 1, "end_ns": 2}]',
        '[{"key": "a", "start_ns": 2, "end_ns": 2}]',
        '[{"key": "a"}]',
    ],
)
def test_windows_that_are_none_are_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "windows.json"
    file.write_text(text)
    with pytest.raises(UsageFault):
        read_windows(file)


def test_arguments_that_make_no_sense_are_refused(capture: Path) -> None:
    with pytest.raises(UsageFault, match="wireshark"):
        read_metrics(capture, SERVER, dissector="wireshark")
    with pytest.raises(UsageFault, match="step"):
        read_metrics(capture, SERVER, step_ns=0)
    with pytest.raises(UsageFault, match="same key"):
        read_metrics(capture, SERVER, windows=(Window("a", 1, 2), Window("a", 2, 3)))


def test_without_tshark_the_reference_says_what_to_do(capture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    for name in ("tshark", "pyshark"):
        with pytest.raises(DissectorError, match="--dissector own"):
            read_metrics(capture, SERVER, dissector=name)


def test_what_tshark_says_is_told_without_paths() -> None:
    about = 'The file "/home/someone/x.pcap" appears to have been cut short in the middle of a packet.'
    said = f'Running as user "root".\ntshark: {about}\n'
    assert complaint(said) == "The file appears to have been cut short in the middle of a packet."
    assert complaint(
        f"TShark seems to have crashed (retcode: 2).\nLast error line: {said.splitlines()[1]}\nTry again."
    ) == complaint(said)
