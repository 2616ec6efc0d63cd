"""`tracemark report DIR …`: replayed runs read again from their folders, side by side; loaded by name by `tracemark report`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path

from replay.report import files, page, text
from replay.report.runs import Run, read_runs
from replay.report.usage import ask, usage_rows
from replay.sidecar_api import Sidecar, SidecarAnswerError, SidecarAwayError
from sidecar.model.faults import UsageFault


def report(folders: Sequence[str], *, out: str | None, how: str | None, sidecar: str | None) -> int:
    """Read the runs, ask the sidecar at this address what they cost, and write the page, or the table, JSON or CSV to stdout."""
    runs = read_runs(map(Path, folders))
    if sidecar:
        runs = with_usage(runs, Sidecar(sidecar), lambda line: print(f"tracemark: {line}", file=sys.stderr))
    if out is not None:
        target = Path(out)
        made = page.render(runs, made_ns=time.time_ns(), version=metadata.version("tracemark"))
        try:
            target.write_text(made, encoding="utf-8")
        except OSError as error:
            raise UsageFault(f"{target} cannot be written ({error.strerror})", "name another file with --out") from error
    if out is None or how is not None:
        print({"json": files.as_json, "csv": files.as_csv}.get(how or "table", text.render)(runs), end="")
    return 0


def with_usage(runs: Sequence[Run], sidecar: Sidecar, say: Callable[[str], object]) -> list[Run]:
    """The runs with what the sidecar says of them now; where it says nothing, what was kept when the run ended stays."""
    found = []
    for run in runs:
        known = run.manifest
        try:
            rows = usage_rows(ask(sidecar, known.run, run.from_ns, run.to_ns, known.clock_offset_ns))
        except (SidecarAwayError, SidecarAnswerError) as error:
            say(f"no usage of {known.run}: {error}")
            rows = ()
        found.append(replace(run, usage=rows) if rows else run)
    return found
