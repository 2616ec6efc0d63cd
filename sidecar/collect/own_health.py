"""What the sidecar itself uses: CPU, memory, threads and open files of this process."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from sidecar.collect.processes import parse_stat
from sidecar.errors import CollectError


def own_health(process: Path = Path("/proc/self")) -> Mapping[str, int | float]:
    """CPU seconds (children included), resident bytes, threads and open files of the process in that /proc folder.

    Raises CollectError where there is no such folder (the sidecar samples Linux only).
    """
    try:
        stat = parse_stat((process / "stat").read_bytes())
        status = dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines() if ":\t" in line)
        files = len(os.listdir(process / "fd"))
    except (OSError, ValueError) as error:
        raise CollectError(f"{process} cannot be read", "run the sidecar on Linux with /proc mounted") from error
    return {
        "cpu_seconds": (stat.user_ticks + stat.system_ticks) / os.sysconf("SC_CLK_TCK"),
        "memory_bytes": stat.rss_pages * os.sysconf("SC_PAGE_SIZE"),
        "threads": int(status["Threads"]),
        "open_files": files,
    }
