"""Reads the folders of runs, finished or not, for a report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from replay.campaign_folder import MANIFEST, TRANSFERS, Manifest, RunFolder, runs_in
from replay.campaign_summary import campaign_summary
from replay.report.spread import Spread
from replay.report.usage import UsageRow, beyond, beyond_note, usage_rows
from replay.results import FORMAT, Repetition, ResultError, read_json
from replay.summary import Summary
from replay.users_folder import sessions_of
from sidecar.model.faults import Fault, UsageFault

#: what the sidecar said of a run when it ended, kept beside its results
USAGE = "usage.json"
SETUPS = ("lan", "vpn", "wan")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run as it is shown: throughput in bytes per second, a value per session; durations in seconds, a value per action."""

    folder: Path
    manifest: Manifest
    summary: Summary
    down: Spread | None
    up: Spread | None
    durations: Mapping[str, Spread]
    usage: tuple[UsageRow, ...]
    from_ns: int
    to_ns: int

    @property
    def setup(self) -> str:
        """As people read it."""
        return self.manifest.setup.upper()

    @property
    def beyond(self) -> int:
        """How many actions `usage` holds beside those of the finished repetitions."""
        return beyond(self.usage, {action: spread.n for action, spread in self.durations.items()})

    @property
    def unfinished(self) -> bool:
        """Whether repetitions are still to be played."""
        return self.summary.finished < self.summary.wanted


def read_runs(folders: Iterable[Path]) -> list[Run]:
    """The runs in these folders, each once: by scenario, then by setup, then in time. Raises UsageFault or ResultError."""
    found: dict[Path, None] = {}
    for folder in folders:
        if not folder.is_dir():
            raise UsageFault(
                f"{folder} is no folder", "name the folder of a run, or the one given to `tracemark replay` with --out"
            )
        inside = runs_in(folder)
        if not inside:
            raise UsageFault(
                f"{folder} holds no run: there is no {MANIFEST} in it",
                "name the folder of a run, or the one given to `tracemark replay` with --out",
            )
        found |= dict.fromkeys(path.resolve() for path in inside)
    return sorted(map(read_run, found), key=_place)


def read_run(path: Path) -> Run:
    """One run; raises ResultError, which names the file, for what cannot be read."""
    manifest = _manifest(path)
    folder = RunFolder(path, manifest)
    try:
        sessions = [one for kept, result in folder.finished() for one in sessions_of(kept, result)]
        played = [(result, _transfers(kept)) for kept, result in sessions if result.failure is None]
        summary = campaign_summary(folder)
    except ResultError as error:
        raise ResultError(f"the run {path} cannot be read: {error.what}", error.remedy) from error
    except (KeyError, TypeError, AttributeError) as error:
        raise ResultError(f"the run {path} cannot be read ({error!r})", "look whether something else wrote into it") from error
    durations: dict[str, list[float]] = {}
    for result, _ in played:
        for action in result.actions:
            if action.outcome == "completed" and action.duration_ns is not None:
                durations.setdefault(action.action, []).append(action.duration_ns / 1e9)
    return Run(
        folder=path,
        manifest=manifest,
        summary=summary,
        down=_rates(played, "down_rate"),
        up=_rates(played, "up_rate"),
        durations={action: spread for action, values in durations.items() if (spread := Spread.of(values))},
        usage=usage_rows(read_json(path / USAGE)) if (path / USAGE).exists() else (),
        from_ns=min((result.started_ns for result, _ in played), default=manifest.created_ns),
        to_ns=max((result.ended_ns or result.started_ns for result, _ in played), default=manifest.created_ns),
    )


def notes_of(runs: Sequence[Run]) -> list[str]:
    """What a reader of several runs must know before comparing them."""
    notes = [
        f"{run.manifest.run} is unfinished: {run.summary.finished} of {run.summary.wanted} repetitions."
        for run in runs
        if run.unfinished
    ]
    notes += [f"{run.manifest.run}: {beyond_note(run.beyond)}" for run in runs if run.beyond]
    scenarios = dict.fromkeys(run.manifest.scenario for run in runs)
    if len(scenarios) > 1:
        notes.append("Runs of different scenarios are shown apart: their sessions are not the same work.")
    for scenario in scenarios:
        of = [run for run in runs if run.manifest.scenario == scenario and run.summary.finished]
        for what, values in (
            ("the content of the scenario", {run.manifest.scenario_sha256 for run in of}),
            ("the scenario's parameters", {tuple(sorted(run.manifest.parameters.items())) for run in of}),
            ("where sizes come from (capture or browser)", {run.summary.source for run in of}),
            ("the size of the downloaded exam", {run.manifest.exam_bytes for run in of}),
            ("the number of users", {run.manifest.users for run in of}),
            ("how users arrive", {run.manifest.arrivals for run in of}),
            ("what plays them (a browser, or requests alone)", {run.manifest.engine for run in of}),
        ):
            if len(values) > 1:
                notes.append(f"Runs of {scenario} differ in {what}: compare them with care.")
    return notes


def _manifest(path: Path) -> Manifest:
    raw = read_json(path / MANIFEST)
    written = raw.get("format")
    if isinstance(written, int) and written > FORMAT:
        raise ResultError(
            f"the run {path} has format {written}, and this version reads format {FORMAT}", "update Tracemark to read it"
        )
    try:
        return Manifest.from_json(raw)
    except Fault as error:
        raise ResultError(f"{path / MANIFEST} is no manifest: {error.what}", "look whether something else wrote it") from error


def _transfers(folder: Path) -> Mapping[str, Any] | None:
    return read_json(folder / TRANSFERS) if (folder / TRANSFERS).exists() else None


def _rates(played: Iterable[tuple[Repetition, Mapping[str, Any] | None]], name: str) -> Spread | None:
    wholes = [(transfers or {}).get("whole") or {} for _, transfers in played]
    return Spread.of([float(whole[name]) for whole in wholes if whole.get(name) is not None])


def _place(run: Run) -> tuple[str, int, int]:
    setup = run.manifest.setup
    return run.manifest.scenario, SETUPS.index(setup) if setup in SETUPS else len(SETUPS), run.manifest.created_ns
