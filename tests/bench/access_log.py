"""Access-log speed: lines per CPU second, parsing alone, with inference, and all the way into the journal; and memory.
Python's collector of garbage is set as the sidecar sets it.

    python -m tests.bench.access_log [--lines N]

The log is made of the requests of XNAT's pages and of a viewer: almost every path is unique, sixty of a hundred are images.
"""

from __future__ import annotations

import argparse
import random
import resource
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sidecar.cli.serve import look_for_garbage_rarely
from sidecar.clock import SystemClock
from sidecar.collect.access_log import LogCollector
from sidecar.collect.infer import Inference
from sidecar.collect.log_formats import LineReader, LogFormat
from sidecar.model.catalogue import load_catalogue
from sidecar.model.records import Record, Server
from sidecar.model.sink import Sink

START_MS = 1_795_341_170_000
FORMATS: tuple[tuple[LogFormat, Server], ...] = (("tm1", "nginx"), ("combined", "nginx"), ("common_duration", "tomcat"))
AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"


def targets(count: int) -> Iterator[tuple[str, str]]:
    """Method and target of each request."""
    dice = random.Random(1)  # the same log every time
    exam = 0
    for number in range(count):
        kind = dice.random()
        if kind < 0.002:
            exam = dice.randrange(100_000)
            yield "GET", f"/VIEWER?subjectId=S{exam}&projectId=P&experimentId=XNAT_E{exam:05}"
        elif kind < 0.60:
            uri = f"/data/archive/projects/COVID19_CT/subjects/XNAT_S{exam:05}/experiments/XNAT_E{exam:05}/scans/{exam % 9}"
            yield "GET", f"{uri}/resources/DICOM/files/1.2.826.{dice.randrange(10**12)}.dcm"
        elif kind < 0.75:
            yield "GET", f"/data/projects?format=json&accessible=true&_={number}"
        elif kind < 0.80:
            pairs = f"search_element/xnat:mrSessionData/search_field/xnat:mrSessionData.ID/search_value/XNAT_E{exam:05}"
            yield "GET", f"/app/action/DisplayItemAction/{pairs}"
        elif kind < 0.81:
            yield "POST", "/data/search?XNAT_CSRF=0123-4567&format=json"
        else:
            yield "GET", f"/scripts/xnat/app/module{dice.randrange(90)}.js?v=1.9"


def lines(kind: LogFormat, count: int) -> Iterator[str]:
    """A log of `count` lines, two hundred a second."""
    for number, (method, target) in enumerate(targets(count)):
        at_ms = START_MS + number * 5
        took, sent = number % 97 + 3, 1000 + number % 50_000
        path, _, query = target.partition("?")
        if kind == "tm1":
            seconds, upstream = f"0.{took:03}", f"0.{max(1, took - 1):03}"
            trace = f"00-{number // 40:032x}-{number // 40:016x}-01" if number // 2000 % 2 else "-"
            answer = (
                f"{at_ms // 1000}.{at_ms % 1000:03}\t{seconds}\t0.000\t{upstream}\t{upstream}\t200\t{sent}\t{300 + number % 400}"
            )
            asked_format = "json" if "format=json" in query else "-"
            yield f"tm1\t{answer}\t{method}\t{path}\t{asked_format}\ttext/html;charset=UTF-8\t{trace}"
        else:
            day = time.gmtime(at_ms // 1000)
            when = time.strftime("%d/%b/%Y:%H:%M:%S +0000", day)
            rest = f' "http://xnat/data/projects/P" "{AGENT}"' if kind == "combined" else f" {took}"
            yield f'172.18.0.5 - - [{when}] "{method} {target} HTTP/1.1" 200 {sent}{rest}'


class NoSink:
    """Takes everything and keeps nothing."""

    def __init__(self) -> None:
        self.records = 0

    def put(self, records: Sequence[Record], notes: Mapping[str, str] | None = None) -> bool:
        self.records += len(records)
        return True


def parse_rate(kind: LogFormat, server: Server, sample: list[str]) -> float:
    """Lines per CPU second of parsing alone."""
    read = LineReader(server).read
    began = time.process_time()
    refused = sum(read(kind, line) is None for line in sample)
    took = time.process_time() - began
    if refused:
        raise SystemExit(f"{refused} lines of {kind} were refused")
    return len(sample) / took


def follow(
    server: Server, log: Path, sink: Sink, note: Mapping[str, str], inference: Inference | None
) -> tuple[float, float, int]:
    """CPU seconds, wall seconds and requests of reading the whole log through a collector."""
    collector = LogCollector(server, str(log), sink, SystemClock(), note.get, inference=inference)
    cpu, wall = time.process_time(), time.monotonic()
    collector.poll(threading.Event())
    return time.process_time() - cpu, time.monotonic() - wall, int(collector.health()["requests"])


def into_the_journal(server: Server, log: Path, folder: Path, inference: Inference | None) -> tuple[float, float, int]:
    """The same, until the last record is committed."""
    from sidecar.journal.sqlite import SqliteJournal
    from sidecar.journal.writer import Writer

    journal = SqliteJournal(folder / f"{log.name}.{inference is None}.sqlite")
    writer = Writer(journal, SystemClock())
    writer.start()
    cpu, wall = time.process_time(), time.monotonic()
    *_, requests = follow(server, log, writer, {}, inference)
    if not writer.stop(600):
        raise SystemExit("the writer did not end")
    took = time.process_time() - cpu, time.monotonic() - wall, requests
    journal.close()
    return took


def main(argv: Sequence[str] | None = None) -> int:
    """Print the figures; asserts nothing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=1_000_000, help="length of the log (default 1000000)")
    count: int = parser.parse_args(argv).lines
    look_for_garbage_rarely()
    print(f"access log, {count} lines; lines per CPU second (goal: 100000 parsed and stored)")
    print(f"{'format':<16} {'parse':>9} {'follow':>9} {'+ infer':>9} {'+ store':>9} {'by clock':>9} {'+ both':>9} {'peak MB':>8}")
    for kind, server in FORMATS:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            log = folder / f"{kind}.log"
            with log.open("w", encoding="ascii") as file:
                file.writelines(f"{line}\n" for line in lines(kind, count))
            parse = parse_rate(kind, server, list(lines(kind, min(count, 100_000))))
            follow_cpu, _, _ = follow(server, log, NoSink(), {}, None)
            infer_cpu, _, _ = follow(server, log, NoSink(), {}, Inference(load_catalogue(), server))
            store_cpu, store_wall, stored = into_the_journal(server, log, folder, None)
            all_cpu, _, _ = into_the_journal(server, log, folder, Inference(load_catalogue(), server))
            peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            rates = (parse, count / follow_cpu, count / infer_cpu, stored / store_cpu, stored / store_wall, stored / all_cpu)
            print(f"{kind:<16} " + " ".join(f"{rate:>9.0f}" for rate in rates) + f" {peak_mb:>8.0f}", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
