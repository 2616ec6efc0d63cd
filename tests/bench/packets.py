"""Packet speed: packets per second and peak memory of our reader, of tshark and of pyshark, on one capture in one run.

    python -m tests.bench.packets [--megabytes N]

The capture is made here: a real HTTP download between two network namespaces, frames as on a wire, 128 bytes kept of each. It
needs root; where that is not to be had, a loopback download is captured instead (larger segments, fewer packets).
pyshark reads the first packets only: the whole file would take it minutes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.support.packets_net import SERVER4, cable, captured, download

#: packets that pyshark gets
CUT = 4000
#: prints nothing; peak memory of a child is measured by its parent
OURS = "from pathlib import Path; from replay.packets import *; print(read_metrics(Path({!r}), Server.parse({!r})).packets_read)"


def run(words: Sequence[str]) -> tuple[float, float, float, str]:
    """Wall seconds, CPU seconds (both with start-up), peak megabytes and the last line of output of a program."""
    began = time.monotonic()
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
        assert child.stdout
        last = ""
        for line in child.stdout:
            last = line
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{words[0]} ended with {child.returncode}")
    return time.monotonic() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, last.strip()


def main(argv: Sequence[str]) -> None:
    wanted = argparse.ArgumentParser(description=__doc__)
    wanted.add_argument("--megabytes", type=int, default=460)
    size = wanted.parse_args(argv).megabytes * 10**6
    with tempfile.TemporaryDirectory() as folder:
        for command, suffix in (("tcpdump", "pcap"), ("dumpcap", "pcapng")):
            file = Path(folder, f"download.{suffix}")
            with cable() as (client, server, device), captured(client, device, file, command):
                download(client, server, SERVER4, size)
            compare(file, whole=suffix == "pcap")
            file.unlink()


def compare(file: Path, whole: bool) -> None:
    """Print the figures of one capture; with `whole`, of all readers."""
    ours = [sys.executable, "-c", OURS.format(str(file), f"{SERVER4}:8080")]
    fields = ["frame.time_epoch", "ip.src", "ip.len", "tcp.len"]
    readers = {"ours, all metrics": ours, "tshark -q -z conv,tcp": ["tshark", "-n", "-r", str(file), "-q", "-z", "conv,tcp"]}
    if whole:
        readers[f"tshark -T fields, {len(fields)} fields"] = [
            *("tshark", "-n", "-r", str(file), "-T", "fields"),
            *(word for field in fields for word in ("-e", field)),
        ]
    results = {name: run(words) for name, words in readers.items()}
    packets = int(results["ours, all metrics"][3])
    rates = {name: packets / cpu for name, (_, cpu, _, _) in results.items()}
    print(f"{file.suffix[1:]}: {packets} packets, {file.stat().st_size / 1e6:.0f} MB; per CPU second, start-up included")
    if whole:
        cut = file.with_name("cut.pcap")
        subprocess.run(["editcap", "-r", str(file), str(cut), f"1-{CUT}"], check=True, stderr=subprocess.DEVNULL)
        name = f"pyshark (JSON, first {CUT} packets only)"
        loop = f"import pyshark; print(sum(1 for _ in pyshark.FileCapture({str(cut)!r}, keep_packets=False, use_json=True)))"
        results[name] = run([sys.executable, "-c", loop])
        rates[name] = CUT / results[name][1]
    for name, (wall, cpu, memory, _) in results.items():
        ratio = rates["ours, all metrics"] / rates[name]
        print(
            f"  {name:<40} {rates[name]:>10,.0f}/s  {wall:6.2f} s wall  {cpu:6.2f} s CPU  {memory:6.0f} MB  ours is {ratio:.1f} x"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
