"""cgroup directories of v1 and v2: where a container's lies, and what its files say. Reads files; holds nothing open."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sidecar.collect.frames import memory_limit

#: how deep below a hierarchy's root a container's cgroup is looked for (rootless engines lie at 6)
_DEEPEST = 8
_DEFAULT_PERIOD_US = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CgroupPaths:
    """Where one cgroup's files are. In v1 each controller has its own tree, in v2 all four are the same directory."""

    version: int
    cpu_usage: Path
    cpu: Path | None
    memory: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CgroupLimits:
    """What a cgroup may use, None for no limit or none known; `problems` names what could not be understood."""

    cpus: float | None
    memory_bytes: int | None
    problems: tuple[str, ...]


def hierarchy(root: Path, controller: str) -> Path | None:
    """A v1 controller's tree below `root`: its own directory, or a joint one such as `cpu,cpuacct`."""
    if (root / controller).is_dir():
        return root / controller
    try:
        names = sorted(os.listdir(root))
    except OSError:
        return None
    return next((root / name for name in names if controller in name.split(",") and (root / name).is_dir()), None)


def at(root: Path, relative: Mapping[str, str] | str) -> CgroupPaths | None:
    """The cgroup at a path below the hierarchies of `root`; None when there is none with a CPU counter.

    `relative` is one path for all, or a path per controller ("" for v2) as /proc/PID/cgroup has it.
    """

    def below(tree: Path | None, controller: str) -> Path | None:
        path = relative if isinstance(relative, str) else relative.get(controller)
        if tree is None or path is None or ".." in path.split("/"):
            return None
        found = tree / path.lstrip("/")
        return found if found.is_dir() else None

    usage = below(hierarchy(root, "cpuacct"), "cpuacct")
    if usage and (usage / "cpuacct.usage").exists():
        cpu, memory = below(hierarchy(root, "cpu"), "cpu"), below(hierarchy(root, "memory"), "memory")
        return CgroupPaths(version=1, cpu_usage=usage, cpu=cpu, memory=memory)
    unified = below(root, "")
    if unified and "usage_usec" in flat(read(unified / "cpu.stat")):
        return CgroupPaths(version=2, cpu_usage=unified, cpu=unified, memory=unified)
    return None


def locate(root: Path, container_id: str, parent: str | None = None) -> CgroupPaths | None:
    """A container's cgroup by its full id; None when it has none below `root`.

    Looks at the places of the cgroupfs and systemd drivers, below `parent` (Docker's --cgroup-parent) where given, then through
    the tree (rootless engines, engines inside containers).
    """
    places = [f"docker/{container_id}", f"system.slice/docker-{container_id}.scope"]
    if parent and parent.endswith(".slice"):
        places.insert(0, f"{_slices(parent)}/docker-{container_id}.scope")
    elif parent:
        places.insert(0, f"{parent.strip('/')}/{container_id}")
    for place in places:
        if found := at(root, place):
            return found
    for tree in filter(None, (hierarchy(root, "cpuacct"), root)):
        if (place_found := _search(tree, container_id)) and (found := at(root, place_found)):
            return found
    return None


def limits(paths: CgroupPaths) -> CgroupLimits:
    """The cgroup's own limits; what is empty or invalid is no limit known, and named as a problem."""
    problems: list[str] = []
    cpus: float | None = None
    memory: int | None = None
    try:
        if paths.version == 2:
            cpus = None if (text := read(paths.cpu_usage / "cpu.max")) is None else parse_cpu_max(text)
        elif paths.cpu and (text := read(paths.cpu / "cpu.cfs_quota_us")) is not None:
            cpus = parse_cfs(text, read(paths.cpu / "cpu.cfs_period_us") or "")
    except ValueError as error:
        problems.append(str(error))
    name = "memory.max" if paths.version == 2 else "memory.limit_in_bytes"
    try:
        if paths.memory and (text := read(paths.memory / name)) is not None:
            memory = parse_memory_limit(text)
    except ValueError as error:
        problems.append(str(error))
    return CgroupLimits(cpus=cpus, memory_bytes=memory, problems=tuple(problems))


def parse_cpu_max(text: str) -> float | None:
    """Cores that v2's cpu.max allows (quota and period in µs; the period may be left out), None for `max`.

    Raises ValueError for anything else.
    """
    quota, _, period = text.strip().partition(" ")
    if quota == "max" and (not period or period.isdecimal()):
        return None
    if not quota.isdecimal() or not (period or "1").isdecimal() or int(period or 1) == 0:
        raise ValueError(f"cpu.max is {text.strip()!r}, not a quota and a period")
    return int(quota) / int(period or _DEFAULT_PERIOD_US)


def parse_cfs(quota: str, period: str) -> float | None:
    """Cores that v1's quota and period (µs) allow, None for a quota of -1. Raises ValueError for anything else."""
    if quota.strip() == "-1":
        return None
    if not quota.strip().isdecimal() or not period.strip().isdecimal() or int(period) == 0:
        raise ValueError(f"cpu.cfs_quota_us is {quota.strip()!r} and cpu.cfs_period_us {period.strip()!r}, not two numbers")
    return int(quota) / int(period)


def parse_memory_limit(text: str) -> int | None:
    """Bytes that a limit allows; None for `max`, 2^63 less a page, 2^64 - 1. Raises ValueError for anything else."""
    if text.strip() == "max":
        return None
    if not text.strip().isdecimal():
        raise ValueError(f"the memory limit is {text.strip()!r}, not a number")
    return memory_limit(int(text))


def parse_proc_cgroup(text: str) -> dict[str, str]:
    """A process's cgroups from /proc/PID/cgroup: path by controller, "" for v2. Lines that are none are left out."""
    paths = {}
    for line in text.splitlines():
        number, _, rest = line.partition(":")
        controllers, found, path = rest.partition(":")
        if not found or not number.isdecimal() or not path.startswith("/"):
            continue
        if controllers:
            paths.update(dict.fromkeys(controllers.split(","), path))
        elif number == "0":
            paths[""] = path
    return paths


def flat(text: str | None) -> dict[str, int]:
    """A file of lines `key number`."""
    pairs = (line.split() for line in (text or "").splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}


def read(path: Path) -> str | None:
    """A small file's text; None when it is absent or may not be read."""
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return None


def _slices(parent: str) -> str:
    """systemd nests slices by the dashes in their names: a-b.slice lies in a.slice."""
    parts = parent.strip("/").removesuffix(".slice").split("-")
    return "/".join("-".join(parts[: n + 1]) + ".slice" for n in range(len(parts)))


def _search(tree: Path, container_id: str) -> str | None:
    for folder, names, _ in os.walk(tree):
        relative = os.path.relpath(folder, tree)
        if container_id in os.path.basename(folder):
            return relative
        if relative.count(os.sep) >= _DEEPEST:
            names.clear()
    return None
