"""`tracemark replay --deliver`: tells the sidecar what runs have kept for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from replay.campaign_folder import OUTBOX, RunBusyError, locked, runs_in, saved_manifest
from replay.campaign_markers import Channel, kept_sessions
from sidecar.model.faults import Fault, UsageFault


class UndeliveredError(Fault):
    """The sidecar has not got everything."""

    retry = True


def deliver(folder: Path, markers: str | None, token: str, say: Callable[[str], None]) -> int:
    """Deliver what the run in this folder, or the runs in it, have kept; each to its own channel unless `markers` names one.

    Returns 0 when nothing is kept any more; raises UndeliveredError otherwise, ChannelRefusedError when the sidecar refuses us.
    """
    runs = runs_in(folder)
    if not runs:
        raise UsageFault(f"there is no run in {folder}", "name the folder given with --out, or a run in it")
    delivered = kept = 0
    for run in runs:
        waiting = kept_sessions(run / OUTBOX)
        if not waiting:
            continue
        try:
            left = _deliver_run(run, markers, token, say)
        except RunBusyError:
            say(f"{run.name} is being played; it delivers by itself")
            continue
        delivered, kept = delivered + waiting - left, kept + left
    say(f"{delivered} sessions delivered, {kept} kept")
    if kept:
        raise UndeliveredError(f"{kept} sessions could not be delivered", "start the sidecar, then give the same command")
    return 0


def _deliver_run(run: Path, markers: str | None, token: str, say: Callable[[str], None]) -> int:
    with locked(run):
        manifest = saved_manifest(run)
        url = markers or (manifest.markers if manifest else "none")
        Channel(url, token=token, outbox=run / OUTBOX, say=say).deliver()
    return kept_sessions(run / OUTBOX)
