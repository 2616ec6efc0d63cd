"""The folder of a run: its manifest, a folder per finished repetition, failed attempts, and what an earlier route made void.

A repetition is played in a folder whose name ends in `.part` and gets its own name when everything in it is on the disk. Whatever
ends in `.part` when a run is opened was left by a crash, and is removed.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from replay.durable import PART, move_whole, write_json
from replay.failures import DiskError, disk_fault, failure_of
from replay.results import FORMAT, Repetition, ResultError, read_json
from replay.route_model import Route
from sidecar.model.faults import UsageFault

MANIFEST = "manifest.json"
SUMMARY = "summary.json"
TRANSFERS = "transfers.json"
CAPTURE = "capture.pcapng"
OUTBOX = "outbox"
_REPETITION = re.compile(r"repetition-(\d{3,})")
_LOCK = "lock"
_SHA256 = re.compile(r"[0-9a-f]{64}")


class RunMismatchError(UsageFault):
    """This run was begun with other options."""


class RunBusyError(UsageFault):
    """Another process is playing this run."""


@dataclass(slots=True, kw_only=True)
class Manifest:
    """What a run is: everything in `SAME` is settled when it begins; the rest grows.

    `routes` are the routes it met, as `replay.route.Route` tells them; the last one counts. `discarded` says how many finished
    repetitions each change made void. `exam_bytes` is the size of what was downloaded last. `markers` is the marker channel, and
    `tagger` who tells the markers: `replay` or `extension`.
    `engine` plays: `browser`, or `http` by a recording whose content has `requests_sha256` (empty until there is one).
    `arrivals` says how `users` come, `failed_users` how many of them may fail; `grid` is the Selenium Grid, if it is one.
    """

    run: str
    setup: str
    scenario: str
    role: str
    scenario_sha256: str
    parameters: dict[str, str]
    seed: int
    site: str
    host: str
    users: int
    capture: bool
    repetitions: int
    markers: str
    created_ns: int
    arrivals: str = "at-once"
    failed_users: int = 0
    grid: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    routes: list[dict[str, Any]] = field(default_factory=list)
    discarded: list[int] = field(default_factory=list)
    exam_bytes: int | None = None
    clock_offset_ns: int | None = None
    clock_offset_error_ns: int | None = None
    tagger: str = "replay"
    engine: str = "browser"
    requests_sha256: str = ""

    @property
    def route(self) -> Route | None:
        """The one that the finished repetitions share."""
        return Route.from_json(self.routes[-1]) if self.routes else None

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Manifest:
        """Back from the file's content; raises ResultError."""
        known = {one.name for one in fields(cls)}
        try:
            if raw["format"] != FORMAT:
                raise ResultError(f"format {raw['format']!r} of a manifest is unknown", f"this version reads format {FORMAT}")
            return cls(**{name: value for name, value in raw.items() if name in known})
        except (TypeError, KeyError) as error:
            raise ResultError(f"this is no manifest ({error})", "take another --run-id") from error


#: what may not change within a run, and how the command names it
SAME = {
    "scenario": "SCENARIO",
    "scenario_sha256": "another content of the scenario",
    "setup": "--setup",
    "site": "--url",
    "seed": "--seed",
    "users": "--users",
    "arrivals": "--arrivals",
    "failed_users": "--failed-users",
    "grid": "--grid",
    "capture": "--capture",
    "parameters": "--set",
    "tagger": "--tagger",
    "engine": "--engine",
    "requests_sha256": "another recording of requests (--requests)",
}


def runs_in(folder: Path) -> list[Path]:
    """The runs of a folder: itself if it is one, else those in it."""
    if (folder / MANIFEST).is_file():
        return [folder]
    return sorted(path.parent for path in folder.glob(f"*/{MANIFEST}"))


class RunFolder:
    """One run on the disk; made by `opened_run`, which holds it for this process alone."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest
        self.outbox = path / OUTBOX

    def finished(self) -> list[tuple[Path, Repetition]]:
        """The repetitions that count, in order, each with its folder."""
        return [(folder, Repetition.load(folder)) for _, folder in self._folders()]

    def next_number(self) -> int:
        """The lowest number of a repetition that is not there yet, from 1."""
        there = {number for number, _ in self._folders()}
        return next(number for number in range(1, len(there) + 2) if number not in there)

    def next_attempt(self, number: int) -> int:
        """The number of the next attempt at this repetition: one more than failed ones have."""
        failed = (self.path / "failed").glob(f"{name_of(number)}-attempt-*")
        return max((int(path.name.rpartition("-")[2]) for path in failed), default=0) + 1

    def work(self, number: int) -> Path:
        """An empty folder to play this repetition in; raises DiskError."""
        folder = self.path / (name_of(number) + PART)
        shutil.rmtree(folder, ignore_errors=True)
        try:
            folder.mkdir()
        except OSError as error:
            raise disk_fault(error) from error
        return folder

    def keep(self, work: Path, result: Repetition) -> Path:
        """The repetition in this folder is finished, or failed: write its result and give the folder its name.

        Where there is no room for that, packets that were to be kept make room, and it has failed. Raises DiskError when that
        does not help.
        """
        try:
            return self._keep(work, result)
        except DiskError as error:
            if not (packets := [*work.rglob(CAPTURE)]):
                raise
            for file in packets:
                file.unlink()
            result.failure = result.failure or failure_of(error)
            return self._keep(work, result)

    def _keep(self, work: Path, result: Repetition) -> Path:
        result.save(work)
        name = name_of(result.repetition)
        target = self.path / name if result.failure is None else self.path / "failed" / f"{name}-attempt-{result.attempt}"
        move_whole(work, target)
        return target

    def follow(self, route: Route, *, changed: bool) -> int:
        """Note the route; when it has changed, move what was finished on the earlier one to `discarded`. Returns how many."""
        if changed:
            self.manifest.discarded.append(len(self._folders()))
        self.note_route(route, changed=changed)  # first the word, then the deed: `clear` does it again after a crash between them
        return self.clear()

    def note_route(self, route: Route, *, changed: bool) -> None:
        """Note the route in the manifest, as another one than the last when it has changed; raises DiskError."""
        if changed or not self.manifest.routes:
            self.manifest.routes.append(route.to_json())
        else:
            self.manifest.routes[-1] = route.to_json()
        self.save_manifest()

    def clear(self) -> int:
        """Move away every finished repetition that has another route than the last one; returns how many."""
        moved = 0
        for _, folder in self._folders():
            route = Repetition.load(folder).route
            if route != max(1, len(self.manifest.routes)):
                move_whole(folder, self.path / "discarded" / f"route-{route}" / folder.name)
                moved += 1
        return moved

    def save_manifest(self) -> None:
        """Write the manifest, whole or not at all; raises DiskError."""
        write_json(self.path / MANIFEST, {"format": FORMAT, **asdict(self.manifest)})

    def _folders(self) -> list[tuple[int, Path]]:
        named = ((_REPETITION.fullmatch(path.name), path) for path in self.path.iterdir() if path.is_dir())
        return sorted((int(match[1]), path) for match, path in named if match)


@contextmanager
def opened_run(out: Path, wanted: Manifest, *, one_route: bool = True) -> Iterator[RunFolder]:
    """A new run, or the one of this name as it was left; raises RunMismatchError, RunBusyError, ResultError or DiskError.

    With `one_route` repetitions that were finished on an earlier route do not count.
    """
    path = out / wanted.run
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_fault(error) from error
    with locked(path):
        for left in path.glob(f"*{PART}"):
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        folder = RunFolder(path, wanted)
        if (path / MANIFEST).exists():
            folder.manifest = Manifest.from_json(read_json(path / MANIFEST))
            _refuse_other(folder.manifest, wanted)
            folder.manifest.repetitions, folder.manifest.markers = wanted.repetitions, wanted.markers
            folder.manifest.requests_sha256 = wanted.requests_sha256
            if one_route:
                folder.clear()
        elif any(one.name != _LOCK for one in path.iterdir()):
            raise RunMismatchError(f"{path} is there and is no run", "take another --run-id or --out")
        folder.outbox.mkdir(exist_ok=True)
        folder.save_manifest()
        yield folder


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold this run's folder for this process alone; raises RunBusyError."""
    with (path / _LOCK).open("a+b") as file:
        try:
            if os.name == "posix":
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            else:
                import msvcrt

                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        except OSError as error:
            raise RunBusyError(
                f"the run {path.name} is being played by another process", "wait for it, or take another"
            ) from error
        yield


def name_of(number: int) -> str:
    """The name of a repetition's folder."""
    return f"repetition-{number:03d}"


def saved_manifest(path: Path) -> Manifest | None:
    """The manifest of a run, None where there is none yet; raises ResultError."""
    return Manifest.from_json(read_json(path / MANIFEST)) if (path / MANIFEST).exists() else None


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}={one}" for name, one in sorted(value.items())) or "nothing"
    text = str(value)
    return f"{text[:12]}…" if _SHA256.fullmatch(text) else text or "none"


def _refuse_other(begun: Manifest, wanted: Manifest) -> None:
    for name, option in SAME.items():
        before, now = getattr(begun, name), getattr(wanted, name)
        if name == "requests_sha256" and not before:
            continue  # it was to be made when the run was interrupted
        if before != now:
            values = f" {_shown(before)}, not {_shown(now)}"
            what = f"the run {begun.run} was begun with {option}{values}"
            raise RunMismatchError(what, "give the same again to finish it, or take another --run-id")
