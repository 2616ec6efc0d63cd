"""At the end of a run: what it cost, asked of the sidecar, kept beside the results and shown."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from replay.campaign_folder import RunFolder
from replay.durable import write_json
from replay.report.runs import USAGE
from replay.report.usage import ask, await_usage, beyond, beyond_note, settled, table, usage_rows
from replay.sidecar_api import Sidecar, SidecarAnswerError, SidecarAwayError
from replay.users_folder import sessions_of


def show_usage(
    folder: RunFolder, sidecar: Sidecar | None, *, patient: bool, pause: Callable[[float], object] = time.sleep
) -> None:
    """Print the usage of the run and keep it; where the sidecar says nothing, one line on stderr.

    The sidecar needs some seconds to join the last actions with their samples: `patient` waits for them.
    """
    results = [result for path, whole in folder.finished() for _, result in sessions_of(path, whole)]
    if sidecar is None or not results or folder.manifest.markers == "none":
        return
    known = folder.manifest
    begin_ns = min(result.started_ns for result in results)
    end_ns = max(result.ended_ns or result.started_ns for result in results)
    played = Counter(action.action for result in results for action in result.actions if action.outcome == "completed")

    def asked() -> dict[str, Any]:
        return ask(sidecar, known.run, begin_ns, end_ns, known.clock_offset_ns)

    try:
        told = await_usage(asked, played, pause) if patient else asked()
        rows = usage_rows(told)
    except (SidecarAwayError, SidecarAnswerError) as error:
        print(f"replay: what the run cost is not known: {error}", file=sys.stderr, flush=True)
        return
    if not rows:
        what = f"the sidecar at {sidecar.url} has no usage of this run: no markers came, or it samples no container"
        print(f"replay: {what}", file=sys.stderr, flush=True)
        return
    write_json(folder.path / USAGE, told)
    late = "" if settled(told, played) else "Some actions are not joined with their samples yet; `tracemark report` asks again.\n"
    more = f"{beyond_note(extra)}\n" if (extra := beyond(rows, played)) else ""
    print(
        f"What each action cost, by the sidecar (percent are of one core)\n{table([(known.setup, rows)])}{more}{late}",
        end="",
        flush=True,
    )
