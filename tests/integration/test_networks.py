"""LAN, WAN and VPN in real namespaces: what they do to packets, how they are entered, and that nothing stays of them."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from websockets.sync.client import connect
from websockets.sync.server import ServerConnection, serve

from replay.lab import stack
from replay.lab.command import run
from replay.lab.faults import LabFault, LabUsageFault
from replay.lab.info import LabInfo, SetupInfo
from replay.lab.networks.fleet import Networks
from replay.lab.networks.link import SETUPS, Link, Setup
from replay.lab.networks.namespaces import Namespaces
from replay.lab.networks.network import Network
from replay.lab.options import LabOptions
from replay.lab.processes import find_programs
from tests.support.networks import captured, fields, lab_info, nanoseconds, processes_about, site
from tests.support.waiting import wait_until

PREFIX = f"t{os.getpid()}-"
ROOT = Path(__file__).parents[2]
SLOW = Link(delay_ns=20_000_000, down_bits=16_000_000, up_bits=4_000_000)
LINKS: dict[Setup, Link] = {"lan": Link(), "wan": SLOW, "vpn": SLOW}


def namespaces_of(prefix: str) -> list[str]:
    return sorted(path.name for path in Path("/run/netns").glob(f"{prefix}*"))


def need(*programs: str) -> None:
    missing = [name for name in programs if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") is None]
    if missing:
        pytest.skip(f"not on this machine: {', '.join(missing)}")


@dataclass(frozen=True)
class Built:
    """All three setups in front of one small site."""

    networks: Networks
    infos: dict[str, SetupInfo]

    def hops(self, setup: Setup) -> list[str]:
        """The route trace as a client sees it."""
        server = self.infos[setup].server.rpartition(":")[0]
        traced = self.networks.one(setup).run_in(["traceroute", "-n", "-q", "1", server], capture_output=True, text=True)
        return [line.split()[1] for line in traced.stdout.splitlines()[1:]]

    @contextmanager
    def connection(self, setup: Setup, context: ssl.SSLContext | None = None) -> Iterator[http.client.HTTPConnection]:
        """From the client's namespace to the setup's server."""
        host, _, port = self.infos[setup].server.rpartition(":")
        made = http.client.HTTPConnection(host, int(port), timeout=60)
        with self.networks.one(setup).entered():
            made.sock = socket.create_connection((host, int(port)), timeout=60)
        if context is None and self.infos[setup].certificate:
            context = ssl.create_default_context(cafile=self.infos[setup].certificate)
        if context is not None:
            made.sock = context.wrap_socket(made.sock, server_hostname=host)
        try:
            yield made
        finally:
            made.close()

    def get(self, setup: Setup, path: str) -> http.client.HTTPResponse:
        with self.connection(setup) as connection:
            connection.request("GET", path, headers={"Connection": "close"})
            answer = connection.getresponse()
            assert len(answer.read()) == int(answer.headers["Content-Length"])
            return answer


@pytest.fixture(scope="module")
def echo() -> Iterator[str]:
    """HOST:PORT of a WebSocket that says everything again, in a sidecar's place."""

    def again(connection: ServerConnection) -> None:
        for message in connection:
            connection.send(message)

    with serve(again, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, echo: str) -> Iterator[Built]:
    if (why_not := Namespaces(run).why_not()) is not None:
        pytest.skip(why_not)
    need("nginx", "openvpn", "openssl", "tcpdump", "tshark", "traceroute")
    networks = Networks(directory=tmp_path_factory.mktemp("networks"), run=run, prefix=PREFIX)
    with site() as upstream:
        try:
            for setup in SETUPS:
                networks.one(setup).up(upstream, link=LINKS[setup], shaping="auto", markers=echo, say=print)
            yield Built(networks, networks.infos())
        finally:
            networks.down()


def test_each_setup_leads_to_the_site_and_says_so(built: Built) -> None:
    assert [state.state for state in built.networks.states()] == ["running"] * 3
    for setup in SETUPS:
        answer = built.get(setup, "/a-page")
        assert answer.status == 200
        scheme = "https" if setup == "wan" else "http"
        assert answer.headers["X-Seen"].removesuffix(":443") == f"{scheme} {built.infos[setup].server.rpartition(':')[0]}"
        assert built.infos[setup].url == f"{scheme}://{built.infos[setup].server.rpartition(':')[0]}"


def test_the_route_trace_tells_the_setups_apart(built: Built) -> None:
    assert built.hops("lan") == ["198.18.10.1"]
    assert built.hops("wan") == ["198.18.20.1", "198.18.21.2", "198.18.22.2"]
    assert built.hops("vpn") == ["198.18.33.1", "198.18.32.2"]


def test_a_wan_can_be_sent_another_way_and_back(built: Built) -> None:
    before = built.hops("wan")
    built.networks.one("wan").reroute()
    changed = built.hops("wan")
    assert changed != before
    assert changed[1:] == before[1:]
    assert built.get("wan", "/still-there").status == 200
    built.networks.one("wan").reroute()
    assert built.hops("wan") == before
    with pytest.raises(LabUsageFault, match="no second way"):
        built.networks.one("lan").reroute()


def test_the_wan_speaks_tls_1_3_and_also_1_2_with_the_study_s_kind_of_certificate(built: Built) -> None:
    certificate = built.infos["wan"].certificate
    for wanted in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
        context = ssl.create_default_context(cafile=certificate)
        context.maximum_version = wanted
        with built.connection("wan", context) as connection:
            assert isinstance(connection.sock, ssl.SSLSocket)
            assert connection.sock.version() == wanted.name.replace("_", ".")
    with pytest.raises(ssl.SSLCertVerificationError), built.connection("wan", ssl.create_default_context()):
        pass
    shown = run(["openssl", "x509", "-in", certificate, "-noout", "-text"], timeout_s=30).output
    assert "sha256WithRSAEncryption" in shown
    assert "(4096 bit)" in shown


def test_the_vpn_is_encrypted_as_in_the_study(built: Built) -> None:
    for end in ("vpn-gateway", "vpn-client"):
        log = Path(built.infos["vpn"].logs[end]).read_text()
        for way in ("Outgoing", "Incoming"):
            assert f"{way} Data Channel: Cipher 'AES-256-CBC' initialized with 256 bit key" in log
            assert f"{way} Data Channel: Using 256 bit message hash 'SHA256' for HMAC authentication" in log


def test_no_word_of_a_request_is_on_the_vpn_s_outer_link(built: Built, tmp_path: Path) -> None:
    word = "/A-WORD-TO-BE-SEEN-BY-NOBODY"
    names = built.networks.one("vpn").names
    outer, inner = tmp_path / "outer.pcap", tmp_path / "inner.pcap"
    server = built.infos["vpn"].server.rpartition(":")[0]
    with (
        captured(names["access"], "eth0", "198.18.30.2", outer),
        captured(names["client"], built.infos["vpn"].interface, server, inner),
    ):
        assert built.get("vpn", word).status == 200
    assert word.encode() in inner.read_bytes()  # so it would have been found
    assert word.encode() not in outer.read_bytes()
    assert len(fields(outer, "udp.port==1194", "frame.len")) >= len(fields(inner, "tcp", "frame.len"))
    assert fields(outer, "tcp", "frame.len") == []


def test_delay_and_rate_are_in_the_packets(built: Built, tmp_path: Path) -> None:
    """By the stamps of the capture: nothing comes sooner than the line lets it."""
    file = tmp_path / "wan.pcap"
    server = built.infos["wan"].server.rpartition(":")[0]
    with captured(built.networks.one("wan").names["client"], built.infos["wan"].interface, server, file):
        assert built.get("wan", "/400000").status == 200
    [[asked]] = fields(file, "tcp.flags.syn==1 && tcp.flags.ack==0", "frame.time_epoch")
    answered = fields(file, "tcp.flags.syn==1 && tcp.flags.ack==1", "frame.time_epoch")[0][0]
    round_trip_ns = 2 * SLOW.delay_ns
    assert nanoseconds(answered) - nanoseconds(asked) >= round_trip_ns
    down = fields(file, f"ip.src=={server} && tcp.len > 0", "frame.time_epoch", "ip.len")
    sizes = [int(size) for _, size in down]
    assert sum(sizes) > 400_000
    assert max(sizes) <= 1500  # packets as they are on a wire, not the kernel's large segments
    assert SLOW.down_bits is not None
    needed_ns = round_trip_ns + sum(sizes) * 8 * 10**9 // SLOW.down_bits
    assert nanoseconds(down[-1][0]) - nanoseconds(asked) >= needed_ns


def test_the_marker_channel_is_reached_over_the_same_line(built: Built) -> None:
    for setup in SETUPS:
        url = built.infos[setup].markers
        host, _, port = url.removeprefix("ws://").removesuffix("/markers").rpartition(":")
        assert host == built.infos[setup].server.rpartition(":")[0]
        with built.networks.one(setup).entered():
            bare = socket.create_connection((host, int(port)), timeout=30)
        with connect(url, sock=bare) as channel:
            channel.send("begin")
            assert channel.recv(30) == "begin"


def test_a_setup_that_is_up_is_left_as_it_is_and_another_one_refused(built: Built) -> None:
    wan, info = built.networks.one("wan"), built.infos["wan"]
    assert wan.up(info.upstream, link=None, shaping="auto", markers="", say=print) == info
    with pytest.raises(LabUsageFault, match="wan is up with 20ms,16mbit,4mbit"):
        wan.up(info.upstream, link=Link(), shaping="auto", markers="", say=print)


def test_namespaces_of_somebody_else_are_not_touched(built: Built, tmp_path: Path) -> None:
    stranger = Network(folder=tmp_path, setup="lan", run=run, prefix=PREFIX)
    with pytest.raises(LabFault, match="is already there"):
        stranger.up("127.0.0.1:1", link=None, shaping="auto", markers="", say=print)
    stranger.down()
    assert built.get("lan", "/still-there").status == 200


def test_this_machine_s_own_network_knows_nothing_of_them(built: Built) -> None:
    for words in (["address"], ["route", "show", "table", "all"]):
        assert "198.18." not in run(["ip", *words], timeout_s=10).output


def test_a_command_is_run_where_the_client_is(built: Built) -> None:
    lab_info(built.networks.directory, "http://" + built.infos["wan"].upstream, built.infos).save()
    inside = (
        "import os, sys, urllib.request as r; print(r.urlopen(sys.argv[1]).status, sys.argv[1:], os.environ['XNAT_PASSWORD'])"
    )
    command = [sys.executable, "-m", "sidecar", "lab", "run", "--dir", str(built.networks.directory), "--setup", "wan"]
    command += ["--user", "researcher", "--", sys.executable, "-c", inside, "{url}/word", "{interface}", "{server}", "{kept}"]
    done = subprocess.run(command, capture_output=True, check=False, text=True, cwd=ROOT)
    expected = ["https://198.18.22.2/xnat/word", "eth0", "198.18.22.2:443", "{kept}"]
    assert done.stdout == f"200 {expected} a password\n", done.stderr


STARTER = """
import sys, threading
from pathlib import Path
from replay.lab.command import run
from replay.lab.networks.network import Network
network = Network(folder=Path(sys.argv[1]), setup=sys.argv[2], run=run, prefix=sys.argv[3])
network.up(sys.argv[4], link=None, shaping="auto", markers="", say=print)
Path(sys.argv[1], "up").touch()
threading.Event().wait()
"""


@pytest.mark.parametrize(("setup", "when"), [("vpn", "vpn/namespaces.json"), ("vpn", "vpn/vpn-client.pid"), ("vpn", "up")])
def test_nothing_stays_when_its_maker_was_killed(built: Built, tmp_path: Path, setup: Setup, when: str) -> None:
    prefix = f"{PREFIX}k-"
    command = [sys.executable, "-c", STARTER, str(tmp_path), setup, prefix, built.infos["lan"].upstream]
    with subprocess.Popen(command, cwd=ROOT) as starter:
        try:
            wait_until((tmp_path / when).exists, when, timeout_s=60)
        finally:
            starter.send_signal(signal.SIGKILL)
    assert starter.returncode == -signal.SIGKILL
    network = Network(folder=tmp_path, setup=setup, run=run, prefix=prefix)
    assert network.state().state == ("running" if when == "up" else "stopped")
    assert network.down()
    assert namespaces_of(prefix) == []
    wait_until(lambda: processes_about(str(tmp_path)) == [], "the last process to be gone")
    assert not network.down()


def test_a_process_that_ended_is_seen_and_the_network_built_again(built: Built, tmp_path: Path) -> None:
    network = Network(folder=tmp_path, setup="lan", run=run, prefix=f"{PREFIX}e-")
    upstream = built.infos["lan"].upstream
    try:
        network.up(upstream, link=None, shaping="auto", markers="", say=print)
        os.kill(int((network.own / "edge.pid").read_text()), signal.SIGTERM)
        wait_until(lambda: network.state().state == "stopped", "the end to be seen")
        assert "gone: edge" in network.state().detail
        with subprocess.Popen([*network_command(network), "sleep", "1000"]) as guest:
            inside = Namespaces(run).processes
            wait_until(lambda: guest.pid in inside(network.names["client"]), "the guest to be inside")
            network.up(upstream, link=None, shaping="auto", markers="", say=print)
            assert guest.wait(30) == -signal.SIGTERM  # it could not have gone on without its network
        assert network.state().state == "running"
    finally:
        network.down()
    assert namespaces_of(f"{PREFIX}e-") == []


def network_command(network: Network) -> tuple[str, ...]:
    info = network.info()
    assert info is not None
    return info.command


def test_a_site_that_does_not_answer_is_named_and_nothing_stays(
    built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("replay.lab.networks.edge._READY_S", 0.0)
    network = Network(folder=tmp_path, setup="lan", run=run, prefix=f"{PREFIX}d-")
    with pytest.raises(LabFault, match=r"198\.18\.10\.1:80 gave (status 502|no answer)"):
        network.up("127.0.0.1:1", link=None, shaping="auto", markers="", say=print)
    assert namespaces_of(f"{PREFIX}d-") == []
    assert not network.own.exists()


def test_the_lab_itself_is_reached_through_a_network_and_takes_it_along(built: Built, tmp_path: Path) -> None:
    try:
        find_programs()
    except LabFault as fault:
        pytest.skip(f"the lab's processes cannot run here: {fault}")
    prefix = f"{PREFIX}l-"
    wanted = LabOptions(directory=tmp_path / "lab", port=0, name_prefix=prefix, processes=True, setups=("lan",))
    try:
        lab = stack.up(wanted, print)
        assert LabInfo.load(wanted.directory) == lab
        wider = stack.up(replace(wanted, setups=("vpn",)), print)
        assert wider == replace(lab, setups={**lab.setups, "vpn": wider.setups["vpn"]})
        assert LabInfo.load(wanted.directory) == wider
        assert [part.state for part in stack.status(wanted.directory)] == ["running"] * 5
        _, network = stack.network(wanted.directory, "lan")
        page = network.run_in(["curl", "-s", lab.setups["lan"].url + "/"], capture_output=True, text=True)
        assert "XNAT" in page.stdout
        with pytest.raises(LabFault, match="no wan in front of it"):
            stack.network(wanted.directory, "wan")
    finally:
        stack.down(wanted.directory, print, purge=True)
    assert namespaces_of(prefix) == []
    assert not wanted.directory.exists()


def test_a_lab_whose_network_cannot_be_built_is_not_up_either(built: Built, tmp_path: Path) -> None:
    try:
        find_programs()
    except LabFault as fault:
        pytest.skip(f"the lab's processes cannot run here: {fault}")
    wanted = LabOptions(directory=tmp_path / "lab", port=0, name_prefix=PREFIX, processes=True, setups=("lan",))
    try:
        with pytest.raises(LabFault, match=f"{PREFIX}tm-lan-client is already there"):
            stack.up(wanted, print)
        assert stack.status(wanted.directory) == ()
        assert list((wanted.directory / "processes").glob("*.pid")) == []
        assert built.get("lan", "/still-there").status == 200
    finally:
        stack.down(wanted.directory, print, purge=True)


def test_without_namespaces_a_proxy_stands_for_the_wan(tmp_path: Path) -> None:
    need("nginx", "openssl")
    network = Network(folder=tmp_path, setup="wan", run=run, prefix=PREFIX)
    with site() as upstream:
        try:
            info = network.up(upstream, link=Link(delay_ns=1_000_000), shaping="proxy", markers="", say=print)
            assert network.state().state == "running"
            context = ssl.create_default_context(cafile=info.certificate)
            host, _, port = info.server.rpartition(":")
            connection = http.client.HTTPSConnection(host, int(port), timeout=30, context=context)
            connection.request("GET", "/300000")
            assert len(connection.getresponse().read()) == 300_000
            assert isinstance(connection.sock, ssl.SSLSocket)
            assert connection.sock.version() == "TLSv1.3"
            connection.close()
        finally:
            network.down()
    assert processes_about(str(tmp_path)) == []
    vpn = Network(folder=tmp_path, setup="vpn", run=run, prefix=PREFIX)
    with pytest.raises(LabUsageFault, match="a proxy cannot be a VPN"):
        vpn.up(upstream, link=None, shaping="proxy", markers="", say=print)
