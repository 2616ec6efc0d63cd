"""Captures that other people recorded, against what their README says of each."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from replay.packets import CaptureMetrics, Server, read_metrics
from replay.packets.faults import CaptureUnreadableError
from replay.packets.files import NO_TIME, opened, reader_of
from replay.packets.headers import MAPPED_V4, decode

_ROW = re.compile(r"^\| `(?P<name>[^`]+)` \|.*\| (?P<told>(?:nsec)?pcap(?:ng)?, [^|]+) \|$")
_NUMBERS = {
    "packets": r"(\d+) packets",
    "streams": r"(\d+) TCP streams",
    "payload": r"(\d+) payload bytes",
    "retransmission": r"retransmission (\d+)",
    "out_of_order": r"out_of_order (\d+)",
    "lost_segment": r"lost_segment (\d+)",
}
#: streams that tshark counts in headers quoted by a sampling protocol (sFlow): no traffic of their own, so not ours
_QUOTED = {"tcp-reassembly.pcap": 1}


@dataclass(frozen=True)
class Told:
    """What the README says of a capture."""

    name: str
    link: str
    duration: str | None
    numbers: dict[str, int]


def table(folder: Path) -> list[Told]:
    section = (folder / "README.md").read_text(encoding="utf-8").partition("## `captures/`")[2].partition("\n## ")[0]
    found = []
    for row in map(_ROW.match, section.splitlines()):
        if row:
            text = row["told"]
            duration = re.search(r"(\d+\.\d+) s", text)
            numbers = {key: int(hit[1]) if (hit := re.search(pattern, text)) else 0 for key, pattern in _NUMBERS.items()}
            found.append(Told(row["name"], text.split(", ")[1], duration[1] if duration else None, numbers))
    return found


def ends(file: Path) -> tuple[frozenset[str], list[int]]:
    """All addresses, and the times of all packets."""
    found: set[str] = set()
    times: list[int] = []
    handle, source = opened(file)
    with handle:
        for records in reader_of(source, file.name):
            times += [one for one in records.time_ns.tolist() if one != NO_TIME]
            packets = decode(records)
            for high, low in (packets.source, packets.target):
                for pair in np.unique(np.stack((high, low)), axis=1).T.tolist():
                    number = pair[0] << 64 | pair[1]
                    mapped = number >> 32 == MAPPED_V4 >> 32
                    found.add(str(ipaddress.IPv4Address(number & 0xFFFFFFFF) if mapped else ipaddress.IPv6Address(number)))
    return frozenset(found or {"192.0.2.1"}), times


def test_every_capture_is_read_as_its_readme_says(shared_cases: Path) -> None:
    cases = table(shared_cases)
    assert len(cases) == 72
    wrong = []
    for told in cases:
        file = shared_cases / "captures" / told.name
        if told.link == "netlink":
            with pytest.raises(CaptureUnreadableError, match="netlink"):
                read_metrics(file, Server(frozenset({"192.0.2.1"})))
            continue
        hosts, times = ends(file)
        wrong += [f"{told.name}: {one}" for one in differences(told, read_metrics(file, Server(hosts)), times)]
    assert not wrong, "\n".join(wrong)


def differences(told: Told, found: CaptureMetrics, times: list[int]) -> list[str]:
    payload = found.whole.down_payload + found.whole.up_payload
    ours = {
        "packets": found.packets_read,
        "streams": found.whole.connections + _QUOTED.get(told.name, 0),
        "payload": payload,
        "retransmission": found.whole.retransmitted,
        "out_of_order": found.whole.out_of_order,
        "lost_segment": found.whole.lost,
    }
    wrong = [f"{key} {ours[key]}, told {value}" for key, value in told.numbers.items() if ours[key] != value]
    if found.broken:
        wrong.append(f"broken: {found.broken}")
    if told.duration is not None and times:
        decimals = len(told.duration.partition(".")[2])
        seconds = f"{(max(times) - min(times)) / 10**9:.{decimals}f}"
        if seconds != told.duration:
            wrong.append(f"{seconds} s, told {told.duration}")
    if found.link_type and told.link not in (found.link_type, "per-packet"):
        wrong.append(f"link {found.link_type}, told {told.link}")
    return wrong
