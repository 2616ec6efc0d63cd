"""Keys and self-signed certificates, made by `openssl` when a network starts and removed with it."""

from __future__ import annotations

import base64
import hashlib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from replay.lab.command import Run, must

#: the study's server: RSA 4096 bit, SHA256withRSA
SERVER_KEY = ("-newkey", "rsa:4096")
TUNNEL_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate and its key, both PEM files."""

    path: Path
    key: Path

    def fingerprint(self, run: Run) -> str:
        """Base64 of the SHA-256 of the public key: what Chromium's --ignore-certificate-errors-spki-list wants."""
        pem = must(run(["openssl", "x509", "-in", self.path, "-noout", "-pubkey"], timeout_s=30), "openssl failed", "install it")
        body = "".join(line for line in pem.splitlines() if not line.startswith("-----"))
        return base64.b64encode(hashlib.sha256(base64.b64decode(body)).digest()).decode("ascii")

    def trusted(self) -> ssl.SSLContext:
        """A client's context that trusts this certificate and no other."""
        return ssl.create_default_context(cafile=str(self.path))


def self_signed(run: Run, folder: Path, name: str, kind: Sequence[str], *, address: str = "") -> Certificate:
    """NAME.crt and NAME.key in `folder`, valid for a year; with `address` a server that is reached by it."""
    made = Certificate(folder / f"{name}.crt", folder / f"{name}.key")
    extension = ["-addext", f"subjectAltName=IP:{address}"] if address else []
    command: list[str | Path] = [
        "openssl",
        "req",
        "-x509",
        *kind,
        "-nodes",
        "-sha256",
        "-days",
        "365",
        "-subj",
        f"/CN={name}",
        *extension,
        "-keyout",
        made.key,
        "-out",
        made.path,
    ]
    must(run(command, timeout_s=120), "no certificate could be made", "install openssl")
    made.key.chmod(0o600)
    return made
