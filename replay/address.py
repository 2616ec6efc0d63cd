"""Addresses as people type them: taken apart, or refused. Pure."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from sidecar.model.faults import UsageFault


def taken_apart(url: str, *schemes: str) -> SplitResult | None:
    """The parts of an address of one of these schemes; None where it is none: no host, or a port that cannot be."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a bracket that is left open, a port that is no number or above 65535
        return None
    return parts if good else None


def check_channel(url: str) -> None:
    """Raise UsageFault for what is no marker channel's address, and not `none` either."""
    if url != "none" and taken_apart(url, "ws", "wss") is None:
        raise UsageFault(f"--markers {url!r} is no marker channel", "write ws://HOST:PORT/markers, or none")
