"""Unpacking the viewer's package."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from replay.lab.faults import LabFault
from replay.lab.viewer import PACKAGE, unpacked_viewer


def pack(cache: Path, files: dict[str, str]) -> None:
    (cache / "npm").mkdir(parents=True, exist_ok=True)
    with tarfile.open(cache / "npm" / f"{PACKAGE}.tgz", "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content.encode()))
        link = tarfile.TarInfo("package/dist/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)


def test_the_bundle_is_found_and_a_second_call_unpacks_nothing(tmp_path: Path) -> None:
    pack(tmp_path, {"package/dist/index.umd.js": "viewer", "package/package.json": "{}"})
    folder = unpacked_viewer(tmp_path)
    assert (folder / "dist/index.umd.js").read_text() == "viewer"
    (tmp_path / "npm" / f"{PACKAGE}.tgz").unlink()
    assert unpacked_viewer(tmp_path) == folder


def test_nothing_leaves_the_folder(tmp_path: Path) -> None:
    pack(tmp_path, {"package/dist/index.umd.js": "viewer", "package/../../escaped": "x", "/absolute/file": "y"})
    folder = unpacked_viewer(tmp_path)
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()) == [
        "absolute/file",
        "dist/index.umd.js",
    ]
    assert not (tmp_path / "escaped").exists()


def test_a_missing_package_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(LabFault, match="run `make setup`"):
        unpacked_viewer(tmp_path)


@pytest.mark.parametrize("broken", [b"", b"not a tar"])
def test_a_broken_package_is_a_fault_and_leaves_nothing(tmp_path: Path, broken: bytes) -> None:
    (tmp_path / "npm").mkdir()
    (tmp_path / "npm" / f"{PACKAGE}.tgz").write_bytes(broken)
    with pytest.raises(LabFault, match="delete it and run `make setup`"):
        unpacked_viewer(tmp_path)
    assert list((tmp_path / "viewer").iterdir()) == []


def test_a_package_without_the_bundle_is_a_fault(tmp_path: Path) -> None:
    pack(tmp_path, {"package/package.json": "{}"})
    with pytest.raises(LabFault, match=r"holds no dist/index\.umd\.js"):
        unpacked_viewer(tmp_path)
