"""Docker engines for tests: a fake one with real sockets, the machine's own, and a private one that may be killed."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import socket
import subprocess
import tarfile
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.errors import DockerException, ImageNotFound, NotFound

from sidecar.clock import SystemClock
from sidecar.collect.docker_engine import DockerEngine, Found, Limits
from sidecar.collect.docker_stats import DockerCollector, parse_selectors
from sidecar.collect.lines import LineStream
from sidecar.errors import EngineGoneError
from sidecar.model.records import Gap, Record, Sample
from tests.support.waiting import wait_until

SOCKET = "/var/run/docker.sock"
LABEL = "tracemark.test"
IMAGE = "tracemark-test-skeleton:1"
#: a shell's pure loop at its container's first start, next to nothing from the second on: however late the new counter is read,
#: it is lower than the old one was
BURN_AT_FIRST = "[ -e /tmp/again ] && exec sleep 600; : >/tmp/again; while :; do :; done"


class ListSink:
    """A sink that keeps what it gets; `full` makes it refuse."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: list[Record] = []
        self.batches = 0
        self.full = False

    def put(self, records: Sequence[Record], notes: Mapping[str, str] | None = None) -> bool:
        with self._lock:
            if self.full:
                return False
            self._records += records
            self.batches += 1
            return True

    def samples(self, container: str | None = None, source: str | None = None) -> list[Sample]:
        with self._lock:
            found = [record for record in self._records if isinstance(record, Sample)]
        return [one for one in found if container in (None, one.container) and source in (None, one.source)]

    def told_gaps(self) -> list[Gap]:
        """Every Gap record in the order in which it came."""
        with self._lock:
            return [record for record in self._records if isinstance(record, Gap)]

    def gaps(self, subject: str | None = None) -> list[Gap]:
        """The gaps as a journal keeps them: the closed one replaces the open one."""
        told = self.told_gaps()
        return list({(gap.part, gap.subject, gap.start_ns): gap for gap in told if subject in (None, gap.subject)}.values())


class FakeEngine:
    """An engine whose lists, events and frames the test writes; streams are real socket pairs. Kill it with `away = True`."""

    endpoint = "unix:///fake.sock"

    def __init__(self) -> None:
        self.listed: list[Found] = []
        self.limits_of: dict[str, Limits] = {}
        self.away = False
        self.status = 200
        self.lists = 0
        self._peers: dict[str, list[socket.socket]] = {}

    def containers(self) -> list[Found]:
        self._answer()
        self.lists += 1
        return list(self.listed)

    def limits(self, container_id: str) -> Limits:
        self._answer()
        return self.limits_of.get(container_id, Limits())

    def open(self, path: str) -> LineStream:
        self._answer()
        ours, peer = socket.socketpair()
        key = path.split("?")[0].removeprefix("containers/").removesuffix("/stats")
        self._peers.setdefault(key, []).append(peer)
        known = key == "events" or any(one.id == key for one in self.listed)
        status = self.status if known else 404
        peer.sendall(f"HTTP/1.0 {status} X\r\nContent-Type: application/json\r\n\r\n".encode())
        if status != 200:
            peer.sendall(b'{"message":"no"}\n')
            peer.close()
        return LineStream(ours)

    def opened(self, key: str) -> int:
        """How many streams were opened for a container id, or for `events`."""
        return len(self._peers.get(key, []))

    def send(self, key: str, message: Mapping[str, Any]) -> None:
        """A frame for a container id, or an event for `events`, on the stream opened last."""
        self._peers[key][-1].sendall(json.dumps(message).encode() + b"\n")

    def end(self, key: str) -> None:
        """End the stream opened last."""
        self._peers[key][-1].close()

    def die(self) -> None:
        """The engine goes: every stream ends and nothing is answered."""
        self.away = True
        for peers in self._peers.values():
            for peer in peers:
                peer.close()

    def close(self) -> None:
        self.die()

    def _answer(self) -> None:
        if self.away:
            raise EngineGoneError("no Docker engine answers at /fake.sock", "start Docker")


def real_client(endpoint: str = f"unix://{SOCKET}") -> docker.DockerClient:
    """A client of the machine's engine; skips the test with a reason when none answers."""
    try:
        client = docker.DockerClient(endpoint, version="auto")
        client.ping()
    except DockerException as error:
        pytest.skip(f"no Docker engine answers ({type(error).__name__}): start one, or run through `make test`")
    return client


def skeleton_image(client: docker.DockerClient) -> str:
    """An image of nothing but links: containers of it run the machine's own /usr, bound in."""
    try:
        client.images.get(IMAGE)
    except ImageNotFound:
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as tar:
            for name in ("usr", "tmp", "proc", "sys", "dev", "run"):
                folder = tarfile.TarInfo(name)
                folder.type, folder.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(folder)
            for name in ("bin", "sbin", "lib", "lib64"):
                link = tarfile.TarInfo(name)
                link.type, link.linkname = tarfile.SYMTYPE, f"usr/{name}"
                tar.addfile(link)
        repository, _, tag = IMAGE.partition(":")
        client.api.import_image_from_data(data.getvalue(), repository=repository, tag=tag)
    return IMAGE


@contextmanager
def containers(client: docker.DockerClient) -> Iterator[Any]:
    """A function that starts containers by (name, shell command, options); all of them are removed at the end."""
    image = skeleton_image(client)
    made: list[str] = []

    def start(name: str, command: str, **options: Any) -> Any:
        container = client.containers.run(
            image,
            ["/usr/bin/sh", "-c", command],
            name=name,
            detach=True,
            volumes={"/usr": {"bind": "/usr", "mode": "ro"}},
            network_mode=options.pop("network_mode", "none"),
            labels={LABEL: "1", **options.pop("labels", {})},
            environment={"PATH": "/usr/bin"},
            stop_signal="SIGKILL",
            **options,
        )
        made.append(str(container.id))
        return container

    try:
        yield start
    finally:
        for container_id in made:
            try:
                client.api.remove_container(container_id, force=True)
            except NotFound:
                continue


def fresh_name(stem: str) -> str:
    """A container name that no other test uses."""
    return f"tm-{stem}-{uuid.uuid4().hex[:8]}"


class PrivateEngine:
    """A second dockerd with everything of its own, to be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.socket = folder / "d.sock"
        self.endpoint = f"unix://{self.socket}"

    def start(self) -> None:
        """Start it and wait until it answers; skips the test where no second engine can run."""
        program = shutil.which("dockerd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if program is None or os.geteuid() != 0:
            pytest.skip("a private engine needs dockerd and root")
        self._launch(program)
        wait_until(lambda: self._ended() or self._answers(), "the private engine", 60)
        if self._ended():
            pytest.skip(f"a private engine did not start: {self._last_word()}")

    def _launch(self, program: str) -> None:
        with open(self._folder / "log", "ab") as log:
            self._process = subprocess.Popen(
                [
                    program,
                    f"--data-root={self._folder / 'data'}",
                    f"--exec-root={self._folder / 'exec'}",
                    f"--pidfile={self._folder / 'pid'}",
                    f"--host={self.endpoint}",
                    "--bridge=none",
                    "--iptables=false",
                ],
                stdout=log,
                stderr=log,
            )

    def _ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def _last_word(self) -> str:
        last = (self._folder / "log").read_text(errors="replace").strip().splitlines()[-1:]
        return " ".join(last)[:200]

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it and wait for its end; SIGKILL leaves its containers running."""
        if self._process:
            self.go_on()
            self._process.send_signal(how)
            self._process.wait(60)
            self._process = None

    def remove(self) -> None:
        """End it and take its folder away, which it has mounted upon itself and leaves so."""
        self.stop()
        data = self._folder / "data"
        while data.is_mount():
            subprocess.run(["umount", str(data)], check=True)
        shutil.rmtree(self._folder, ignore_errors=True)

    def hang(self) -> None:
        """Keep it from doing anything, until `go_on`."""
        if self._process:
            self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        if self._process:
            self._process.send_signal(signal.SIGCONT)

    def _answers(self) -> bool:
        try:
            client = docker.DockerClient(self.endpoint, version="auto")
        except DockerException:
            return False
        with_answer = bool(client.ping())
        client.close()
        return with_answer


@contextmanager
def collecting(
    names: list[str], endpoint: str = f"unix://{SOCKET}", timeout_s: float = 20
) -> Iterator[tuple[DockerCollector, ListSink]]:
    """A collector that runs, and again after every fault, as the supervisor does it.

    `timeout_s` is how long the engine may be silent: short only where its silence is what the test is about, for a busy machine's
    engine is slow as well.
    """
    sink, stop = ListSink(), threading.Event()
    collector = DockerCollector(
        DockerEngine(endpoint, timeout_s=timeout_s),
        parse_selectors([f"name:{name}" for name in names]),
        sink,
        SystemClock(),
        list_every_s=1,
    )

    def run() -> None:
        while not stop.is_set():
            try:
                collector.run(stop)
            except EngineGoneError:
                stop.wait(0.2)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield collector, sink
    finally:
        stop.set()
        thread.join(60)
        assert not thread.is_alive()
