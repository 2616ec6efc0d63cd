"""Whom the browser trusts beside the authorities that it knows: servers named by the fingerprint of their public key.

For a site whose certificate is its own or of a private authority. It replaces nothing else: every other certificate is checked as
ever, which `--ignore-certificate-errors` would not do.
"""

from __future__ import annotations

import base64
import hashlib
import re
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path

from sidecar.model.faults import UsageFault

#: environment variable with what `--trust` says, several separated by commas
VARIABLE = "TRACEMARK_REPLAY_TRUST"
#: base64 of the 32 bytes of a SHA-256
_FINGERPRINT = re.compile(r"[A-Za-z0-9+/]{43}=")
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_SEQUENCE, _VERSION = 0x30, 0xA0
#: what stands before the public key in a certificate, behind its version (RFC 5280, 4.1): serial number, algorithm, issuer,
#: validity, subject
_BEFORE_THE_KEY = 5


def trusted_keys(given: Sequence[str], environment: Mapping[str, str]) -> tuple[str, ...]:
    """The fingerprints that are meant: each given as such, or as a PEM file of certificates; the variable's where none is given.

    Raises UsageFault for what is neither.
    """
    texts = given or [part.strip() for part in environment.get(VARIABLE, "").split(",") if part.strip()]
    found = [one for text in texts for one in ([text] if _FINGERPRINT.fullmatch(text) else _of_file(text))]
    return tuple(dict.fromkeys(found))


def fingerprint(pem: str) -> str:
    """Base64 of the SHA-256 of a certificate's public key (its SubjectPublicKeyInfo, RFC 7469, 2.4).

    Raises ValueError or IndexError when it is no certificate.
    """
    whole = ssl.PEM_cert_to_DER_cert(pem)
    certificate, _ = _inside(whole, 0, _SEQUENCE)
    body, end = _inside(whole, certificate, _SEQUENCE)
    at = body
    if whole[at] == _VERSION:
        at = _end(whole, at)
    for _ in range(_BEFORE_THE_KEY):
        at = _end(whole, at)
    key = whole[at : _end(whole, at)]
    if not key or at >= end or key[0] != _SEQUENCE:
        raise ValueError("no public key where one belongs")
    return base64.b64encode(hashlib.sha256(key).digest()).decode("ascii")


def _of_file(name: str) -> list[str]:
    remedy = "give a PEM file, or base64 of the SHA-256 of its public key"
    try:
        text = Path(name).read_text(encoding="ascii")
        found = [fingerprint(pem) for pem in _PEM.findall(text)]
    except OSError as error:
        raise UsageFault(f"the certificate {name} cannot be read ({error.strerror})", remedy) from error
    except (ValueError, IndexError) as error:
        raise UsageFault(f"{name} holds no certificate that can be understood", remedy) from error
    if not found:
        raise UsageFault(f"{name} holds no certificate", remedy)
    return found


def _inside(data: bytes, at: int, tag: int) -> tuple[int, int]:
    """Begin and end of the content of the DER element at this place."""
    if data[at] != tag:
        raise ValueError("not the shape of a certificate")
    length, begin = data[at + 1], at + 2
    if length & 0x80:
        size = length & 0x7F
        length, begin = int.from_bytes(data[begin : begin + size]), begin + size
    if begin + length > len(data):
        raise ValueError("a certificate that ends too early")
    return begin, begin + length


def _end(data: bytes, at: int) -> int:
    return _inside(data, at, data[at])[1]
