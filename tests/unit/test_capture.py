"""Captures: filters, what the programs say, what is missing; running them is tested in tests/integration/test_capture.py."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from replay.capture import (
    Capture,
    CaptureDiskFullError,
    CaptureError,
    CaptureNotPermittedError,
    CaptureProgramMissingError,
    InterfaceError,
    find_program,
)
from replay.capture_interface import interface_to
from replay.capture_programs import Counts, Wanted, command, complaint, counts_of, filter_of, is_ready
from sidecar.model.faults import UsageFault


def test_the_filter_names_all_addresses_and_the_port() -> None:
    assert filter_of({"192.0.2.7"}, None) == "(host 192.0.2.7)"
    assert filter_of({"192.0.2.7", "2001:DB8::7"}, 443) == "(host 192.0.2.7 or host 2001:db8::7) and port 443"
    assert filter_of({"fe80::1%eth0"}, 80, also="udp") == "((host fe80::1) and port 80) or (udp)"


@pytest.mark.parametrize(
    ("addresses", "port", "words"),
    [((), None, "needs the server's address"), (("example.org",), 80, "example.org"), (("192.0.2.7",), 0, "0 is no port")],
)
def test_a_filter_that_cannot_be_is_refused(addresses: tuple[str, ...], port: int | None, words: str) -> None:
    with pytest.raises(UsageFault, match=words):
        filter_of(addresses, port)


def test_both_programs_get_interface_length_buffer_and_filter() -> None:
    wanted = Wanted("eth0", "host 192.0.2.7", Path("x.cap"), 192, 64)
    dumpcap, tcpdump = command("/usr/bin/dumpcap", wanted), command("/usr/bin/tcpdump", wanted)
    for line, size in ((dumpcap, "64"), (tcpdump, "65536")):
        assert [line[line.index(option) + 1] for option in ("-i", "-s", "-B", "-w")] == ["eth0", "192", size, "x.cap"]
    assert dumpcap[-2:] == ["-f", "host 192.0.2.7"]
    assert tcpdump[-1] == "host 192.0.2.7"
    assert {"--immediate-mode", "-U"} < set(tcpdump)  # or the last packets would stay with the kernel for a second


def test_only_the_word_after_the_filter_counts_as_ready() -> None:
    assert not is_ready("Capturing on 'Loopback: lo'")
    assert is_ready("File: x.cap")
    assert is_ready("tcpdump: listening on lo, link-type EN10MB (Ethernet), snapshot length 192 bytes")
    assert not is_ready('dumpcap: There is no device named "nope".')


DUMPCAP = "Packets received/dropped on interface 'Loopback: lo': {}/{} (pcap:{}/dumpcap:{}/flushed:0/ps_ifdrop:9) (99.9%)"


@pytest.mark.parametrize(
    ("lines", "counts"),
    [
        (["Packets captured: 20", DUMPCAP.format(20, 0, 0, 0)], Counts(20, 0)),
        (["Packets captured: 20", DUMPCAP.format(15, 5, 3, 2)], Counts(20, 5)),
        (["Packets captured: 20", DUMPCAP.format(9, 1, 1, 0), DUMPCAP.format(9, 2, 2, 0)], Counts(20, 3)),
        (["20 packets captured", "44 packets received by filter", "0 packets dropped by kernel"], Counts(20, 0)),
        (["1 packet captured", "3 packets received by filter", "1 packet dropped by kernel"], Counts(1, 1)),
        (["2 packets captured", "2 packets dropped by kernel", "5 packets dropped by interface"], Counts(2, 2)),
        (["Packets captured: 20"], None),
        (["20 packets captured"], None),
        ([], None),
    ],
)
def test_the_final_statistic_is_read(lines: list[str], counts: Counts | None) -> None:
    assert counts_of(lines) == counts


@pytest.mark.parametrize(
    ("program", "said", "kind", "words"),
    [
        (
            "dumpcap",
            "dumpcap: You do not have permission to capture on device",
            CaptureNotPermittedError,
            "usermod -aG wireshark",
        ),
        (
            "dumpcap",
            "(socket: Operation not permitted)",
            CaptureNotPermittedError,
            r"setcap cap_net_raw,cap_net_admin=eip /usr/bin",
        ),
        (
            "tcpdump",
            "tcpdump: eth9: You don't have permission to perform",
            CaptureNotPermittedError,
            "apt-get install wireshark-common",
        ),
        ("dumpcap", 'dumpcap: There is no device named "eth9".', CaptureError, "no network interface 'eth9'"),
        ("tcpdump", "tcpdump: eth9: No such device exists", CaptureError, "no network interface 'eth9'"),
        ("tcpdump", "tcpdump: eth9: That device is not up", CaptureError, "ip link set eth9 up"),
        ("dumpcap", "because there is no space left on the file system", CaptureDiskFullError, "make room"),
        ("tcpdump", "tcpdump: x: No space left on device", CaptureDiskFullError, "make room"),
        ("dumpcap", 'dumpcap: The file ("/a/b") could not be opened: No such file or directory.', CaptureError, "folder"),
        ("dumpcap", "dumpcap: something new", CaptureError, "something new"),
        ("dumpcap", "", CaptureError, "ended by itself"),
    ],
)
def test_a_complaint_becomes_what_is_wrong_and_what_to_do(program: str, said: str, kind: type[CaptureError], words: str) -> None:
    error = complaint(f"/usr/bin/{program}", ["Capturing on 'x'", *said.splitlines()], "eth9")
    assert type(error) is kind
    with pytest.raises(kind, match=words):
        raise error


def test_a_missing_program_and_one_that_may_not_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CaptureProgramMissingError, match=r"no no-such-program.*apt-get install"):
        find_program("no-such-program")
    program = tmp_path / "dumpcap-of-others"
    program.write_text("", encoding="utf-8")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CaptureNotPermittedError, match="usermod -aG wireshark"):
        find_program("dumpcap-of-others")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    assert find_program("dumpcap-of-others") == str(program)


def test_too_little_of_a_packet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageFault, match="64 bytes of a packet are too few"):
        Capture(["192.0.2.7"], 80, tmp_path / "x", snaplen=64)
    with pytest.raises(UsageFault, match="not running"):
        Capture(["192.0.2.7"], 80, tmp_path / "x").stop()


def test_this_machine_is_behind_the_loopback_interface() -> None:
    assert interface_to(["127.0.0.1"]) == "lo"
    assert interface_to(["127.0.0.1", "127.1.2.3"]) == "lo"


def test_an_address_without_a_route_is_passed_over() -> None:
    unroutable = "240.0.0.1"  # reserved: the kernel routes it only where a default route is there
    with pytest.raises(InterfaceError, match=r"no route to the server|over several interfaces \(.*lo.*\): name one"):
        interface_to(["127.0.0.1", unroutable] if _is_routed(unroutable) else [unroutable])
    if not _is_routed(unroutable):
        assert interface_to(["127.0.0.1", unroutable]) == "lo"


def _is_routed(address: str) -> bool:
    try:
        return bool(interface_to([address]))
    except InterfaceError:
        return False
