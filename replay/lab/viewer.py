"""The radiology viewer: an npm package that `make setup` fetches and checks, unpacked here for the web application."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from pathlib import Path, PurePosixPath

from replay.lab.faults import LabFault

PACKAGE = "ohif-viewer-4.12.51"
_BUNDLE = "dist/index.umd.js"


def unpacked_viewer(cache: Path) -> Path:
    """The folder that holds dist/index.umd.js; unpacked on first use. A LabFault when the package was never fetched."""
    target = cache / "viewer" / PACKAGE
    if (target / _BUNDLE).exists():
        return target
    source = cache / "npm" / f"{PACKAGE}.tgz"
    if not source.exists():
        raise LabFault(f"the viewer's package {source} is not there", "run `make setup`, which fetches and checks it")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as work:
        try:
            _unpack(source, Path(work) / "package")
        except (tarfile.TarError, OSError, EOFError) as broken:
            raise LabFault(f"{source} cannot be unpacked ({broken})", "delete it and run `make setup`") from broken
        if not (Path(work) / "package" / _BUNDLE).exists():
            raise LabFault(f"{source} holds no {_BUNDLE}", "delete it and run `make setup`")
        shutil.rmtree(target, ignore_errors=True)
        (Path(work) / "package").replace(target)
    target.chmod(0o755)
    return target


def _unpack(source: Path, target: Path) -> None:
    """Regular files below the package's first folder, nothing else: no links, no paths that lead out."""
    with tarfile.open(source) as archive:
        for member in archive:
            parts = PurePosixPath(member.name).parts[1:]
            content = archive.extractfile(member) if member.isreg() and parts and ".." not in parts else None
            if content is None:
                continue
            path = target.joinpath(*parts)
            path.parent.mkdir(parents=True, exist_ok=True)
            with content, path.open("wb") as out:
                shutil.copyfileobj(content, out)
