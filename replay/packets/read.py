"""Reads a capture with one of the dissectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from replay.packets import links
from replay.packets.connections import Connections
from replay.packets.faults import CaptureUnreadableError
from replay.packets.files import CHUNK, Records, opened, reader_of
from replay.packets.fragments import Reassembly
from replay.packets.headers import decode
from replay.packets.model import CaptureMetrics, Server, Window
from replay.packets.rows import NO_CONNECTION, Rows, Selection, select
from replay.packets.totals import Totals
from sidecar.model.faults import UsageFault

#: told how many bytes of the file are done
Progress = Callable[[int], None]


def _silent(_: int) -> None:
    """Nobody looks."""


def read_own(path: Path, server: Server, totals: Totals, progress: Progress = _silent, *, chunk: int = CHUNK) -> CaptureMetrics:
    """The streaming reader: constant memory, whatever the size of the file."""
    selection, connections, reassembly = Selection(server), Connections(), Reassembly()
    packets_read = snapped = 0
    seen: set[int] = set()
    file, source = opened(path, chunk)
    with file:
        reader = reader_of(source, str(path))
        for records in reader:
            packets_read += len(records.offset)
            snapped += int(np.count_nonzero(records.captured < records.length))
            seen.update(np.unique(records.link).tolist())
            totals.add(rows_of(records, selection, connections, reassembly))
            progress(file.tell())
    facts = connections.facts()
    return CaptureMetrics(
        whole=totals.whole(facts),
        windows=totals.windows(facts),
        connections=totals.connections(facts),
        throughput=totals.throughput(),
        packets_read=packets_read,
        snapped=snapped,
        link_type=_link_type(path, {links.name(link) for link in seen}, any(link in links.NAMES for link in seen)),
        dissector="own",
        unfollowed=connections.unfollowed,
        broken=reader.broken,
    )


def rows_of(records: Records, selection: Selection, connections: Connections, reassembly: Reassembly) -> Rows:
    """The packets between client and server among `records`."""
    packets = decode(records)
    counts, from_server = select(selection, packets)
    if packets.fragment.any():
        reassembly.complete(packets, records.data)
        if selection.port is not None:
            there = (packets.source_port == selection.port) | (packets.target_port == selection.port)
            packets.segment &= ~packets.fragment | there
    chosen = np.flatnonzero(counts)
    number, marks = np.full(len(chosen), NO_CONNECTION), np.zeros(len(chosen), np.int64)
    followed = packets.segment[chosen]
    rows = chosen[followed]
    number[followed], marks[followed] = connections.follow(packets, rows, from_server[rows], records.data)
    return Rows(
        time_ns=packets.time_ns[chosen],
        down=from_server[chosen],
        size=packets.size[chosen],
        payload=packets.payload[chosen],
        connection=number,
        marks=marks,
    )


def _link_type(path: Path, names: set[str], readable: bool) -> str:
    if names and not readable:
        raise CaptureUnreadableError(
            f"{path} holds no IP packets: its link type is {', '.join(sorted(names))}",
            "capture on the interface that leads to the server",
        )
    return "+".join(sorted(names))


def read_tshark(path: Path, server: Server, totals: Totals, progress: Progress = _silent) -> CaptureMetrics:
    """The same by Wireshark's `tshark`."""
    from replay.packets.reference import read_with_tshark

    return _checked(path, read_with_tshark(path, server, totals, progress))


def read_pyshark(path: Path, server: Server, totals: Totals, progress: Progress = _silent) -> CaptureMetrics:
    """The same by pyshark, which reads tshark's JSON."""
    from replay.packets.reference import read_with_pyshark

    return _checked(path, read_with_pyshark(path, server, totals, progress))


def _checked(path: Path, metrics: CaptureMetrics) -> CaptureMetrics:
    names = set(metrics.link_type.split("+")) - {""}
    return replace(metrics, link_type=_link_type(path, names, bool(names & set(links.NAMES.values()))))


#: name -> what reads a capture into totals
DISSECTORS: Mapping[str, Callable[[Path, Server, Totals, Progress], CaptureMetrics]] = {
    "own": read_own,
    "tshark": read_tshark,
    "pyshark": read_pyshark,
}


def read_metrics(
    path: Path,
    server: Server,
    *,
    windows: Sequence[Window] = (),
    dissector: str = "own",
    step_ns: int = 1_000_000_000,
    progress: Progress = _silent,
) -> CaptureMetrics:
    """Network metrics of the traffic with `server` in the capture at `path` (pcap or pcapng, plain or gzip).

    A damaged or truncated file gives what could be read, and `broken`. Raises CaptureUnreadableError when the file is no capture
    or holds no IP, UsageFault for wrong arguments, DissectorError when the reference dissector is not there or fails.
    """
    read = DISSECTORS.get(dissector)
    if read is None:
        raise UsageFault(f"no dissector is called {dissector!r}", f"use one of {', '.join(DISSECTORS)}")
    if step_ns < 1:
        raise UsageFault(f"a step of {step_ns} ns is no time", "use a positive number")
    if len({window.key for window in windows}) < len(windows):
        raise UsageFault("two windows have the same key", "give each its own")
    return read(path, server, Totals(windows, step_ns), progress)
