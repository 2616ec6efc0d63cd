"""The lab's networks as calculations, tables and texts: nothing is built here."""

from __future__ import annotations

import ipaddress
import random
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.lab.command import Outcome
from replay.lab.faults import LabFault, LabUsageFault
from replay.lab.networks import tunnel
from replay.lab.networks.build import Builder
from replay.lab.networks.certificates import Certificate
from replay.lab.networks.edge import Edge, edge_conf
from replay.lab.networks.lane import Lane
from replay.lab.networks.link import DEFAULT_LINKS, SETUPS, Link, Setup
from replay.lab.networks.namespaces import Namespaces
from replay.lab.networks.relay import Way, carry
from replay.lab.networks.topology import TOPOLOGIES

MS = 1_000_000
MBIT = 1_000_000

# --- lines


@pytest.mark.parametrize(
    ("text", "link"),
    [
        ("60ms,20mbit,5mbit", Link(delay_ns=60 * MS, down_bits=20 * MBIT, up_bits=5 * MBIT)),
        ("9.1ms,any,512kbit,0.1%", Link(delay_ns=9_100_000, up_bits=512_000, loss=0.001)),
        ("0ms,any,any", Link()),
        ("1ms,1gbit,1gbit", Link(delay_ns=MS, down_bits=1000 * MBIT, up_bits=1000 * MBIT)),
    ],
)
def test_a_line_is_written_as_it_is_read(text: str, link: Link) -> None:
    assert Link.parse(text) == link
    assert str(link) == text


@pytest.mark.parametrize(
    "text", ["", "60ms", "60,1mbit,1mbit", "1ms,fast,any", "1ms,any,any,100%", "1ms,1kbit,any", "20000ms,any,any"]
)
def test_a_line_that_is_none_is_a_fault_with_an_example(text: str) -> None:
    with pytest.raises(LabUsageFault, match=r"is no line|no line is like"):
        Link.parse(text)


def test_a_packet_comes_out_after_those_before_it_and_the_delay() -> None:
    lane = Lane(delay_ns=10 * MS, bits=8 * MBIT)  # a byte a microsecond
    assert lane.enter(1000, 0) == 11 * MS
    assert lane.enter(1000, 0) == 12 * MS  # waited for the one before
    assert lane.enter(500, 50 * MS) == 60 * MS + MS // 2  # the line was free again


def test_a_full_line_loses_what_comes_and_counts_it() -> None:
    lane = Lane(delay_ns=0, bits=8 * MBIT)
    out = [lane.enter(1500, 0) for _ in range(200)]
    assert lane.dropped == sum(due is None for due in out) > 0
    waiting_ns = max(due for due in out if due is not None)
    assert waiting_ns <= 200 * MS + 1500 * 1000
    assert lane.enter(1500, waiting_ns) is not None
    patient = Lane(delay_ns=0, bits=8 * MBIT)
    assert [patient.enter_patiently(1500, 0) for _ in range(200)][-1] == 300 * MS
    assert patient.dropped == 0


def test_loss_takes_its_share_and_no_more() -> None:
    lane = Lane(delay_ns=0, bits=None, loss=0.1, chance=random.Random(3))
    passed = [lane.enter(100, now) for now in range(10_000)]
    assert 800 < lane.dropped < 1200
    assert lane.dropped == passed.count(None)


@given(
    bits=st.none() | st.integers(8_000, 10**10),
    delay_ns=st.integers(0, 10**9),
    packets=st.lists(st.tuples(st.integers(1, 65_535), st.integers(0, 10**8)), min_size=1, max_size=50),
)
def test_no_packet_overtakes_and_none_is_faster_than_the_line(
    bits: int | None, delay_ns: int, packets: list[tuple[int, int]]
) -> None:
    lane = Lane(delay_ns=delay_ns, bits=bits)
    now_ns, before_ns, carried, first_ns = 0, 0, 0, None
    for size, pause_ns in packets:
        now_ns += pause_ns
        due_ns = lane.enter(size, now_ns)
        if due_ns is None:
            continue
        first_ns = now_ns if first_ns is None else first_ns
        carried += size
        assert due_ns >= before_ns
        assert due_ns >= now_ns + delay_ns
        if bits is not None:
            assert due_ns >= first_ns + delay_ns + carried * 8 * 10**9 // bits - len(packets)
        before_ns = due_ns


# --- the relay


def test_a_way_gives_what_is_due_in_order_and_holds_only_so_many() -> None:
    way = Way(Lane(delay_ns=10, bits=None), most=2)
    out: list[bytes] = []
    for number, packet in enumerate((b"one", b"two", b"three")):
        way.take(packet, number)
    assert way.next_ns == 10
    way.give(9, out.append)
    assert out == []
    way.give(11, out.append)
    assert out == [b"one", b"two"]
    assert (way.carried, way.lane.dropped) == (2, 1)
    assert [way.next_ns] == [None]


def test_a_device_that_is_down_loses_the_packet_not_the_relay() -> None:
    way = Way(Lane(delay_ns=0, bits=None))
    way.take(b"packet", 0)

    def refuse(_packet: bytes) -> None:
        raise OSError(5, "Input/output error")

    way.give(0, refuse)
    assert (way.carried, way.lane.dropped) == (0, 1)


def test_the_relay_carries_both_ways_until_it_is_told_to_stop() -> None:
    near, near_far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    far, far_far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with near, near_far, far, far_far:
        for one in (near_far, far_far):
            one.setblocking(False)
        near.send(b"question")
        far.send(b"answer")
        up, down = Way(Lane(delay_ns=5, bits=None)), Way(Lane(delay_ns=5, bits=None))
        clock = iter(range(0, 10_000, 2))
        carry(near_far.fileno(), far_far.fileno(), up, down, lambda: up.carried + down.carried == 2, lambda: next(clock))
        assert (far.recv(100), near.recv(100)) == (b"question", b"answer")


# --- the topologies


@pytest.mark.parametrize("setup", SETUPS)
def test_every_end_of_a_topology_is_somebody_and_every_next_hop_is_next_door(setup: Setup) -> None:
    topology = TOPOLOGIES[setup]
    reach: dict[str, list[ipaddress.IPv4Network]] = {role: [] for role in topology.roles}
    for cable in topology.cables:
        for role, addresses in ((cable.near, cable.near_addresses), (cable.far, cable.far_addresses)):
            reach[role] += [ipaddress.IPv4Interface(address).network for address in addresses]
    if topology.line is not None:
        reach[topology.line.near].append(ipaddress.IPv4Network(topology.line.far_address))
        reach[topology.line.far].append(ipaddress.IPv4Network(topology.line.near_address))
    for role, ways in topology.routes.items():
        for _, hop in ways:
            assert any(ipaddress.IPv4Address(hop) in network for network in reach[role]), f"{role} has no {hop} next door"
    for hop in topology.detours:
        assert any(ipaddress.IPv4Address(hop) in network for network in reach["client"])
    benchmarking = ipaddress.IPv4Network("198.18.0.0/15")
    assert all(network.subnet_of(benchmarking) for networks in reach.values() for network in networks)
    assert ipaddress.IPv4Address(topology.server) in benchmarking


class Machine:
    """Notes every command and answers as a kernel with or without netem."""

    def __init__(self, *, netem: bool) -> None:
        self.netem = netem
        self.commands: list[str] = []

    def __call__(self, argv: object, *, timeout_s: float, environment: object = None) -> Outcome:
        assert isinstance(argv, list)
        words = " ".join(map(str, argv))
        self.commands.append(words)
        return Outcome(status=0 if self.netem or not words.startswith("tc ") else 2, output="", errors="qdisc kind is unknown")


def build(setup: Setup, link: Link, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(Namespaces, "set", lambda *_: None)
    names = {role: f"x-{role}" for role in TOPOLOGIES[setup].roles}
    builder = Builder(namespaces=Namespaces(machine), topology=TOPOLOGIES[setup], names=names, folder=tmp_path)
    return builder.build(link, "auto")


def test_where_the_kernel_has_netem_it_shapes_each_way_of_the_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(netem=True)
    assert build("wan", Link.parse("20ms,16mbit,4mbit,1%"), machine, tmp_path, monkeypatch) == "netem"
    shaping = [command for command in machine.commands if "dev line0" in command and "netem" in command]
    assert shaping == [
        "tc -n x-access qdisc replace dev line0 root netem delay 20000us rate 4000000bit loss 1% limit 20000",
        "tc -n x-border qdisc replace dev line0 root netem delay 20000us rate 16000000bit loss 1% limit 20000",
    ]
    assert not any("tuntap" in command for command in machine.commands)


def test_without_netem_the_relay_carries_between_two_tun_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(netem=False)
    assert build("vpn", DEFAULT_LINKS["vpn"], machine, tmp_path, monkeypatch) == "relay"
    assert [command for command in machine.commands if "tuntap" in command] == [
        f"ip -n x-{role} tuntap add mode tun name line0" for role in ("access", "gateway")
    ]
    [relay] = [command for command in machine.commands if "networks.relay" in command]
    assert relay.endswith("--near x-access --far x-gateway --device line0 --link 9.1ms,100mbit,100mbit")


def test_the_lan_is_a_plain_cable_and_is_slowed_down_by_the_kernel_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert build("lan", Link(), Machine(netem=False), tmp_path, monkeypatch) == "none"
    assert build("lan", Link(delay_ns=MS), Machine(netem=True), tmp_path, monkeypatch) == "netem"
    with pytest.raises(LabFault, match="cannot slow the lan down"):
        build("lan", Link(delay_ns=MS), Machine(netem=False), tmp_path, monkeypatch)


# --- the tunnel and the border


def test_both_ends_of_the_tunnel_agree_and_trust_only_each_other(tmp_path: Path) -> None:
    one, other = (Certificate(tmp_path / f"{name}.crt", tmp_path / f"{name}.key") for name in ("one", "other"))
    words = tunnel.options(one, other)
    for option, value in (("--data-ciphers", "AES-256-CBC"), ("--cipher", "AES-256-CBC"), ("--auth", "SHA256")):
        assert words[words.index(option) + 1] == value
    assert words[words.index("--ca") + 1] == str(other.path)
    assert words[words.index("--cert") + 1] == str(one.path)
    wired = TOPOLOGIES["vpn"].tunnel
    assert wired is not None
    client, gateway = tunnel.client_options(wired), tunnel.gateway_options(wired)
    near, far = client[-2:], gateway[-2:]
    assert near == far[::-1]


def test_the_border_buffers_nothing_and_speaks_tls_1_3_where_it_has_a_certificate(tmp_path: Path) -> None:
    certificate = Certificate(tmp_path / "server.crt", tmp_path / "server.key")
    edge = Edge(listen="198.18.22.2:443", upstream="127.0.0.1:8089", certificate=certificate, markers="127.0.0.1:8051")
    edge = replace(edge, sidecar="127.0.0.1:18050")
    conf = edge_conf(edge, tmp_path, as_root=True)
    for line in ("listen 198.18.22.2:443 ssl;", "ssl_protocols TLSv1.2 TLSv1.3;", "proxy_buffering off;", "user root;"):
        assert line in conf
    assert "listen 198.18.22.2:8051;" in conf
    assert "listen 198.18.22.2:8050;" in conf
    assert "proxy_set_header Host 127.0.0.1:18050;" in conf  # else the sidecar would not know the name it is asked for by
    assert "Forwarded" not in conf[conf.index("8051;") :]
    plain = edge_conf(Edge(listen="198.18.10.1:80", upstream="127.0.0.1:8089"), tmp_path, as_root=False)
    assert not any(word in plain for word in ("ssl", "8050", "8051", "user root"))
    assert plain.count("{") == plain.count("}")


@pytest.mark.parametrize(
    ("listen", "tls", "url"),
    [
        ("198.18.10.1:80", False, "http://198.18.10.1"),
        ("198.18.22.2:443", True, "https://198.18.22.2"),
        ("127.0.0.1:4000", True, "https://127.0.0.1:4000"),
    ],
)
def test_a_url_has_the_port_only_where_it_is_unusual(listen: str, tls: bool, url: str, tmp_path: Path) -> None:
    certificate = Certificate(tmp_path / "c", tmp_path / "k") if tls else None
    assert Edge(listen=listen, upstream="127.0.0.1:1", certificate=certificate).url == url
