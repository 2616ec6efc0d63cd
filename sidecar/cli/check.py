"""`tracemark check`: a line for each part: ok, a warning, or what to do."""

from __future__ import annotations

import argparse
import glob
import json
import os
import re
import shutil
import socket
import sqlite3
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlencode, urlsplit

from sidecar.cli.common import add_config, read_config
from sidecar.collect.cgroup_files import hierarchy
from sidecar.collect.docker_stats import DockerEngine, parse_selectors
from sidecar.config import Config
from sidecar.errors import CollectError

EXAMPLE = "example:\n  TRACEMARK_NGINX_LOG=/srv/xnat/logs/nginx/xnat.access.log tracemark check\n"
#: a difference that moves actions off their curves
_CLOCKS_DIFFER_S = 2.0
_INFLUX_REFUSALS = {
    401: (
        "does not accept the token",
        "set TRACEMARK_INFLUX_TOKEN (or TRACEMARK_INFLUX_TOKEN_FILE) to a token that may write the bucket",
    ),
    403: ("does not let this token write {bucket}", "give the token write permission, or set another TRACEMARK_INFLUX_TOKEN"),
    404: (
        "does not know the bucket {bucket} or the organisation",
        "make the bucket, or correct TRACEMARK_INFLUX_BUCKET, _LONG_BUCKET and _ORG",
    ),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What was seen of one part. `do` is the remedy, empty when there is nothing to do."""

    part: str
    state: Literal["ok", "warning", "failed"]
    what: str
    do: str = ""

    def line(self) -> str:
        return f"{self.state:<8} {self.part:<10} {self.what}" + (f": {self.do}" if self.do else "")


def check_docker(config: Config) -> Finding:
    """Whether the Docker engine answers and has containers that are chosen."""
    endpoint = config["docker"]
    if endpoint == "off":
        return Finding("docker", "ok", "switched off")
    try:
        chosen = parse_selectors(config["containers"])
        found = DockerEngine(endpoint, timeout_s=5).containers()
    except CollectError as fault:
        return Finding("docker", "warning", fault.what, fault.remedy)
    names = sorted(one.name for one in found if chosen(one.name, one.labels))
    if not names:
        return Finding("docker", "warning", f"none of {len(found)} containers is chosen", "check TRACEMARK_CONTAINERS")
    if (parts := urlsplit(endpoint)).scheme in ("tcp", "http"):
        # Not one of the sidecar's own questions: what answers it is no proxy with a list, and lets everybody do everything.
        status, _, _ = _ask(f"http://{parts.hostname}:{parts.port or 2375}/info")
        if status == 200:
            return Finding(
                "docker",
                "warning",
                f"{endpoint} answers more than the sidecar asks: who gets into the sidecar rules the machine",
                "put a socket proxy in between, such as sidecar/deploy/socket-proxy.conf",
            )
    return Finding("docker", "ok", f"{len(names)} of {len(found)} containers are chosen: {', '.join(names[:8])}")


def check_cgroup(config: Config) -> Finding:
    """Whether exact samples are to be had from the cgroup files."""
    if config["cgroup"] == "off":
        return Finding("cgroup", "ok", "switched off: edges of actions are as exact as Docker's frames")
    root = Path(config["cgroup"])
    tree = root if (root / "cgroup.controllers").exists() else hierarchy(root, "cpuacct")
    if tree is None:
        return Finding(
            "cgroup",
            "warning",
            f"{config['cgroup']} shows no cgroups",
            "mount /sys/fs/cgroup read-only; until then 1 Hz frames are used",
        )
    return Finding("cgroup", "ok", f"{tree}, {config['cgroup_hz']:g} samples per second")


def check_log(config: Config, name: str, remedy: str) -> Finding:
    """Whether an access log is there and may be read."""
    pattern = config[f"{name}_log"]
    if not pattern:
        return Finding(
            f"{name} log",
            "ok" if name != "nginx" else "warning",
            "not set",
            "" if name != "nginx" else f"set TRACEMARK_{name.upper()}_LOG",
        )
    files = sorted(glob.glob(pattern))
    if not files:
        return Finding(
            f"{name} log", "warning", f"{pattern} matches no file yet", "check the path; it is followed as soon as it appears"
        )
    unreadable = [file for file in files if not os.access(file, os.R_OK)]
    if unreadable:
        return Finding(f"{name} log", "failed", f"{unreadable[0]} may not be read", remedy)
    return Finding(f"{name} log", "ok", f"{len(files)} file(s), newest {files[-1]}")


def check_http(part: str, url: str, variable: str) -> Finding:
    """Whether a server answers at all."""
    if not url:
        return Finding(part, "ok", "not set" if part == "xnat" else "not set: the journal alone is used")
    if not url.startswith(("http://", "https://")):
        return Finding(part, "failed", f"{url} is not a URL", f"set {variable}=http://…")
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  (the scheme was checked)
            status = answer.status
    except urllib.error.HTTPError as error:
        status = error.code
    except OSError as error:
        return Finding(part, "failed", f"{url} does not answer ({error})", f"start it or check {variable}")
    return Finding(part, "ok" if status < 500 else "warning", f"{url} answers with {status}")


def check_influxdb(config: Config) -> Finding:
    """Whether InfluxDB answers, takes the token for every bucket, and finds buckets by name in InfluxQL. Writes nothing."""
    url = config["influx_url"].rstrip("/")
    reached = check_http("influxdb", url and f"{url}/ping", "TRACEMARK_INFLUX_URL")
    if not url or reached.state != "ok":
        return reached
    _, headers, _ = _ask(f"{url}/ping")
    version = headers.get("X-Influxdb-Version", "")
    buckets = [name for name in (config["influx_bucket"], config["influx_long_bucket"]) if name]
    for bucket in buckets:
        where = urlencode({"org": config["influx_org"], "bucket": bucket, "precision": "ns"})
        # No points: a server that knows token and bucket says that there is nothing to do.
        status, _, _ = _ask(f"{url}/api/v2/write?{where}", {"Authorization": f"Token {config['influx_token']}"}, data=b"")
        if status in _INFLUX_REFUSALS:
            what, remedy = _INFLUX_REFUSALS[status]
            return Finding("influxdb", "failed", f"{url} {what.format(bucket=bucket)}", remedy)
    if re.match(r"v?2\.[0-4]\.", version):
        return Finding(
            "influxdb",
            "warning",
            f"{url} is {version}, which finds no bucket by name in InfluxQL",
            "update it to 2.5 or later, or map the bucket with `influx v1 dbrp create`",
        )
    known = f" ({version})" if version else ""
    return Finding("influxdb", "ok", f"{url}{known} takes points for {' and '.join(buckets)}")


def check_grafana(config: Config) -> Finding:
    """Whether Grafana answers and, where a token is set, reaches InfluxDB and has the dashboards; collecting needs none of it."""
    url = config["grafana_url"].rstrip("/")
    if not url:
        return Finding("grafana", "ok", "not set")
    if _ask(f"{url}/api/health")[0] != 200:
        remedy = "start it, check TRACEMARK_GRAFANA_URL, or set it to nothing"
        return Finding("grafana", "warning", f"{url} does not answer in good health", remedy)
    if not config["grafana_token"]:
        return Finding("grafana", "ok", f"{url} answers; set TRACEMARK_GRAFANA_TOKEN to look at datasource and dashboards")
    head = {"Authorization": f"Bearer {config['grafana_token']}"}
    status, _, told = _ask(f"{url}/api/datasources/uid/tracemark/health", head)
    if status in (401, 403):
        return Finding("grafana", "warning", f"{url} refuses the token", "set TRACEMARK_GRAFANA_TOKEN to an Editor's token")
    if status != 200:
        said = str(told.get("message", status))[:100] if isinstance(told, dict) else str(status)
        remedy = "check the read token and the datasource's URL, and that grafana/provisioning is mounted"
        return Finding("grafana", "warning", f"its datasource does not work ({said})", remedy)
    _, _, boards = _ask(f"{url}/api/search?type=dash-db&folderUIDs=tracemark", head)
    if not isinstance(boards, list) or not boards:
        return Finding("grafana", "warning", "it has no dashboards of Tracemark", "mount grafana/dashboards, see Grafana's log")
    return Finding("grafana", "ok", f"{url} reaches InfluxDB and has {len(boards)} dashboards")


def _ask(
    url: str, headers: Mapping[str, str] | None = None, data: bytes | None = None, timeout_s: float = 5
) -> tuple[int, Mapping[str, str], Any]:
    """Status, headers and JSON of an answer; status 0 when there is none. Past any web proxy of the environment."""
    if not url.startswith(("http://", "https://")):
        return 0, {}, None
    request = urllib.request.Request(url, data, dict(headers or {}))  # noqa: S310  (the scheme was checked)
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=timeout_s) as answer:
            status, told, body = answer.status, answer.headers, answer.read(1_000_000)
    except urllib.error.HTTPError as error:
        status, told, body = error.code, error.headers, error.read(1_000_000)
    except OSError:
        return 0, {}, None
    try:
        return status, told, json.loads(body)
    except ValueError:
        return status, told, None


def check_clock(config: Config, now_s: Callable[[], float] = time.time) -> Finding:
    """Whether the other machines' clocks, by the `Date` of their answers (whole seconds), agree with this one's."""
    asked = {
        "XNAT": config["xnat_url"],
        "InfluxDB": config["influx_url"] and config["influx_url"].rstrip("/") + "/ping",
        "Grafana": config["grafana_url"] and config["grafana_url"].rstrip("/") + "/api/health",
    }
    agree = []
    for name, url in asked.items():
        before_s = now_s()
        said = _ask(url)[1].get("Date") if url else None
        after_s = now_s()
        if not said:
            continue
        try:
            theirs_s = parsedate_to_datetime(said).timestamp()
        except ValueError:
            continue
        # Said in whole seconds, cut off, somewhere between question and answer.
        ahead_s, behind_s = theirs_s - after_s, before_s - (theirs_s + 1)
        if max(ahead_s, behind_s) > _CLOCKS_DIFFER_S:
            what = f"{name}'s clock is {max(ahead_s, behind_s):.0f} s {'ahead' if ahead_s > 0 else 'behind'} or more"
            return Finding("clock", "warning", what, "let all machines keep time by NTP: curves and actions would not meet")
        agree.append(name)
    return Finding("clock", "ok", f"agrees with that of {', '.join(agree)}" if agree else "nobody to compare with")


def check_journal(config: Config) -> Finding:
    """Whether the journal can be written and is sound, and how much room there is."""
    path = Path(config["journal"]).absolute()
    folder = path.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        return Finding("journal", "failed", f"{folder} cannot be written", "make the folder or set TRACEMARK_JOURNAL")
    free = shutil.disk_usage(folder).free
    size = path.stat().st_size if path.exists() else 0
    if size:
        try:
            with sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True) as connection:
                verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        except sqlite3.DatabaseError as error:
            verdict = str(error)
        if verdict != "ok":
            return Finding(
                "journal", "failed", f"{path} is damaged ({verdict})", "move it aside; a new one is made at the next start"
            )
    room = f"{size / 1e6:.0f} MB used, {free / 1e9:.1f} GB free"
    if free < config["journal_max_mb"] * 1e6:
        return Finding("journal", "warning", f"{path}: {room}", "less than TRACEMARK_JOURNAL_MAX_MB is free")
    return Finding("journal", "ok", f"{path}: {room}")


def check_port(config: Config, name: str) -> Finding:
    """Whether an address is free, or already ours: inside the container the sidecar itself is running."""
    host, port = config[name]
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if _is_ours(name, host, port):
                return Finding(name, "ok", f"{host}:{port} is a running sidecar's")
            return Finding(
                name,
                "warning",
                f"{host}:{port} cannot be listened on ({error.strerror})",
                f"another program has it: end that, or set TRACEMARK_{name.upper()}",
            )
    return Finding(name, "ok", f"{host}:{port} is free")


def _is_ours(name: str, host: str, port: int) -> bool:
    """Whether a sidecar answers there; the marker channel refuses a request that is no WebSocket in its own way."""
    here = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    if name == "http":
        return _ask(f"http://{here}:{port}/readyz", timeout_s=1)[0] in (200, 503)
    return _ask(f"http://{here}:{port}/markers", timeout_s=1)[0] == 426


def findings(config: Config) -> list[Finding]:
    """Look at every part."""
    looks: tuple[Callable[[], Finding], ...] = (
        lambda: check_docker(config),
        lambda: check_cgroup(config),
        lambda: check_log(config, "nginx", "mount the log folder readable for this user"),
        lambda: check_log(config, "tomcat", "set UMASK=0022 for xnat-web, or run the sidecar with group 0"),
        lambda: check_log(config, "xnat", "mount the log folder readable for this user"),
        lambda: check_http("xnat", config["xnat_url"], "TRACEMARK_XNAT_URL"),
        lambda: check_influxdb(config),
        lambda: check_grafana(config),
        lambda: check_clock(config),
        lambda: check_journal(config),
        lambda: check_port(config, "http"),
        lambda: check_port(config, "markers"),
    )
    return [look() for look in looks]


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="tracemark check", description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_config(parser)
    seen = findings(read_config(parser.parse_args(argv)))
    for finding in seen:
        print(finding.line())
    return 1 if any(finding.state == "failed" for finding in seen) else 0
