"""Whom the browser trusts: fingerprints of public keys, given as such or as certificates."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

import pytest

from replay.chromium import BrowserOptions, BrowserPaths, arguments, plain_origins
from replay.lab.command import run
from replay.lab.networks.certificates import TUNNEL_KEY, self_signed
from replay.trust import VARIABLE, fingerprint, trusted_keys
from sidecar.model.faults import UsageFault

ONE = base64.b64encode(bytes(32)).decode()
OTHER = base64.b64encode(bytes(range(32))).decode()


@pytest.mark.parametrize("kind", [("-newkey", "rsa:2048"), TUNNEL_KEY], ids=["rsa", "ec"])
def test_the_fingerprint_of_a_certificate_is_that_of_its_public_key(kind: Sequence[str], tmp_path: Path) -> None:
    made = self_signed(run, tmp_path, "server", kind, address="192.0.2.7")
    assert fingerprint(made.path.read_text()) == made.fingerprint(run)  # which asks openssl for the key
    both = tmp_path / "both.pem"
    both.write_text("a word before it\n" + made.path.read_text() + made.path.read_text())
    assert trusted_keys([str(both), ONE], {}) == (made.fingerprint(run), ONE)


def test_what_is_given_wins_over_the_variable() -> None:
    environment = {VARIABLE: f"{ONE}, {OTHER},"}
    assert trusted_keys([], environment) == (ONE, OTHER)
    assert trusted_keys([OTHER], environment) == (OTHER,)
    assert trusted_keys([], {}) == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot be read"),
        ("no certificate at all", "x.pem holds no certificate:"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "holds no certificate that can be understood"),
        ("-----BEGIN CERTIFICATE-----\nMIID\n-----END CERTIFICATE-----\n", "holds no certificate that can be understood"),
        ("-----BEGIN CERTIFICATE-----\nMAQwAgIA\n-----END CERTIFICATE-----\n", "holds no certificate that can be understood"),
    ],
)
def test_what_is_no_certificate_is_named(text: str | None, words: str, tmp_path: Path) -> None:
    file = tmp_path / "x.pem"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UsageFault, match=words) as fault:
        trusted_keys([str(file)], {})
    assert "x.pem" in str(fault.value)
    assert "give a PEM file" in str(fault.value)


@pytest.mark.parametrize(
    ("site", "origins"),
    [
        ("http://xnat.example.org", ("http://xnat.example.org",)),
        ("http://xnat.example.org:8080/xnat", ("http://xnat.example.org:8080",)),
        ("http://[2001:db8::7]:8080", ("http://[2001:db8::7]:8080",)),
        ("http://198.18.10.1", ("http://198.18.10.1",)),
        ("https://xnat.example.org", ()),
        ("http://127.0.0.1:8089", ()),
        ("http://[::1]:8089", ()),
        ("http://localhost:8089", ()),
        ("http://xnat.localhost", ()),
    ],
)
def test_downloads_are_let_through_from_sites_without_tls_elsewhere(site: str, origins: tuple[str, ...]) -> None:
    assert plain_origins(site) == origins


def test_the_browser_is_told_of_both_only_where_there_is_something_to_tell() -> None:
    paths = BrowserPaths(driver="driver", browser="browser")
    silent = BrowserOptions(paths=paths, hosts=("site",), window=(800, 600), visible=False)
    told = BrowserOptions(
        paths=paths, hosts=("site",), window=(800, 600), visible=False, trusted_keys=(ONE, OTHER), plain_origins=("http://site",)
    )
    added = set(arguments(told, "/tmp/profile", root=False)) - set(arguments(silent, "/tmp/profile", root=False))
    assert added == {
        f"--ignore-certificate-errors-spki-list={ONE},{OTHER}",
        "--unsafely-treat-insecure-origin-as-secure=http://site",
    }
