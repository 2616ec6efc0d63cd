"""Packs the extension: an unpacked folder and a package per browser, byte for byte the same wherever it is run.

    python extension/package.py --out build/extension [--site https://xnat.example.org] [--key signing.pem]

Without `--site` each person grants the site in the options; with it the package asks for that site alone and nobody is asked. The
.crx needs a signing key, which also gives the extension its id: keep it, and keep it secret.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import json
import re
import shutil
import struct
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from xml.sax.saxutils import quoteattr

HERE = Path(__file__).resolve().parent
CATALOGUE = HERE.parent / "sidecar" / "model" / "catalogue.json"
BROWSERS = ("chromium", "firefox")
#: what is packed as it is; the page side's files are listed in lib/sites.js
FILES = (
    "background.js",
    "consent.html",
    "consent.js",
    "icons/128.png",
    "icons/16.png",
    "icons/32.png",
    "icons/48.png",
    "lib/access.js",
    "lib/admission.js",
    "lib/browser_calls.js",
    "lib/catalogue.js",
    "lib/channel.js",
    "lib/clock.js",
    "lib/config.js",
    "lib/consent.js",
    "lib/documents.js",
    "lib/downloads.js",
    "lib/face.js",
    "lib/file_watch.js",
    "lib/link.js",
    "lib/locators.js",
    "lib/open_actions.js",
    "lib/outbox.js",
    "lib/own_pages.js",
    "lib/page_rules.js",
    "lib/pages.js",
    "lib/presence.js",
    "lib/recorder.js",
    "lib/scenario_file.js",
    "lib/scenario_session.js",
    "lib/scenarios.js",
    "lib/service.js",
    "lib/sessions.js",
    "lib/settings.js",
    "lib/sites.js",
    "lib/status.js",
    "lib/store.js",
    "lib/talk.js",
    "lib/ticket.js",
    "lib/timelines.js",
    "lib/traceparent.js",
    "lib/visits.js",
    "lib/wire_items.js",
    "managed_schema.json",
    "options.html",
    "options.js",
    "pages.css",
    "popup.html",
    "popup.js",
    "scenario.js",
    "scenario_recorder.js",
)
#: lets the browser add a header to requests of the sites; nobody is warned, and only packages that need it ask for it
LABELLING = "declarativeNetRequestWithHostAccess"
_EPOCH = (1980, 1, 1, 0, 0, 0)


class PackageError(Exception):
    """The package cannot be made; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Baked:
    """What a package carries so that nobody has to type it: sites' origins, and settings named as in managed_schema.json."""

    sites: tuple[str, ...] = ()
    context_path: str = ""
    sidecar_url: str = ""
    traceparent: bool = False
    update_urls: Mapping[str, str] | None = None

    def settings(self) -> dict[str, Any]:
        """The settings that are given, as lib/config.js reads them."""
        given = {
            "sites": list(self.sites),
            "context_path": self.context_path,
            "sidecar_url": self.sidecar_url,
            "traceparent": self.traceparent,
        }
        return {name: value for name, value in given.items() if value}


def content_files(source: Path = HERE) -> tuple[str, ...]:
    """The page side's files in the order of loading, from lib/sites.js."""
    text = (source / "lib" / "sites.js").read_text(encoding="utf-8")
    listed = re.search(r"export const CONTENT_FILES = \[(.*?)\];", text, re.DOTALL)
    if listed is None:
        raise PackageError("lib/sites.js has no list CONTENT_FILES: restore it")
    return tuple(re.findall(r'"([^"]+)"', listed[1]))


def origin_of(site: str) -> str:
    """A site's origin; raises PackageError for anything else."""
    parts = urlsplit(site)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query or parts.username:
        raise PackageError(
            f"{site!r} is no site: give an origin such as https://xnat.example.org (a path goes to --context-path)"
        )
    return f"{parts.scheme}://{parts.netloc}"


def manifest_for(browser: str, manifest: Mapping[str, Any], baked: Baked) -> dict[str, Any]:
    """The one manifest with what is baked into it for this browser."""
    made = json.loads(json.dumps(manifest))
    if baked.sites:
        # Match patterns of Firefox have no port; without one every port of the host is meant.
        hosts = {f"{parts.scheme}://{parts.hostname}/*" for parts in map(urlsplit, baked.sites)}
        made["host_permissions"] = sorted(hosts)
        del made["optional_host_permissions"]
    if baked.traceparent:
        made["permissions"].append(LABELLING)
    update_url = (baked.update_urls or {}).get(browser)
    if update_url and browser == "chromium":
        made["update_url"] = update_url
    elif update_url:
        made["browser_specific_settings"]["gecko"]["update_url"] = update_url
    return dict(made)


def contents(browser: str, baked: Baked, source: Path = HERE, catalogue: Path = CATALOGUE) -> dict[str, bytes]:
    """Every file of the package by its path."""
    manifest = json.loads((source / "manifest.json").read_text(encoding="utf-8"))
    files = {"manifest.json": _json(manifest_for(browser, manifest, baked))}
    files["catalogue.json"] = catalogue.read_bytes()
    files["defaults.json"] = _json(baked.settings())
    for name in (*FILES, *content_files(source)):
        try:
            files[name] = (source / name).read_bytes()
        except FileNotFoundError:
            raise PackageError(f"{name} is listed and not there: add it, or take it from the list") from None
    return dict(sorted(files.items()))


def archive(files: Mapping[str, bytes]) -> bytes:
    """A zip whose bytes depend on names and contents alone (stored: compressors differ between machines)."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as packed:
        for name, data in sorted(files.items()):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system = 3
            entry.external_attr = 0o100644 << 16
            packed.writestr(entry, data)
    return made.getvalue()


def extension_id(public_key: bytes) -> str:
    """Chromium's id of a public key (DER): the first half of its SHA-256, hexadecimal, in the letters a to p."""
    return hashlib.sha256(public_key).hexdigest()[:32].translate(str.maketrans("0123456789abcdef", "abcdefghijklmnop"))


def crx(packed: bytes, key: Path) -> bytes:
    """A CRX3 file: the zip behind a header with the public key, the id and a signature over both (RSA, SHA-256)."""
    public = public_key(key)
    signed = _field(1, hashlib.sha256(public).digest()[:16])
    signature = _openssl(
        "dgst", "-sha256", "-sign", str(key), data=b"CRX3 SignedData\0" + struct.pack("<I", len(signed)) + signed + packed
    )
    header = _field(2, _field(1, public) + _field(2, signature)) + _field(10000, signed)
    return b"Cr24" + struct.pack("<II", 3, len(header)) + header + packed


def public_key(key: Path) -> bytes:
    """The public half of a PEM key, DER; raises PackageError."""
    return _openssl("pkey", "-in", str(key), "-pubout", "-outform", "DER")


def build(out: Path, baked: Baked, key: Path | None = None, source: Path = HERE) -> list[Path]:
    """Make everything in `out`, replacing what an earlier build left there; returns what was made."""
    made: list[Path] = []
    out.mkdir(parents=True, exist_ok=True)
    for browser in BROWSERS:
        files = contents(browser, baked, source)
        manifest = json.loads(files["manifest.json"])
        if browser == "chromium" and key is not None:
            manifest["key"] = base64.b64encode(public_key(key)).decode()
            files["manifest.json"] = _json(manifest)
        folder = out / browser
        shutil.rmtree(folder, ignore_errors=True)
        for name, data in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        package = out / f"tracemark-{manifest['version']}.{'zip' if browser == 'chromium' else 'xpi'}"
        package.write_bytes(archive(files))
        made += [folder, package]
        if browser == "chromium" and key is not None:
            made += _signed(out, archive(files), manifest, key)
    return made


def _signed(out: Path, packed: bytes, manifest: Mapping[str, Any], key: Path) -> list[Path]:
    package = out / f"tracemark-{manifest['version']}.crx"
    package.write_bytes(crx(packed, key))
    if "update_url" not in manifest:
        return [package]
    # Chromium asks this file which version there is; the package lies beside it.
    codebase = manifest["update_url"].rpartition("/")[0] + "/" + package.name
    updates = out / "updates.xml"
    updates.write_text(
        '<?xml version="1.0" encoding="UTF-8"?>\n<gupdate xmlns="http://www.google.com/update2/response" protocol="2.0">\n'
        f'  <app appid="{extension_id(public_key(key))}">\n'
        f"    <updatecheck codebase={quoteattr(codebase)} version={quoteattr(manifest['version'])}/>\n  </app>\n</gupdate>\n",
        encoding="utf-8",
    )
    return [package, updates]


def _json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def _field(number: int, data: bytes) -> bytes:
    """A length-delimited field of a protocol buffer."""
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)


def _openssl(*arguments: str, data: bytes = b"") -> bytes:
    try:
        done = subprocess.run(["openssl", *arguments], input=data, capture_output=True, check=False)
    except FileNotFoundError:
        raise PackageError("openssl is not there and signs the .crx: install the package openssl") from None
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise PackageError(f"openssl cannot use the key ({said[0] if said else 'no reason given'}): make one as the README says")
    return done.stdout


def main(arguments: Sequence[str]) -> int:
    """The command line; 0, or 2 with a sentence on stderr."""
    parser = argparse.ArgumentParser(
        prog="package.py", description="Packs the Tracemark extension for Chrome/Chromium and Firefox."
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the packages go")
    parser.add_argument("--site", action="append", default=[], metavar="ORIGIN", help="a site to be recorded; may be repeated")
    parser.add_argument("--context-path", default="", metavar="PATH", help="the path that XNAT is served under, such as /xnat")
    parser.add_argument(
        "--sidecar-url", default="", metavar="URL", help="the marker channel, such as wss://sidecar.example.org/markers"
    )
    parser.add_argument(
        "--traceparent", action="store_true", help="add the session's number to the site's own requests, for the proxy's log"
    )
    parser.add_argument("--key", type=Path, metavar="PEM", help="sign a .crx with this RSA key")
    for browser in BROWSERS:
        parser.add_argument(
            f"--{browser}-update-url", default="", metavar="URL", help=f"where {browser} looks for newer versions"
        )
    given = parser.parse_args(arguments)
    try:
        baked = Baked(
            sites=tuple(map(origin_of, given.site)),
            context_path=given.context_path.rstrip("/"),
            sidecar_url=given.sidecar_url,
            traceparent=given.traceparent,
            update_urls={browser: getattr(given, f"{browser}_update_url") for browser in BROWSERS},
        )
        for made in build(given.out, baked, given.key):
            print(made)
        if given.key:
            print(f"the extension's id in Chrome and Chromium: {extension_id(public_key(given.key))}")
    except PackageError as error:
        print(f"package.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
