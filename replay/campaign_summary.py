"""Reads the folder of a run and sums it up."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from replay.campaign_folder import SUMMARY, TRANSFERS, RunFolder
from replay.durable import write_json
from replay.results import read_json
from replay.summary import Summary, Transfers, rows_of
from replay.users_folder import sessions_of


def campaign_summary(folder: RunFolder) -> Summary:
    """What is in the folder now; raises ResultError."""
    known = folder.manifest
    finished = folder.finished()
    sessions = [one for path, result in finished for one in sessions_of(path, result)]
    played = [(result, _transfers(path)) for path, result in sessions if result.failure is None]
    route = known.route
    return Summary(
        run=known.run,
        scenario=known.scenario,
        setup=known.setup,
        finished=len(finished),
        wanted=known.repetitions,
        failed=sum(1 for path in (folder.path / "failed").glob("*") if path.is_dir()),
        discarded=sum(1 for path in (folder.path / "discarded").glob("*/*") if path.is_dir()),
        source=_source([transfers for _, transfers in played]),
        route=str(route) if route is not None else None,
        rows=rows_of(played),
        users=known.users,
        failed_users=len(sessions) - len(played),
    )


def write_summary(folder: RunFolder) -> Summary:
    """Sum up and leave `summary.json`; raises DiskError."""
    summary = campaign_summary(folder)
    write_json(folder.path / SUMMARY, summary.to_json())
    return summary


def _transfers(path: Path) -> Transfers:
    return read_json(path / TRANSFERS) if (path / TRANSFERS).exists() else None


def _source(transfers: list[Transfers]) -> Literal["capture", "browser", "mixed", "none"]:
    sources = {one["source"] for one in transfers if one is not None}
    if not sources:
        return "none"
    return sources.pop() if len(sources) == 1 else "mixed"
