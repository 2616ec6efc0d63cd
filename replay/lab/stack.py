"""The practice system as a whole: up, down, status."""

from __future__ import annotations

import http.client
import shutil
import socket
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

from replay.lab.answering import await_status
from replay.lab.command import Run, run
from replay.lab.containers import engine_answers, project_name
from replay.lab.faults import LabFault, LabUsageFault
from replay.lab.folders import USERS, StateFolder, locked
from replay.lab.image_build import remove_images
from replay.lab.info import LabInfo, Mode
from replay.lab.modes import all_known_parts, known_parts, new_parts
from replay.lab.networks.fleet import Networks
from replay.lab.networks.link import Setup
from replay.lab.networks.network import Network
from replay.lab.options import DEFAULT_HTTP, DEFAULT_MARKERS, DEFAULT_PORT, DICOM_TITLE, LabOptions
from replay.lab.parts import NAMES, Parts, PartState
from replay.lab.processes import Processes, free_port
from replay.lab.studies import EXAM, Progress, fill_archive, silent

__all__ = ["LabOptions", "down", "network", "status", "up"]

Say = Callable[[str], None]
_READY_S = 120.0


def up(options: LabOptions, say: Say, *, progress: Progress = silent, runner: Run = run) -> LabInfo:
    """Starts the lab and waits until its first page comes; a lab that runs already is left as it is, but gets wanted networks.

    Whatever fails or interrupts it, no container and no process is left. Raises LabFault, or LabUsageFault when the lab that runs
    was started with other options.
    """
    folder = StateFolder(options.directory.resolve())
    folder.make()
    with locked(folder.lock):
        if (found := _running(folder, options, runner)) is not None:
            say(f"the lab is up already: {found.url}{found.context_path}/")
            return _with_networks(folder, found, options, say, runner)
        _end_leftovers(folder, runner)
        why_not = "--processes was given" if options.processes else engine_answers(runner)
        mode: Mode = "docker" if why_not is None else "processes"
        if why_not is not None:
            say(f"running as plain processes, not in containers: {why_not}")
        port = _port(options.port)
        size = options.exam_size or folder.kept_size() or "small"
        dicom = _port(options.dicom) if options.dicom is not None else None
        parts, maker = new_parts(folder, options, mode, port, say, runner, dicom=dicom)
        parts.check()
        _prepare_data(folder, f"{maker} {size}", size, options.cache, parts, say, progress)
        say(f"starting {', '.join(options.name_prefix + name for name in NAMES)}")
        with ExitStack() as undo:
            undo.callback(parts.stop)
            parts.start()
            _await_page(parts, port, options.context_path + "/", say)
            info = _describe(folder, options, size, parts, port, dicom)
            folder.stamp.write_text(f"{maker} {size}", encoding="utf-8")
            undo.callback(LabInfo.forget, folder.directory)
            undo.callback(_networks(folder, runner).down)
            info = _with_networks(folder, info, options, say, runner)
            info.save()
            undo.pop_all()
        say(f"the lab is up: {info.url}{info.context_path}/")
        return info


def down(directory: Path, say: Say, *, purge: bool = False, purge_images: bool = False, runner: Run = run) -> None:
    """Ends the lab of that folder. Nothing to end is not an error.

    Archive and catalogue stay unless `purge`; the images, which other labs use too, stay unless `purge_images`.
    """
    folder = StateFolder(directory.resolve())
    if not folder.was_used():
        say(f"no lab in {folder.directory}")
    else:
        with locked(folder.lock):
            ended = _end_leftovers(folder, runner)
            say("the lab is down" if ended else f"no lab was up in {folder.directory}")
            if purge:
                _remove_all(folder, runner)
                say("its archive and catalogue are removed")
    if purge_images and engine_answers(runner) is None:
        remove_images(runner)
        say("images that were built for labs are removed")


def status(directory: Path, *, runner: Run = run) -> tuple[PartState, ...]:
    """The state of each container or process, then of each network; empty when nothing of a lab is there."""
    folder = StateFolder(directory.resolve())
    try:
        info = LabInfo.load(folder.directory)
    except LabFault:
        return _networks(folder, runner).states()
    return known_parts(folder, info.mode, runner).states() + _networks(folder, runner).states()


def network(directory: Path, setup: Setup, *, runner: Run = run) -> tuple[LabInfo, Network]:
    """One setup of the lab that is up there, to run something in it; a LabFault when there is none."""
    folder = StateFolder(directory.resolve())
    info = LabInfo.load(folder.directory)
    if setup not in info.setups:
        raise LabFault(f"the lab has no {setup} in front of it", f"build it with `tracemark lab up --setup {setup}`")
    return info, _networks(folder, runner).one(setup)


def _networks(folder: StateFolder, runner: Run) -> Networks:
    return Networks(directory=folder.directory, run=runner, prefix=folder.name_prefix())


def _with_networks(folder: StateFolder, info: LabInfo, options: LabOptions, say: Say, runner: Run) -> LabInfo:
    """The lab with the networks that are wanted in front of it, beside those it has; written down when there is a new one."""
    networks = _networks(folder, runner)
    for setup in options.setups:
        networks.one(setup).up(
            info.url.removeprefix("http://"),
            link=options.links.get(setup),
            shaping=options.shaping,
            markers=DEFAULT_MARKERS if options.sidecar is None else options.sidecar.markers_here(),
            sidecar=DEFAULT_HTTP if options.sidecar is None else options.sidecar.http_here(),
            say=say,
        )
        info = replace(info, setups=networks.infos())
        info.save()
    return info


def _running(folder: StateFolder, options: LabOptions, runner: Run) -> LabInfo | None:
    """The lab that runs there in full and answers; a LabUsageFault when it is not the one that is asked for."""
    try:
        info = LabInfo.load(folder.directory)
    except LabFault:
        return None
    port = int(info.url.rpartition(":")[2])
    states = known_parts(folder, info.mode, runner).states()
    if any(part.state != "running" for part in states) or _page_status(port, info.context_path + "/") != 200:
        return None
    numbered = sum(1 for name in info.users if name not in USERS)
    any_receiver = options.dicom == 0 and info.dicom
    differences: tuple[tuple[str, object, object], ...] = (
        ("exam size", info.exam_size, options.exam_size or info.exam_size),
        ("context path", info.context_path, options.context_path),
        ("port", port, options.port or port),
        ("sidecar", info.sidecar, str(options.sidecar or "")),
        ("mode", info.mode, "processes" if options.processes else info.mode),
        ("numbered users", numbered, max(numbered, options.users)),
        ("DICOM receiver", info.dicom, info.dicom if options.dicom is None or any_receiver else _receiver(options.dicom)),
    )
    for what, is_now, wanted in differences:
        if is_now != wanted:
            raise LabUsageFault(
                f"the lab in {folder.directory} is up with {what} {is_now!r}, not {wanted!r}",
                "end it first with `tracemark lab down`",
            )
    return info


def _end_leftovers(folder: StateFolder, runner: Run) -> bool:
    """Stops whatever an earlier start left, in either mode; True when there was something."""
    found = _networks(folder, runner).down()
    for parts in all_known_parts(folder, runner):
        if any(part.state != "missing" for part in parts.states()):
            found = True
            parts.stop()
    LabInfo.forget(folder.directory)
    return found


def _remove_all(folder: StateFolder, runner: Run) -> None:
    """Everything of the lab goes; the folder itself only when nothing of somebody else is in it."""
    for parts in all_known_parts(folder, runner):
        parts.remove(folder.database)
        parts.remove(folder.directory / "xnat-data")
    for path in folder.contents():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    with suppress(OSError):
        folder.directory.rmdir()


def _port(wanted: int | None) -> int:
    port = DEFAULT_PORT if wanted is None else wanted
    if port == 0:
        return free_port()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as refused:
            raise LabFault(
                f"port {port} cannot be used ({refused.strerror})", "give another with --port, or 0 for any free one"
            ) from refused
    return port


def _prepare_data(
    folder: StateFolder, made_from: str, size: str, cache: Path, parts: Parts, say: Say, progress: Progress
) -> None:
    """The archive and, at the web application's first start, the catalogue go together: both are kept, or both are made anew."""
    kept = folder.stamp.read_text(encoding="utf-8") if folder.stamp.exists() else None
    if kept == made_from:
        return
    if kept is not None:
        say("a new archive and catalogue, because the exam size or the database changed")
    folder.stamp.unlink(missing_ok=True)
    parts.remove(folder.database)
    parts.remove(folder.archive)
    folder.make()
    fill_archive(folder.archive, size, cache, say, progress)


def _await_page(parts: Parts, port: int, path: str, say: Say) -> None:
    """Waits until the page comes through nginx; when it does not, says the last lines of what failed and raises a LabFault."""

    def alive() -> None:
        for part, name in zip(parts.states(), NAMES, strict=True):
            if part.state != "running":
                say(f"the last lines of {part.name}:\n{parts.last_words(name)}")
                raise LabFault(f"{part.name} ended ({part.detail})", "mend what its last lines say and try again")

    def late(got: str) -> LabFault:
        for name in NAMES:
            say(f"the last lines of {name}:\n{parts.last_words(name)}")
        return LabFault(f"GET {path} through nginx gave {got} for {_READY_S:g} s", "mend what the last lines say and try again")

    await_status(lambda: _page_status(port, path), lambda status: status == 200, timeout_s=_READY_S, alive=alive, late=late)


def _page_status(port: int, path: str) -> int | None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _receiver(port: int | None) -> str:
    return f"127.0.0.1:{port}/{DICOM_TITLE}" if port is not None else ""


def _describe(folder: StateFolder, options: LabOptions, size: str, parts: Parts, port: int, dicom: int | None) -> LabInfo:
    prefix = options.name_prefix
    in_processes = isinstance(parts, Processes)
    return LabInfo(
        url=f"http://127.0.0.1:{port}",
        mode="processes" if in_processes else "docker",
        context_path=options.context_path,
        users=folder.users(),
        exam=dict(EXAM),
        log_files={
            "nginx": str(folder.nginx_logs / "xnat.access.log"),
            "tomcat": str(folder.tomcat_logs / "localhost_access_log.*.txt"),
            "xnat": str(folder.xnat_logs / "access.log"),
        },
        containers=tuple(prefix + name for name in NAMES),
        pid_files={prefix + name: str(parts.pid_file(name).path) for name in NAMES} if isinstance(parts, Processes) else {},
        directory=str(folder.directory),
        exam_size=size,
        project=project_name(prefix),
        sidecar=str(options.sidecar or ""),
        dicom=_receiver(dicom),
    )
