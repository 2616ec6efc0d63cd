"""A client, a server, and two routers between them, as network namespaces: what routes and captures are tested on."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from tests.conftest import ROOT

SERVER, SERVER_6 = "10.91.50.1", "fd91:50::1"
ROUTERS = ("10.91.1.1", "10.91.2.1")
ROUTERS_6 = ("fd91:1::1", "fd91:2::1")
#: before a command: without capabilities, as an ordinary user is, whoever may read the checkout
UNPRIVILEGED = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@dataclass(frozen=True, slots=True)
class Crossing:
    """Namespaces by name; `use` sends the client's packets to the server through router 0 or 1."""

    client: str
    routers: tuple[str, str]
    server: str

    def use(self, router: int) -> None:
        _ip("-n", self.client, "route", "replace", SERVER, "via", ROUTERS[router])
        _ip("-n", self.client, "-6", "route", "replace", SERVER_6, "via", ROUTERS_6[router])

    def run(self, code: str, *arguments: str, privileged: bool = True) -> str:
        """The output of a Python program in the client's namespace, as root or without any of root's privileges."""
        entered = ["ip", "netns", "exec", self.client, *([] if privileged else UNPRIVILEGED)]
        done = subprocess.run(
            [*entered, sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False, timeout=100, cwd=ROOT
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @contextmanager
    def serving(self, code: str) -> Iterator[None]:
        """A Python program in the server's namespace; it has begun when it has printed a line."""
        with subprocess.Popen(
            ["ip", "netns", "exec", self.server, sys.executable, "-c", code], stdout=subprocess.PIPE
        ) as program:
            try:
                assert program.stdout is not None
                assert program.stdout.readline(), "the server in the namespace did not begin"
                yield
            finally:
                program.kill()


@contextmanager
def crossing() -> Iterator[Crossing]:
    """All namespaces with links, addresses (IPv4 and IPv6) and routes; skips the test where none can be made."""
    mark = f"tm{os.getpid()}"
    names = [f"{mark}{role}" for role in ("c", "x", "y", "s")]
    client, first, second, server = names
    made: list[str] = []
    try:
        for name in names:
            done = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"no network namespace can be made here: {done.stderr.strip()}")
            made.append(name)
            subprocess.run(
                [
                    "ip",
                    "netns",
                    "exec",
                    name,
                    "sysctl",
                    "-qw",
                    "net.ipv6.conf.default.accept_dad=0",
                    "net.ipv6.conf.all.accept_dad=0",
                ],
                check=True,
            )
            _ip("-n", name, "link", "set", "lo", "up")
        for number, router in enumerate((first, second), start=1):
            _link(client, f"c{number}", router, "near", f"10.91.{number}", f"fd91:{number}:")
            _link(server, f"s{number}", router, "far", f"10.91.1{number}", f"fd91:1{number}:")
            forward = ["net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"]
            subprocess.run(["ip", "netns", "exec", router, "sysctl", "-qw", *forward], check=True)
            _ip("-n", router, "route", "add", SERVER, "via", f"10.91.1{number}.2")
            _ip("-n", router, "-6", "route", "add", SERVER_6, "via", f"fd91:1{number}::2")
            _ip("-n", server, "route", "add", f"10.91.{number}.0/24", "via", f"10.91.1{number}.1")
            _ip("-n", server, "-6", "route", "add", f"fd91:{number}::/64", "via", f"fd91:1{number}::1")
        _ip("-n", server, "addr", "add", f"{SERVER}/32", "dev", "lo")
        _ip("-n", server, "addr", "add", f"{SERVER_6}/128", "dev", "lo")
        ready = Crossing(client, (first, second), server)
        ready.use(0)
        yield ready
    finally:
        for name in made:
            subprocess.run(["ip", "netns", "del", name], check=False)


def _link(end: str, end_device: str, router: str, router_device: str, net: str, net_6: str) -> None:
    """A cable: the router has the address .1, the end .2."""
    _ip("link", "add", end_device, "netns", end, "type", "veth", "peer", "name", router_device, "netns", router)
    for name, device, host in ((router, router_device, 1), (end, end_device, 2)):
        _ip("-n", name, "addr", "add", f"{net}.{host}/24", "dev", device)
        _ip("-n", name, "addr", "add", f"{net_6}:{host}/64", "dev", device, "nodad")
        _ip("-n", name, "link", "set", device, "up")
