"""`tracemark packets`: network metrics of a capture file."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from replay.arguments import Parser
from replay.packets.model import Server, Window
from replay.packets.read import DISSECTORS, read_metrics
from replay.packets.show import as_csv, as_table
from sidecar.model.faults import UsageFault

EXAMPLE = """examples:
  tracemark packets session.pcapng --server xnat.example.org:443
  tracemark packets session.pcapng --server 192.0.2.7 --windows actions.json --format csv

FILE of --windows is JSON: [{"key": "open_viewer", "start_ns": 1795341170000000000, "end_ns": 1795341172000000000}, …]
"""
#: a progress bar appears after so long
_PATIENCE_S = 2.0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    wanted = Parser(
        prog="tracemark packets",
        description="Network metrics of the traffic with one server in a capture (pcap or pcapng, plain or gzip).",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    wanted.add_argument("capture", type=Path, metavar="CAPTURE")
    wanted.add_argument(
        "--server", required=True, metavar="HOST[:PORT]", help="the other end; without a port all IP traffic with it counts"
    )
    wanted.add_argument("--format", choices=("table", "json", "csv"), default="table", help="default: %(default)s")
    wanted.add_argument(
        "--dissector", choices=tuple(DISSECTORS), default="own", help="own is fast; the others are the reference (default: own)"
    )
    wanted.add_argument("--windows", type=Path, metavar="FILE", help="metrics for each of these stretches of time, too")
    wanted.add_argument("--step", type=float, default=1.0, metavar="S", help="of throughput over time (default: %(default)s)")
    return wanted


def main(argv: Sequence[str] | None = None) -> int:
    """Print the metrics; 0 when the whole file was read, 1 when it is damaged: what could be read is printed all the same."""
    arguments = parser().parse_args(argv)
    if not 1e-6 <= arguments.step <= 1e6:
        raise UsageFault(f"--step {arguments.step:g} is no step", "use seconds between 0.000001 and 1000000")
    server = Server.parse(arguments.server)
    windows = read_windows(arguments.windows) if arguments.windows else ()
    with shown_progress(arguments.capture) as progress:
        metrics = read_metrics(
            arguments.capture,
            server,
            windows=windows,
            dissector=arguments.dissector,
            step_ns=round(arguments.step * 1e9),
            progress=progress,
        )
    if arguments.format == "json":
        print(json.dumps(metrics.to_json(), indent=2))
    else:
        print((as_csv if arguments.format == "csv" else as_table)(metrics), end="")
    if metrics.broken:
        text = f"{arguments.capture} is damaged: {metrics.broken}"
        print(f"tracemark: {text}: the figures are of what comes before; capture again", file=sys.stderr)
        return 1
    if not metrics.whole.packets:
        print(
            f"tracemark: none of the {metrics.packets_read} packets is from or to {arguments.server}: check --server",
            file=sys.stderr,
        )
        return 1
    return 0


def read_windows(path: Path) -> tuple[Window, ...]:
    """From a JSON file. Raises UsageFault."""
    remedy = 'write [{"key": "…", "start_ns": 1, "end_ns": 2}, …]'
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageFault(f"--windows {path} cannot be read ({error.strerror})", "name a JSON file") from error
    except ValueError as error:
        raise UsageFault(f"--windows {path} is no JSON ({error})", remedy) from error
    if not isinstance(entries, list):
        raise UsageFault(f"--windows {path} is no list", remedy)
    return tuple(_window(entry, f"entry {number} of --windows {path}", remedy) for number, entry in enumerate(entries, 1))


def _window(entry: object, what: str, remedy: str) -> Window:
    if not isinstance(entry, dict):
        raise UsageFault(f"{what} is no object", remedy)
    key, start, end = (entry.get(name) for name in ("key", "start_ns", "end_ns"))
    if not isinstance(key, str) or type(start) is not int or type(end) is not int or not -(2**63) < start < end < 2**63:
        raise UsageFault(f"{what} needs a key and two times, start before end", remedy)
    return Window(key, start, end)


@contextmanager
def shown_progress(path: Path, now: Callable[[], float] = time.monotonic) -> Iterator[Callable[[int], None]]:
    """Something to tell how many bytes are done; a bar on a terminal when it takes over two seconds."""
    if not sys.stderr.isatty() or not path.is_file():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("reading"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task("reading", total=path.stat().st_size)
    began, started = now(), False

    def tell(done: int) -> None:
        nonlocal started
        if not started and now() - began > _PATIENCE_S:
            bar.start()
            started = True
        bar.update(task, completed=done)

    try:
        yield tell
    finally:
        if started:
            bar.stop()
