"""The practice XNAT with docker-compose.override.yml laid over it, unchanged: what an operator gets from one `up`."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from replay.lab import stack
from replay.lab.command import must, run
from replay.lab.containers import COMPOSE_FILE, engine_answers
from replay.lab.folders import StateFolder, cache_directory
from replay.lab.image_build import ImageBuilder
from replay.lab.options import LabOptions
from replay.lab.processes import free_port
from replay.scenario import load_scenario
from tests.support.deploy import (
    OVERRIDE,
    ROOT,
    Compose,
    ask,
    clean_environment,
    execute,
    grafana_image,
    influxdb_image,
    inspect,
    sidecar_image,
)
from tests.support.deployment import NOT_AFTER_A_DEMO, Deployment, rows
from tests.support.grafana import queries
from tests.support.waiting import wait_until

pytestmark = pytest.mark.engine

PREFIX = f"dep{os.getpid()}-"
TOKEN = "an-operators-token"
#: asked of the socket proxy from inside the sidecar's container: method and path -> what it must answer
PROXY_ANSWERS = {
    "GET /_ping": 200,
    "GET /version": 200,
    "GET /v1.41/containers/json?all=1": 200,
    "GET /v1.41/containers/{web}/json": 200,
    "GET /v1.41/containers/{web}/stats?stream=false&one-shot=true": 200,
    "GET /v1.41/events?since=0&until=1": 200,
    "GET /v1.41/containers/absent/json": 404,
    "GET /v1.41/info": 403,
    "GET /v1.41/images/json": 403,
    "GET /v1.41/containers/{web}/logs?stdout=1": 403,
    "GET /v1.41/containers/{web}/archive?path=/etc/passwd": 403,
    "GET /v1.41/containers/{web}/attach/ws": 403,
    "GET /v1.41/containers/%2e%2e/images/json": 403,
    "GET /v1.41/containers/../images/json": 403,
    "GET /v1.41/containers/x%2f..%2f..%2fimages%2fjson": 403,
    "GET /v1.41/volumes": 403,
    "GET /": 403,
    "POST /v1.41/containers/create": 403,
    "POST /v1.41/containers/{web}/exec": 403,
    "POST /v1.41/containers/{web}/json": 403,
    "POST /v1.41/containers/{web}/kill": 403,
    "PUT /v1.41/containers/json": 403,
    "DELETE /v1.41/containers/{web}": 403,
    "HEAD /_ping": 403,
    "POST /build": 403,
}
SCENARIOS = ("researcher", "radiologist")
#: roll-ups are of whole minutes that are over for a while, headroom is told once a minute
ROLLED_UP_S = 180
ASKING = """
import http.client, json, sys
told = {}
for line in json.load(sys.stdin):
    method, path = line.split(" ", 1)
    connection = http.client.HTTPConnection("tracemark-socket-proxy", 2375, timeout=20)
    connection.request(method, path)
    told[line] = connection.getresponse().status
    connection.close()
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A lab that runs already, as XNAT does at an operator's, and the override over it; both are gone at the end."""
    if why := engine_answers(run):
        pytest.skip(f"the deployment needs a Docker engine: {why}")
    directory = tmp_path_factory.mktemp("deploy") / "lab"
    builder = ImageBuilder(run=run, cache=cache_directory(os.environ), environment={}, say=print, python=Path(sys.executable))
    base = builder.base()
    images = {
        "TRACEMARK_IMAGE": sidecar_image(base),
        "TRACEMARK_INFLUXDB_IMAGE": influxdb_image(base),
        "TRACEMARK_GRAFANA_IMAGE": grafana_image(base),
    }
    try:
        lab = stack.up(LabOptions(directory=directory, port=0, name_prefix=PREFIX), print)
        folder = StateFolder(directory)
        http_port, markers_port, grafana_port = free_port(), free_port(), free_port()
        settings = {
            **images,
            "TRACEMARK_PROXY_IMAGE": builder.ensure().nginx,
            "COMPOSE_PROFILES": "influx,grafana",
            "TRACEMARK_DIR": str(ROOT),
            "TRACEMARK_CONTAINERS": f"name:{PREFIX}xnat-*",
            "TRACEMARK_HTTP_PORT": str(http_port),
            "TRACEMARK_MARKERS_PORT": str(markers_port),
            "TRACEMARK_GRAFANA_PORT": str(grafana_port),
            "TRACEMARK_SITE": "lab",
            "TRACEMARK_TOKEN": TOKEN,
            "TRACEMARK_INFLUX_PASSWORD": "an-operators-password",
            "TRACEMARK_GRAFANA_PASSWORD": "another-password",
        }
        env_file = directory / "deploy.env"
        env_file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()), encoding="utf-8")
        (directory / "tracemark.env").write_text("TRACEMARK_GRAFANA_TOKEN=a-service-accounts-token\n", encoding="utf-8")
        compose = Compose(folder=directory, files=(COMPOSE_FILE, OVERRIDE), env_files=(folder.compose_env, env_file))
        try:
            started = compose("up", "--detach", "--no-build", "--pull", "never", timeout_s=300)
            must(started, "the deployment does not start", started.errors[-2000:])
            yield Deployment(lab=lab, compose=compose, http_port=http_port)
        finally:
            print(compose("logs", "--no-color", "--tail", "20").output)
            must(compose("down", "--volumes", "--timeout", "3", timeout_s=120), "the deployment does not end", "see `docker ps`")
    finally:
        stack.down(directory, print, purge=True)
    for kind, options in (("container", ["--all"]), ("network", []), ("volume", [])):
        left = run(["docker", kind, "ls", *options, "--quiet", "--filter", f"name={PREFIX}"], timeout_s=30)
        assert left.output == "", f"a {kind} was left: {left.output}"


def test_the_sidecar_sees_every_container_and_request_and_influxdb_gets_them(deployment: Deployment) -> None:
    for _ in range(5):
        assert ask(f"{deployment.lab.url}/app/template/Login.vm")[0] == 200

    def rows(path: str) -> list[Mapping[str, Any]]:
        return list((deployment.api(path) or {"rows": []})["rows"])

    def sampled(container: str) -> bool:
        return len(rows(f"/api/v1/samples?container={container}&from=-10m")) > 2

    wait_until(lambda: all(map(sampled, deployment.lab.containers)), "samples of every container")
    servers = {"nginx", "tomcat", "xnat"}
    wait_until(lambda: {row["server"] for row in rows("/api/v1/requests?from=-10m")} == servers, "a request in every log")
    timed = [row for row in rows("/api/v1/requests?from=-10m") if row["server"] == "nginx"]
    assert all(row["duration_ns"] is not None for row in timed)

    def counts(measurement: str, tag: str) -> dict[str, float]:
        query = f'SELECT count(*) FROM "{measurement}" WHERE time > now() - 10m GROUP BY "{tag}"'  # noqa: S608
        return {str(index): max(filter(None, row[1:])) for index, row in enumerate(deployment.influxql(query))}

    wait_until(lambda: len(counts("docker_container_cpu", "container_name")) == 3, "CPU of three containers in InfluxDB")
    wait_until(lambda: counts("http_request", "server"), "requests in InfluxDB")

    def sources() -> set[str]:
        return {value for _, value in deployment.influxql('SHOW TAG VALUES FROM "docker_container_cpu" WITH KEY = "source"')}

    # both are to be had through what is mounted: the files of the control groups, and the engine's frames past the proxy
    wait_until(lambda: sources() == {"cgroup", "docker"}, "samples of both sources")
    assert deployment.influxql('SHOW TAG VALUES FROM "http_request" WITH KEY = "site"') == [["site", "lab"]]


def test_the_sidecar_is_healthy_and_nobody_in_particular(deployment: Deployment) -> None:
    sidecar = deployment.compose.container("tracemark")
    wait_until(lambda: inspect(sidecar)["State"]["Health"]["Status"] == "healthy", "the sidecar to be healthy", 60)
    assert execute(sidecar, "id", "-u").output.strip() == "10001"
    host = inspect(sidecar)["HostConfig"]
    assert (host["ReadonlyRootfs"], host["Privileged"], host["CapDrop"]) == (True, False, ["ALL"])
    assert host["Memory"] == 512 * 2**20
    assert host["NanoCpus"] > 0
    assert host["Init"] is True
    for path in (
        "/usr/local/bin/x",
        "/opt/tracemark/app/x",
        "/logs/nginx/x",
        "/logs/tomcat/x",
        "/host/cgroup/x",
        "/run/tracemark/x",
    ):
        refused = execute(sidecar, "touch", path)
        assert refused.status != 0, path
    assert execute(sidecar, "touch", "/var/lib/tracemark/x").status == 0
    assert execute(sidecar, "test", "-e", "/var/run/docker.sock").status != 0
    status = execute(sidecar, "cat", "/proc/1/status").output
    assert "CapEff:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status


def test_the_socket_proxy_lets_the_needed_questions_through_and_nothing_else(deployment: Deployment) -> None:
    sidecar, web = deployment.compose.container("tracemark"), deployment.compose.container("xnat-web")
    wanted = {line.format(web=web): status for line, status in PROXY_ANSWERS.items()}
    asked = execute(sidecar, "/opt/tracemark/bin/python", "-c", ASKING.replace("json.load(sys.stdin)", repr(list(wanted))))
    assert json.loads(must(asked, "the proxy could not be asked", asked.errors)) == wanted
    # nobody else reaches the proxy: XNAT's own containers do not even know the name
    assert execute(web, "python3", "-c", "import socket; socket.gethostbyname('tracemark-socket-proxy')").status != 0
    assert inspect(web)["State"]["Running"] is True


def test_each_of_the_two_tokens_has_its_own_place_and_right(deployment: Deployment) -> None:
    influxdb, sidecar = (deployment.compose.container(name) for name in ("tracemark-influxdb", "tracemark"))
    write, read = (execute(influxdb, "cat", f"/run/tracemark/{what}-token/token").output.strip() for what in ("write", "read"))
    assert len(write) > 40
    assert write != read
    assert execute(sidecar, "cat", "/run/tracemark/write-token/token").output.strip() == write
    assert execute(sidecar, "ls", "/run/tracemark").output.split() == ["write-token"]
    assert "an-operators-password" not in json.dumps(inspect(sidecar))
    # a second start of InfluxDB makes no new ones
    must(run(["docker", "restart", "--time", "3", influxdb], timeout_s=60), "InfluxDB does not start again", "")
    wait_until(lambda: deployment.influxql("SHOW MEASUREMENTS"), "InfluxDB to answer with the same token")
    assert execute(influxdb, "cat", "/run/tracemark/write-token/token").output.strip() == write
    # by hand it makes new ones, as the operator's page says where a token was lost
    again = execute(influxdb, "bash", "/docker-entrypoint-initdb.d/tracemark-tokens.sh")
    assert again.status == 0, again.errors
    assert execute(sidecar, "cat", "/run/tracemark/write-token/token").output.strip() not in ("", write)
    must(run(["docker", "restart", "--time", "3", influxdb], timeout_s=60), "InfluxDB does not start again", "")
    must(
        deployment.compose("restart", "--timeout", "3", "tracemark", "tracemark-grafana"),
        "the sidecar does not start with the new token",
        "",
    )
    wait_until(lambda: "takes points" in execute(sidecar, "tracemark", "check").output, "the sidecar to write with it")
    wait_until(lambda: deployment.influxql("SHOW MEASUREMENTS"), "the dashboards' new token to read")


def test_an_action_told_through_nginx_is_in_both_buckets_with_what_it_cost(deployment: Deployment) -> None:
    hello = {"type": "hello", "version": 1, "source": "replay", "client": "test-1", "session": "0" * 32}
    now_ns = time.time_ns()

    def marker(seq: int, phase: str, wall_ns: int) -> dict[str, Any]:
        times = {"wall_ns": wall_ns, "mono_ns": wall_ns, "offset_ns": 0, "offset_error_ns": 0}
        return {"seq": seq, "action_id": "a" * 16, "action": "login", "phase": phase, **times}

    told = [marker(1, "begin", now_ns - 2 * 10**9), marker(2, "end", now_ns - 10**9)]
    with connect(deployment.channel, proxy=None) as channel:
        for message, answer in (({**hello, "token": TOKEN}, "welcome"), ({"type": "markers", "items": told}, "ack")):
            channel.send(json.dumps(message))
            assert json.loads(channel.recv(timeout=20))["type"] == answer
    query = f'SELECT "cpu_seconds_{PREFIX}xnat-web" FROM "action" WHERE time > now() - 10m AND "action" = \'login\''  # noqa: S608
    for bucket in ("tracemark", "tracemark_long"):
        found = partial(deployment.influxql, query, bucket)
        [[_, cpu_seconds]] = wait_until(found, f"the action in {bucket}")
        assert 0 < cpu_seconds < 2


@dataclass(frozen=True, slots=True)
class Demo:
    """Both scenarios, played once each through nginx: when that began, what the replayer said, the session that it finished."""

    since_ns: int
    said: Mapping[str, str]
    sessions: Mapping[str, str]


@pytest.fixture(scope="module")
def demo(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    folder = tmp_path_factory.mktemp("replays")
    since_ns = time.time_ns()
    said, sessions = {}, {}
    for scenario in SCENARIOS:
        command = [sys.executable, "-m", "sidecar", "replay", scenario, "--url", deployment.lab.url, "--setup", "lan"]
        options = ["--run-id", f"ci-{scenario}", "--markers", deployment.channel, "--out", str(folder)]
        secrets = {"XNAT_USER": scenario, "XNAT_PASSWORD": deployment.lab.users[scenario], "TRACEMARK_TOKEN": TOKEN}
        played = run([*command, *options], timeout_s=200, environment={**clean_environment(), **secrets})
        said[scenario] = played.output + played.errors
        assert played.status == 0, said[scenario]
        (result,) = (folder / f"ci-{scenario}").glob("repetition-*/result.json")
        sessions[scenario] = json.loads(result.read_text(encoding="utf-8"))["session"]
    return Demo(since_ns, said, sessions)


@pytest.mark.browser
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_action_of_a_scenario_is_in_influxdb_with_its_run(deployment: Deployment, demo: Demo, scenario: str) -> None:
    # of the finished attempt: a browser gives up its requests when other tests make networks, and is then sent again
    which = f"\"run\" = 'ci-{scenario}' AND \"session\" = '{demo.sessions[scenario]}'"
    query = f'SELECT "action", "outcome" FROM "action" WHERE time >= {demo.since_ns} AND {which}'  # noqa: S608
    wanted = load_scenario(scenario).actions()

    def told() -> set[str]:
        return {row[1] for row in deployment.influxql(query)}

    wait_until(lambda: told() >= set(wanted), f"the actions {', '.join(wanted)} in InfluxDB")
    assert {row[2] for row in deployment.influxql(query)} == {"completed"}, demo.said[scenario]


def test_logs_that_only_roots_group_may_read_are_read(deployment: Deployment) -> None:
    sidecar, web = deployment.compose.container("tracemark"), deployment.compose.container("xnat-web")
    for theirs, ours in (("/usr/local/tomcat/logs", "/logs/tomcat"), ("/data/xnat/home/logs", "/logs/xnat")):
        # as Tomcat's start script leaves them
        script = f"umask 0027; echo seen >{theirs}/private.txt; stat -c %U:%G:%a {theirs}/private.txt"
        assert execute(web, "sh", "-c", script).output.strip() == "root:root:640"
        assert execute(sidecar, "cat", f"{ours}/private.txt").output == "seen\n"


def test_nginx_leads_to_the_marker_channel_and_to_tickets_and_asks_who_wants_the_page(deployment: Deployment) -> None:
    hello = {"type": "hello", "version": 1, "source": "replay", "client": "test-1", "session": "1" * 32, "token": "wrong"}
    with connect(deployment.channel, proxy=None) as channel:
        channel.send(json.dumps(hello))
        assert json.loads(channel.recv(timeout=20))["type"] == "error"
    headers = {"Origin": deployment.lab.url, "Content-Type": "application/json"}
    # who is not logged in gets the sidecar's answer, so the sidecar could ask XNAT
    status, body = ask(f"{deployment.lab.url}/tracemark/api/v1/tickets", "POST", headers, b"{}")
    assert (status, json.loads(body)["status"]) == (401, 401)
    for path, expected in (("/tracemark/", 401), ("/tracemark/api/v1/usage", 401), ("/tracemark/healthz", 404)):
        assert ask(f"{deployment.lab.url}{path}")[0] == expected, path


def test_check_inside_the_container_finds_nothing_wrong(deployment: Deployment) -> None:
    told = execute(deployment.compose.container("tracemark"), "tracemark", "check")
    assert told.status == 0, told.output + told.errors
    assert "failed" not in told.output
    for part, seen in (
        ("docker", "3 of "),
        ("cgroup", "/host/cgroup"),
        ("nginx log", "/logs/nginx/xnat.access.log"),
        ("tomcat log", "/logs/tomcat/localhost_access_log"),
        ("xnat log", "/logs/xnat/access.log"),
        ("influxdb", "takes points for tracemark and tracemark_long"),
        ("grafana", "has all 9 dashboards"),
        ("clock", "agrees with that of XNAT, InfluxDB, Grafana"),
        ("http", "is a running sidecar's"),
        ("markers", "is a running sidecar's"),
    ):
        assert any(line.startswith(f"ok       {part}") and seen in line for line in told.output.splitlines()), told.output


@pytest.mark.browser
def test_every_query_of_boards_and_alerts_has_rows_after_a_demo_run_or_a_reason_to_have_none(
    deployment: Deployment, demo: Demo
) -> None:
    """What a newcomer sees in Grafana after the first two scenarios: no panel is empty without a reason that is told here."""
    chosen = {"run": "ci-radiologist", "baseline": "ci-researcher", "container": f"{PREFIX}xnat-web"}
    asked = [replace(one, single={**one.single, **chosen}) for one in queries()]
    assert NOT_AFTER_A_DEMO.keys() <= {str(one) for one in asked}

    reader = deployment.reader()
    left = [one for one in asked if str(one) not in NOT_AFTER_A_DEMO]

    def nothing_left() -> bool:
        now_ms = time.time_ns() // 10**6
        left[:] = [one for one in left if not rows(reader, one, demo.since_ns // 10**6, now_ms)]
        return not left

    with suppress(AssertionError):  # of its own words: which queries are left says more
        wait_until(nothing_left, "rows of every query", ROLLED_UP_S)
    assert not left, "queries without rows: " + ", ".join(map(str, left))


def test_xnat_does_not_need_the_sidecar(deployment: Deployment) -> None:
    must(deployment.compose("stop", "--timeout", "10", "tracemark"), "the sidecar does not stop", "")
    state = inspect(deployment.compose.container("tracemark"))["State"]
    assert state["ExitCode"] == 0, "the sidecar did not end in order"
    must(deployment.compose("restart", "--timeout", "3", "--no-deps", "xnat-nginx"), "nginx does not start without a sidecar", "")
    wait_until(lambda: ask(f"{deployment.lab.url}/app/template/Login.vm")[0] == 200, "XNAT to answer")
    assert ask(f"{deployment.lab.url}/tracemark/markers")[0] == 502
