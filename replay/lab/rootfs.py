"""A Debian root file system made from packages, for machines that reach no container registry."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from replay.lab.command import Run, must
from replay.lab.faults import LabFault

SUITE = "bookworm"
_PACKAGES = ("ca-certificates", "nginx-light", "postgresql-15", "python3-venv")
# What no lab container reads; PostgreSQL's just-in-time compiler alone (LLVM) is half of everything.
_LEFT_OUT = (
    "/usr/share/doc/*",
    "/usr/share/man/*",
    "/usr/share/locale/*",
    "/usr/share/i18n/*",
    "/usr/lib/*/libLLVM*",
    "/usr/lib/*/libz3*",
    "/usr/lib/postgresql/*/lib/llvmjit*",
    "/usr/lib/postgresql/*/lib/bitcode/*",
)
_SOURCES = (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list"))


def recipe() -> list[str]:
    """The arguments of mmdebstrap that decide what is in the file system, without target and mirror."""
    return [
        "--quiet",
        "--variant=minbase",
        f"--include={','.join(_PACKAGES)}",
        # Packages that register man pages fail at set-up when the folders for them were left out.
        '--essential-hook=mkdir -p "$1"/usr/share/man/man1 "$1"/usr/share/man/man7',
        '--customize-hook=rm -rf "$1"/var/lib/postgresql/15 "$1"/etc/postgresql/15',
        "--dpkgopt=force-unsafe-io",
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT),
        '--aptopt=Acquire::Languages "none"',
    ]


def key() -> str:
    """A content hash of the recipe: the same key, the same packages."""
    return hashlib.sha256("\n".join([SUITE, *recipe()]).encode()).hexdigest()[:12]


def rootfs_tar(cache: Path, run: Run, say: Callable[[str], None]) -> Path:
    """The root file system as a tar in the cache folder (about 250 MB), made on first use; a LabFault when that fails."""
    target = cache / "rootfs" / f"{SUITE}-{key()}.tar"
    if target.exists():
        return target
    if shutil.which("mmdebstrap") is None:
        raise LabFault(
            "no container registry answers and mmdebstrap, which makes an image from Debian's packages, is not there",
            "run `make setup`, or name images with BASE_IMAGE, POSTGRES_IMAGE and NGINX_IMAGE, or use --processes",
        )
    say("making a Debian root file system (about a minute, once)")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as work:
        draft = Path(work) / "rootfs.tar"
        made = run(["mmdebstrap", *recipe(), SUITE, draft, *_mirror()], timeout_s=1800)
        must(made, "mmdebstrap failed", "see to it that Debian's package mirror answers (`apt-get update`), or use --processes")
        draft.replace(target)
    return target


def _mirror() -> list[Path]:
    """This machine's own package sources where they serve the suite, so that a configured mirror is used; else the default."""
    for path in _SOURCES:
        if path.exists() and SUITE in path.read_text(encoding="utf-8", errors="replace"):
            return [path]
    return []
