"""The reference dissector: the same numbers from `tshark`, one line of fields per packet, read as it comes."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from replay.packets.faults import DissectorError
from replay.packets.files import opened, reader_of
from replay.packets.model import CaptureMetrics, Server
from replay.packets.reference_fields import FIELDS, OPTIONS
from replay.packets.reference_rows import Collector
from replay.packets.totals import Totals

_TOLD = re.compile(r"^Last error line: (.+)$", re.MULTILINE)
_PATH = re.compile(r'"[^"]*"')


def program() -> str:
    """Where tshark is. Raises DissectorError."""
    found = shutil.which("tshark")
    if found is None:
        raise DissectorError("tshark is not installed", "install it (Debian: apt install tshark), or use --dissector own")
    return found


def read_with_tshark(path: Path, server: Server, totals: Totals, progress: Callable[[int], None]) -> CaptureMetrics:
    """One pass of tshark over the file."""
    recognise(path)
    command = [program(), "-r", str(path), *OPTIONS, "-T", "fields", "-E", "occurrence=f", "-E", "separator=/t"]
    for field in FIELDS:
        command += ["-e", field]
    return collected("tshark", command, server, totals, progress)


def read_with_pyshark(path: Path, server: Server, totals: Totals, progress: Callable[[int], None]) -> CaptureMetrics:
    """One pass of pyshark in a process of its own: it takes over the event loop and child watcher of the one it runs in."""
    recognise(path)
    command = [sys.executable, "-m", "replay.packets.reference_pyshark", program(), str(path)]
    return collected("pyshark", command, server, totals, progress)


def collected(name: str, command: list[str], server: Server, totals: Totals, progress: Callable[[int], None]) -> CaptureMetrics:
    """The numbers from a program that prints a line of FIELDS per packet."""
    collector = Collector(server, totals, progress)
    with tempfile.TemporaryFile("w+", encoding="utf-8") as complaints:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=complaints, text=True, encoding="utf-8") as child:
            try:
                assert child.stdout is not None  # noqa: S101  (for the type checker)
                collector.take(dict(zip(FIELDS, line.rstrip("\n").split("\t"), strict=False)) for line in child.stdout)
            except BaseException:
                child.kill()
                raise
        complaints.seek(0)
        said = complaint(complaints.read())
    if child.returncode and (not said or (not collector.packets_read and "cut short" not in said)):
        why = said or f"status {child.returncode}"
        raise DissectorError(f"{name} could not read the file ({why})", "read it with --dissector own")
    return collector.metrics(name, said if child.returncode else None)


def recognise(path: Path) -> None:
    """Refuse what is no capture in our words, not in tshark's."""
    file, source = opened(path, 4096)
    with file:
        reader_of(source, str(path))


def complaint(text: str) -> str:
    """The last thing tshark said, without the file's name."""
    told = _TOLD.findall(text)  # pyshark hands on what tshark said
    lines = told or [line for line in text.splitlines() if line.strip() and not line.startswith("Running as user")]
    return _PATH.sub("", lines[-1].removeprefix("tshark: ")).replace("  ", " ") if lines else ""
