"""Capture metrics as a table for people and as CSV for spreadsheets: a row for the whole, each window, each connection."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from replay.packets.model import CaptureMetrics, Metrics

#: connections in the table; JSON and CSV have all
_SHOWN = 20


def as_table(capture: CaptureMetrics) -> str:
    """Lines of text; sizes in 10^6 bytes, rates in 10^6 bytes per second, times in seconds and milliseconds."""
    head: tuple[str, ...] = (
        "stretch", "s", "down packets", "up packets", "down MB", "up MB", "down MB/s", "up MB/s",
        "retransmitted", "late", "lost", "zero windows", "handshake ms", "TLS",
    )  # fmt: skip
    rows = [head]
    for number, (name, metrics) in enumerate(_stretches(capture)):
        if number < 1 + len(capture.windows) + _SHOWN:
            rows.append((name, *_cells(metrics)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = [
        "  ".join(
            cell.ljust(width) if not column else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    hidden = len(capture.connections) - _SHOWN
    if hidden > 0:
        lines.append(f"… and {hidden} more connections (--format csv shows all)")
    lines.append("")
    lines.append(
        f"{capture.packets_read} packets read ({capture.snapped} cut short by the capture), "
        f"link type {capture.link_type or 'none'}, dissector {capture.dissector}; bytes are those of the IP layer"
    )
    lines.append(
        "retransmitted + late is what counts: which of the two a segment is cannot be told without a known round-trip time"
    )
    if capture.unfollowed:
        lines.append(f"{capture.unfollowed} packets of connections beyond the limit count in bytes only")
    return "\n".join(line.rstrip() for line in lines) + "\n"


def as_csv(capture: CaptureMetrics) -> str:
    """A header line and a line per stretch; times in ns, sizes in bytes, rates in bytes per second; empty where unknown."""
    text = io.StringIO()
    names = list(Metrics().to_json())
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["stretch", *names])
    for name, metrics in _stretches(capture):
        values = metrics.to_json()
        values["tls_versions"] = " ".join(part.replace(" ", "") for part in metrics.tls_versions)
        writer.writerow([name, *("" if values[one] is None else values[one] for one in names)])
    return text.getvalue()


def _stretches(capture: CaptureMetrics) -> Iterator[tuple[str, Metrics]]:
    yield "whole", capture.whole
    for key, metrics in capture.windows.items():
        yield f"window {key}", metrics
    for one in capture.connections:
        yield f"connection {one.number} ({one.client_port}-{one.server_port})", one.metrics


def _cells(one: Metrics) -> tuple[str, ...]:
    return (
        f"{one.duration_ns / 1e9:.3f}",
        str(one.down_packets),
        str(one.up_packets),
        f"{one.down_bytes / 1e6:.3f}",
        f"{one.up_bytes / 1e6:.3f}",
        _rate(one.down_rate),
        _rate(one.up_rate),
        str(one.retransmitted),
        str(one.out_of_order),
        str(one.lost),
        str(one.zero_windows),
        "-" if one.handshake_rtt_ns is None else f"{one.handshake_rtt_ns / 1e6:.2f}",
        ", ".join(one.tls_versions) or "-",
    )


def _rate(value: float | None) -> str:
    return "-" if value is None else f"{value / 1e6:.3f}"
