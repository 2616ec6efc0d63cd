"""nginx with the configuration that the deployment mounts, on ports and in folders of a test."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.deploy import ROOT
from tests.support.waiting import wait_until

FOLDER = ROOT / "sidecar/deploy/nginx"


def program(name: str) -> str:
    """The path of a program that stands where only root looks; skips the test where there is none."""
    found = shutil.which(name, path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if found is None:
        pytest.skip(f"not installed: {name} (Debian: apt-get install nginx-light openssl)")
    return found


def written(folder: Path, exchanged: Mapping[str, str]) -> Path:
    """The deployment's files in a folder, with a certificate; `exchanged` are further texts and what stands for them."""
    known = {"/etc/nginx/tracemark": folder, "/etc/nginx/tls": folder, "/var/log/nginx": folder, **exchanged}
    for file in FOLDER.glob("*.conf"):
        text = file.read_text(encoding="utf-8")
        for theirs, ours in known.items():
            text = text.replace(theirs, str(ours))
        (folder / file.name).write_text(text, encoding="utf-8")
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", f"{folder}/privkey.pem", "-out", f"{folder}/fullchain.pem"]
    request = [program("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names, *files]
    subprocess.run(request, check=True, capture_output=True)
    return folder


@contextmanager
def serving(folder: Path, name: str, port: int) -> Iterator[None]:
    """nginx with this file until the block is left; it answers on `port` before that."""
    log = folder / "nginx-said.log"
    directives = f"daemon off; pid {folder}/nginx.pid; user root;"
    with log.open("wb") as said:
        command = [program("nginx"), "-e", "stderr", "-c", str(folder / name), "-g", directives]
        process = subprocess.Popen(command, stdout=said, stderr=said)

    def answers() -> bool:
        assert process.poll() is None, log.read_text(encoding="utf-8")
        with socket.socket() as probe:
            probe.settimeout(30)
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait_until(answers, "nginx to answer")
        yield
    finally:
        process.terminate()
        process.wait(60)
