"""OpenVPN between two namespaces: AES with 256 bits and SHA-256, both ends known to each other by their certificates only."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from replay.lab.command import Run
from replay.lab.faults import LabFault
from replay.lab.networks.certificates import TUNNEL_KEY, Certificate, self_signed
from replay.lab.networks.launch import launch
from replay.lab.networks.topology import TUNNEL_DEVICE, Tunnel
from replay.lab.pids import PidFile
from replay.lab.watching import watched

CIPHER = "AES-256-CBC"
DIGEST = "SHA256"
_UP = "Initialization Sequence Completed"
_READY_S = 60.0
_PORT = "1194"


def options(own: Certificate, peer: Certificate) -> list[str]:
    """What both ends have in common. CBC with an HMAC is the only mode of OpenVPN that has the study's two algorithms."""
    security = ["--data-ciphers", CIPHER, "--cipher", CIPHER, "--auth", DIGEST, "--tls-version-min", "1.2"]
    keys = ["--cert", str(own.path), "--key", str(own.key), "--ca", str(peer.path)]
    staying = ["--keepalive", "10", "120", "--persist-tun", "--persist-key"]
    return ["--dev", TUNNEL_DEVICE, "--dev-type", "tun", "--verb", "4", *security, *keys, *staying]


def gateway_options(tunnel: Tunnel) -> list[str]:
    where = ["--proto", "udp4", "--local", tunnel.remote, "--port", _PORT]
    return [*where, "--tls-server", "--dh", "none", "--ifconfig", tunnel.far_address, tunnel.near_address]


def client_options(tunnel: Tunnel) -> list[str]:
    where = ["--proto", "udp4", "--remote", tunnel.remote, _PORT, "--nobind", "--route", *tunnel.behind]
    return [*where, "--tls-client", "--ifconfig", tunnel.near_address, tunnel.far_address]


def start(run: Run, folder: Path, tunnel: Tunnel, *, client: str, gateway: str) -> dict[str, str]:
    """Makes keys, starts both ends in their namespaces, waits until they are through; gives their logs by name."""
    program = shutil.which("openvpn", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    if program is None:
        raise LabFault("the program openvpn is not there", "run `make setup`, or install it")
    keys = {name: self_signed(run, folder, name, TUNNEL_KEY) for name in ("vpn-gateway", "vpn-client")}
    logs: dict[str, str] = {}
    ends: Sequence[tuple[str, str, str, list[str]]] = (
        ("vpn-gateway", "vpn-client", gateway, gateway_options(tunnel)),
        ("vpn-client", "vpn-gateway", client, client_options(tunnel)),
    )
    for name, peer, namespace, own in ends:
        log = folder / f"{name}.log"
        command = [program, *own, *options(keys[name], keys[peer])]
        launch(run, PidFile(folder / f"{name}.pid"), log, command, inside=namespace)
        logs[name] = str(log)
    for name, log_file in logs.items():
        _await_up(PidFile(folder / f"{name}.pid"), Path(log_file))
    return logs


def _await_up(end: PidFile, log: Path) -> None:
    deadline = time.monotonic() + _READY_S
    identity = end.living()
    if identity is not None:
        with watched(log, identity) as wait:
            while not _is_up(log) and end.living() and (left := deadline - time.monotonic()) > 0:
                wait(left)
    if not _is_up(log):
        last = "; ".join(_said(log).splitlines()[-3:])
        raise LabFault(f"OpenVPN's {end.path.stem} did not come up ({last})", "mend what its last lines say and try again")


def _is_up(log: Path) -> bool:
    return _UP in _said(log)


def _said(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")
