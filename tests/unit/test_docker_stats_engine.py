"""The edge to the Docker engine: what it says when the endpoint is wrong, away or closed, and what it reads when it answers."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from sidecar.collect.docker_engine import DockerEngine, Found, Limits
from sidecar.errors import EngineGoneError, SettingError
from tests.support.http_serving import serving
from tests.support.waiting import wait_until


@pytest.mark.parametrize("endpoint", ["", "off", "/var/run/docker.sock", "unix://", "ssh://host", "tcp://", "npipe:////./pipe/x"])
def test_an_endpoint_that_cannot_be_read_is_refused(endpoint: str) -> None:
    with pytest.raises(SettingError, match="unix:///var/run/docker"):
        DockerEngine(endpoint)


def test_an_absent_socket_names_itself_and_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(EngineGoneError, match=r"docker\.sock is not there: start Docker, bind the socket"):
        DockerEngine(f"unix://{tmp_path}/docker.sock").containers()


def test_a_socket_without_an_engine(tmp_path: Path) -> None:
    left_over = socket.socket(socket.AF_UNIX)
    left_over.bind(str(tmp_path / "d.sock"))
    left_over.close()
    with pytest.raises(EngineGoneError, match=r"no Docker engine answers at .*refused.*: start Docker"):
        DockerEngine(f"unix://{tmp_path}/d.sock").open("events")


def test_a_forbidden_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbid(_self: socket.socket, _address: Any) -> None:
        raise PermissionError(13, "Permission denied")

    class Forbidden(socket.socket):
        connect = forbid  # root may open every socket: the kernel's answer is played

    monkeypatch.setattr(socket, "socket", Forbidden)
    with pytest.raises(EngineGoneError, match="may not be opened: run the sidecar with the socket's group"):
        DockerEngine(f"unix://{tmp_path}/d.sock").containers()


class Proxy:
    """A socket proxy on loopback that answers by path; what it does not know it forbids."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {"/version": {"ApiVersion": "1.41"}}
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.split("?")[0]
                path = "/" + path.split("/", 2)[2] if path.startswith("/v1.") else path
                known = path in proxy.answers
                body = json.dumps(proxy.answers[path] if known else {"message": "forbidden"}).encode() + b"\n"
                self.send_response(200 if known else 403)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"tcp://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    proxy = Proxy()
    with serving(proxy.server):
        yield proxy


def test_a_proxy_that_forbids_lists(proxy: Proxy) -> None:
    with pytest.raises(EngineGoneError, match="forbids reading containers or events: allow GET"):
        DockerEngine(proxy.endpoint).containers()


def test_a_proxy_that_knows_nothing(proxy: Proxy) -> None:
    proxy.answers.clear()
    with pytest.raises(EngineGoneError, match="forbids reading"):
        DockerEngine(proxy.endpoint).containers()


@pytest.mark.parametrize("answer", ["no object", {"Version": "x"}, None])
def test_something_else_that_answers(proxy: Proxy, answer: object) -> None:
    proxy.answers["/version"] = answer
    with pytest.raises(EngineGoneError, match="does not answer"):
        DockerEngine(proxy.endpoint).containers()


def test_the_web_proxy_of_the_environment_is_not_asked(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    proxy.answers["/containers/json"] = []
    assert DockerEngine(proxy.endpoint).containers() == []


def test_lists_limits_and_streams(proxy: Proxy) -> None:
    proxy.answers["/containers/json"] = [
        {"Id": "a1", "Names": ["/other/alias", "/xnat-db"], "Image": "db:1", "State": "running", "Labels": None},
        {"Id": "b2" * 32, "Names": None, "Image": None, "State": "Exited", "Labels": {"k": "v"}},
    ]
    proxy.answers["/containers/a1/json"] = {"HostConfig": {"Memory": 1000, "NanoCpus": 1_500_000_000, "CgroupParent": "/p"}}
    proxy.answers["/containers/b2/json"] = {"HostConfig": {"Memory": 0, "NanoCpus": 0, "CpuQuota": 20000, "CpuPeriod": 100000}}
    proxy.answers["/containers/c3/json"] = {"HostConfig": {"Memory": 0, "CpuQuota": -1}}
    proxy.answers["/events"] = {"Action": "start"}
    engine = DockerEngine(proxy.endpoint)
    assert engine.containers() == [
        Found(id="a1", name="xnat-db", state="running", image="db:1", labels={}),
        Found(id="b2" * 32, name="b2b2b2b2b2b2", state="exited", image="", labels={"k": "v"}),
    ]
    assert engine.limits("a1") == Limits(memory_bytes=1000, cpus=1.5, cgroup_parent="/p")
    assert engine.limits("b2") == Limits(cpus=0.2)
    assert engine.limits("c3") == Limits()
    stream = engine.open("events")
    assert wait_until(stream.receive, "the line") == [b'{"Action": "start"}']
    assert stream.status == 200
    assert wait_until(lambda: stream.receive() is None, "the end")
    stream.close()


def test_an_engine_that_vanishes_is_asked_anew_when_it_is_back(proxy: Proxy) -> None:
    proxy.answers["/containers/json"] = []
    engine = DockerEngine(proxy.endpoint)
    assert engine.containers() == []
    del proxy.answers["/containers/json"]
    with pytest.raises(EngineGoneError):
        engine.containers()
    proxy.answers["/containers/json"] = []
    assert engine.containers() == []


def test_no_file_stays_open_when_an_engine_does_not_answer(tmp_path: Path) -> None:
    engine = DockerEngine(f"unix://{tmp_path}/docker.sock")
    with pytest.raises(EngineGoneError):
        engine.open("events")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        with pytest.raises(EngineGoneError):
            engine.open("events")
    assert len(os.listdir("/proc/self/fd")) == before
