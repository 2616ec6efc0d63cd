"""The servers around the sidecar: XNAT, InfluxDB, Grafana, and whether their clocks agree with this machine's."""

from __future__ import annotations

import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from urllib.parse import urlencode

from sidecar.cli.check_finding import Finding, ask
from sidecar.config import Config

#: a difference that moves actions off their curves
_CLOCKS_DIFFER_S = 2.0
#: uids of the boards in grafana/dashboards
BOARDS = tuple(
    f"tracemark-{name}"
    for name in ("overview", "resources", "costs", "network", "requests", "baseline", "experience", "long", "self")
)
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


def check_http(part: str, url: str, variable: str) -> Finding:
    """Whether a server answers at all."""
    if not url:
        return Finding(part, "ok", "not set" if part == "xnat" else "not set: the journal alone is used")
    if not url.startswith(("http://", "https://")):
        return Finding(part, "failed", f"{url} is not a URL", f"set {variable}=http://…")
    try:
        # Past any web proxy of the environment, as the sidecar itself asks.
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=5) as answer:
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
    _, headers, _ = ask(f"{url}/ping")
    version = headers.get("X-Influxdb-Version", "")
    buckets = [name for name in (config["influx_bucket"], config["influx_long_bucket"]) if name]
    for bucket in buckets:
        where = urlencode({"org": config["influx_org"], "bucket": bucket, "precision": "ns"})
        # No points: a server that knows token and bucket says that there is nothing to do.
        status, _, _ = ask(f"{url}/api/v2/write?{where}", {"Authorization": f"Token {config['influx_token']}"}, data=b"")
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
    if ask(f"{url}/api/health")[0] != 200:
        remedy = "start it, check TRACEMARK_GRAFANA_URL, or set it to nothing"
        return Finding("grafana", "warning", f"{url} does not answer in good health", remedy)
    if not config["grafana_token"]:
        return Finding("grafana", "ok", f"{url} answers; set TRACEMARK_GRAFANA_TOKEN to look at datasource and dashboards")
    head = {"Authorization": f"Bearer {config['grafana_token']}"}
    for source in ("tracemark", "tracemark-long"):
        status, _, told = ask(f"{url}/api/datasources/uid/{source}/health", head)
        if status in (401, 403):
            return Finding("grafana", "warning", f"{url} refuses the token", "set TRACEMARK_GRAFANA_TOKEN to an Editor's token")
        if status != 200:
            said = str(told.get("message", status))[:100] if isinstance(told, dict) else str(status)
            remedy = "check the read token, the bucket and the datasource's URL, and that grafana/provisioning is mounted"
            return Finding("grafana", "warning", f"its datasource {source} does not work ({said})", remedy)
    _, _, found = ask(f"{url}/api/search?type=dash-db&folderUIDs=tracemark&limit=1000", head)
    there = {one.get("uid") for one in found if isinstance(one, dict)} if isinstance(found, list) else set()
    if missing := [uid for uid in BOARDS if uid not in there]:
        what = f"it lacks {', '.join(missing)}" if len(missing) < len(BOARDS) else "it has no dashboards of Tracemark"
        return Finding("grafana", "warning", what, "mount grafana/dashboards and grafana/provisioning, see Grafana's log")
    if by_hand := [uid for uid in BOARDS if not _is_provisioned(url, uid, head)]:
        what = f"made or changed by hand, so no update reaches them: {', '.join(by_hand)}"
        return Finding(
            "grafana", "warning", what, "delete them in Grafana and provision grafana/dashboards; keep changes as copies"
        )
    return Finding("grafana", "ok", f"{url} reaches InfluxDB and has all {len(BOARDS)} dashboards")


def _is_provisioned(url: str, uid: str, head: Mapping[str, str]) -> bool:
    """Whether a board comes from a file; also where an answer does not say so."""
    _, _, told = ask(f"{url}/api/dashboards/uid/{uid}", head)
    meta = told.get("meta") if isinstance(told, dict) else None
    return not isinstance(meta, dict) or meta.get("provisioned") is not False


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
        said = ask(url)[1].get("Date") if url else None
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
