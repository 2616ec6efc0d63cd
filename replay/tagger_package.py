"""The extension as a package for one browser of the replayer: made by its own `package.py`, then given its settings."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sidecar.model.faults import Fault, UsageFault

#: where the extension's source stands in a checkout: beside this package
BESIDE = Path(__file__).resolve().parents[1] / "extension"
#: nobody sits before this browser who could be asked for it
_REQUIRED = "downloads"


class ExtensionMissingError(UsageFault):
    """The extension's source is not there; an installed `tracemark` does not carry it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a package carries: what a person would choose, or a policy set. `session` is 32 hexadecimal digits."""

    site: str
    markers: str
    token: str
    session: str


def source_of(given: Path | None) -> Path:
    """The folder with the extension's source: the given one, or that of this checkout; raises ExtensionMissingError."""
    folder = given or BESIDE
    if not (folder / "package.py").is_file() or not (folder / "manifest.json").is_file():
        raise ExtensionMissingError(
            f"the extension is not in {folder}",
            "name its folder with --extension DIR: `extension/` of a checkout of this version",
        )
    return folder


def build(source: Path, out: Path, settings: Settings) -> Path:
    """An unpacked folder for Chromium below `out`; raises Fault with what `package.py` says against it."""
    parts = urlsplit(settings.site)
    command = [sys.executable, "-I", str(source / "package.py"), "--out", str(out), "--site", f"{parts.scheme}://{parts.netloc}"]
    command += ["--context-path", parts.path.rstrip("/"), "--sidecar-url", settings.markers]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode != 0:
        raise Fault("the extension cannot be packed", (made.stderr.strip().splitlines() or ["no reason given"])[-1])
    folder = out / "chromium"
    manifest = _read(folder / "manifest.json")
    optional = manifest.get("optional_permissions", [])
    if _REQUIRED in optional:
        manifest["permissions"] = [*manifest.get("permissions", []), _REQUIRED]
        manifest["optional_permissions"] = [one for one in optional if one != _REQUIRED]
    _write(folder / "manifest.json", manifest)
    chosen = {"auth": "token", "token": settings.token, "consent": "given", "session": settings.session}
    _write(folder / "defaults.json", {**_read(folder / "defaults.json"), **chosen})
    return folder


def _read(path: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return read


def _write(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
