"""How many browsers fit: what is known before many are started, so that nobody takes a busy client for a slow server. Pure."""

from __future__ import annotations

import re

#: an active headless browser that shows images takes 300 to 500 MB, and a core while it works
BROWSER_BYTES = 400_000_000


def free_memory(meminfo: str) -> int | None:
    """Bytes that programs may still take, from the text of /proc/meminfo; None where it does not say."""
    found = re.search(r"^MemAvailable:\s+(\d+) kB$", meminfo, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def doubts(browsers: int, free_bytes: int | None, cores: int) -> list[str]:
    """What a person should know before that many browsers run at once on this machine; empty when they fit."""
    said = []
    needed = browsers * BROWSER_BYTES
    if free_bytes is not None and needed > free_bytes:
        fitting = free_bytes // BROWSER_BYTES
        said.append(
            f"{browsers} browsers take about {needed / 1e9:.1f} GB and {free_bytes / 1e9:.1f} GB are free: "
            f"no more than {fitting} fit; take fewer users, spread them with --arrivals, or use --grid"
        )
    if browsers > max(1, cores):
        said.append(
            f"{browsers} browsers at once on {cores} {'core' if cores == 1 else 'cores'}: durations will hold waits for this "
            "machine, not only for the server; spread the users with --arrivals, or use --grid"
        )
    return said
