"""Assembles the parts of a lab: containers or processes, for a new start or as an earlier start left them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from replay.lab.command import Run
from replay.lab.containers import Containers, compose_command, compose_variables, engine_answers, write_compose_env
from replay.lab.control_groups import ControlGroups
from replay.lab.folders import StateFolder
from replay.lab.image_build import ImageBuilder
from replay.lab.info import Mode
from replay.lab.nginx_conf import stock
from replay.lab.options import LabOptions, Sidecar
from replay.lab.parts import Parts
from replay.lab.processes import Processes, find_programs
from replay.lab.viewer import unpacked_viewer

_PYTHON = Path(sys.executable)
_CONTROL_GROUPS = Path("/sys/fs/cgroup")


def new_parts(
    folder: StateFolder,
    options: LabOptions,
    mode: Mode,
    port: int,
    say: Callable[[str], None],
    run: Run,
    *,
    dicom: int | None = None,
) -> tuple[Parts, str]:
    """The parts, ready to start, and what their database is made by: another maker means another database."""
    viewer = unpacked_viewer(options.cache)
    folder.name_prefix_file.write_text(options.name_prefix, encoding="utf-8")
    folder.users(options.users)
    if mode == "processes":
        programs = find_programs()
        processes = _processes(
            folder, run, port=port, viewer=viewer, context_path=options.context_path, sidecar=options.sidecar, dicom=dicom
        )
        return processes, str(programs.postgres)
    compose = compose_command(run, _PYTHON)
    builder = ImageBuilder(run=run, cache=options.cache, environment=options.environment, say=say, python=_PYTHON)
    images = builder.ensure()
    folder.nginx_conf.write_text(stock(options.sidecar, options.context_path), encoding="utf-8")
    variables = compose_variables(
        folder,
        images=images,
        viewer=viewer,
        port=port,
        prefix=options.name_prefix,
        context_path=options.context_path,
        dicom=dicom,
    )
    write_compose_env(folder.compose_env, variables)
    return Containers(folder=folder, prefix=options.name_prefix, compose=compose, run=run), images.database


def known_parts(folder: StateFolder, mode: Mode, run: Run) -> Parts:
    """The parts of an earlier start: enough to look at them, to stop them and to remove what they wrote."""
    if mode == "docker":
        return Containers(folder=folder, prefix=folder.name_prefix(), compose=compose_command(run, _PYTHON), run=run)
    return _processes(folder, run)


def all_known_parts(folder: StateFolder, run: Run) -> list[Parts]:
    """Both ways to run; containers only where this folder ever had some and an engine can be asked."""
    modes: list[Mode] = ["processes"]
    if folder.compose_env.exists() and engine_answers(run) is None:
        modes.append("docker")
    return [known_parts(folder, mode, run) for mode in modes]


def _processes(
    folder: StateFolder,
    run: Run,
    *,
    port: int = 0,
    viewer: Path = Path(),
    context_path: str = "",
    sidecar: Sidecar | None = None,
    dicom: int | None = None,
) -> Processes:
    return Processes(
        folder=folder,
        prefix=folder.name_prefix(),
        port=port,
        context_path=context_path,
        viewer=viewer,
        run=run,
        groups=ControlGroups(_CONTROL_GROUPS),
        as_root=os.geteuid() == 0,
        sidecar=sidecar,
        dicom=dicom,
    )
