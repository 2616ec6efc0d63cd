"""`tracemark check`: a line for each part: ok, a warning, or what to do."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from sidecar.cli.check_finding import Finding
from sidecar.cli.check_machine import check_cgroup, check_docker, check_journal, check_log, check_port
from sidecar.cli.check_servers import check_clock, check_grafana, check_http, check_influxdb
from sidecar.cli.common import add_config, read_config
from sidecar.config import Config

__all__ = ["check_http", "check_journal", "check_log", "check_port", "findings", "main"]

EXAMPLE = "example:\n  TRACEMARK_NGINX_LOG=/srv/xnat/logs/nginx/xnat.access.log tracemark check\n"


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
