"""All settings of the sidecar: one table of name, default, what is allowed and what for, and how each value is read.

The table is printed by `tracemark serve --help` and compared with the README by a test.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

PREFIX = "TRACEMARK_"


def _text(value: str) -> str:
    return value


def _number(low: float, high: float) -> Callable[[str], float]:
    def parse(value: str) -> float:
        number = float(value)
        if not low <= number <= high:
            raise ValueError
        return number

    return parse


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        number = int(value)
        if not low <= number <= high:
            raise ValueError
        return number

    return parse


def _word(*words: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value not in words:
            raise ValueError
        return value

    return parse


def _address(value: str) -> tuple[str, int]:
    host, _, port = value.rpartition(":")
    if not host or not 0 <= int(port) <= 65535:
        raise ValueError
    return host.strip("[]"), int(port)


def _list(value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _pairs(value: str) -> Mapping[str, str]:
    pairs = dict(part.split("=", 1) for part in _list(value))
    if not all(pairs.values()):
        raise ValueError
    return pairs


def _amounts(value: str) -> Mapping[str, float]:
    amounts = {name: float(amount) for name, amount in _pairs(value).items()}
    if not all(name and 0 < amount < 1e9 for name, amount in amounts.items()):
        raise ValueError
    return amounts


def _run(value: str) -> str:
    return _name(value) if value else value


def _zone(value: str) -> str:
    if value != "local":
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, OSError) as error:
            raise ValueError from error
    return value


def _key(value: str) -> str:
    if value and len(value) < 32:
        raise ValueError
    return value


def _bucket(value: str) -> str:
    if "/" in value:
        raise ValueError
    return value


def _name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", value):
        raise ValueError
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One row of the table."""

    name: str
    default: str
    parse: Callable[[str], Any]
    allowed: str
    help: str
    secret: bool = False

    @property
    def variable(self) -> str:
        return PREFIX + self.name.upper()


SETTINGS: tuple[Setting, ...] = (
    Setting(
        name="http",
        default="127.0.0.1:8050",
        parse=_address,
        allowed="HOST:PORT",
        help="where the live page and the HTTP API listen",
    ),
    Setting(
        name="allowed_hosts",
        default="",
        parse=_list,
        allowed="comma-separated host names; empty means this machine's own on loopback, and any elsewhere",
        help="further names under which the page and the API may be asked for",
    ),
    Setting(
        name="markers",
        default="127.0.0.1:8051",
        parse=_address,
        allowed="HOST:PORT",
        help="where the marker channel listens (WebSocket, path /markers)",
    ),
    Setting(
        name="token",
        default="",
        parse=_text,
        allowed="any text; empty admits only clients on this machine",
        help="token that clients of the marker channel must show",
        secret=True,
    ),
    Setting(
        name="journal",
        default="tracemark.sqlite",
        parse=_text,
        allowed="a path",
        help="the journal's file; it is made when absent",
    ),
    Setting(
        name="retention_days",
        default="7",
        parse=_number(0.01, 3660),
        allowed="0.01 to 3660",
        help="age at which samples, requests and markers leave the journal",
    ),
    Setting(
        name="journal_max_mb",
        default="2048",
        parse=_whole(16, 10**6),
        allowed="16 to 1000000",
        help="size of the journal past which the oldest samples and requests leave it",
    ),
    Setting(
        name="site",
        default="default",
        parse=_name,
        allowed="letters, digits, '_', '.', '-'",
        help="name of this XNAT on every point sent to InfluxDB",
    ),
    Setting(
        name="engine_host",
        default=platform.node() or "localhost",
        parse=_text,
        allowed="a name",
        help="name of the machine that the containers run on; the default is this machine's",
    ),
    Setting(
        name="docker",
        default="unix:///var/run/docker.sock",
        parse=_text,
        allowed="a Docker endpoint, or off",
        help="the Docker engine to read frames from",
    ),
    Setting(
        name="containers",
        default="name:xnat-*",
        parse=_list,
        allowed="comma-separated name:GLOB, label:KEY[=VALUE], service:NAME",
        help="which containers are sampled",
    ),
    Setting(
        name="processes",
        default="",
        parse=_pairs,
        allowed="comma-separated NAME=PIDFILE",
        help="plain processes to sample as if they were containers, where there is no Docker",
    ),
    Setting(
        name="cgroup",
        default="/sys/fs/cgroup",
        parse=_text,
        allowed="a path, or off",
        help="the cgroup file system, for exact samples",
    ),
    Setting(
        name="cgroup_hz",
        default="10",
        parse=_number(0.1, 100),
        allowed="0.1 to 100",
        help="samples per second and container from the cgroup files",
    ),
    Setting(
        name="nginx_log",
        default="",
        parse=_text,
        allowed="a path or glob",
        help="nginx's access log, in combined format or in ours",
    ),
    Setting(
        name="tomcat_log",
        default="",
        parse=_text,
        allowed="a path or glob",
        help="Tomcat's access log",
    ),
    Setting(
        name="xnat_log",
        default="",
        parse=_text,
        allowed="a path or glob",
        help="XNAT's own access.log",
    ),
    Setting(
        name="tomcat_duration",
        default="auto",
        parse=_word("auto", "ms", "us"),
        allowed="auto, ms, us",
        help="unit of %D in Tomcat's log: ms up to Tomcat 9, us from 10 on; auto decides from the lines",
    ),
    Setting(
        name="log_zone",
        default="local",
        parse=_zone,
        allowed="local, or a name such as Europe/Rome",
        help="time zone of logs that do not say theirs (XNAT's access.log)",
    ),
    Setting(
        name="context_path",
        default="",
        parse=_text,
        allowed="empty, or such as /xnat",
        help="path below which XNAT answers",
    ),
    Setting(
        name="xnat_url",
        default="",
        parse=_text,
        allowed="a URL",
        help="XNAT itself (with its context path): tickets are given to whom it knows; also for `tracemark check`",
    ),
    Setting(
        name="page_roles",
        default="Administrator",
        parse=_list,
        allowed="comma-separated site roles of XNAT; empty means nobody",
        help="who may see the page and the API behind the site's own name (/tracemark/), by XNAT login",
    ),
    Setting(
        name="ticket_minutes",
        default="10",
        parse=_number(1, 1440),
        allowed="1 to 1440",
        help="how long a ticket for the marker channel is good",
    ),
    Setting(
        name="pseudonym_key",
        default="",
        parse=_key,
        allowed="32 characters or more; empty means a key kept in a file beside the journal",
        help="secret that makes opaque session ids of XNAT logins and signs tickets",
        secret=True,
    ),
    Setting(
        name="influx_url",
        default="",
        parse=_text,
        allowed="a URL; empty means the journal alone",
        help="InfluxDB to ship to",
    ),
    Setting(
        name="influx_token",
        default="",
        parse=_text,
        allowed="a token that may write the bucket",
        help="token for InfluxDB",
        secret=True,
    ),
    Setting(name="influx_org", default="tracemark", parse=_text, allowed="a name", help="InfluxDB organisation"),
    Setting(
        name="influx_bucket",
        default="tracemark",
        parse=_text,
        allowed="a name without '/'",
        help="InfluxDB bucket",
    ),
    Setting(
        name="influx_long_bucket",
        default="",
        parse=_bucket,
        allowed="a name without '/'; empty means none",
        help="second bucket, kept longer: gets actions, transfers, gaps and the minute roll-ups as well",
    ),
    Setting(
        name="grafana_url",
        default="",
        parse=_text,
        allowed="a URL",
        help="Grafana, with the path below which it answers: for `tracemark annotate`",
    ),
    Setting(
        name="grafana_token",
        default="",
        parse=_text,
        allowed="a token of a service account with the role Editor",
        help="token for Grafana",
        secret=True,
    ),
    Setting(
        name="min_group",
        default="5",
        parse=_whole(1, 1000),
        allowed="1 to 1000",
        help="smallest number of real persons whose numbers are shown together",
    ),
    Setting(
        name="targets",
        default="login=5,page_load=5,filter_search=5,open_viewer=15,change_scan=8",
        parse=_amounts,
        allowed="comma-separated ACTION=SECONDS",
        help="seconds that 95 of 100 actions of a class may take: users fit until one of them is passed",
    ),
    Setting(
        name="cpu_limits",
        default="",
        parse=_amounts,
        allowed="comma-separated CONTAINER=CORES, and machine=CORES",
        help="CPU limits and cores for capacity, where Docker does not tell them; these win",
    ),
    Setting(
        name="link_mbit",
        default="0",
        parse=_number(0, 10**6),
        allowed="0 to 1000000; 0 means unknown",
        help="rate of the server's network link in megabits per second, for the headroom",
    ),
    Setting(
        name="headroom_least",
        default="2",
        parse=_whole(0, 100_000),
        allowed="0 to 100000",
        help="users that should still fit: Grafana's alert fires when there is room for fewer",
    ),
    Setting(
        name="baseline_run",
        default="",
        parse=_run,
        allowed="a run (or NAME of runs NAME.block1, NAME.block2, …); empty means none",
        help="replayed run that the newest one is compared with",
    ),
    Setting(
        name="log_level",
        default="warning",
        parse=_word("debug", "info", "warning", "error"),
        allowed="debug, info, warning, error",
        help="how much the sidecar says on stderr",
    ),
)
