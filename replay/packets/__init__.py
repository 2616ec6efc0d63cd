"""Network metrics of a capture file: the study's numbers, per direction, connection and window of time.

    read_metrics(Path("capture.pcapng"), Server.parse("xnat.example.org:443")).whole.duration_ns

The own dissector streams the file through numpy in constant memory; `tshark` and `pyshark` give the same numbers from the
reference dissector.
"""

from replay.packets.model import CaptureMetrics, Connection, Metrics, Server, Throughput, Window
from replay.packets.read import DISSECTORS, read_metrics

__all__ = [
    "DISSECTORS",
    "CaptureMetrics",
    "Connection",
    "Metrics",
    "Server",
    "Throughput",
    "Window",
    "read_metrics",
]
