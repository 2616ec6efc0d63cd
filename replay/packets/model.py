"""What a capture says about the traffic with one server. No addresses are kept: a connection is known by its ports."""

from __future__ import annotations

import dataclasses
import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from replay.packets.faults import CaptureFormatError
from sidecar.model.faults import UsageFault

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Server:
    """The other end: its addresses (v4 and v6, as text) and, where given, its port; without one all IP traffic counts."""

    hosts: frozenset[str]
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> Server:
        """From `HOST`, `HOST:PORT`, `[V6]` or `[V6]:PORT`; a name stands for all its addresses. Raises UsageFault."""
        host, port = _split(text)
        try:
            return cls(frozenset((str(ipaddress.ip_address(host)),)), port)
        except ValueError:
            pass
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise UsageFault(f"the server name {host!r} has no address", "write an address, or a name that resolves") from error
        return cls(frozenset(str(entry[4][0]).partition("%")[0] for entry in found), port)


def _split(text: str) -> tuple[str, int | None]:
    if text.startswith("["):
        host, closed, rest = text[1:].partition("]")
        good = bool(closed) and (not rest or rest.startswith(":"))
        port = rest[1:]
    elif text.count(":") > 1:
        host, port, good = text, "", True
    else:
        host, colon, port = text.partition(":")
        good = not colon or bool(port)
    if not good or not host or (port and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536)):
        raise UsageFault(f"--server {text!r} is no HOST[:PORT]", "write for example xnat.example.org:443 or [2001:db8::1]:443")
    return host, int(port) if port else None


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of the capture's clock, start included, end not (ns since the epoch); `key` names it, for example an action."""

    key: str
    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """The study's network metrics of one stretch. Bytes are all bytes at the IP layer; "down" is from the server.

    `retransmitted` and `out_of_order` follow Wireshark's definitions, where only the sum is meaningful (the split needs the
    round-trip time); `lost` counts segments before which some are missing; `handshake_rtt_ns` is the median, from SYN to the
    ACK that ends the handshake, over the connections with packets in this stretch.
    """

    first_ns: int | None = None
    last_ns: int | None = None
    down_packets: int = 0
    up_packets: int = 0
    down_bytes: int = 0
    up_bytes: int = 0
    down_payload: int = 0
    up_payload: int = 0
    down_retransmitted: int = 0
    up_retransmitted: int = 0
    down_out_of_order: int = 0
    up_out_of_order: int = 0
    down_lost: int = 0
    up_lost: int = 0
    down_zero_windows: int = 0
    up_zero_windows: int = 0
    connections: int = 0
    handshake_rtt_ns: int | None = None
    tls_versions: tuple[str, ...] = ()

    @property
    def duration_ns(self) -> int:
        """Latest packet minus earliest, as in the study; 0 without packets."""
        return 0 if self.first_ns is None or self.last_ns is None else self.last_ns - self.first_ns

    @property
    def packets(self) -> int:
        """Both directions."""
        return self.down_packets + self.up_packets

    @property
    def down_rate(self) -> float | None:
        """Bytes per second at the IP layer over the duration; None when it lasted no time."""
        return self.down_bytes * 1e9 / self.duration_ns if self.duration_ns else None

    @property
    def up_rate(self) -> float | None:
        """As `down_rate`."""
        return self.up_bytes * 1e9 / self.duration_ns if self.duration_ns else None

    @property
    def retransmitted(self) -> int:
        """Segments sent again, both directions."""
        return self.down_retransmitted + self.up_retransmitted

    @property
    def out_of_order(self) -> int:
        """Segments that came late, both directions."""
        return self.down_out_of_order + self.up_out_of_order

    @property
    def lost(self) -> int:
        """Segments with a hole before them, both directions."""
        return self.down_lost + self.up_lost

    @property
    def zero_windows(self) -> int:
        """Segments that announce a full receive buffer, both directions."""
        return self.down_zero_windows + self.up_zero_windows

    def to_json(self) -> dict[str, Any]:
        """All fields and what follows from them."""
        return {**_fields(self), **{name: getattr(self, name) for name in _DERIVED}}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Metrics:
        """The inverse of `to_json`. Raises CaptureFormatError."""
        return _built(cls, {key: value for key, value in data.items() if key not in _DERIVED})


_DERIVED = ("duration_ns", "packets", "down_rate", "up_rate", "retransmitted", "out_of_order", "lost", "zero_windows")


@dataclass(frozen=True, slots=True)
class Connection:
    """One TCP connection, numbered in order of appearance."""

    number: int
    client_port: int
    server_port: int
    metrics: Metrics


@dataclass(frozen=True, slots=True)
class Throughput:
    """IP bytes per step; the first step starts with the first packet.

    `step_ns` is the step asked for, doubled until the capture fits in 100 000 steps.
    """

    start_ns: int | None
    step_ns: int
    down_bytes: tuple[int, ...]
    up_bytes: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureMetrics:
    """All that was read from one capture.

    `broken` says in words where reading ended before the end of the file; `unfollowed` counts packets of connections beyond
    the limit of those that are followed: they count in bytes and packets only.
    """

    whole: Metrics
    windows: Mapping[str, Metrics]
    connections: tuple[Connection, ...]
    throughput: Throughput
    packets_read: int
    snapped: int
    link_type: str
    dissector: str
    unfollowed: int = 0
    broken: str | None = None

    def to_json(self) -> dict[str, Any]:
        """For files; `from_json` reads it again."""
        return {
            "format": 1,
            **_fields(self),
            "whole": self.whole.to_json(),
            "windows": {key: metrics.to_json() for key, metrics in self.windows.items()},
            "connections": [{**_fields(one), "metrics": one.metrics.to_json()} for one in self.connections],
            "throughput": _fields(self.throughput),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> CaptureMetrics:
        """Raises CaptureFormatError when it is of another format or incomplete."""
        if data.get("format") != 1:
            raise CaptureFormatError(
                f"capture metrics of format {data.get('format')!r}", "read them with the version that wrote them"
            )
        try:
            parts = {
                **{key: value for key, value in data.items() if key != "format"},
                "whole": Metrics.from_json(data["whole"]),
                "windows": {key: Metrics.from_json(value) for key, value in data["windows"].items()},
                "connections": tuple(
                    _built(Connection, {**one, "metrics": Metrics.from_json(one["metrics"])}) for one in data["connections"]
                ),
                "throughput": _built(Throughput, data["throughput"]),
            }
        except (KeyError, AttributeError, TypeError) as error:
            raise CaptureFormatError(f"capture metrics are incomplete ({error})", "write them again from the capture") from error
        return _built(cls, parts)


def _fields(one: Any) -> dict[str, Any]:
    values = {field.name: getattr(one, field.name) for field in dataclasses.fields(one)}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def _built(cls: type[T], values: Mapping[str, Any]) -> T:
    try:
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})
    except TypeError as error:
        raise CaptureFormatError(f"capture metrics are incomplete ({error})", "write them again from the capture") from error
