"""One setup in front of a running system: built, looked at, entered, removed, whoever built it and however they ended."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from replay.lab.command import Run
from replay.lab.faults import LabFault, LabUsageFault
from replay.lab.folders import write_private
from replay.lab.info import SetupInfo
from replay.lab.networks import edge, tunnel
from replay.lab.networks.build import Builder, Shaping
from replay.lab.networks.certificates import SERVER_KEY, self_signed
from replay.lab.networks.launch import launch
from replay.lab.networks.link import DEFAULT_LINKS, Link, Setup
from replay.lab.networks.namespaces import Namespaces, entered
from replay.lab.networks.topology import TOPOLOGIES
from replay.lab.parts import PartState
from replay.lab.pids import PidFile
from replay.lab.processes import free_port

Say = Callable[[str], None]
_GRACE_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """The setup's things are below `folder`/SETUP; `prefix` begins the names of its namespaces."""

    folder: Path
    setup: Setup
    run: Run
    prefix: str = ""

    @property
    def own(self) -> Path:
        return self.folder / self.setup

    @property
    def names(self) -> Mapping[str, str]:
        """Role -> name of its namespace."""
        return {role: f"{self.prefix}tm-{self.setup}-{role}" for role in TOPOLOGIES[self.setup].roles}

    def up(self, upstream: str, *, link: Link | None, shaping: Shaping, markers: str, sidecar: str = "", say: Say) -> SetupInfo:
        """Builds it in front of `upstream` (HOST:PORT of this machine) and waits until that answers a client through it.

        Without `link` it gets the setup's usual line, or keeps the one it has. `markers` is HOST:PORT of a sidecar's marker
        channel, which clients then reach at `SetupInfo.markers`, `sidecar` that of its HTTP API, which they reach on the usual
        port beside it; neither need be up. What stands already and runs is left as it
        is; what an earlier try left is removed first. A LabFault leaves nothing.
        """
        if (found := self.info()) is not None and self.state().state == "running":
            other_way = shaping not in ("auto", found.shaping) and (found.shaping != "none" or shaping == "proxy")
            if (found.upstream, found.link) != (upstream, str(link or found.link)) or other_way:
                raise LabUsageFault(
                    f"the setup {self.setup} is up with {found.link} by {found.shaping} in front of {found.upstream}",
                    "end the lab first with `tracemark lab down`",
                )
            return found
        self.down()
        link = link or DEFAULT_LINKS[self.setup]
        with ExitStack() as undo:
            undo.callback(self.down)
            info = (
                self._proxied(upstream, link) if shaping == "proxy" else self._built(upstream, link, shaping, (markers, sidecar))
            )
            write_private(self.own / "info.json", json.dumps(asdict(info)))
            undo.pop_all()
        for line in described(info):
            say(line)
        return info

    def down(self) -> bool:
        """Ends its processes, removes its namespaces and all that hangs on them; False when there was nothing."""
        if not self.own.exists():
            return False
        for file in sorted(self.own.glob("*.pid")):
            PidFile(file).end(signal.SIGTERM, _GRACE_S)
        record = self.own / "namespaces.json"
        if record.exists():
            namespaces = Namespaces(self.run)
            for name in json.loads(record.read_text(encoding="utf-8")):
                namespaces.remove(name)
        shutil.rmtree(self.own, ignore_errors=True)  # openssl of a start that was cut off may write there just now:
        if self.own.exists():  # then a second time
            shutil.rmtree(self.own)
        return True

    def info(self) -> SetupInfo | None:
        """How to use it; None when it is not up, or was never finished."""
        try:
            fields: dict[str, Any] = json.loads((self.own / "info.json").read_text(encoding="utf-8"))
            return SetupInfo.from_fields(fields)
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def state(self) -> PartState:
        """In one line: whether all that it is made of is there."""
        if not self.own.exists():
            return PartState(name=self.setup, state="missing", detail="not built")
        info = self.info()
        if info is None:
            return PartState(name=self.setup, state="stopped", detail="its start was cut off: run `tracemark lab down`")
        namespaces = Namespaces(self.run)
        away = [name for name in info.namespaces if not namespaces.exists(name)]
        ended = [name for name in info.processes if PidFile(self.own / f"{name}.pid").living() is None]
        if away or ended:
            return PartState(name=self.setup, state="stopped", detail="gone: " + ", ".join([*away, *ended]))
        pids = ", ".join(f"{name} {(self.own / f'{name}.pid').read_text(encoding='ascii').strip()}" for name in info.processes)
        inside = f"in {info.namespace}" if info.namespace else "on loopback"
        return PartState(name=self.setup, state="running", detail=f"{info.url} {inside}, {info.link} by {info.shaping}; {pids}")

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Inside, this thread's new sockets are the client's."""
        with entered(self.names["client"]):
            yield

    def run_in(self, command: Sequence[str | Path], **options: Any) -> subprocess.CompletedProcess[Any]:
        """`subprocess.run` for the client's place; processes started by the command are there, too."""
        info = self.info()
        if info is None:
            raise LabFault(f"the setup {self.setup} is not up", f"start it with `tracemark lab up --setup {self.setup}`")
        return subprocess.run([*info.command, *map(str, command)], **{"check": False, **options})

    def reroute(self) -> str:
        """Sends the client's packets another way (wan only): the next route trace differs. Gives the new first hop."""
        ways = TOPOLOGIES[self.setup].detours
        info = self.info()
        if info is None or not info.namespace or not ways:
            raise LabUsageFault(f"the setup {self.setup} has no second way", "only a wan in namespaces has one")
        taken = self.own / "way"
        number = (int(taken.read_text(encoding="ascii")) + 1) % len(ways) if taken.exists() else 1
        Namespaces(self.run).ip(self.names["client"], "route", "replace", "default", "via", ways[number])
        taken.write_text(str(number), encoding="ascii")
        return ways[number]

    def _built(self, upstream: str, link: Link, shaping: Shaping, sidecar: tuple[str, str]) -> SetupInfo:
        markers, api = sidecar
        namespaces = Namespaces(self.run)
        if (why_not := namespaces.why_not()) is not None:
            raise LabFault(f"the setup {self.setup} cannot be built: {why_not}", "run as root, or use `--shaping proxy`")
        for name in self.names.values():
            if namespaces.exists(name):
                raise LabFault(
                    f"a network namespace {name} is already there",
                    f"end the lab it belongs to with `tracemark lab down --dir DIR`, or remove it with `ip netns del {name}`",
                )
        self.own.mkdir(mode=0o700, parents=True)
        topology, names = TOPOLOGIES[self.setup], self.names
        write_private(self.own / "namespaces.json", json.dumps(list(names.values())))
        certificate = self_signed(self.run, self.own, "server", SERVER_KEY, address=topology.server) if topology.tls else None
        shaped = Builder(namespaces=namespaces, topology=topology, names=names, folder=self.own).build(link, shaping)
        processes = ["relay"] if shaped == "relay" else []
        logs: dict[str, str] = {"relay": str(self.own / "relay.log")} if processes else {}
        if topology.tunnel is not None:
            there = names[topology.tunnel.gateway]
            logs |= (ends := tunnel.start(self.run, self.own, topology.tunnel, client=names["client"], gateway=there))
            processes += ends
        border = edge.Edge(
            listen=f"{topology.server}:{443 if topology.tls else 80}",
            upstream=upstream,
            namespace=names["server"],
            certificate=certificate,
            markers=markers,
            sidecar=api,
        )
        logs |= edge.start(self.run, self.own, border, as_root=True)
        processes.append("edge")
        edge.await_answer(self.own, border.listen, certificate, names["client"], processes)
        return SetupInfo(
            setup=self.setup,
            url=border.url,
            server=border.listen,
            namespace=names["client"],
            namespaces=tuple(names.values()),
            command=("nsenter", f"--net=/run/netns/{names['client']}", "--"),
            interface=topology.client_device,
            markers=f"ws://{border.markers_listen}/markers" if markers else "",
            certificate=str(certificate.path) if certificate else "",
            fingerprint=certificate.fingerprint(self.run) if certificate else "",
            upstream=upstream,
            link=str(link),
            shaping=shaped,
            vpn=f"{tunnel.CIPHER}, {tunnel.DIGEST}" if topology.tunnel else "",
            processes=tuple(processes),
            logs=logs,
        )

    def _proxied(self, upstream: str, link: Link) -> SetupInfo:
        """Without namespaces: the shaping proxy on loopback, for the wan in front of an nginx that does TLS."""
        if TOPOLOGIES[self.setup].tunnel is not None:
            raise LabUsageFault("a proxy cannot be a VPN", "run as root without `--shaping proxy`, or take the wan")
        self.own.mkdir(mode=0o700, parents=True)
        certificate, behind, processes, logs = None, upstream, ["proxy"], {"proxy": str(self.own / "proxy.log")}
        if TOPOLOGIES[self.setup].tls:
            certificate = self_signed(self.run, self.own, "server", SERVER_KEY, address="127.0.0.1")
            border = edge.Edge(listen=f"127.0.0.1:{free_port()}", upstream=upstream, certificate=certificate)
            logs |= edge.start(self.run, self.own, border, as_root=os.geteuid() == 0)
            processes.append("edge")
            behind = border.listen
        listen = f"127.0.0.1:{free_port()}"
        words = ["--listen", listen, "--to", behind, "--link", str(link)]
        command = [sys.executable, "-m", "replay.lab.shaping_proxy", *words]
        launch(self.run, PidFile(self.own / "proxy.pid"), self.own / "proxy.log", command)
        edge.await_answer(self.own, listen, certificate, "", processes)
        return SetupInfo(
            setup=self.setup,
            url=f"{'https' if certificate else 'http'}://{listen}",
            server=listen,
            namespace="",
            namespaces=(),
            command=(),
            interface="lo",
            markers="",
            certificate=str(certificate.path) if certificate else "",
            fingerprint=certificate.fingerprint(self.run) if certificate else "",
            upstream=upstream,
            link=str(link),
            shaping="proxy",
            vpn="",
            processes=tuple(processes),
            logs=logs,
        )


def described(info: SetupInfo) -> list[str]:
    """For a person: where it is, what it does, how to go in."""
    inside = f" in namespace {info.namespace}" if info.namespace else ""
    line = "a line that changes nothing" if info.shaping == "none" else f"a line of {info.link} by {info.shaping}"
    more = [f"OpenVPN {info.vpn}"] if info.vpn else []
    lines = [f"{info.setup}: {info.url}{inside}, {', '.join([line, *more])}"]
    if info.certificate:
        lines.append(f"  certificate: {info.certificate}")
    hint = f"  (or: ip netns exec {info.namespace} COMMAND)" if info.namespace else ""
    lines.append(f"  run there: tracemark lab run --setup {info.setup} -- COMMAND{hint}")
    return lines
