"""docker-compose.override.yml over XNAT's layouts, as Compose itself merges them, and what stands in several places."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from replay.lab.faults import LabFault
from sidecar.collect.select import SERVICE_LABEL, parse_selectors
from sidecar.config import load
from sidecar.settings import SETTINGS
from tests.support.deploy import LAYOUTS, OVERRIDE, ROOT, SECRETS, Compose
from tests.support.site_nginx import program, written

DEPLOY = ROOT / "sidecar/deploy"
KNOWN = ("xnat-2024", "xnat-2026")
ALL_SECRETS = "".join(f"{name}=a-secret-of-the-operator\n" for name in SECRETS)
LOG_FORMAT = re.compile(r"log_format tracemark(.*?);", re.DOTALL)


@pytest.fixture
def xnat(tmp_path: Path) -> Path:
    """XNAT's folder with Tracemark in it, as an operator clones it."""
    (tmp_path / "tracemark").symlink_to(ROOT)
    return tmp_path


def compose(folder: Path, layout: str, env: str, *more: Path, copied: bool = False) -> Compose:
    """Compose in that folder with that layout's file, the override and a .env."""
    shutil.copy(LAYOUTS / f"{layout}.yml", folder / "docker-compose.yml")
    (folder / ".env").write_text(env, encoding="utf-8")
    override = folder / "tracemark/docker-compose.override.yml"
    if copied:
        override = Path(shutil.copy(OVERRIDE, folder))
    made = Compose(folder=folder, files=(folder / "docker-compose.yml", override, *more))
    try:
        made("version")
    except LabFault as fault:
        pytest.skip(f"Compose is not there: {fault.what}")
    return made


def mounts(service: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {mount["target"]: mount for mount in service.get("volumes", [])}


@pytest.mark.parametrize("layout", KNOWN)
@pytest.mark.parametrize("copied", [False, True], ids=["in its folder", "copied beside"])
def test_laid_over_xnats_file_paths_are_xnats_folders_and_xnats_own_services_stay(xnat: Path, layout: str, copied: bool) -> None:
    alone = Compose(folder=xnat, files=(xnat / "docker-compose.yml",))
    services = compose(xnat, layout, ALL_SECRETS, copied=copied).config()["services"]
    stock = alone.config()["services"]
    assert set(services) - set(stock) == {"tracemark", "tracemark-socket-proxy"}
    for name, service in stock.items():
        changed = {key for key in services[name] if services[name][key] != service.get(key)}
        assert changed <= {"volumes"}, name
        assert set(mounts(service)) <= set(mounts(services[name]))
    web, nginx, sidecar = (mounts(services[name]) for name in ("xnat-web", "xnat-nginx", "tracemark"))
    deploy = xnat / "tracemark/sidecar/deploy"
    assert nginx["/etc/nginx/nginx.conf"]["source"] == str(deploy / "nginx/xnat.conf")
    assert web["/usr/local/tomcat/logs"]["source"] == sidecar["/logs/tomcat"]["source"] == "tracemark-tomcat-logs"
    assert nginx["/var/log/nginx"]["source"] == sidecar["/logs/nginx"]["source"] == "tracemark-nginx-logs"
    # the very folder into which XNAT writes its own log
    assert sidecar["/logs/xnat"]["source"] == web["/data/xnat/home/logs"]["source"] == str(xnat / "xnat-data/home/logs")
    assert services["tracemark"]["build"]["context"] == str(xnat / "tracemark")
    for name in ("tracemark", "tracemark-socket-proxy"):
        for mount in services[name]["volumes"]:
            if mount["type"] == "bind" and str(xnat) in mount["source"] and "xnat-data" not in mount["source"]:
                assert Path(mount["source"]).exists(), mount


@pytest.mark.parametrize("layout", KNOWN)
def test_the_sidecar_gets_no_more_than_it_needs(xnat: Path, layout: str) -> None:
    project = compose(xnat, layout, f"{ALL_SECRETS}COMPOSE_PROFILES=influx,grafana\n").config()
    sidecar = project["services"]["tracemark"]
    assert sidecar["read_only"] is True
    assert sidecar["cap_drop"] == ["ALL"]
    assert sidecar["init"] is True
    assert not sidecar.get("privileged")
    assert {target for target, mount in mounts(sidecar).items() if not mount.get("read_only")} == {"/var/lib/tracemark"}
    assert all("docker.sock" not in mount["source"] for mount in sidecar["volumes"])
    for name, service in project["services"].items():
        if name.startswith("tracemark"):
            assert int(service["mem_limit"]) > 0
            assert float(service["cpus"]) > 0
            assert service["pids_limit"] > 0
            assert "no-new-privileges:true" in service["security_opt"]
            assert all(port["host_ip"] == "127.0.0.1" for port in service.get("ports", []))
            assert not service["image"].endswith(":latest")
            assert ":" in service["image"]
    # the engine is within reach of the sidecar alone
    assert project["networks"]["tracemark-engine"]["internal"] is True
    inside = {name for name, service in project["services"].items() if "tracemark-engine" in service.get("networks", {})}
    assert inside == {"tracemark", "tracemark-socket-proxy"}
    tokens = {
        name: sorted(mount for mount in mounts(service) if "token" in mount) for name, service in project["services"].items()
    }
    assert tokens["tracemark"] == ["/run/tracemark/write-token"]
    assert tokens["tracemark-grafana"][-1:] == ["/run/tracemark/read-token"]
    assert "/run/tracemark/write-token" not in tokens["tracemark-grafana"]


def test_what_the_sidecar_is_told_are_settings_that_it_knows(xnat: Path) -> None:
    told = compose(xnat, "xnat-2026", f"{ALL_SECRETS}TRACEMARK_CONTEXT_PATH=/xnat\n").config()["services"]["tracemark"][
        "environment"
    ]
    config = load({name: str(value) for name, value in told.items()})
    assert config["xnat_url"] == "http://xnat-web:8080/xnat"
    assert config["influx_url"] == "http://tracemark-influxdb:8086"
    assert config["token"] == "a-secret-of-the-operator"
    assert config["http"] == ("0.0.0.0", 8050)  # noqa: S104


@pytest.mark.parametrize("layout", KNOWN)
def test_xnats_containers_are_sampled_and_tracemarks_own_are_not(xnat: Path, layout: str) -> None:
    """Also where the project is called as XNAT's repository: then every container's name begins with xnat-."""
    project = compose(xnat, layout, f"{ALL_SECRETS}COMPOSE_PROFILES=influx,grafana,multinode\n").config()["services"]
    chosen = parse_selectors(
        load({"TRACEMARK_CONTAINERS": project["tracemark"]["environment"]["TRACEMARK_CONTAINERS"]})["containers"]
    )
    sampled = {
        name
        for name, service in project.items()
        if chosen(service.get("container_name", f"xnat-docker-compose-{name}-1"), {SERVICE_LABEL: name})
    }
    assert sampled == {name for name in project if name.startswith("xnat-")}
    assert sampled >= {"xnat-web", "xnat-db", "xnat-nginx"}


def test_further_settings_come_from_tracemark_env_and_the_store_can_be_elsewhere(xnat: Path) -> None:
    (xnat / "tracemark.env").write_text("TRACEMARK_MIN_GROUP=7\n", encoding="utf-8")
    env = f"{ALL_SECRETS}TRACEMARK_INFLUX_URL=https://store.example\nTRACEMARK_WRITE_TOKEN_DIR=./tokens\nTRACEMARK_IMAGE=site/tm:1\n"
    sidecar = compose(xnat, "xnat-2026", env).config()["services"]["tracemark"]
    assert sidecar["environment"]["TRACEMARK_MIN_GROUP"] == "7"
    assert sidecar["environment"]["TRACEMARK_INFLUX_URL"] == "https://store.example"
    assert mounts(sidecar)["/run/tracemark/write-token"]["source"] == str(xnat / "tokens")
    assert sidecar["image"] == "site/tm:1"
    alone = compose(xnat, "xnat-2026", f"{ALL_SECRETS}TRACEMARK_INFLUX_URL=\n").config()["services"]["tracemark"]
    assert alone["environment"]["TRACEMARK_INFLUX_URL"] == ""


@pytest.mark.parametrize(
    ("profiles", "added"), [("", set()), ("influx", {"influxdb"}), ("influx,grafana", {"influxdb", "grafana"})]
)
def test_influxdb_and_grafana_are_profiles(xnat: Path, profiles: str, added: set[str]) -> None:
    services = compose(xnat, "xnat-2026", f"{ALL_SECRETS}COMPOSE_PROFILES={profiles}\n").config()["services"]
    assert {name.removeprefix("tracemark-") for name in services if name.startswith("tracemark-")} == {"socket-proxy", *added}


def test_a_start_without_secrets_is_refused_with_the_list_of_what_is_missing(xnat: Path) -> None:
    refused = compose(xnat, "xnat-2026", "")("config")
    assert refused.status != 0
    for name in SECRETS:
        assert re.search(rf"{name}=(\s|$)", refused.errors), refused.errors
    assert "make-env" in refused.errors
    # what is there is told apart from what is not, and never shown
    part = compose(xnat, "xnat-2026", "TRACEMARK_TOKEN=hush-hush\nTRACEMARK_INFLUX_PASSWORD=\n")("config")
    assert part.status != 0
    assert "TRACEMARK_TOKEN=*** TRACEMARK_INFLUX_PASSWORD= TRACEMARK_GRAFANA_PASSWORD=" in part.errors
    assert "hush-hush" not in part.errors + part.output


def test_a_layout_that_is_not_xnats_is_refused(xnat: Path) -> None:
    refused = compose(xnat, "unknown", ALL_SECRETS)("config")
    assert refused.status != 0
    assert re.search(r"xnat-(web|nginx|network)", refused.errors), refused.errors


def test_tls_is_a_third_file(xnat: Path) -> None:
    tls = DEPLOY / "docker-compose.tls.yml"
    nginx = compose(xnat, "xnat-2026", f"{ALL_SECRETS}TRACEMARK_TLS_DIR=./tls\n", tls).config()["services"]["xnat-nginx"]
    assert {port["published"] for port in nginx["ports"]} == {"80", "443"}
    assert mounts(nginx)["/etc/nginx/nginx.conf"]["source"] == str(xnat / "tracemark/sidecar/deploy/nginx/xnat-tls.conf")
    assert mounts(nginx)["/etc/nginx/tls"]["source"] == str(xnat / "tls")
    refused = compose(xnat, "xnat-2026", ALL_SECRETS, tls)("config")
    assert "TRACEMARK_TLS_DIR" in refused.errors


# -- what stands in several places must say the same


def test_nginx_writes_the_same_line_and_treats_the_sidecars_paths_the_same_as_in_the_practice_system() -> None:
    def squeezed(text: str) -> str:
        return " ".join(text.split())

    def formats(path: Path) -> list[str]:
        return [squeezed(found) for found in LOG_FORMAT.findall(path.read_text(encoding="utf-8"))]

    assert formats(DEPLOY / "nginx/tracemark-http.conf") == formats(ROOT / "replay/lab/nginx.conf")
    assert len(formats(DEPLOY / "nginx/tracemark-http.conf")) == 1

    def directives(path: Path) -> list[str]:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
        wanted = ("proxy_set_header", "proxy_http", "proxy_connect", "proxy_read", "proxy_send", "client_max", "return")
        return [squeezed(line) for line in lines if line.startswith(wanted)]

    assert directives(DEPLOY / "nginx/tracemark-server.conf") == directives(ROOT / "replay/lab/nginx-sidecar.conf")


@pytest.mark.parametrize("name", ["xnat.conf", "xnat-tls.conf", "socket-proxy.conf"])
def test_nginx_understands_its_configurations(name: str, tmp_path: Path) -> None:
    written(tmp_path, {"http://xnat-web:": "http://127.0.0.1:"})
    shutil.copy(DEPLOY / "socket-proxy.conf", tmp_path)
    tested = subprocess.run(
        [
            program("nginx"),
            "-t",
            "-e",
            "stderr",
            "-c",
            tmp_path / name,
            "-g",
            f"pid {tmp_path}/pid;" if "socket" not in name else "",
        ],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert tested.returncode == 0, tested.stderr


def test_grafana_gets_every_variable_that_its_provisioning_names_and_the_dashboards_where_it_looks(xnat: Path) -> None:
    provisioning = ROOT / "grafana/provisioning"
    text = "".join(file.read_text(encoding="utf-8") for file in sorted(provisioning.rglob("*.yaml")))
    assert text
    needed = set(re.findall(r"\$\{?(TRACEMARK_\w+)", text))
    grafana = compose(xnat, "xnat-2026", f"{ALL_SECRETS}COMPOSE_PROFILES=grafana\n").config()["services"]["tracemark-grafana"]
    given = {name for name, value in grafana["environment"].items() if value}
    assert needed - given == {"TRACEMARK_GRAFANA_INFLUX_TOKEN"}
    looked_at = re.findall(r"^\s+path: (\S+)$", text, re.MULTILINE)
    assert looked_at
    assert set(looked_at) <= set(mounts(grafana))


def test_every_variable_of_the_override_is_in_the_operators_page_and_the_other_way_round() -> None:
    page = (DEPLOY / "README.md").read_text(encoding="utf-8")
    override = OVERRIDE.read_text(encoding="utf-8") + (DEPLOY / "docker-compose.tls.yml").read_text(encoding="utf-8")
    may_be_set = set(re.findall(r"\$\{(TRACEMARK_\w+)", override))
    missing = {name for name in may_be_set if name not in page}
    for stem in ("_INFLUXDB_", "_GRAFANA_"):  # told as "and the same with"
        missing -= {f"TRACEMARK{stem}MEMORY", f"TRACEMARK{stem}CPUS"}
    missing -= {f"TRACEMARK_GRAFANA_ALERT_{end}" for end in ("URL", "ADDRESSES")}
    assert missing == set()
    named = set(re.findall(r"`(TRACEMARK_[A-Z_]+[A-Z])=?[^`]*`", page))
    ours = may_be_set | {setting.variable for setting in SETTINGS}
    assert named - ours == set()
