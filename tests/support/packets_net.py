"""Real transfers to capture: two network namespaces, a cable or a slow and lossy line between them, and what passed it."""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from replay.lab.networks.namespaces import entered
from tests.support.waiting import wait_until

SERVER4, CLIENT4 = "10.79.3.1", "10.79.3.2"
SERVER6, CLIENT6 = "fd79:3::1", "fd79:3::2"
_SIOCETHTOOL = 0x8946
#: checksums, scatter-gather and segments by the network card, each way: off, so that frames are as on a wire
_OFFLOADS = (0x15, 0x17, 0x19, 0x1F, 0x24, 0x2C)
_TUNSETIFF, _TUN_NO_PI = 0x400454CA, 0x1001


def ip(*words: str) -> None:
    """`ip` with these words; fails with its own."""
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"


@contextmanager
def namespaces() -> Iterator[tuple[str, str]]:
    """A client's and a server's namespace, with names of their own."""
    names = (f"tmpk-c{os.getpid()}", f"tmpk-s{os.getpid()}")
    made = []
    try:
        for name in names:
            ip("netns", "add", name)
            made.append(name)
            ip("-n", name, "link", "set", "lo", "up")
        yield names
    finally:
        for name in made:
            ip("netns", "del", name)


@contextmanager
def cable() -> Iterator[tuple[str, str, str]]:
    """Two namespaces joined by a veth pair without offloads, IPv4 and IPv6: client, server, the client's device."""
    with namespaces() as (client, server):
        ip("link", "add", "pk0", "netns", client, "type", "veth", "peer", "name", "pk0", "netns", server)
        for name, four, six in ((client, CLIENT4, CLIENT6), (server, SERVER4, SERVER6)):
            ip("-n", name, "addr", "add", f"{four}/24", "dev", "pk0")
            ip("-n", name, "-6", "addr", "add", f"{six}/64", "dev", "pk0", "nodad")
            _without_offloads(name, "pk0")
        for name in (client, server):
            ip("-n", name, "link", "set", "pk0", "up")
        yield client, server, "pk0"


def tagged(plain: Path, tagged_file: Path, vlan: int) -> None:
    """A pcap file's Ethernet frames again, as they look on a trunk: with a VLAN tag each."""
    data = plain.read_bytes()
    parts, at = [data[:24]], 24
    while at < len(data):
        seconds, fraction, kept, length = struct.unpack_from("<IIII", data, at)
        frame = data[at + 16 : at + 16 + kept]
        parts.append(struct.pack("<IIII", seconds, fraction, kept + 4, length + 4))
        parts.append(frame[:12] + struct.pack(">HH", 0x8100, vlan) + frame[12:])
        at += 16 + kept
    tagged_file.write_bytes(b"".join(parts))


def _without_offloads(name: str, device: str) -> None:
    with entered(name), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for command in _OFFLOADS:
            value = ctypes.create_string_buffer(struct.pack("II", command, 0))
            request = struct.pack("16sP8x", device.encode(), ctypes.addressof(value))
            fcntl.ioctl(any_socket, _SIOCETHTOOL, request)


#: what a line knows of a byte that was handed to it
_LOST, _PASSED = 1, 2


@dataclass
class Line:
    """A line with delay that loses chosen packets. The truth about what it let through towards the client.

    `drops` are the ordinals of data packets that are lost. Of those that passed: `late` begin below the highest number that
    passed before, `jumps` beyond it and so leave `hole_bytes` behind them; `twice_bytes` had passed before.
    """

    delay_s: float
    drops: frozenset[int]
    dropped: int = 0
    late: int = 0
    late_bytes: int = 0
    jumps: int = 0
    hole_bytes: int = 0
    twice_bytes: int = 0
    _seen: int = 0
    _flows: dict[bytes, _Passage] = field(default_factory=dict)

    @property
    def missing_bytes(self) -> int:
        """Bytes that were lost and never came again."""
        return sum(flow.bytes.count(_LOST) for flow in self._flows.values())

    def lets_pass(self, packet: bytes) -> bool:
        """Decide about a packet to the client (IPv4, TCP)."""
        header = (packet[0] & 15) * 4
        tcp = packet[header:]
        payload = int.from_bytes(packet[2:4], "big") - header - (tcp[12] >> 4) * 4
        if packet[9] != 6 or payload <= 0:
            return True
        self._seen += 1
        number = int.from_bytes(tcp[4:8], "big")
        flow = self._flows.setdefault(tcp[0:4], _Passage(number))
        begin = (number - flow.base) & 0xFFFFFFFF
        end = begin + payload
        flow.bytes.extend(bytes(max(0, end - len(flow.bytes))))
        if self._seen in self.drops:
            self.dropped += 1
            flow.bytes[begin:end] = bytes(one or _LOST for one in flow.bytes[begin:end])
            return False
        self.twice_bytes += flow.bytes.count(_PASSED, begin, end)
        flow.bytes[begin:end] = bytes([_PASSED]) * payload
        if begin < flow.high:
            self.late += 1
            self.late_bytes += payload
        elif begin > flow.high:
            self.jumps += 1
            self.hole_bytes += begin - flow.high
        flow.high = max(flow.high, end)
        return True


@dataclass
class _Passage:
    """One connection's bytes to the client, from the first on: its number, what became of each, and how far they passed."""

    base: int
    bytes: bytearray = field(default_factory=bytearray)
    high: int = 0


@contextmanager
def lossy(line: Line) -> Iterator[tuple[str, str, str]]:
    """Two namespaces joined by a line: client, server, the client's device (raw IP)."""
    with namespaces() as (client, server):
        handles = [_tun(client), _tun(server)]
        for name, mine, other in ((client, CLIENT4, SERVER4), (server, SERVER4, CLIENT4)):
            ip("-n", name, "addr", "add", mine, "peer", other, "dev", "pkt0")
            ip("-n", name, "link", "set", "pkt0", "mtu", "1500", "txqueuelen", "5000", "up")
        stop = threading.Event()
        worker = threading.Thread(target=_carry, args=(*handles, line, stop), daemon=True)
        worker.start()
        try:
            yield client, server, "pkt0"
        finally:
            stop.set()
            worker.join(10)
            for handle in handles:
                os.close(handle)


def _tun(name: str) -> int:
    with entered(name):
        handle = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(handle, _TUNSETIFF, struct.pack("16sH14x", b"pkt0", _TUN_NO_PI))
    return handle


def _carry(near: int, far: int, line: Line, stop: threading.Event) -> None:
    waiting: deque[tuple[float, int, bytes]] = deque()
    while not stop.is_set():
        pause = max(0.0, waiting[0][0] - time.monotonic()) if waiting else 0.1
        for source in select.select([near, far], [], [], pause)[0]:
            for _ in range(64):
                try:
                    packet = os.read(source, 65536)
                except BlockingIOError:
                    break
                if packet[0] >> 4 == 4 and (source == near or line.lets_pass(packet)):
                    waiting.append((time.monotonic() + line.delay_s, far if source == near else near, packet))
        while waiting and waiting[0][0] <= time.monotonic():
            _, target, packet = waiting.popleft()
            os.write(target, packet)


@contextmanager
def captured(name: str, device: str, file: Path, command: str = "tcpdump", snaplen: int = 128) -> Iterator[None]:
    """Captures what passes a device; it has begun before the body does, and the file is complete afterwards."""
    words = {
        "tcpdump": [
            "tcpdump",
            "-Z",
            "root",
            "-U",
            "--immediate-mode",
            "-n",
            "-i",
            device,
            "-s",
            str(snaplen),
            "-B",
            "65536",
            "-w",
            str(file),
        ],
        "dumpcap": ["dumpcap", "-q", "-i", device, "-s", str(snaplen), "-B", "64", "-w", str(file)],
    }[command]
    told = file.with_suffix(".told")
    with told.open("w") as errors:
        process = subprocess.Popen(["ip", "netns", "exec", name, *words], stdout=errors, stderr=errors)
    try:
        begun = {"tcpdump": "listening on", "dumpcap": "File:"}[command]
        wait_until(lambda: begun in told.read_text(), f"{command} to begin", 30)
        yield
        _drain(file)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def _drain(file: Path) -> None:
    """Captured packets reach the program some moments later: wait until the file rests."""
    sizes: list[int] = []

    def rests() -> bool:
        sizes.append(file.stat().st_size if file.exists() else 0)
        return len(sizes) > 25 and len(set(sizes[-25:])) == 1

    wait_until(rests, "the capture file to rest", 30)


def download(client: str, server: str, address: str, size: int, *, tls: ssl.SSLContext | None = None, port: int = 8080) -> int:
    """One HTTP download of `size` bytes from a server in one namespace to a client in the other; what arrived, with its head."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with entered(server):
        listening = socket.socket(family)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((address, port))
        listening.listen()
    answering = threading.Thread(target=_answer, args=(listening, size, tls), daemon=True)
    answering.start()
    try:
        with entered(client):
            plain = socket.socket(family)
        plain.settimeout(120)
        plain.connect((address, port))
        with _client_tls(plain) if tls else plain as connection:
            connection.sendall(b"GET /exam.zip HTTP/1.1\r\nHost: lab\r\n\r\n")
            buffer, arrived = bytearray(1 << 16), 0
            while got := connection.recv_into(buffer):
                arrived += got
        return arrived
    finally:
        answering.join(30)
        listening.close()


def head(size: int) -> bytes:
    """What precedes the bytes of an answer."""
    return f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode()


def _client_tls(plain: socket.socket) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(plain, suppress_ragged_eofs=True)


def _answer(listening: socket.socket, size: int, tls: ssl.SSLContext | None) -> None:
    plain, _ = listening.accept()
    plain.settimeout(120)
    with tls.wrap_socket(plain, server_side=True) if tls else plain as connection:
        connection.recv(4096)
        connection.sendall(head(size))
        block = bytes(1 << 16)
        while size > 0:
            connection.sendall(block[: min(size, len(block))])
            size -= len(block)


def server_tls(folder: Path, version: ssl.TLSVersion) -> ssl.SSLContext:
    """A server's side with a fresh certificate that speaks one version only."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    if not key.exists():
        subject = ["-subj", "/CN=lab", "-days", "2", "-nodes", "-newkey", "rsa:2048"]
        files = ["-keyout", str(key), "-out", str(certificate)]
        subprocess.run(["openssl", "req", "-x509", *subject, *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.minimum_version = context.maximum_version = version
    return context
