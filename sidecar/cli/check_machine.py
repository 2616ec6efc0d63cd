"""This machine: the Docker engine, control groups, access logs, the journal and the sidecar's own ports."""

from __future__ import annotations

import glob
import os
import shutil
import socket
import sqlite3
from pathlib import Path
from urllib.parse import urlsplit

from sidecar.cli.check_finding import Finding, ask
from sidecar.collect.cgroup_files import hierarchy
from sidecar.collect.docker_stats import DockerEngine, parse_selectors
from sidecar.config import Config
from sidecar.errors import CollectError

#: less room than this is none: SQLite's own log needs some beside the journal
_FULL_BYTES = 16_000_000


def check_docker(config: Config) -> Finding:
    """Whether the Docker engine answers and has containers that are chosen."""
    endpoint = config["docker"]
    if endpoint == "off":
        return Finding("docker", "ok", "switched off")
    try:
        chosen = parse_selectors(config["containers"])
        found = DockerEngine(endpoint, timeout_s=5).containers()
    except CollectError as fault:
        return Finding("docker", "warning", fault.what, fault.remedy)
    names = sorted(one.name for one in found if chosen(one.name, one.labels))
    if not names:
        return Finding("docker", "warning", f"none of {len(found)} containers is chosen", "check TRACEMARK_CONTAINERS")
    if (parts := urlsplit(endpoint)).scheme in ("tcp", "http"):
        # Not one of the sidecar's own questions: what answers it is no proxy with a list, and lets everybody do everything.
        status, _, _ = ask(f"http://{parts.hostname}:{parts.port or 2375}/info")
        if status == 200:
            return Finding(
                "docker",
                "warning",
                f"{endpoint} answers more than the sidecar asks: who gets into the sidecar rules the machine",
                "put a socket proxy in between, such as sidecar/deploy/socket-proxy.conf",
            )
    return Finding("docker", "ok", f"{len(names)} of {len(found)} containers are chosen: {', '.join(names[:8])}")


def check_cgroup(config: Config) -> Finding:
    """Whether exact samples are to be had from the cgroup files."""
    if config["cgroup"] == "off":
        return Finding("cgroup", "ok", "switched off: edges of actions are as exact as Docker's frames")
    root = Path(config["cgroup"])
    tree = root if (root / "cgroup.controllers").exists() else hierarchy(root, "cpuacct")
    if tree is None:
        return Finding(
            "cgroup",
            "warning",
            f"{config['cgroup']} shows no cgroups",
            "mount /sys/fs/cgroup read-only; until then 1 Hz frames are used",
        )
    return Finding("cgroup", "ok", f"{tree}, {config['cgroup_hz']:g} samples per second")


def check_log(config: Config, name: str, remedy: str) -> Finding:
    """Whether an access log is there and may be read."""
    pattern = config[f"{name}_log"]
    if not pattern:
        return Finding(
            f"{name} log",
            "ok" if name != "nginx" else "warning",
            "not set",
            "" if name != "nginx" else f"set TRACEMARK_{name.upper()}_LOG",
        )
    files = sorted(glob.glob(pattern))
    if not files and (closed := _closed_folder(Path(pattern))):
        return Finding(f"{name} log", "failed", f"{closed} may not be looked into", remedy)
    if not files:
        return Finding(
            f"{name} log", "warning", f"{pattern} matches no file yet", "check the path; it is followed as soon as it appears"
        )
    unreadable = [file for file in files if not os.access(file, os.R_OK)]
    if unreadable:
        return Finding(f"{name} log", "failed", f"{unreadable[0]} may not be read", remedy)
    return Finding(f"{name} log", "ok", f"{len(files)} file(s), newest {files[-1]}")


def _closed_folder(path: Path) -> Path | None:
    """The folder on the way to a path that keeps this user out: nothing in it would ever be seen."""
    on_the_way = [folder for folder in reversed(path.absolute().parents) if folder.is_dir()]
    # To go through one is enough, but for the last, whose files are listed.
    needed = {folder: os.X_OK | (os.R_OK if folder == path.absolute().parent else 0) for folder in on_the_way}
    return next((folder for folder, mode in needed.items() if not os.access(folder, mode)), None)


def check_journal(config: Config) -> Finding:
    """Whether the journal can be written and is sound, and how much room there is."""
    path = Path(config["journal"]).absolute()
    folder = path.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        return Finding("journal", "failed", f"{folder} cannot be written", "make the folder or set TRACEMARK_JOURNAL")
    free = shutil.disk_usage(folder).free
    size = path.stat().st_size if path.exists() else 0
    if size:
        try:
            with sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True) as connection:
                verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        except sqlite3.DatabaseError as error:
            verdict = str(error)
        if verdict != "ok":
            return Finding(
                "journal", "failed", f"{path} is damaged ({verdict})", "move it aside; a new one is made at the next start"
            )
    room = f"{size / 1e6:.0f} MB used, {free / 1e6:.0f} MB free"
    remedy = f"free some space in {folder} or lower TRACEMARK_JOURNAL_MAX_MB (now {config['journal_max_mb']:g})"
    if free < _FULL_BYTES:
        return Finding("journal", "failed", f"{path}: {room}, so little can be written", remedy)
    if size + free < config["journal_max_mb"] * 1e6:
        return Finding("journal", "warning", f"{path}: {room}, and it may still grow past that", remedy)
    return Finding("journal", "ok", f"{path}: {room}")


def check_port(config: Config, name: str) -> Finding:
    """Whether an address is free, or already ours: inside the container the sidecar itself is running."""
    host, port = config[name]
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if _is_ours(name, host, port):
                return Finding(name, "ok", f"{host}:{port} is a running sidecar's")
            return Finding(
                name,
                "warning",
                f"{host}:{port} cannot be listened on ({error.strerror})",
                f"another program has it: end that, or set TRACEMARK_{name.upper()}",
            )
    return Finding(name, "ok", f"{host}:{port} is free")


def _is_ours(name: str, host: str, port: int) -> bool:
    """Whether a sidecar answers there; the marker channel refuses a request that is no WebSocket in its own way."""
    here = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    if name == "http":
        return ask(f"http://{here}:{port}/readyz", timeout_s=1)[0] in (200, 503)
    return ask(f"http://{here}:{port}/markers", timeout_s=1)[0] == 426
