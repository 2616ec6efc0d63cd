"""The Docker engine at one endpoint: what containers there are, and streams of frames and events."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

import docker
from docker.errors import APIError

from sidecar.collect.frames import memory_limit
from sidecar.collect.lines import LineProtocol, LineStream
from sidecar.errors import CollectError, EngineGoneError, SettingError


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A container as the engine lists it; `state` is Docker's word: created, running, paused, restarting, exited, dead."""

    id: str
    name: str
    state: str
    image: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a container may use, None where nothing limits it (`cpus` in cores); and its cgroup's parent, if not the usual one."""

    memory_bytes: int | None = None
    cpus: float | None = None
    cgroup_parent: str | None = None


class Engine(Protocol):
    """What the collector asks of an engine. Every method raises EngineGoneError when it does not answer."""

    def containers(self) -> list[Found]:
        """All containers, stopped ones too."""

    def limits(self, container_id: str) -> Limits:
        """A container's limits; none for a container that has gone meanwhile."""

    def open(self, path: str) -> LineStream:
        """A stream of JSON lines from a path of the API, such as `events`; its status is known when it has been read."""


class DockerEngine:
    """The engine behind a `unix://` or `tcp://` endpoint; connects when first asked and again after every failure."""

    def __init__(self, endpoint: str, timeout_s: float = 10.0) -> None:
        parts = urlsplit(endpoint)
        if not (parts.scheme == "unix" and parts.path) and not (parts.scheme in ("tcp", "http") and parts.hostname):
            raise SettingError(
                f"TRACEMARK_DOCKER={endpoint} is not an endpoint that can be read",
                "write unix:///var/run/docker.sock, tcp://HOST:PORT for a socket proxy, or off",
            )
        self.endpoint = endpoint
        self._path = parts.path if parts.scheme == "unix" else None
        self._address = (parts.hostname or "", parts.port or 2375)
        self._timeout_s = timeout_s
        self._client: docker.APIClient | None = None

    def containers(self) -> list[Found]:
        return [
            Found(
                id=entry["Id"],
                # a linked container has further names such as /other/alias; its own has one slash
                name=min(entry.get("Names") or [entry["Id"][:12]], key=lambda name: name.count("/")).lstrip("/"),
                state=str(entry.get("State") or "").lower(),
                image=str(entry.get("Image") or ""),
                labels=entry.get("Labels") or {},
            )
            for entry in self._ask(lambda api: api.containers(all=True))
        ]

    def limits(self, container_id: str) -> Limits:
        try:
            host = self._ask(lambda api: api.inspect_container(container_id)).get("HostConfig") or {}
        except CollectError as error:
            if isinstance(error.__cause__, APIError) and error.__cause__.status_code == 404:
                return Limits()
            raise
        quota, period = host.get("CpuQuota") or 0, host.get("CpuPeriod") or 100_000
        cpus = (host.get("NanoCpus") or 0) / 1e9 or (quota / period if quota > 0 else 0)
        return Limits(
            memory_bytes=memory_limit(host.get("Memory")),
            cpus=cpus or None,
            cgroup_parent=host.get("CgroupParent") or None,
        )

    def open(self, path: str) -> LineStream:
        connection = self._connect()
        try:
            version = self._api().api_version
            connection.sendall(f"GET /v{version}/{path} HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
            return LineStream(connection)
        except OSError as error:
            connection.close()
            raise self._gone(error) from error
        except CollectError:
            connection.close()
            raise

    def _connect(self) -> socket.socket:
        try:
            if self._path is None:
                return socket.create_connection(self._address, self._timeout_s)
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.settimeout(self._timeout_s)
            try:
                connection.connect(self._path)
            except OSError:
                connection.close()
                raise
        except OSError as error:
            raise self._gone(error) from error
        return connection

    def _api(self) -> docker.APIClient:
        if self._client is None:
            self._client = docker.APIClient(self.endpoint, version=self._version(), timeout=round(self._timeout_s))
            # A proxy for the web, set in every container of many hospitals, is no way to the engine.
            self._client.trust_env = False
        return self._client

    def _version(self) -> str:
        """The engine's API version; asked by hand, as the package would ask through the environment's web proxy."""
        protocol, lines = LineProtocol(), list[bytes]()
        with self._connect() as connection:
            try:
                connection.sendall(b"GET /version HTTP/1.0\r\nHost: docker\r\n\r\n")
                while data := connection.recv(65536):
                    lines += protocol.feed(data)
            except OSError as error:
                raise self._gone(error) from error
        try:
            if protocol.status == 200:
                return str(json.loads(b"\n".join(lines))["ApiVersion"])
        except (ValueError, KeyError, TypeError) as error:
            raise self._refused(error) from error
        if protocol.status in (401, 403):
            raise forbidden(self.endpoint)
        raise self._refused(EOFError(f"status {protocol.status}"))

    def _ask(self, question: Callable[[docker.APIClient], Any]) -> Any:
        client = self._api()
        try:
            return question(client)
        except (APIError, OSError) as error:  # what requests raises are OSErrors
            if not (isinstance(error, APIError) and error.status_code == 404):
                client.close()
                self._client = None
            raise self._refused(error) from error

    def _gone(self, error: OSError) -> EngineGoneError:
        where = self._path or self.endpoint
        if isinstance(error, FileNotFoundError):
            return EngineGoneError(
                f"the Docker socket {where} is not there",
                "start Docker, bind the socket into the sidecar's container, or set TRACEMARK_DOCKER (off: without Docker)",
            )
        if isinstance(error, PermissionError):
            return EngineGoneError(
                f"the Docker socket {where} may not be opened",
                "run the sidecar with the socket's group, or set TRACEMARK_DOCKER to a socket proxy",
            )
        return EngineGoneError(
            f"no Docker engine answers at {where} ({error.strerror or error})",
            "start Docker, or set TRACEMARK_DOCKER to its endpoint",
        )

    def _refused(self, error: Exception) -> EngineGoneError:
        status = error.status_code if isinstance(error, APIError) else None
        if status in (401, 403):
            return forbidden(self.endpoint)
        said = error.explanation if isinstance(error, APIError) else f"{type(error).__name__} {error}"[:100]
        return EngineGoneError(f"the Docker engine at {self.endpoint} does not answer ({said})", "look at the engine and its log")


def forbidden(endpoint: str) -> EngineGoneError:
    """The error for an endpoint, mostly a socket proxy, that does not let the sidecar read."""
    return EngineGoneError(
        f"the Docker endpoint {endpoint} forbids reading containers or events",
        "allow GET for /containers, /events and /version in the socket proxy",
    )
