"""The boards' JSON against Grafana's own types; the types' own test is `mistakes.ts`, whose mistakes the compiler must find."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.support.grafana import GRAFANA

TYPES = GRAFANA / "types"


@pytest.fixture(scope="module")
def modules() -> Path:
    """Folder with the pinned npm packages, kept from one run to the next under the checksum of their lock file."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed (Debian: apt-get install npm)")
    lock = (TYPES / "package-lock.json").read_bytes()
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    cache = Path(os.environ.get("TRACEMARK_CACHE", home / "tracemark")) / "grafana-types"
    kept = cache / hashlib.sha256(lock).hexdigest()[:16]
    if not kept.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as work:
            for name in ("package.json", "package-lock.json"):
                shutil.copy(TYPES / name, work)
            done = subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=work, capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"npm cannot fetch @grafana/schema: {done.stderr[-300:]}")
            try:
                Path(work, "node_modules").rename(kept)
            except OSError:
                assert kept.is_dir(), "another run has put them there meanwhile"
    return kept


def compiled(folder: Path, modules: Path) -> str:
    """What the compiler says of the TypeScript in a folder: nothing when all is well."""
    for path in (*TYPES.glob("*.ts"), TYPES / "tsconfig.json"):
        shutil.copy(path, folder)
    (folder / "node_modules").symlink_to(modules)
    compiler = modules / "typescript" / "bin" / "tsc"
    done = subprocess.run(["node", compiler, "-p", "."], cwd=folder, capture_output=True, text=True, check=False)
    assert bool(done.returncode) is bool(done.stdout), done.stderr
    return done.stdout


def as_typescript(board: str) -> str:
    """A literal: an imported JSON file would lose the exact values of strings."""
    return f"import type {{ Board }} from './board';\nexport const board = {board.rstrip()} satisfies Board;\n"


def test_boards_are_of_grafanas_types(tmp_path: Path, modules: Path) -> None:
    for path in (GRAFANA / "dashboards").glob("*.json"):
        (tmp_path / f"{path.stem}.ts").write_text(as_typescript(path.read_text(encoding="utf-8")), encoding="utf-8")
    assert compiled(tmp_path, modules) == ""
