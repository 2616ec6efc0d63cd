"""The extension's packages: complete, the same bytes every time, and asking for no more than they must."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.support.extension import SOURCE, load_package, node_tests

package = load_package()
ALLOWED = {"storage", "alarms", "scripting", "unlimitedStorage"}
NOT_PACKED = {"package.json", "package.py", "README.md", "icons/icon.svg", "icons/render.py"}


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not there: install openssl")
    file = tmp_path_factory.mktemp("key") / "key.pem"
    subprocess.run(["openssl", "genrsa", "-out", str(file), "2048"], check=True, capture_output=True)
    return file


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The extension's folder, with every file of the page side there, so that these tests look at packing alone."""
    copy = tmp_path / "source"
    shutil.copytree(SOURCE, copy)
    for name in package.content_files(copy):
        (copy / name).touch()
    return copy


def manifest(**baked: Any) -> dict[str, Any]:
    whole = json.loads((SOURCE / "manifest.json").read_text(encoding="utf-8"))
    made: dict[str, Any] = package.manifest_for("chromium", whole, package.Baked(**baked))
    return made


def test_the_list_and_the_folder_agree() -> None:
    files = {str(file.relative_to(SOURCE)) for file in SOURCE.rglob("*") if file.is_file() and "__pycache__" not in file.parts}
    assert files - NOT_PACKED - {"manifest.json"} == {*package.FILES, *package.content_files()}


def test_two_builds_are_the_same_bytes_whatever_the_files_times_are(tmp_path: Path, source: Path, key: Path) -> None:
    first = package.build(tmp_path / "a", package.Baked(), key, source)
    for file in source.rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes())
    second = package.build(tmp_path / "b", package.Baked(), key, source)
    names = [path.name for path in first]
    assert names == ["chromium", "tracemark-0.1.0.zip", "tracemark-0.1.0.crx", "firefox", "tracemark-0.1.0.xpi"]
    for one, other in zip(first, second, strict=True):
        assert one.is_dir() or one.read_bytes() == other.read_bytes()


def test_a_package_holds_the_catalogue_and_every_file_that_its_manifest_names(tmp_path: Path, source: Path) -> None:
    package.build(tmp_path, package.Baked(), None, source)
    with zipfile.ZipFile(tmp_path / "tracemark-0.1.0.xpi") as packed:
        names = set(packed.namelist())
        made = json.loads(packed.read("manifest.json"))
        assert json.loads(packed.read("catalogue.json"))["actions"]
        assert packed.read("defaults.json") == b"{}\n"
    icons = {*made["icons"].values(), *made["action"]["default_icon"].values()}
    pages = {made["action"]["default_popup"], made["options_ui"]["page"], made["background"]["service_worker"]}
    assert icons | pages | {*made["background"]["scripts"], made["storage"]["managed_schema"]} <= names
    assert not [name for name in names if name.endswith((".pem", ".py", ".md"))]


def test_the_permissions_are_the_least() -> None:
    made = manifest()
    assert set(made["permissions"]) == ALLOWED
    assert made["optional_permissions"] == ["downloads", "webRequest"]
    assert "host_permissions" not in made
    assert "content_scripts" not in made


def test_a_baked_site_is_the_only_one() -> None:
    made = manifest(sites=("https://xnat.example.org:8443",), update_urls={"chromium": "https://it.example.org/updates.xml"})
    assert made["host_permissions"] == ["https://xnat.example.org/*"]
    assert "optional_host_permissions" not in made
    assert made["update_url"] == "https://it.example.org/updates.xml"
    assert package.Baked(sites=("https://xnat.example.org",), context_path="/xnat").settings() == {
        "sites": ["https://xnat.example.org"],
        "context_path": "/xnat",
    }


def test_the_policy_keeps_unencrypted_sockets_usable_and_everything_else_out() -> None:
    policy = manifest()["content_security_policy"]["extension_pages"]
    assert "upgrade-insecure-requests" not in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "websiteActivity" in manifest()["browser_specific_settings"]["gecko"]["data_collection_permissions"]["required"]


def test_only_one_file_names_the_browsers_api_and_one_more_calls_it() -> None:
    """Pages need one call of it; the whole list of what the background uses would be two kilobytes more in each of them."""
    scripts = {file for file in (*package.FILES, *package.content_files()) if file.endswith(".js")}
    texts = {file: (SOURCE / file).read_text(encoding="utf-8") for file in scripts}
    naming = {file for file, text in texts.items() if re.search(r"\bchrome\b|globalThis\.browser|\bbrowser\.runtime", text)}
    assert naming == {"lib/browser.js"}
    calling = {file for file, text in texts.items() if re.search(r"\bapi\.[a-z]|\{ *api\b", text)}
    assert calling == {"lib/browser.js", "lib/browser_calls.js"}
    assert "lib/browser_calls.js" not in package.content_files()


def test_a_crx_is_signed_by_its_key_and_the_id_is_the_keys(tmp_path: Path, source: Path, key: Path) -> None:
    package.build(tmp_path, package.Baked(), key, source)
    data = (tmp_path / "tracemark-0.1.0.crx").read_bytes()
    magic, version, length = data[:4], *struct.unpack("<II", data[4:12])
    assert (magic, version) == (b"Cr24", 3)
    packed = data[12 + length :]
    made = json.loads(zipfile.ZipFile(io.BytesIO(packed)).read("manifest.json"))
    public = base64.b64decode(made["key"])
    assert public in data[:length]
    header = data[12 : 12 + length]
    signed_at = header.rindex(b"\x0a\x10")
    signed = header[signed_at:]
    before = signed_at - len(b"\x82\xf1\x04\x12")  # the tag and the length of the signed part
    signature = header[before - 256 : before]
    (tmp_path / "public.der").write_bytes(public)
    (tmp_path / "signature").write_bytes(signature)
    (tmp_path / "told").write_bytes(b"CRX3 SignedData\0" + struct.pack("<I", len(signed)) + signed + packed)
    verify = ["openssl", "dgst", "-sha256", "-verify", "public.der", "-keyform", "DER", "-signature", "signature", "told"]
    done = subprocess.run(verify, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "Verified OK", done.stderr


def test_the_id_is_the_hash_of_the_key_in_letters() -> None:
    assert package.extension_id(b"") == "odlameecjipmbmbejkplpemijjgpljce"


@pytest.mark.parametrize("site", ["xnat.example.org", "https://xnat.example.org/xnat", "ftp://h", "https://u@h", "https://h?x=1"])
def test_a_bad_site_is_named_with_the_remedy(site: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(SOURCE / "package.py"), "--out", str(tmp_path), "--site", site],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "give an origin such as" in done.stderr


def test_a_key_that_is_none_is_named_with_the_remedy(tmp_path: Path, source: Path) -> None:
    (tmp_path / "key.pem").write_text("no key", encoding="utf-8")
    with pytest.raises(package.PackageError, match="make one as the README says"):
        package.build(tmp_path / "out", package.Baked(), tmp_path / "key.pem", source)


def test_a_listed_file_that_is_missing_is_named(tmp_path: Path, source: Path) -> None:
    (source / "popup.js").unlink()
    with pytest.raises(package.PackageError, match=r"popup\.js is listed and not there"):
        package.build(tmp_path / "out", package.Baked(), None, source)


@pytest.mark.parametrize("side", ["background", "page"])
def test_the_extension_in_node(side: str) -> None:
    files = sorted((SOURCE.parent / "tests" / "extension" / side).glob("*.test.mjs"))
    assert files
    done = node_tests(*files)
    assert done.returncode == 0, done.stdout[-4000:]


@pytest.mark.browser
def test_mozillas_linter_finds_nothing_but_the_expected_notice(tmp_path: Path, source: Path) -> None:
    if shutil.which("npx") is None:
        pytest.skip("npx is not there: install npm")
    package.build(tmp_path / "out", package.Baked(), None, source)
    command = ["npx", "--yes", "web-ext@10.7.0", "lint", "-s", str(tmp_path / "out" / "firefox"), "--output", "json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    begin = done.stdout.find("{")
    if begin < 0:
        pytest.skip(f"npx cannot fetch web-ext: {done.stderr.strip().splitlines()[-1:]}")
    report = json.loads(done.stdout[begin:])
    found = {message["code"] for kind in ("errors", "warnings", "notices") for message in report[kind]}
    assert found <= {"BACKGROUND_SERVICE_WORKER_IGNORED"}, report
